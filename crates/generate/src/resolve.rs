//! From options to what decoding uses: every default filled in, every value checked.

use crate::error::OptionsError;
use crate::lookup::Lookup;
use crate::options::{BeamLength, EarlyStopping, GenerationOptions};

/// Total length when nothing limits it (transformers' own default, prompt included).
pub const DEFAULT_MAX_LENGTH: usize = 20;

/// Seed of the draws when none is given.
pub const DEFAULT_SEED: u64 = 42;

/// Longest n-gram that prompt lookup looks for when nothing else is given.
const DEFAULT_NGRAM: usize = 2;

/// Checked generation parameters with every default written out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// Longest sequence, prompt included; counts only without `max_new_tokens`.
    pub max_length: usize,
    /// Most new tokens.
    pub max_new_tokens: Option<usize>,
    /// Seconds after which a prompt is left as it is.
    pub max_time: Option<f64>,
    /// Shortest sequence, prompt included; counts only without `min_new_tokens`.
    pub min_length: usize,
    /// Fewest new tokens.
    pub min_new_tokens: Option<usize>,
    /// Beams; 1 is greedy or sampling.
    pub num_beams: usize,
    /// Draw instead of taking the best.
    pub do_sample: bool,
    /// Outputs per prompt.
    pub num_return_sequences: usize,
    /// Divides the scores; 1 is off.
    pub temperature: f64,
    /// Best tokens kept; 0 keeps all.
    pub top_k: usize,
    /// Mass of best tokens kept; 1 is off.
    pub top_p: f64,
    /// Fraction of the best probability a token needs.
    pub min_p: Option<f64>,
    /// Mass of typical tokens kept; 1 is off.
    pub typical_p: f64,
    /// Least probability; 0 is off.
    pub epsilon_cutoff: f64,
    /// Least probability scaled by entropy; 0 is off.
    pub eta_cutoff: f64,
    /// Penalty of tokens that occurred; 1 is off.
    pub repetition_penalty: f64,
    /// Reward of the prompt's tokens; 1 is off.
    pub encoder_repetition_penalty: f64,
    /// Size of n-grams that must not repeat; 0 is off.
    pub no_repeat_ngram_size: usize,
    /// Size of n-grams of the prompt that must not occur again; 0 is off.
    pub encoder_no_repeat_ngram_size: usize,
    /// Sequences, each once, with what is added to the score of their last token.
    pub sequence_bias: Vec<(Vec<u32>, f64)>,
    /// New tokens from which on an end becomes more likely, and by which factor.
    pub exponential_decay_length_penalty: Option<(usize, f64)>,
    /// Weight of the scores against those of a text without the prompt; 1 is off.
    pub guidance_scale: f64,
    /// Forbidden token sequences, those that are just an end-of-sequence token left out.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// Forbidden tokens.
    pub suppress_tokens: Vec<u32>,
    /// Tokens forbidden at the first new place.
    pub begin_suppress_tokens: Vec<u32>,
    /// Token after a prompt of one token.
    pub forced_bos_token_id: Option<u32>,
    /// Tokens at the last place; empty is off.
    pub forced_eos_token_id: Vec<u32>,
    /// Exponent of the length a beam's score is divided by.
    pub length_penalty: f64,
    /// When beam search may stop.
    pub early_stopping: EarlyStopping,
    /// Which length `length_penalty` acts on.
    pub beam_length: BeamLength,
    /// Groups of beams; 1 is plain beam search.
    pub num_beam_groups: usize,
    /// Cost of a token for each beam of the groups before that chose it; 0 is off.
    pub diversity_penalty: f64,
    /// Weight of being unlike the tokens before; 0 is off.
    pub penalty_alpha: f64,
    /// Most tokens of a draft of prompt lookup; 0 is off.
    pub prompt_lookup_num_tokens: usize,
    /// Longest n-gram looked up.
    pub max_matching_ngram_size: usize,
    /// Tokens that end a sequence; may be empty.
    pub eos_token_id: Vec<u32>,
    /// Fills up shorter rows; the first end-of-sequence token when not given.
    pub pad_token_id: Option<u32>,
    /// Stands in for an empty prompt.
    pub bos_token_id: Option<u32>,
    /// Log-softmax after all processors.
    pub renormalize_logits: bool,
    /// Seed of the draws.
    pub seed: u64,
    /// Texts that end a sequence.
    pub stop_strings: Vec<String>,
}

/// The kinds of search there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchKind {
    /// Greedy or drawing, with or without drafts.
    Lines,
    Contrastive,
    /// One group of beams or several.
    Beams,
}

impl SearchKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lines => "greedy decoding",
            Self::Contrastive => "contrastive search",
            Self::Beams => "beam search",
        }
    }
}

/// The length limits of one prompt, in tokens with the prompt counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of the prompt.
    pub prompt_len: usize,
    /// The sequence stops at this length.
    pub max_length: usize,
    /// No end-of-sequence token below this length.
    pub min_length: usize,
}

impl GenerationOptions {
    /// Fills in transformers' defaults and checks every value. Out-of-range values are errors even where they would have no effect.
    ///
    /// # Errors
    /// The first parameter that is out of its range or contradicts another.
    pub fn resolve(&self) -> Result<Resolved, OptionsError> {
        let eos_token_id = self.eos_token_id.clone().unwrap_or_default();
        let resolved = Resolved {
            max_length: self.max_length.unwrap_or(DEFAULT_MAX_LENGTH),
            max_new_tokens: self.max_new_tokens,
            max_time: self.max_time,
            min_length: self.min_length.unwrap_or(0),
            min_new_tokens: self.min_new_tokens,
            num_beams: self.num_beams.unwrap_or(1),
            do_sample: self.do_sample.unwrap_or(false),
            num_return_sequences: self.num_return_sequences.unwrap_or(1),
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(50),
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p,
            typical_p: self.typical_p.unwrap_or(1.0),
            epsilon_cutoff: self.epsilon_cutoff.unwrap_or(0.0),
            eta_cutoff: self.eta_cutoff.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            encoder_repetition_penalty: self.encoder_repetition_penalty.unwrap_or(1.0),
            no_repeat_ngram_size: self.no_repeat_ngram_size.unwrap_or(0),
            encoder_no_repeat_ngram_size: self.encoder_no_repeat_ngram_size.unwrap_or(0),
            sequence_bias: biases(self.sequence_bias.as_deref().unwrap_or_default())?,
            exponential_decay_length_penalty: self.exponential_decay_length_penalty,
            guidance_scale: self.guidance_scale.unwrap_or(1.0),
            bad_words_ids: words(self.bad_words_ids.as_deref(), &eos_token_id)?,
            suppress_tokens: self.suppress_tokens.clone().unwrap_or_default(),
            begin_suppress_tokens: self.begin_suppress_tokens.clone().unwrap_or_default(),
            forced_bos_token_id: self.forced_bos_token_id,
            forced_eos_token_id: self.forced_eos_token_id.clone().unwrap_or_default(),
            length_penalty: self.length_penalty.unwrap_or(1.0),
            early_stopping: self.early_stopping.unwrap_or_default(),
            beam_length: self.beam_length.unwrap_or_default(),
            num_beam_groups: self.num_beam_groups.unwrap_or(1),
            diversity_penalty: self.diversity_penalty.unwrap_or(0.0),
            penalty_alpha: self.penalty_alpha.unwrap_or(0.0),
            prompt_lookup_num_tokens: self.prompt_lookup_num_tokens.unwrap_or(0),
            max_matching_ngram_size: self.max_matching_ngram_size.unwrap_or(DEFAULT_NGRAM),
            pad_token_id: self.pad_token_id.or(eos_token_id.first().copied()),
            eos_token_id,
            bos_token_id: self.bos_token_id,
            renormalize_logits: self.renormalize_logits.unwrap_or(false),
            seed: self.seed.unwrap_or(DEFAULT_SEED),
            stop_strings: self.stop_strings.clone().unwrap_or_default(),
        };
        resolved.check()?;
        Ok(resolved)
    }
}

/// Forbidden words without those that are an end-of-sequence token alone (transformers leaves them out as well).
fn words(given: Option<&[Vec<u32>]>, eos: &[u32]) -> Result<Vec<Vec<u32>>, OptionsError> {
    let given = given.unwrap_or_default();
    if given.iter().any(Vec::is_empty) {
        return Err(OptionsError::OutOfRange {
            name: "bad_words_ids",
            value: format!("{given:?}"),
            rule: "each word needs at least one token; remove the empty one",
        });
    }
    Ok(given.iter().filter(|word| !(word.len() == 1 && eos.contains(&word[0]))).cloned().collect())
}

/// Sequences with their biases; of equal ones the last counts, as in a Python dict.
fn biases(given: &[(Vec<u32>, f64)]) -> Result<Vec<(Vec<u32>, f64)>, OptionsError> {
    if given.iter().any(|(sequence, bias)| sequence.is_empty() || !bias.is_finite()) {
        return Err(OptionsError::OutOfRange {
            name: "sequence_bias",
            value: format!("{given:?}"),
            rule: "each entry needs at least one token and a finite number (to forbid a sequence there is bad_words_ids)",
        });
    }
    let mut biases: Vec<(Vec<u32>, f64)> = Vec::with_capacity(given.len());
    for (sequence, bias) in given {
        match biases.iter_mut().find(|(before, _)| before == sequence) {
            Some((_, before)) => *before = *bias,
            None => biases.push((sequence.clone(), *bias)),
        }
    }
    Ok(biases)
}

impl Resolved {
    /// How tokens are chosen (`get_generation_mode` of transformers).
    #[must_use]
    pub(crate) fn search(&self) -> SearchKind {
        if self.num_beams > 1 {
            SearchKind::Beams
        } else if !self.do_sample && self.penalty_alpha > 0.0 && self.top_k > 1 {
            SearchKind::Contrastive
        } else {
            SearchKind::Lines
        }
    }

    /// Whether scores are held against those of a text without the prompt.
    pub(crate) fn is_guided(&self) -> bool {
        self.guidance_scale != 1.0
    }

    /// Where drafts are looked up, if they are.
    pub(crate) fn lookup(&self) -> Option<Lookup> {
        let (num_tokens, max_ngram) = (self.prompt_lookup_num_tokens, self.max_matching_ngram_size);
        (num_tokens > 0).then_some(Lookup { num_tokens, max_ngram })
    }

    /// Candidates a step of a group of beams looks at: enough that all beams can go on although every end-of-sequence token is among
    /// them.
    pub(crate) fn candidates(&self) -> usize {
        (1 + self.eos_token_id.len()).max(2) * self.group_size()
    }

    /// Beams of a group.
    pub(crate) fn group_size(&self) -> usize {
        self.num_beams / self.num_beam_groups
    }

    /// Sequences that one prompt takes in a step.
    #[must_use]
    pub fn width(&self) -> usize {
        match self.search() {
            SearchKind::Beams => self.num_beams,
            SearchKind::Contrastive => self.top_k,
            SearchKind::Lines => self.num_return_sequences * if self.is_guided() { 2 } else { 1 },
        }
    }

    /// Fewest tokens a warper keeps: with beams one that is no end-of-sequence token must survive.
    #[must_use]
    pub fn min_tokens_to_keep(&self) -> usize {
        if self.num_beams > 1 { self.eos_token_id.len().max(1) + 1 } else { 1 }
    }

    /// The length limits of prompt number `prompt`, capped by the model's context.
    ///
    /// # Errors
    /// A prompt without room for a single new token: both numbers are named.
    pub fn limits(&self, prompt: usize, prompt_len: usize, context: usize) -> Result<Limits, OptionsError> {
        if prompt_len >= context {
            return Err(OptionsError::PromptTooLong { prompt, length: prompt_len, context });
        }
        let max_length = match self.max_new_tokens {
            Some(new) => prompt_len.saturating_add(new),
            None if prompt_len >= self.max_length => {
                return Err(OptionsError::MaxLengthReached { prompt, length: prompt_len, max_length: self.max_length });
            }
            None => self.max_length,
        };
        let min_length = self.min_new_tokens.map_or(self.min_length, |new| prompt_len.saturating_add(new));
        Ok(Limits { prompt_len, max_length: max_length.min(context), min_length })
    }
}
