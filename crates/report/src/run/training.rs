//! The meter's lines: one a step, and one for each evaluation in between.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::lines::read_lines;
use crate::ReportError;

/// `metrics.jsonl`, in the order of the steps. Of a step written twice (a run that was resumed) the later line counts.
#[derive(Debug, Default)]
pub struct Training {
    /// The training steps.
    pub steps: Vec<TrainingStep>,
    /// The evaluations.
    pub evals: Vec<EvalPoint>,
}

/// One optimiser step. A number the run could not give (a loss that is not finite) is `None`.
#[derive(Clone, Debug)]
pub struct TrainingStep {
    /// Counted from the start of the run.
    pub step: u64,
    /// Passes over the data so far.
    pub epoch: Option<f64>,
    /// Mean over labelled tokens, nats.
    pub loss: Option<f64>,
    /// Of this step.
    pub learning_rate: Option<f64>,
    /// Global L2 norm before clipping.
    pub grad_norm: Option<f64>,
    /// Speed in tokens of the rows as rendered.
    pub tokens_per_second: Option<f64>,
    /// Highest resident memory so far, bytes.
    pub peak_memory_bytes: Option<u64>,
}

/// One evaluation on held-out rows.
#[derive(Clone, Debug)]
pub struct EvalPoint {
    /// After this step.
    pub step: u64,
    /// Mean over labelled tokens, nats.
    pub eval_loss: Option<f64>,
    /// `exp` of the loss.
    pub eval_perplexity: Option<f64>,
}

/// Either kind of line: an evaluation is known by its `eval_loss`, which may be null.
#[derive(Deserialize)]
struct Line {
    step: u64,
    epoch: Option<f64>,
    loss: Option<f64>,
    learning_rate: Option<f64>,
    grad_norm: Option<f64>,
    tokens_per_second: Option<f64>,
    peak_memory_bytes: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    eval_loss: Option<Option<f64>>,
    eval_perplexity: Option<f64>,
}

/// Tells a null (`Some(None)`) from a missing field (`None`).
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Training {
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let (mut steps, mut evals) = (BTreeMap::new(), BTreeMap::new());
        let found = read_lines(path, |line: Line| {
            let Line { step, epoch, loss, learning_rate, grad_norm, tokens_per_second, peak_memory_bytes, .. } = line;
            if let Some(eval_loss) = line.eval_loss {
                evals.insert(step, EvalPoint { step, eval_loss, eval_perplexity: line.eval_perplexity });
            }
            if line.eval_loss.is_none() || loss.is_some() {
                let numbers =
                    TrainingStep { step, epoch, loss, learning_rate, grad_norm, tokens_per_second, peak_memory_bytes };
                steps.insert(step, numbers);
            }
        })?;
        let training = Self { steps: steps.into_values().collect(), evals: evals.into_values().collect() };
        Ok(found.then_some(training))
    }
}
