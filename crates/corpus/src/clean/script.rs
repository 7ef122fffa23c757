//! Traditional and Simplified Chinese: how much of a text is in which, and conversion with the tables of OpenCC.
//!
//! A character belongs to one script alone when it stands in that script's national standard and not in the other's: Big5 holds the
//! characters Taiwan writes with, GB 2312 those of the mainland, and what both hold (人, 中, 文) tells nothing. Characters that a
//! conversion leaves as they are tell nothing either, such as rare names that only one standard has.

use std::path::Path;
use std::sync::LazyLock;

use super::opencc::Converter;
use super::{Over, Step, Verdict};
use crate::document::Document;
use crate::error::CorpusError;

/// One of the two ways to write Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Script {
    /// Taiwan, Hong Kong, and all of it before 1956.
    Traditional,
    /// The mainland and Singapore.
    Simplified,
}

/// Characters of a text by script.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScriptShare {
    /// Characters that only Traditional texts have.
    pub traditional: usize,
    /// Characters that only Simplified texts have.
    pub simplified: usize,
}

impl ScriptShare {
    /// The script most of the telling characters belong to; `None` where none tells.
    #[must_use]
    pub fn script(self) -> Option<Script> {
        match self.traditional.cmp(&self.simplified) {
            std::cmp::Ordering::Greater => Some(Script::Traditional),
            std::cmp::Ordering::Less => Some(Script::Simplified),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// The share of telling characters that are of `script`, in [0, 1]; `None` where none tells.
    #[must_use]
    pub fn share(self, script: Script) -> Option<f64> {
        let all = self.traditional + self.simplified;
        let count = if script == Script::Traditional { self.traditional } else { self.simplified };
        (all > 0).then(|| count as f64 / all as f64)
    }
}

/// Counts the telling characters of a text.
#[must_use]
pub fn script_share(text: &str) -> ScriptShare {
    let table = &*TELLING;
    let mut counts = [0usize; 3];
    for c in text.chars() {
        let at = (c as usize).wrapping_sub(FIRST_HAN);
        if at < table.len() {
            counts[usize::from(table[at])] += 1;
        }
    }
    ScriptShare { traditional: counts[usize::from(TRADITIONAL)], simplified: counts[usize::from(SIMPLIFIED)] }
}

const FIRST_HAN: usize = 0x4E00;
const LAST_HAN: usize = 0x9FFF;

const BOTH: u8 = 0;
const TRADITIONAL: u8 = 1;
const SIMPLIFIED: u8 = 2;

/// Of each character of the block of unified ideographs, which script it tells of.
static TELLING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let converters = [Conversion::S2t, Conversion::T2s].map(|conversion| ConvertScript::new(conversion).ok());
    (FIRST_HAN..=LAST_HAN)
        .map(|code| {
            let Some(c) = u32::try_from(code).ok().and_then(char::from_u32) else { return BOTH };
            let (in_big5, in_gb2312) = (is_in_big5(c), is_in_gb2312(c));
            let [to_traditional, to_simplified] = &converters;
            let changes = |converter: &Option<ConvertScript>| {
                converter.as_ref().is_none_or(|converter| {
                    let mut buffer = [0; 4];
                    let text: &str = c.encode_utf8(&mut buffer);
                    converter.convert(text) != text
                })
            };
            match (in_big5, in_gb2312) {
                (true, false) if changes(to_simplified) => TRADITIONAL,
                (false, true) if changes(to_traditional) => SIMPLIFIED,
                _ => BOTH,
            }
        })
        .collect()
});

fn is_in_big5(c: char) -> bool {
    let mut buffer = [0; 4];
    let (bytes, _, unmappable) = encoding_rs::BIG5.encode(c.encode_utf8(&mut buffer));
    // The two levels of the standard: 0xA440 to 0xC67E and 0xC940 to 0xF9D5.
    !unmappable && bytes.len() == 2 && matches!(bytes[0], 0xA4..=0xC6 | 0xC9..=0xF9)
}

fn is_in_gb2312(c: char) -> bool {
    let mut buffer = [0; 4];
    let (bytes, _, unmappable) = encoding_rs::GBK.encode(c.encode_utf8(&mut buffer));
    // GBK keeps the places of GB 2312: rows 16 to 87, both bytes from 0xA1 on.
    !unmappable && bytes.len() == 2 && (0xB0..=0xF7).contains(&bytes[0]) && bytes[1] >= 0xA1
}

/// Keeps documents of one script, and writes the script of each into its field `script`.
#[derive(Debug, Clone)]
pub struct KeepScript {
    /// The script to keep.
    pub script: Script,
    /// The least share of telling characters that must be of it.
    pub least: f64,
    /// Whether documents without any telling character are kept.
    pub keep_unknown: bool,
    /// The fields that are read, together.
    pub over: Over,
}

impl Script {
    /// Its name: `traditional` or `simplified`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Script::Traditional => "traditional",
            Script::Simplified => "simplified",
        }
    }
}

impl Step for KeepScript {
    fn name(&self) -> &'static str {
        "script"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let counts = self.over.texts(&document.fields).map(script_share).fold(ScriptShare::default(), |all, one| {
            ScriptShare { traditional: all.traditional + one.traditional, simplified: all.simplified + one.simplified }
        });
        let ScriptShare { traditional, simplified } = counts;
        match counts.share(self.script) {
            None if self.keep_unknown => Verdict::Kept,
            None => Verdict::dropped("no script", "no character tells its script"),
            Some(share) if share < self.least => {
                let detail = format!("{traditional} characters are Traditional alone, {simplified} Simplified alone");
                Verdict::dropped("other script", detail)
            }
            Some(_) => {
                if let Some(script) = counts.script() {
                    document.fields.set("script", script.name());
                }
                Verdict::Kept
            }
        }
    }
}

/// A conversion of OpenCC, under its name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// Simplified to Traditional.
    S2t,
    /// Simplified to Traditional as Taiwan writes it.
    S2tw,
    /// The same, with Taiwan's words for things: 软件 becomes 軟體.
    S2twp,
    /// Traditional to Simplified.
    T2s,
}

impl Conversion {
    /// All, with their names.
    pub const NAMED: [(&'static str, Conversion); 4] =
        [("s2t", Conversion::S2t), ("s2tw", Conversion::S2tw), ("s2twp", Conversion::S2twp), ("t2s", Conversion::T2s)];

    /// The conversion of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, conversion)| *conversion)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, conversion)| *conversion == self).map_or("", |(name, _)| name)
    }
}

/// Converts texts from one script to the other.
pub struct ConvertScript {
    conversion: Conversion,
    converter: Converter,
    /// The fields.
    pub over: Over,
}

impl ConvertScript {
    /// Loads the tables of a conversion.
    ///
    /// # Errors
    /// [`CorpusError::Conversion`] when a table inside the program is missing.
    pub fn new(conversion: Conversion) -> Result<Self, CorpusError> {
        Self::load(conversion, None)
    }

    /// The same with tables of one's own: files of OpenCC's dictionaries as text, such as `TWPhrases.txt`, in place of those inside the
    /// program.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub fn with_tables(conversion: Conversion, folder: &Path) -> Result<Self, CorpusError> {
        std::fs::read_dir(folder).map_err(CorpusError::read(folder))?;
        Self::load(conversion, Some(folder))
    }

    fn load(conversion: Conversion, folder: Option<&Path>) -> Result<Self, CorpusError> {
        let converter = Converter::load(conversion, folder)?;
        Ok(ConvertScript { conversion, converter, over: Over::AllText })
    }

    /// The text in the other script.
    #[must_use]
    pub fn convert(&self, text: &str) -> String {
        self.converter.convert(text)
    }
}

impl Step for ConvertScript {
    fn name(&self) -> &'static str {
        self.conversion.name()
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let changed = self.over.change(&mut document.fields, |text| {
            if text.is_ascii() {
                return None;
            }
            let converted = self.convert(text);
            (converted != text).then_some(converted)
        });
        if changed { Verdict::Changed("script") } else { Verdict::Kept }
    }
}
