//! The vocabulary of a file as plain data: what `tokenizer.*` says, before anybody makes a tokenizer of it.

use crate::error::GgufError;
use crate::gguf::Gguf;
use crate::value::{Array, Value, ValueKind};

/// What `tokenizer.*` of a file says. What it does not say is `None`; llama.cpp then does what [`Defaults`] hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    /// The kind: `llama` is SentencePiece, `gpt2` byte-level BPE; there are `bert`, `t5`, `rwkv` and `none` too.
    pub model: String,
    /// Which regular expression splits a text before BPE, by llama.cpp's name: `llama-bpe`, `qwen2`, `gpt-2`, ...
    pub pre: Option<String>,
    /// The tokens, by id. Those of `llama` have U+2581 for spaces and `<0x0A>` for bytes; those of `gpt2` a letter for each
    /// byte, as in transformers' `vocab.json`.
    pub tokens: Vec<String>,
    /// Scores, by id: what SentencePiece merges by. Empty if the file has none.
    pub scores: Vec<f32>,
    /// Types, by id. Empty if the file has none; then all are normal.
    pub token_types: Vec<TokenType>,
    /// Merges of BPE, the first to be made first: two tokens with a space between them.
    pub merges: Vec<String>,
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends a turn of a conversation.
    pub eot: Option<u32>,
    /// Ends a message to a tool.
    pub eom: Option<u32>,
    /// Stands for what the vocabulary has no token for.
    pub unk: Option<u32>,
    /// Fills up.
    pub pad: Option<u32>,
    /// Separates.
    pub sep: Option<u32>,
    /// Masks.
    pub mask: Option<u32>,
    /// Whether a text is begun with `bos`.
    pub add_bos: Option<bool>,
    /// Whether a text is ended with `eos`.
    pub add_eos: Option<bool>,
    /// Whether a space is put before a text (SentencePiece).
    pub add_space_prefix: Option<bool>,
    /// Whether several spaces become one (SentencePiece).
    pub remove_extra_whitespaces: Option<bool>,
    /// The chat template, in Jinja.
    pub chat_template: Option<String>,
    /// Further chat templates, by name.
    pub named_chat_templates: Vec<(String, String)>,
}

/// What a token is (`llama_token_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// Nothing is known.
    Undefined = 0,
    /// A piece of text.
    #[default]
    Normal = 1,
    /// The token for what is unknown.
    Unknown = 2,
    /// Steers the model; never part of a text, not even one that spells it.
    Control = 3,
    /// A piece of text that is found before anything is split.
    UserDefined = 4,
    /// Fills a gap in the numbering.
    Unused = 5,
    /// A byte.
    Byte = 6,
}

/// What llama.cpp does where a file says nothing (`llama_vocab::impl::load`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Stands for what the vocabulary has no token for.
    pub unk: Option<u32>,
    /// Whether a text is begun with `bos`.
    pub add_bos: bool,
    /// Whether a text is ended with `eos`.
    pub add_eos: bool,
    /// Whether a space is put before a text.
    pub add_space_prefix: bool,
}

/// Pre-tokenisers under whose name a text is begun with `bos`.
const BEGIN_WITH_BOS: [&str; 6] = ["llama3", "llama-v3", "llama-bpe", "falcon3", "tekken", "chameleon"];

impl Defaults {
    /// For a kind of vocabulary and a pre-tokeniser.
    pub fn of(model: &str, pre: Option<&str>) -> Self {
        let none = Self { bos: None, eos: None, unk: None, add_bos: false, add_eos: false, add_space_prefix: false };
        match model {
            "llama" => {
                let (bos, eos, unk) = (Some(1), Some(2), Some(0));
                Self { bos, eos, unk, add_bos: true, add_eos: false, add_space_prefix: true }
            }
            "gpt2" => {
                let add_bos = pre.is_some_and(|pre| BEGIN_WITH_BOS.contains(&pre));
                Self { bos: Some(11), eos: Some(11), add_bos, ..none }
            }
            "bert" => Self { bos: Some(101), unk: Some(100), add_bos: true, ..none },
            "t5" => Self { eos: Some(1), unk: Some(2), add_eos: true, ..none },
            _ => none,
        }
    }
}

impl TokenType {
    const ALL: [Self; 7] =
        [Self::Undefined, Self::Normal, Self::Unknown, Self::Control, Self::UserDefined, Self::Unused, Self::Byte];
}

impl Vocabulary {
    /// The vocabulary of a file.
    ///
    /// # Errors
    /// When it has none, an entry is of another type than it must be, a text is not UTF-8, or lists that go by id have
    /// different lengths.
    pub fn of(file: &Gguf) -> Result<Self, GgufError> {
        let fields = Fields { file };
        let model = fields.text("ggml.model")?.ok_or_else(|| fields.missing("ggml.model"))?;
        let tokens = match fields.texts("ggml.tokens")? {
            Some(tokens) => tokens,
            // Files made without a vocabulary say so.
            None if model == "none" || model == "no_vocab" => Vec::new(),
            None => return Err(fields.missing("ggml.tokens")),
        };
        let count = tokens.len();
        Ok(Self {
            pre: fields.text("ggml.pre")?,
            scores: fields.by_id("ggml.scores", count, "a number", |value| value.as_f64().map(|score| score as f32))?,
            token_types: fields.by_id("ggml.token_type", count, "a number from 0 to 6", |value| {
                TokenType::ALL.get(usize::try_from(value.as_u64()?).ok()?).copied()
            })?,
            merges: fields.texts("ggml.merges")?.unwrap_or_default(),
            bos: fields.token("ggml.bos_token_id", count)?,
            eos: fields.token("ggml.eos_token_id", count)?,
            eot: fields.token("ggml.eot_token_id", count)?,
            eom: fields.token("ggml.eom_token_id", count)?,
            unk: fields.token("ggml.unknown_token_id", count)?,
            pad: fields.token("ggml.padding_token_id", count)?,
            // The key is misspelled in all files.
            sep: fields.token("ggml.seperator_token_id", count)?,
            mask: fields.token("ggml.mask_token_id", count)?,
            add_bos: fields.flag("ggml.add_bos_token")?,
            add_eos: fields.flag("ggml.add_eos_token")?,
            add_space_prefix: fields.flag("ggml.add_space_prefix")?,
            remove_extra_whitespaces: fields.flag("ggml.remove_extra_whitespaces")?,
            chat_template: fields.text("chat_template")?,
            named_chat_templates: fields.named_chat_templates()?,
            model,
            tokens,
        })
    }

    /// What holds where this says nothing.
    pub fn defaults(&self) -> Defaults {
        Defaults::of(&self.model, self.pre.as_deref())
    }

    /// With tokens of no use behind the others until there are `count`, as llama.cpp's converter has it: a file must have as
    /// many tokens as the model has rows in its embedding.
    #[must_use]
    pub fn filled_up_to(mut self, count: usize) -> Self {
        let first = self.tokens.len();
        if first < count && self.token_types.is_empty() {
            self.token_types.resize(first, TokenType::Normal);
        }
        for id in first..count {
            self.tokens.push(format!("[PAD{id}]"));
            self.token_types.push(TokenType::Unused);
            if !self.scores.is_empty() {
                self.scores.push(-10_000.0);
            }
        }
        self
    }

    /// The entries of metadata that say the same, for [`crate::Writer`].
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let mut entries = Vec::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                entries.push((format!("tokenizer.{key}"), value));
            }
        };
        let texts = |texts: &[String]| (!texts.is_empty()).then(|| Value::from(Array::of_texts(texts)));
        let types = self.token_types.iter().map(|&kind| Value::I32(kind as i32));
        put("ggml.model", Some(self.model.as_str().into()));
        put("ggml.pre", self.pre.as_deref().map(Value::from));
        put("ggml.tokens", texts(&self.tokens));
        put("ggml.scores", (!self.scores.is_empty()).then(|| self.scores.as_slice().into()));
        put("ggml.token_type", (!self.token_types.is_empty()).then(|| Array::of_values(ValueKind::I32, types).into()));
        put("ggml.merges", texts(&self.merges));
        put("ggml.bos_token_id", self.bos.map(Value::from));
        put("ggml.eos_token_id", self.eos.map(Value::from));
        put("ggml.eot_token_id", self.eot.map(Value::from));
        put("ggml.eom_token_id", self.eom.map(Value::from));
        put("ggml.unknown_token_id", self.unk.map(Value::from));
        put("ggml.seperator_token_id", self.sep.map(Value::from));
        put("ggml.padding_token_id", self.pad.map(Value::from));
        put("ggml.mask_token_id", self.mask.map(Value::from));
        put("ggml.add_bos_token", self.add_bos.map(Value::from));
        put("ggml.add_eos_token", self.add_eos.map(Value::from));
        put("ggml.add_space_prefix", self.add_space_prefix.map(Value::from));
        put("ggml.remove_extra_whitespaces", self.remove_extra_whitespaces.map(Value::from));
        let names: Vec<&String> = self.named_chat_templates.iter().map(|(name, _)| name).collect();
        put("chat_templates", (!names.is_empty()).then(|| Array::of_texts(names).into()));
        for (name, template) in &self.named_chat_templates {
            put(&format!("chat_template.{name}"), Some(template.as_str().into()));
        }
        put("chat_template", self.chat_template.as_deref().map(Value::from));
        entries
    }
}

/// The entries whose keys begin with `tokenizer.`.
struct Fields<'a> {
    file: &'a Gguf,
}

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<Value> {
        self.file.get(&format!("tokenizer.{key}"))
    }

    fn wrong(&self, key: &str, why: impl Into<String>) -> GgufError {
        let (path, key) = (self.file.path().to_owned(), format!("tokenizer.{key}"));
        GgufError::Metadata { path, key, why: why.into() }
    }

    fn missing(&self, key: &str) -> GgufError {
        self.wrong(key, "is missing: the file has no vocabulary")
    }

    fn text(&self, key: &str) -> Result<Option<String>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_text() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong(key, format!("must be a text in UTF-8, it is of type {}", value.kind()))),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.wrong(key, format!("must be true or false, it is {value:?}"))),
        }
    }

    /// A special token. One that is not among the tokens is none at all, as in llama.cpp: files have such.
    fn token(&self, key: &str, count: usize) -> Result<Option<u32>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_i64() {
            Some(token) => Ok(u32::try_from(token).ok().filter(|&token| (token as usize) < count)),
            None => Err(self.wrong(key, format!("must be the id of a token, it is {value:?}"))),
        }
    }

    fn array(&self, key: &str) -> Result<Option<Array>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(value) => Err(self.wrong(key, format!("must be an array, it is {value:?}"))),
        }
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, GgufError> {
        let Some(array) = self.array(key)? else { return Ok(None) };
        let Some(texts) = array.texts() else {
            return Err(self.wrong(key, format!("must be an array of texts, it is one of {}", array.kind())));
        };
        let mut all = Vec::with_capacity(array.len());
        for (index, text) in texts.enumerate() {
            match std::str::from_utf8(text) {
                Ok(text) => all.push(text.to_owned()),
                Err(_) => {
                    let why = format!("has a text that is not UTF-8 at {index}: {}", text.escape_ascii());
                    return Err(self.wrong(key, why));
                }
            }
        }
        Ok(Some(all))
    }

    /// A list that goes by token, or an empty one.
    fn by_id<T>(
        &self,
        key: &str,
        count: usize,
        due: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, GgufError> {
        let Some(array) = self.array(key)? else { return Ok(Vec::new()) };
        if array.len() != count {
            return Err(self.wrong(key, format!("has {} entries for {count} tokens", array.len())));
        }
        let mut all = Vec::with_capacity(count);
        for (index, value) in array.values().enumerate() {
            let read = read(&value);
            all.push(read.ok_or_else(|| self.wrong(key, format!("must hold {due} at {index}, there is {value:?}")))?);
        }
        Ok(all)
    }

    fn named_chat_templates(&self) -> Result<Vec<(String, String)>, GgufError> {
        let mut templates = Vec::new();
        for name in self.texts("chat_templates")?.unwrap_or_default() {
            let key = format!("chat_template.{name}");
            let template = self.text(&key)?.ok_or_else(|| {
                self.wrong(&key, format!("is missing, and tokenizer.chat_templates names it: \"{name}\""))
            })?;
            templates.push((name, template));
        }
        Ok(templates)
    }
}
