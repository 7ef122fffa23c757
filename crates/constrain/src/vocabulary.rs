//! Which bytes each token stands for.

use std::sync::Arc;

use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use luthier_text::Tokenizer;

use crate::error::ConstrainError;

/// The bytes of every token, as a trie that all forms share; made once for a tokenizer.
#[derive(Clone)]
pub struct Vocabulary {
    pub(crate) tokens: TokEnv,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").field("tokens", &self.tokens.tok_trie().vocab_size()).finish()
    }
}

impl Vocabulary {
    /// `bytes[id]` are those of token `id`; without any for a token that no text contains, such as a special one. One of these
    /// must be there, to stand for the end.
    ///
    /// # Errors
    /// When every token has bytes, or there are more than 2^24 tokens.
    pub fn new(bytes: &[Vec<u8>]) -> Result<Self, ConstrainError> {
        let end = bytes.iter().position(Vec::is_empty);
        let end = end.ok_or_else(|| unusable("every token has bytes, so none can stand for the end"))?;
        if bytes.len() > 1 << 24 {
            return Err(unusable("it has more than 16 million tokens"));
        }
        let info = TokRxInfo::new(bytes.len() as u32, end as u32);
        let trie = TokTrie::from(&info, bytes);
        Ok(Self { tokens: Arc::new(ApproximateTokEnv::new(trie)) })
    }

    /// The vocabulary of a tokenizer, for a model with logits of so many tokens.
    ///
    /// # Errors
    /// When the tokenizer's tokens are neither bytes nor pieces.
    pub fn of(tokenizer: &Tokenizer, vocab_size: usize) -> Result<Self, ConstrainError> {
        let written = Written::by(tokenizer).ok_or(ConstrainError::UnknownBytes)?;
        let bytes = |id: u32| match tokenizer.token_text(id) {
            Some(text) if !tokenizer.is_special(id) => written.bytes(&text),
            _ => Vec::new(),
        };
        Self::new(&(0..vocab_size as u32).map(bytes).collect::<Vec<_>>())
    }
}

/// The bytes that a token stands for in a text; none for special tokens, ids that the tokenizer does not know, and tokenizers whose
/// tokens are neither bytes nor pieces.
#[must_use]
pub fn token_bytes(tokenizer: &Tokenizer, id: u32) -> Option<Vec<u8>> {
    let text = tokenizer.token_text(id).filter(|_| !tokenizer.is_special(id))?;
    Some(Written::by(tokenizer)?.bytes(&text))
}

fn unusable(reason: &str) -> ConstrainError {
    ConstrainError::Vocabulary { reason: reason.to_owned() }
}

/// How a vocabulary writes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Every byte as a character of its own (GPT-2).
    Bytes,
    /// Spaces as `▁`, single bytes as `<0x0A>` (SentencePiece).
    Pieces,
}

impl Written {
    fn by(tokenizer: &Tokenizer) -> Option<Self> {
        if tokenizer.token_id("Ġ").is_some() || tokenizer.token_id("Ċ").is_some() {
            Some(Self::Bytes)
        } else if tokenizer.token_id("<0x0A>").is_some() || tokenizer.token_id("▁").is_some() {
            Some(Self::Pieces)
        } else {
            None
        }
    }

    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            // A token that was added as text has characters that stand for no byte: it is its text.
            Self::Bytes => text.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| text.as_bytes().to_vec()),
            Self::Pieces => byte_piece(text).unwrap_or_else(|| text.replace('▁', " ").into_bytes()),
        }
    }
}

/// The byte that a character stands for (openai/gpt-2, `encoder.py`): those that print stand for themselves, the others for U+0100 and
/// what follows, in order.
fn byte_of(c: char) -> Option<u8> {
    let prints = |code: u32| matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(c) {
        code if prints(code) => u8::try_from(code).ok(),
        code @ 0x100..=0x143 => (0..=255u8).filter(|&byte| !prints(u32::from(byte))).nth(code as usize - 0x100),
        _ => None,
    }
}

/// The byte of a piece such as `<0x0A>`.
fn byte_piece(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok().map(|byte| vec![byte]))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_character_and_added_tokens_are_their_text() {
        let mut bytes: Vec<u8> = (0..0x144u32).filter_map(|code| byte_of(char::from_u32(code)?)).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(Written::Bytes.bytes("Ġhe"), b" he");
        assert_eq!(Written::Bytes.bytes("å¥½"), "好".as_bytes());
        assert_eq!(Written::Bytes.bytes("好"), "好".as_bytes());
    }

    #[test]
    fn pieces_have_spaces_and_single_bytes() {
        assert_eq!(Written::Pieces.bytes("▁once"), b" once");
        assert_eq!(Written::Pieces.bytes("<0xE5>"), [0xE5]);
        assert_eq!(Written::Pieces.bytes("<0xE>"), b"<0xE>");
    }

    #[test]
    fn a_vocabulary_needs_a_token_without_bytes() {
        let error = Vocabulary::new(&[b"a".to_vec()]).unwrap_err().to_string();
        assert!(error.contains("none can stand for the end"), "{error}");
    }
}
