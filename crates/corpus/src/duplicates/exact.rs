//! Exact duplicates: documents that say the same but for white space.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::letters::KeyHasher;

/// Texts that have come; some forty bytes each.
#[derive(Default)]
pub struct Exact {
    seen: HashMap<u128, u64, BuildHasherDefault<KeyHasher>>,
}

impl Exact {
    /// None have come.
    #[must_use]
    pub fn new() -> Self {
        Exact::default()
    }

    /// The identity of a text: the first 128 bits of the SHA-256 of its words. Computed apart, so that it can be on all threads.
    #[must_use]
    pub fn key(text: &str) -> u128 {
        let mut words = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        let digits = luthier_files::sha256(words.as_bytes());
        u128::from_str_radix(&digits[..32], 16).expect("a hash is written in hexadecimal digits")
    }

    /// Takes a text's key and its number: the number of the first text with that key, where this is not it.
    pub fn first_with(&mut self, key: u128, number: u64) -> Option<u64> {
        let first = *self.seen.entry(key).or_insert(number);
        (first != number).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_texts_is_told() {
        let mut exact = Exact::new();
        let found: Vec<_> = ["甲 乙", "丙", " 甲\n乙 ", "甲乙", "丙"]
            .iter()
            .zip(0..)
            .map(|(text, number)| exact.first_with(Exact::key(text), number))
            .collect();
        assert_eq!(found, [None, None, Some(0), None, Some(1)]);
    }
}
