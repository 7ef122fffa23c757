//! What can be wrong with a form or a vocabulary.

/// A form that no output can be held to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConstrainError {
    /// A form that cannot be read.
    #[error("the {kind} cannot be used as a form: {reason}")]
    Form {
        /// What it is.
        kind: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// A form that no text has.
    #[error("the list of choices is empty; give at least one text")]
    NoChoices,
    /// A tokenizer whose tokens are no bytes.
    #[error(
        "the tokenizer writes its tokens neither as bytes (GPT-2, Qwen, Llama 3) nor as pieces with ▁ (Llama 2, Mistral), so it is not known which bytes a token stands for"
    )]
    UnknownBytes,
    /// A vocabulary that cannot be walked.
    #[error("the vocabulary cannot be used: {reason}")]
    Vocabulary {
        /// What is wrong.
        reason: String,
    },
}
