//! A model's tokenizer, read from its folder as transformers reads it.
//!
//! `tokenizer.json` does the work (the `tokenizers` crate); `tokenizer_config.json` and `special_tokens_map.json` name the special
//! tokens, and may add tokens. Older folders with `vocab.json` and `merges.txt` only are served by [`byte_level`].

mod byte_level;
mod special;
mod stream;
mod train;

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::{fs, io};

use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::error::TextError;
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
        let path = dir.join("tokenizer.json");
        let inner = if path.is_file() {
            let bytes = fs::read(&path).map_err(TextError::read(&path))?;
            parse(&bytes, &path)?
        } else {
            byte_level::from_vocab_and_merges(dir, config.as_ref())?
        };
        let special_map = read_object(&dir.join("special_tokens_map.json"))?;
        let added = read_object(&dir.join("added_tokens.json"))?;
        let model_config = read_object(&dir.join("config.json"))?;
        Self::assemble(inner, config, special_map, added.as_ref(), model_config.as_ref(), dir)
    }

    /// A tokenizer from the bytes of a `tokenizer.json` and, where there is one, of a `tokenizer_config.json`.
    ///
    /// # Errors
    /// When either does not parse, or a named special token is not in the vocabulary.
    pub fn from_bytes(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self, TextError> {
        let inner = parse(tokenizer_json, Path::new("tokenizer.json"))?;
        let config = match tokenizer_config {
            Some(bytes) => Some(object_from(bytes, Path::new("tokenizer_config.json"))?),
            None => None,
        };
        Self::assemble(inner, config, None, None, None, Path::new(""))
    }

    fn assemble(
        mut inner: tokenizers::Tokenizer,
        config: Option<Map<String, Value>>,
        special_map: Option<Map<String, Value>>,
        added: Option<&Map<String, Value>>,
        model_config: Option<&Map<String, Value>>,
        dir: &Path,
    ) -> Result<Self, TextError> {
        // Limits left in tokenizer.json by whoever saved it are a setting of that run, not of the tokenizer.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| TextError::TokenizerFile { path: dir.join("tokenizer.json"), cause: e.to_string() })?;
        special::add_listed_tokens(&mut inner, config.as_ref(), added, dir)?;
        let named = NamedTokens::find(&inner, config.as_ref(), special_map.as_ref(), model_config, dir)?;
        let surround = Surround::of(config.as_ref(), &named);
        let added_tokens = inner.get_added_tokens_decoder();
        let mut special_ids: HashSet<u32> =
            added_tokens.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let border = |t: &tokenizers::AddedToken| !(t.normalized || t.lstrip || t.rstrip || t.single_word);
        let borders = added_tokens.iter().filter(|(_, token)| border(token)).map(|(id, _)| *id).collect();
        special_ids.extend(named.eos.iter().map(|token| token.id));
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        let mut config = config.unwrap_or_default();
        for (key, value) in special_map.into_iter().flatten() {
            config.entry(key).or_insert(value);
        }
        let mut tokenizer =
            Tokenizer { inner, config, named, surround, special_ids, borders, vocab_size, leading_bos: None };
        tokenizer.leading_bos = tokenizer.find_leading_bos()?;
        Ok(tokenizer)
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
        let encoding = self.inner.encode_fast(text, by_processor).map_err(tokenise_error)?;
        let mut ids = encoding.get_ids().to_vec();
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
        let encoding = self.inner.encode(text, false).map_err(tokenise_error)?;
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
        // No decoder of the `tokenizers` crate fails on tokens of its own vocabulary; plain token texts stand in if one did.
        self.inner
            .decode(ids, skip_special)
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

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into `dir`, as transformers reads them.
    /// With `chat_template`, the Jinja source that the model was trained with travels in `tokenizer_config.json`.
    ///
    /// # Errors
    /// When a file cannot be written; each file appears whole or not at all.
    pub fn save(&self, dir: impl AsRef<Path>, chat_template: Option<&str>) -> Result<(), TextError> {
        let dir = dir.as_ref();
        let path = dir.join("tokenizer.json");
        let json = self
            .inner
            .to_string(true)
            .map_err(|e| TextError::TokenizerFile { path: path.clone(), cause: e.to_string() })?;
        luthier_files::write_atomically(&path, |file| file.write_all(json.as_bytes()))
            .map_err(TextError::write(&path))?;
        let mut config = self.config.clone();
        config.entry("tokenizer_class").or_insert_with(|| "PreTrainedTokenizerFast".into());
        let mut special_map = Map::new();
        for (key, token) in self.named.listed() {
            if let Some(token) = token {
                config.insert(key.into(), token.text.clone().into());
                special_map.insert(key.into(), token.text.clone().into());
            }
        }
        if let Some(template) = chat_template {
            config.insert("chat_template".into(), template.into());
        }
        for (name, object) in [("tokenizer_config.json", config), ("special_tokens_map.json", special_map)] {
            let path = dir.join(name);
            luthier_files::write_atomically(&path, |file| {
                serde_json::to_writer_pretty(&mut *file, &object)?;
                file.write_all(b"\n")
            })
            .map_err(TextError::write(&path))?;
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over by value")]
fn tokenise_error(e: tokenizers::Error) -> TextError {
    TextError::Tokenise { cause: e.to_string() }
}

fn parse(bytes: &[u8], path: &Path) -> Result<tokenizers::Tokenizer, TextError> {
    tokenizers::Tokenizer::from_bytes(bytes)
        .map_err(|e| TextError::TokenizerFile { path: path.to_path_buf(), cause: format!("not a tokenizer: {e}") })
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
