//! The fields of a data set's rows: in how many rows they say something, and how long they are.

use std::collections::HashMap;

use super::lengths::Lengths;
use super::measure::{FieldMeasure, Measured};
use crate::document::Document;

/// So many fields have numbers of their own; rows whose keys are data would have any number of them.
const MOST: usize = 256;

/// One field over all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldCount {
    /// Its name.
    pub name: String,
    /// Rows in which it says something.
    pub filled: u64,
    /// Rows in which it is there and holds nothing, or white space alone.
    pub blank: u64,
    /// Characters where it says something.
    pub characters: Lengths,
    /// Tokens where it says something and a model is given; of running text alone.
    pub tokens: Lengths,
}

/// All fields, in the order in which they first came.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    counts: Vec<FieldCount>,
    places: HashMap<String, usize>,
    /// Fields of single rows beyond those that are counted by name.
    pub(super) others: u64,
}

impl Fields {
    pub(super) fn add(&mut self, document: &Document, measured: &Measured) {
        if let Some(characters) = measured.html {
            self.field("html", &FieldMeasure { characters, says_something: characters > 0, tokens: None });
        }
        for ((name, _), field) in document.fields.iter().zip(&measured.fields) {
            self.field(name, field);
        }
    }

    fn field(&mut self, name: &str, field: &FieldMeasure) {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None if self.counts.len() >= MOST => {
                self.others += 1;
                return;
            }
            None => {
                self.counts.push(FieldCount { name: name.to_owned(), ..FieldCount::default() });
                self.places.insert(name.to_owned(), self.counts.len() - 1);
                self.counts.len() - 1
            }
        };
        let count = &mut self.counts[at];
        if !field.says_something {
            count.blank += 1;
            return;
        }
        count.filled += 1;
        count.characters.add(field.characters);
        if let Some(tokens) = field.tokens {
            count.tokens.add(tokens);
        }
    }

    pub(super) fn into_counts(self) -> Vec<FieldCount> {
        self.counts
    }
}
