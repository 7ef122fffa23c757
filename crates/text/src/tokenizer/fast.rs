//! The tokenizers most in use, without the regex engine: byte-level BPE cut by a known pattern.
//!
//! Gives what the `tokenizers` crate gives, id for id and offset for offset, or nothing; then the crate does the work. The crate
//! keeps, for every piece of every text, where each of its bytes came from, and cuts with a backtracking regex engine; here a
//! text that needs no rewriting is cut in place and pieces met before are looked up.

mod merge;
mod split;

use aho_corasick::{AhoCorasick, MatchKind};
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, NormalizedString, Normalizer, Tokenizer};
use unicode_normalization_alignments::{IsNormalized, is_nfc_quick};

use super::Encoded;
use merge::Merger;
use split::Cut;

/// A tokenizer of a known kind.
#[derive(Debug)]
pub(super) struct Fast {
    cut: Cut,
    /// Text is composed first (NFC); only text that is composed already is served.
    composes: bool,
    /// Added tokens that are looked for in the text as it came, and in the text as it was normalised.
    before: Added,
    after: Added,
    merger: Merger,
    /// What the tokenizer puts around every text, where that is known.
    around: Option<(Vec<u32>, Vec<u32>)>,
    /// The post-processor takes white space out of offsets.
    trims: bool,
}

/// Added tokens as patterns with their ids.
#[derive(Debug)]
struct Added {
    finder: AhoCorasick,
    ids: Vec<u32>,
}

impl Added {
    fn new(tokens: &[(String, u32)]) -> Option<Self> {
        let texts = tokens.iter().map(|(text, _)| text);
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts).ok()?;
        Some(Added { finder, ids: tokens.iter().map(|(_, id)| *id).collect() })
    }

    /// Calls `found` for each token in `text[start..end]`, `between` for each stretch of text around them.
    fn split(
        &self,
        text: &str,
        (start, end): (usize, usize),
        output: &mut Output,
        between: &mut dyn FnMut(&mut Output, usize, usize),
    ) {
        let mut at = start;
        for found in self.finder.find_iter(&text[start..end]) {
            between(output, at, start + found.start());
            output.token(self.ids[found.pattern().as_usize()], start + found.start(), start + found.end());
            at = start + found.end();
        }
        between(output, at, end);
    }
}

/// Tokens as they come; offsets where they are wanted.
#[derive(Debug)]
struct Output {
    encoded: Encoded,
    offsets: bool,
}

impl Output {
    fn token(&mut self, id: u32, start: usize, end: usize) {
        self.encoded.ids.push(id);
        if self.offsets {
            self.encoded.offsets.push((start, end));
        }
    }
}

impl Fast {
    /// `None` where the tokenizer is of another kind.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let ModelWrapper::BPE(bpe) = tokenizer.get_model() else { return None };
        let composes = match tokenizer.get_normalizer() {
            None => false,
            Some(NormalizerWrapper::NFC(_)) => true,
            Some(_) => return None,
        };
        let cut = cut_of(tokenizer.get_pre_tokenizer()?)?;
        let added = tokenizer.get_added_tokens_decoder();
        if added.values().any(|token| token.lstrip || token.rstrip || token.single_word) {
            return None;
        }
        let tokens = |normalized: bool| {
            let wanted = added.iter().filter(|(_, token)| token.normalized == normalized);
            let mut tokens: Vec<(String, u32)> =
                wanted.map(|(id, token)| Some((as_found(tokenizer, token)?, *id))).collect::<Option<_>>()?;
            tokens.sort();
            Added::new(&tokens)
        };
        Some(Fast {
            cut,
            composes,
            before: tokens(false)?,
            after: tokens(true)?,
            merger: Merger::of(bpe)?,
            around: around(tokenizer),
            trims: tokenizer.get_post_processor().is_some_and(trims_offsets),
        })
    }

    /// The ids of a text; `None` where it needs what is not done here.
    pub(super) fn encode(&self, text: &str, add_special: bool) -> Option<Vec<u32>> {
        if !add_special {
            return Some(self.run(text, false)?.ids);
        }
        let (before, after) = self.around.as_ref()?;
        let mut ids = before.clone();
        ids.extend(self.run(text, false)?.ids);
        ids.extend(after);
        Some(ids)
    }

    /// The ids of a text with their offsets.
    pub(super) fn encode_with_offsets(&self, text: &str) -> Option<Encoded> {
        if self.trims { None } else { self.run(text, true) }
    }

    fn run(&self, text: &str, offsets: bool) -> Option<Encoded> {
        if self.composes && !is_composed(text) {
            return None;
        }
        let mut output = Output { encoded: Encoded::default(), offsets };
        self.before.split(text, (0, text.len()), &mut output, &mut |output, start, end| {
            self.after.split(text, (start, end), output, &mut |output, start, end| {
                self.stretch(text, start, end, output);
            });
        });
        Some(output.encoded)
    }

    /// A stretch of text without added tokens.
    fn stretch(&self, text: &str, start: usize, end: usize, output: &mut Output) {
        for piece in self.cut.pieces(&text[start..end]) {
            let (from, to) = (start + piece.start, start + piece.end);
            let first = output.encoded.ids.len();
            self.merger.append(&text.as_bytes()[from..to], &mut output.encoded.ids);
            if output.offsets {
                let ids = &output.encoded.ids[first..];
                let mut at = from;
                for id in ids {
                    let next = at + self.merger.length(*id, to - from, ids.len());
                    output.encoded.offsets.push((text.floor_char_boundary(at), text.ceil_char_boundary(next)));
                    at = next;
                }
            }
        }
    }
}

fn cut_of(pre_tokenizer: &PreTokenizerWrapper) -> Option<Cut> {
    let is_plain = |bytes: &ByteLevel, cuts: bool| !bytes.add_prefix_space && bytes.use_regex == cuts;
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(bytes) if is_plain(bytes, true) => Some(Cut::Gpt2),
        PreTokenizerWrapper::Sequence(steps) => match steps.as_ref() {
            [PreTokenizerWrapper::Split(split), PreTokenizerWrapper::ByteLevel(bytes)]
                if is_plain(bytes, false) && split.behavior == SplitDelimiterBehavior::Isolated && !split.invert =>
            {
                match &split.pattern {
                    SplitPattern::Regex(pattern) => Cut::of(pattern),
                    SplitPattern::String(_) => None,
                }
            }
            _ => None,
        },
        _ => None,
    }
}

/// The text by which an added token is found.
fn as_found(tokenizer: &Tokenizer, token: &AddedToken) -> Option<String> {
    let mut text = NormalizedString::from(token.content.as_str());
    if let Some(normalizer) = tokenizer.get_normalizer().filter(|_| token.normalized) {
        normalizer.normalize(&mut text).ok()?;
    }
    Some(text.get().to_owned()).filter(|text| !text.is_empty())
}

/// What the post-processor puts before and behind a text.
fn around(tokenizer: &Tokenizer) -> Option<(Vec<u32>, Vec<u32>)> {
    let inner = tokenizer.encode_fast("a", false).ok()?;
    let whole = tokenizer.encode_fast("a", true).ok()?;
    let (inner, whole) = (inner.get_ids(), whole.get_ids());
    let at = whole.windows(inner.len().max(1)).position(|window| window == inner)?;
    Some((whole[..at].to_vec(), whole[at + inner.len()..].to_vec()))
}

fn trims_offsets(processor: &PostProcessorWrapper) -> bool {
    match processor {
        PostProcessorWrapper::ByteLevel(bytes) => bytes.trim_offsets,
        PostProcessorWrapper::Template(_) => false,
        PostProcessorWrapper::Sequence(steps) => steps.as_ref().iter().any(trims_offsets),
        _ => true,
    }
}

/// Whether composing leaves the text as it is. Most text is of characters that never compose; for others the tables are asked.
fn is_composed(text: &str) -> bool {
    let never_composes = |c: char| matches!(c, '\0'..='\u{2FF}' | '\u{2010}'..='\u{205F}' | '\u{3000}'..='\u{3029}' | '\u{3400}'..='\u{9FFF}' | '\u{FF00}'..='\u{FFEF}');
    text.is_ascii() || text.chars().all(never_composes) || is_nfc_quick(text.chars()) == IsNormalized::Yes
}
