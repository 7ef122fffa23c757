//! Parameters that were given and change nothing: named once, with the reason.

use std::fmt;

use crate::options::{EarlyStopping, GenerationOptions};

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
    /// The given parameters that have no effect in this combination. A value that equals the default is not worth a word.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let off = |value: Option<f64>, default: f64| value.is_some_and(|v| v != default);
        let do_sample = self.do_sample.unwrap_or(false);
        let beams = self.num_beams.unwrap_or(1) > 1;
        let eos = self.eos_token_id.as_ref().is_some_and(|ids| !ids.is_empty());
        let sampling = [
            ("temperature", off(self.temperature, 1.0)),
            ("top_k", self.top_k.is_some_and(|k| k != 50 && k != 0)),
            ("top_p", off(self.top_p, 1.0)),
            ("min_p", off(self.min_p, 0.0)),
            ("typical_p", off(self.typical_p, 1.0)),
            ("epsilon_cutoff", off(self.epsilon_cutoff, 0.0)),
            ("eta_cutoff", off(self.eta_cutoff, 0.0)),
        ];
        let beam_only = [
            ("length_penalty", off(self.length_penalty, 1.0)),
            ("early_stopping", self.early_stopping.is_some_and(|e| e != EarlyStopping::No)),
            ("beam_length", self.beam_length.is_some_and(|l| l != crate::BeamLength::New)),
        ];
        let needs_eos = [
            ("min_length", self.min_length.is_some_and(|n| n > 0) && self.min_new_tokens.is_none()),
            ("min_new_tokens", self.min_new_tokens.is_some_and(|n| n > 0)),
        ];
        let covered = [
            (
                "max_length",
                self.max_length.is_some() && self.max_new_tokens.is_some(),
                "max_new_tokens is set and wins",
            ),
            (
                "min_length",
                self.min_length.is_some_and(|n| n > 0) && self.min_new_tokens.is_some(),
                "min_new_tokens is set and wins",
            ),
        ];
        let mut warnings: Vec<Warning> = Vec::new();
        let mut idle = |idle: bool, parameters: &[(&'static str, bool)], reason: &str| {
            let given = parameters.iter().filter(|(_, given)| idle && *given);
            warnings.extend(given.map(|&(parameter, _)| Warning { parameter, reason: reason.into() }));
        };
        idle(!do_sample, &sampling, "it acts only when tokens are drawn; set do_sample");
        idle(!beams, &beam_only, "it acts only in beam search; set num_beams above 1");
        idle(!eos, &needs_eos, "it holds back the end-of-sequence token, and there is none");
        let covered = covered.into_iter().filter(|&(_, given, _)| given);
        warnings.extend(covered.map(|(parameter, _, reason)| Warning { parameter, reason: reason.into() }));
        warnings
    }
}
