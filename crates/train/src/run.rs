//! The training loop.

use std::path::Path;
use std::time::Instant;

use luthier_engine::Grads;
use luthier_model::{Config, Model};

use crate::batch::{Batch, TrainingRow, longest, mean_loss};
use crate::checkpoint::{Checkpoints, State};
use crate::error::TrainError;
use crate::estimate::estimate_memory;
use crate::meter::{HeldOutMetrics, Meter, StepMetrics, peak_memory_bytes};
use crate::optimiser::Optimiser;
use crate::plan::{MicroBatches, PlanError, Step, StepPlan};
use crate::recipe::{Method, ResolvedRecipe, Train};
use crate::rehearsal::Base;
use crate::room::gigabytes;
use crate::schedule::Schedule;

/// What decides every step of a run besides the model.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// `[train]` of the recipe.
    pub options: &'a Train,
    /// Rows to learn.
    pub rows: &'a [TrainingRow],
    /// Decides the dropout of every step.
    pub seed: u64,
    /// Seed of the epochs' orders; none for rows as they come.
    pub shuffle: Option<u64>,
    /// Whether what rows begin with alike may be computed once.
    pub share: bool,
}

/// A task, what is watched meanwhile, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What is done.
    pub task: Task<'a>,
    /// Rows whose loss is watched, never learnt.
    pub held_out: &'a [TrainingRow],
    /// The run folder: `metrics.jsonl`, `checkpoints/`.
    pub dir: &'a Path,
    /// What decides the trained weights (recipe, data, base); a checkpoint with another one is refused.
    pub training_hash: &'a str,
    /// Bytes of the device that come and go with every micro-batch, where they were counted; taken from the system before the
    /// first.
    pub passing: Option<usize>,
}

impl<'a> Task<'a> {
    /// What a recipe does with its rows.
    pub fn of(recipe: &'a ResolvedRecipe, config: &Config, rows: &'a [TrainingRow]) -> Self {
        let shuffle = recipe.data.shuffle.then_some(recipe.seed);
        let share = !has_dropout(&recipe.train) && config.keys_are_shared(longest(rows));
        Self { options: &recipe.train, rows, seed: recipe.seed, shuffle, share }
    }

    /// Which rows make which step.
    ///
    /// # Errors
    /// When the rows make no plan.
    pub fn plan(&self) -> Result<StepPlan<'a>, PlanError> {
        let rows = self.rows.iter().map(|row| row.tokens.as_slice()).collect();
        let options = self.options;
        let micro_batches = MicroBatches { tokens: options.micro_batch_tokens, share: self.share };
        StepPlan::new(rows, self.shuffle, options.step_size, micro_batches, options.length)
    }

    /// Rows as one micro-batch.
    pub fn batch(&self, rows: &[usize]) -> Batch {
        let rows = rows.iter().map(|&row| &self.rows[row]);
        let mut batch = if self.share { Batch::pack(rows) } else { Batch::pack_apart(rows) };
        batch.recompute = self.options.recompute.into();
        batch
    }
}

/// Who wants to know how a run goes.
pub trait Watch {
    /// Called once, before the first step: the steps of the run, and those a checkpoint brought back.
    fn start(&mut self, total_steps: usize, done: usize);
    /// Called after each step.
    fn step(&mut self, metrics: &StepMetrics);
    /// Called after held-out rows were scored.
    fn held_out(&mut self, metrics: &HeldOutMetrics);
}

/// Trains the trainable parameters of `model`; goes on from the newest checkpoint in the folder, if there is one.
///
/// # Errors
/// See [`TrainError`]. After an error the folder is as good as after the last checkpoint.
pub fn train(model: &mut Model, run: &Run<'_>, watch: &mut dyn Watch) -> Result<State, TrainError> {
    let task = &run.task;
    let options = task.options;
    let plan = task.plan()?;
    let total = plan.total_steps();
    let schedule = Schedule::new(options.schedule.kind, options.schedule.warmup, total, options.learning_rate);
    let mut optimiser = Optimiser::new(model.device(), &model.params, options.adam, options.weight_decay);
    let checkpoints = Checkpoints::new(run.dir.join("checkpoints"), options.checkpoint.keep);
    checkpoints.sweep()?;
    let restored = checkpoints.restore(run.training_hash, &mut model.params, &mut optimiser)?;
    let mut state =
        restored.unwrap_or_else(|| State { training_hash: run.training_hash.to_owned(), ..State::default() });
    let metrics_path = run.dir.join("metrics.jsonl");
    let write_error = |source| TrainError::Write { path: metrics_path.clone(), source };
    let mut meter = Meter::open(&metrics_path, state.step).map_err(write_error)?;
    let mut grads = Grads::zeros(model.device(), &model.params);
    if state.step < total {
        let passing = match run.passing {
            Some(bytes) => bytes,
            None => estimate_memory(Base::of(model), task)?.device.passing(),
        };
        let refused = |_| TrainError::Memory {
            key: "train.micro_batch_tokens",
            why: format!("the system does not give the {} that a micro-batch takes", gigabytes(passing as u64)),
        };
        model.device().reserve(passing).map_err(refused)?;
    }
    watch.start(total, state.step);

    for step in plan.steps_from(state.step) {
        let started = Instant::now();
        let loss = accumulate(model, task, &step, &mut grads)?;
        let norm = grads.norm();
        check_finite(step.number + 1, loss, norm)?;
        let learning_rate = schedule.learning_rate(step.number);
        let clip = clip_factor(norm, options.max_grad_norm);
        optimiser.update(&mut model.params, &grads, step.number as u64 + 1, learning_rate, clip);

        let metrics = measure(task.rows, &step, loss, learning_rate, norm, started);
        state.step = step.number + 1;
        state.tokens += metrics.tokens as u64;
        state.labelled_tokens += metrics.labelled_tokens as u64;
        state.seconds += started.elapsed().as_secs_f64();
        meter.record(&metrics).map_err(write_error)?;
        watch.step(&metrics);
        if due(options.evaluate.every, state.step, total) && !run.held_out.is_empty() {
            let metrics = score(model, run, &step)?;
            meter.record(&metrics).map_err(write_error)?;
            watch.held_out(&metrics);
        }
        if due(options.checkpoint.every, state.step, total) {
            checkpoints.write(&state, &model.params, &optimiser)?;
        }
    }
    Ok(state)
}

/// Gradients of one optimiser step: the mean over the labelled tokens of all its micro-batches, so that how the step
/// is cut does not change it. Returns that mean loss.
fn accumulate(model: &Model, task: &Task<'_>, step: &Step, grads: &mut Grads) -> Result<f64, TrainError> {
    grads.set_zero();
    let labels: usize = step.rows().map(|row| task.rows[row].labels()).sum();
    let scale = 1.0 / labels.max(1) as f32;
    let mut loss = 0.0;
    for (number, rows) in step.micro_batches.iter().enumerate() {
        let batch = task.batch(rows);
        loss += batch.backward(model, scale, dropout_seed(task.seed, step.number, number), grads)?;
    }
    Ok(loss / labels.max(1) as f64)
}

/// Dropout draws anew for every place, so rows that share one would be dropped alike.
fn has_dropout(options: &Train) -> bool {
    matches!(&options.method, Method::Lora(lora) if lora.dropout > 0.0)
}

/// One for each micro-batch of each step, whatever was drawn before.
fn dropout_seed(seed: u64, step: usize, micro_batch: usize) -> u64 {
    let mut z = seed.wrapping_add((step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(micro_batch as u64);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// As torch's `clip_grad_norm_`: gradients whose norm exceeds the limit are scaled down to it.
fn clip_factor(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 { (limit / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

fn check_finite(step: usize, loss: f64, norm: f64) -> Result<(), TrainError> {
    for (value, what) in [(loss, "the loss"), (norm, "the gradient norm")] {
        if !value.is_finite() {
            return Err(TrainError::NotFinite { step, what });
        }
    }
    Ok(())
}

/// Every so many steps (never when 0), and at the end.
fn due(every: usize, step: usize, total: usize) -> bool {
    step == total || (every > 0 && step.is_multiple_of(every))
}

fn measure(
    rows: &[TrainingRow],
    step: &Step,
    loss: f64,
    learning_rate: f64,
    grad_norm: f64,
    started: Instant,
) -> StepMetrics {
    let tokens = step.rows().map(|row| rows[row].tokens.len()).sum();
    StepMetrics {
        step: step.number + 1,
        epoch: step.epochs_done(),
        loss,
        learning_rate,
        grad_norm,
        tokens,
        labelled_tokens: step.rows().map(|row| rows[row].labels()).sum(),
        tokens_per_second: tokens as f64 / started.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
    }
}

fn score(model: &Model, run: &Run<'_>, step: &Step) -> Result<HeldOutMetrics, TrainError> {
    let rows = &run.held_out[..run.held_out.len().min(run.task.options.evaluate.rows)];
    let eval_loss = mean_loss(model, rows, run.task.options.micro_batch_tokens)?;
    Ok(HeldOutMetrics {
        step: step.number + 1,
        epoch: step.epochs_done(),
        eval_loss,
        eval_perplexity: eval_loss.exp(),
        eval_rows: rows.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_clipped_as_torch_clips_them() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../fixtures/optimisation.json")).unwrap();
        for case in golden["clip"].as_array().unwrap() {
            let flat = |field: &str| -> Vec<f64> {
                let parts = case[field].as_array().unwrap().iter().flat_map(|part| part.as_array().unwrap());
                parts.map(|x| x.as_f64().unwrap()).collect()
            };
            let gradients = flat("gradients");
            let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
            // Two units in the last place: torch's numbers are in single precision.
            let equal = |a: f64, b: f64| (a - b).abs() <= 2.0 * f64::from(f32::EPSILON) * b.abs();
            assert!(equal(norm, case["norm"].as_f64().unwrap()), "{norm}");
            let factor = clip_factor(norm, case["max_norm"].as_f64().unwrap());
            for (g, clipped) in gradients.iter().zip(flat("clipped")) {
                assert!(equal(g * factor, clipped), "{} {clipped}", g * factor);
            }
        }
    }
}
