//! Constraints under every search, with a constraint of the test's own: the texts of a list.

mod toy;

use luthier_generate::{
    Constraint, GenerateError, GenerationOptions, Generator, Matcher, ModelError, OptionsError, Output,
};
use toy::Toy;

const EOS: u32 = 0;

/// Outputs are these token sequences and nothing else.
#[derive(Clone)]
struct List(Vec<Vec<u32>>);

#[derive(Clone)]
struct Follows {
    list: List,
    seen: Vec<u32>,
}

impl Constraint for List {
    fn matcher(&self) -> Box<dyn Matcher> {
        Box::new(Follows { list: self.clone(), seen: Vec::new() })
    }
}

impl Follows {
    fn next(&self) -> Vec<u32> {
        let following = self.list.0.iter().filter(|text| text.starts_with(&self.seen));
        following.filter_map(|text| text.get(self.seen.len()).copied()).collect()
    }
}

impl Matcher for Follows {
    fn mask(&mut self, scores: &mut [f32]) -> Result<bool, ModelError> {
        let allowed = self.next();
        for (token, score) in (0..).zip(scores) {
            if !allowed.contains(&token) {
                *score = f32::NEG_INFINITY;
            }
        }
        Ok(self.list.0.contains(&self.seen))
    }

    fn accept(&mut self, token: u32) -> Result<(), ModelError> {
        if !self.next().contains(&token) {
            return Err(format!("{token} cannot follow {:?}", self.seen).into());
        }
        self.seen.push(token);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

fn generate(options: &GenerationOptions, list: &List, seed: u32) -> Result<Vec<Output>, GenerateError> {
    let options = GenerationOptions { eos_token_id: Some(vec![EOS]), max_new_tokens: Some(12), ..options.clone() };
    let resolved = options.resolve().unwrap();
    let mut model = Toy::new(seed, 30);
    let completions = Generator::new(&resolved).constraint(list).generate(&mut model, &[vec![4, 5]]);
    assert!(model.sequences.is_empty(), "every sequence is freed");
    Ok(completions?.remove(0).outputs)
}

fn list() -> List {
    List(vec![vec![7], vec![7, 8], vec![9, 8, 7, 6], vec![9, 8, 1], vec![20, 21, 22]])
}

#[test]
fn under_every_search_all_outputs_are_in_the_list() {
    let greedy = GenerationOptions::default();
    let draws = GenerationOptions { do_sample: Some(true), num_return_sequences: Some(3), ..Default::default() };
    let beams = GenerationOptions { num_beams: Some(4), num_return_sequences: Some(4), ..Default::default() };
    let searches = [
        greedy.clone(),
        draws.clone(),
        beams.clone(),
        GenerationOptions { do_sample: Some(true), ..beams.clone() },
        GenerationOptions { num_beam_groups: Some(2), diversity_penalty: Some(0.5), ..beams },
        GenerationOptions { penalty_alpha: Some(0.6), top_k: Some(3), ..greedy.clone() },
        GenerationOptions { prompt_lookup_num_tokens: Some(3), ..greedy },
        GenerationOptions { prompt_lookup_num_tokens: Some(3), ..draws },
    ];
    for options in searches {
        let mut found = Vec::new();
        for seed in 0..20 {
            let outputs = generate(&options, &list(), seed).unwrap();
            assert!(!outputs.is_empty());
            for output in outputs {
                assert!(list().0.contains(&output.tokens), "{:?} under {options:?}", output.tokens);
                assert_eq!(output.eos, Some(EOS));
                assert!(output.score > -1e6, "{output:?}");
                found.push(output.tokens);
            }
        }
        found.sort();
        found.dedup();
        assert!(found.len() > 1, "one and the same text under {options:?}");
    }
}

#[test]
fn beams_find_the_best_texts_of_the_list_each_once() {
    for seed in 0..20 {
        let options = GenerationOptions {
            num_beams: Some(8),
            num_return_sequences: Some(8),
            length_penalty: Some(0.0),
            ..Default::default()
        };
        let outputs = generate(&options, &list(), seed).unwrap();
        let mut texts: Vec<_> = outputs.iter().map(|output| output.tokens.clone()).collect();
        assert!(outputs.is_sorted_by(|a, b| a.score >= b.score));
        texts.sort();
        let mut expected = list().0;
        expected.sort();
        assert_eq!(texts, expected, "five texts for eight beams");
        let sum: f64 = outputs[0].token_logprobs.iter().map(|&l| f64::from(l)).sum();
        assert!((outputs[0].score - sum).abs() < 1e-5);
    }
}

#[test]
fn beams_leave_a_dead_end_to_those_that_can_go_on() {
    // No token of the model is 99.
    let list = List(vec![vec![7, 99], vec![9, 8]]);
    let mut stuck = 0;
    for seed in 0..20 {
        let beams = GenerationOptions { num_beams: Some(3), num_return_sequences: Some(3), ..Default::default() };
        let outputs = generate(&beams, &list, seed).unwrap();
        assert_eq!(outputs.iter().map(|output| output.tokens.as_slice()).collect::<Vec<_>>(), [[9, 8]]);
        match generate(&GenerationOptions::default(), &list, seed) {
            Ok(outputs) => assert_eq!(outputs[0].tokens, [9, 8]),
            Err(error) => {
                assert!(matches!(error, GenerateError::NothingAllowed { new_tokens: 1, .. }), "{error}");
                stuck += 1;
            }
        }
    }
    assert!((1..20).contains(&stuck), "greedy decoding runs into it now and then: {stuck} of 20");
}

#[test]
fn a_list_of_one_text_leaves_nothing_to_choose() {
    let only = List(vec![vec![7, 7, 8]]);
    for options in [
        GenerationOptions::default(),
        GenerationOptions { num_beams: Some(3), num_return_sequences: Some(3), ..Default::default() },
    ] {
        let outputs = generate(&options, &only, 3).unwrap();
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].tokens, [7, 7, 8]);
    }
}

#[test]
fn what_nothing_can_follow_and_what_cannot_end_are_errors() {
    let beams = GenerationOptions { num_beams: Some(3), ..Default::default() };
    for options in [GenerationOptions::default(), beams] {
        let error = generate(&options, &List(vec![]), 3).unwrap_err();
        assert!(error.to_string().starts_with("every token is forbidden for prompt 0"), "{error}");
    }
    let resolved = GenerationOptions::default().resolve().unwrap();
    let error = Generator::new(&resolved).constraint(&list()).generate(&mut Toy::new(1, 30), &[vec![1]]).unwrap_err();
    assert!(matches!(error, GenerateError::Options(OptionsError::ConstraintWithoutEnd)));
}
