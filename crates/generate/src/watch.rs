//! The scores of one row as they pass through the chain, and what is worth keeping of them.

use crate::job::Row;
use crate::softmax::{Ranking, log_sum_exp};

/// A processor that acted, by its parameter's name and with its value where that is a single one.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The generation parameter, such as `top_k`; `form` for a constraint.
    pub name: &'static str,
    /// Its value as one would type it.
    pub value: Option<String>,
}

/// How a distribution looks as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Tokens that can be chosen at all: scores above minus infinity.
    pub kept: usize,
    /// `-sum p ln p`, in nats.
    pub entropy: f64,
}

/// What there was to choose from after one row of logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    /// The model's own distribution.
    pub before: Spread,
    /// The processors and warpers in the order they acted, with the distribution behind each of them.
    pub stages: Vec<(Applied, Spread)>,
    /// The candidates, the most probable under the model first.
    pub candidates: Vec<Scored>,
}

/// A candidate's probabilities: softmax of the scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The token.
    pub token: u32,
    /// Under the model.
    pub before: f64,
    /// Behind each stage; none where its score is minus infinity.
    pub after: Vec<Option<f64>>,
}

/// Copies of one row behind each stage.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Vec<(Applied, Vec<f32>)>,
}

impl Watch {
    /// Sees a row behind a stage.
    pub(crate) fn saw(&mut self, applied: Applied, scores: &[f32]) {
        self.seen.push((applied, scores.to_vec()));
    }

    /// What is kept: the `most` best of before and of behind, and `taken`.
    pub(crate) fn scoring(self, row: &Row<'_>, most: usize, taken: &[u32]) -> Scoring {
        let stages: Vec<(&Applied, Distribution<'_>)> =
            self.seen.iter().map(|(applied, scores)| (applied, Distribution::of(scores))).collect();
        let before = Distribution::of(row.logits);
        let last = stages.last().map_or(&before, |(_, last)| last);
        let mut tokens = before.best(most);
        tokens.extend(last.best(most));
        tokens.extend(taken);
        tokens.sort_by(|&a, &b| before.order(a, b));
        tokens.dedup();
        let scored = |token: u32| Scored {
            token,
            before: before.probability(token).unwrap_or(0.0),
            after: stages.iter().map(|(_, stage)| stage.probability(token)).collect(),
        };
        Scoring {
            before: before.spread(),
            stages: stages.iter().map(|(applied, stage)| ((*applied).clone(), stage.spread())).collect(),
            candidates: tokens.into_iter().map(scored).collect(),
        }
    }
}

/// A row of scores as a distribution.
struct Distribution<'s> {
    scores: &'s [f32],
    total: f64,
}

impl<'s> Distribution<'s> {
    fn of(scores: &'s [f32]) -> Self {
        Self { scores, total: log_sum_exp(scores) }
    }

    fn probability(&self, token: u32) -> Option<f64> {
        let score = self.scores[token as usize];
        (score > f32::NEG_INFINITY).then(|| (f64::from(score) - self.total).exp())
    }

    /// The higher score first, then the lower id.
    fn order(&self, a: u32, b: u32) -> std::cmp::Ordering {
        self.scores[b as usize].total_cmp(&self.scores[a as usize]).then(a.cmp(&b))
    }

    fn alive(&self) -> impl Iterator<Item = u32> {
        (0..self.scores.len() as u32).filter(|&id| self.scores[id as usize] > f32::NEG_INFINITY)
    }

    fn best(&self, most: usize) -> Vec<u32> {
        let mut ranking = Ranking::new(self.alive().collect(), |a, b| self.order(a, b));
        (0..most.min(ranking.len())).map(|rank| ranking.get(rank)).collect()
    }

    fn spread(&self) -> Spread {
        let probabilities = self.alive().filter_map(|id| self.probability(id)).filter(|&p| p > 0.0);
        let entropy: f64 = probabilities.map(|p| -p * p.ln()).sum();
        Spread { kept: self.alive().count(), entropy: entropy.max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_before_and_of_behind_are_kept_with_what_was_taken() {
        let logits: Vec<f32> = [0.1f32, 0.4, 0.2, 0.05, 0.25].iter().map(|p| p.ln()).collect();
        let mut watch = Watch::default();
        let applied = |name| Applied { name, value: None };
        watch.saw(applied("turned"), &[f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, 3f32.ln(), f32::NEG_INFINITY]);
        let scoring = watch.scoring(&Row::new(&logits), 1, &[2]);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        let tokens: Vec<u32> = scoring.candidates.iter().map(|scored| scored.token).collect();
        assert_eq!(tokens, [1, 2, 3], "the best before, what was taken, the best behind");
        assert!(near(scoring.candidates[0].before, 0.4));
        assert_eq!(scoring.candidates[0].after, [None]);
        assert!(near(scoring.candidates[2].after[0].unwrap(), 0.75));
        assert_eq!((scoring.before.kept, scoring.stages[0].1.kept), (5, 2));
        // -(0.25 ln 0.25 + 0.75 ln 0.75)
        assert!(near(scoring.stages[0].1.entropy, 0.562_335_1), "{}", scoring.stages[0].1.entropy);
    }

    #[test]
    fn a_row_of_nothing_allowed_has_no_entropy_and_no_candidates() {
        let mut watch = Watch::default();
        watch.saw(Applied { name: "form", value: None }, &[f32::NEG_INFINITY; 2]);
        let scoring = watch.scoring(&Row::new(&[0.0, 0.0]), 2, &[]);
        assert_eq!(scoring.stages[0].1, Spread { kept: 0, entropy: 0.0 });
        assert!(scoring.candidates.iter().all(|scored| scored.after == [None]));
    }
}
