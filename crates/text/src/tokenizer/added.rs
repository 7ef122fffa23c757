//! Tokens added to a vocabulary, and whether a model has room for all.

use tokenizers::AddedToken;

use super::Tokenizer;
use crate::error::TextError;

/// A token to add. It is found wherever its text stands and cuts the text there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its text.
    pub text: String,
    /// Whether it is special: decoding leaves it out on request, and it can end a turn.
    pub special: bool,
}

impl NewToken {
    /// A special token, such as `<|tool_call|>`.
    pub fn special(text: impl Into<String>) -> Self {
        NewToken { text: text.into(), special: true }
    }

    /// An ordinary token, such as a word of a new field.
    pub fn ordinary(text: impl Into<String>) -> Self {
        NewToken { text: text.into(), special: false }
    }
}

impl Tokenizer {
    /// Adds tokens and gives their ids, in order: new ones follow the vocabulary; a text that is a token already keeps its id and
    /// is found everywhere from now on. [`Tokenizer::ids_beyond`] tells which of them a model has no row for.
    ///
    /// # Errors
    /// When a text is empty, stands twice, or the vocabulary leaves no id behind it; then nothing is added.
    pub fn add_tokens(&mut self, tokens: &[NewToken]) -> Result<Vec<u32>, TextError> {
        let refuse = |cause: String| Err(TextError::NewToken { cause });
        for (i, token) in tokens.iter().enumerate() {
            if token.text.is_empty() {
                return refuse(format!("token {i} is empty"));
            }
            if tokens[..i].iter().any(|before| before.text == token.text) {
                return refuse(format!("{:?} stands twice", token.text));
            }
        }
        let mut inner = self.inner.clone();
        let added: Vec<AddedToken> =
            tokens.iter().map(|token| AddedToken::from(token.text.clone(), token.special).normalized(false)).collect();
        inner.add_tokens(&added);
        let mut ids = Vec::with_capacity(tokens.len());
        for token in tokens {
            let Some(id) = inner.token_to_id(&token.text) else {
                return refuse(format!("{:?} was not taken", token.text));
            };
            // Ids are given out by the number of tokens; a vocabulary with gaps has tokens there already.
            if let Some(owner) = self.inner.id_to_token(id).filter(|owner| *owner != token.text) {
                return refuse(format!(
                    "{:?} would get the id {id}, which {owner:?} has: the ids of this vocabulary have gaps",
                    token.text
                ));
            }
            ids.push(id);
        }
        self.replace(inner)?;
        Ok(ids)
    }

    /// The ids for which an embedding of `rows` rows has none, in order.
    #[must_use]
    pub fn ids_beyond(&self, rows: usize) -> Vec<u32> {
        let mut ids: Vec<u32> = self.inner.get_vocab(true).into_values().filter(|id| *id as usize >= rows).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether every token has a row in an embedding of `rows` rows. More rows than tokens are common and fine.
    ///
    /// # Errors
    /// Naming the first token without a row.
    pub fn check_embedding(&self, rows: usize) -> Result<(), TextError> {
        match self.ids_beyond(rows)[..] {
            [] => Ok(()),
            [first, ..] => Err(TextError::BeyondEmbedding {
                tokens: self.vocab_size(),
                rows,
                id: first,
                text: self.token_text(first).unwrap_or_default(),
            }),
        }
    }
}
