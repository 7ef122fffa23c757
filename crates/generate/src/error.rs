//! What can be wrong with the parameters, and what can go wrong while decoding.

use crate::step::ModelError;

/// A generation parameter that cannot be used as given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The generation configuration is not a JSON object.
    #[error("the generation configuration cannot be read: {reason}")]
    NotJson {
        /// What the JSON reader said.
        reason: String,
    },
    /// A key nobody knows.
    #[error("unknown generation parameter `{name}`; did you mean `{nearest}`?")]
    UnknownParameter {
        /// The key as written.
        name: String,
        /// The known parameter that looks most like it.
        nearest: &'static str,
    },
    /// A value of a wrong type.
    #[error("generation parameter `{name}` cannot be {value}: {reason}")]
    WrongType {
        /// The parameter.
        name: String,
        /// Its value as written.
        value: String,
        /// What was expected.
        reason: String,
    },
    /// A method of transformers that is not built yet.
    #[error("`{name}` = {value}: this decoding method is not supported yet; leave `{name}` out")]
    NotSupportedYet {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A value outside its range.
    #[error("`{name}` is {value}, but {rule}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The range, and what to do.
        rule: &'static str,
    },
    /// More outputs than beams.
    #[error(
        "num_return_sequences is {num_return_sequences}, but num_beams is only {num_beams}; ask for at most {num_beams} outputs or raise num_beams"
    )]
    MoreOutputsThanBeams {
        /// Outputs asked for.
        num_return_sequences: usize,
        /// Beams.
        num_beams: usize,
    },
    /// Several outputs of a search that has one.
    #[error(
        "num_return_sequences is {num_return_sequences}, but {search} has a single output; set do_sample or num_beams"
    )]
    OneOutput {
        /// Outputs asked for.
        num_return_sequences: usize,
        /// The search.
        search: &'static str,
    },
    /// Groups of unequal size.
    #[error(
        "num_beam_groups is {num_beam_groups}, which does not divide num_beams = {num_beams}; every group needs as many beams as the others"
    )]
    GroupsDoNotDivide {
        /// Groups.
        num_beam_groups: usize,
        /// Beams.
        num_beams: usize,
    },
    /// Parameters that cannot go together.
    #[error("`{name}` and {other} contradict each other: {reason}")]
    Contradiction {
        /// The parameter.
        name: &'static str,
        /// What it does not go with.
        other: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A constraint whose outputs could not end.
    #[error("a constraint needs a token to end with; set eos_token_id")]
    ConstraintWithoutEnd,
    /// A trace of a search that is not written down.
    #[error(
        "contrastive search (penalty_alpha) chooses by hidden states, which a trace does not show; leave penalty_alpha out (generate takes it)"
    )]
    ContrastiveTrace,
    /// A token id the model does not have.
    #[error("`{name}` names token {token}, but the model's vocabulary has {vocab_size} tokens")]
    TokenOutsideVocabulary {
        /// The parameter.
        name: &'static str,
        /// The id.
        token: u32,
        /// V.
        vocab_size: usize,
    },
    /// More beams than a step has candidates.
    #[error(
        "num_beams is {num_beams} with {eos} end-of-sequence tokens, too many for a vocabulary of {vocab_size}: a step could not fill all beams"
    )]
    VocabularyTooSmall {
        /// Beams.
        num_beams: usize,
        /// End-of-sequence ids.
        eos: usize,
        /// V.
        vocab_size: usize,
    },
    /// Nothing to continue.
    #[error("prompt {prompt} has no tokens; give it some text, or set bos_token_id")]
    EmptyPrompt {
        /// Index of the prompt.
        prompt: usize,
    },
    /// No room in the context.
    #[error("prompt {prompt} has {length} tokens and leaves no room in the model's context of {context}; shorten it")]
    PromptTooLong {
        /// Index of the prompt.
        prompt: usize,
        /// Its tokens.
        length: usize,
        /// The context length.
        context: usize,
    },
    /// `max_length` counts the prompt and is already reached.
    #[error(
        "prompt {prompt} has {length} tokens, but max_length is {max_length} and counts the prompt; raise max_length or use max_new_tokens"
    )]
    MaxLengthReached {
        /// Index of the prompt.
        prompt: usize,
        /// Its tokens.
        length: usize,
        /// The limit.
        max_length: usize,
    },
    /// A prompt with a token the model does not have.
    #[error(
        "prompt {prompt} holds token {token}, but the model's vocabulary has {vocab_size} tokens; is it another model's tokenizer?"
    )]
    PromptTokenOutsideVocabulary {
        /// Index of the prompt.
        prompt: usize,
        /// The id.
        token: u32,
        /// V.
        vocab_size: usize,
    },
    /// Stop strings need text.
    #[error("stop_strings need a tokenizer to decode with, and none was given")]
    StopStringsWithoutDecoder,
}

/// Why decoding ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The parameters do not fit each other, the prompts or the model.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The model failed.
    #[error("the model failed at a decoding step: {0}")]
    Model(#[source] ModelError),
    /// The model returned another number of logits than asked for.
    #[error("the model returned {found} logits for {rows} rows of {vocab_size}")]
    WrongLogits {
        /// Rows wanted.
        rows: usize,
        /// V.
        vocab_size: usize,
        /// Numbers returned.
        found: usize,
    },
    /// The model returned no hidden states of one length.
    #[error("the model returned {found} numbers for the hidden states of {rows} tokens")]
    WrongHidden {
        /// Tokens whose states were wanted.
        rows: usize,
        /// Numbers returned.
        found: usize,
    },
    /// A constraint cannot go on.
    #[error("the constraint cannot be followed for prompt {prompt}: {source}")]
    Constraint {
        /// Index of the prompt.
        prompt: usize,
        /// What it said.
        source: ModelError,
    },
    /// The model's numbers broke down.
    #[error(
        "the model gave a logit that is not a number for prompt {prompt} after {new_tokens} new tokens; are the weights sound?"
    )]
    NotANumber {
        /// Index of the prompt.
        prompt: usize,
        /// New tokens so far.
        new_tokens: usize,
    },
    /// Nothing left to draw from.
    #[error(
        "every token is forbidden for prompt {prompt} after {new_tokens} new tokens; loosen suppress_tokens, bad_words_ids, no_repeat_ngram_size or the constraint"
    )]
    NothingAllowed {
        /// Index of the prompt.
        prompt: usize,
        /// New tokens so far.
        new_tokens: usize,
    },
}
