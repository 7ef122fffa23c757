//! Prompt lookup: the tokens of greedy decoding and of sampling in fewer steps.

#![allow(clippy::print_stdout, reason = "says how many tokens a step gave")]

mod toy;

use std::ops::ControlFlow;

use luthier_engine::Device;
use luthier_fixtures::{ids, json as read, shared_for};
use luthier_generate::{
    Feed, FinishReason, GenerationOptions, Generator, ModelError, Output, SequenceId, StepModel, Stepped, Wanted,
};
use luthier_model::{Model, Session};
use serde_json::json;
use toy::Toy;

/// A model of few words repeats itself.
fn toy(seed: u32) -> Toy {
    Toy::new(seed, 6)
}

fn lookup(num_tokens: usize, options: &GenerationOptions) -> GenerationOptions {
    GenerationOptions { prompt_lookup_num_tokens: Some(num_tokens), ..options.clone() }
}

fn generate(model: &mut Toy, prompt: &[u32], options: &GenerationOptions) -> Vec<Output> {
    let resolved = options.resolve().unwrap();
    let outputs = Generator::new(&resolved).generate(model, &[prompt.to_vec()]).unwrap().remove(0).outputs;
    assert!(model.sequences.is_empty(), "every sequence is freed");
    outputs
}

#[test]
fn drafts_change_neither_tokens_nor_log_probabilities_nor_ends() {
    let greedy = GenerationOptions { max_new_tokens: Some(40), ..Default::default() };
    let draws = GenerationOptions { do_sample: Some(true), num_return_sequences: Some(3), ..greedy.clone() };
    let ends = |options: &GenerationOptions| GenerationOptions { eos_token_id: Some(vec![2]), ..options.clone() };
    let penalised = GenerationOptions {
        repetition_penalty: Some(1.3),
        no_repeat_ngram_size: Some(5),
        min_new_tokens: Some(9),
        ..ends(&greedy)
    };
    let (mut steps, mut plain_steps) = (0, 0);
    for options in [ends(&greedy), ends(&draws), greedy, draws, penalised] {
        for seed in 0..25 {
            for (num_tokens, ngram) in [(1, 1), (3, 2), (10, 3)] {
                let options = GenerationOptions { seed: Some(u64::from(seed)), ..options.clone() };
                let looked_up =
                    GenerationOptions { max_matching_ngram_size: Some(ngram), ..lookup(num_tokens, &options) };
                let prompt: Vec<u32> = (0..1 + seed % 9).map(|i| (seed * 5 + i * i) % 6).collect();
                let (mut with, mut without) = (toy(seed), toy(seed));
                let expected = generate(&mut without, &prompt, &options);
                assert_eq!(generate(&mut with, &prompt, &looked_up), expected, "{looked_up:?}");
                assert!(with.steps <= without.steps);
                (steps, plain_steps) = (steps + with.steps, plain_steps + without.steps);
            }
        }
    }
    println!("{steps} steps with drafts, {plain_steps} without");
    assert!(steps * 10 < plain_steps * 9, "drafts are right often enough to matter: {steps} of {plain_steps}");
}

#[test]
fn a_right_draft_is_followed_to_its_end_and_the_first_wrong_token_ends_it() {
    // Found by looking: a model whose greedy text falls into a circle, so that all of a draft is right.
    let options = GenerationOptions { max_new_tokens: Some(50), ..Default::default() };
    let mut model = toy(3);
    let tokens = generate(&mut model, &[1, 2], &lookup(10, &options)).remove(0).tokens;
    assert_eq!(tokens.len(), 50);
    assert!(model.steps < 20, "{} steps for 50 tokens", model.steps);
}

#[test]
fn a_listener_hears_each_token_once_and_in_order_and_can_stop_inside_a_draft() {
    let resolved = lookup(10, &GenerationOptions { max_new_tokens: Some(50), ..Default::default() }).resolve().unwrap();
    for stop_after in [1, 23, 50] {
        let mut heard = Vec::new();
        let mut listen = |_: usize, token: u32| {
            heard.push(token);
            if heard.len() == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut model = toy(3);
        let output = Generator::new(&resolved)
            .on_token(&mut listen)
            .generate(&mut model, &[vec![1, 2]])
            .unwrap()
            .remove(0)
            .outputs
            .remove(0);
        assert_eq!(output.tokens, heard);
        assert_eq!(heard.len(), stop_after);
        let reason = if stop_after == 50 { FinishReason::Length } else { FinishReason::Interrupted };
        assert_eq!(output.finish_reason, reason);
        assert!(model.sequences.is_empty());
    }
}

#[test]
fn a_stop_string_inside_a_draft_ends_the_text_there() {
    let letters = |tokens: &[u32]| tokens.iter().map(|&t| char::from(b'a' + t as u8)).collect::<String>();
    let base = GenerationOptions { max_new_tokens: Some(50), ..Default::default() };
    let text = letters(&generate(&mut toy(3), &[1, 2], &base)[0].tokens);
    for at in 2..40 {
        let stop = text[at..at + 4].to_owned();
        let with = |options: &GenerationOptions| {
            let options = GenerationOptions { stop_strings: Some(vec![stop.clone()]), ..options.clone() };
            let resolved = options.resolve().unwrap();
            let completions = Generator::new(&resolved).decode(&letters).generate(&mut toy(3), &[vec![1, 2]]).unwrap();
            completions.into_iter().next().unwrap().outputs
        };
        assert_eq!(with(&lookup(10, &base)), with(&base));
    }
}

#[test]
fn the_decoder_gives_the_tokens_of_greedy_decoding_in_fewer_steps() {
    let Some(folder) = shared_for("models/stories260K", "prompt lookup with stories260K") else { return };
    let model = Model::load(&folder.join("hf"), &Device::cpu()).unwrap();
    let golden = read(&folder.join("golden/hf_generate.json"));
    let stories: Vec<Vec<u32>> = golden["prompt_ids"].as_array().unwrap().iter().map(ids).collect();
    // Prompts of 5 to 60 tokens that begin with a story and go on with the greedy one.
    let base = GenerationOptions { max_new_tokens: Some(120), bos_token_id: Some(1), ..Default::default() };
    let plain = base.resolve().unwrap();
    let continued = Generator::new(&plain).generate(&mut Session::new(&model), &stories).unwrap();
    let mut prompts = Vec::new();
    for (story, done) in stories.iter().zip(&continued) {
        for length in (5..60).step_by(5) {
            prompts.push(story.iter().chain(&done.outputs[0].tokens).copied().take(length).collect::<Vec<u32>>());
        }
    }
    let expected = Generator::new(&plain).generate(&mut Session::new(&model), &prompts).unwrap();
    for num_tokens in [3, 10] {
        let resolved = lookup(num_tokens, &base).resolve().unwrap();
        let mut equal = 0;
        let mut counted = Counted { session: Session::new(&model), rows: 0 };
        for (prompt, expected) in prompts.iter().zip(&expected) {
            let done = Generator::new(&resolved).generate(&mut counted, std::slice::from_ref(prompt)).unwrap();
            equal += usize::from(done[0].outputs[0].tokens == expected.outputs[0].tokens);
        }
        let tokens: usize = expected.iter().map(|done| done.outputs[0].tokens.len()).sum();
        println!(
            "{equal} of {} equal; {num_tokens} tokens a draft: {:.2} tokens a step",
            prompts.len(),
            tokens as f64 / counted.rows as f64
        );
        assert_eq!(equal, prompts.len());
        assert!(counted.rows * 10 < tokens * 9);
    }
}

#[test]
fn where_keys_turn_with_the_length_of_the_text_drafts_stop_and_tokens_stay_the_same() {
    let dynamic = json!({"rope_type": "dynamic", "factor": 4.0});
    let (short, long) = (json!([1.0, 1.0, 1.0, 1.0]), json!([1.0, 2.0, 4.0, 8.0]));
    let longrope = json!({"rope_type": "longrope", "short_factor": short, "long_factor": long, "factor": 4.0,
        "original_max_position_embeddings": 40});
    for (scaling, positions) in [(dynamic, 40), (longrope, 160)] {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(luthier_fixtures::model("llama-mha-untied")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let path = folder.path().join("config.json");
        let mut config = read(&path);
        config["max_position_embeddings"] = json!(positions);
        config["rope_scaling"] = scaling.clone();
        std::fs::write(&path, config.to_string()).unwrap();
        let model = Model::load(folder.path(), &Device::cpu()).unwrap();
        assert_eq!(model.config.rope_turns_at(), Some(40), "{scaling}");
        let mut drafted = 0;
        for prompt in (0..12).map(|n| (0..20 + n).map(|i| 40 + i % (2 + n)).collect::<Vec<u32>>()) {
            let options = GenerationOptions { max_new_tokens: Some(60), ..Default::default() };
            for options in [options.clone(), GenerationOptions { guidance_scale: Some(1.5), ..options }] {
                let generate = |options: &GenerationOptions| {
                    let mut counted = Counted { session: Session::new(&model), rows: 0 };
                    let resolved = options.resolve().unwrap();
                    let done = Generator::new(&resolved).generate(&mut counted, std::slice::from_ref(&prompt)).unwrap();
                    (done[0].outputs[0].tokens.clone(), counted.rows)
                };
                let (plain, drafts) = (generate(&options), generate(&lookup(8, &options)));
                assert_eq!(plain.0, drafts.0, "{scaling}, {} tokens", prompt.len());
                assert_eq!(plain.0.len(), 60, "the text grows beyond 40 tokens");
                drafted += plain.1 - drafts.1;
            }
        }
        assert!(drafted > 0, "{scaling}: some drafts are right before the keys turn");
        // Contrastive search passes the place as well, where a text may be computed anew.
        let options = GenerationOptions { penalty_alpha: Some(0.6), top_k: Some(3), ..Default::default() };
        let resolved = GenerationOptions { max_new_tokens: Some(60), ..options }.resolve().unwrap();
        let prompts = [vec![9; 20], vec![7, 8]];
        let together = Generator::new(&resolved).generate(&mut Session::new(&model), &prompts).unwrap();
        for (prompt, together) in prompts.iter().zip(&together) {
            let alone = Generator::new(&resolved).generate(&mut Session::new(&model), std::slice::from_ref(prompt));
            assert_eq!(alone.unwrap()[0].outputs[0].tokens, together.outputs[0].tokens);
            assert_eq!(together.outputs[0].tokens.len(), 60);
        }
    }
}

/// Counts feeds: of one prompt, the steps.
struct Counted<'m> {
    session: Session<'m>,
    rows: usize,
}

impl StepModel for Counted<'_> {
    fn vocab_size(&self) -> usize {
        self.session.vocab_size()
    }

    fn max_positions(&self) -> usize {
        self.session.max_positions()
    }

    fn drafts_up_to(&self) -> usize {
        self.session.drafts_up_to()
    }

    fn start(&mut self) -> SequenceId {
        StepModel::start(&mut self.session)
    }

    fn fork(&mut self, from: SequenceId) -> SequenceId {
        StepModel::fork(&mut self.session, from)
    }

    fn free(&mut self, sequence: SequenceId) {
        StepModel::free(&mut self.session, sequence);
    }

    fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        StepModel::step(&mut self.session, feeds)
    }

    fn step_for(&mut self, feeds: &[Feed<'_>], wanted: &[Wanted]) -> Result<Stepped, ModelError> {
        self.rows += feeds.len();
        StepModel::step_for(&mut self.session, feeds, wanted)
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<(), ModelError> {
        StepModel::truncate(&mut self.session, sequence, length)
    }
}
