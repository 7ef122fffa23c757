//! A model's tokenizer, read from its files as transformers reads them.
//!
//! Whatever the files are ([`source`]: `tokenizer.json`, SentencePiece, tiktoken, `vocab.json` and `merges.txt`, the vocabulary of a
//! GGUF file), they become one kind of tokenizer of the `tokenizers` crate; `tokenizer_config.json` and `special_tokens_map.json` name
//! the special tokens, and may add tokens. The kinds most in use are also served by a faster path with the same results ([`fast`]).

mod added;
mod byte_level;
mod fast;
mod gguf;
mod llama2c;
mod merges;
mod ordinary;
mod pattern;
mod protobuf;
mod save;
mod sentencepiece;
mod source;
mod special;
mod stream;
mod tiktoken;
mod train;

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::error::TextError;
pub use added::NewToken;
use fast::Fast;
use ordinary::Ordinary;
use source::{Loaded, guarded};
use special::{NamedTokens, Surround};
pub use stream::StreamDecoder;

/// A token that plays a part: its id and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialToken {
    /// Token id.
    pub id: u32,
    /// Token text.
    pub text: String,
}

/// Token ids with the bytes of the text that each came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, `[N]`.
    pub ids: Vec<u32>,
    /// Start and end byte of each token in the text, `[N]`; a token that holds part of a character names the whole character.
    pub offsets: Vec<(usize, usize)>,
}

/// A tokenizer with its special tokens.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    config: Map<String, Value>,
    named: NamedTokens,
    surround: Surround,
    special_ids: HashSet<u32>,
    borders: HashSet<u32>,
    vocab_size: usize,
    leading_bos: Option<u32>,
    /// Made when the first text comes; none for kinds that it does not know.
    fast: OnceLock<Option<Arc<Fast>>>,
    ordinary: OnceLock<Arc<Ordinary>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder.
    ///
    /// # Errors
    /// When the folder has no tokenizer, a file of it is broken, or a named special token is not in the vocabulary.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, TextError> {
        let dir = dir.as_ref();
        let config = read_object(&dir.join("tokenizer_config.json"))?;
        let model_config = read_object(&dir.join("config.json"))?;
        let loaded = source::from_folder(dir, config.as_ref(), model_config.as_ref())?;
        let special_map = read_object(&dir.join("special_tokens_map.json"))?;
        let added = read_object(&dir.join("added_tokens.json"))?;
        Self::assemble(loaded, config, special_map, added.as_ref(), model_config.as_ref(), dir)
    }

    /// Reads the tokenizer that belongs to a model, given as its folder or as one file: a `.gguf` file by the vocabulary in it, a
    /// SentencePiece or tiktoken model (`*.model`), a `.bin` of llama2.c by the `tokN.bin` (N: the model's vocabulary) or
    /// `tokenizer.bin` beside it. For other files, such as `model.safetensors`, the folder that they lie in.
    ///
    /// # Errors
    /// As [`Tokenizer::from_dir`].
    pub fn from_model(path: impl AsRef<Path>) -> Result<Self, TextError> {
        let path = path.as_ref();
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        let beside = || -> Result<_, TextError> {
            Ok((read_object(&dir.join("tokenizer_config.json"))?, read_object(&dir.join("config.json"))?))
        };
        match extension {
            _ if path.is_dir() => Self::from_dir(path),
            "gguf" => {
                let file = luthier_gguf::Gguf::open(path)?;
                Self::from_gguf(&luthier_gguf::Vocabulary::of(&file)?, path)
            }
            "model" => {
                let (config, model_config) = beside()?;
                let loaded = source::from_model_file(path, config.as_ref(), model_config.as_ref())?;
                Self::assemble(loaded, config, None, None, model_config.as_ref(), dir)
            }
            "bin" if let Some(vocabulary) = beside_llama2c(path) => {
                Self::assemble(source::from_llama2c(&vocabulary)?, None, None, None, None, dir)
            }
            _ => Self::from_dir(dir),
        }
    }

    /// The tokenizer of the vocabulary in a GGUF file; `path` stands in messages. Its chat template, if it has one, is in
    /// [`Tokenizer::config`].
    ///
    /// # Errors
    /// When the vocabulary is of a kind that is not read, or broken.
    pub fn from_gguf(vocabulary: &luthier_gguf::Vocabulary, path: impl AsRef<Path>) -> Result<Self, TextError> {
        let path = path.as_ref();
        Self::assemble(gguf::load(vocabulary, path)?, None, None, None, None, path)
    }

    /// A tokenizer from the bytes of a `tokenizer.json` and, where there is one, of a `tokenizer_config.json`.
    ///
    /// # Errors
    /// When either does not parse, or a named special token is not in the vocabulary.
    pub fn from_bytes(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self, TextError> {
        let inner = source::parse(tokenizer_json, Path::new("tokenizer.json"))?;
        let config = match tokenizer_config {
            Some(bytes) => Some(object_from(bytes, Path::new("tokenizer_config.json"))?),
            None => None,
        };
        Self::assemble(inner.into(), config, None, None, None, Path::new(""))
    }

    fn assemble(
        loaded: Loaded,
        config: Option<Map<String, Value>>,
        special_map: Option<Map<String, Value>>,
        added: Option<&Map<String, Value>>,
        model_config: Option<&Map<String, Value>>,
        dir: &Path,
    ) -> Result<Self, TextError> {
        let Loaded { mut inner, defaults } = loaded;
        // Limits left in tokenizer.json by whoever saved it are a setting of that run, not of the tokenizer.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| TextError::TokenizerFile { path: dir.join("tokenizer.json"), cause: e.to_string() })?;
        guarded(|| special::add_listed_tokens(&mut inner, config.as_ref(), added, dir), dir)??;
        let mut config = config;
        for (key, value) in defaults {
            let told = special_map.as_ref().is_some_and(|map| map.contains_key(&key));
            if !told {
                config.get_or_insert_default().entry(key).or_insert(value);
            }
        }
        let vocab = inner.get_vocab(true);
        if let Some((text, id)) = vocab.iter().max_by_key(|(_, id)| **id)
            && *id as usize > 16 * (vocab.len() + 1024)
        {
            return Err(TextError::TokenizerFile {
                path: dir.join("tokenizer.json"),
                cause: format!("token {text:?} has the id {id}, but there are only {} tokens", vocab.len()),
            });
        }
        let named = NamedTokens::find(&inner, config.as_ref(), special_map.as_ref(), model_config, dir)?;
        let surround = Surround::of(config.as_ref(), &named);
        let mut config = config.unwrap_or_default();
        for (key, value) in special_map.into_iter().flatten() {
            config.entry(key).or_insert(value);
        }
        Self::with_parts(inner, config, named, surround)
    }

    fn with_parts(
        inner: tokenizers::Tokenizer,
        config: Map<String, Value>,
        named: NamedTokens,
        surround: Surround,
    ) -> Result<Self, TextError> {
        let added_tokens = inner.get_added_tokens_decoder();
        let mut special_ids: HashSet<u32> =
            added_tokens.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let border = |t: &tokenizers::AddedToken| !(t.normalized || t.lstrip || t.rstrip || t.single_word);
        let borders = added_tokens.iter().filter(|(_, token)| border(token)).map(|(id, _)| *id).collect();
        special_ids.extend(named.eos.iter().map(|token| token.id));
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        let mut tokenizer = Tokenizer {
            inner,
            config,
            named,
            surround,
            special_ids,
            borders,
            vocab_size,
            leading_bos: None,
            fast: OnceLock::new(),
            ordinary: OnceLock::new(),
        };
        tokenizer.leading_bos = tokenizer.find_leading_bos()?;
        Ok(tokenizer)
    }

    /// Goes on with another vocabulary, the same otherwise.
    fn replace(&mut self, inner: tokenizers::Tokenizer) -> Result<(), TextError> {
        *self = Self::with_parts(inner, self.config.clone(), self.named.clone(), self.surround.clone())?;
        Ok(())
    }

    fn fast(&self) -> Option<&Fast> {
        let make = || guarded(|| Fast::of(&self.inner), Path::new("")).ok().flatten().map(Arc::new);
        self.fast.get_or_init(make).as_deref()
    }

    fn find_leading_bos(&self) -> Result<Option<u32>, TextError> {
        let Some(bos) = self.bos() else { return Ok(None) };
        let with = self.encode("a", true)?;
        let without = self.encode("a", false)?;
        Ok((with.first() == Some(&bos.id) && without.first() != Some(&bos.id)).then_some(bos.id))
    }

    /// Token ids of `text`; with `add_special`, with the tokens that the tokenizer puts around every text.
    ///
    /// # Errors
    /// When the tokenizer cannot represent the text (a vocabulary without unknown token or bytes).
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let by_processor = add_special && self.surround == Surround::PostProcessor;
        let mut ids = match self.fast().and_then(|fast| fast.encode(text, by_processor)) {
            Some(ids) => ids,
            None => tokenise(|| self.inner.encode_fast(text, by_processor))?.get_ids().to_vec(),
        };
        if add_special && let Surround::Config { bos, eos } = &self.surround {
            ids.splice(0..0, *bos);
            ids.extend(*eos);
        }
        Ok(ids)
    }

    /// Token ids of `text` with byte offsets, without special tokens around it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_offsets(&self, text: &str) -> Result<Encoded, TextError> {
        if let Some(encoded) = self.fast().and_then(|fast| fast.encode_with_offsets(text)) {
            return Ok(encoded);
        }
        let encoding = tokenise(|| self.inner.encode(text, false))?;
        Ok(Encoded { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }

    /// Token ids of a text that continues another one: no space is put before it where the tokenizer puts one before every text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_continuation(&self, text: &str) -> Result<Encoded, TextError> {
        // A line break in front takes the invented space; its own tokens are then taken away again.
        let anchor = self.encode("\n", false)?;
        let mut anchored = self.encode_with_offsets(&format!("\n{text}"))?;
        if !anchored.ids.starts_with(&anchor) {
            return self.encode_with_offsets(text);
        }
        anchored.ids.drain(..anchor.len());
        anchored.offsets.drain(..anchor.len());
        for (start, end) in &mut anchored.offsets {
            *start = start.saturating_sub(1);
            *end = end.saturating_sub(1);
        }
        Ok(anchored)
    }

    /// [`Tokenizer::encode`] of many texts on all threads, results in order.
    ///
    /// # Errors
    /// The first text's that fails.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        add_special: bool,
    ) -> Result<Vec<Vec<u32>>, TextError> {
        texts.par_iter().map(|text| self.encode(text.as_ref(), add_special)).collect()
    }

    /// The text of `ids`; ids outside the vocabulary are left out, bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        // No decoder of the `tokenizers` crate fails on tokens of its own vocabulary, unless a file of it is broken; then plain token
        // texts stand in.
        tokenise(|| self.inner.decode(ids, skip_special))
            .unwrap_or_else(|_| ids.iter().filter_map(|id| self.token_text(*id)).collect::<String>())
    }

    /// Highest token id + 1, added tokens included: the rows that the embedding needs at least.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of a token by its text as the vocabulary writes it.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's text as the vocabulary writes it.
    #[must_use]
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Whether the token is special: decoding leaves it out on request, and one of them ends a turn.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// Whether the token, wherever its text stands, cuts the text there: what follows is tokenised as if nothing stood before it.
    pub(crate) fn is_border(&self, id: u32) -> bool {
        self.borders.contains(&id)
    }

    /// Whether decoding without special tokens leaves the token out. The end-of-sequence token may be an ordinary one there.
    fn is_left_out(&self, id: u32) -> bool {
        self.inner.id_to_token(id).is_some_and(|text| self.inner.get_added_vocabulary().is_special_token(&text))
    }

    /// The beginning-of-sequence token.
    #[must_use]
    pub fn bos(&self) -> Option<&SpecialToken> {
        self.named.bos.as_ref()
    }

    /// The end-of-sequence token.
    #[must_use]
    pub fn eos(&self) -> Option<&SpecialToken> {
        self.named.eos.as_ref()
    }

    /// The padding token.
    #[must_use]
    pub fn pad(&self) -> Option<&SpecialToken> {
        self.named.pad.as_ref()
    }

    /// The unknown token.
    #[must_use]
    pub fn unk(&self) -> Option<&SpecialToken> {
        self.named.unk.as_ref()
    }

    /// The beginning-of-sequence id, where the tokenizer puts one before every text.
    #[must_use]
    pub fn leading_bos(&self) -> Option<u32> {
        self.leading_bos
    }

    /// The fields of `tokenizer_config.json`.
    #[must_use]
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }
}

/// What the `tokenizers` crate makes of a text. It trusts some of what files say, so a file may make it panic on a text.
fn tokenise<T>(f: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TextError> {
    guarded(f, Path::new(""))
        .map_err(|_| "its parts do not fit together; a file of it is broken".to_owned())
        .and_then(|result| result.map_err(|e| e.to_string()))
        .map_err(|cause| TextError::Tokenise { cause })
}

/// The vocabulary beside a model of llama2.c. The sixth number of the model's header is the vocabulary's size, negative where the
/// head has weights of its own.
fn beside_llama2c(model: &Path) -> Option<PathBuf> {
    let dir = model.parent()?;
    let mut header = [0; 24];
    let told = fs::File::open(model).and_then(|mut file| file.read_exact(&mut header)).is_ok();
    let size = i32::from_le_bytes([header[20], header[21], header[22], header[23]]).unsigned_abs();
    let named = told.then(|| dir.join(format!("tok{size}.bin")));
    named.into_iter().chain([dir.join("tokenizer.bin")]).find(|path| path.is_file())
}

/// A JSON object from a file, `None` where the file does not exist.
pub(crate) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, TextError> {
    match fs::read(path) {
        Ok(bytes) => object_from(&bytes, path).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(TextError::Read { path: path.to_path_buf(), cause }),
    }
}

fn object_from(bytes: &[u8], path: &Path) -> Result<Map<String, Value>, TextError> {
    serde_json::from_slice(bytes)
        .map_err(|e| TextError::TokenizerFile { path: path.to_path_buf(), cause: format!("not a JSON object: {e}") })
}
