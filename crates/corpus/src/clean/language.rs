//! Which language a text is in.
//!
//! The scripts decide first: Hangul is Korean, kana among Han characters Japanese, Han characters else Chinese. Languages that share an
//! alphabet are told apart by `whatlang`'s trigrams and letters, from the beginning of the text. In the Latin alphabet only languages
//! that much is written in are considered: the others would win short English sentences by chance.

use std::sync::LazyLock;

use whatlang::{Detector, Lang};

use super::{Over, Step, Verdict};
use crate::document::Document;

/// How many bytes of a text are looked at for its trigrams.
const LOOK: usize = 1200;

/// How many bytes are looked at for its scripts.
const LOOK_SCRIPT: usize = 1 << 14;

/// A language by its ISO 639-1 code, such as `zh`, or its ISO 639-3 code where it has no shorter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(&'static str);

/// Codes of ISO 639-3 as detectors give them, with those of ISO 639-1.
const CODES: [(&str, &str); 70] = [
    ("cmn", "zh"),
    ("eng", "en"),
    ("jpn", "ja"),
    ("kor", "ko"),
    ("epo", "eo"),
    ("rus", "ru"),
    ("spa", "es"),
    ("por", "pt"),
    ("ita", "it"),
    ("ben", "bn"),
    ("fra", "fr"),
    ("deu", "de"),
    ("ukr", "uk"),
    ("kat", "ka"),
    ("ara", "ar"),
    ("hin", "hi"),
    ("heb", "he"),
    ("yid", "yi"),
    ("pol", "pl"),
    ("amh", "am"),
    ("jav", "jv"),
    ("nob", "no"),
    ("dan", "da"),
    ("swe", "sv"),
    ("fin", "fi"),
    ("tur", "tr"),
    ("nld", "nl"),
    ("hun", "hu"),
    ("ces", "cs"),
    ("ell", "el"),
    ("bul", "bg"),
    ("bel", "be"),
    ("mar", "mr"),
    ("kan", "kn"),
    ("ron", "ro"),
    ("slv", "sl"),
    ("hrv", "hr"),
    ("srp", "sr"),
    ("mkd", "mk"),
    ("lit", "lt"),
    ("lav", "lv"),
    ("est", "et"),
    ("tam", "ta"),
    ("vie", "vi"),
    ("urd", "ur"),
    ("tha", "th"),
    ("guj", "gu"),
    ("uzb", "uz"),
    ("pan", "pa"),
    ("aze", "az"),
    ("ind", "id"),
    ("tel", "te"),
    ("pes", "fa"),
    ("mal", "ml"),
    ("ori", "or"),
    ("mya", "my"),
    ("nep", "ne"),
    ("sin", "si"),
    ("khm", "km"),
    ("tuk", "tk"),
    ("aka", "ak"),
    ("zul", "zu"),
    ("sna", "sn"),
    ("afr", "af"),
    ("lat", "la"),
    ("slk", "sk"),
    ("cat", "ca"),
    ("tgl", "tl"),
    ("hye", "hy"),
    ("cym", "cy"),
];

impl Language {
    /// Chinese.
    pub const CHINESE: Language = Language("zh");
    /// English.
    pub const ENGLISH: Language = Language("en");
    /// Japanese.
    pub const JAPANESE: Language = Language("ja");
    /// Korean.
    pub const KOREAN: Language = Language("ko");

    /// The language of a code: ISO 639-1, ISO 639-3, or `zho` as Common Crawl writes.
    #[must_use]
    pub fn by_code(code: &str) -> Option<Self> {
        let code = if code == "zho" { "cmn" } else { code };
        CODES.iter().find(|(long, short)| *long == code || *short == code).map(|(_, short)| Language(short))
    }

    /// Its code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0
    }
}

/// What was found of a text's language.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LanguageOf {
    /// The language.
    pub language: Language,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
}

/// Characters of the scripts that settle the language by themselves, and of all others.
#[derive(Debug, Clone, Copy, Default)]
struct Scripts {
    han: usize,
    kana: usize,
    hangul: usize,
    other: usize,
}

impl Scripts {
    fn of(text: &str) -> Self {
        let mut scripts = Scripts::default();
        for c in text.chars() {
            match c {
                '\0'..='\u{7F}' => scripts.other += usize::from(c.is_ascii_alphabetic()),
                '\u{4E00}'..='\u{9FFF}'
                | '\u{3400}'..='\u{4DBF}'
                | '\u{F900}'..='\u{FAFF}'
                | '\u{20000}'..='\u{323AF}' => {
                    scripts.han += 1;
                }
                '\u{3041}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' => scripts.kana += 1,
                '\u{AC00}'..='\u{D7A3}' | '\u{1100}'..='\u{11FF}' => scripts.hangul += 1,
                _ => scripts.other += usize::from(c.is_alphabetic()),
            }
        }
        scripts
    }
}

/// The language of a text; `None` where it has no letters or the detector cannot tell.
#[must_use]
pub fn language_of(text: &str) -> Option<LanguageOf> {
    let scripts = Scripts::of(beginning(text, LOOK_SCRIPT));
    // A Han character or a syllable of kana or Hangul says about as much as three letters.
    let asian = scripts.han + scripts.kana + scripts.hangul;
    if asian > 0 && 3 * asian >= scripts.other {
        let language = if 2 * scripts.hangul > asian {
            Language::KOREAN
        } else if 10 * scripts.kana > asian {
            Language::JAPANESE
        } else {
            Language::CHINESE
        };
        let confidence = (3 * asian) as f64 / (3 * asian + scripts.other) as f64;
        return Some(LanguageOf { language, confidence });
    }
    let info = DETECTOR.detect(beginning(text, LOOK))?;
    let language = Language::by_code(info.lang().code())?;
    Some(LanguageOf { language, confidence: info.confidence() })
}

/// Languages that are left out in the Latin alphabet.
const RARE: [Lang; 12] = [
    Lang::Epo,
    Lang::Jav,
    Lang::Uzb,
    Lang::Aze,
    Lang::Zul,
    Lang::Aka,
    Lang::Sna,
    Lang::Afr,
    Lang::Tgl,
    Lang::Tuk,
    Lang::Lat,
    Lang::Cym,
];

static DETECTOR: LazyLock<Detector> = LazyLock::new(|| Detector::with_denylist(RARE.to_vec()));

/// At most so many bytes from the start, whole characters only.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Keeps documents in given languages, and writes the language of each into its field `language`.
#[derive(Debug, Clone)]
pub struct Languages {
    /// The languages to keep; empty to keep all and only write the field.
    pub keep: Vec<Language>,
    /// Documents of which the detector is less sure are dropped.
    pub least_confidence: f64,
    /// The fields that are read, together.
    pub over: Over,
}

impl Languages {
    /// Keeps these languages, however sure the detector is.
    #[must_use]
    pub fn keeping(keep: Vec<Language>) -> Self {
        Languages { keep, least_confidence: 0.0, over: Over::AllText }
    }
}

impl Step for Languages {
    fn name(&self) -> &'static str {
        "language"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let found = language_of(&self.over.joined(&document.fields));
        let Some(LanguageOf { language, confidence }) = found else {
            return if self.keep.is_empty() {
                Verdict::Kept
            } else {
                Verdict::dropped("no language", "the detector finds no language in it")
            };
        };
        if !self.keep.is_empty() && !self.keep.contains(&language) {
            return Verdict::dropped("other language", format!("it is in {}", language.code()));
        }
        if confidence < self.least_confidence {
            let detail = format!("it seems to be in {}, with a confidence of {confidence:.2}", language.code());
            return Verdict::dropped("language not sure", detail);
        }
        document.fields.set("language", language.code());
        Verdict::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_tell_the_languages_of_east_asia_apart() {
        for (text, code) in [
            ("床前明月光", "zh"),
            ("請用 Python 寫一個 hello world 程式", "zh"),
            ("これは日本語の文章です", "ja"),
            ("東京都は日本の首都である", "ja"),
            ("안녕하세요, 세계", "ko"),
            ("The quick brown fox jumps over the lazy dog near the river bank.", "en"),
            ("Der schnelle braune Fuchs springt über den faulen Hund am Fluss.", "de"),
            ("Это предложение написано по-русски и довольно длинное.", "ru"),
        ] {
            assert_eq!(language_of(text).map(|found| found.language.code()), Some(code), "{text}");
        }
        assert_eq!(language_of("123 + 456 = ?"), None);
    }

    #[test]
    fn codes_are_those_of_either_standard() {
        assert_eq!(Language::by_code("zho"), Some(Language::CHINESE));
        assert_eq!(Language::by_code("eng"), Some(Language::ENGLISH));
        assert_eq!(Language::by_code("ja"), Some(Language::JAPANESE));
        assert_eq!(Language::by_code("xx"), None);
    }
}
