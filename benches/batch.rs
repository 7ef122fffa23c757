//! How often a prompt's tokens among others differ from its tokens alone: greedy, on prompts drawn from the model itself. One JSON line
//! for each number of rows that go together.
//!
//! Products of more rows than `FEW_ROWS` add in another order, so log-probabilities differ in their last bits, and where the two best
//! tokens are nearer to each other than that, the other one may come first.
//!
//! usage: cargo run --release -p luthier-generate --example batch -- MODEL [PROMPTS [NEW]]

#![allow(clippy::print_stdout, reason = "a program that prints its measurement")]

use std::path::Path;

use luthier_engine::Device;
use luthier_generate::{Completion, GenerationOptions, Generator, Output};
use luthier_model::{Model, Session};
use serde_json::json;

/// Rows that go together.
const BATCHES: [usize; 4] = [8, 16, 32, 64];

fn main() {
    luthier_engine::threads::inside(measure);
}

fn measure() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("usage: batch MODEL [PROMPTS [NEW]]");
    let count: usize = args.next().map_or(256, |text| text.parse().expect("PROMPTS is a number"));
    let new: usize = args.next().map_or(64, |text| text.parse().expect("NEW is a number"));
    let model = Model::load(Path::new(&folder), &Device::cpu()).unwrap_or_else(|error| panic!("{error}"));
    let prompts = prompts(&model, count);
    let options = GenerationOptions { max_new_tokens: Some(new), ..GenerationOptions::default() };
    let resolved = options.resolve().expect("greedy goes with any model");
    let generate = |prompts: &[Vec<u32>], rows: usize| -> Vec<Completion> {
        let generator = Generator::new(&resolved).max_batch(rows);
        generator.generate(&mut Session::new(&model), prompts).unwrap_or_else(|error| panic!("{error}"))
    };
    let alone: Vec<Completion> = prompts.iter().flat_map(|prompt| generate(std::slice::from_ref(prompt), 1)).collect();
    for rows in BATCHES {
        let together = generate(&prompts, rows);
        let pairs = || alone.iter().zip(&together).map(|(a, b)| (&a.outputs[0], &b.outputs[0]));
        let compared: Vec<(usize, f32)> = pairs().map(|(a, b)| compare(a, b)).collect();
        let differ = pairs().filter(|(a, b)| a.tokens != b.tokens).count();
        let equal: usize = compared.iter().map(|(equal, _)| equal).sum();
        let apart = compared.iter().map(|(_, apart)| *apart).fold(0.0, f32::max);
        println!(
            "{}",
            json!({
                "rows": rows, "prompts": count, "new_tokens": new, "prompts_that_differ": differ,
                "tokens_before_the_first_difference": equal, "largest_difference_of_log_probabilities": apart,
            })
        );
    }
}

/// Tokens that are equal from the beginning, and how far their log-probabilities are apart.
fn compare(a: &Output, b: &Output) -> (usize, f32) {
    let equal = a.tokens.iter().zip(&b.tokens).take_while(|(a, b)| a == b).count();
    let apart = a.token_logprobs[..equal].iter().zip(&b.token_logprobs).map(|(a, b)| (a - b).abs());
    (equal, apart.fold(0.0, f32::max))
}

/// Beginnings of texts that the model draws, 2 to 60 tokens.
fn prompts(model: &Model, count: usize) -> Vec<Vec<u32>> {
    let options = GenerationOptions {
        do_sample: Some(true),
        top_k: Some(0),
        num_return_sequences: Some(count),
        max_new_tokens: Some(60),
        ..GenerationOptions::default()
    };
    let resolved = options.resolve().expect("sampling goes with any model");
    let start = model.config.json.get("bos_token_id").and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
    let texts = Generator::new(&resolved).generate(&mut Session::new(model), &[vec![start]]);
    let texts = texts.unwrap_or_else(|error| panic!("{error}")).remove(0).outputs;
    let prompt = |(i, text): (usize, Output)| [vec![start], text.tokens[..1 + i * 7 % 59].to_vec()].concat();
    texts.into_iter().enumerate().map(prompt).collect()
}
