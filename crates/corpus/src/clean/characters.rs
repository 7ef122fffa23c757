//! Characters: control characters out, broken encodings mended or dropped, Unicode normal forms.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

use super::{Over, Step, Verdict};
use crate::document::Document;

/// Takes out what no reader sees: control characters but tab and line break, byte order marks inside text, zero-width spaces, soft
/// hyphens, direction marks. Line ends become `\n`, no-break and other wide spaces a space; the ideographic space stays.
#[derive(Debug, Clone, Default)]
pub struct ControlCharacters {
    /// The fields.
    pub over: Over,
}

impl Step for ControlCharacters {
    fn name(&self) -> &'static str {
        "control-characters"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let changed = self.over.change(&mut document.fields, |text| match without_control(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        });
        if changed { Verdict::Changed("control characters") } else { Verdict::Kept }
    }
}

/// What becomes of a character: itself, another, or nothing.
fn visible(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\u{2028}' | '\u{2029}' | '\u{85}' => Some('\n'),
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' => None,
        '\u{AD}'
        | '\u{200B}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}'
        | '\u{FEFF}' => None,
        '\u{FFF9}'..='\u{FFFB}' => None,
        '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' => Some(' '),
        _ => Some(c),
    }
}

fn without_control(text: &str) -> Cow<'_, str> {
    let Some((first, _)) = text.char_indices().find(|(_, c)| visible(*c) != Some(*c)) else { return text.into() };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut characters = text[first..].chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\r' {
            // baike2018qa ends lines with two of them, Windows with one and a line feed.
            if characters.peek() != Some(&'\n') && !out.ends_with('\n') {
                out.push('\n');
            }
            continue;
        }
        out.extend(visible(c));
    }
    out.into()
}

/// A Unicode normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormalForm {
    /// Composed: looks the same, is written the same.
    Nfc,
    /// Compatibly composed: full-width letters and punctuation become ASCII, ligatures fall apart. Chinese punctuation suffers.
    Nfkc,
    /// NFKC for letters, digits and symbols, while Chinese punctuation keeps its width.
    NfkcButPunctuation,
}

/// Brings texts into a Unicode normal form (UAX 15).
#[derive(Debug, Clone)]
pub struct Normalise {
    /// Which form.
    pub form: NormalForm,
    /// The fields.
    pub over: Over,
}

impl Step for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let changed = self.over.change(&mut document.fields, |text| {
            let is_normal = match self.form {
                NormalForm::Nfc => is_nfc_quick(text.chars()),
                NormalForm::Nfkc | NormalForm::NfkcButPunctuation => is_nfkc_quick(text.chars()),
            };
            if is_normal == IsNormalized::Yes {
                return None;
            }
            let normal: String = match self.form {
                NormalForm::Nfc => text.nfc().collect(),
                NormalForm::Nfkc => text.nfkc().collect(),
                NormalForm::NfkcButPunctuation => but_punctuation(text),
            };
            (normal != text).then_some(normal)
        });
        if changed { Verdict::Changed("normal form") } else { Verdict::Kept }
    }
}

/// Punctuation that is as wide as a Chinese character.
fn is_wide_punctuation(c: char) -> bool {
    matches!(c,
        '\u{3000}'..='\u{303F}' | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}'
        | '\u{FF5B}'..='\u{FF65}' | '\u{FE30}'..='\u{FE4F}' | '…' | '‥')
}

fn but_punctuation(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_wide_punctuation).unwrap_or(rest.len());
        out.extend(rest[..end].nfkc());
        let wide = rest[end..].find(|c| !is_wide_punctuation(c)).map_or(rest.len(), |length| end + length);
        out.push_str(&rest[end..wide]);
        rest = &rest[wide..];
    }
    out
}

/// Mends text that was decoded by a wrong encoding, UTF-8 read as Windows-1252 (`ä¸­æ–‡` for 中文), and drops what cannot be mended:
/// documents of which more than a share is U+FFFD.
#[derive(Debug, Clone)]
pub struct Mojibake {
    /// The greatest share of characters that may be U+FFFD.
    pub most_lost: f64,
    /// The fields.
    pub over: Over,
}

impl Default for Mojibake {
    fn default() -> Self {
        Mojibake { most_lost: 0.001, over: Over::AllText }
    }
}

impl Step for Mojibake {
    fn name(&self) -> &'static str {
        "mojibake"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let changed = self.over.change(&mut document.fields, mended);
        let (mut lost, mut all) = (0usize, 0usize);
        for text in self.over.texts(&document.fields) {
            lost += text.matches('\u{FFFD}').count();
            all += text.chars().count();
        }
        if lost > 0 && lost as f64 > self.most_lost * all as f64 {
            return Verdict::dropped("lost characters", format!("{lost} of {all} characters could not be decoded"));
        }
        if changed { Verdict::Changed("mojibake") } else { Verdict::Kept }
    }
}

/// The text with the lines mended that were UTF-8 read as Windows-1252; `None` where there is none.
fn mended(text: &str) -> Option<String> {
    // The first byte of a character of several reads as one of U+00C2 to U+00F4.
    if !text.contains(|c| ('\u{C2}'..='\u{F4}').contains(&c)) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for line in text.split_inclusive('\n') {
        match mended_line(line) {
            Some(mended) => {
                out.push_str(&mended);
                changed = true;
            }
            None => out.push_str(line),
        }
    }
    changed.then_some(out)
}

fn mended_line(line: &str) -> Option<String> {
    let (bytes, _, unmappable) = encoding_rs::WINDOWS_1252.encode(line);
    if unmappable {
        return None;
    }
    // Real text in a Latin alphabet is hardly ever valid UTF-8 by chance; ASCII always is, and unchanged.
    let mended = std::str::from_utf8(&bytes).ok()?;
    (mended.chars().count() < line.chars().count()).then(|| mended.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_and_line_ends_are_one() {
        assert_eq!(without_control("甲\r\n乙\r\r丙\0\u{200B}丁\u{A0}a\u{3000}b"), "甲\n乙\n丙丁 a\u{3000}b");
        assert!(matches!(without_control("plain\ttext\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn utf8_read_as_windows_1252_is_mended_and_real_latin_text_is_left() {
        for text in ["中文測試，一行。", "café – naïve", "한국어"] {
            let (wrong, _, _) = encoding_rs::WINDOWS_1252.decode(text.as_bytes());
            assert_eq!(mended(&format!("{wrong}\nplain\n")).as_deref(), Some(&*format!("{text}\nplain\n")), "{wrong}");
        }
        for fine in ["Übermäßig große Äpfel", "déjà vu à la carte", "São Paulo não é longe", "Ünïcödé ÀÉÎ", "中文"]
        {
            assert_eq!(mended(fine), None, "{fine}");
        }
    }

    #[test]
    fn wide_punctuation_can_keep_its_width() {
        assert_eq!(but_punctuation("ＡＢＣ，１２３。㎏（ﬁ）"), "ABC，123。kg（fi）");
    }
}
