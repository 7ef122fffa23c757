//! Near duplicates: documents that differ from an earlier one in a small share of their letters.
//!
//! Each document leaves a MinHash signature of about 450 bytes; its text is not kept. Signatures are cut into bands; documents that
//! agree in a whole band are candidates. A candidate whose sketch is far from what such an edit would leave is let go; the others are
//! settled by the edit distance of the texts, which the caller gives again. Of near duplicates the first is kept: a document is a
//! duplicate only of one that is kept itself, so chains of small changes do not eat a corpus.

use rayon::prelude::*;

use super::distance::edit_distance;
use super::minhash::{BANDS, FUNCTIONS, Functions, Scratch, expected_similarity, similarity};
use crate::error::CorpusError;
use crate::letters::{Widths, push_letters};

/// Settings of the search for near duplicates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearOptions {
    /// The greatest share of letters that may differ, from 0 to 0.3: edit distance over the length of the longer text.
    pub edited: f64,
    /// The widths of n-grams.
    pub widths: Widths,
}

impl Default for NearOptions {
    /// 15 %, n-grams of three Han or five other characters.
    fn default() -> Self {
        NearOptions { edited: 0.15, widths: Widths { han: 3, other: 5 } }
    }
}

/// A document's earlier twin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearOf {
    /// Its number.
    pub of: usize,
    /// The share of letters that differ.
    pub edited: f64,
}

/// Letters of a text that are compared; what lies behind is not.
const COMPARED: usize = 20_000;

/// A document is compared with so many of the first documents that share a band with it, and so many of those just before it.
const FIRST: usize = 24;
const BEFORE: usize = 8;

/// The share of the expected similarity that a candidate's sketch must reach: sketches scatter, and edits do not fall evenly.
const SLACK: f64 = 0.6;

/// The documents that have come.
pub struct Near {
    options: NearOptions,
    functions: Functions,
    /// Band by band, the key of each document.
    bands: Vec<Vec<u32>>,
    sketches: Vec<u8>,
    han: Vec<u8>,
    any: Vec<bool>,
}

impl Near {
    /// None have come.
    ///
    /// # Errors
    /// When the options make no sense.
    pub fn new(options: NearOptions) -> Result<Self, CorpusError> {
        if !(0.0..=0.3).contains(&options.edited) {
            let cause = format!("{} is no share from 0 to 0.3", options.edited);
            return Err(CorpusError::setting("near.edited", cause));
        }
        let width = 1..=crate::letters::WIDEST;
        if !width.contains(&options.widths.han) || !width.contains(&options.widths.other) {
            return Err(CorpusError::setting("near.widths", "an n-gram has from 1 to 128 characters"));
        }
        Ok(Near {
            options,
            functions: Functions::new(options.widths),
            bands: vec![Vec::new(); BANDS],
            sketches: Vec::new(),
            han: Vec::new(),
            any: Vec::new(),
        })
    }

    /// How many have come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.any.len()
    }

    /// Whether none have come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.any.is_empty()
    }

    /// Takes the next documents, each as one text; on all threads.
    pub fn add<T: AsRef<str> + Sync>(&mut self, texts: &[T]) {
        let functions = &self.functions;
        let signatures: Vec<_> = texts
            .par_iter()
            .with_min_len(16)
            .map_init(Scratch::default, |scratch, text| functions.signature(&[text.as_ref()], scratch))
            .collect();
        for signature in signatures {
            for (band, key) in self.bands.iter_mut().zip(signature.bands) {
                band.push(key);
            }
            self.sketches.extend_from_slice(&signature.sketch);
            self.han.push(signature.han);
            self.any.push(signature.any);
        }
    }

    /// For each document the earlier one it is nearly the same as, where there is one that is kept. `text_of` gives a document's text
    /// again; it is asked for candidates alone, from several threads. A text that cannot be had again is an error.
    ///
    /// # Errors
    /// The first that `text_of` gave.
    pub fn finish<T, E>(mut self, text_of: impl Fn(usize) -> Result<T, E> + Sync) -> Result<Vec<Option<NearOf>>, E>
    where
        T: AsRef<str>,
        E: Send,
    {
        let candidates = self.candidates();
        self.sketches = Vec::new();
        let most = self.options.edited;
        // A run of pairs with the same later document reads its text once.
        let compared: Vec<Vec<(u32, u32, f64)>> = candidates
            .par_chunk_by(|a, b| a.0 == b.0)
            .map(|pairs| -> Result<Vec<(u32, u32, f64)>, E> {
                let letters = |number: u32| -> Result<Vec<char>, E> {
                    let mut letters = Vec::new();
                    push_letters(text_of(number as usize)?.as_ref(), &mut letters);
                    letters.truncate(COMPARED);
                    Ok(letters)
                };
                let later = letters(pairs[0].0)?;
                let mut near = Vec::new();
                for (_, earlier) in pairs {
                    let other = letters(*earlier)?;
                    let longer = later.len().max(other.len());
                    let limit = (most * longer as f64).floor() as usize;
                    if let Some(distance) = edit_distance(&later, &other, limit) {
                        near.push((pairs[0].0, *earlier, distance as f64 / longer.max(1) as f64));
                    }
                }
                Ok(near)
            })
            .collect::<Result<_, E>>()?;
        let mut verdicts: Vec<Option<NearOf>> = vec![None; self.any.len()];
        for (later, earlier, edited) in compared.into_iter().flatten() {
            // Pairs are in order, so the earlier document is settled already.
            if verdicts[later as usize].is_none() && verdicts[earlier as usize].is_none() {
                verdicts[later as usize] = Some(NearOf { of: earlier as usize, edited });
            }
        }
        Ok(verdicts)
    }

    /// Pairs (later, earlier) that share a band and whose sketches agree well enough, in order.
    fn candidates(&mut self) -> Vec<(u32, u32)> {
        let bands = std::mem::take(&mut self.bands);
        let this = &*self;
        let mut pairs: Vec<(u32, u32)> = bands
            .into_par_iter()
            .map(|keys| {
                let mut order: Vec<u64> = keys
                    .iter()
                    .zip(&this.any)
                    .enumerate()
                    .filter(|(_, (_, any))| **any)
                    .map(|(number, (key, _))| u64::from(*key) << 32 | number as u64)
                    .collect();
                drop(keys);
                order.sort_unstable();
                let mut pairs = Vec::new();
                for bucket in order.chunk_by(|a, b| a >> 32 == b >> 32) {
                    for (at, later) in bucket.iter().enumerate().skip(1) {
                        let first = &bucket[..at.min(FIRST)];
                        let before = &bucket[at.min(FIRST).max(at.saturating_sub(BEFORE))..at];
                        for earlier in first.iter().chain(before) {
                            let (later, earlier) = (*later as u32, *earlier as u32);
                            if this.may_be_near(later as usize, earlier as usize) {
                                pairs.push((later, earlier));
                            }
                        }
                    }
                }
                pairs.sort_unstable();
                pairs
            })
            .reduce(Vec::new, merged);
        pairs.dedup();
        pairs
    }

    fn may_be_near(&self, a: usize, b: usize) -> bool {
        let sketch = |at: usize| &self.sketches[at * FUNCTIONS..(at + 1) * FUNCTIONS];
        let han = f64::from(self.han[a].max(self.han[b])) / 255.0;
        let expected = expected_similarity(self.options.edited, han, self.options.widths);
        similarity(sketch(a), sketch(b)) >= SLACK * expected
    }
}

/// Two ordered lists as one, each pair once.
fn merged(a: Vec<(u32, u32)>, b: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    if a.is_empty() {
        return b;
    }
    let mut all = a;
    all.extend(b);
    // Two ordered runs: the sort of the standard library merges them.
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn verdicts(texts: &[&str], edited: f64) -> Vec<Option<usize>> {
        let mut near = Near::new(NearOptions { edited, ..NearOptions::default() }).unwrap();
        near.add(texts);
        let found = near.finish(|i| Ok::<_, Infallible>(texts[i])).unwrap();
        found.into_iter().map(|found| found.map(|near| near.of)).collect()
    }

    const POEM: &str =
        "國破山河在，城春草木深。感時花濺淚，恨別鳥驚心。烽火連三月，家書抵萬金。白頭搔更短，渾欲不勝簪。";

    #[test]
    fn a_copy_with_a_few_characters_changed_is_found_and_others_are_not() {
        let edited = POEM.replace('深', "濃").replace('驚', "傷");
        let half = "國破山河在，城春草木深。感時花濺淚，恨別鳥驚心。空山不見人，但聞人語響。返景入深林，復照青苔上。";
        let other = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。";
        assert_eq!(verdicts(&[POEM, other, &edited, half, POEM], 0.15), [None, None, Some(0), None, Some(0)]);
    }

    #[test]
    fn a_document_is_a_duplicate_only_of_one_that_is_kept() {
        // Each differs from the one before by 10 %, the last from the first by 20 %.
        let letters: Vec<char> = ('\u{5000}'..).take(100).collect();
        let changed = |from: usize, to: usize| -> String {
            letters.iter().enumerate().map(|(i, c)| if (from..to).contains(&i) { '甲' } else { *c }).collect()
        };
        let texts = [changed(0, 0), changed(0, 10), changed(0, 20)];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(verdicts(&texts, 0.12), [None, Some(0), None]);
    }

    #[test]
    fn empty_texts_are_never_near() {
        assert_eq!(verdicts(&["", "，。", ""], 0.15), [None, None, None]);
        assert!(Near::new(NearOptions { edited: 0.5, ..NearOptions::default() }).is_err());
    }

    #[test]
    fn batches_and_threads_make_no_difference() {
        let texts: Vec<String> = (0..200).map(|i| format!("{} {}", POEM, i / 3)).collect();
        let in_one = {
            let mut near = Near::new(NearOptions::default()).unwrap();
            near.add(&texts);
            near.finish(|i| Ok::<_, Infallible>(texts[i].as_str())).unwrap()
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let in_batches = pool.install(|| {
            let mut near = Near::new(NearOptions::default()).unwrap();
            texts.chunks(7).for_each(|batch| near.add(batch));
            near.finish(|i| Ok::<_, Infallible>(texts[i].as_str())).unwrap()
        });
        assert_eq!(in_one, in_batches);
    }
}
