//! The row ledger, counted: how many rows met which fate and why.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::lines::read_lines;
use crate::ReportError;

/// Totals of `ledger.jsonl`.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Input rows: the lines of the ledger.
    pub rows: u64,
    /// By the name of the outcome.
    pub outcomes: BTreeMap<String, Outcome>,
    /// Rows that stand in the ledger more than once; the books balance only when this is 0.
    pub repeated: u64,
}

/// The rows of one outcome.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows.
    pub rows: u64,
    /// Tokens kept.
    pub tokens: u64,
    /// Tokens cut away or dropped.
    pub tokens_lost: u64,
    /// Rows by the reason given, each number in it replaced by `…`; rows without a reason are not here.
    pub reasons: HashMap<String, Reason>,
}

/// The rows whose reasons differ at most in their numbers: "37 tokens cut", "41 tokens cut".
#[derive(Debug)]
pub struct Reason {
    /// Rows.
    pub rows: u64,
    /// The reason itself, while all rows have the same.
    pub exact: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    source: String,
    line: u64,
    outcome: String,
    reason: Option<String>,
    tokens: Option<u64>,
    tokens_lost: Option<u64>,
}

impl Ledger {
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let mut ledger = Self::default();
        let mut seen: HashMap<String, HashSet<u64>> = HashMap::new();
        let found = read_lines(path, |entry: Entry| {
            ledger.rows += 1;
            if !seen.entry(entry.source).or_default().insert(entry.line) {
                ledger.repeated += 1;
            }
            let outcome = ledger.outcomes.entry(entry.outcome).or_default();
            outcome.rows += 1;
            outcome.tokens = outcome.tokens.saturating_add(entry.tokens.unwrap_or(0));
            outcome.tokens_lost = outcome.tokens_lost.saturating_add(entry.tokens_lost.unwrap_or(0));
            if let Some(reason) = entry.reason.filter(|reason| !reason.is_empty()) {
                let found = outcome.reasons.entry(without_numbers(&reason));
                let known = found.or_insert_with(|| Reason { rows: 0, exact: Some(reason.clone()) });
                known.rows += 1;
                if known.exact.as_ref() != Some(&reason) {
                    known.exact = None;
                }
            }
        })?;
        Ok(found.then_some(ledger))
    }
}

fn without_numbers(reason: &str) -> String {
    let mut pattern = String::with_capacity(reason.len());
    let mut in_number = false;
    for c in reason.chars() {
        let digit = c.is_ascii_digit();
        match (digit, in_number) {
            (true, false) => pattern.push('…'),
            (true, true) => {}
            (false, _) => pattern.push(c),
        }
        in_number = digit;
    }
    pattern
}
