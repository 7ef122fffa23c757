//! Decoding: 64 new tokens after a prompt of 32, for one prompt, 4 beams and 8 prompts; and after 64 prompts of 8 to 128 tokens,
//! greedily and with 4 beams, all to the same length or (`answers64`) to lengths as answers have them. One JSON line a case, the best of the repetitions. The peers' twin is `tools/peers/generate.py`.
//!
//! usage: cargo run --release -p luthier-generate --example decode -- MODEL [CASE,... [REPEAT [f32|bf16|int8|nf4]]]

#![allow(clippy::print_stdout, reason = "a program that prints its measurement")]

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use luthier_engine::Device;
use luthier_generate::{
    Constraint, Feed, GenerationOptions, Generator, Matcher, ModelError, Resolved, SequenceId, StepModel,
};
use luthier_model::{Model, Session, Store};
use serde_json::json;

const PROMPT: usize = 32;
const NEW: usize = 64;

/// Name, prompts, beams.
const CASES: [(&str, usize, usize); 6] = [
    ("greedy1", 1, 1),
    ("beam4", 1, 4),
    ("greedy8", 8, 1),
    ("mixed64", 64, 1),
    ("mixed64beam4", 64, 4),
    ("answers64", 64, 1),
];

/// Tokens of 64 answers: the quantiles of the outputs of stanford-alpaca as GPT-2's tokenizer counts them, shuffled.
#[rustfmt::skip]
const ANSWERS: [usize; 64] = [
    1, 57, 9, 84, 18, 123, 37, 4, 65, 11, 93, 22, 153, 46, 7, 73, 14, 104, 27, 287, 54, 8, 81, 16, 118, 34, 3, 63, 10, 90, 20, 140, 43,
    6, 70, 13, 100, 25, 210, 52, 8, 78, 15, 113, 32, 2, 60, 10, 87, 19, 131, 40, 5, 68, 12, 96, 23, 172, 49, 7, 76, 14, 108, 29,
];

/// The token that ends an answer, which the model's random weights would not choose by themselves.
const END: u32 = 2;

fn main() {
    luthier_engine::threads::inside(measure);
}

fn measure() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("usage: decode MODEL [CASE,... [REPEAT]]");
    let wanted = args.next().unwrap_or_else(|| CASES.map(|(name, ..)| name).join(","));
    let repeat: usize = args.next().map_or(3, |text| text.parse().expect("REPEAT is a number"));
    let held = args.next().unwrap_or_else(|| String::from("f32"));
    let model =
        Model::load_as(Path::new(&folder), &Device::cpu(), store(&held)).unwrap_or_else(|error| panic!("{error}"));
    for (name, rows, beams) in CASES.into_iter().filter(|(name, ..)| wanted.split(',').any(|case| case == *name)) {
        let prompts: Vec<Vec<u32>> =
            (0..rows).map(|row| prompt(row, length(rows, row), model.config.vocab_size)).collect();
        let lengths = if name == "answers64" { ANSWERS.to_vec() } else { vec![NEW; rows] };
        let longest = lengths.iter().copied().max().expect("there is a row");
        let ends = (name == "answers64").then(|| Ends { lengths: &lengths, next: Cell::new(0) });
        let options = GenerationOptions {
            max_new_tokens: Some(longest + usize::from(ends.is_some())),
            min_new_tokens: ends.is_none().then_some(NEW),
            eos_token_id: ends.as_ref().map(|_| vec![END]),
            num_beams: Some(beams),
            do_sample: Some(false),
            ..GenerationOptions::default()
        };
        let options = options.resolve().expect("greedy and beams go with any model");
        let runs = (0..repeat).map(|_| decode(&model, &options, &prompts, &lengths, ends.as_ref()));
        let run = runs.min_by_key(|run| run.whole).expect("REPEAT is at least 1");
        let new_tokens: usize = lengths.iter().sum();
        let (whole, steps) = (run.whole.as_secs_f64(), (run.whole - run.prefill).as_secs_f64());
        let line = json!({
            "program": "luthier", "store": held, "case": name, "rows": rows, "threads": luthier_engine::threads::parallelism(),
            "new_tokens": new_tokens, "seconds": whole, "prefill_seconds": run.prefill.as_secs_f64(), "step_seconds": steps,
            "tokens_per_second": new_tokens as f64 / whole, "step_tokens_per_second": (new_tokens - rows) as f64 / steps,
            "tokens": run.tokens,
        });
        println!("{line}");
    }
}

fn store(name: &str) -> Store {
    match name {
        "f32" => Store::F32,
        "bf16" => Store::Bf16,
        "int8" => Store::Int8,
        "nf4" => Store::Nf4,
        _ => panic!("{name}: weights are held as f32, bf16, int8 or nf4"),
    }
}

fn length(prompts: usize, row: usize) -> usize {
    if prompts == 64 { 8 + row * 53 % 121 } else { PROMPT }
}

/// The same arithmetic as in `tools/peers/generate.py`.
fn prompt(row: usize, length: usize, vocab_size: usize) -> Vec<u32> {
    (0..length).map(|i| (1000 + (row * 7919 + i * 104_729) % (vocab_size - 2000)) as u32).collect()
}

struct Run {
    /// From the prompt to the last token.
    whole: Duration,
    /// To the end of the first pass over the model.
    prefill: Duration,
    /// The first row's.
    tokens: Vec<u32>,
}

fn decode(model: &Model, options: &Resolved, prompts: &[Vec<u32>], lengths: &[usize], ends: Option<&Ends<'_>>) -> Run {
    let started = Instant::now();
    let mut timed = Timed { session: Session::new(model), started, first_pass: None };
    let mut generator = Generator::new(options);
    if let Some(ends) = ends {
        ends.next.set(0);
        generator = generator.constraint(ends);
    }
    let completions = generator.generate(&mut timed, prompts).unwrap_or_else(|error| panic!("{error}"));
    for (completion, &length) in completions.iter().zip(lengths) {
        assert_eq!(completion.outputs[0].tokens.len(), length, "a row ended elsewhere");
    }
    let tokens = completions[0].outputs[0].tokens.clone();
    Run { whole: started.elapsed(), prefill: timed.first_pass.expect("the model was asked"), tokens }
}

/// Answers that end after so many tokens, in the order of the prompts.
struct Ends<'a> {
    lengths: &'a [usize],
    /// The prompt that begins next.
    next: Cell<usize>,
}

impl Constraint for Ends<'_> {
    fn matcher(&self) -> Box<dyn Matcher> {
        let row = self.next.replace(self.next.get() + 1);
        Box::new(EndsAfter(self.lengths[row]))
    }
}

/// Tokens that are still to come.
struct EndsAfter(usize);

impl Matcher for EndsAfter {
    fn mask(&mut self, scores: &mut [f32]) -> Result<bool, ModelError> {
        if self.0 == 0 {
            scores.fill(f32::NEG_INFINITY);
        }
        Ok(self.0 == 0)
    }

    fn accept(&mut self, _: u32) -> Result<(), ModelError> {
        self.0 = self.0.saturating_sub(1);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Matcher> {
        Box::new(Self(self.0))
    }
}

/// A session that notes when its first pass is over.
struct Timed<'a> {
    session: Session<'a>,
    started: Instant,
    first_pass: Option<Duration>,
}

impl StepModel for Timed<'_> {
    fn vocab_size(&self) -> usize {
        StepModel::vocab_size(&self.session)
    }

    fn max_positions(&self) -> usize {
        StepModel::max_positions(&self.session)
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
        let logits = StepModel::step(&mut self.session, feeds);
        self.first_pass.get_or_insert_with(|| self.started.elapsed());
        logits
    }
}
