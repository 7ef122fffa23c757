//! Contrastive search against a search without a cache, written down from the paper.

mod toy;

use luthier_generate::{FinishReason, GenerationOptions, Generator, Output, softmax};
use toy::Toy;

const EOS: u32 = 3;

fn generate(model: &mut Toy, prompt: &[u32], options: &GenerationOptions) -> Output {
    let resolved = options.resolve().unwrap();
    let outputs = Generator::new(&resolved).generate(model, &[prompt.to_vec()]).unwrap().remove(0).outputs;
    assert!(model.sequences.is_empty(), "every sequence is freed");
    assert_eq!(outputs.len(), 1);
    outputs.into_iter().next().unwrap()
}

fn contrastive(alpha: f64, top_k: usize) -> GenerationOptions {
    GenerationOptions {
        penalty_alpha: Some(alpha),
        top_k: Some(top_k),
        max_new_tokens: Some(15),
        eos_token_id: Some(vec![EOS]),
        ..Default::default()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// arXiv 2202.06417, equation 5: each new token from the beginning.
fn by_the_paper(model: &Toy, prompt: &[u32], alpha: f64, top_k: usize) -> Vec<u32> {
    let mut text = prompt.to_vec();
    while text.len() < prompt.len() + 15 && (text.len() == prompt.len() || text[text.len() - 1] != EOS) {
        let mut scores = model.row(&text);
        softmax::log_softmax(&mut scores);
        let mut best: Vec<u32> = (0..scores.len() as u32).collect();
        best.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let states: Vec<Vec<f32>> = (1..=text.len()).map(|end| model.hidden(&text[..end])).collect();
        let score = |token: u32| {
            let state = model.hidden(&text.iter().copied().chain([token]).collect::<Vec<_>>());
            let likest = states.iter().map(|seen| cosine(seen, &state)).fold(f64::NEG_INFINITY, f64::max);
            (1.0 - alpha) * f64::from(scores[token as usize].exp()) - alpha * likest
        };
        let chosen = best.into_iter().take(top_k).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
        text.push(chosen);
    }
    text.split_off(prompt.len())
}

#[test]
fn the_chosen_tokens_are_those_of_the_papers_equation() {
    let mut unlike_greedy = 0;
    for seed in 0..30 {
        for (alpha, top_k) in [(0.1, 2), (0.6, 4), (0.9, 7), (1.0, 3)] {
            let mut model = Toy::new(seed, 30);
            let prompt = [5, 9, 1];
            let output = generate(&mut model, &prompt, &contrastive(alpha, top_k));
            assert_eq!(output.tokens_with_eos(), by_the_paper(&model, &prompt, alpha, top_k), "seed {seed}, {alpha}");
            let reason = if output.eos.is_some() { FinishReason::Stop } else { FinishReason::Length };
            assert_eq!(output.finish_reason, reason);
            assert_eq!(model.steps, 1 + output.token_logprobs.len(), "one pass more than tokens");
            let greedy = contrastive(0.0, 50);
            unlike_greedy += usize::from(generate(&mut model, &prompt, &greedy).tokens != output.tokens);
        }
    }
    assert!(unlike_greedy > 60);
}

#[test]
fn token_log_probabilities_are_the_models_own() {
    let mut model = Toy::new(8, 30);
    let output = generate(&mut model, &[5, 9], &contrastive(0.6, 4));
    let mut text = vec![5, 9];
    for (token, logprob) in output.tokens_with_eos().into_iter().zip(&output.token_logprobs) {
        let mut scores = model.row(&text);
        softmax::log_softmax(&mut scores);
        assert_eq!(scores[token as usize], *logprob);
        text.push(token);
    }
}

#[test]
fn a_forbidden_token_is_no_candidate_however_unlike_it_is() {
    // All but two tokens are off, and there are five candidates to be had.
    let options = GenerationOptions {
        suppress_tokens: Some((0..30).filter(|token| ![7, 11].contains(token)).collect()),
        ..contrastive(1.0, 5)
    };
    for seed in 0..10 {
        let output = generate(&mut Toy::new(seed, 30), &[5, 9], &options);
        assert!(output.tokens.iter().all(|token| [7, 11].contains(token)));
        assert_eq!(output.tokens.len(), 15);
    }
}

#[test]
fn the_last_candidates_stand_at_the_end_of_the_context() {
    let options = GenerationOptions { max_new_tokens: Some(1000), eos_token_id: None, ..contrastive(0.6, 4) };
    let output = generate(&mut Toy::new(1, 20), &[1; 60], &options);
    assert_eq!((output.tokens.len(), output.finish_reason), (4, FinishReason::Length));
}
