//! What follows from the answers and losses of a run: `scores.json`.

use std::collections::BTreeMap;
use std::path::Path;

use luthier_text::TestRow;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bootstrap::resample;
use crate::perplexity::{RowLoss, token_statistics};
use crate::{
    Comparison, EvaluateError, Metric, MetricError, Plan, Prediction, RowStatistics, compare_statistics, folder,
    statistics,
};

/// strategy -> metric -> something.
type Table<T> = BTreeMap<String, BTreeMap<String, T>>;

/// `scores.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Held-out rows.
    pub rows: usize,
    /// The metrics of answers, the first being the one that matters.
    pub metrics: Vec<MetricInfo>,
    /// The ways of decoding, in the order of the plan.
    pub strategies: Vec<StrategyInfo>,
    /// `base` and `tuned`, as far as there are answers: strategy -> metric -> value.
    pub systems: BTreeMap<String, Table<ScoreCell>>,
    /// Tuned against base where both have answers: strategy -> metric -> difference.
    pub comparisons: Table<ComparisonCell>,
    /// Of the reference answers, where losses are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<Perplexity>,
    /// How many times rows were drawn for the intervals.
    pub resamples: usize,
    /// The seed they were drawn with.
    pub seed: u64,
}

/// A metric and how it was computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricInfo {
    /// Its name in recipes.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// Everything its value depends on, in the form of sacreBLEU.
    pub signature: String,
    /// Which way is better.
    pub higher_is_better: bool,
}

/// A way of decoding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StrategyInfo {
    /// Its name in the recipe.
    pub name: String,
    /// Its parameters under transformers' names.
    pub options: Map<String, Value>,
    /// The tokens that ended an answer.
    pub eos_token_id: Vec<u32>,
}

/// A value over all rows, and the ends of its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreCell {
    /// On the scale of the metric.
    pub value: f64,
    /// Low and high end.
    pub interval: [f64; 2],
}

/// Tuned minus base on the same rows (paired bootstrap).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ComparisonCell {
    /// Tuned minus base.
    pub difference: f64,
    /// Low and high end of 95 % of the differences.
    pub interval: [f64; 2],
    /// Two-sided.
    pub p_value: f64,
}

/// Token perplexity of the reference answers under each model; lower is better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Perplexity {
    /// Before tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<f64>,
    /// After tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuned: Option<f64>,
    /// Labelled tokens of all rows.
    pub tokens: usize,
    /// What was computed.
    pub definition: &'static str,
    /// Tuned against base, where both are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ComparisonCell>,
}

const DEFINITION: &str = "exp of the mean negative natural-log probability over all labelled tokens: \
    those of the reference answers and of what ends them, each given the true tokens before it";

/// Scores the predictions and losses that are in `dir` and writes `dir/scores.json`, whole or not at all. A system or strategy
/// without a file, and a system that the plan does not name, is left out.
///
/// # Errors
/// [`EvaluateError::Broken`] and [`EvaluateError::OtherRows`] for a file that is not of these rows; [`MetricError`].
pub fn score_run(dir: &Path, plan: &Plan<'_>, rows: &[TestRow]) -> Result<Scores, EvaluateError> {
    let metrics = plan.answer_metrics()?;
    if rows.is_empty() {
        return Err(MetricError::NoRows.into());
    }
    let references: Vec<&str> = asked(rows).map(|(_, row)| row.reference.as_str()).collect();
    let mut systems: BTreeMap<String, Table<ScoreCell>> = BTreeMap::new();
    let mut comparisons: Table<ComparisonCell> = BTreeMap::new();
    for strategy in plan.strategies {
        let mut outputs: Vec<(&str, Vec<String>)> = Vec::new();
        for system in plan.in_order() {
            let path = folder::predictions_path(dir, system, &strategy.name);
            if let Some(predictions) = folder::read_predictions(&path)? {
                check_rows(&path, &predictions, rows)?;
                outputs.push((system, predictions.into_iter().map(|prediction| prediction.output).collect()));
            }
        }
        for metric in metrics.iter().filter(|_| !references.is_empty()) {
            let mut sides: Vec<RowStatistics> = Vec::new();
            for (system, outputs) in &outputs {
                let side = statistics(*metric, outputs, &references)?;
                let table = systems.entry((*system).to_owned()).or_default().entry(strategy.name.clone()).or_default();
                table.insert(metric.name().to_owned(), score_cell(&side, plan)?);
                sides.push(side);
            }
            if let [base, tuned] = &sides[..] {
                let cell = compare_statistics(base, tuned, plan.resamples, plan.seed)?.into();
                comparisons.entry(strategy.name.clone()).or_default().insert(metric.name().to_owned(), cell);
            }
        }
    }
    let scores = Scores {
        rows: rows.len(),
        metrics: metrics.iter().map(|metric| MetricInfo::of(*metric, &references)).collect(),
        strategies: plan.strategies.iter().map(StrategyInfo::of).collect(),
        systems,
        comparisons,
        perplexity: if plan.wants_perplexity() { perplexity(dir, plan, rows)? } else { None },
        resamples: plan.resamples,
        seed: plan.seed,
    };
    folder::write_json(&dir.join("scores.json"), &scores)?;
    Ok(scores)
}

impl MetricInfo {
    fn of(metric: Metric, references: &[&str]) -> Self {
        Self {
            name: metric.name().to_owned(),
            label: metric.label().to_owned(),
            signature: metric.signature(references),
            higher_is_better: true,
        }
    }
}

impl StrategyInfo {
    fn of(strategy: &crate::Strategy) -> Self {
        Self {
            name: strategy.name.clone(),
            options: strategy.shown(),
            eos_token_id: strategy.options.eos_token_id.clone().unwrap_or_default(),
        }
    }
}

impl From<Comparison> for ComparisonCell {
    fn from(compared: Comparison) -> Self {
        let Comparison { difference, p_value, .. } = compared;
        Self { difference: difference.value, interval: difference.interval95, p_value }
    }
}

fn score_cell(side: &RowStatistics, plan: &Plan<'_>) -> Result<ScoreCell, MetricError> {
    let estimate = resample(side, plan.resamples, plan.seed)?;
    Ok(ScoreCell { value: estimate.value, interval: estimate.interval95 })
}

/// The rows that have a prompt, with their positions.
fn asked(rows: &[TestRow]) -> impl Iterator<Item = (usize, &TestRow)> {
    rows.iter().enumerate().filter(|(_, row)| !row.prompt.is_empty())
}

fn check_rows(path: &Path, predictions: &[Prediction], rows: &[TestRow]) -> Result<(), EvaluateError> {
    let same = |prediction: &Prediction, (at, row): (usize, &TestRow)| {
        prediction.row == at && prediction.reference == row.reference && prediction.prompt == row.prompt_text
    };
    let counts = predictions.len() == asked(rows).count();
    if counts && predictions.iter().zip(asked(rows)).all(|(prediction, row)| same(prediction, row)) {
        return Ok(());
    }
    Err(EvaluateError::OtherRows { path: path.to_owned() })
}

fn perplexity(dir: &Path, plan: &Plan<'_>, rows: &[TestRow]) -> Result<Option<Perplexity>, EvaluateError> {
    let mut sides: Vec<(&str, RowStatistics)> = Vec::new();
    let mut tokens = 0;
    for system in plan.in_order() {
        let path = folder::losses_path(dir, system);
        let Some(losses) = folder::read_losses(&path)? else { continue };
        let labels = rows.iter().map(|row| row.example.labelled_tokens());
        if !losses.iter().map(|row| row.tokens).eq(labels) {
            return Err(EvaluateError::OtherRows { path });
        }
        // A row whose answer was cut away has nothing to score.
        let scored: Vec<RowLoss> = losses.into_iter().filter(|row| row.tokens > 0).collect();
        tokens = scored.iter().map(|row| row.tokens).sum();
        if tokens > 0 {
            sides.push((system, token_statistics(&scored)?));
        }
    }
    if sides.is_empty() {
        return Ok(None);
    }
    let of = |name: &str| sides.iter().find(|(system, _)| *system == name).map(|(_, side)| side);
    let comparison = match (of("base"), of("tuned")) {
        (Some(base), Some(tuned)) => Some(compare_statistics(base, tuned, plan.resamples, plan.seed)?.into()),
        _ => None,
    };
    Ok(Some(Perplexity {
        base: of("base").map(RowStatistics::value),
        tuned: of("tuned").map(RowStatistics::value),
        tokens,
        definition: DEFINITION,
        comparison,
    }))
}
