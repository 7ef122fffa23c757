//! The scores of base and tuned model under every decoding strategy.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::ReportError;

/// `scores.json`. Any number may be null where it could not be computed.
#[derive(Debug, Default, Deserialize)]
pub struct Scores {
    /// Held-out rows that were scored.
    pub rows: Option<u64>,
    /// The metrics, the first being the one that matters.
    #[serde(default)]
    pub metrics: Vec<MetricInfo>,
    /// The decoding strategies, in the order of the recipe.
    #[serde(default)]
    pub strategies: Vec<Strategy>,
    /// The scores of each model.
    #[serde(default)]
    pub systems: Systems,
    /// strategy -> metric -> tuned against base.
    #[serde(default)]
    pub comparisons: BTreeMap<String, BTreeMap<String, Comparison>>,
    /// Of the reference answers.
    pub perplexity: Option<Perplexity>,
}

/// A metric and how it was computed.
#[derive(Clone, Debug, Deserialize)]
pub struct MetricInfo {
    /// Its key, such as `exact-match`.
    pub name: String,
    /// Its name for people.
    pub label: Option<String>,
    /// Everything its value depends on, as sacreBLEU prints it.
    pub signature: Option<String>,
    /// Which way is better.
    #[serde(default = "yes")]
    pub higher_is_better: bool,
}

fn yes() -> bool {
    true
}

/// A decoding strategy.
#[derive(Clone, Debug, Deserialize)]
pub struct Strategy {
    /// Its key in the recipe.
    pub name: String,
    /// Generation parameters that differ from the defaults.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// strategy -> metric -> score, for each model that was evaluated.
#[derive(Debug, Default, Deserialize)]
pub struct Systems {
    /// Before tuning.
    pub base: Option<BTreeMap<String, BTreeMap<String, Score>>>,
    /// After tuning.
    pub tuned: Option<BTreeMap<String, BTreeMap<String, Score>>>,
}

/// A value with its bootstrap interval.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Score {
    /// Over all rows.
    pub value: Option<f64>,
    /// Lower and upper end.
    #[serde(default)]
    pub interval: Option<(Option<f64>, Option<f64>)>,
}

/// Tuned minus base on the same rows (paired bootstrap).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Comparison {
    /// Tuned minus base.
    pub difference: Option<f64>,
    /// Lower and upper end.
    #[serde(default)]
    pub interval: Option<(Option<f64>, Option<f64>)>,
    /// Chance of such a difference if the models were equal.
    pub p_value: Option<f64>,
}

/// Perplexity of the reference answers under each model.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Perplexity {
    /// Before tuning.
    pub base: Option<f64>,
    /// After tuning.
    pub tuned: Option<f64>,
    /// Tuned against base.
    pub comparison: Option<Comparison>,
}

impl Scores {
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let Some(text) = super::read_text(path)? else { return Ok(None) };
        let scores = serde_json::from_str(&text).map_err(|error| ReportError::json(path, &error))?;
        Ok(Some(scores))
    }

    /// The strategies as listed, then those that only the scores know.
    pub(crate) fn all_strategies(&self) -> Vec<Strategy> {
        let mut all = self.strategies.clone();
        let scored = [&self.systems.base, &self.systems.tuned].into_iter().flatten().flat_map(BTreeMap::keys);
        for name in scored {
            if all.iter().all(|strategy| strategy.name != *name) {
                all.push(Strategy { name: name.clone(), options: serde_json::Map::new() });
            }
        }
        all
    }

    /// The metrics as listed, then those that only the scores know.
    pub(crate) fn all_metrics(&self) -> Vec<MetricInfo> {
        let mut all = self.metrics.clone();
        let systems = [&self.systems.base, &self.systems.tuned].into_iter().flatten();
        for name in systems.flat_map(BTreeMap::values).flat_map(BTreeMap::keys) {
            if all.iter().all(|metric| metric.name != *name) {
                all.push(MetricInfo { name: name.clone(), label: None, signature: None, higher_is_better: true });
            }
        }
        all
    }
}

impl Systems {
    pub(crate) fn base(&self, strategy: &str, metric: &str) -> Score {
        score(self.base.as_ref(), strategy, metric)
    }

    pub(crate) fn tuned(&self, strategy: &str, metric: &str) -> Score {
        score(self.tuned.as_ref(), strategy, metric)
    }
}

fn score(system: Option<&BTreeMap<String, BTreeMap<String, Score>>>, strategy: &str, metric: &str) -> Score {
    system.and_then(|system| system.get(strategy)?.get(metric)).copied().unwrap_or_default()
}
