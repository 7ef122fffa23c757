//! SentencePiece models: what is in a `tokenizer.model`, in a GGUF vocabulary of model `llama`, in a `tokenizer.bin` of llama2.c.
//!
//! [`SentencePiece`] is the plain content; [`convert`] makes a tokenizer of it, as transformers' `convert_slow_tokenizer.py` does.

pub(super) mod convert;

use std::collections::HashSet;

use super::protobuf::{Fields, Value};

/// How pieces are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The most probable sequence of pieces.
    Unigram,
    /// Pairs are joined in the order of their scores.
    Bpe,
}

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// Stands for what has no piece.
    Unknown,
    /// Written by no text: beginning and end of a sequence, padding.
    Control,
    /// Always one piece, wherever its text stands.
    UserDefined,
    /// Never chosen.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte,
}

impl Kind {
    /// The numbers are the same in SentencePiece's protobuf and in GGUF.
    pub(super) fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => return None,
        })
    }
}

/// A piece; its place in the list is its id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Log probability (unigram), or an order in which pairs are joined, highest first (BPE).
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// The content of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SentencePiece {
    pub(super) algorithm: Algorithm,
    pub(super) pieces: Vec<Piece>,
    /// What has no piece is written as bytes.
    pub(super) byte_fallback: bool,
    /// Compiled rules that rewrite characters (nmt_nfkc and the like); empty: none.
    pub(super) charsmap: Vec<u8>,
    /// A space is put before the text.
    pub(super) add_dummy_prefix: bool,
    /// White space at both ends goes, and several spaces become one.
    pub(super) remove_extra_whitespaces: bool,
    pub(super) unk: Option<u32>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) pad: Option<u32>,
}

impl SentencePiece {
    /// BPE without rewriting of characters, as Llama's: what the formats that hold pieces and scores alone mean.
    pub(super) fn llama_like(pieces: Vec<Piece>) -> Self {
        SentencePiece {
            algorithm: Algorithm::Bpe,
            pieces,
            byte_fallback: true,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: false,
            unk: None,
            bos: None,
            eos: None,
            pad: None,
        }
    }

    /// Reads the protobuf message `ModelProto` (sentencepiece_model.proto).
    pub(super) fn from_protobuf(bytes: &[u8]) -> Result<Self, String> {
        let mut model = SentencePiece {
            algorithm: Algorithm::Unigram,
            remove_extra_whitespaces: true,
            byte_fallback: false,
            unk: Some(0),
            bos: Some(1),
            eos: Some(2),
            ..Self::llama_like(Vec::new())
        };
        for field in Fields::of(bytes) {
            match field? {
                (1, message) => {
                    let at = model.pieces.len();
                    let piece = piece(message.bytes()?).map_err(|e| format!("piece {at}: {e}"))?;
                    model.pieces.push(piece);
                }
                (2, message) => model.trainer_spec(message.bytes()?).map_err(|e| format!("trainer_spec: {e}"))?,
                (3, message) => model.normalizer_spec(message.bytes()?).map_err(|e| format!("normalizer_spec: {e}"))?,
                _ => {}
            }
        }
        model.name_by_kind();
        model.check()?;
        Ok(model)
    }

    fn trainer_spec(&mut self, message: &[u8]) -> Result<(), String> {
        let id = |value: Value<'_>| value.int().map(|id| u32::try_from(id).ok());
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                3 => {
                    self.algorithm = match value.int()? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => return Err("model_type is WORD; UNIGRAM and BPE are read".into()),
                        4 => return Err("model_type is CHAR; UNIGRAM and BPE are read".into()),
                        other => return Err(format!("model_type {other} is unknown")),
                    }
                }
                24 if value.bool()? => return Err("treat_whitespace_as_suffix is set, which is not supported".into()),
                35 => self.byte_fallback = value.bool()?,
                40 => self.unk = id(value)?,
                41 => self.bos = id(value)?,
                42 => self.eos = id(value)?,
                43 => self.pad = id(value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer_spec(&mut self, message: &[u8]) -> Result<(), String> {
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                2 => self.charsmap = charsmap(value.bytes()?)?,
                3 => self.add_dummy_prefix = value.bool()?,
                4 => self.remove_extra_whitespaces = value.bool()?,
                5 if !value.bool()? => return Err("escape_whitespaces is off, which is not supported".into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Old models do not write the ids of the special pieces that they have in the usual places; and an id that names no piece of
    /// that kind names none.
    fn name_by_kind(&mut self) {
        let pieces = &self.pieces;
        let control = |id: u32| pieces.get(id as usize).is_some_and(|piece| piece.kind == Kind::Control);
        for id in [&mut self.bos, &mut self.eos, &mut self.pad] {
            *id = id.filter(|id| control(*id));
        }
        self.unk = self.pieces.iter().position(|piece| piece.kind == Kind::Unknown).map(|at| at as u32);
    }

    /// The text of a piece.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| piece.text.as_str())
    }

    /// Whether the pieces make a vocabulary.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.pieces.is_empty() {
            return Err("it has no pieces".into());
        }
        let mut seen = HashSet::with_capacity(self.pieces.len());
        for (id, piece) in self.pieces.iter().enumerate() {
            if piece.text.is_empty() {
                return Err(format!("piece {id} is empty"));
            }
            if !seen.insert(piece.text.as_str()) {
                return Err(format!("piece {id} ({:?}) stands twice", piece.text));
            }
            if !piece.score.is_finite() {
                return Err(format!("piece {id} ({:?}) has the score {}", piece.text, piece.score));
            }
        }
        if self.algorithm == Algorithm::Unigram && self.unk.is_none() {
            return Err("no piece stands for the unknown".into());
        }
        if self.byte_fallback
            && let Some(byte) = (0..=255u8).find(|byte| !seen.contains(byte_piece(*byte).as_str()))
        {
            return Err(format!("byte_fallback is on, but the piece {} is missing", byte_piece(byte)));
        }
        Ok(())
    }
}

/// How a byte is written as a piece.
pub(super) fn byte_piece(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn piece(message: &[u8]) -> Result<Piece, String> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    for field in Fields::of(message) {
        match field? {
            (1, text) => piece.text = text.text()?.to_owned(),
            (2, score) => piece.score = score.float()?,
            (3, kind) => {
                let number = kind.int()?;
                piece.kind = Kind::from_number(number).ok_or_else(|| format!("type {number} is unknown"))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

/// Rules are the size of a trie, the trie (`u32`s), and the texts that it points into. The reader of the trie trusts its own
/// size, so that is checked here.
fn charsmap(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let broken = |what: &str| Err(format!("precompiled_charsmap: {what}"));
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else { return broken("it is cut off") };
    let size = u32::from_le_bytes(*size) as usize;
    if size == 0 || !size.is_multiple_of(4) {
        return broken(&format!("its trie has {size} bytes, which is no number of units"));
    }
    match rest.split_at_checked(size) {
        None => broken(&format!("its trie has {size} bytes where {} are left", rest.len())),
        Some((_, texts)) if std::str::from_utf8(texts).is_err() => broken("its texts are not UTF-8"),
        Some(_) => Ok(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message `ModelProto` with these pieces.
    fn message(pieces: &[(&str, f32, i32)], trainer: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (text, score, kind) in pieces {
            let mut piece = vec![0x0A, text.len() as u8];
            piece.extend(text.bytes());
            piece.push(0x15);
            piece.extend(score.to_le_bytes());
            piece.extend([0x18, *kind as u8]);
            out.extend([0x0A, piece.len() as u8]);
            out.extend(piece);
        }
        out.extend([0x12, trainer.len() as u8]);
        out.extend(trainer);
        out
    }

    #[test]
    fn pieces_and_settings_are_read() {
        let bytes = message(&[("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("▁燈", -1.5, 1)], &[0x18, 0x02, 0xC8, 0x02, 0x01]);
        let model = SentencePiece::from_protobuf(&bytes).unwrap();
        assert_eq!(model.algorithm, Algorithm::Bpe);
        assert_eq!(model.pieces[2], Piece { text: "▁燈".into(), score: -1.5, kind: Kind::Normal });
        assert_eq!((model.unk, model.bos, model.eos, model.pad), (Some(0), Some(1), None, None));
    }

    #[test]
    fn what_is_no_vocabulary_is_told() {
        let refusal = |pieces: &[(&str, f32, i32)], trainer: &[u8]| {
            SentencePiece::from_protobuf(&message(pieces, trainer)).unwrap_err()
        };
        let unknown = ("<unk>", 0.0, 2);
        assert!(refusal(&[], &[]).contains("no pieces"));
        assert!(refusal(&[unknown, ("", 0.0, 1)], &[]).contains("piece 1 is empty"));
        assert!(refusal(&[unknown, ("a", 0.0, 1), ("a", 1.0, 1)], &[]).contains("stands twice"));
        assert!(refusal(&[unknown, ("a", f32::NAN, 1)], &[]).contains("NaN"));
        assert!(refusal(&[unknown, ("a", 0.0, 9)], &[]).contains("type 9"));
        assert!(refusal(&[("a", 0.0, 1)], &[]).contains("unknown"));
        assert!(refusal(&[unknown], &[0x18, 0x03]).contains("WORD"));
        assert!(refusal(&[unknown], &[0x98, 0x02, 0x01]).contains("<0x00>"));
    }

    #[test]
    fn rules_that_are_longer_than_their_bytes_are_refused() {
        assert!(charsmap(&[8, 0, 0, 0, 1, 2, 3, 4]).unwrap_err().contains("where 4 are left"));
        assert!(charsmap(&[4, 0, 0]).unwrap_err().contains("cut off"));
        assert!(charsmap(&[3, 0, 0, 0, 1, 2, 3]).unwrap_err().contains("no number"));
        assert_eq!(charsmap(&[4, 0, 0, 0, 1, 2, 3, 4, b'a', 0]).unwrap().len(), 10);
    }
}
