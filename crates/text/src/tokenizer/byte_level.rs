//! Byte-level BPE, where every byte is written as a character of its own (GPT-2, Qwen2, Llama 3).
//!
//! `vocab.json` and `merges.txt` do not say how text is cut before merging; that is a property of the class, so of folders that
//! carry only those two, known classes are read.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::pattern;
use crate::error::TextError;

pub(super) fn from_vocab_and_merges(
    vocab: &Path,
    merges: &Path,
    config: Option<&Map<String, Value>>,
) -> Result<tokenizers::Tokenizer, TextError> {
    let class = config.and_then(|c| c.get("tokenizer_class")).and_then(Value::as_str).unwrap_or("");
    let qwen2 = match class.trim_end_matches("Fast") {
        "Qwen2Tokenizer" => true,
        "GPT2Tokenizer" => false,
        _ => {
            return Err(TextError::TokenizerClass {
                path: vocab.to_path_buf(),
                class: class.to_string(),
                known: "Qwen2Tokenizer, GPT2Tokenizer",
            });
        }
    };
    let broken = |e: tokenizers::Error| TextError::TokenizerFile {
        path: vocab.to_path_buf(),
        cause: format!("with merges.txt: {e}"),
    };
    let bpe = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy()).build().map_err(broken)?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    if qwen2 {
        tokenizer.with_normalizer(Some(NFC));
        tokenizer.with_pre_tokenizer(Some(pattern::pre_tokenizer(&[pattern::QWEN2]).map_err(broken)?));
    } else {
        let prefix = config.and_then(|c| c.get("add_prefix_space")).and_then(Value::as_bool).unwrap_or(false);
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(prefix, true, true)));
    }
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    tokenizer.with_post_processor(Some(ByteLevel::new(false, false, false)));
    Ok(tokenizer)
}

/// The characters that stand for the bytes 0..=255 (openai/gpt-2, `encoder.py`: bytes_to_unicode): those that print stand for
/// themselves, the others for U+0100 and what follows, in order.
pub(super) fn byte_characters() -> [char; 256] {
    let mut next = 0x100u32;
    std::array::from_fn(|byte| {
        let code = byte as u32;
        let prints = matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if prints {
            code
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).expect("below the surrogates")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_characters_of_the_tokenizers_crate() {
        let ours: Vec<char> = byte_characters().into_iter().collect();
        let mut theirs: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        theirs.sort_unstable();
        let mut sorted = ours.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, theirs);
        assert_eq!((ours[b' ' as usize], ours[b'\n' as usize], ours[b'a' as usize]), ('Ġ', 'Ċ', 'a'));
    }
}
