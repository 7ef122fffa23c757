//! The processors and warpers of one prompt, in the order of transformers 4.46.3 (`_get_logits_processor`).

use crate::constraint::{self, Matcher};
use crate::resolve::{Limits, Resolved};
use crate::softmax::log_softmax;
use crate::step::ModelError;
use crate::watch::{Applied, Watch};
use crate::{processor, warper};

/// One stage between the model's scores and the choice of a token, with its parameters.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    SequenceBias(Vec<(Vec<u32>, f64)>),
    /// What the prompt's tokens are divided by.
    PromptPenalty(f32),
    RepetitionPenalty(f32),
    NoRepeatNgram(usize),
    NoPromptNgram(usize),
    BadWords(Vec<Vec<u32>>),
    MinLength {
        length: usize,
        eos: Vec<u32>,
    },
    Forced {
        at: usize,
        tokens: Vec<u32>,
    },
    ExponentialDecay {
        start: usize,
        factor: f64,
        eos: Vec<u32>,
    },
    Suppress(Vec<u32>),
    SuppressAt {
        at: usize,
        tokens: Vec<u32>,
    },
    Temperature(f32),
    TopK(usize),
    TopP(f64),
    MinP(f64),
    Typical(f64),
    Epsilon(f64),
    Eta(f64),
    Renormalize,
}

impl Stage {
    /// The parameter behind it, and its value where that is a number. 32-bit parameters are written as they were given.
    fn applied(&self) -> Applied {
        let number = |x: f64| Some(x.to_string());
        let (name, value) = match self {
            Self::SequenceBias(_) => ("sequence_bias", None),
            Self::PromptPenalty(divisor) => {
                ("encoder_repetition_penalty", number(f64::from((1.0 / divisor * 1e6).round()) / 1e6))
            }
            Self::RepetitionPenalty(penalty) => ("repetition_penalty", Some(penalty.to_string())),
            Self::NoRepeatNgram(size) => ("no_repeat_ngram_size", Some(size.to_string())),
            Self::NoPromptNgram(size) => ("encoder_no_repeat_ngram_size", Some(size.to_string())),
            Self::BadWords(_) => ("bad_words_ids", None),
            Self::MinLength { .. } => ("min_length", None),
            Self::Forced { at: 1, .. } => ("forced_bos_token_id", None),
            Self::Forced { .. } => ("forced_eos_token_id", None),
            Self::ExponentialDecay { factor, .. } => ("exponential_decay_length_penalty", number(*factor)),
            Self::Suppress(_) => ("suppress_tokens", None),
            Self::SuppressAt { .. } => ("begin_suppress_tokens", None),
            Self::Temperature(t) => ("temperature", Some(t.to_string())),
            Self::TopK(k) => ("top_k", Some(k.to_string())),
            Self::TopP(p) => ("top_p", number(*p)),
            Self::MinP(p) => ("min_p", number(*p)),
            Self::Typical(mass) => ("typical_p", number(*mass)),
            Self::Epsilon(cutoff) => ("epsilon_cutoff", number(*cutoff)),
            Self::Eta(cutoff) => ("eta_cutoff", number(*cutoff)),
            Self::Renormalize => ("renormalize_logits", None),
        };
        Applied { name, value }
    }
}

/// All stages that act for one prompt, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    stages: Vec<Stage>,
    /// The stage before which a constraint forbids tokens: the place of transformers' `prefix_allowed_tokens_fn`.
    constraint_at: usize,
    /// Fewest tokens each warper keeps.
    keep: usize,
    prompt_len: usize,
}

impl Chain {
    /// The stages that these parameters switch on for a prompt of these limits.
    #[must_use]
    pub fn new(options: &Resolved, limits: &Limits) -> Self {
        let mut stages = history_stages(options, limits);
        let constraint_at = stages.len();
        stages.extend(place_stages(options, limits));
        if options.do_sample {
            stages.extend(warper_stages(options));
        }
        if options.renormalize_logits {
            stages.push(Stage::Renormalize);
        }
        Self { stages, constraint_at, keep: options.min_tokens_to_keep(), prompt_len: limits.prompt_len }
    }

    /// Whether scores pass through unchanged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Runs every stage over one row of scores `[V]`; `history` is the prompt and the new tokens so far.
    pub fn apply(&self, history: &[u32], scores: &mut [f32]) {
        self.run(&self.stages, history, scores, None);
    }

    /// The same with a constraint, which lets `eos` stand where the output may end; `watch` sees the scores behind every stage.
    pub(crate) fn apply_with(
        &self,
        history: &[u32],
        scores: &mut [f32],
        matcher: Option<&mut Box<dyn Matcher>>,
        eos: &[u32],
        mut watch: Option<&mut Watch>,
    ) -> Result<(), ModelError> {
        let (before, behind) = self.stages.split_at(self.constraint_at);
        self.run(before, history, scores, watch.as_deref_mut());
        if let Some(matcher) = matcher {
            constraint::mask(matcher.as_mut(), scores, eos)?;
            if let Some(watch) = watch.as_deref_mut() {
                watch.saw(Applied { name: "form", value: None }, scores);
            }
        }
        self.run(behind, history, scores, watch);
        Ok(())
    }

    fn run(&self, stages: &[Stage], history: &[u32], scores: &mut [f32], mut watch: Option<&mut Watch>) {
        let (keep, prompt) = (self.keep, &history[..self.prompt_len.min(history.len())]);
        for stage in stages {
            match stage {
                Stage::SequenceBias(biases) => processor::sequence_bias(scores, history, biases),
                Stage::PromptPenalty(penalty) => processor::repetition_penalty(scores, prompt, *penalty),
                Stage::RepetitionPenalty(penalty) => processor::repetition_penalty(scores, history, *penalty),
                Stage::NoRepeatNgram(size) => processor::no_repeat_ngram(scores, history, *size),
                Stage::NoPromptNgram(size) => processor::no_repeat_ngram_of(scores, history, prompt, *size),
                Stage::BadWords(words) => processor::bad_words(scores, history, words),
                Stage::MinLength { length, eos } => processor::min_length(scores, history, *length, eos),
                Stage::Forced { at, tokens } => processor::forced(scores, history, *at, tokens),
                Stage::ExponentialDecay { start, factor, eos } => {
                    processor::exponential_decay(scores, history, *start, *factor, eos);
                }
                Stage::Suppress(tokens) => processor::suppress(scores, tokens),
                Stage::SuppressAt { at, tokens } => processor::suppress_at(scores, history, *at, tokens),
                Stage::Temperature(t) => warper::temperature(scores, *t),
                Stage::TopK(k) => warper::top_k(scores, *k, keep),
                Stage::TopP(p) => warper::top_p(scores, *p, keep),
                Stage::MinP(p) => warper::min_p(scores, *p, keep),
                Stage::Typical(mass) => warper::typical(scores, *mass, keep),
                Stage::Epsilon(cutoff) => warper::epsilon(scores, *cutoff, keep),
                Stage::Eta(cutoff) => warper::eta(scores, *cutoff, keep),
                Stage::Renormalize => log_softmax(scores),
            }
            if let Some(watch) = watch.as_deref_mut() {
                watch.saw(stage.applied(), scores);
            }
        }
    }
}

/// The stages before a constraint.
fn history_stages(options: &Resolved, limits: &Limits) -> Vec<Stage> {
    let mut stages = Vec::new();
    if !options.sequence_bias.is_empty() {
        stages.push(Stage::SequenceBias(options.sequence_bias.clone()));
    }
    if options.encoder_repetition_penalty != 1.0 {
        stages.push(Stage::PromptPenalty((1.0 / options.encoder_repetition_penalty) as f32));
    }
    if options.repetition_penalty != 1.0 {
        stages.push(Stage::RepetitionPenalty(options.repetition_penalty as f32));
    }
    if options.no_repeat_ngram_size > 0 {
        stages.push(Stage::NoRepeatNgram(options.no_repeat_ngram_size));
    }
    if options.encoder_no_repeat_ngram_size > 0 {
        stages.push(Stage::NoPromptNgram(options.encoder_no_repeat_ngram_size));
    }
    if !options.bad_words_ids.is_empty() {
        stages.push(Stage::BadWords(options.bad_words_ids.clone()));
    }
    // `min_new_tokens` has become a minimum length of this prompt, so one stage serves both.
    if limits.min_length > 0 && !options.eos_token_id.is_empty() {
        stages.push(Stage::MinLength { length: limits.min_length, eos: options.eos_token_id.clone() });
    }
    stages
}

/// The stages that concern certain tokens or places, behind a constraint.
fn place_stages(options: &Resolved, limits: &Limits) -> Vec<Stage> {
    let mut stages = Vec::new();
    if let Some(token) = options.forced_bos_token_id {
        stages.push(Stage::Forced { at: 1, tokens: vec![token] });
    }
    if !options.forced_eos_token_id.is_empty() {
        stages.push(Stage::Forced { at: limits.max_length - 1, tokens: options.forced_eos_token_id.clone() });
    }
    if let Some((start, factor)) = options.exponential_decay_length_penalty {
        let (start, eos) = (limits.prompt_len.saturating_add(start), options.eos_token_id.clone());
        stages.push(Stage::ExponentialDecay { start, factor, eos });
    }
    if !options.suppress_tokens.is_empty() {
        stages.push(Stage::Suppress(options.suppress_tokens.clone()));
    }
    if !options.begin_suppress_tokens.is_empty() {
        // After a lone start token the forced first token takes the first place.
        let first_is_forced = limits.prompt_len <= 1 && options.forced_bos_token_id.is_some();
        let at = limits.prompt_len + usize::from(first_is_forced);
        stages.push(Stage::SuppressAt { at, tokens: options.begin_suppress_tokens.clone() });
    }
    stages
}

fn warper_stages(options: &Resolved) -> Vec<Stage> {
    let stages = [
        (options.temperature != 1.0).then_some(Stage::Temperature(options.temperature as f32)),
        (options.top_k != 0).then_some(Stage::TopK(options.top_k)),
        (options.top_p < 1.0).then_some(Stage::TopP(options.top_p)),
        options.min_p.map(Stage::MinP),
        (options.typical_p < 1.0).then_some(Stage::Typical(options.typical_p)),
        (options.epsilon_cutoff > 0.0).then_some(Stage::Epsilon(options.epsilon_cutoff)),
        (options.eta_cutoff > 0.0).then_some(Stage::Eta(options.eta_cutoff)),
    ];
    stages.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GenerationOptions;

    fn chain(options: &GenerationOptions, prompt_len: usize) -> Chain {
        let resolved = options.resolve().unwrap();
        let limits = resolved.limits(0, prompt_len, 100).unwrap();
        Chain::new(&resolved, &limits)
    }

    #[test]
    fn the_order_is_that_of_transformers() {
        let options = GenerationOptions {
            max_new_tokens: Some(5),
            renormalize_logits: Some(true),
            eta_cutoff: Some(0.1),
            top_p: Some(0.9),
            temperature: Some(0.7),
            do_sample: Some(true),
            begin_suppress_tokens: Some(vec![3]),
            suppress_tokens: Some(vec![4]),
            forced_eos_token_id: Some(vec![2]),
            forced_bos_token_id: Some(1),
            min_new_tokens: Some(3),
            eos_token_id: Some(vec![2]),
            bad_words_ids: Some(vec![vec![2], vec![5]]),
            exponential_decay_length_penalty: Some((2, 1.5)),
            encoder_no_repeat_ngram_size: Some(4),
            no_repeat_ngram_size: Some(3),
            repetition_penalty: Some(1.2),
            encoder_repetition_penalty: Some(2.0),
            sequence_bias: Some(vec![(vec![7], 1.0), (vec![8], 0.5), (vec![7], -1.0)]),
            ..Default::default()
        };
        let expected = vec![
            Stage::SequenceBias(vec![(vec![7], -1.0), (vec![8], 0.5)]),
            Stage::PromptPenalty(0.5),
            Stage::RepetitionPenalty(1.2),
            Stage::NoRepeatNgram(3),
            Stage::NoPromptNgram(4),
            Stage::BadWords(vec![vec![5]]),
            Stage::MinLength { length: 4, eos: vec![2] },
            Stage::Forced { at: 1, tokens: vec![1] },
            Stage::Forced { at: 5, tokens: vec![2] },
            Stage::ExponentialDecay { start: 3, factor: 1.5, eos: vec![2] },
            Stage::Suppress(vec![4]),
            Stage::SuppressAt { at: 2, tokens: vec![3] },
            Stage::Temperature(0.7),
            Stage::TopK(50),
            Stage::TopP(0.9),
            Stage::Eta(0.1),
            Stage::Renormalize,
        ];
        assert_eq!(chain(&options, 1).stages, expected);
    }

    #[test]
    fn warpers_act_only_when_tokens_are_drawn() {
        let options = GenerationOptions { temperature: Some(0.1), top_p: Some(0.65), ..Default::default() };
        assert!(chain(&options, 1).is_empty());
    }

    #[test]
    fn beams_keep_one_token_more_than_there_are_ends() {
        let keep = |eos: Vec<u32>, beams| {
            let options = GenerationOptions { num_beams: Some(beams), eos_token_id: Some(eos), ..Default::default() };
            chain(&options, 1).keep
        };
        assert_eq!([keep(vec![1], 1), keep(vec![], 4), keep(vec![1], 4), keep(vec![1, 2], 4)], [1, 2, 2, 3]);
    }
}
