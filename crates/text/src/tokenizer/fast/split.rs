//! The known patterns as code: where a text is cut before merging.
//!
//! The patterns need a look ahead, which the regex engine pays for with backtracking at every character; read by hand, one look at
//! each character is enough. Classes of characters come from the tables of the regex engine, so both agree on every one.

use std::ops::Range;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

use super::super::pattern;

/// A pattern that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Gpt2,
    /// Qwen2's and Llama 3's differ in how many digits stand together.
    Qwen2 {
        digits: usize,
    },
}

impl Cut {
    pub(super) fn of(pattern: &str) -> Option<Self> {
        match pattern {
            pattern::GPT2 => Some(Cut::Gpt2),
            pattern::QWEN2 => Some(Cut::Qwen2 { digits: 1 }),
            pattern::LLAMA3 => Some(Cut::Qwen2 { digits: 3 }),
            _ => None,
        }
    }

    /// The pieces of a text: they lie end to end and cover it.
    pub(super) fn pieces(self, text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = text[at..].chars().next()?;
            let end = match self {
                Cut::Gpt2 => gpt2(text, at, first),
                Cut::Qwen2 { digits } => qwen2(text, at, first, digits),
            };
            let piece = at..end;
            at = end;
            Some(piece)
        })
    }
}

const OTHER: u8 = 0;
const LETTER: u8 = 1;
const NUMBER: u8 = 2;
const SPACE: u8 = 3;

/// The class of every code point.
static CLASSES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut classes = vec![OTHER; char::MAX as usize + 1];
    for (pattern, class) in [(r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\s", SPACE)] {
        let hir = regex_syntax::parse(pattern).expect("a class of Unicode parses");
        if let HirKind::Class(Class::Unicode(ranges)) = hir.kind() {
            for range in ranges.ranges() {
                classes[range.start() as usize..=range.end() as usize].fill(class);
            }
        }
    }
    classes
});

fn class(c: char) -> u8 {
    CLASSES[c as usize]
}

fn class_at(text: &str, at: usize) -> Option<u8> {
    text[at..].chars().next().map(class)
}

/// Where a run of characters of a class ends.
fn run(text: &str, at: usize, wanted: u8) -> usize {
    text[at..].char_indices().find(|(_, c)| class(*c) != wanted).map_or(text.len(), |(i, _)| at + i)
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn gpt2(text: &str, at: usize, first: char) -> usize {
    if let Some(length) = contraction(&text[at..], false) {
        return at + length;
    }
    let word = if first == ' ' { at + 1 } else { at };
    match class_at(text, word) {
        Some(class) if class != SPACE => run(text, word, class),
        _ => white_space(text, at, false),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
fn qwen2(text: &str, at: usize, first: char, digits: usize) -> usize {
    if let Some(length) = contraction(&text[at..], true) {
        return at + length;
    }
    let second = at + first.len_utf8();
    match class(first) {
        LETTER => return run(text, second, LETTER),
        NUMBER => {
            let more = text[second..].chars().take(digits - 1).take_while(|c| class(*c) == NUMBER);
            return second + more.map(char::len_utf8).sum::<usize>();
        }
        _ if !is_line_break(first) && class_at(text, second) == Some(LETTER) => return run(text, second, LETTER),
        _ => {}
    }
    let other = if first == ' ' { second } else { at };
    if class_at(text, other) == Some(OTHER) {
        let end = run(text, other, OTHER);
        return end + text[end..].chars().take_while(|c| is_line_break(*c)).count();
    }
    white_space(text, at, true)
}

fn is_line_break(c: char) -> bool {
    c == '\r' || c == '\n'
}

/// `\s*[\r\n]+` where line breaks count, `\s+(?!\S)`, `\s+`: up to the last line break; else all at the end of the text, and all
/// but one, which goes with the word behind, elsewhere.
fn white_space(text: &str, at: usize, line_breaks: bool) -> usize {
    let end = run(text, at, SPACE);
    let spaces = &text[at..end];
    if line_breaks && let Some(last) = spaces.rfind(is_line_break) {
        return at + last + 1;
    }
    let last = spaces.char_indices().next_back().map_or(0, |(i, _)| i);
    if end == text.len() || last == 0 { end } else { at + last }
}

/// The length of `'s|'t|'re|'ve|'m|'ll|'d` at the beginning of `rest`; with `fold`, in any case.
fn contraction(rest: &str, fold: bool) -> Option<usize> {
    let behind = rest.strip_prefix('\'')?;
    let bytes = behind.as_bytes();
    let lower = |i: usize| bytes.get(i).map(|byte| if fold { byte.to_ascii_lowercase() } else { *byte });
    let length = match (lower(0), lower(1)) {
        (Some(b's' | b't' | b'm' | b'd'), _) => 1,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => 2,
        // The long s is an s in another case.
        _ if fold && behind.starts_with('ſ') => 'ſ'.len_utf8(),
        _ => return None,
    };
    Some(1 + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::tokenizer::SplitDelimiterBehavior;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::*;

    /// The pieces that the regex engine cuts.
    fn by_regex(pattern: &str, text: &str) -> Vec<Range<usize>> {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap();
        let mut pre_tokenized = PreTokenizedString::from(text);
        split.pre_tokenize(&mut pre_tokenized).unwrap();
        let splits = pre_tokenized.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, (start, end), _)| start..end).collect()
    }

    fn check(text: &str) {
        for pattern in [pattern::GPT2, pattern::QWEN2, pattern::LLAMA3] {
            let ours: Vec<_> = Cut::of(pattern).unwrap().pieces(text).collect();
            assert_eq!(ours, by_regex(pattern, text), "{pattern}: {text:?}");
        }
    }

    #[test]
    fn hard_texts_are_cut_as_the_regex_engine_cuts_them() {
        let texts = [
            "",
            " ",
            "  ",
            "\n",
            " \n",
            "\n ",
            "a\n\n b",
            "  a",
            "a  ",
            "\t a",
            "\r\n\r\n x",
            "x \r\n  \n",
            " \u{a0} x",
            "\u{3000}燈",
            "don't DON'T I'LL we'Ve 'ſ 'st 'RE'",
            "'",
            "''s",
            " 's",
            "12345 ½①²٣",
            "$5.00!!\n\n?",
            " !\n",
            "!a",
            "\u{301}e\u{301}",
            "燈會，唱歌。1２３",
            "🙂👩\u{200d}👩",
            "\u{85}\u{2028}x",
            "_a__b",
            " _",
            "a\u{0}b",
            "x\n",
            "...\r\n\n  y",
        ];
        texts.into_iter().for_each(check);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_cut_as_the_regex_engine_cuts_it(text in "[ a-cA-C'stSTrevmldRELſ0-3½燈會，。!_\\n\\r\\t\u{a0}\u{3000}\u{301}🙂]{0,24}") {
            check(&text);
        }

        #[test]
        fn any_characters_are_cut_as_the_regex_engine_cuts_them(text in "\\PC{0,24}|(?s).{0,16}") {
            check(&text);
        }
    }
}
