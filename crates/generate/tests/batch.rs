//! The same prompt alone and among fifteen others, on any number of threads: the same tokens from real models, under every search.

#![allow(clippy::print_stdout, reason = "says how many rows it compared")]

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::shared_for;
use luthier_generate::{Completion, GenerationOptions, Generator};
use luthier_model::{Model, Session};

/// Name and parameters of every search.
fn searches() -> Vec<(&'static str, GenerationOptions)> {
    let greedy = GenerationOptions {
        max_new_tokens: Some(24),
        eos_token_id: Some(vec![2]),
        seed: Some(11),
        ..GenerationOptions::default()
    };
    let draws = GenerationOptions { do_sample: Some(true), temperature: Some(1.2), ..greedy.clone() };
    let beams = GenerationOptions { num_beams: Some(4), num_return_sequences: Some(4), ..greedy.clone() };
    vec![
        ("greedy", greedy.clone()),
        ("sampling", draws.clone()),
        ("several draws", GenerationOptions { num_return_sequences: Some(3), ..draws.clone() }),
        ("beams", beams.clone()),
        ("beam sampling", GenerationOptions { do_sample: Some(true), ..beams.clone() }),
        ("groups", GenerationOptions { num_beam_groups: Some(2), diversity_penalty: Some(0.5), ..beams }),
        ("contrastive", GenerationOptions { penalty_alpha: Some(0.6), top_k: Some(4), ..greedy.clone() }),
        ("prompt lookup", GenerationOptions { prompt_lookup_num_tokens: Some(6), ..greedy.clone() }),
        ("prompt lookup, drawn", GenerationOptions { prompt_lookup_num_tokens: Some(6), ..draws.clone() }),
        ("guidance", GenerationOptions { guidance_scale: Some(1.5), ..greedy }),
        (
            "guidance, several draws",
            GenerationOptions { guidance_scale: Some(1.5), num_return_sequences: Some(3), ..draws },
        ),
    ]
}

/// Sixteen prompts of 1 to 40 tokens, some of which repeat themselves.
fn prompts(vocab_size: usize) -> Vec<Vec<u32>> {
    let token = |n: usize, i: usize| (4 + (n * 37 + (i % (5 + n)) * 101) % (vocab_size - 4)) as u32;
    (0..16).map(|n| (0..1 + n * 13 % 40).map(|i| token(n, i)).collect()).collect()
}

fn tokens(completions: &[Completion]) -> Vec<Vec<Vec<u32>>> {
    completions
        .iter()
        .map(|done| done.outputs.iter().map(luthier_generate::Output::tokens_with_eos).collect())
        .collect()
}

fn alone_and_together(folder: &Path) {
    let model = Model::load(folder, &Device::cpu()).unwrap();
    let prompts = prompts(model.config.vocab_size);
    let (mut rows, mut wrong) = (0, Vec::new());
    for (name, options) in searches() {
        let resolved = options.resolve().unwrap();
        let generate = |prompts: &[Vec<u32>], rows: usize| {
            let mut session = Session::new(&model);
            tokens(&Generator::new(&resolved).max_batch(rows).generate(&mut session, prompts).unwrap())
        };
        let alone: Vec<_> = prompts.iter().map(|prompt| generate(std::slice::from_ref(prompt), 1).remove(0)).collect();
        // Together at once, and with some waiting for others to leave.
        for most in [100, 7] {
            let together = generate(&prompts, most);
            rows += together.iter().map(Vec::len).sum::<usize>();
            let differs = |index: &usize| alone[*index] != together[*index];
            wrong
                .extend((0..prompts.len()).filter(differs).map(|index| format!("{name}, {most} rows, prompt {index}")));
        }
    }
    println!("{}: {rows} outputs compared, {} differ", folder.display(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_fixtures_prompt_alone_and_among_fifteen_others_gives_the_same_tokens_under_every_search() {
    alone_and_together(&luthier_fixtures::model("llama-mha-untied"));
}

#[test]
fn a_story_alone_and_among_fifteen_others_goes_on_with_the_same_tokens_under_every_search() {
    let Some(folder) = shared_for("models/stories260K", "batches of stories260K under every search") else { return };
    alone_and_together(&folder.join("hf"));
}

#[test]
fn one_thread_and_several_give_the_same_bits_under_every_search() {
    let model = Model::load(&luthier_fixtures::model("qwen2-bias-tied"), &Device::cpu()).unwrap();
    let prompts = prompts(model.config.vocab_size);
    for (name, options) in searches() {
        let resolved = options.resolve().unwrap();
        let generate = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Generator::new(&resolved).generate(&mut Session::new(&model), &prompts).unwrap())
        };
        let one = generate(1);
        for threads in [2, 3] {
            assert_eq!(generate(threads), one, "{name} on {threads} threads");
        }
    }
}
