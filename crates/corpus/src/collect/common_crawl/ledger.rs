//! The ledger of a collection: the fate of every capture that the index named, and totals that balance.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::Capture;
use crate::error::CorpusError;

/// How a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its record was read now.
    Fetched,
    /// Its record lay in the archive already.
    Known,
    /// The settings do not take it.
    Filtered,
    /// Another capture of its address is taken.
    Duplicate,
    /// As many as are wanted were chosen before it.
    BeyondLimit,
    /// Its record could not be had, or is none.
    Failed,
    /// Its record was not asked for any more, because the server had stopped giving any.
    Left,
}

/// Totals of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CommonCrawlLedger {
    /// The crawls that were looked through.
    pub crawls: Vec<String>,
    /// Captures that the index named: the sum of all fates.
    pub captures: u64,
    /// Captures by how they ended.
    pub fates: BTreeMap<Fate, u64>,
    /// Why, in a word or two, of those that were filtered or failed.
    pub why: BTreeMap<Fate, BTreeMap<&'static str, u64>>,
    /// Bytes of the records that were read now, as they lie in the archive.
    pub bytes: u64,
    /// Pages of the index that were looked through.
    pub index_pages: u64,
    /// Whether a part of the index was left, because as many captures as are wanted were chosen.
    pub index_cut_short: bool,
    /// Requests that were sent, repetitions included.
    pub requests: u64,
}

impl CommonCrawlLedger {
    /// How many captures ended so.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.fates.get(&fate).copied().unwrap_or(0)
    }

    /// Checks that every capture has one fate.
    pub(super) fn balance(&self) -> Result<(), CorpusError> {
        let left = self.fates.values().sum();
        match self.captures == left {
            true => Ok(()),
            false => Err(CorpusError::Unbalanced { stage: "captures".to_owned(), came: self.captures, left }),
        }
    }
}

#[derive(Serialize)]
struct Line<'l> {
    fate: Fate,
    url: &'l str,
    timestamp: &'l str,
    file: &'l str,
    offset: u64,
    length: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'l str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'l str,
}

#[derive(Serialize)]
struct Unusable<'l> {
    fate: Fate,
    index: &'l str,
    line: &'l str,
    label: &'l str,
    why: &'l str,
}

/// The ledger while it is written.
pub(super) struct Books<'b, W> {
    lines: &'b mut W,
    pub(super) ledger: CommonCrawlLedger,
}

impl<'b, W: Write> Books<'b, W> {
    pub(super) fn new(lines: &'b mut W) -> Self {
        Books { lines, ledger: CommonCrawlLedger::default() }
    }

    /// Enters a capture.
    pub(super) fn enter(
        &mut self,
        fate: Fate,
        capture: &Capture,
        label: &'static str,
        why: &str,
    ) -> Result<(), CorpusError> {
        let Capture { url, timestamp, file, offset, length } = capture;
        self.count(fate, label);
        self.line(&Line { fate, url, timestamp, file, offset: *offset, length: *length, label, why })
    }

    /// Enters a line of the index that names no record.
    pub(super) fn unusable(&mut self, index: &str, line: &str, why: &str) -> Result<(), CorpusError> {
        let (fate, label) = (Fate::Failed, "line of the index");
        self.count(fate, label);
        let line: String = line.chars().take(500).collect();
        self.line(&Unusable { fate, index, line: &line, label, why })
    }

    fn count(&mut self, fate: Fate, label: &'static str) {
        self.ledger.captures += 1;
        *self.ledger.fates.entry(fate).or_default() += 1;
        if !label.is_empty() {
            *self.ledger.why.entry(fate).or_default().entry(label).or_default() += 1;
        }
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), CorpusError> {
        let written = serde_json::to_writer(&mut *self.lines, line).map_err(io::Error::from);
        written.and_then(|()| self.lines.write_all(b"\n")).map_err(CorpusError::write(Path::new("ledger.jsonl")))
    }
}
