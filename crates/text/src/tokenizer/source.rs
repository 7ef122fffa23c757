//! Which files hold a model's tokenizer, and the tokenizer that they make.
//!
//! Folders are read in the order of transformers: `tokenizer.json`, a SentencePiece or tiktoken model, `vocab.json` with
//! `merges.txt`. What comes out is one kind of tokenizer, and what its files say of special tokens.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::sentencepiece::SentencePiece;
use super::sentencepiece::convert::{KNOWN_CLASSES, Style, to_tokenizer};
use super::tiktoken::{self, Ranks};
use super::{byte_level, llama2c, special};
use crate::error::TextError;

type Object = Map<String, Value>;

/// An added token longer than this is taken for a broken file: the table in which added tokens are found grows with their length.
const LONGEST_ADDED_TOKEN: usize = 512;

/// A tokenizer out of its files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) inner: tokenizers::Tokenizer,
    /// What stands in for the keys that a tokenizer_config.json lacks.
    pub(super) defaults: Object,
}

impl From<tokenizers::Tokenizer> for Loaded {
    fn from(inner: tokenizers::Tokenizer) -> Self {
        Loaded { inner, defaults: Object::new() }
    }
}

/// The tokenizer of a folder.
pub(super) fn from_folder(
    dir: &Path,
    config: Option<&Object>,
    model_config: Option<&Object>,
) -> Result<Loaded, TextError> {
    let file = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
    if let Some(path) = file("tokenizer.json") {
        return parse(&read(&path)?, &path).map(Loaded::from);
    }
    let model = file("tokenizer.model").or_else(|| file("spiece.model")).or_else(|| only_model(dir));
    if let Some(path) = model {
        return from_model_file(&path, config, model_config);
    }
    if let (Some(vocab), Some(merges)) = (file("vocab.json"), file("merges.txt")) {
        return guarded(|| byte_level::from_vocab_and_merges(&vocab, &merges, config), &vocab)?.map(Loaded::from);
    }
    match file("tokenizer.bin") {
        Some(path) => from_llama2c(&path),
        None => Err(TextError::TokenizerMissing { dir: dir.to_path_buf() }),
    }
}

/// A file `*.model`, if there is just one.
fn only_model(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    let mut models = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "model") && path.is_file());
    let first = models.next()?;
    models.next().is_none().then_some(first)
}

/// The tokenizer of a `tokenizer.model`: a SentencePiece model, or ranks as Llama 3's.
pub(super) fn from_model_file(
    path: &Path,
    config: Option<&Object>,
    model_config: Option<&Object>,
) -> Result<Loaded, TextError> {
    let broken = |cause: String| TextError::TokenizerFile { path: path.to_path_buf(), cause };
    let bytes = read(path)?;
    if Ranks::begins(&bytes) {
        let ranks = Ranks::parse(&bytes).map_err(|e| broken(format!("no list of ranks: {e}")))?;
        return guarded(|| from_ranks(&ranks, config, model_config), path)?.map_err(|e| broken(e.to_string()));
    }
    let model = SentencePiece::from_protobuf(&bytes)
        .map_err(|e| broken(format!("no SentencePiece model: {e}, and no list of tokens in base64 with ranks")))?;
    let class = config.and_then(|c| c.get("tokenizer_class")).and_then(Value::as_str).unwrap_or("");
    let style = Style::of(config, model_config).ok_or_else(|| TextError::TokenizerClass {
        path: path.to_path_buf(),
        class: class.to_owned(),
        known: KNOWN_CLASSES,
    })?;
    from_pieces(&model, style, config, path)
}

/// The tokenizer of pieces; `path` stands in messages.
pub(super) fn from_pieces(
    model: &SentencePiece,
    style: Style,
    config: Option<&Object>,
    path: &Path,
) -> Result<Loaded, TextError> {
    let flag = |key: &str| config.and_then(|c| c.get(key)).and_then(Value::as_bool);
    let around = (flag("add_bos_token"), flag("add_eos_token"));
    let inner = guarded(|| to_tokenizer(model, style, around), path)?
        .map_err(|e| TextError::TokenizerFile { path: path.to_path_buf(), cause: e.to_string() })?;
    let class = match style {
        Style::Plain => "PreTrainedTokenizerFast",
        Style::Llama { .. } => "LlamaTokenizer",
        Style::Gemma => "GemmaTokenizer",
        Style::T5 { .. } => "T5Tokenizer",
    };
    let mut defaults = Object::new();
    for (key, id) in
        [("bos_token", model.bos), ("eos_token", model.eos), ("unk_token", model.unk), ("pad_token", model.pad)]
    {
        if let Some(text) = id.and_then(|id| model.text(id)) {
            defaults.insert(key.into(), text.into());
        }
    }
    defaults.insert("tokenizer_class".into(), class.into());
    Ok(Loaded { inner, defaults })
}

fn from_ranks(ranks: &Ranks, config: Option<&Object>, model_config: Option<&Object>) -> tokenizers::Result<Loaded> {
    let ends: Vec<u64> = match model_config.and_then(|c| c.get("eos_token_id")) {
        Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_u64).collect(),
        Some(id) => id.as_u64().into_iter().collect(),
        None => Vec::new(),
    };
    // Tokens that the configuration lists are added from there.
    if let Some(listed) = config.and_then(|c| c.get("added_tokens_decoder")).and_then(Value::as_object) {
        let text = config.and_then(|c| special::token_text(c.get("bos_token")?));
        let listed = listed.iter().find(|(_, token)| text.is_some() && special::token_text(token) == text);
        let bos = text.zip(listed.and_then(|(id, _)| id.parse().ok()));
        return Ok(ranks.to_tokenizer(&[], bos.map(|(text, id)| (text.to_owned(), id)))?.into());
    }
    let special = tiktoken::llama3_special_tokens(ends.contains(&u64::from(ranks.len() + 8)));
    let inner = ranks.to_tokenizer(&special, special.first().map(|bos| (bos.clone(), ranks.len())))?;
    let end = ends.first().and_then(|id| inner.id_to_token(u32::try_from(*id).ok()?));
    let mut defaults = Object::new();
    defaults.insert("bos_token".into(), "<|begin_of_text|>".into());
    defaults.insert("eos_token".into(), end.unwrap_or_else(|| "<|end_of_text|>".into()).into());
    Ok(Loaded { inner, defaults })
}

/// The tokenizer of a `tokenizer.bin` of llama2.c.
pub(super) fn from_llama2c(path: &Path) -> Result<Loaded, TextError> {
    let model =
        llama2c::parse(&read(path)?).map_err(|cause| TextError::TokenizerFile { path: path.to_path_buf(), cause })?;
    from_pieces(&model, Style::Llama { legacy: true }, None, path)
}

/// A tokenizer.json.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<tokenizers::Tokenizer, TextError> {
    let broken = |cause: String| TextError::TokenizerFile { path: path.to_path_buf(), cause };
    let not_one = |cause: String| broken(format!("not a tokenizer: {cause}"));
    let listed: Listed = serde_json::from_slice(bytes).map_err(|e| not_one(e.to_string()))?;
    if let Some(long) = listed.added_tokens.iter().find(|token| token.content.len() > LONGEST_ADDED_TOKEN) {
        let (length, id) = (long.content.len(), long.id);
        return Err(broken(format!(
            "the added token {id} has {length} bytes; at most {LONGEST_ADDED_TOKEN} are expected of one"
        )));
    }
    guarded(|| tokenizers::Tokenizer::from_bytes(bytes), path)?.map_err(|e| not_one(e.to_string()))
}

/// The part of a tokenizer.json that is looked at before the crate reads it.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    added_tokens: Vec<ListedToken>,
}

#[derive(Deserialize)]
struct ListedToken {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    content: String,
}

/// What `f` gives, or an error in place of a panic: the `tokenizers` crate trusts some of what files say.
pub(super) fn guarded<T>(f: impl FnOnce() -> T, path: &Path) -> Result<T, TextError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| TextError::TokenizerFile {
        path: path.to_path_buf(),
        cause: "its parts do not fit together (the reader of tokenizers gave up on it)".into(),
    })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TextError> {
    fs::read(path).map_err(TextError::read(path))
}
