//! The evaluation of one system: its answers under every strategy and its losses, file by file.
//!
//! Each file appears whole or not at all, and is kept when it was made from the same model, rows and parameters: a stopped
//! evaluation goes on with the first file that is missing.

use std::path::Path;

use luthier_model::Model;
use luthier_text::{TestRow, Tokenizer};

use crate::folder::{self, Entry, Index};
use crate::{EvaluateError, Metric, MetricError, Prediction, Strategy, losses, predict, score};

/// The models that are compared, by their names in files.
pub const SYSTEMS: [&str; 2] = ["base", "tuned"];

/// The name of the metric that is made of losses instead of answers.
pub const PERPLEXITY: &str = "perplexity";

/// Tokens of one forward pass when losses are computed.
const TOKENS_PER_PASS: usize = 4096;

/// Changes whenever the same input would give other files.
const FORMAT: &str = "luthier-evaluation-1";

/// What to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Names of [`Metric`]s, and [`PERPLEXITY`]; the first is the one that matters.
    pub metrics: &'a [String],
    /// The models to compare, of [`SYSTEMS`]; what the folder holds of others, perhaps of earlier parameters, is not scored.
    pub systems: &'a [&'a str],
    /// Ways of decoding, in the order they are listed.
    pub strategies: &'a [Strategy],
    /// Prompts under way together.
    pub batch: usize,
    /// Of draws where a strategy has no seed of its own, and of the bootstrap.
    pub seed: u64,
    /// Of the bootstrap; 1000 is usual.
    pub resamples: usize,
}

impl Plan<'_> {
    /// The metrics of answers, in order.
    ///
    /// # Errors
    /// [`MetricError::UnknownMetric`].
    pub fn answer_metrics(&self) -> Result<Vec<Metric>, MetricError> {
        self.metrics.iter().filter(|name| *name != PERPLEXITY).map(|name| name.parse()).collect()
    }

    /// The systems of the plan, the base first.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &'static str> {
        SYSTEMS.into_iter().filter(|system| self.systems.contains(system))
    }

    /// Whether perplexity is among the metrics.
    #[must_use]
    pub fn wants_perplexity(&self) -> bool {
        self.metrics.iter().any(|name| name == PERPLEXITY)
    }
}

/// Who wants to know how an evaluation goes.
pub trait Watch {
    /// Work on a file begins: the system, the strategy's name or [`PERPLEXITY`], and the rows to do.
    fn start(&mut self, system: &str, stage: &str, rows: usize);
    /// So many of the rows are done.
    fn rows(&mut self, done: usize);
    /// The file is complete: just now, or `kept` from an earlier attempt (then without [`Watch::start`]).
    fn finish(&mut self, system: &str, stage: &str, kept: bool);
}

/// Writes `dir/predictions/{system}.{strategy}.jsonl` for each strategy and, where perplexity is wanted,
/// `dir/predictions/{system}.losses.json`.
///
/// `fingerprint` stands for the weights of `model` and its tokenizer; a file made under the same fingerprint from the same rows and
/// parameters is kept. Other metrics alone need no model: the values in the lines are computed again from the answers there.
///
/// # Errors
/// See [`EvaluateError`]. The files that were complete stay.
pub fn evaluate_system(
    dir: &Path,
    system: &str,
    fingerprint: &str,
    model: &Model,
    tokenizer: &Tokenizer,
    rows: &[TestRow],
    plan: &Plan<'_>,
    watch: &mut dyn Watch,
) -> Result<(), EvaluateError> {
    if !SYSTEMS.contains(&system) {
        return Err(EvaluateError::UnknownSystem { system: system.to_owned() });
    }
    let metrics = plan.answer_metrics()?;
    let metric_names: Vec<String> = metrics.iter().map(|metric| metric.name().to_owned()).collect();
    let mut index = Index::read(dir)?;
    if plan.wants_perplexity() {
        let path = folder::losses_path(dir, system);
        let made_from = fingerprint_of([FORMAT, fingerprint, &examples_hash(rows)]);
        let kept = index.entry(&path).is_some_and(|entry| entry.fingerprint == made_from);
        if !kept {
            watch.start(system, PERPLEXITY, rows.len());
            index.forget(&path)?;
            folder::write_losses(&path, losses(model, rows, TOKENS_PER_PASS)?)?;
            watch.rows(rows.len());
            index.note(&path, Entry { fingerprint: made_from, metrics: Vec::new() })?;
        }
        watch.finish(system, PERPLEXITY, kept);
    }
    let prompts = prompts_hash(rows);
    for strategy in plan.strategies {
        let path = folder::predictions_path(dir, system, &strategy.name);
        let parameters = parameters(strategy, plan.seed);
        let entry = Entry {
            fingerprint: fingerprint_of([FORMAT, fingerprint, &prompts, &parameters]),
            metrics: metric_names.clone(),
        };
        let there = index.entry(&path);
        if there == Some(&entry) {
            watch.finish(system, &strategy.name, true);
            continue;
        }
        let kept = there.is_some_and(|there| there.fingerprint == entry.fingerprint);
        let earlier = if kept { folder::read_predictions(&path)? } else { None };
        let mut predictions = match earlier {
            Some(predictions) => predictions,
            None => {
                watch.start(system, &strategy.name, rows.iter().filter(|row| !row.prompt.is_empty()).count());
                predict(model, tokenizer, rows, strategy, plan.batch, plan.seed, &mut |done| watch.rows(done))?
            }
        };
        score_rows(&metrics, &mut predictions)?;
        if !kept {
            index.forget(&path)?;
        }
        folder::write_predictions(&path, &predictions)?;
        index.note(&path, entry)?;
        watch.finish(system, &strategy.name, kept);
    }
    Ok(())
}

/// Fills in each row's value of each metric.
fn score_rows(metrics: &[Metric], predictions: &mut [Prediction]) -> Result<(), MetricError> {
    predictions.iter_mut().for_each(|prediction| prediction.metrics.clear());
    if predictions.is_empty() {
        return Ok(());
    }
    for metric in metrics {
        let outputs: Vec<&str> = predictions.iter().map(|prediction| prediction.output.as_str()).collect();
        let references: Vec<&str> = predictions.iter().map(|prediction| prediction.reference.as_str()).collect();
        let values = score(*metric, &outputs, &references)?.per_row;
        for (prediction, value) in predictions.iter_mut().zip(values) {
            prediction.metrics.insert(metric.name().to_owned(), value);
        }
    }
    Ok(())
}

/// The strategy's parameters as text, the seed that its draws will have among them.
fn parameters(strategy: &Strategy, seed: u64) -> String {
    let mut options = strategy.options.clone();
    options.seed = options.seed.or(Some(seed));
    serde_json::Value::Object(options.as_table()).to_string()
}

fn fingerprint_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    luthier_files::sha256(parts.into_iter().collect::<Vec<_>>().join("\n").as_bytes())
}

fn prompts_hash(rows: &[TestRow]) -> String {
    hash(rows.iter().map(|row| (&row.prompt, &row.prompt_text, &row.reference, &row.source, row.line)))
}

fn examples_hash(rows: &[TestRow]) -> String {
    hash(rows.iter().map(|row| (&row.example.tokens, &row.example.labelled)))
}

fn hash(rows: impl Iterator<Item: serde::Serialize>) -> String {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, &row).expect("numbers and texts can be written to memory");
        text.push(b'\n');
    }
    luthier_files::sha256(&text)
}
