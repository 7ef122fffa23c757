//! The vocabulary that a GGUF file carries in its metadata.
//!
//! Two kinds are of models that are read: `llama` (SentencePiece pieces with scores) and `gpt2` (byte-level BPE, with a name for the
//! pattern that cuts a text before merging, [`pattern::named`]).

mod writing;

use std::collections::HashSet;
use std::path::Path;

use luthier_gguf::{TokenType, Vocabulary};
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::sequence::Sequence;
use tokenizers::{AddedToken, Tokenizer};

use super::pattern::{self, Named};
use super::sentencepiece::convert::{Style, around_every_text};
use super::sentencepiece::{Kind, Piece, SentencePiece};
use super::source::{Loaded, from_pieces, guarded};
use crate::error::TextError;

/// The tokenizer of a vocabulary; `path` stands in messages.
pub(super) fn load(vocabulary: &Vocabulary, path: &Path) -> Result<Loaded, TextError> {
    let broken = |cause: String| TextError::TokenizerFile { path: path.to_path_buf(), cause };
    let mut loaded = match vocabulary.model.as_str() {
        "llama" => {
            let model = pieces(vocabulary);
            model.check().map_err(|e| broken(format!("its vocabulary: {e}")))?;
            let around = json!({
                "add_bos_token": vocabulary.add_bos.unwrap_or(true),
                "add_eos_token": vocabulary.add_eos.unwrap_or(false),
            });
            from_pieces(&model, Style::Llama { legacy: true }, around.as_object(), path)?
        }
        "gpt2" => {
            let pre = vocabulary.pre.as_deref().unwrap_or_default();
            let named = pattern::named(pre).ok_or_else(|| {
                broken(format!("tokenizer.ggml.pre is {pre:?}, which is not known (known: {})", pattern::NAMES))
            })?;
            check(vocabulary).map_err(broken)?;
            guarded(|| byte_level(vocabulary, named), path)?.map_err(|e| broken(format!("its vocabulary: {e}")))?.into()
        }
        other => {
            return Err(broken(format!(
                "tokenizer.ggml.model is {other:?}; vocabularies of \"llama\" and \"gpt2\" are read"
            )));
        }
    };
    name_tokens(vocabulary, &mut loaded.defaults);
    loaded.defaults.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    Ok(loaded)
}

fn pieces(vocabulary: &Vocabulary) -> SentencePiece {
    let kind = |id: usize| match vocabulary.token_types.get(id) {
        Some(TokenType::Unknown) => Kind::Unknown,
        Some(TokenType::Control) => Kind::Control,
        Some(TokenType::UserDefined) => Kind::UserDefined,
        Some(TokenType::Unused) => Kind::Unused,
        Some(TokenType::Byte) => Kind::Byte,
        Some(TokenType::Normal | TokenType::Undefined) | None => Kind::Normal,
    };
    let pieces = vocabulary
        .tokens
        .iter()
        .enumerate()
        .map(|(id, text)| Piece {
            text: filled(text, id),
            score: vocabulary.scores.get(id).copied().unwrap_or(0.0),
            kind: kind(id),
        })
        .collect();
    let defaults = vocabulary.defaults();
    SentencePiece {
        add_dummy_prefix: vocabulary.add_space_prefix.unwrap_or(defaults.add_space_prefix),
        unk: vocabulary.unk.or(defaults.unk),
        bos: vocabulary.bos.or(defaults.bos),
        eos: vocabulary.eos.or(defaults.eos),
        pad: vocabulary.pad,
        ..SentencePiece::llama_like(pieces)
    }
}

/// Some files hold empty tokens where a vocabulary was filled up.
fn filled(text: &str, id: usize) -> String {
    if text.is_empty() { format!("[EMPTY_{id}]") } else { text.to_owned() }
}

fn check(vocabulary: &Vocabulary) -> Result<(), String> {
    if vocabulary.tokens.is_empty() {
        return Err("its vocabulary has no tokens".into());
    }
    let mut seen = HashSet::with_capacity(vocabulary.tokens.len());
    match vocabulary.tokens.iter().position(|text| !text.is_empty() && !seen.insert(text.as_str())) {
        Some(id) => Err(format!("token {id} of its vocabulary ({:?}) stands twice", vocabulary.tokens[id])),
        None => Ok(()),
    }
}

fn byte_level(vocabulary: &Vocabulary, named: Named) -> tokenizers::Result<Tokenizer> {
    let vocab: Vocab = vocabulary.tokens.iter().enumerate().map(|(id, text)| (filled(text, id), id as u32)).collect();
    let merges = vocabulary
        .merges
        .iter()
        .enumerate()
        .map(|(at, merge)| {
            let (left, right) = merge.split_once(' ').ok_or_else(|| format!("merge {at} ({merge:?}) is no pair"))?;
            Ok((left.to_owned(), right.to_owned()))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(named.ignore_merges).build()?;
    let mut tokenizer = Tokenizer::new(bpe);
    if named.nfc {
        tokenizer.with_normalizer(Some(NFC));
    }
    match named.patterns {
        [pattern::GPT2] => tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true))),
        patterns => tokenizer.with_pre_tokenizer(Some(pattern::pre_tokenizer(patterns)?)),
    };
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    let added: Vec<AddedToken> = vocabulary
        .tokens
        .iter()
        .zip(&vocabulary.token_types)
        .filter(|(text, kind)| {
            !text.is_empty() && matches!(kind, TokenType::Control | TokenType::UserDefined | TokenType::Unknown)
        })
        .map(|(text, kind)| AddedToken::from(text.clone(), *kind != TokenType::UserDefined).normalized(false))
        .collect();
    tokenizer.add_tokens(&added);
    let token = |id: Option<u32>, on: bool| {
        let id = id.filter(|_| on)?;
        Some((vocabulary.tokens.get(id as usize)?.clone(), id))
    };
    let bos = token(vocabulary.bos, vocabulary.add_bos.unwrap_or(named.add_bos));
    let eos = token(vocabulary.eos, vocabulary.add_eos.unwrap_or(false));
    let mut processors = vec![PostProcessorWrapper::ByteLevel(ByteLevel::new(false, false, false))];
    if bos.is_some() || eos.is_some() {
        processors.push(around_every_text(bos.as_ref(), eos.as_ref())?);
    }
    tokenizer.with_post_processor(Some(Sequence::new(processors)));
    Ok(tokenizer)
}

/// Special tokens and templates under the keys of tokenizer_config.json.
fn name_tokens(vocabulary: &Vocabulary, config: &mut Map<String, Value>) {
    let named = [
        ("bos_token", vocabulary.bos),
        ("eos_token", vocabulary.eos),
        ("unk_token", vocabulary.unk),
        ("pad_token", vocabulary.pad),
    ];
    for (key, id) in named {
        if let Some((text, id)) = id.and_then(|id| Some((vocabulary.tokens.get(id as usize)?, id))) {
            config.insert(key.into(), filled(text, id as usize).into());
        }
    }
    let own = vocabulary.chat_template.as_deref();
    let templates: Vec<Value> = own
        .map(|template| ("default", template))
        .into_iter()
        .chain(vocabulary.named_chat_templates.iter().map(|(name, template)| (name.as_str(), template.as_str())))
        .map(|(name, template)| json!({"name": name, "template": template}))
        .collect();
    match (own, &templates[..]) {
        (_, []) => {}
        (Some(template), [_]) => {
            config.insert("chat_template".into(), template.into());
        }
        _ => {
            config.insert("chat_template".into(), templates.into());
        }
    }
}
