//! What came out of a source: numbers that add up.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Shape;
use crate::fault::SourceFault;

/// Records of a source by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records read; the sum of all below.
    pub records: u64,
    /// Documents, by the name of the shape they were recognised by.
    pub documents: BTreeMap<&'static str, u64>,
    /// Faults, by their kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Records that are no documents and are not meant to be, such as an archive's requests, by their kind.
    pub passed_over: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn document(&mut self, shape: Shape) {
        self.records += 1;
        *self.documents.entry(shape.name()).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, fault: &SourceFault) {
        self.records += 1;
        *self.faults.entry(fault.kind.label()).or_default() += 1;
    }

    pub(super) fn passed_over(&mut self, kind: &'static str) {
        self.records += 1;
        *self.passed_over.entry(kind).or_default() += 1;
    }

    /// How many documents came.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.documents.values().sum()
    }

    /// How many faults.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Adds another source's numbers.
    pub fn add(&mut self, other: &Tally) {
        self.records += other.records;
        let pairs = [
            (&mut self.documents, &other.documents),
            (&mut self.faults, &other.faults),
            (&mut self.passed_over, &other.passed_over),
        ];
        for (mine, theirs) in pairs {
            theirs.iter().for_each(|(name, count)| *mine.entry(name).or_default() += count);
        }
    }
}
