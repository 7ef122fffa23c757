//! `[evaluate]` and `[report]`: how answers are scored and shown.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Language, Metric, System};

/// `[evaluate]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluate {
    /// The scores.
    pub metrics: Vec<Metric>,
    /// Ways of decoding, in the order written.
    #[serde(serialize_with = "as_map")]
    pub strategies: Vec<Strategy>,
    /// The models.
    pub systems: Vec<System>,
    /// The most test rows.
    pub rows: usize,
    /// The longest answer, where a strategy does not say.
    pub max_new_tokens: usize,
    /// Prompts answered together.
    pub batch: usize,
}

/// A way of decoding under a name of the user's.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// Part of file names.
    pub name: String,
    /// Generation parameters as transformers names them, not checked here;
    /// `Recipe::refuse` points at the line of `evaluate.strategies.NAME.PARAMETER`.
    pub parameters: serde_json::Map<String, serde_json::Value>,
}

fn as_map<S: Serializer>(strategies: &[Strategy], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(strategies.len()))?;
    for strategy in strategies {
        map.serialize_entry(&strategy.name, &strategy.parameters)?;
    }
    map.end()
}

/// `[report]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of the page's own words.
    pub language: Language,
    /// Answers shown side by side.
    pub examples: usize,
}
