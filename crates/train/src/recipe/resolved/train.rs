//! `[train]`: what is trained, for how long and how fast.

use luthier_engine::Recompute;
use serde::Serialize;
use serde::ser::Serializer;

use super::{AdamState, Amount, RecipePath, RecomputeName, ScheduleKind};

/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Train {
    /// What is trained.
    #[serde(flatten)]
    pub method: Method,
    /// How long.
    #[serde(flatten)]
    pub length: Length,
    /// How much each optimiser step sees.
    #[serde(flatten)]
    pub step_size: StepSize,
    /// The most tokens of one forward pass.
    pub micro_batch_tokens: usize,
    /// What the backward makes again rather than keeping it.
    pub recompute: RecomputeName,
    /// The schedule's peak.
    pub learning_rate: f64,
    /// Decoupled decay.
    pub weight_decay: f64,
    /// AdamW's constants.
    pub adam: Adam,
    /// Gradients are clipped to this norm.
    pub max_grad_norm: f64,
    /// The course of the learning rate.
    pub schedule: ScheduleRecipe,
    /// What a stopped run goes on from.
    pub checkpoint: Checkpoint,
    /// Loss on test rows meanwhile.
    pub evaluate: TrainEvaluate,
}

impl From<RecomputeName> for Recompute {
    fn from(name: RecomputeName) -> Self {
        match name {
            RecomputeName::None => Self::None,
            RecomputeName::Cheap => Self::Cheap,
            RecomputeName::Block => Self::Block,
        }
    }
}

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "method", content = "lora", rename_all = "lowercase")]
pub enum Method {
    /// Every weight.
    Full,
    /// Low-rank terms.
    Lora(Lora),
}

/// `train.lora`. What is none was not written beside `init`: the adapter says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lora {
    /// R.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Scale is alpha / rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// On the input of the added term.
    pub dropout: f64,
    /// The layers that get one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// Scale is alpha / sqrt(rank).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rslora: Option<bool>,
    /// Embedding or head, trained whole.
    #[serde(skip_serializing_if = "says_none")]
    pub modules_to_save: Option<Vec<String>>,
    /// An adapter to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<RecipePath>,
}

/// Nothing said, or that there are none.
fn says_none(modules: &Option<Vec<String>>) -> bool {
    modules.as_ref().is_none_or(Vec::is_empty)
}

/// The layers that get an adapter.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Every linear layer of the blocks; not the head.
    AllLinear,
    /// Those whose names end in one of these.
    Named(Vec<String>),
}

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AllLinear => serializer.serialize_str("all-linear"),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

/// How long training goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// Passes over the rows; the last may be a part of one.
    Epochs(f64),
    /// Optimiser steps.
    Steps(usize),
}

/// How much one optimiser step sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StepSize {
    /// So many rows.
    #[serde(rename = "rows_per_step")]
    Rows(usize),
    /// At most so many tokens, at least one row.
    #[serde(rename = "tokens_per_step")]
    Tokens(usize),
}

/// `train.adam`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Adam {
    /// Decay of the mean.
    pub beta1: f64,
    /// Decay of the mean of squares.
    pub beta2: f64,
    /// Added to the root.
    pub eps: f64,
    /// How both means are held.
    pub state: AdamState,
}

/// `train.schedule`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScheduleRecipe {
    /// After the warm-up.
    pub kind: ScheduleKind,
    /// Steps, or their fraction.
    pub warmup: Amount,
}

/// `train.checkpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Steps between two.
    pub every: usize,
    /// How many stay.
    pub keep: usize,
}

/// `train.evaluate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrainEvaluate {
    /// Steps between two; 0: only at the end.
    pub every: usize,
    /// The most test rows.
    pub rows: usize,
}
