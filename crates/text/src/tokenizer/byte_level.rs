//! Byte-level BPE from `vocab.json` and `merges.txt`, for folders that carry no `tokenizer.json`.
//!
//! The two files do not say how text is cut before merging; that is a property of the class, so only known classes are read.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use crate::error::TextError;

/// The pattern of Qwen2's tokenizer (transformers, `convert_slow_tokenizer.py`, Qwen2Converter).
const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub(super) fn from_vocab_and_merges(
    dir: &Path,
    config: Option<&Map<String, Value>>,
) -> Result<tokenizers::Tokenizer, TextError> {
    let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
    if !vocab.is_file() || !merges.is_file() {
        return Err(TextError::TokenizerMissing { dir: dir.to_path_buf() });
    }
    let class = config.and_then(|c| c.get("tokenizer_class")).and_then(Value::as_str).unwrap_or("");
    let qwen2 = match class.trim_end_matches("Fast") {
        "Qwen2Tokenizer" => true,
        "GPT2Tokenizer" => false,
        _ => return Err(TextError::TokenizerClass { dir: dir.to_path_buf(), class: class.to_string() }),
    };
    let broken =
        |e: tokenizers::Error| TextError::TokenizerFile { path: vocab.clone(), cause: format!("with merges.txt: {e}") };
    let bpe = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy()).build().map_err(broken)?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    if qwen2 {
        tokenizer.with_normalizer(Some(NFC));
        tokenizer.with_pre_tokenizer(Some(qwen2_pre_tokenizer().map_err(broken)?));
    } else {
        let prefix = config.and_then(|c| c.get("add_prefix_space")).and_then(Value::as_bool).unwrap_or(false);
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(prefix, true, true)));
    }
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    tokenizer.with_post_processor(Some(ByteLevel::new(false, false, false)));
    Ok(tokenizer)
}

/// Cuts text by Qwen2's pattern and turns the pieces into bytes.
pub(super) fn qwen2_pre_tokenizer() -> tokenizers::Result<Sequence> {
    let pattern = SplitPattern::Regex(QWEN2_PATTERN.to_string());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
    let bytes = ByteLevel::new(false, false, false);
    Ok(Sequence::new(vec![PreTokenizerWrapper::Split(split), PreTokenizerWrapper::ByteLevel(bytes)]))
}
