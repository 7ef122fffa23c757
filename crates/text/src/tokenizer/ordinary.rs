//! Text that is only text: what spells a special token in it is tokenised like everything else.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{AddedVocabulary, Model, NormalizedString, Normalizer, OffsetType, PreTokenizer};

use super::{Tokenizer, tokenise};
use crate::error::TextError;

/// What stands in for the tokenizer's parts that know special tokens.
#[derive(Debug)]
pub(super) struct Ordinary {
    added: AddedVocabulary,
    /// A unigram vocabulary finds all its pieces in a text; here those of special tokens have a text that no text spells.
    unigram: Option<Unigram>,
}

impl Ordinary {
    fn of(tokenizer: &tokenizers::Tokenizer) -> tokenizers::Result<Self> {
        if let ModelWrapper::Unigram(unigram) = tokenizer.get_model() {
            // It finds added tokens that are not special by itself; cutting them out first would take the spaces around them.
            let unigram = Some(without_special(unigram, tokenizer)?);
            return Ok(Ordinary { added: AddedVocabulary::new(), unigram });
        }
        let mut added = tokenizer.get_added_vocabulary().clone();
        added.set_encode_special_tokens(true);
        Ok(Ordinary { added, unigram: None })
    }
}

fn without_special(unigram: &Unigram, tokenizer: &tokenizers::Tokenizer) -> tokenizers::Result<Unigram> {
    let added = tokenizer.get_added_tokens_decoder();
    let special: HashSet<&str> =
        added.values().filter(|token| token.special).map(|token| token.content.as_str()).collect();
    let mut described = serde_json::to_value(unigram)?;
    for entry in described["vocab"].as_array_mut().into_iter().flatten() {
        if entry[0].as_str().is_some_and(|text| special.contains(text)) {
            let hidden = format!("\u{10FFFF}{}", entry[0].as_str().unwrap_or_default());
            entry[0] = Value::from(hidden);
        }
    }
    // The crate's reader wants borrowed text, which a value cannot lend.
    Ok(serde_json::from_str(&described.to_string())?)
}

impl Tokenizer {
    /// Token ids of `text` as text alone: what is written as a special token in it is ordinary text (tiktoken's
    /// `encode_ordinary`, SentencePiece's `encode`). Nothing is put around it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_ordinary(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = tokenise(|| {
            let ordinary = match self.ordinary.get() {
                Some(ordinary) => ordinary,
                None => {
                    let made = Arc::new(Ordinary::of(&self.inner)?);
                    self.ordinary.get_or_init(|| made)
                }
            };
            // The text as a whole, before anything is cut out of it: what begins a text is put before it once.
            let mut normalized = NormalizedString::from(text);
            if let Some(normalizer) = self.inner.get_normalizer() {
                normalizer.normalize(&mut normalized)?;
            }
            let mut pieces = ordinary.added.extract_and_normalize(None::<&NormalizerWrapper>, normalized.get());
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            pieces.tokenize(|piece| match &ordinary.unigram {
                Some(unigram) => unigram.tokenize(piece.get()),
                None => self.inner.get_model().tokenize(piece.get()),
            })?;
            pieces.into_encoding(None, 0, OffsetType::None)
        })?;
        Ok(encoding.get_ids().to_vec())
    }
}
