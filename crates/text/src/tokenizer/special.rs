//! Which tokens play a part, and where the tokenizer puts them.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::SpecialToken;
use crate::error::TextError;

type Object = Map<String, Value>;

/// The tokens that files name by their part.
#[derive(Debug, Clone, Default)]
pub(super) struct NamedTokens {
    pub(super) bos: Option<SpecialToken>,
    pub(super) eos: Option<SpecialToken>,
    pub(super) pad: Option<SpecialToken>,
    pub(super) unk: Option<SpecialToken>,
}

impl NamedTokens {
    /// Reads them from tokenizer_config.json, then special_tokens_map.json, then the defaults of the tokenizer's class; a folder
    /// without tokenizer_config.json is served by the ids in the model's config.json.
    pub(super) fn find(
        inner: &tokenizers::Tokenizer,
        config: Option<&Object>,
        special_map: Option<&Object>,
        model_config: Option<&Object>,
        dir: &Path,
    ) -> Result<Self, TextError> {
        let class = config.and_then(|c| c.get("tokenizer_class")).and_then(Value::as_str).unwrap_or("");
        let find = |part: &str, required: bool| -> Result<Option<SpecialToken>, TextError> {
            let key = format!("{part}_token");
            let stated = config.and_then(|c| c.get(&key)).or_else(|| special_map.and_then(|m| m.get(&key)));
            if let Some(value) = stated {
                let Some(text) = token_text(value) else { return Ok(None) };
                return match inner.token_to_id(text) {
                    Some(id) => Ok(Some(SpecialToken { id, text: text.to_string() })),
                    None if required => Err(TextError::TokenizerFile {
                        path: dir.join("tokenizer_config.json"),
                        cause: format!("{key} is {text:?}, which is not in the vocabulary"),
                    }),
                    None => Ok(None),
                };
            }
            if let Some(text) = class_default(class, part)
                && let Some(id) = inner.token_to_id(text)
            {
                return Ok(Some(SpecialToken { id, text: text.to_string() }));
            }
            let id = model_config.filter(|_| config.is_none()).and_then(|c| first_id(c.get(&format!("{key}_id"))?));
            Ok(id.and_then(|id| inner.id_to_token(id).map(|text| SpecialToken { id, text })))
        };
        Ok(NamedTokens {
            bos: find("bos", true)?,
            eos: find("eos", true)?,
            pad: find("pad", false)?,
            unk: find("unk", false)?,
        })
    }

    pub(super) fn listed(&self) -> [(&'static str, Option<&SpecialToken>); 4] {
        [
            ("bos_token", self.bos.as_ref()),
            ("eos_token", self.eos.as_ref()),
            ("pad_token", self.pad.as_ref()),
            ("unk_token", self.unk.as_ref()),
        ]
    }
}

/// Files write a token as its text or as an object with `content`.
pub(super) fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

fn first_id(value: &Value) -> Option<u32> {
    let value = value.as_array().map_or(Some(value), |ids| ids.first())?;
    u32::try_from(value.as_u64()?).ok()
}

/// What transformers' tokenizer classes name when the file does not.
fn class_default(class: &str, part: &str) -> Option<&'static str> {
    let class = class.trim_end_matches("Fast");
    match (class, part) {
        ("GPT2Tokenizer", "bos" | "eos" | "unk") | ("Qwen2Tokenizer", "eos" | "unk" | "pad") => Some("<|endoftext|>"),
        ("LlamaTokenizer" | "CodeLlamaTokenizer" | "BloomTokenizer", "bos") => Some("<s>"),
        ("LlamaTokenizer" | "CodeLlamaTokenizer" | "BloomTokenizer", "eos") => Some("</s>"),
        ("LlamaTokenizer" | "CodeLlamaTokenizer" | "BloomTokenizer" | "GemmaTokenizer", "unk") => Some("<unk>"),
        ("BloomTokenizer" | "GemmaTokenizer", "pad") => Some("<pad>"),
        ("GemmaTokenizer", "bos") => Some("<bos>"),
        ("GemmaTokenizer", "eos") => Some("<eos>"),
        _ => None,
    }
}

/// Who decides which tokens stand around every text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Surround {
    /// The post-processor of tokenizer.json.
    PostProcessor,
    /// `add_bos_token` and `add_eos_token` of tokenizer_config.json: transformers' Llama and Gemma classes put them over the
    /// post-processor.
    Config { bos: Option<u32>, eos: Option<u32> },
}

impl Surround {
    pub(super) fn of(config: Option<&Object>, named: &NamedTokens) -> Self {
        let class = config.and_then(|c| c.get("tokenizer_class")).and_then(Value::as_str).unwrap_or("");
        let obeys =
            matches!(class.trim_end_matches("Fast"), "LlamaTokenizer" | "CodeLlamaTokenizer" | "GemmaTokenizer");
        let flag = |key: &str| config.and_then(|c| c.get(key)).and_then(Value::as_bool);
        let (add_bos, add_eos) = (flag("add_bos_token"), flag("add_eos_token"));
        if !obeys || (add_bos.is_none() && add_eos.is_none()) {
            return Surround::PostProcessor;
        }
        let id = |token: &Option<SpecialToken>, on: bool| token.as_ref().filter(|_| on).map(|token| token.id);
        Surround::Config { bos: id(&named.bos, add_bos.unwrap_or(true)), eos: id(&named.eos, add_eos.unwrap_or(false)) }
    }
}

/// Adds the tokens that tokenizer_config.json (`added_tokens_decoder`) or added_tokens.json list and tokenizer.json lacks.
pub(super) fn add_listed_tokens(
    inner: &mut tokenizers::Tokenizer,
    config: Option<&Object>,
    added: Option<&Object>,
    dir: &Path,
) -> Result<(), TextError> {
    let mut listed: Vec<(u32, AddedToken)> = Vec::new();
    if let Some(decoder) = config.and_then(|c| c.get("added_tokens_decoder")).and_then(Value::as_object) {
        for (id, token) in decoder {
            let broken = || TextError::TokenizerFile {
                path: dir.join("tokenizer_config.json"),
                cause: format!("added_tokens_decoder: entry {id:?} is not a token with an id and a content"),
            };
            let content = token_text(token).ok_or_else(broken)?;
            listed.push((id.parse().map_err(|_| broken())?, described(token, content)));
        }
    }
    for (content, id) in added.into_iter().flatten() {
        let id = first_id(id).ok_or_else(|| TextError::TokenizerFile {
            path: dir.join("added_tokens.json"),
            cause: format!("token {content:?} has no id"),
        })?;
        if !listed.iter().any(|(known, _)| *known == id) {
            listed.push((id, AddedToken::from(content.clone(), false)));
        }
    }
    listed.sort_by_key(|(id, _)| *id);
    let known = inner.get_added_tokens_decoder();
    for (id, token) in listed {
        if known.get(&id).is_some_and(|k| k.content == token.content && k.special == token.special) {
            continue;
        }
        let content = token.content.clone();
        inner.add_tokens(&[token]);
        let found = inner.token_to_id(&content);
        if found != Some(id) {
            return Err(TextError::TokenizerFile {
                path: dir.join("tokenizer_config.json"),
                cause: format!("added token {content:?} should have id {id}, but the vocabulary gives it {found:?}"),
            });
        }
    }
    Ok(())
}

fn described(token: &Value, content: &str) -> AddedToken {
    let flag = |key: &str, default: bool| token.get(key).and_then(Value::as_bool).unwrap_or(default);
    let special = flag("special", false);
    AddedToken::from(content, special)
        .single_word(flag("single_word", false))
        .lstrip(flag("lstrip", false))
        .rstrip(flag("rstrip", false))
        .normalized(flag("normalized", !special))
}
