//! MinHash (Broder 1997): of a set of n-grams, the least value under each of many hash functions. Two sets agree in a least value as
//! often as they share elements: the share of functions that agree estimates |A ∩ B| / |A ∪ B|, their Jaccard similarity.

use crate::letters::{Prefixes, Widths, push_letters};
use crate::random::mix;

/// Bands of a signature: documents whose least values agree in a whole band are compared.
pub(super) const BANDS: usize = 64;

/// Functions of a band.
pub(super) const ROWS: usize = 3;

/// Hash functions.
pub(super) const FUNCTIONS: usize = BANDS * ROWS;

/// Functions that are computed together: as many as vector registers hold.
const TOGETHER: usize = 64;

/// The functions: multiplication by an odd number and addition, modulo 2^32, on hashed n-grams.
pub(super) struct Functions {
    factors: [u32; FUNCTIONS],
    terms: [u32; FUNCTIONS],
    widths: Widths,
    arch: pulp::Arch,
}

/// What is worked in, kept between documents.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) letters: Vec<char>,
    prefixes: Prefixes,
    grams: Vec<u32>,
}

/// What is kept of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// A hash of each band's least values.
    pub(super) bands: [u32; BANDS],
    /// Eight bits of each least value.
    pub(super) sketch: [u8; FUNCTIONS],
    /// The share of n-grams that begin with a Han character, of 255.
    pub(super) han: u8,
    /// Whether the document has letters at all.
    pub(super) any: bool,
}

impl Functions {
    pub(super) fn new(widths: Widths) -> Self {
        // Any fixed numbers do; these are made by the generator of the crate.
        let number = |i: usize, kind: u64| mix(mix(0x6D69_6E68_6173_6800 + kind) ^ i as u64) as u32;
        Functions {
            factors: std::array::from_fn(|i| number(i, 1) | 1),
            terms: std::array::from_fn(|i| number(i, 2)),
            widths,
            arch: pulp::Arch::new(),
        }
    }

    /// The signature of texts as one document.
    pub(super) fn signature(&self, texts: &[&str], scratch: &mut Scratch) -> Signature {
        let Scratch { letters, prefixes, grams } = scratch;
        letters.clear();
        prefixes.clear();
        grams.clear();
        texts.iter().for_each(|text| push_letters(text, letters));
        prefixes.extend(letters);
        let mut han = 0usize;
        for (start, first) in letters.iter().enumerate() {
            let width = self.widths.of(*first);
            han += usize::from(width == self.widths.han);
            if start + width <= letters.len() {
                grams.push((prefixes.window(start, width) >> 32) as u32);
            }
        }
        // A text shorter than an n-gram is one itself.
        if grams.is_empty() && !letters.is_empty() {
            let width = letters.len().min(crate::letters::WIDEST);
            grams.push((prefixes.window(0, width) >> 32) as u32);
        }
        let least = self.least(grams);
        let mut sketch = [0; FUNCTIONS];
        for (eight, value) in sketch.iter_mut().zip(&least) {
            *eight = (value.wrapping_mul(0x9E37_79B1) >> 24) as u8;
        }
        let mut bands = [0; BANDS];
        for (key, values) in bands.iter_mut().zip(least.chunks_exact(ROWS)) {
            *key = (values.iter().fold(0, |key, value| mix(key ^ u64::from(*value))) >> 32) as u32;
        }
        let han = u8::try_from(255 * han / letters.len().max(1)).unwrap_or(u8::MAX);
        Signature { bands, sketch, han, any: !letters.is_empty() }
    }

    /// The least value of each function over the n-grams.
    fn least(&self, grams: &[u32]) -> [u32; FUNCTIONS] {
        let mut least = [u32::MAX; FUNCTIONS];
        self.arch.dispatch(|| {
            let functions = self.factors.chunks_exact(TOGETHER).zip(self.terms.chunks_exact(TOGETHER));
            for ((factors, terms), least) in functions.zip(least.chunks_exact_mut(TOGETHER)) {
                let mut values = [u32::MAX; TOGETHER];
                for gram in grams {
                    for ((value, factor), term) in values.iter_mut().zip(factors).zip(terms) {
                        *value = (*value).min(gram.wrapping_mul(*factor).wrapping_add(*term));
                    }
                }
                least.copy_from_slice(&values);
            }
        });
        least
    }
}

/// The estimate of the Jaccard similarity from two sketches. Eight bits agree by chance once in 256 times.
pub(super) fn similarity(a: &[u8], b: &[u8]) -> f64 {
    let agree: u32 = a.iter().zip(b).map(|(x, y)| u32::from(x == y)).sum();
    let share = f64::from(agree) / a.len() as f64;
    ((share - 1.0 / 256.0) / (255.0 / 256.0)).max(0.0)
}

/// The Jaccard similarity of two documents of which a share `edited` of the characters differ, here and there: an n-gram survives when
/// all its characters do.
pub(super) fn expected_similarity(edited: f64, han: f64, widths: Widths) -> f64 {
    let survives = |width: usize| (1.0 - edited).powi(i32::try_from(width).unwrap_or(i32::MAX));
    let shared = han * survives(widths.han) + (1.0 - han) * survives(widths.other);
    shared / (2.0 - shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_near_the_jaccard_similarity() {
        let functions = Functions::new(Widths { han: 3, other: 5 });
        // Two sets of 1,000 numbers that share 500: 500 of 1,500.
        let numbers = |from: u64| -> Vec<u32> { (from..from + 1000).map(|i| mix(i) as u32).collect() };
        let eight = |least: [u32; FUNCTIONS]| least.map(|value| (value.wrapping_mul(0x9E37_79B1) >> 24) as u8);
        let (a, b) = (eight(functions.least(&numbers(0))), eight(functions.least(&numbers(500))));
        let found = similarity(&a, &b);
        assert!((found - 1.0 / 3.0).abs() < 0.1, "{found}");
        assert!(similarity(&a, &eight(functions.least(&numbers(5000)))) < 0.04);
        assert!((similarity(&a, &a) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn marks_and_case_make_no_difference() {
        let functions = Functions::new(Widths { han: 3, other: 5 });
        let mut scratch = Scratch::default();
        let a = functions.signature(&["春眠不覺曉，", "Hello World"], &mut scratch);
        let b = functions.signature(&["春眠不覺曉 hello, world!"], &mut scratch);
        assert_eq!(a, b);
        assert!(!functions.signature(&["，。"], &mut scratch).any);
    }
}
