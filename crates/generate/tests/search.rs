//! Searches against brute force, batches against single prompts, stops, and what goes wrong.

#![allow(clippy::needless_pass_by_value, reason = "options are written where they are used")]

mod toy;

use std::ops::ControlFlow;

use luthier_generate::{
    EarlyStopping, FinishReason, GenerateError, GenerationOptions, Generator, OptionsError, Output, Resolved, softmax,
};
use toy::Toy;

fn resolve(options: GenerationOptions) -> Resolved {
    options.resolve().unwrap()
}

fn generate(model: &mut Toy, prompt: &[u32], options: GenerationOptions) -> Vec<Output> {
    let resolved = resolve(options);
    let outputs = Generator::new(&resolved).generate(model, &[prompt.to_vec()]).unwrap().remove(0).outputs;
    assert!(model.sequences.is_empty(), "every sequence is freed");
    outputs
}

fn log_probs(model: &Toy, history: &[u32]) -> Vec<f32> {
    let mut row = model.row(history);
    softmax::log_softmax(&mut row);
    row
}

/// Every sequence that ends with `eos` or has `left` more tokens: (new tokens without eos, sum, scored length).
fn enumerate(
    model: &Toy,
    history: &[u32],
    from: usize,
    left: usize,
    sum: f64,
    eos: u32,
    all: &mut Vec<(Vec<u32>, f64, usize)>,
) {
    let new = &history[from..];
    if left == 0 {
        return all.push((new.to_vec(), sum, new.len()));
    }
    for (token, log_p) in log_probs(model, history).into_iter().enumerate() {
        let sum = sum + f64::from(log_p);
        if token as u32 == eos {
            all.push((new.to_vec(), sum, new.len() + 1));
        } else {
            let longer: Vec<u32> = history.iter().copied().chain([token as u32]).collect();
            enumerate(model, &longer, from, left - 1, sum, eos, all);
        }
    }
}

#[test]
fn greedy_takes_the_best_token_of_every_step_and_its_log_probability() {
    for seed in 0..20 {
        let mut model = Toy::new(seed, 30);
        let options = GenerationOptions { max_new_tokens: Some(12), eos_token_id: Some(vec![3]), ..Default::default() };
        let output = generate(&mut model, &[5, 9], options).remove(0);
        let mut history = vec![5, 9];
        let mut logprobs = Vec::new();
        while logprobs.len() < 12 {
            let row = log_probs(&model, &history);
            let best = (0..30).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            logprobs.push(row[best]);
            history.push(best as u32);
            if best == 3 {
                break;
            }
        }
        assert_eq!(output.tokens_with_eos(), history[2..]);
        let reason = if history.ends_with(&[3]) { FinishReason::Stop } else { FinishReason::Length };
        assert_eq!(output.finish_reason, reason);
        assert_eq!(output.token_logprobs, logprobs);
        assert_eq!(output.score, logprobs.iter().map(|&l| f64::from(l)).sum::<f64>());
    }
}

#[test]
fn with_enough_beams_beam_search_finds_the_best_of_all_sequences() {
    for seed in 0..12 {
        for length_penalty in [0.0, 1.0, 2.0] {
            let mut model = Toy::new(seed, 4);
            let mut all = Vec::new();
            enumerate(&model, &[1, 2], 2, 4, 0.0, 0, &mut all);
            let score = |(_, sum, length): &(Vec<u32>, f64, usize)| sum / (*length as f64).powf(length_penalty);
            all.sort_by(|a, b| score(b).total_cmp(&score(a)));
            let options = GenerationOptions {
                num_beams: Some(100),
                num_return_sequences: Some(5),
                max_new_tokens: Some(4),
                eos_token_id: Some(vec![0]),
                length_penalty: Some(length_penalty),
                early_stopping: Some(EarlyStopping::Never),
                ..Default::default()
            };
            let outputs = generate(&mut model, &[1, 2], options);
            for (output, expected) in outputs.iter().zip(&all) {
                // Equal sums make the order of two sequences free, so each is looked up with its own score.
                let own = all
                    .iter()
                    .find(|(tokens, _, length)| *tokens == output.tokens && *length == output.token_logprobs.len());
                let own = own.expect("an output is one of all sequences");
                assert!((output.score - score(expected)).abs() < 1e-5, "seed {seed}, length penalty {length_penalty}");
                assert!((output.score - score(own)).abs() < 1e-5);
                assert!((output.token_logprobs.iter().map(|&l| f64::from(l)).sum::<f64>() - own.1).abs() < 1e-5);
            }
        }
    }
}

fn sampling(seed: u64) -> GenerationOptions {
    GenerationOptions {
        do_sample: Some(true),
        temperature: Some(1.3),
        top_k: Some(0),
        max_new_tokens: Some(20),
        eos_token_id: Some(vec![3]),
        seed: Some(seed),
        ..Default::default()
    }
}

#[test]
fn a_prompt_alone_and_among_fifteen_others_gives_the_same_tokens_in_every_search() {
    let prompts: Vec<Vec<u32>> = (0..16).map(|n| (0..1 + n % 5).map(|i| (n * 7 + i * 3) % 40).collect()).collect();
    let greedy = GenerationOptions { do_sample: Some(false), ..sampling(5) };
    let beams = |do_sample| GenerationOptions {
        num_beams: Some(3),
        num_return_sequences: Some(2),
        do_sample: Some(do_sample),
        ..sampling(5)
    };
    let searches = [
        greedy.clone(),
        sampling(5),
        GenerationOptions { num_return_sequences: Some(3), ..sampling(5) },
        beams(false),
        beams(true),
        GenerationOptions {
            num_beams: Some(6),
            num_beam_groups: Some(3),
            diversity_penalty: Some(0.7),
            ..beams(false)
        },
        GenerationOptions { penalty_alpha: Some(0.6), top_k: Some(4), ..greedy.clone() },
        GenerationOptions { prompt_lookup_num_tokens: Some(4), ..greedy.clone() },
        GenerationOptions { prompt_lookup_num_tokens: Some(4), num_return_sequences: Some(3), ..sampling(5) },
        GenerationOptions { guidance_scale: Some(2.0), ..greedy },
        GenerationOptions {
            guidance_scale: Some(0.5),
            prompt_lookup_num_tokens: Some(4),
            num_return_sequences: Some(3),
            ..sampling(5)
        },
    ];
    for options in searches {
        let resolved = resolve(options);
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| {
                Generator::new(&resolved)
                    .generate(&mut Toy::new(9, 40), std::slice::from_ref(prompt))
                    .unwrap()
                    .remove(0)
            })
            .collect();
        for max_batch in [1, 5, 100] {
            let mut model = Toy::new(9, 40);
            let together = Generator::new(&resolved).max_batch(max_batch).generate(&mut model, &prompts).unwrap();
            assert_eq!(together, alone);
            assert!(model.sequences.is_empty());
            assert!(model.widest <= max_batch.max(resolved.width()));
        }
    }
}

#[test]
fn the_prompt_is_fed_once_and_every_new_token_once_for_all_beams() {
    let mut model = Toy::new(4, 40);
    let options = GenerationOptions { num_beams: Some(4), max_new_tokens: Some(10), ..Default::default() };
    generate(&mut model, &[1, 2, 3, 4, 5, 6], options);
    // The last tokens are never fed: nothing follows them.
    assert_eq!((model.steps, model.tokens_fed), (10, 6 + 9 * 4));
    assert!(model.forks < 4 * 9, "a beam that is its parent's only child keeps the cache");
}

#[test]
fn waiting_prompts_enter_as_soon_as_others_leave() {
    let prompts: Vec<Vec<u32>> = (0..10).map(|n| vec![n]).collect();
    let resolved = resolve(GenerationOptions {
        max_new_tokens: Some(15),
        eos_token_id: Some(vec![3, 4, 5]),
        ..Default::default()
    });
    let mut model = Toy::new(6, 20);
    let completions = Generator::new(&resolved).max_batch(4).generate(&mut model, &prompts).unwrap();
    let needed: usize = completions.iter().map(|c| c.outputs[0].token_logprobs.len()).sum();
    assert_eq!((model.tokens_fed, model.widest), (needed, 4));
    // Four at a time without refilling would wait for the longest of each four.
    let longest =
        |four: &[luthier_generate::Completion]| four.iter().map(|c| c.outputs[0].token_logprobs.len()).max().unwrap();
    assert!(model.steps < completions.chunks(4).map(longest).sum());
}

/// Tokens spell letters; 26 is the end.
fn letters(tokens: &[u32]) -> String {
    tokens.iter().map(|&t| char::from(b'a' + (t % 26) as u8)).collect()
}

#[test]
fn a_stop_string_ends_the_text_and_stays_in_it() {
    let mut model = Toy::new(3, 26);
    let free =
        generate(&mut model, &[0, 1], GenerationOptions { max_new_tokens: Some(12), ..Default::default() }).remove(0);
    let text = letters(&free.tokens);
    let stop = text[4..6].to_owned();
    let resolved = resolve(GenerationOptions {
        max_new_tokens: Some(12),
        stop_strings: Some(vec![stop.clone()]),
        ..Default::default()
    });
    let ended = Generator::new(&resolved)
        .decode(&letters)
        .generate(&mut model, &[vec![0, 1]])
        .unwrap()
        .remove(0)
        .outputs
        .remove(0);
    let cut = &text[..text.find(&stop).unwrap() + 2];
    assert_eq!((ended.text(&letters).as_str(), ended.finish_reason), (cut, FinishReason::Stop));
    assert_eq!(ended.stop_string, Some(stop));
    let without = Generator::new(&resolved).generate(&mut model, &[vec![0, 1]]).unwrap_err();
    assert!(matches!(without, GenerateError::Options(OptionsError::StopStringsWithoutDecoder)));
}

#[test]
fn beams_stop_at_a_stop_string_only_when_all_of_them_complete_it() {
    // Every token reads "a", so all beams complete "aaaa" with the third new token.
    let decode = |tokens: &[u32]| "a".repeat(tokens.len());
    let options = GenerationOptions {
        num_beams: Some(3),
        num_return_sequences: Some(3),
        max_new_tokens: Some(9),
        stop_strings: Some(vec!["aaaa".into()]),
        ..Default::default()
    };
    let resolved = resolve(options);
    let mut model = Toy::new(3, 26);
    let outputs = Generator::new(&resolved).decode(&decode).generate(&mut model, &[vec![1]]).unwrap().remove(0).outputs;
    assert!(outputs.iter().all(|o| o.tokens.len() == 3 && o.finish_reason == FinishReason::Stop));
    assert!(model.sequences.is_empty());
}

#[test]
fn a_listener_hears_every_token_and_can_interrupt() {
    let mut heard = Vec::new();
    let mut listen = |row: usize, token: u32| {
        heard.push((row, token));
        if heard.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let resolved = resolve(GenerationOptions { max_new_tokens: Some(30), ..Default::default() });
    let mut model = Toy::new(3, 26);
    let output = Generator::new(&resolved)
        .on_token(&mut listen)
        .generate(&mut model, &[vec![1]])
        .unwrap()
        .remove(0)
        .outputs
        .remove(0);
    assert_eq!(output.finish_reason, FinishReason::Interrupted);
    assert_eq!(heard, output.tokens.iter().map(|&t| (0, t)).collect::<Vec<_>>());
    assert_eq!(heard.len(), 5);
    assert!(model.sequences.is_empty());
}

#[test]
fn a_failing_model_is_reported_and_leaves_no_sequence_behind() {
    let greedy = GenerationOptions { max_new_tokens: Some(9), ..Default::default() };
    let beams = GenerationOptions { num_beams: Some(4), ..greedy.clone() };
    let groups = GenerationOptions { num_beam_groups: Some(2), diversity_penalty: Some(0.5), ..beams.clone() };
    let contrastive = GenerationOptions { penalty_alpha: Some(0.5), top_k: Some(3), ..greedy.clone() };
    let guided = GenerationOptions { guidance_scale: Some(2.0), ..greedy.clone() };
    for options in [greedy, beams, groups, contrastive, guided] {
        for fail_at in [1, 2, 4] {
            let mut model = Toy::new(1, 20);
            model.fail_at = Some(fail_at);
            let resolved = resolve(options.clone());
            let error = Generator::new(&resolved).generate(&mut model, &[vec![1], vec![2, 3]]).unwrap_err();
            assert_eq!(error.to_string(), "the model failed at a decoding step: the toy broke");
            assert!(model.sequences.is_empty());
        }
    }
}

#[test]
fn when_time_is_up_every_search_ends_with_what_it_has() {
    let short = GenerationOptions { max_new_tokens: Some(40), max_time: Some(1e-9), ..Default::default() };
    let beams = GenerationOptions { num_beams: Some(4), num_return_sequences: Some(4), ..short.clone() };
    let groups = GenerationOptions { num_beam_groups: Some(2), diversity_penalty: Some(0.5), ..beams.clone() };
    let contrastive = GenerationOptions { penalty_alpha: Some(0.5), top_k: Some(3), ..short.clone() };
    for options in [short.clone(), beams, groups, contrastive] {
        for output in generate(&mut Toy::new(1, 20), &[1, 2], options.clone()) {
            assert_eq!((output.tokens.len(), output.finish_reason), (1, FinishReason::Interrupted), "{options:?}");
        }
        let long = GenerationOptions { max_time: Some(1e6), ..options };
        assert!(generate(&mut Toy::new(1, 20), &[1, 2], long).iter().all(|output| output.tokens.len() == 40));
    }
}

#[test]
fn when_every_token_is_forbidden_a_draw_says_so() {
    let options = GenerationOptions { suppress_tokens: Some((0..20).collect()), ..sampling(1) };
    let mut model = Toy::new(1, 20);
    let error = Generator::new(&resolve(options)).generate(&mut model, &[vec![1]]).unwrap_err();
    assert!(error.to_string().starts_with("every token is forbidden for prompt 0 after 0 new tokens"));
    assert!(model.sequences.is_empty());
}

#[test]
fn prompts_that_do_not_fit_are_refused_with_both_numbers() {
    let fails = |prompt: Vec<u32>, options: GenerationOptions| {
        let mut model = Toy::new(1, 20);
        Generator::new(&resolve(options)).generate(&mut model, &[vec![1], prompt]).unwrap_err().to_string()
    };
    let short = GenerationOptions { max_length: Some(8), ..Default::default() };
    let long = GenerationOptions { max_new_tokens: Some(8), ..Default::default() };
    assert!(fails(vec![1; 8], short).contains("prompt 1 has 8 tokens, but max_length is 8"));
    assert!(
        fails(vec![1; 64], long.clone())
            .contains("prompt 1 has 64 tokens and leaves no room in the model's context of 64")
    );
    assert!(fails(vec![], long.clone()).contains("prompt 1 has no tokens"));
    assert!(
        fails(vec![20], long.clone()).contains("prompt 1 holds token 20, but the model's vocabulary has 20 tokens")
    );
    let many = GenerationOptions { num_beams: Some(4), eos_token_id: Some((0..20).collect()), ..long };
    assert!(fails(vec![1], many).contains("too many for a vocabulary of 20"));
}

#[test]
fn an_empty_prompt_becomes_the_start_token() {
    let options = GenerationOptions { bos_token_id: Some(7), max_new_tokens: Some(3), ..Default::default() };
    let resolved = resolve(options);
    let completions = Generator::new(&resolved).generate(&mut Toy::new(1, 20), &[vec![], vec![7]]).unwrap();
    assert_eq!(completions[0], completions[1]);
}

#[test]
fn generation_stops_at_the_end_of_the_context() {
    let options = GenerationOptions { max_new_tokens: Some(1000), ..Default::default() };
    let output = generate(&mut Toy::new(1, 20), &[1; 60], options).remove(0);
    assert_eq!((output.tokens.len(), output.finish_reason), (4, FinishReason::Length));
}
