//! Sides of the split by a key, so that what belongs together stays together.

use super::phrasing::hash;
use crate::devices::Side;
use crate::document::Document;
use crate::error::CorpusError;
use crate::random::key;

/// The purpose of the numbers drawn here.
const DRAW_SIDE: u64 = 0x7369_6465;

/// Which side each document falls on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sides {
    test: f64,
    by: Option<String>,
    seed: u64,
}

impl Sides {
    /// Holds out a share `test` of the keys, in [0, 1). The key is the document's id, or its field `by`, such as a patent's family: all
    /// documents with one key stand on one side, whatever else the corpus holds. A document without the field goes by its id.
    ///
    /// # Errors
    /// When `test` is no share.
    pub fn new(test: f64, by: Option<String>, seed: u64) -> Result<Self, CorpusError> {
        if !(0.0..1.0).contains(&test) {
            return Err(CorpusError::setting("split.test", format!("{test} is no share from 0 to below 1")));
        }
        Ok(Sides { test, by, seed })
    }

    /// The side of a document.
    #[must_use]
    pub fn of(&self, document: &Document) -> Side {
        let field = self.by.as_deref().and_then(|by| document.fields.get(by)).map(str::trim);
        let number = key(&[self.seed, DRAW_SIDE, hash(field.filter(|text| !text.is_empty()).unwrap_or(&document.id))]);
        // 53 bits fit a double exactly.
        let fraction = (number >> 11) as f64 / (1u64 << 53) as f64;
        if fraction < self.test { Side::Test } else { Side::Train }
    }
}
