//! Filters on repetition, after Gopher (arXiv 2112.11446, table A1): lines, paragraphs and n-grams that come again and again.
//!
//! Gopher counts n-grams of words. Where words are not spaced they are counted over characters, twice as many of them: a Chinese word
//! has about two. What is measured is the share of characters inside the repeated parts.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::quality::is_han_or_kana;
use super::{Over, Step, Verdict};
use crate::document::Document;
use crate::letters::{KeyHasher, Prefixes};

/// Gopher's filters of repetition. The defaults are its thresholds.
#[derive(Debug, Clone)]
pub struct Repetition {
    /// The greatest share of lines that repeat an earlier one, and of the characters in them.
    pub lines: (f64, f64),
    /// The same for paragraphs.
    pub paragraphs: (f64, f64),
    /// The greatest share of characters in the most frequent n-gram, for n = 2, 3, 4.
    pub top: [f64; 3],
    /// The greatest share of characters in n-grams that occur more than once, for n = 5 to 10.
    pub repeated: [f64; 6],
    /// The fields, together.
    pub over: Over,
}

impl Default for Repetition {
    fn default() -> Self {
        Repetition {
            lines: (0.3, 0.2),
            paragraphs: (0.3, 0.2),
            top: [0.2, 0.18, 0.16],
            repeated: [0.15, 0.14, 0.13, 0.12, 0.11, 0.10],
            over: Over::AllText,
        }
    }
}

type Counts<V> = HashMap<u64, V, BuildHasherDefault<KeyHasher>>;

impl Step for Repetition {
    fn name(&self) -> &'static str {
        "repetition"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let text = self.over.joined(&document.fields);
        let pieces = [
            ("repeated lines", self.lines, repeated_pieces(text.split('\n'))),
            ("repeated paragraphs", self.paragraphs, repeated_pieces(text.split("\n\n"))),
        ];
        for (label, (most_pieces, most_characters), (share, of_characters)) in pieces {
            if share > most_pieces || of_characters > most_characters {
                let detail =
                    format!("{:.0} % of them, {:.0} % of the characters", 100.0 * share, 100.0 * of_characters);
                return Verdict::dropped(label, detail);
            }
        }
        let units = Units::of(&text);
        let factor = if units.unspaced { 2 } else { 1 };
        for (n, most) in (2..).zip(self.top) {
            let share = units.top_share(n * factor);
            if share > most {
                return Verdict::dropped(
                    "frequent phrase",
                    format!("{:.0} % of the characters are one {n}-gram", 100.0 * share),
                );
            }
        }
        for (n, most) in (5..).zip(self.repeated) {
            let share = units.repeated_share(n * factor);
            if share > most {
                let detail = format!("{:.0} % of the characters are in {n}-grams that come again", 100.0 * share);
                return Verdict::dropped("repeated phrases", detail);
            }
        }
        Verdict::Kept
    }
}

/// The share of pieces that stand earlier already, and of the characters in them.
fn repeated_pieces<'t>(pieces: impl Iterator<Item = &'t str>) -> (f64, f64) {
    let mut seen: std::collections::HashSet<&str> = std::collections::HashSet::new();
    let (mut count, mut again, mut characters, mut again_characters) = (0usize, 0usize, 0usize, 0usize);
    for piece in pieces.map(str::trim).filter(|piece| !piece.is_empty()) {
        count += 1;
        characters += piece.len();
        if !seen.insert(piece) {
            again += 1;
            again_characters += piece.len();
        }
    }
    (again as f64 / count.max(1) as f64, again_characters as f64 / characters.max(1) as f64)
}

/// A text as a sequence of words, or of characters where words are not spaced.
struct Units {
    prefixes: Prefixes,
    /// Characters of each unit.
    lengths: Vec<u32>,
    characters: usize,
    unspaced: bool,
}

impl Units {
    fn of(text: &str) -> Self {
        let (mut han, mut other) = (0usize, 0usize);
        for c in text.chars().filter(|c| c.is_alphanumeric()) {
            if is_han_or_kana(c) { han += 1 } else { other += 1 }
        }
        let unspaced = 3 * han > other;
        let mut prefixes = Prefixes::default();
        let mut lengths = Vec::new();
        if unspaced {
            for c in text.chars().filter(|c| c.is_alphanumeric()) {
                prefixes.push(u64::from(c));
                lengths.push(1);
            }
        } else {
            for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let mut key = 0;
                let mut length = 0;
                for c in word.chars().flat_map(char::to_lowercase) {
                    key = crate::random::mix(key ^ u64::from(c));
                    length += 1;
                }
                prefixes.push(key);
                lengths.push(length);
            }
        }
        let characters = lengths.iter().map(|length| *length as usize).sum();
        Units { prefixes, lengths, characters, unspaced }
    }

    fn length(&self, start: usize, n: usize) -> usize {
        self.lengths[start..start + n].iter().map(|length| *length as usize).sum()
    }

    /// The share of characters that the most frequent n-gram takes; 0 where none comes twice.
    fn top_share(&self, n: usize) -> f64 {
        let mut counts: Counts<(u32, u32)> = Counts::default();
        for start in 0..(self.lengths.len() + 1).saturating_sub(n) {
            let entry = counts.entry(self.prefixes.window(start, n)).or_insert((0, start as u32));
            entry.0 += 1;
        }
        let most = counts
            .values()
            .filter(|(count, _)| *count > 1)
            .map(|(count, start)| *count as usize * self.length(*start as usize, n))
            .max()
            .unwrap_or(0);
        most as f64 / self.characters.max(1) as f64
    }

    /// The share of characters inside n-grams that stand earlier already, each character once.
    fn repeated_share(&self, n: usize) -> f64 {
        let mut seen: Counts<()> = Counts::default();
        let mut covered_to = 0;
        let mut covered = 0;
        for start in 0..(self.lengths.len() + 1).saturating_sub(n) {
            if seen.insert(self.prefixes.window(start, n), ()).is_some() {
                let from = covered_to.max(start);
                covered += self.length(from, start + n - from);
                covered_to = start + n;
            }
        }
        covered as f64 / self.characters.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::tests::document;

    fn label(text: &str) -> &'static str {
        match Repetition::default().apply(&mut document(&[("text", text)])) {
            Verdict::Kept => "kept",
            Verdict::Changed(_) => "changed",
            Verdict::Dropped(reason) => reason.label,
        }
    }

    #[test]
    fn prose_passes_and_each_kind_of_repetition_is_found() {
        let chinese = "秦川雄帝宅，函谷壯皇居。綺殿千尋起，離宮百雉餘。連甍遙接漢，飛觀迥凌虛。雲日隱層闕，風煙出綺疎。巖廊罷機務，崇文聊駐輦。";
        assert_eq!(label(chinese), "kept");
        assert_eq!(
            label(
                "While much of the digital transition is unprecedented here, the peaceful transition of power is not."
            ),
            "kept"
        );
        assert_eq!(label(&format!("{chinese}\n首頁\n首頁\n首頁\n")), "repeated lines");
        assert_eq!(label(&"買一送一限時優惠".repeat(8)), "frequent phrase");
        assert_eq!(label(&"buy now ".repeat(20)), "frequent phrase");
        let long = format!("{chinese}又曰{chinese}");
        assert_eq!(label(&long), "repeated phrases");
    }
}
