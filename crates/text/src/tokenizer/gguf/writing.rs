//! A tokenizer as the vocabulary of a GGUF file: byte-level BPE as llama.cpp's `gpt2`, pieces with byte fallback as its `llama`.

use std::collections::HashMap;

use luthier_gguf::{TokenType, Vocabulary};
use serde_json::Value;

use crate::error::TextError;
use crate::tokenizer::{Tokenizer, pattern};

/// Names of patterns that a tokenizer is compared with, one for each way of cutting.
const PATTERNS: [&str; 12] = [
    "gpt-2",
    "llama-bpe",
    "dbrx",
    "qwen2",
    "deepseek-r1-qwen",
    "qwen35",
    "smollm",
    "tekken",
    "gpt-4o",
    "seed-coder",
    "bloom",
    "deepseek-v3",
];

/// A score below that of every merge: of pieces that nothing is merged to.
const UNMERGED: f32 = -1e9;

impl Tokenizer {
    /// The vocabulary as GGUF files hold it, with this chat template.
    ///
    /// # Errors
    /// When llama.cpp has no counterpart: a kind that is not BPE, or a way of cutting texts that it has no name for.
    pub fn to_gguf(&self, chat_template: Option<&str>) -> Result<Vocabulary, TextError> {
        let refused = |cause: String| TextError::NoGguf { cause };
        let json = self.inner.to_string(false).map_err(|error| refused(error.to_string()))?;
        let json: Value = serde_json::from_str(&json).map_err(|error| refused(error.to_string()))?;
        let model = &json["model"];
        if model["type"] != "BPE" {
            return Err(refused(format!("its tokenizer is of kind {}, and only BPE can be written", model["type"])));
        }
        let tokens: Vec<String> = (0..self.vocab_size as u32)
            // A number without a token.
            .map(|id| self.token_text(id).unwrap_or_else(|| format!("[UNUSED{id}]")))
            .collect();
        let merges = merges(model);
        let mut vocabulary = Vocabulary {
            token_types: self.token_types(model["byte_fallback"] == true),
            bos: self.bos().map(|token| token.id),
            eos: self.eos().map(|token| token.id),
            unk: self.unk().map(|token| token.id),
            pad: self.pad().map(|token| token.id),
            add_bos: Some(self.leading_bos().is_some()),
            add_eos: Some(self.ends_with_eos()?),
            chat_template: chat_template.map(str::to_owned),
            tokens,
            ..Vocabulary::default()
        };
        if model["byte_fallback"] == true {
            vocabulary.model = "llama".to_owned();
            vocabulary.scores = scores(&vocabulary.tokens, &merges);
            vocabulary.add_space_prefix = Some(puts_space_before(&json));
        } else {
            vocabulary.model = "gpt2".to_owned();
            vocabulary.pre = Some(pre(&json).map_err(refused)?.to_owned());
            vocabulary.merges = merges.into_iter().map(|(left, right)| format!("{left} {right}")).collect();
        }
        Ok(vocabulary)
    }

    fn token_types(&self, has_bytes: bool) -> Vec<TokenType> {
        let unknown = self.unk().map(|token| token.id);
        let added = self.inner.get_added_tokens_decoder();
        let kind = |id: u32| match (self.inner.id_to_token(id), added.get(&id)) {
            (None, _) => TokenType::Unused,
            _ if unknown == Some(id) && has_bytes => TokenType::Unknown,
            (_, Some(token)) if token.special => TokenType::Control,
            (_, Some(_)) => TokenType::UserDefined,
            (Some(text), None) if has_bytes && is_byte(&text) => TokenType::Byte,
            _ => TokenType::Normal,
        };
        (0..self.vocab_size as u32).map(kind).collect()
    }

    fn ends_with_eos(&self) -> Result<bool, TextError> {
        let Some(eos) = self.eos() else { return Ok(false) };
        Ok(self.encode("a", true)?.last() == Some(&eos.id) && self.encode("a", false)?.last() != Some(&eos.id))
    }
}

/// `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|text| text.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Pairs in the order they are merged in. Older files hold them as one text with a space.
fn merges(model: &Value) -> Vec<(String, String)> {
    let pair = |merge: &Value| match merge {
        Value::String(pair) => pair.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
        Value::Array(pair) => Some((pair.first()?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())),
        _ => None,
    };
    model["merges"].as_array().map(|list| list.iter().filter_map(pair).collect()).unwrap_or_default()
}

/// SentencePiece merges what has the highest score, so the first merges score highest.
fn scores(tokens: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut first = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        first.entry(format!("{left}{right}")).or_insert(rank);
    }
    tokens.iter().map(|token| first.get(token).map_or(UNMERGED, |rank| -(*rank as f32))).collect()
}

/// Whether `▁` is put before a text.
fn puts_space_before(json: &Value) -> bool {
    let steps = |value: &Value, list: &str| match value[list].as_array() {
        Some(steps) => steps.clone(),
        None => vec![value.clone()],
    };
    let prepends = steps(&json["normalizer"], "normalizers").iter().any(|step| step["type"] == "Prepend");
    let metaspace = steps(&json["pre_tokenizer"], "pretokenizers");
    let metaspace = metaspace.iter().find(|step| step["type"] == "Metaspace");
    prepends || metaspace.is_some_and(|step| step["prepend_scheme"] != "never" && step["add_prefix_space"] != false)
}

/// llama.cpp's name for the way in which texts are cut.
fn pre(json: &Value) -> Result<&'static str, String> {
    let steps = match &json["pre_tokenizer"] {
        Value::Null => Vec::new(),
        step => step["pretokenizers"].as_array().cloned().unwrap_or_else(|| vec![step.clone()]),
    };
    let mut cuts: Vec<String> = Vec::new();
    for step in &steps {
        match step["type"].as_str() {
            Some("Split") => match step["pattern"]["Regex"].as_str() {
                Some(regex) => cuts.push(regex.to_owned()),
                None => return Err("its tokenizer cuts texts at a fixed text, which llama.cpp does not".to_owned()),
            },
            Some("Digits") if step["individual_digits"] == true => cuts.push(r"\p{N}".to_owned()),
            Some("ByteLevel") if step["add_prefix_space"] == true => {
                return Err(
                    "its tokenizer puts a space before every text, which llama.cpp does not for byte-level BPE"
                        .to_owned(),
                );
            }
            Some("ByteLevel") if step["use_regex"] != false => cuts.push(pattern::GPT2.to_owned()),
            Some("ByteLevel") => {}
            _ => return Err(format!("its tokenizer cuts texts by {}, which llama.cpp does not", step["type"])),
        }
    }
    let composes = json["normalizer"]["type"] == "NFC";
    let merges_tokens = json["model"]["ignore_merges"] == true;
    // Behind other cuts the last branch of GPT-2's pattern changes nothing.
    let ends = |cut: &str| cut.trim_end_matches(r"|\s+").to_owned();
    let is_same = |name: &str| {
        let named = pattern::named(name).expect("the names above are known");
        let theirs = named.patterns;
        let equal = theirs.len() == cuts.len() && theirs.iter().zip(&cuts).all(|(a, b)| ends(a) == ends(b));
        equal && named.nfc == composes && named.ignore_merges == merges_tokens
    };
    PATTERNS.into_iter().find(|name| is_same(name)).ok_or_else(|| {
        format!("its tokenizer cuts texts by {cuts:?}, for which llama.cpp has no name that is known here")
    })
}
