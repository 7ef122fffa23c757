//! Rows that say nearly the same, found as a build finds them.

use std::path::PathBuf;

use super::keys::Pair;
use crate::build::{Duplicates, SpoolWriter, Twins};
use crate::clean::Over;
use crate::document::Document;
use crate::duplicates::NearOptions;
use crate::error::CorpusError;

/// How rows that say nearly the same are looked for. Takes about 450 bytes of memory a row, and the room of the data set on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct NearSearch {
    /// How much may differ.
    pub options: NearOptions,
    /// A folder where the rows can be laid down meanwhile.
    pub scratch: PathBuf,
}

/// A row that says nearly what an earlier one says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearPair {
    /// The two.
    pub rows: Pair,
    /// The share of letters that differ.
    pub edited: f64,
}

/// Rows that say nearly, and not exactly, what an earlier row says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NearRepeats {
    /// How many.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<NearPair>,
}

/// The search under way.
pub(super) struct Searching {
    path: PathBuf,
    spool: SpoolWriter,
    twins: Twins,
    over: Over,
}

impl Searching {
    pub(super) fn begin(search: &NearSearch) -> Result<Self, CorpusError> {
        let over = Over::AllText;
        let duplicates = Duplicates { exact: true, near: Some(search.options), over: over.clone() };
        let path = search.scratch.join("rows.waiting");
        let spool = SpoolWriter::create(path.clone()).map_err(CorpusError::write(&path))?;
        Ok(Searching { path, spool, twins: Twins::new(&duplicates)?, over })
    }

    pub(super) fn add(&mut self, documents: &[Document]) -> Result<(), CorpusError> {
        self.twins.add(documents, self.spool.len());
        documents.iter().try_for_each(|document| self.spool.push(document)).map_err(CorpusError::write(&self.path))
    }

    pub(super) fn finish(self, wanted: usize) -> Result<NearRepeats, CorpusError> {
        let Searching { path, spool, twins, over } = self;
        let spool = spool.finish().map_err(CorpusError::write(&path))?;
        let found = twins.finish(&spool, &over).map_err(CorpusError::read(&path))?;
        let near = found.near.iter().zip(0..).filter_map(|(near, later)| {
            let near = (*near)?;
            Some(NearPair { rows: Pair { later, earlier: near.of as u64 }, edited: near.edited })
        });
        let rows = near.clone().count() as u64;
        Ok(NearRepeats { rows, first: near.take(wanted).collect() })
    }
}
