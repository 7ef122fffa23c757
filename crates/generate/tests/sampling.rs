//! Sampling and beam sampling against the distributions they draw from.

#![allow(clippy::needless_pass_by_value, reason = "options are written where they are used")]

mod toy;

use luthier_generate::{Chain, Completion, GenerationOptions, Generator, Resolved, softmax};
use toy::Toy;

fn resolve(options: GenerationOptions) -> Resolved {
    options.resolve().unwrap()
}

/// The chi-square value that `degrees` degrees of freedom exceed with p = 0.001 (Wilson and Hilferty's approximation).
fn chi_square_limit(degrees: usize) -> f64 {
    let spread = 2.0 / (9.0 * degrees as f64);
    degrees as f64 * (1.0 - spread + 3.09 * spread.sqrt()).powi(3)
}

/// How often each token is drawn first over `draws` prompts that are all the same, with the probabilities of the chain.
fn frequencies(options: &GenerationOptions, draws: usize) -> (Vec<f64>, Vec<f64>) {
    let mut model = Toy::new(11, 50);
    let resolved = resolve(GenerationOptions {
        do_sample: Some(true),
        max_new_tokens: Some(1),
        num_return_sequences: Some(draws),
        ..options.clone()
    });
    let mut scores = model.row(&[4, 7]);
    Chain::new(&resolved, &resolved.limits(0, 2, 64).unwrap()).apply(&[4, 7], &mut scores);
    softmax::log_softmax(&mut scores);
    let outputs = Generator::new(&resolved).generate(&mut model, &[vec![4, 7]]).unwrap().remove(0).outputs;
    let mut counts = vec![0.0; 50];
    outputs.iter().for_each(|output| counts[output.tokens[0] as usize] += 1.0);
    (counts, scores.iter().map(|s| f64::from(s.exp())).collect())
}

#[test]
fn sampled_frequencies_match_the_warped_probabilities() {
    let base = GenerationOptions { top_k: Some(0), ..Default::default() };
    let sets = [
        base.clone(),
        GenerationOptions { temperature: Some(0.6), ..base.clone() },
        GenerationOptions { temperature: Some(1.7), top_k: Some(8), ..base.clone() },
        GenerationOptions { top_p: Some(0.8), ..base.clone() },
        GenerationOptions { min_p: Some(0.1), ..base.clone() },
        GenerationOptions { typical_p: Some(0.6), ..base.clone() },
        GenerationOptions { epsilon_cutoff: Some(0.02), ..base.clone() },
        GenerationOptions {
            repetition_penalty: Some(1.4),
            eta_cutoff: Some(0.05),
            renormalize_logits: Some(true),
            ..base
        },
    ];
    for options in sets {
        let (counts, probabilities) = frequencies(&options, 100_000);
        let expected: Vec<f64> = probabilities.iter().map(|p| p * 100_000.0).collect();
        let (mut chi2, mut kept) = (0.0, 0);
        for (count, expected) in counts.iter().zip(&expected) {
            if *expected == 0.0 {
                assert_eq!(*count, 0.0, "a dropped token is never drawn");
            } else {
                chi2 += (count - expected) * (count - expected) / expected;
                kept += 1;
            }
        }
        let limit = chi_square_limit(kept - 1);
        assert!(kept >= 4 && chi2 < limit, "chi-square {chi2:.1} over {limit:.1}, {kept} tokens, {options:?}");
    }
}

/// The probability that four tokens drawn without replacement have `pair` as their two best.
fn pair_probability(p: &[f64], pair: [usize; 2]) -> f64 {
    fn draw(p: &[f64], taken: &mut Vec<usize>, left: f64, chance: f64, pair: [usize; 2]) -> f64 {
        if taken.len() == 4 {
            let mut best = taken.clone();
            best.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
            return if best[..2] == pair { chance } else { 0.0 };
        }
        let mut sum = 0.0;
        for token in (0..p.len()).filter(|token| !taken.contains(token)).collect::<Vec<_>>() {
            taken.push(token);
            sum += draw(p, taken, left - p[token], chance * p[token] / left, pair);
            taken.pop();
        }
        sum
    }
    draw(p, &mut Vec::new(), 1.0, 1.0, pair)
}

#[test]
fn beam_sampling_draws_its_candidates_without_replacement() {
    let (draws, vocab, temperature) = (20_000, 9, 4.0);
    let mut model = Toy::new(12, vocab);
    let options = GenerationOptions {
        do_sample: Some(true),
        temperature: Some(temperature),
        num_beams: Some(2),
        num_return_sequences: Some(2),
        max_new_tokens: Some(1),
        ..Default::default()
    };
    let resolved = resolve(options);
    let completions = Generator::new(&resolved).max_batch(1000).generate(&mut model, &vec![vec![4, 3]; draws]).unwrap();
    let mut scores = model.row(&[4, 3]);
    scores.iter_mut().for_each(|score| *score /= temperature as f32);
    softmax::log_softmax(&mut scores);
    let p: Vec<f64> = scores.iter().map(|&s| f64::from(s.exp())).collect();
    let (mut chi2, mut cells) = (0.0, 0);
    for (a, b) in (0..vocab).flat_map(|a| (0..vocab).map(move |b| (a, b))).filter(|(a, b)| a != b) {
        let expected = pair_probability(&p, [a, b]) * draws as f64;
        let is_pair = |c: &&Completion| [0, 1].map(|beam| c.outputs[beam].tokens[0] as usize) == [a, b];
        let count = completions.iter().filter(is_pair).count() as f64;
        if expected >= 10.0 {
            chi2 += (count - expected) * (count - expected) / expected;
            cells += 1;
        }
    }
    assert!(cells >= 10 && chi2 < chi_square_limit(cells - 1), "chi-square {chi2:.1} over {cells} pairs");
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
fn a_seed_repeats_and_another_one_differs() {
    let draw =
        |seed| Generator::new(&resolve(sampling(seed))).generate(&mut Toy::new(2, 40), &[vec![1, 2, 3]]).unwrap();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn equal_prompts_in_one_call_draw_differently_and_as_several_outputs_of_one_do() {
    let prompt = vec![1, 2, 3];
    let single = resolve(sampling(1));
    let thrice = Generator::new(&single).generate(&mut Toy::new(2, 40), &vec![prompt.clone(); 3]).unwrap();
    let several = resolve(GenerationOptions { num_return_sequences: Some(3), ..sampling(1) });
    let outputs = Generator::new(&several).generate(&mut Toy::new(2, 40), &[prompt]).unwrap().remove(0).outputs;
    assert_eq!(thrice.into_iter().flat_map(|c| c.outputs).collect::<Vec<_>>(), outputs);
    assert!(outputs[0] != outputs[1] && outputs[1] != outputs[2]);
}
