//! A tokenizer out of a SentencePiece model, as transformers' `convert_slow_tokenizer.py` makes it.

use serde_json::{Map, Value, json};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Sequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{AddedToken, Tokenizer};

use super::{Algorithm, Kind, Piece, SentencePiece, byte_piece};
use crate::tokenizer::merges;

/// Classes of transformers that read a SentencePiece model without giving its pieces other ids.
pub(in crate::tokenizer) const KNOWN_CLASSES: &str =
    "LlamaTokenizer, CodeLlamaTokenizer, GemmaTokenizer, T5Tokenizer, PreTrainedTokenizerFast";

/// Whose habits a model is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tokenizer) enum Style {
    /// What the model's own settings say.
    Plain,
    /// Spaces become `▁`, one before every stretch of text; with `legacy: false` at the beginning of the text alone, not behind
    /// special tokens.
    Llama { legacy: bool },
    /// A tab is a piece of its own.
    Gemma,
    /// So many tokens `<extra_id_0>` stand behind the pieces, the last first, and every text is closed.
    T5 { extra_ids: u32, legacy: bool },
}

impl Style {
    /// The style of a tokenizer_config.json, or of the model_type of config.json where no class is named; `None` for a class
    /// that is not known.
    pub(in crate::tokenizer) fn of(
        config: Option<&Map<String, Value>>,
        model_config: Option<&Map<String, Value>>,
    ) -> Option<Self> {
        let text = |object: Option<&Map<String, Value>>, key: &str| {
            object.and_then(|object| object.get(key)).and_then(Value::as_str).unwrap_or("").to_owned()
        };
        let setting = |key: &str| config.and_then(|c| c.get(key));
        let legacy = setting("legacy").and_then(Value::as_bool).unwrap_or(true);
        let llama = Style::Llama { legacy };
        let extra_ids = setting("extra_ids").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        Some(match text(config, "tokenizer_class").trim_end_matches("Fast") {
            "LlamaTokenizer" | "CodeLlamaTokenizer" => llama,
            "GemmaTokenizer" => Style::Gemma,
            "T5Tokenizer" => Style::T5 { extra_ids: extra_ids.unwrap_or(100), legacy },
            "PreTrainedTokenizer" => Style::Plain,
            "" => match text(model_config, "model_type").as_str() {
                "llama" | "mistral" | "mixtral" => llama,
                "gemma" | "gemma2" => Style::Gemma,
                "t5" => Style::T5 { extra_ids: 100, legacy },
                _ => Style::Plain,
            },
            _ => return None,
        })
    }

    /// Which of the tokens that begin and end a text are put around every text, unless the configuration says otherwise.
    fn surrounds(self, model: &SentencePiece) -> (bool, bool) {
        match self {
            // A BPE model by itself is most likely an old Llama folder.
            Style::Plain => (model.algorithm == Algorithm::Bpe, false),
            Style::Llama { .. } | Style::Gemma => (true, false),
            Style::T5 { .. } => (false, true),
        }
    }
}

/// The tokenizer of `model`, whose special tokens are special. `around`: whether the beginning and the end of a sequence are put
/// around every text, where that is told; else the style decides.
pub(in crate::tokenizer) fn to_tokenizer(
    model: &SentencePiece,
    style: Style,
    around: (Option<bool>, Option<bool>),
) -> tokenizers::Result<Tokenizer> {
    let pieces = with_own_pieces(model, style);
    let mut tokenizer = Tokenizer::new(vocabulary(model, style, &pieces)?);
    let layout = Layout::of(model, style);
    tokenizer.with_normalizer(layout.normalizer(model, style)?);
    tokenizer.with_pre_tokenizer(layout.pre_tokenizer()?);
    tokenizer.with_decoder(Some(layout.decoder(model)?));
    let added: Vec<AddedToken> = pieces
        .iter()
        .filter(|piece| matches!(piece.kind, Kind::Control | Kind::Unknown | Kind::UserDefined))
        .map(|piece| AddedToken::from(piece.text.clone(), is_special(piece, style)).normalized(false))
        .collect();
    tokenizer.add_tokens(&added);
    let (bos, eos) = style.surrounds(model);
    let bos = model.bos.filter(|_| around.0.unwrap_or(bos));
    let eos = model.eos.filter(|_| around.1.unwrap_or(eos));
    if bos.is_some() || eos.is_some() {
        tokenizer.with_post_processor(Some(surrounding(model, bos, eos)?));
    }
    Ok(tokenizer)
}

fn is_special(piece: &Piece, style: Style) -> bool {
    piece.kind != Kind::UserDefined
        || (style == Style::Gemma && matches!(piece.text.as_str(), "<start_of_turn>" | "<end_of_turn>"))
}

/// The pieces with what the style changes and adds.
fn with_own_pieces(model: &SentencePiece, style: Style) -> Vec<Piece> {
    let mut pieces = model.pieces.clone();
    if style == Style::Gemma
        && !pieces.iter().any(|piece| piece.text == "\t")
        && let Some(tab) = pieces.iter_mut().find(|piece| piece.text == byte_piece(b'\t'))
    {
        tab.text = "\t".into();
        tab.kind = Kind::Normal;
    }
    if let Style::T5 { extra_ids, .. } = style {
        let text = |i: u32| format!("<extra_id_{i}>");
        let missing = (0..extra_ids).rev().filter(|i| !pieces.iter().any(|piece| piece.text == text(*i)));
        let extra: Vec<Piece> = missing.map(|i| Piece { text: text(i), score: 0.0, kind: Kind::Control }).collect();
        pieces.extend(extra);
        if !pieces.iter().any(|piece| piece.text == "<pad>") {
            pieces.push(Piece { text: "<pad>".into(), score: 0.0, kind: Kind::Control });
        }
    }
    pieces
}

fn vocabulary(model: &SentencePiece, style: Style, pieces: &[Piece]) -> tokenizers::Result<ModelWrapper> {
    match model.algorithm {
        Algorithm::Unigram => {
            let scored = pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect();
            Ok(Unigram::from(scored, model.unk.map(|id| id as usize), model.byte_fallback)?.into())
        }
        Algorithm::Bpe => {
            let taking_part: Vec<(&str, u32, f32)> = pieces
                .iter()
                .zip(0..)
                .filter(|(piece, _)| matches!(piece.kind, Kind::Normal | Kind::Unused | Kind::UserDefined))
                .map(|(piece, id)| (piece.text.as_str(), id, piece.score))
                .collect();
            let merges = merges::by_score(&taking_part);
            let vocab: Vocab = pieces.iter().zip(0..).map(|(piece, id)| (piece.text.clone(), id)).collect();
            let mut builder = BPE::builder()
                .vocab_and_merges(vocab, merges)
                .fuse_unk(true)
                .byte_fallback(model.byte_fallback || matches!(style, Style::Llama { .. } | Style::Gemma));
            if let Some(unk) = model.unk.and_then(|id| model.text(id)) {
                builder = builder.unk_token(unk.to_owned());
            }
            Ok(builder.build()?.into())
        }
    }
}

/// Where `▁` is put in front of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Nowhere,
    /// At the beginning of the text, as SentencePiece has it.
    AtFirst,
    /// At every stretch of text, also behind added tokens.
    Always,
}

/// How a text becomes what pieces are looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The whole text at once, spaces as `▁`.
    Whole(Prefix),
    /// Word by word, each with its `▁`; white space at the end is dropped and several spaces are one.
    Words(Prefix),
}

impl Layout {
    fn of(model: &SentencePiece, style: Style) -> Self {
        let prefix = |prefix: Prefix| if model.add_dummy_prefix { prefix } else { Prefix::Nowhere };
        match style {
            Style::Gemma => Layout::Whole(Prefix::Nowhere),
            Style::Llama { legacy: false } => Layout::Whole(Prefix::AtFirst),
            Style::Llama { legacy: true } => Layout::Whole(prefix(Prefix::Always)),
            Style::T5 { legacy: true, .. } => Layout::Words(prefix(Prefix::Always)),
            Style::T5 { legacy: false, .. } => Layout::Words(prefix(Prefix::AtFirst)),
            Style::Plain if model.remove_extra_whitespaces => Layout::Words(prefix(Prefix::AtFirst)),
            // Metaspace puts none before a text that begins with a space, SentencePiece does.
            Style::Plain => Layout::Whole(prefix(Prefix::Always)),
        }
    }

    fn prefix(self) -> Prefix {
        match self {
            Layout::Whole(prefix) | Layout::Words(prefix) => prefix,
        }
    }

    fn normalizer(self, model: &SentencePiece, style: Style) -> tokenizers::Result<Option<NormalizerWrapper>> {
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if !model.charsmap.is_empty() {
            let rules = Precompiled::from(&model.charsmap).map_err(|e| format!("precompiled_charsmap: {e}"))?;
            steps.push(rules.into());
        }
        let described = match self {
            Layout::Whole(Prefix::Always) => json!([
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ]),
            Layout::Whole(Prefix::Nowhere) => {
                json!([{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}])
            }
            Layout::Whole(Prefix::AtFirst) => json!([]),
            // SentencePiece drops spaces at the end, transformers all that is white.
            Layout::Words(_) if style == Style::Plain => json!([
                {"type": "Replace", "pattern": {"Regex": " +$"}, "content": ""},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
            ]),
            Layout::Words(_) => json!([
                {"type": "Strip", "strip_left": false, "strip_right": true},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
            ]),
        };
        let described: Vec<NormalizerWrapper> = serde_json::from_value(described)?;
        steps.extend(described);
        Ok(match steps.len() {
            0 => None,
            1 => steps.pop(),
            _ => Some(Sequence::new(steps).into()),
        })
    }

    fn metaspace(self) -> Value {
        let scheme = match self.prefix() {
            Prefix::Nowhere => "never",
            Prefix::AtFirst => "first",
            Prefix::Always => "always",
        };
        let split = matches!(self, Layout::Words(_));
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
    }

    fn pre_tokenizer(self) -> tokenizers::Result<Option<PreTokenizerWrapper>> {
        match self {
            Layout::Whole(Prefix::Nowhere | Prefix::Always) => Ok(None),
            Layout::Whole(Prefix::AtFirst) | Layout::Words(_) => Ok(Some(serde_json::from_value(self.metaspace())?)),
        }
    }

    fn decoder(self, model: &SentencePiece) -> tokenizers::Result<DecoderWrapper> {
        if matches!(self, Layout::Words(_)) && !model.byte_fallback {
            return Ok(serde_json::from_value(self.metaspace())?);
        }
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.prefix() != Prefix::Nowhere {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(serde_json::from_value(json!({"type": "Sequence", "decoders": decoders}))?)
    }
}

/// A post-processor that puts these tokens around every text.
fn surrounding(model: &SentencePiece, bos: Option<u32>, eos: Option<u32>) -> tokenizers::Result<PostProcessorWrapper> {
    let text = |id: u32| model.text(id).unwrap_or_default().to_owned();
    around_every_text(bos.map(|id| (text(id), id)).as_ref(), eos.map(|id| (text(id), id)).as_ref())
}

/// The same from texts and ids.
pub(in crate::tokenizer) fn around_every_text(
    bos: Option<&(String, u32)>,
    eos: Option<&(String, u32)>,
) -> tokenizers::Result<PostProcessorWrapper> {
    let special = |token: Option<&(String, u32)>, type_id: u8| {
        token.map(|(text, _)| json!({"SpecialToken": {"id": text, "type_id": type_id}}))
    };
    let sequence = |name: &str, type_id: u8| {
        let text = json!({"Sequence": {"id": name, "type_id": type_id}});
        [special(bos, type_id), Some(text), special(eos, type_id)].into_iter().flatten().collect::<Vec<_>>()
    };
    let named: Map<String, Value> = [bos, eos]
        .into_iter()
        .flatten()
        .map(|(text, id)| (text.clone(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    let pair: Vec<Value> = sequence("A", 0).into_iter().chain(sequence("B", 1)).collect();
    let described =
        json!({"type": "TemplateProcessing", "single": sequence("A", 0), "pair": pair, "special_tokens": named});
    Ok(serde_json::from_value(described)?)
}
