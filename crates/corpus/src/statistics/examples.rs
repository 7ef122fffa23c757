//! Rows to look at: some drawn by a seed while all go by, and some found again by their number.

use std::collections::{BTreeMap, BTreeSet};

use super::data_set::DataSet;
use super::measure::as_text;
use crate::document::Document;
use crate::error::CorpusError;
use crate::random::key;

/// The purpose of the numbers drawn here.
const DRAW_EXAMPLE: u64 = 0x6578_616D;

/// Rows drawn by the seed and their numbers: those with the smallest numbers drawn.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    seed: u64,
    wanted: usize,
    /// By the number drawn, which no two rows share in practice, and the row's own.
    rows: BTreeMap<(u64, u64), Document>,
}

impl Drawn {
    pub(super) fn new(seed: u64, wanted: usize) -> Self {
        Drawn { seed, wanted, rows: BTreeMap::new() }
    }

    pub(super) fn see(&mut self, number: u64, document: &Document) {
        let drawn = (key(&[self.seed, DRAW_EXAMPLE, number]), number);
        let stays = self.rows.len() < self.wanted || self.rows.last_key_value().is_some_and(|(last, _)| drawn < *last);
        if self.wanted > 0 && stays {
            self.rows.insert(drawn, document.clone());
            if self.rows.len() > self.wanted {
                self.rows.pop_last();
            }
        }
    }

    /// In the order of the data set.
    pub(super) fn into_rows(self) -> Vec<Document> {
        let mut rows: Vec<(u64, Document)> = self.rows.into_iter().map(|((_, number), row)| (number, row)).collect();
        rows.sort_unstable_by_key(|(number, _)| *number);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

impl DataSet {
    /// The rows of these numbers, counted from 0 over all files; reads no further than to the last of them. What is no longer there is left
    /// out.
    ///
    /// # Errors
    /// When a file cannot be read again.
    pub fn rows_at(&self, numbers: &BTreeSet<u64>) -> Result<BTreeMap<u64, Document>, CorpusError> {
        let mut found = BTreeMap::new();
        let Some(last) = numbers.last() else { return Ok(found) };
        let mut number = 0;
        for file in &self.files {
            // A file that could not be opened before gave no rows.
            let Ok(documents) = self.source(file).documents() else { continue };
            for mut document in documents.filter_map(Result::ok) {
                if numbers.contains(&number) {
                    as_text(&mut document);
                    found.insert(number, document);
                }
                if number == *last {
                    return Ok(found);
                }
                number += 1;
            }
        }
        Ok(found)
    }
}
