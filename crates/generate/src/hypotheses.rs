//! The n-best list of finished hypotheses and the question whether it can still improve (`BeamHypotheses` of transformers).

use crate::options::{BeamLength, EarlyStopping};
use crate::output::{FinishReason, Output};
use crate::resolve::{Limits, Resolved};
use crate::trace::Placed;

/// A finished continuation.
pub(crate) struct Hypothesis {
    /// New tokens without the end-of-sequence token.
    pub(crate) tokens: Vec<u32>,
    /// One per new token, the end-of-sequence token included.
    pub(crate) logprobs: Vec<f32>,
    pub(crate) eos: Option<u32>,
    pub(crate) stop_string: Option<String>,
    pub(crate) finish_reason: FinishReason,
}

/// The best hypotheses that one group of beams has found so far, as many as it has beams.
pub(crate) struct Hypotheses {
    /// In the order they were found.
    list: Vec<(f64, Hypothesis)>,
    size: usize,
    worst: f64,
    length_penalty: f64,
    early_stopping: EarlyStopping,
    /// What of the length does not count: the prompt, or nothing.
    uncounted: usize,
    /// Whether the end-of-sequence token counts.
    eos_counts: bool,
    prompt_len: usize,
    max_length: usize,
}

impl Hypotheses {
    pub(crate) fn new(options: &Resolved, limits: &Limits) -> Self {
        let new_only = options.beam_length == BeamLength::New;
        Self {
            list: Vec::new(),
            size: options.group_size(),
            worst: 1e9,
            length_penalty: options.length_penalty,
            early_stopping: options.early_stopping,
            uncounted: if new_only { limits.prompt_len } else { 0 },
            eos_counts: new_only,
            prompt_len: limits.prompt_len,
            max_length: limits.max_length,
        }
    }

    /// `sum / length^length_penalty`, of a sequence of `length` tokens with the prompt.
    fn normalised(&self, sum: f64, length: usize) -> f64 {
        sum / ((length - self.uncounted) as f64).powf(self.length_penalty)
    }

    /// Adds a hypothesis whose processed log-probabilities add up to `sum`; the worst one leaves when the list is over-full.
    pub(crate) fn add(&mut self, hypothesis: Hypothesis, sum: f64) -> Placed {
        let eos = usize::from(hypothesis.eos.is_some() && self.eos_counts);
        let score = self.normalised(sum, self.prompt_len + hypothesis.tokens.len() + eos);
        if self.list.len() >= self.size && score <= self.worst {
            return Placed { score, entered: false, left: None };
        }
        self.list.push((score, hypothesis));
        if self.list.len() <= self.size {
            self.worst = self.worst.min(score);
            return Placed { score, entered: true, left: None };
        }
        let scores = || self.list.iter().map(|(score, _)| *score).enumerate();
        let (leaving, _) = scores().min_by(|a, b| a.1.total_cmp(&b.1)).expect("the list is over-full");
        self.list.remove(leaving);
        self.worst = self.list.iter().map(|(score, _)| *score).fold(f64::INFINITY, f64::min);
        Placed { score, entered: true, left: Some(leaving) }
    }

    /// Whether no beam can get into the list any more: `best_sum` is this step's best candidate, `length` the length
    /// all candidates have with the prompt.
    pub(crate) fn is_done(&self, best_sum: f64, length: usize) -> bool {
        if self.list.len() < self.size {
            return false;
        }
        let length = match self.early_stopping {
            EarlyStopping::Yes => return true,
            EarlyStopping::Never if self.length_penalty > 0.0 => self.max_length,
            EarlyStopping::Never | EarlyStopping::No => length,
        };
        self.worst >= self.normalised(best_sum, length)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The best `count` of all groups, best first; among equals the one found last comes first, as in the reference.
    pub(crate) fn into_outputs(groups: impl IntoIterator<Item = Self>, count: usize) -> Vec<Output> {
        let mut list: Vec<(f64, Hypothesis)> = groups.into_iter().flat_map(|group| group.list).collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0));
        let output = |(score, hypothesis): (f64, Hypothesis)| Output {
            tokens: hypothesis.tokens,
            eos: hypothesis.eos,
            stop_string: hypothesis.stop_string,
            score,
            finish_reason: hypothesis.finish_reason,
            token_logprobs: hypothesis.logprobs,
        };
        list.into_iter().rev().take(count).map(output).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GenerationOptions;

    fn list(early_stopping: EarlyStopping, beam_length: BeamLength) -> Hypotheses {
        let options = GenerationOptions {
            num_beams: Some(2),
            early_stopping: Some(early_stopping),
            beam_length: Some(beam_length),
            max_length: Some(20),
            ..Default::default()
        };
        Hypotheses::new(&options.resolve().unwrap(), &Limits { prompt_len: 4, max_length: 20, min_length: 0 })
    }

    fn ended(tokens: &[u32]) -> Hypothesis {
        Hypothesis {
            tokens: tokens.to_vec(),
            logprobs: vec![],
            eos: Some(0),
            stop_string: None,
            finish_reason: FinishReason::Stop,
        }
    }

    #[test]
    fn the_score_is_divided_by_the_new_tokens_with_their_end_or_by_the_whole_without_it() {
        for (rule, expected) in [(BeamLength::New, -2.0), (BeamLength::Total, -6.0 / 6.0)] {
            let mut hypotheses = list(EarlyStopping::No, rule);
            hypotheses.add(ended(&[1, 2]), -6.0);
            assert_eq!(Hypotheses::into_outputs([hypotheses], 1)[0].score, expected, "{rule:?}");
        }
    }

    #[test]
    fn the_worst_leaves_and_a_worse_one_does_not_enter() {
        let mut hypotheses = list(EarlyStopping::No, BeamLength::New);
        for (token, sum) in [(1, -6.0), (2, -4.0), (3, -2.0), (4, -5.0)] {
            hypotheses.add(ended(&[token]), sum);
        }
        let outputs = Hypotheses::into_outputs([hypotheses], 2);
        assert_eq!(outputs.iter().map(|o| (o.tokens[0], o.score)).collect::<Vec<_>>(), [(3, -1.0), (2, -2.0)]);
    }

    #[test]
    fn the_best_of_all_groups_come_first_and_among_equals_the_last_found() {
        let groups = [[1, 2], [3, 4]].map(|tokens| {
            let mut hypotheses = list(EarlyStopping::No, BeamLength::New);
            for token in tokens {
                hypotheses.add(ended(&[token]), if token == 1 { -2.0 } else { -4.0 });
            }
            hypotheses
        });
        let tokens: Vec<u32> = Hypotheses::into_outputs(groups, 3).iter().map(|output| output.tokens[0]).collect();
        assert_eq!(tokens, [1, 4, 3]);
    }

    #[test]
    fn early_stopping_decides_by_count_by_the_present_length_or_by_the_limit() {
        // Two hypotheses, the worst at -2; candidates of sum -5 have 2 new tokens (-2.5) and could get 16 (-0.31).
        for (rule, expected) in [(EarlyStopping::Yes, true), (EarlyStopping::No, true), (EarlyStopping::Never, false)] {
            let mut hypotheses = list(rule, BeamLength::New);
            hypotheses.add(ended(&[1]), -4.0);
            assert!(!hypotheses.is_done(-5.0, 6), "one of two");
            hypotheses.add(ended(&[2]), -2.0);
            assert_eq!(hypotheses.is_done(-5.0, 6), expected, "{rule:?}");
            assert_eq!(hypotheses.is_done(-3.0, 6), rule == EarlyStopping::Yes, "{rule:?}");
        }
    }
}
