//! What a trace says is what the search did, and the search does the same with and without one.

mod toy;

use luthier_generate::{
    Choice, Completion, Fate, GenerationOptions, Generator, GroupEnd, Resolved, Scoring, Trace, processor, warper,
};
use serde_json::{Value, json};
use toy::Toy;

const VOCAB: usize = 24;
const PROMPT: [u32; 3] = [5, 9, 2];

fn resolved(table: &Value) -> Resolved {
    GenerationOptions::from_table(table.as_object().unwrap()).unwrap().resolve().unwrap()
}

/// The completion with a trace, after it was held against the one without.
#[track_caller]
fn traced(table: &Value) -> (Completion, Trace) {
    let options = resolved(table);
    let bare = Generator::new(&options).generate(&mut Toy::new(7, VOCAB), &[PROMPT.to_vec()]).unwrap();
    let mut traces = [Trace::new(4)];
    let mut model = Toy::new(7, VOCAB);
    let seen = Generator::new(&options).traces(&mut traces).generate(&mut model, &[PROMPT.to_vec()]).unwrap();
    assert_eq!(seen, bare, "{table}");
    assert!(model.sequences.is_empty());
    let [trace] = traces;
    (seen.into_iter().next().unwrap(), trace)
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let weights: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

/// Stage `at` of a scoring, or the model itself, is the softmax of these scores.
#[track_caller]
fn assert_distribution(scoring: &Scoring, at: Option<usize>, scores: &[f32]) {
    let expected = softmax(scores);
    for candidate in &scoring.candidates {
        let found = at.map_or(Some(candidate.before), |at| candidate.after[at]);
        let p = expected[candidate.token as usize];
        assert_eq!(found.is_none(), scores[candidate.token as usize] == f32::NEG_INFINITY, "{candidate:?}");
        assert!(near(found.unwrap_or(0.0), p), "{candidate:?} should be {p}");
    }
    let spread = at.map_or(scoring.before, |at| scoring.stages[at].1);
    assert_eq!(spread.kept, scores.iter().filter(|score| **score > f32::NEG_INFINITY).count());
    let entropy: f64 = expected.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    assert!(near(spread.entropy, entropy), "{} should be {entropy}", spread.entropy);
}

#[test]
fn tokens_are_the_same_with_and_without_a_trace_under_every_search() {
    let searches = [
        json!({}),
        json!({"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}),
        json!({"prompt_lookup_num_tokens": 4}),
        json!({"guidance_scale": 1.5}),
        json!({"do_sample": true, "temperature": 0.8, "top_k": 9, "top_p": 0.9, "num_return_sequences": 3, "seed": 5}),
        json!({"do_sample": true, "min_p": 0.05, "typical_p": 0.9, "eta_cutoff": 0.01, "top_k": 0}),
        json!({"num_beams": 4, "num_return_sequences": 3}),
        json!({"num_beams": 3, "early_stopping": true, "length_penalty": 0.5}),
        json!({"num_beams": 3, "early_stopping": "never", "length_penalty": 2.0}),
        json!({"num_beams": 4, "do_sample": true, "temperature": 1.4, "top_k": 12, "num_return_sequences": 4}),
        json!({"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.7, "num_return_sequences": 6}),
    ];
    for mut table in searches {
        table["max_new_tokens"] = json!(9);
        table["eos_token_id"] = json!([1, 3]);
        let (completion, trace) = traced(&table);
        if trace.groups.is_empty() {
            assert_choices_spell(&completion, &trace.choices);
        } else {
            assert_hypotheses_are_the_outputs(&completion, &trace);
            assert_candidates_lead_somewhere(&trace);
        }
    }
}

fn assert_choices_spell(completion: &Completion, choices: &[Choice]) {
    for (number, output) in completion.outputs.iter().enumerate() {
        let own: Vec<&Choice> = choices.iter().filter(|choice| choice.output == number).collect();
        assert!(own.iter().enumerate().all(|(step, choice)| choice.step == step));
        assert_eq!(own.iter().map(|choice| choice.token).collect::<Vec<_>>(), output.tokens_with_eos());
        assert!(own.iter().all(|choice| choice.scoring.candidates.iter().any(|scored| scored.token == choice.token)));
    }
}

fn assert_hypotheses_are_the_outputs(completion: &Completion, trace: &Trace) {
    let best = trace.best();
    assert!(best.len() >= completion.outputs.len());
    for (output, (group, number)) in completion.outputs.iter().zip(best) {
        let hypothesis = &trace.groups[group].hypotheses[number];
        assert_eq!((&output.tokens, output.eos, output.score), (&hypothesis.tokens, hypothesis.eos, hypothesis.score));
        assert!(trace.groups[group].keeps(number));
        // From the hypothesis back to the prompt, beam by beam.
        let steps = &trace.groups[group].steps;
        let mut path = Vec::new();
        let mut candidate = &steps[hypothesis.step].candidates[hypothesis.candidate];
        for step in (0..=hypothesis.step).rev() {
            path.insert(0, candidate.token);
            if step > 0 {
                let parent = Fate::Beam(candidate.beam);
                candidate = steps[step - 1].candidates.iter().find(|before| before.fate == parent).unwrap();
            }
        }
        assert_eq!(path, output.tokens_with_eos());
    }
}

/// Every beam of a step was a candidate of the one before, with its score, and what was turned away is no better than what was taken.
fn assert_candidates_lead_somewhere(trace: &Trace) {
    for group in &trace.groups {
        assert!(group.end.is_some());
        for pair in group.steps.windows(2) {
            for (number, beam) in pair[1].beams.iter().enumerate() {
                let parents = pair[0].candidates.iter().filter(|candidate| candidate.fate == Fate::Beam(number));
                assert_eq!(parents.map(|candidate| candidate.score).collect::<Vec<_>>(), [beam.score]);
            }
        }
        for step in &group.steps {
            let scores = |taken: bool| {
                let is_beam = move |fate| matches!(fate, Fate::Beam(_));
                step.candidates.iter().filter(move |c| is_beam(c.fate) == taken).map(|candidate| candidate.score)
            };
            let turned_away = step.candidates.iter().filter(|candidate| candidate.fate == Fate::NotAmongBest);
            let worst = scores(true).fold(f32::INFINITY, f32::min);
            assert!(turned_away.into_iter().all(|candidate| candidate.score <= worst));
        }
    }
}

#[test]
fn probabilities_behind_each_warper_are_those_computed_by_hand() {
    let (completion, trace) = traced(&json!({
        "do_sample": true, "repetition_penalty": 1.4, "temperature": 0.6, "top_k": 8, "top_p": 0.85, "max_new_tokens": 6,
    }));
    let names: Vec<_> = trace.choices[0].scoring.stages.iter().map(|(applied, _)| applied.name).collect();
    assert_eq!(names, ["repetition_penalty", "temperature", "top_k", "top_p"]);
    let value = |at: usize| trace.choices[0].scoring.stages[at].0.value.clone().unwrap();
    assert_eq!([0, 1, 2, 3].map(value), ["1.4", "0.6", "8", "0.85"]);
    let mut history = PROMPT.to_vec();
    for choice in &trace.choices {
        let mut scores = Toy::new(7, VOCAB).row(&history);
        assert_distribution(&choice.scoring, None, &scores);
        processor::repetition_penalty(&mut scores, &history, 1.4);
        assert_distribution(&choice.scoring, Some(0), &scores);
        scores.iter_mut().for_each(|score| *score /= 0.6);
        assert_distribution(&choice.scoring, Some(1), &scores);
        let mut order: Vec<usize> = (0..VOCAB).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order[8..].iter().for_each(|&id| scores[id] = f32::NEG_INFINITY);
        assert_distribution(&choice.scoring, Some(2), &scores);
        let (p, mut mass) = (softmax(&scores), 0.0);
        for &id in &order[..8] {
            if mass >= 0.85 {
                scores[id] = f32::NEG_INFINITY;
            }
            mass += p[id];
        }
        assert_distribution(&choice.scoring, Some(3), &scores);
        // The drawn number lies in the chosen token's part of the cumulative distribution.
        let (p, token) = (softmax(&scores), choice.token as usize);
        let below: f64 = p[..token].iter().sum();
        let drawn = choice.uniform.unwrap();
        assert!(below - 1e-6 <= drawn && drawn <= below + p[token] + 1e-6, "{drawn} in {below} + {}", p[token]);
        history.push(choice.token);
    }
    assert_eq!(history[3..], completion.outputs[0].tokens);
}

#[test]
fn beams_add_up_the_log_probabilities_that_their_scorings_show() {
    let (_, trace) =
        traced(&json!({"num_beams": 3, "max_new_tokens": 5, "repetition_penalty": 1.2, "eos_token_id": 1}));
    let group = &trace.groups[0];
    assert_eq!((group.end, group.steps.len()), (Some(GroupEnd::Length), 5));
    let mut histories = vec![PROMPT.to_vec(); 3];
    for step in &group.steps {
        for candidate in &step.candidates {
            let (beam, history) = (&step.beams[candidate.beam], &histories[candidate.beam]);
            let model = Toy::new(7, VOCAB).row(history);
            let mut scores: Vec<f32> = softmax(&model).iter().map(|p| p.ln() as f32).collect();
            processor::repetition_penalty(&mut scores, history, 1.2);
            assert_distribution(&beam.scoring, None, &model);
            assert_distribution(&beam.scoring, Some(0), &scores);
            assert!(near(f64::from(candidate.score), f64::from(beam.score + scores[candidate.token as usize])));
        }
        let next = |number| step.candidates.iter().find(|candidate| candidate.fate == Fate::Beam(number)).unwrap();
        let grown = |number| [&histories[next(number).beam][..], &[next(number).token]].concat();
        histories = (0..3).map(grown).collect();
    }
}

#[test]
fn diverse_beams_show_what_the_groups_before_cost() {
    let table =
        json!({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.5, "max_new_tokens": 4, "eos_token_id": 1});
    let (_, trace) = traced(&table);
    let second = &trace.groups[1].steps[0];
    assert!(trace.groups[0].steps[0].beams[0].scoring.stages.is_empty(), "the first group pays nothing");
    assert_eq!(second.beams[0].scoring.stages[0].0.name, "diversity_penalty");
    let mut scores: Vec<f32> = softmax(&Toy::new(7, VOCAB).row(&PROMPT)).iter().map(|p| p.ln() as f32).collect();
    let beams = trace.groups[0].steps[0].candidates.iter().filter(|candidate| matches!(candidate.fate, Fate::Beam(_)));
    beams.for_each(|candidate| scores[candidate.token as usize] -= 1.5);
    assert_distribution(&second.beams[0].scoring, Some(0), &scores);
}

#[test]
fn a_beam_sampling_draws_from_what_the_warpers_left() {
    let (_, trace) =
        traced(&json!({"num_beams": 3, "do_sample": true, "top_k": 6, "temperature": 1.5, "max_new_tokens": 4}));
    let scoring = &trace.groups[0].steps[1].beams[0].scoring;
    let names: Vec<_> = scoring.stages.iter().map(|(applied, _)| applied.name).collect();
    assert_eq!(names, ["temperature", "top_k"]);
    let mut scores = vec![0.0; VOCAB];
    for candidate in &scoring.candidates {
        scores[candidate.token as usize] = candidate.before.ln() as f32;
    }
    assert_eq!(scoring.stages[1].1.kept, 6);
    warper::temperature(&mut scores, 1.5);
    let alive: Vec<_> = scoring.candidates.iter().filter(|candidate| candidate.after[1].is_some()).collect();
    let ratio = alive[0].after[1].unwrap() / alive[1].after[1].unwrap();
    let expected = f64::from(scores[alive[0].token as usize] - scores[alive[1].token as usize]).exp();
    assert!((ratio - expected).abs() < 1e-4 * expected, "{ratio} {expected}");
}

#[test]
fn contrastive_search_is_refused_by_name() {
    let options = resolved(&json!({"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 4}));
    let mut traces = [Trace::new(4)];
    let mut model = Toy::new(7, VOCAB);
    let error = Generator::new(&options).traces(&mut traces).generate(&mut model, &[PROMPT.to_vec()]).unwrap_err();
    assert!(error.to_string().contains("penalty_alpha"), "{error}");
    assert_eq!((model.steps, model.sequences.len()), (0, 0));
}
