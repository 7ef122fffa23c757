//! Conversion between the scripts by the tables of OpenCC, and as OpenCC does it.
//!
//! A text is first normalised (compatibility ideographs), then cut into words where the conversion says so, and each piece goes through
//! one or two stages. A stage looks at each place for the longest key that begins there and writes its value; of several tables the first
//! that has a key decides, except that tables of phrases count as one. Configurations: `data/config/*.json` of OpenCC.
//!
//! The tables inside the program are those of the crate `zhhz`; files of a folder of the user's, named and laid out as OpenCC's own
//! (`STPhrases.txt`: a key, a tab, values with blanks between), take the place of those of the same name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;

use super::script::Conversion;
use crate::error::CorpusError;
use crate::random::mix;

/// Hashes texts, eight bytes at a time.
#[derive(Debug, Default)]
struct TextHasher(u64);

impl Hasher for TextHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = mix(self.0.rotate_left(5) ^ u64::from_le_bytes(word));
        }
    }
}

type Texts<V> = HashMap<Box<str>, V, BuildHasherDefault<TextHasher>>;

/// Keys and values; of several values the first counts.
#[derive(Debug, Default)]
struct Table {
    values: Texts<Box<str>>,
    /// Of each character that begins a key, the lengths of those keys in characters, as bits.
    lengths: HashMap<char, u64, BuildHasherDefault<TextHasher>>,
}

/// The longest key in characters.
const LONGEST: usize = 63;

impl Table {
    fn of_text(text: &str) -> Self {
        let mut table = Table::default();
        for (key, value) in entries(text) {
            table.insert(key, value.split(' ').next().unwrap_or_default());
        }
        table
    }

    fn insert(&mut self, key: &str, value: &str) {
        let length = key.chars().count();
        if let (Some(first), 1..=LONGEST) = (key.chars().next(), length) {
            *self.lengths.entry(first).or_default() |= 1 << length;
            self.values.insert(key.into(), value.into());
        }
    }

    /// The longest key that begins a text: its length in bytes, and its value.
    fn longest<'t>(&'t self, text: &str) -> Option<(usize, &'t str)> {
        let mut lengths = *self.lengths.get(&text.chars().next()?)?;
        while lengths != 0 {
            let length = 63 - lengths.leading_zeros() as usize;
            lengths &= !(1 << length);
            let end = match text.char_indices().nth(length) {
                Some((end, _)) => end,
                None if text.chars().count() == length => text.len(),
                None => continue,
            };
            if let Some(value) = self.values.get(&text[..end]) {
                return Some((end, value));
            }
        }
        None
    }
}

/// The entries of a table's text: keys, and their values as they stand.
fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).filter(|(key, value)| !key.is_empty() && !value.is_empty())
}

/// Tables of which the longest key of any counts, by their number.
type Union = Vec<usize>;

/// A conversion that is ready.
#[derive(Debug)]
pub(super) struct Converter {
    tables: Vec<Table>,
    normalise: Union,
    /// The words that a text is cut by; `None` where it is not cut.
    words: Option<Union>,
    stages: Vec<Vec<Union>>,
}

impl Converter {
    /// Loads what a conversion needs, from `folder` where it has a table.
    pub(super) fn load(conversion: Conversion, folder: Option<&Path>) -> Result<Self, CorpusError> {
        let mut loaded = Loaded { folder, tables: Vec::new() };
        let normalise = vec![loaded.table("CJK_Compatibility_Ideographs")?];
        let mut words = None;
        let mut stages = Vec::new();
        if conversion == Conversion::T2s {
            stages.push(loaded.simplifying()?);
        } else {
            let phrases = vec![loaded.table("STPhrases")?, loaded.phrases_of_regions()?];
            stages.push(vec![phrases.clone(), vec![loaded.table("STCharacters")?]]);
            let mut taiwan = Vec::new();
            if conversion == Conversion::S2twp {
                taiwan.push(vec![loaded.table("TWPhrases")?]);
            }
            if conversion != Conversion::S2t {
                taiwan.push(vec![loaded.table("TWVariantsPhrases")?]);
                taiwan.push(vec![loaded.table("TWVariants")?]);
                words = Some(phrases);
                stages.push(taiwan);
            }
        }
        Ok(Converter { tables: loaded.tables, normalise, words, stages })
    }

    /// The text in the other script.
    pub(super) fn convert(&self, text: &str) -> String {
        let normal = self.stage(std::slice::from_ref(&self.normalise), text);
        let mut out = String::with_capacity(normal.len() + normal.len() / 16);
        let Some(words) = &self.words else {
            self.stages(&normal, &mut out);
            return out;
        };
        let mut from = 0;
        let mut at = 0;
        while at < normal.len() {
            let rest = &normal[at..];
            match self.longest(words, rest) {
                Some((length, _)) => {
                    self.stages(&normal[from..at], &mut out);
                    self.stages(&rest[..length], &mut out);
                    at += length;
                    from = at;
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        self.stages(&normal[from..], &mut out);
        out
    }

    fn stages(&self, piece: &str, out: &mut String) {
        let mut text = Cow::Borrowed(piece);
        for stage in &self.stages {
            if let Cow::Owned(next) = self.stage(stage, &text) {
                text = Cow::Owned(next);
            }
        }
        out.push_str(&text);
    }

    /// One stage over a text; borrowed where nothing changes.
    fn stage<'t>(&self, groups: &[Union], text: &'t str) -> Cow<'t, str> {
        let mut out: Option<String> = None;
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if let Some((length, value)) = groups.iter().find_map(|group| self.longest(group, rest)) {
                if out.is_none() && *value != rest[..length] {
                    out = Some(text[..at].to_owned());
                }
                if let Some(out) = &mut out {
                    out.push_str(value);
                }
                at += length;
                continue;
            }
            // What begins no key passes as it is.
            let length = rest.chars().next().map_or(1, char::len_utf8);
            if let Some(out) = &mut out {
                out.push_str(&rest[..length]);
            }
            at += length;
        }
        out.map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// The longest key of several tables; of equally long ones the first table's.
    fn longest(&self, group: &[usize], text: &str) -> Option<(usize, &str)> {
        let found = group.iter().filter_map(|table| self.tables[*table].longest(text));
        found.reduce(|best, next| if next.0 > best.0 { next } else { best })
    }
}

/// Tables being loaded.
struct Loaded<'f> {
    folder: Option<&'f Path>,
    tables: Vec<Table>,
}

impl Loaded<'_> {
    fn text(&self, name: &'static str) -> Result<Cow<'static, str>, CorpusError> {
        if let Some(folder) = self.folder {
            let path = folder.join(name).with_extension("txt");
            if path.is_file() {
                return std::fs::read_to_string(&path).map(Cow::Owned).map_err(CorpusError::read(&path));
            }
        }
        let inside = zhhz::data::dict_text(name).map(Cow::Borrowed);
        inside.ok_or_else(|| CorpusError::Conversion { table: name, cause: "it is not inside the program".to_owned() })
    }

    fn push(&mut self, table: Table) -> usize {
        self.tables.push(table);
        self.tables.len() - 1
    }

    fn table(&mut self, name: &'static str) -> Result<usize, CorpusError> {
        let table = Table::of_text(&self.text(name)?);
        Ok(self.push(table))
    }

    fn simplifying(&mut self) -> Result<Vec<Union>, CorpusError> {
        let phrases = self.table("TSPhrases")?;
        let characters = self.text("TSCharacters")?;
        let rare = self.push(rare_characters(&characters));
        let characters = self.push(Table::of_text(&characters));
        Ok(vec![vec![phrases], vec![rare], vec![characters]])
    }

    /// Words of regions in Simplified characters, so that they are kept whole until the stage that knows them: OpenCC makes these when it is
    /// built (`generate_st_phrases_from_regional_phrases.py`).
    fn phrases_of_regions(&mut self) -> Result<usize, CorpusError> {
        let mut simplifying = Loaded { folder: self.folder, tables: Vec::new() };
        let stages = vec![simplifying.simplifying()?];
        let simplifying = Converter { tables: simplifying.tables, normalise: Vec::new(), words: None, stages };
        let mut phrases = Table::default();
        for name in ["HKPhrases", "TWPhrases"] {
            for (key, _) in entries(&self.text(name)?) {
                let mut simplified = String::new();
                simplifying.stages(key, &mut simplified);
                if simplified.chars().count() >= 3 {
                    phrases.insert(&simplified, key);
                }
            }
        }
        Ok(self.push(phrases))
    }
}

/// Simplified forms that many fonts lack. Their lines in the table of characters are marked; there the character itself stands first.
fn rare_characters(text: &str) -> Table {
    let mut table = Table::default();
    let mut marked = false;
    for line in text.lines() {
        if let (true, Some((key, values))) = (marked, line.split_once('\t'))
            && let Some(value) = values.split_whitespace().find(|value| *value != key)
        {
            table.insert(key, value);
        }
        marked = line.starts_with("# @tofu-risk:");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(conversion: Conversion, text: &str) -> String {
        Converter::load(conversion, None).unwrap().convert(text)
    }

    #[test]
    fn the_longest_key_decides() {
        assert_eq!(convert(Conversion::S2t, "后来，皇后以后不干活，吃面包。"), "後來，皇后以後不幹活，喫麪包。");
        assert_eq!(convert(Conversion::S2tw, "后来，皇后在里面吃面。"), "後來，皇后在裡面吃麵。");
        assert_eq!(convert(Conversion::S2twp, "鼠标和软件，hello"), "滑鼠和軟體，hello");
        assert_eq!(convert(Conversion::T2s, "乾隆皇帝的軟體很乾淨。"), "乾隆皇帝的软体很干净。");
    }

    #[test]
    fn a_table_of_the_users_takes_the_place_of_the_one_inside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("TWPhrases.txt"), "# words\n軟件\t軟物 軟體\n").unwrap();
        let converter = Converter::load(Conversion::S2twp, Some(folder.path())).unwrap();
        assert_eq!(converter.convert("鼠标和软件"), "鼠標和軟物");
    }

    #[test]
    fn a_key_at_the_end_of_a_text_and_one_beyond_it() {
        let table = Table::of_text("甲乙\t1\n甲乙丙丁\t2\n乙\t3 4\n");
        assert_eq!(table.longest("甲乙丙"), Some((6, "1")));
        assert_eq!(table.longest("甲乙丙丁"), Some((12, "2")));
        assert_eq!(table.longest("甲"), None);
        assert_eq!(table.longest("乙"), Some((3, "3")));
        assert_eq!(table.longest(""), None);
    }
}
