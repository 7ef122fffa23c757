//! The tokenizers of sacreBLEU 2.4.3 that BLEU is computed with here, quirks included: a score is only comparable when
//! both sides cut text in the same way.

use crate::space::{is_space, words};

/// How BLEU cuts text into tokens (names as in sacreBLEU's `tok:`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokenizer {
    /// `13a`: that of mteval-v13a, for languages that put spaces between words.
    V13a,
    /// `zh`: each character of sacreBLEU's Chinese ranges alone, the rest as in `13a` (without its unescaping).
    Zh,
    /// `char`: each character that is not white space.
    Char,
    /// `none`: whatever stands between white space.
    None,
}

impl Tokenizer {
    /// sacreBLEU's name of the tokenizer.
    pub fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::Zh => "zh",
            Self::Char => "char",
            Self::None => "none",
        }
    }

    /// Cuts one text into tokens; none of them is empty or holds white space.
    ///
    /// ```
    /// use luthier_evaluate::Tokenizer;
    /// assert_eq!(Tokenizer::Zh.tokens("長1.5公尺。"), ["長", "1.5", "公", "尺", "。"]);
    /// ```
    pub fn tokens(self, text: &str) -> Vec<String> {
        // sacreBLEU strips the end of every segment before it tokenizes.
        let text = text.trim_end_matches(is_space);
        let spaced = match self {
            Self::V13a => separate_western(&format!(" {} ", unescape(text))),
            Self::Zh => separate_western(&separate_chinese(text.trim_start_matches(is_space))),
            Self::Char => {
                return text.chars().filter(|&c| !is_space(c)).map(String::from).collect();
            }
            Self::None => text.to_string(),
        };
        words(&spaced).map(String::from).collect()
    }

    /// `zh` when the texts hold at least as many Han characters as words of other scripts, else `13a`.
    ///
    /// Words are counted rather than letters, so that an English product name does not outweigh its Chinese sentence.
    pub fn for_references<R: AsRef<str>>(references: &[R]) -> Self {
        let (mut han, mut other_words) = (0_usize, 0_usize);
        for reference in references {
            let mut in_word = false;
            for c in reference.as_ref().chars() {
                let starts_word = c.is_alphanumeric() && !is_han(c);
                han += usize::from(is_han(c));
                other_words += usize::from(starts_word && !in_word);
                in_word = starts_word;
            }
        }
        if han > 0 && han >= other_words { Self::Zh } else { Self::V13a }
    }
}

/// Unified and compatibility ideographs in all planes, and the repetition mark and zero that stand among them.
fn is_han(c: char) -> bool {
    matches!(c, '\u{3005}' | '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{2fa1f}' | '\u{30000}'..='\u{323af}')
}

/// sacreBLEU's ranges of Chinese characters.
///
/// Two of them are two-character strings there (`"\u20000"` is U+2000 followed by `0`), so they take in U+2001..=U+2A6D
/// (which swallows its two ranges of symbols below U+27C0) and U+2F81..=U+2FA1, and Extension B, which they were
/// written for, is not cut at all.
fn is_chinese_for_sacrebleu(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}' | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}' | '\u{2001}'..='\u{2a6d}' | '\u{2f81}'..='\u{2fa1}' | '\u{ff00}'..='\u{ffef}'
        | '\u{2e80}'..='\u{2eff}' | '\u{3000}'..='\u{303f}' | '\u{31c0}'..='\u{31ef}' | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{2fff}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{3200}'..='\u{33ff}')
}

fn separate_chinese(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is_chinese_for_sacrebleu(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    spaced
}

/// What `13a` does before its rules: hyphens at a line's end, and the four entities, in this order.
fn unescape(text: &str) -> String {
    let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
}

/// The four regular expressions of mteval-v13a, one after the other, each from left to right without overlap.
fn separate_western(text: &str) -> String {
    let is_point = |c: char| matches!(c, '.' | ',');
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/') {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    let text = replace_pairs(&spaced, |a, b| (!a.is_ascii_digit() && is_point(b)).then_some([a, ' ', b, ' ']));
    let text = replace_pairs(&text, |a, b| (is_point(a) && !b.is_ascii_digit()).then_some([' ', a, ' ', b]));
    replace_pairs(&text, |a, b| (a.is_ascii_digit() && b == '-').then_some([a, ' ', b, ' ']))
}

/// Replaces neighbours for which `rule` has an answer; both are then consumed.
fn replace_pairs(text: &str, rule: impl Fn(char, char) -> Option<[char; 4]>) -> String {
    let mut replaced = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(a) = rest.next() {
        match rest.peek().and_then(|&b| rule(a, b)) {
            Some(four) => {
                replaced.extend(four);
                rest.next();
            }
            None => replaced.push(a),
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_commas_inside_numbers_stay_and_others_are_cut() {
        assert_eq!(Tokenizer::V13a.tokens("Costs 1,234.50, or so."), ["Costs", "1,234.50", ",", "or", "so", "."]);
        assert_eq!(Tokenizer::V13a.tokens("5-7 well-known"), ["5", "-", "7", "well-known"]);
    }

    #[test]
    fn entities_are_unescaped_by_13a_and_not_by_zh() {
        assert_eq!(Tokenizer::V13a.tokens("a &amp;lt; b"), ["a", "<", "b"]);
        assert_eq!(Tokenizer::Zh.tokens("&lt;"), ["&", "lt", ";"]);
    }

    #[test]
    fn full_width_punctuation_is_a_token_of_its_own_in_zh() {
        assert_eq!(Tokenizer::Zh.tokens("甲，乙「丙」。"), ["甲", "，", "乙", "「", "丙", "」", "。"]);
        assert_eq!(Tokenizer::V13a.tokens("甲，乙"), ["甲，乙"]);
    }

    #[test]
    fn zh_keeps_extension_b_together_and_cuts_general_punctuation_as_sacrebleu_does() {
        assert_eq!(Tokenizer::Zh.tokens("𠮷𠮷"), ["𠮷𠮷"]);
        assert_eq!(Tokenizer::Zh.tokens("a—b"), ["a", "—", "b"]);
        assert_eq!(Tokenizer::Char.tokens("𠮷 𠮷"), ["𠮷", "𠮷"]);
    }

    #[test]
    fn the_tokenizer_follows_the_script_of_the_references() {
        assert_eq!(Tokenizer::for_references(&["一種防水手電筒"]), Tokenizer::Zh);
        assert_eq!(Tokenizer::for_references(&["使用 Transformer 訓練模型"]), Tokenizer::Zh);
        assert_eq!(Tokenizer::for_references(&["A waterproof torch for divers in 臺北"]), Tokenizer::V13a);
        assert_eq!(Tokenizer::for_references(&["", "？！"]), Tokenizer::V13a);
        assert_eq!(Tokenizer::for_references(&["𠮷野家"]), Tokenizer::Zh);
    }
}
