//! What a run takes of memory and arithmetic, before it takes it.
//!
//! Memory is counted for the heaviest micro-batches of the whole run, by the code that trains on the counting device. The
//! arithmetic of a run of many steps is counted for some of them, spread evenly, and multiplied.

use luthier_engine::{Recompute, Work};
use luthier_model::Store;
use serde::Serialize;

use crate::batch::{Batch, TrainingRow};
use crate::error::TrainError;
use crate::plan::{Step, StepPlan};
use crate::recipe::{Method, Train};
use crate::rehearsal::{Base, DeviceMemory, Rehearsal};
use crate::run::Task;

/// How many of the heaviest micro-batches, by tokens and by labels, are computed to find the one that takes most.
const CANDIDATES: usize = 8;

/// How many steps are counted to know the work of all.
const SAMPLE: usize = 16;

/// The memory of a run and where it is highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// Bytes by kind.
    pub device: DeviceMemory,
    /// The micro-batch that takes most.
    pub heaviest: Heaviest,
    /// Optimiser steps of the run.
    pub steps: usize,
    /// Micro-batches of the run.
    pub micro_batches: usize,
    /// Tokens of the run's rows as rendered, each as often as it comes.
    pub rendered_tokens: usize,
    /// Tokens that are computed: common beginnings once.
    pub computed_tokens: usize,
}

/// A micro-batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Heaviest {
    /// Counted from 1.
    pub step: usize,
    /// Its rows.
    pub rows: usize,
    /// Tokens that are computed.
    pub tokens: usize,
    /// Tokens that are learnt.
    pub labels: usize,
}

/// Where a micro-batch stands in a run, and its size.
#[derive(Clone, Copy, Debug)]
struct Pass {
    step: usize,
    index: usize,
    tokens: usize,
    labels: usize,
}

/// Counts the memory of a run.
///
/// # Errors
/// When rows make no plan or the adapter does not fit the model.
pub fn estimate_memory(base: Base<'_>, task: &Task<'_>) -> Result<MemoryEstimate, TrainError> {
    let plan = task.plan()?;
    let mut passes = Vec::new();
    let mut rendered_tokens = 0;
    for step in plan.steps_from(0) {
        rendered_tokens += step.rows().map(|row| task.rows[row].tokens.len()).sum::<usize>();
        passes.extend(step.micro_batches.iter().enumerate().map(|(index, rows)| Pass {
            step: step.number,
            index,
            tokens: plan.tokens_of(rows),
            labels: rows.iter().map(|&row| task.rows[row].labels()).sum(),
        }));
    }
    let (micro_batches, computed_tokens) = (passes.len(), passes.iter().map(|pass| pass.tokens).sum());
    let mut rehearsal = Rehearsal::new(base, task.options, task.seed)?;
    let mut taken = Vec::new();
    for pass in candidates(passes) {
        let step = plan.step(pass.step).expect("a pass of the plan");
        let rows = &step.micro_batches[pass.index];
        rehearsal.pass(&task.batch(rows))?;
        let (rows, tokens, labels) = (rows.len(), pass.tokens, pass.labels);
        taken.push((rehearsal.memory().passing(), Heaviest { step: pass.step + 1, rows, tokens, labels }));
    }
    let device = rehearsal.memory();
    // What is taken only grows; passes behind the heaviest may add gaps between its blocks, not a hundredth of it.
    let heaviest = taken.into_iter().find(|(bytes, _)| bytes * 100 >= device.passing() * 99);
    let heaviest = heaviest.map(|(_, heaviest)| heaviest).unwrap_or_default();
    Ok(MemoryEstimate { device, heaviest, steps: plan.total_steps(), micro_batches, rendered_tokens, computed_tokens })
}

/// Those with the most tokens, the most labels, and the most of both.
fn candidates(mut passes: Vec<Pass>) -> Vec<Pass> {
    let mut chosen: Vec<Pass> = Vec::new();
    let sizes: [fn(&Pass) -> usize; 3] = [|pass| pass.tokens, |pass| pass.labels, |pass| pass.tokens + pass.labels];
    for size in sizes {
        passes.sort_by_key(|pass| std::cmp::Reverse(size(pass)));
        chosen.extend(passes.iter().take(CANDIDATES));
    }
    chosen.sort_by_key(|pass| (pass.step, pass.index));
    chosen.dedup_by_key(|pass| (pass.step, pass.index));
    chosen
}

/// The arithmetic of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorkEstimate {
    /// Optimiser steps of the run.
    pub steps: usize,
    /// How many of them were counted; the rest are taken to be like them.
    pub counted_steps: usize,
    /// Operations of products in the counted steps: two for each multiplication and addition.
    pub product_operations: u64,
    /// Those of the output head among them.
    pub head_operations: u64,
    /// Bytes that other kernels read and write in them.
    pub row_kernel_bytes: u64,
    /// Tokens of a micro-batch in the mean.
    pub mean_tokens: usize,
    /// Labelled tokens of a micro-batch in the mean.
    pub mean_labels: usize,
    /// Shares of the operations that a program computing everything would need.
    pub saved: Savings,
}

/// Arithmetic that is not done, as shares of what it takes to compute the counted steps with every row padded to the longest
/// of its micro-batch, the logits of every token, and the gradient of every weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Savings {
    /// Gradients of frozen weights.
    pub frozen: f64,
    /// Padding.
    pub padding: f64,
    /// Logits, and the last block's rows, that no label asks for.
    pub prompt_logits: f64,
    /// Beginnings that rows share.
    pub shared_prefixes: f64,
}

impl Savings {
    /// All of them.
    pub fn total(&self) -> f64 {
        self.frozen + self.padding + self.prompt_logits + self.shared_prefixes
    }
}

/// Counts the work of a run.
///
/// # Errors
/// As [`estimate_memory`].
pub fn estimate_work(base: Base<'_>, task: &Task<'_>) -> Result<WorkEstimate, TrainError> {
    let plan = task.plan()?;
    let mut ours = Rehearsal::new(base, task.options, task.seed)?;
    let everything = Train { method: Method::Full, ..task.options.clone() };
    let whole = Base { store: Store::F32, ..base };
    let mut everything = Rehearsal::new(whole, &everything, task.seed)?;
    let steps = sample(&plan);
    let mut done = Work::default();
    let (mut full, mut padded, mut apart, mut labelled, mut shared) = (0, 0, 0, 0, 0);
    let (mut passes, mut tokens, mut labels) = (0, 0, 0);
    for rows in steps.iter().flat_map(|step| &step.micro_batches) {
        let mut batch = task.batch(rows);
        (passes, tokens, labels) = (passes + 1, tokens + batch.tokens.len(), labels + batch.labels.len());
        let work = ours.pass(&batch)?;
        done.product_operations += work.product_operations;
        done.row_kernel_bytes += work.row_kernel_bytes;
        // What is saved is told of one pass; what is made again for memory's sake is no saving lost.
        batch.recompute = Recompute::None;
        shared += ours.pass(&batch)?.product_operations;
        let rows: Vec<TrainingRow> = rows.iter().map(|&row| task.rows[row].clone()).collect();
        labelled += ours.pass(&Batch::pack_apart(&rows))?.product_operations;
        let longest = rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0);
        let all = |row: &TrainingRow, length: usize| {
            let mut tokens = row.tokens.clone();
            tokens.resize(length, 0);
            TrainingRow { labelled: vec![true; tokens.len()], tokens }
        };
        let whole: Vec<TrainingRow> = rows.iter().map(|row| all(row, row.tokens.len())).collect();
        apart += ours.pass(&Batch::pack_apart(&whole))?.product_operations;
        let filled: Vec<TrainingRow> = rows.iter().map(|row| all(row, longest)).collect();
        let filled = Batch::pack_apart(&filled);
        padded += ours.pass(&filled)?.product_operations;
        full += everything.pass(&filled)?.product_operations;
    }
    for _ in &steps {
        done.row_kernel_bytes += ours.update().row_kernel_bytes;
    }
    let trains_head = matches!(task.options.method, Method::Full);
    let head = 2 * (base.config.hidden_size * base.config.vocab_size) as u64 * if trains_head { 3 } else { 2 };
    // The terms of an adapter come on top of the full model; they are no saving.
    let full = full.max(padded);
    let share = |from: u64, to: u64| (from as f64 - to as f64) / full.max(1) as f64;
    Ok(WorkEstimate {
        steps: plan.total_steps(),
        counted_steps: steps.len(),
        product_operations: done.product_operations,
        head_operations: head * labels as u64,
        row_kernel_bytes: done.row_kernel_bytes,
        mean_tokens: tokens / passes.max(1),
        mean_labels: labels / passes.max(1),
        saved: Savings {
            frozen: share(full, padded),
            padding: share(padded, apart),
            prompt_logits: share(apart, labelled),
            shared_prefixes: share(labelled, shared),
        },
    })
}

/// All steps, or some spread evenly over the run.
fn sample(plan: &StepPlan<'_>) -> Vec<Step> {
    let total = plan.total_steps();
    let count = total.min(SAMPLE);
    (0..count).filter_map(|i| plan.step(i * total / count)).collect()
}
