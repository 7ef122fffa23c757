//! What is refused: values out of their range, parameters that contradict each other, and tokens that the model does not have.

use crate::error::OptionsError;
use crate::resolve::{Resolved, SearchKind};

impl Resolved {
    /// The first thing that is wrong, whatever the model.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        self.check_ranges()?;
        self.check_search()?;
        self.check_outputs()
    }

    fn check_ranges(&self) -> Result<(), OptionsError> {
        const ABOVE_ZERO: &str =
            "it must be a number above 0 (for the most probable token every time, leave do_sample and temperature out)";
        const UNIT: &str = "it must be above 0 and at most 1 (1 switches it off)";
        const CUTOFF: &str = "it must be at least 0 and below 1 (0 switches it off)";
        const AT_LEAST_ONE: &str = "it must be at least 1";
        let min_p = self.min_p.unwrap_or(0.0);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let unit = |x: f64| x > 0.0 && x <= 1.0;
        let factor = self.exponential_decay_length_penalty.map_or(1.0, |(_, factor)| factor);
        let checks: [(bool, &'static str, String, &'static str); 19] = [
            (positive(self.temperature), "temperature", self.temperature.to_string(), ABOVE_ZERO),
            (unit(self.top_p), "top_p", self.top_p.to_string(), UNIT),
            ((0.0..=1.0).contains(&min_p), "min_p", min_p.to_string(), "it must be between 0 and 1"),
            (unit(self.typical_p), "typical_p", self.typical_p.to_string(), UNIT),
            ((0.0..1.0).contains(&self.epsilon_cutoff), "epsilon_cutoff", self.epsilon_cutoff.to_string(), CUTOFF),
            ((0.0..1.0).contains(&self.eta_cutoff), "eta_cutoff", self.eta_cutoff.to_string(), CUTOFF),
            (
                positive(self.repetition_penalty),
                "repetition_penalty",
                self.repetition_penalty.to_string(),
                "it must be a number above 0 (1 switches it off)",
            ),
            (
                positive(self.encoder_repetition_penalty),
                "encoder_repetition_penalty",
                self.encoder_repetition_penalty.to_string(),
                "it must be a number above 0 (1 switches it off)",
            ),
            (
                positive(factor),
                "exponential_decay_length_penalty",
                format!("[.., {factor}]"),
                "its factor must be a number above 0 (1 switches it off)",
            ),
            (
                self.guidance_scale.is_finite(),
                "guidance_scale",
                self.guidance_scale.to_string(),
                "it must be a finite number (1 switches it off)",
            ),
            (
                positive(self.max_time.unwrap_or(1.0)),
                "max_time",
                self.max_time.unwrap_or(1.0).to_string(),
                "it must be a number of seconds above 0",
            ),
            (
                self.length_penalty.is_finite(),
                "length_penalty",
                self.length_penalty.to_string(),
                "it must be a finite number",
            ),
            (
                self.num_beams > 0,
                "num_beams",
                self.num_beams.to_string(),
                "it must be at least 1 (1 is greedy or sampling)",
            ),
            (
                self.num_return_sequences > 0,
                "num_return_sequences",
                self.num_return_sequences.to_string(),
                AT_LEAST_ONE,
            ),
            (
                self.diversity_penalty >= 0.0 && self.diversity_penalty.is_finite(),
                "diversity_penalty",
                self.diversity_penalty.to_string(),
                "it must be a number from 0 up (0 switches it off)",
            ),
            (
                (0.0..=1.0).contains(&self.penalty_alpha),
                "penalty_alpha",
                self.penalty_alpha.to_string(),
                "it must be between 0 and 1 (0 switches it off)",
            ),
            (self.max_matching_ngram_size > 0, "max_matching_ngram_size", "0".into(), AT_LEAST_ONE),
            (self.max_new_tokens != Some(0), "max_new_tokens", "0".into(), AT_LEAST_ONE),
            (
                self.stop_strings.iter().all(|s| !s.is_empty()),
                "stop_strings",
                "\"\"".into(),
                "an empty text would stop at once; remove it",
            ),
        ];
        match checks.into_iter().find(|(good, ..)| !good) {
            Some((_, name, value, rule)) => Err(OptionsError::OutOfRange { name, value, rule }),
            None => Ok(()),
        }
    }

    fn check_outputs(&self) -> Result<(), OptionsError> {
        let (num_return_sequences, num_beams) = (self.num_return_sequences, self.num_beams);
        if num_beams > 1 && num_return_sequences > num_beams {
            return Err(OptionsError::MoreOutputsThanBeams { num_return_sequences, num_beams });
        }
        if num_beams == 1 && !self.do_sample && num_return_sequences > 1 {
            return Err(OptionsError::OneOutput { num_return_sequences, search: self.search().name() });
        }
        Ok(())
    }

    /// What transformers refuses to do together.
    fn check_search(&self) -> Result<(), OptionsError> {
        let (num_beam_groups, num_beams) = (self.num_beam_groups, self.num_beams);
        if num_beam_groups == 0 || !num_beams.is_multiple_of(num_beam_groups) {
            return Err(OptionsError::GroupsDoNotDivide { num_beam_groups, num_beams });
        }
        let contradictions = [
            (
                num_beam_groups > 1 && self.do_sample,
                "num_beam_groups",
                "do_sample",
                "groups of beams are searched without drawing; leave one of them out",
            ),
            (
                num_beam_groups > 1 && self.diversity_penalty == 0.0,
                "num_beam_groups",
                "a diversity_penalty of 0",
                "all groups would find the same; set diversity_penalty above 0",
            ),
            (
                self.prompt_lookup_num_tokens > 0 && num_beams > 1,
                "prompt_lookup_num_tokens",
                "num_beams",
                "a draft continues one line, not several beams; leave one of them out",
            ),
            (
                self.prompt_lookup_num_tokens > 0 && self.search() == SearchKind::Contrastive,
                "prompt_lookup_num_tokens",
                "penalty_alpha",
                "a draft cannot stand in for the candidates of contrastive search; leave one of them out",
            ),
            (
                self.is_guided() && num_beams > 1,
                "guidance_scale",
                "num_beams",
                "the text without the prompt goes on from one line, not from several beams; leave one of them out",
            ),
            (
                self.is_guided() && self.search() == SearchKind::Contrastive,
                "guidance_scale",
                "penalty_alpha",
                "the text without the prompt goes on from one line, not from candidates; leave one of them out",
            ),
        ];
        match contradictions.into_iter().find(|(found, ..)| *found) {
            Some((_, name, other, reason)) => Err(OptionsError::Contradiction { name, other, reason }),
            None => Ok(()),
        }
    }

    /// Checks token ids and beams against V. Ids of `eos_token_id`, `suppress_tokens` and the like outside the vocabulary are harmless and pass.
    /// [`Generator::generate`](crate::Generator::generate) checks this by itself; whoever takes parameters long before a prompt may ask earlier.
    ///
    /// # Errors
    /// A token that the model does not have, or more beams than it has candidates for.
    pub fn check_vocabulary(&self, vocab_size: usize) -> Result<(), OptionsError> {
        let forced = self.forced_eos_token_id.iter().map(|&t| ("forced_eos_token_id", t));
        let forced = forced.chain(self.forced_bos_token_id.map(|t| ("forced_bos_token_id", t)));
        let named = forced.chain(self.bad_words_ids.iter().flatten().map(|&t| ("bad_words_ids", t)));
        let biased = self.sequence_bias.iter().flat_map(|(sequence, _)| sequence);
        let named = named.chain(biased.map(|&t| ("sequence_bias", t)));
        for (name, token) in named {
            if token as usize >= vocab_size {
                return Err(OptionsError::TokenOutsideVocabulary { name, token, vocab_size });
            }
        }
        let (num_beams, eos) = (self.num_beams, self.eos_token_id.len());
        if num_beams > 1 && self.candidates() > self.group_size() * vocab_size {
            return Err(OptionsError::VocabularyTooSmall { num_beams, eos, vocab_size });
        }
        Ok(())
    }
}
