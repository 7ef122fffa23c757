//! The row ledger: the fate of every input row, and totals that balance.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::error::TextError;

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Trained on as it stands.
    Trained,
    /// Held out.
    Test,
    /// Trained on, shortened.
    Truncated,
    /// Left out.
    Dropped,
    /// Left out, because the same row stands earlier.
    Duplicate,
    /// Left out of training, because the test split holds its prompt.
    Leaked,
}

impl Outcome {
    /// All outcomes, in the order of the tables.
    pub const ALL: [Outcome; 6] =
        [Outcome::Trained, Outcome::Truncated, Outcome::Test, Outcome::Dropped, Outcome::Duplicate, Outcome::Leaked];

    /// The outcome as the ledger writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Trained => "trained",
            Outcome::Test => "test",
            Outcome::Truncated => "truncated",
            Outcome::Dropped => "dropped",
            Outcome::Duplicate => "duplicate",
            Outcome::Leaked => "leaked",
        }
    }
}

/// Why a row did not go through as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Short, the same for all rows with this reason.
    pub label: &'static str,
    /// In full, for this row.
    pub detail: String,
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.detail)
    }
}

/// The fate of one row; one line of ledger.jsonl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// The row's file.
    pub source: String,
    /// Its line, or its position in a JSON array, from 1.
    pub line: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it did not go through as it stands.
    pub reason: Option<Reason>,
    /// Tokens as rendered, before anything was cut; 0 for a row that could not be rendered.
    pub tokens: usize,
    /// Tokens that the model does not see for `max_length`'s sake: those cut, or all of a dropped row.
    pub tokens_lost: usize,
}

/// How many rows and tokens ended in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Rows.
    pub rows: usize,
    /// Their tokens as rendered.
    pub tokens: usize,
    /// Tokens of them that were lost.
    pub tokens_lost: usize,
}

/// The fates of all rows, in reading order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// One entry a row.
    pub entries: Vec<LedgerEntry>,
    /// Rows that were read.
    pub rows_read: usize,
}

impl Ledger {
    /// Totals by outcome; outcomes that did not occur are there with zeros.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<Outcome, Totals> {
        let mut totals: BTreeMap<Outcome, Totals> = Outcome::ALL.into_iter().map(|o| (o, Totals::default())).collect();
        for entry in &self.entries {
            add(totals.entry(entry.outcome).or_default(), entry);
        }
        totals
    }

    /// Totals by outcome and short reason, for the rows that have one; the most frequent first.
    #[must_use]
    pub fn reasons(&self) -> Vec<(Outcome, &'static str, Totals)> {
        let mut totals: BTreeMap<(Outcome, &'static str), Totals> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(reason) = &entry.reason {
                add(totals.entry((entry.outcome, reason.label)).or_default(), entry);
            }
        }
        let mut reasons: Vec<_> =
            totals.into_iter().map(|((outcome, label), totals)| (outcome, label, totals)).collect();
        reasons.sort_by_key(|(_, _, totals)| std::cmp::Reverse(totals.rows));
        reasons
    }

    /// Checks that every row read has exactly one entry.
    ///
    /// # Errors
    /// [`TextError::Unbalanced`], which would be a bug here.
    pub fn balance(&self) -> Result<(), TextError> {
        let entries: usize = self.totals().values().map(|totals| totals.rows).sum();
        if entries == self.rows_read && entries == self.entries.len() {
            return Ok(());
        }
        Err(TextError::Unbalanced { entries, rows: self.rows_read })
    }

    /// One line: the rows read and how they ended.
    #[must_use]
    pub fn summary(&self) -> String {
        let totals = self.totals();
        let parts: Vec<String> = Outcome::ALL
            .iter()
            .filter(|outcome| totals[outcome].rows > 0)
            .map(|outcome| format!("{} {}", totals[outcome].rows, outcome.name()))
            .collect();
        format!("{} rows read: {}", self.rows_read, if parts.is_empty() { "none".into() } else { parts.join(", ") })
    }

    /// Writes ledger.jsonl, one line an entry, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_jsonl(&self, path: impl AsRef<Path>) -> Result<(), TextError> {
        let path = path.as_ref();
        luthier_files::write_atomically(path, |file| {
            for entry in &self.entries {
                serde_json::to_writer(&mut *file, entry)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })
        .map_err(TextError::write(path))
    }

    /// ledger.md: totals, reasons with an example each.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = format!(
            "# Row ledger\n\n{}\n\n| outcome | rows | tokens | tokens lost |\n|---|---:|---:|---:|\n",
            self.summary()
        );
        let totals = self.totals();
        for outcome in Outcome::ALL {
            row(&mut out, outcome.name(), totals[&outcome]);
        }
        let mut sum = Totals::default();
        self.entries.iter().for_each(|entry| add(&mut sum, entry));
        row(&mut out, "**sum**", sum);
        let reasons = self.reasons();
        if !reasons.is_empty() {
            out.push_str("\n| outcome | reason | rows | for example |\n|---|---|---:|---|\n");
        }
        for (outcome, label, totals) in reasons {
            let example = self
                .entries
                .iter()
                .find(|e| e.outcome == outcome && e.reason.as_ref().is_some_and(|r| r.label == label));
            let example = example.map_or(String::new(), |e| {
                let detail = e.reason.as_ref().map_or("", |r| &r.detail);
                format!("{}:{}: {detail}", e.source, e.line).replace('|', "\\|").replace('\n', " ")
            });
            // Writing to a string cannot fail.
            let _ = writeln!(out, "| {} | {label} | {} | {example} |", outcome.name(), totals.rows);
        }
        out
    }
}

fn add(totals: &mut Totals, entry: &LedgerEntry) {
    totals.rows += 1;
    totals.tokens += entry.tokens;
    totals.tokens_lost += entry.tokens_lost;
}

fn row(out: &mut String, name: &str, totals: Totals) {
    let Totals { rows, tokens, tokens_lost } = totals;
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {name} | {rows} | {tokens} | {tokens_lost} |");
}
