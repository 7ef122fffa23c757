//! A new byte-level BPE tokenizer from text, cut before merging as Qwen2's is, so that any text can be written in it.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

use super::{Tokenizer, pattern};
use crate::error::TextError;

impl Tokenizer {
    /// Learns merges until there are `vocab_size` tokens: the special tokens first, then the 256 bytes, then merges.
    /// The last special token ends a turn and a text (eos); the first pads. The same text gives the same tokenizer.
    ///
    /// # Errors
    /// When the text is too small for `vocab_size` or training fails.
    pub fn train_byte_level(
        texts: impl Iterator<Item = String> + Send,
        vocab_size: usize,
        special_tokens: &[String],
    ) -> Result<Self, TextError> {
        let failed = |e: tokenizers::Error| TextError::Tokenise { cause: e.to_string() };
        let special = special_tokens.iter().map(|token| AddedToken::from(token.clone(), true)).collect();
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(special)
            .initial_alphabet(alphabet.into_iter().collect())
            .build();
        let mut learner = TokenizerBuilder::<BPE, NFC, _, ByteLevel, ByteLevel>::new()
            .with_model(BPE::default())
            .with_normalizer(Some(NFC))
            .with_pre_tokenizer(Some(pattern::pre_tokenizer(&[pattern::QWEN2]).map_err(failed)?))
            .with_post_processor(Some(ByteLevel::new(false, false, false)))
            .with_decoder(Some(ByteLevel::new(false, false, false)))
            .build()
            .map_err(failed)?;
        learner.train(&mut trainer, texts).map_err(failed)?;
        let json = learner.to_string(false).map_err(failed)?;
        let mut config = serde_json::Map::new();
        if let (Some(first), Some(last)) = (special_tokens.first(), special_tokens.last()) {
            config.insert("pad_token".into(), first.clone().into());
            config.insert("eos_token".into(), last.clone().into());
        }
        config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        let config = serde_json::to_vec(&config).expect("strings can be written");
        Self::from_bytes(json.as_bytes(), Some(&config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trained_tokenizer_is_the_same_each_time_and_restores_any_text() {
        let texts = || (0..200).map(|i| format!("可攜式太陽能淨水裝置第{i}號，solar water purifier number {i}."));
        let special = ["<|pad|>".to_owned(), "<|end|>".to_owned()];
        let one = Tokenizer::train_byte_level(texts(), 320, &special).unwrap();
        let other = Tokenizer::train_byte_level(texts(), 320, &special).unwrap();
        for text in ["可攜式淨水裝置", "something else 🙂\n", "", "  𠮷野家"] {
            let ids = one.encode(text, false).unwrap();
            assert_eq!(ids, other.encode(text, false).unwrap());
            assert_eq!(one.decode(&ids, false), text);
        }
        assert_eq!(one.eos().unwrap().id, 1);
        assert!(one.vocab_size() <= 320 && one.encode("太陽能", false).unwrap().len() < 9);
    }
}
