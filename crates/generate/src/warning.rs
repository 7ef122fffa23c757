//! Parameters that were given and change nothing: named once, with the reason.

use std::fmt;

use crate::options::{BeamLength, EarlyStopping, GenerationOptions};
use crate::unlisted::WITHOUT_MEANING;

/// A parameter without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its name.
    pub parameter: &'static str,
    /// Why it changes nothing.
    pub reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has no effect: {}", self.parameter, self.reason)
    }
}

impl GenerationOptions {
    /// The given parameters that have no effect on prompts of these lengths in tokens, whatever [`Self::warnings`] says of the others.
    #[must_use]
    pub fn warnings_for(&self, prompts: &[usize]) -> Vec<Warning> {
        let shortest = prompts.iter().copied().min().unwrap_or(0);
        let low = self.min_length.filter(|_| self.min_new_tokens.is_none()).unwrap_or(0);
        let rules = [
            (
                "bos_token_id",
                self.bos_token_id.is_some() && shortest > 0,
                "it stands in for an empty prompt, and none is",
            ),
            (
                "forced_bos_token_id",
                self.forced_bos_token_id.is_some() && !prompts.iter().any(|&length| length <= 1),
                "it follows a prompt of a single token, and none is",
            ),
            ("min_length", low > 0 && shortest >= low, "every prompt is that long already; set min_new_tokens"),
        ];
        let idle = rules.into_iter().filter(|&(_, idle, _)| idle);
        idle.map(|(parameter, _, reason)| Warning { parameter, reason: reason.into() }).collect()
    }

    /// The given parameters that have no effect in this combination, each once. A value that equals the default is not worth a word.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let is = |value: Option<f64>, default: f64| value.is_some_and(|v| v != default);
        let count = |value: Option<usize>| value.is_some_and(|n| n > 0);
        let do_sample = self.do_sample.unwrap_or(false);
        let beams = self.num_beams.unwrap_or(1) > 1;
        let groups = self.num_beam_groups.unwrap_or(1) > 1;
        let contrast = self.penalty_alpha.unwrap_or(0.0) > 0.0;
        let several = self.top_k.unwrap_or(50) > 1;
        let contrastive = contrast && several && !do_sample && !beams;
        let eos = self.eos_token_id.as_ref().is_some_and(|ids| !ids.is_empty());
        let (most_new, fewest_new) = (self.max_new_tokens.is_some(), self.min_new_tokens.is_some());

        let draws = "it acts only when tokens are drawn; set do_sample";
        let searches = "it acts only in beam search; set num_beams above 1";
        let ends = "it holds back the end-of-sequence token, and there is none";
        let without_meaning = |name: &'static str| {
            let why = WITHOUT_MEANING.iter().find(|(known, ..)| *known == name);
            why.map(|&(parameter, _, reason)| Warning { parameter, reason: reason.into() })
        };
        let rules: [(&'static str, bool, &str); 23] = [
            ("temperature", !do_sample && is(self.temperature, 1.0), draws),
            ("top_k", !do_sample && !contrastive && self.top_k.is_some_and(|k| k != 50 && k != 0), draws),
            ("top_p", !do_sample && is(self.top_p, 1.0), draws),
            ("min_p", !do_sample && is(self.min_p, 0.0), draws),
            ("typical_p", !do_sample && is(self.typical_p, 1.0), draws),
            ("epsilon_cutoff", !do_sample && is(self.epsilon_cutoff, 0.0), draws),
            ("eta_cutoff", !do_sample && is(self.eta_cutoff, 0.0), draws),
            ("seed", !do_sample && self.seed.is_some(), draws),
            ("length_penalty", !beams && is(self.length_penalty, 1.0), searches),
            ("early_stopping", !beams && self.early_stopping.is_some_and(|e| e != EarlyStopping::No), searches),
            ("beam_length", !beams && self.beam_length.is_some_and(|l| l != BeamLength::New), searches),
            (
                "early_stopping",
                beams && !eos && self.early_stopping.is_some_and(|e| e != EarlyStopping::No),
                "it asks whether enough beams have ended, and without an end-of-sequence token none does",
            ),
            (
                "renormalize_logits",
                !beams && self.renormalize_logits == Some(true),
                "it moves all scores of a step alike, which changes no choice outside beam search",
            ),
            (
                "diversity_penalty",
                !groups && is(self.diversity_penalty, 0.0),
                "it acts between groups of beams; set num_beam_groups above 1",
            ),
            ("penalty_alpha", contrast && do_sample, "contrastive search does not draw; leave do_sample out"),
            ("penalty_alpha", contrast && !do_sample && beams, "contrastive search has no beams; leave num_beams out"),
            (
                "penalty_alpha",
                contrast && !do_sample && !beams && !several,
                "contrastive search compares the top_k best tokens; set top_k above 1",
            ),
            (
                "max_matching_ngram_size",
                !count(self.prompt_lookup_num_tokens) && self.max_matching_ngram_size.is_some(),
                "it acts only in prompt lookup; set prompt_lookup_num_tokens",
            ),
            ("max_length", most_new && self.max_length.is_some(), "max_new_tokens is set and wins"),
            ("min_length", fewest_new && count(self.min_length), "min_new_tokens is set and wins"),
            ("min_length", !eos && !fewest_new && count(self.min_length), ends),
            ("min_new_tokens", !eos && count(self.min_new_tokens), ends),
            (
                "exponential_decay_length_penalty",
                !eos && self.exponential_decay_length_penalty.is_some(),
                "it makes the end-of-sequence token more likely, and there is none",
            ),
        ];
        let idle = rules.into_iter().filter(|&(_, idle, _)| idle);
        let idle = idle.map(|(parameter, _, reason)| Warning { parameter, reason: reason.into() });
        idle.chain(self.without_meaning.iter().copied().filter_map(without_meaning)).collect()
    }
}
