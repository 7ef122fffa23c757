//! Texts reduced to their letters, and hashes of all their n-grams in constant time each.
//!
//! Duplicates and contamination compare letters and digits alone, in small letters: white space, marks and case are the first things
//! that copies change. An n-gram is [`Widths::han`] characters long where it begins with a Han character and [`Widths::other`] elsewhere:
//! a Chinese character says about as much as two or three letters.

use std::hash::Hasher;

use crate::clean::is_han_or_kana;
use crate::random::mix;

/// How many characters an n-gram has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Where it begins with a Han character or kana.
    pub han: usize,
    /// Elsewhere.
    pub other: usize,
}

impl Widths {
    /// The width of the n-gram that begins with this letter.
    #[inline]
    pub(crate) fn of(self, first: char) -> usize {
        if is_han_or_kana(first) { self.han } else { self.other }
    }
}

/// Appends the letters and digits of a text, in small letters.
pub(crate) fn push_letters(text: &str, letters: &mut Vec<char>) {
    for c in text.chars() {
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                letters.push(c.to_ascii_lowercase());
            }
        } else if is_han_or_kana(c) {
            letters.push(c);
        } else if c.is_alphanumeric() {
            letters.extend(c.to_lowercase());
        }
    }
}

/// The base of the polynomial; odd, with bits all over.
const BASE: u64 = 0xD6E8_FEB8_6659_FD93;

/// The widest n-gram.
pub(crate) const WIDEST: usize = 128;

const POWERS: [u64; WIDEST + 1] = {
    let mut powers = [1u64; WIDEST + 1];
    let mut i = 1;
    while i <= WIDEST {
        powers[i] = powers[i - 1].wrapping_mul(BASE);
        i += 1;
    }
    powers
};

/// Polynomial hashes of all beginnings of a sequence (Karp and Rabin, modulo 2^64, over mixed values); the hash of any run of it
/// follows from two of them.
pub(crate) struct Prefixes(Vec<u64>);

impl Default for Prefixes {
    fn default() -> Self {
        Prefixes(vec![0])
    }
}

impl Prefixes {
    /// The prefixes of letters.
    #[cfg(test)]
    pub(crate) fn of(letters: &[char]) -> Self {
        let mut prefixes = Prefixes::default();
        prefixes.extend(letters);
        prefixes
    }

    /// Appends an item of the sequence.
    #[inline]
    pub(crate) fn push(&mut self, item: u64) {
        let last = self.0[self.0.len() - 1];
        self.0.push(last.wrapping_mul(BASE).wrapping_add(mix(item.wrapping_add(1))));
    }

    /// Appends letters.
    pub(crate) fn extend(&mut self, letters: &[char]) {
        self.0.reserve(letters.len());
        letters.iter().for_each(|letter| self.push(u64::from(*letter)));
    }

    /// Empties the sequence, and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.0.truncate(1);
    }

    /// How many items there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// The hash of `width` items from `start` on.
    #[inline]
    pub(crate) fn window(&self, start: usize, width: usize) -> u64 {
        mix(self.0[start + width].wrapping_sub(self.0[start].wrapping_mul(POWERS[width])))
    }
}

/// A hasher for keys that are hashes already.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_have_equal_hashes_wherever_they_stand() {
        let mut letters = Vec::new();
        push_letters("春眠不覺曉，處處聞啼鳥。Spring DREAMS, spring dreams!", &mut letters);
        let text: String = letters.iter().collect();
        assert_eq!(text, "春眠不覺曉處處聞啼鳥springdreamsspringdreams");
        let prefixes = Prefixes::of(&letters);
        assert_eq!(prefixes.len(), letters.len());
        for width in 1..=12 {
            for a in 0..=letters.len() - width {
                for b in 0..=letters.len() - width {
                    let same = letters[a..a + width] == letters[b..b + width];
                    assert_eq!(prefixes.window(a, width) == prefixes.window(b, width), same, "{width} {a} {b}");
                }
            }
        }
    }
}
