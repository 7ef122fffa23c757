//! The key-value cache: stepping gives what one forward gives, whatever else is in the session.

#![allow(clippy::print_stdout, reason = "says how far steps and one forward are apart")]

mod fixture;

use fixture::{assert_says, bits, largest_difference, logits, text};
use luthier_engine::{Layout, Memory, Tape};
use luthier_model::{Feed, Model, SequenceId, Session, Wanted};

/// Steps and one forward multiply the same numbers in products of other shapes: equal up to rounding, which is a share
/// of the largest logit (3 to 7 in these models). The reference is about as far from either.
const TOLERANCE: f32 = 1e-5;

/// Logits `[N, V]` of a whole text, a row each.
fn rows_of(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    logits(model, tokens).chunks(model.config.vocab_size).map(<[f32]>::to_vec).collect()
}

fn last_of(model: &Model, tokens: &[u32]) -> Vec<f32> {
    rows_of(model, tokens).pop().unwrap()
}

/// The largest difference as a share of the largest expected logit.
fn apart(ours: &[f32], expected: &[f32]) -> f32 {
    largest_difference(ours, expected) / expected.iter().fold(0.0, |largest, x| x.abs().max(largest))
}

fn step(session: &mut Session<'_>, sequence: SequenceId, tokens: &[u32]) -> Vec<f32> {
    session.step(&[Feed { sequence, tokens }]).unwrap()
}

fn memory(model: &Model) -> Memory {
    model.device().memory()
}

#[test]
fn token_by_token_gives_the_logits_of_one_forward() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        let tokens = text(1, 70, model.config.vocab_size);
        let whole = rows_of(&model, &tokens);
        let mut session = Session::new(&model);
        let sequence = session.start();
        let (mut worst, mut equal) = (0.0f32, 0);
        for (token, expected) in tokens.iter().zip(&whole) {
            let ours = step(&mut session, sequence, &[*token]);
            worst = worst.max(apart(&ours, expected));
            equal += usize::from(bits(&ours) == bits(expected));
        }
        println!("{name}: largest difference {worst:.1e}; {equal} of {} rows bit-equal", tokens.len());
        assert!(worst < TOLERANCE, "{name}: {worst}");
    }
}

#[test]
fn a_prompt_in_pieces_of_any_size_gives_the_logits_of_one_forward() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        let tokens = text(2, 150, model.config.vocab_size);
        let whole = rows_of(&model, &tokens);
        for pieces in [&[150][..], &[16, 16, 118], &[1, 15, 1, 16, 17, 31, 33, 36], &[100, 1, 49], &[7; 21]] {
            let mut session = Session::new(&model);
            let (sequence, mut end) = (session.start(), 0);
            for piece in pieces {
                let start = end;
                end += piece;
                let difference = apart(&step(&mut session, sequence, &tokens[start..end]), &whole[end - 1]);
                assert!(difference < TOLERANCE, "{name} {pieces:?} at {end}: {difference}");
            }
        }
    }
}

#[test]
fn sequences_of_different_lengths_step_together_as_they_do_alone() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        let vocabulary = model.config.vocab_size;
        let lengths = [1, 5, 16, 17, 40, 64, 3];
        let texts: Vec<Vec<u32>> = (0..).zip(lengths).map(|(seed, n)| text(seed, n + 20, vocabulary)).collect();
        let mut together = Session::new(&model);
        let sequences: Vec<SequenceId> = texts.iter().map(|_| together.start()).collect();
        let mut alone: Vec<(Session<'_>, SequenceId)> = texts
            .iter()
            .map(|_| {
                let mut session = Session::new(&model);
                let sequence = session.start();
                (session, sequence)
            })
            .collect();
        let (mut worst, mut equal, mut compared) = (0.0f32, 0, 0);
        for i in 0..=20 {
            let new = |which: usize| {
                let n = lengths[which];
                if i == 0 { &texts[which][..n] } else { &texts[which][n + i - 1..n + i] }
            };
            let feeds: Vec<Feed<'_>> =
                sequences.iter().enumerate().map(|(which, &sequence)| Feed { sequence, tokens: new(which) }).collect();
            let flat = together.step(&feeds).unwrap();
            assert_eq!(flat.len(), texts.len() * vocabulary);
            for (which, ours) in flat.chunks(vocabulary).enumerate() {
                let (session, sequence) = &mut alone[which];
                let theirs = step(session, *sequence, new(which));
                worst = worst.max(apart(ours, &theirs));
                equal += usize::from(bits(ours) == bits(&theirs));
                compared += 1;
            }
        }
        println!("{name}: largest difference {worst:.1e}; {equal} of {compared} rows bit-equal");
        assert!(worst < TOLERANCE, "{name}: {worst}");
    }
}

#[test]
fn only_the_sequences_that_are_fed_go_on() {
    let model = fixture::model("qwen2-bias-tied");
    let (one, two) = (text(1, 30, 384), text(2, 30, 384));
    let mut session = Session::new(&model);
    let (a, b) = (session.start(), session.start());
    session.step(&[Feed { sequence: a, tokens: &one[..10] }, Feed { sequence: b, tokens: &two[..25] }]).unwrap();
    for i in 10..30 {
        step(&mut session, a, &one[i..=i]);
    }
    let flat =
        session.step(&[Feed { sequence: b, tokens: &two[25..] }, Feed { sequence: a, tokens: &one[..1] }]).unwrap();
    let (of_b, of_a) = flat.split_at(384);
    assert!(apart(of_b, &last_of(&model, &two)) < TOLERANCE);
    assert!(apart(of_a, &last_of(&model, &[&one[..], &one[..1]].concat())) < TOLERANCE);
}

#[test]
fn forks_share_their_prefix_and_leave_each_other_alone_at_every_offset_in_a_block() {
    for name in ["llama-linear-rope-headdim", "qwen2-bias-tied"] {
        let model = fixture::model(name);
        let vocabulary = model.config.vocab_size;
        for prefix in 0..=33 {
            let tokens = text(3, prefix, vocabulary);
            let mut session = Session::new(&model);
            let parent = session.start();
            if prefix > 0 {
                step(&mut session, parent, &tokens);
            }
            let child = session.fork(parent);
            let grandchild = session.fork(child);
            let with = |seed, n| [tokens.clone(), text(seed, n, vocabulary)].concat();
            // The order matters: who writes first, who shares still, who writes last.
            let order = [(child, with(11, 20)), (parent, with(12, 18)), (grandchild, with(13, 19))];
            for (sequence, text) in &order {
                let ours = step(&mut session, *sequence, &text[prefix..prefix + 2]);
                let difference = apart(&ours, &last_of(&model, &text[..prefix + 2]));
                assert!(difference < TOLERANCE, "{name} prefix {prefix} first: {difference}");
            }
            for (sequence, text) in &order {
                let ours = step(&mut session, *sequence, &text[prefix + 2..]);
                let difference = apart(&ours, &last_of(&model, text));
                assert!(difference < TOLERANCE, "{name} prefix {prefix} second: {difference}");
            }
        }
    }
}

#[test]
fn a_fork_gives_the_bits_of_a_sequence_fed_from_the_start() {
    let model = fixture::model("llama-mha-untied");
    let tokens = text(4, 50, 384);
    let mut session = Session::new(&model);
    // In a session of its own: within one it would share the parent's blocks.
    let mut apart = Session::new(&model);
    let (parent, plain) = (session.start(), apart.start());
    step(&mut session, parent, &tokens[..37]);
    step(&mut apart, plain, &tokens[..37]);
    let fork = session.fork(parent);
    step(&mut session, parent, &text(9, 30, 384));
    session.free(parent);
    assert_eq!(
        bits(&step(&mut session, fork, &tokens[37..])),
        bits(&step(&mut apart, plain, &tokens[37..])),
        "the fork's prefix was disturbed"
    );
}

#[test]
fn freed_sequences_give_their_memory_back() {
    let model = fixture::model("qwen2-bias-tied");
    let mut session = Session::new(&model);
    let mut after = Vec::new();
    for i in 0..1000 {
        let a = session.start();
        step(&mut session, a, &text(i, 40, 384));
        let b = session.fork(a);
        step(&mut session, b, &[7]);
        session.free(a);
        session.free(b);
        if i % 100 == 0 {
            after.push(memory(&model).current);
        }
    }
    assert!(after.iter().all(|bytes| *bytes == after[0]), "{after:?}");
}

#[test]
fn a_fork_costs_blocks_only_for_what_it_adds() {
    let model = fixture::model("qwen2-bias-tied");
    let mut session = Session::new(&model);
    let parent = session.start();
    step(&mut session, parent, &text(1, 200, 384));
    let before = memory(&model).current;
    let forks: Vec<SequenceId> = (0..3).map(|_| session.fork(parent)).collect();
    for fork in forks {
        step(&mut session, fork, &[1]);
    }
    // 13 blocks of the parent and one for each fork fill the first 16.
    assert_eq!(memory(&model).current, before);
}

#[test]
fn prompts_that_begin_alike_hold_and_compute_that_beginning_once() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        let vocabulary = model.config.vocab_size;
        // 70 tokens in common: four blocks and a rest, which is computed again.
        let prompts: Vec<Vec<u32>> =
            (0..4).map(|i| [text(1, 70, vocabulary), text(10 + i, 5 + i as usize, vocabulary)].concat()).collect();
        let weights = memory(&model).current;
        let mut session = Session::new(&model);
        let sequences: Vec<SequenceId> = prompts.iter().map(|_| session.start()).collect();
        // The first three enter together, the last one when they are under way.
        let feeds: Vec<Feed<'_>> = (0..3).map(|i| Feed { sequence: sequences[i], tokens: &prompts[i] }).collect();
        let mut logits = session.step(&feeds).unwrap();
        logits.extend(step(&mut session, sequences[3], &prompts[3]));
        for (ours, prompt) in logits.chunks(vocabulary).zip(&prompts) {
            assert!(apart(ours, &last_of(&model, prompt)) < TOLERANCE, "{name}");
        }
        // Five blocks of the first and one for each other are as many as the cache begins with; twenty are not.
        let with_four = memory(&model).current;
        let mut other = Session::new(&model);
        let one = other.start();
        step(&mut other, one, &prompts[0]);
        assert_eq!(memory(&model).current - with_four, with_four - weights, "{name}");
        // And they go on by themselves.
        for (i, &sequence) in sequences.iter().enumerate() {
            let more = text(20 + i as u32, 30, vocabulary);
            let ours = step(&mut session, sequence, &more);
            let whole = [&prompts[i][..], &more].concat();
            assert!(apart(&ours, &last_of(&model, &whole)) < TOLERANCE, "{name}");
        }
    }
}

#[test]
fn the_same_prompt_twice_is_computed_once_but_for_its_last_block() {
    let model = fixture::model("qwen2-bias-tied");
    let prompt = text(3, 64, model.config.vocab_size);
    let mut session = Session::new(&model);
    let (a, b) = (session.start(), session.start());
    let flat = session.step(&[Feed { sequence: a, tokens: &prompt }, Feed { sequence: b, tokens: &prompt }]).unwrap();
    for ours in flat.chunks(model.config.vocab_size) {
        assert!(apart(ours, &last_of(&model, &prompt)) < TOLERANCE);
    }
    session.free(a);
    let more = text(4, 20, model.config.vocab_size);
    let ours = step(&mut session, b, &more);
    assert!(apart(&ours, &last_of(&model, &[prompt, more].concat())) < TOLERANCE);
}

#[test]
fn a_prompt_longer_than_a_pass_gives_the_logits_of_one_forward() {
    let model = fixture::model("llama-gqa-tied-llama3-rope");
    let vocabulary = model.config.vocab_size;
    let (long, short) = (text(5, 2500, vocabulary), text(6, 9, vocabulary));
    let mut session = Session::new(&model);
    let (a, b) = (session.start(), session.start());
    let flat = session.step(&[Feed { sequence: a, tokens: &long }, Feed { sequence: b, tokens: &short }]).unwrap();
    assert!(apart(&flat[..vocabulary], &last_of(&model, &long)) < TOLERANCE);
    assert!(apart(&flat[vocabulary..], &last_of(&model, &short)) < TOLERANCE);
}

#[test]
fn reused_blocks_hold_nothing_of_the_sequence_before() {
    let model = fixture::model("llama-gqa-tied-llama3-rope");
    let mut session = Session::new(&model);
    let first = session.start();
    step(&mut session, first, &text(1, 200, model.config.vocab_size));
    session.free(first);
    let tokens = text(2, 90, model.config.vocab_size);
    let second = session.start();
    let ours = step(&mut session, second, &tokens);
    let mut fresh = Session::new(&model);
    let sequence = fresh.start();
    assert_eq!(bits(&ours), bits(&step(&mut fresh, sequence, &tokens)));
}

#[test]
fn an_adapter_is_in_force_while_stepping() {
    let mut model = fixture::model("qwen2-bias-tied");
    let adapter = luthier_fixtures::repository().join("fixtures/training/qwen2-bias-tied/rslora_all/final");
    let tokens = text(1, 30, 384);
    let base = last_of(&model, &tokens);
    model.load_adapter(&adapter).unwrap();
    let mut session = Session::new(&model);
    let sequence = session.start();
    let mut ours = Vec::new();
    for token in &tokens {
        ours = step(&mut session, sequence, &[*token]);
    }
    assert!(apart(&ours, &last_of(&model, &tokens)) < TOLERANCE);
    assert!(apart(&ours, &base) > 100.0 * TOLERANCE);
}

#[test]
fn positions_beyond_those_of_the_config_go_on() {
    let model = fixture::model("qwen2-bias-tied");
    let tokens = text(5, model.config.max_position_embeddings + 10, 384);
    let mut session = Session::new(&model);
    let sequence = session.start();
    step(&mut session, sequence, &tokens[..200]);
    let ours = step(&mut session, sequence, &tokens[200..]);
    assert!(apart(&ours, &last_of(&model, &tokens)) < TOLERANCE);
}

#[test]
fn a_wrong_step_is_an_error_and_changes_nothing() {
    let model = fixture::model("qwen2-bias-tied");
    let mut session = Session::new(&model);
    let (a, b, gone) = (session.start(), session.start(), session.start());
    session.free(gone);
    step(&mut session, a, &[1, 2, 3]);
    let good = Feed { sequence: a, tokens: &[4] };
    for (feeds, wanted) in [
        (vec![good, Feed { sequence: b, tokens: &[] }], "sequence 1 is fed no tokens"),
        (vec![good, Feed { sequence: b, tokens: &[5] }, good], "sequence 0 is named twice in one step"),
        (vec![good, Feed { sequence: gone, tokens: &[5] }], "sequence 2 is not there"),
        (vec![good, Feed { sequence: SequenceId(99), tokens: &[5] }], "sequence 99 is not there"),
        (vec![good, Feed { sequence: b, tokens: &[5, 384] }], "token 384 is not in the model's vocabulary of 384"),
    ] {
        assert_says(&session.step(&feeds).unwrap_err(), &[wanted]);
    }
    assert!(session.step(&[]).unwrap().is_empty());
    let mut fresh = Session::new(&model);
    let sequence = fresh.start();
    step(&mut fresh, sequence, &[1, 2, 3]);
    assert_eq!(bits(&step(&mut session, a, &[4])), bits(&step(&mut fresh, sequence, &[4])));
}

#[test]
fn each_token_of_a_feed_has_the_logits_and_the_hidden_state_of_one_forward() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        let tokens = text(5, 30, model.config.vocab_size);
        let (v, c) = (model.config.vocab_size, model.config.hidden_size);
        let expected = rows_of(&model, &tokens);
        let mut session = Session::new(&model);
        let (each, hidden, last) = (session.start(), session.start(), session.start());
        let feed = |sequence, tokens| Feed { sequence, tokens };
        let feeds = [feed(each, &tokens[..20]), feed(hidden, &tokens[..12]), feed(last, &tokens[..9])];
        let stepped = session.step_for(&feeds, &[Wanted::Each, Wanted::Hidden, Wanted::Last]).unwrap();
        assert_eq!((stepped.logits.len(), stepped.hidden.len()), ((20 + 1 + 1) * v, 12 * c));
        let rows = (0..20).chain([11, 8]);
        for (row, at) in stepped.logits.chunks(v).zip(rows) {
            assert!(apart(row, &expected[at]) < TOLERANCE, "{name}: the row of token {at}");
        }
        // The states are those of one forward.
        let mut tape = Tape::inference(model.device(), &model.params);
        let layout = Layout::packed(&[12]);
        let states = model.forward(&mut tape, &tokens[..12], &layout, None).unwrap().tensor.to_vec();
        assert!(apart(&stepped.hidden, &states) < TOLERANCE, "{name}");
        // All go on as if they had been fed in any other way.
        for (sequence, length) in [(each, 20), (hidden, 12), (last, 9)] {
            let ours = step(&mut session, sequence, &tokens[length..=length]);
            assert!(apart(&ours, &expected[length]) < TOLERANCE, "{name}: behind {length} tokens");
        }
    }
}

#[test]
fn a_prompt_that_is_asked_for_all_its_states_gets_them_beside_an_equal_one_and_in_several_passes() {
    let model = fixture::model("llama-mha-untied");
    let c = model.config.hidden_size;
    let tokens = text(6, 1100, model.config.vocab_size);
    let mut session = Session::new(&model);
    let (one, two) = (session.start(), session.start());
    let feeds = [Feed { sequence: one, tokens: &tokens[..40] }, Feed { sequence: two, tokens: &tokens }];
    let stepped = session.step_for(&feeds, &[Wanted::Last, Wanted::Hidden]).unwrap();
    assert_eq!(stepped.hidden.len(), 1100 * c);
    let alone = session.start();
    let feed = [Feed { sequence: alone, tokens: &tokens[..40] }];
    let shorter = session.step_for(&feed, &[Wanted::Hidden]).unwrap();
    assert!(apart(&stepped.hidden[..40 * c], &shorter.hidden) < TOLERANCE);
}

#[test]
fn what_is_taken_back_leaves_no_trace_and_its_blocks_are_used_again() {
    let model = fixture::model("qwen2-bias-tied");
    let tokens = text(7, 60, model.config.vocab_size);
    let other = text(8, 60, model.config.vocab_size);
    for (fed, kept) in [(33, 32), (40, 33), (40, 17), (20, 1), (16, 15), (32, 16), (40, 40)] {
        let (mut session, mut plain) = (Session::new(&model), Session::new(&model));
        let (cut, straight) = (session.start(), plain.start());
        let head: Vec<u32> = tokens[..kept].iter().chain(&other[kept..fed]).copied().collect();
        step(&mut session, cut, &head);
        // A fork keeps what its parent takes back.
        let fork = session.fork(cut);
        session.truncate(cut, kept).unwrap();
        step(&mut plain, straight, &tokens[..kept]);
        for token in &tokens[kept..kept + 10] {
            let next = std::slice::from_ref(token);
            let (ours, theirs) = (step(&mut session, cut, next), step(&mut plain, straight, next));
            assert!(apart(&ours, &theirs) < TOLERANCE, "{kept} of {fed} tokens kept, token {token}");
        }
        let whole = last_of(&model, &head.iter().copied().chain([tokens[fed]]).collect::<Vec<_>>());
        assert!(apart(&step(&mut session, fork, &[tokens[fed]]), &whole) < TOLERANCE, "the fork of {kept} of {fed}");
    }
    let mut session = Session::new(&model);
    let sequence = session.start();
    step(&mut session, sequence, &tokens);
    let before = memory(&model).current;
    for _ in 0..50 {
        session.truncate(sequence, 3).unwrap();
        step(&mut session, sequence, &tokens[3..]);
    }
    assert_eq!(memory(&model).current, before, "blocks are used again");
    assert!(session.truncate(sequence, 61).unwrap_err().to_string().contains("fewer than 61 tokens"));
    session.free(sequence);
    assert!(session.truncate(sequence, 0).is_err());
}
