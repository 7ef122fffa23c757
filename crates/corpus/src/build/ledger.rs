//! The ledger of a build: the fate of every record that came, and totals that balance.

use std::collections::BTreeMap;
use std::io::{self, Write};

use luthier_text::Reason;
use serde::Serialize;

use crate::clean::StepCount;
use crate::document::Provenance;
use crate::error::CorpusError;
use crate::fault::SourceFault;
use crate::source::Tally;

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A row of the training side.
    Train,
    /// A row of the test side.
    Test,
    /// Left out by a step of cleaning.
    Dropped,
    /// Left out, because an earlier document says the same.
    Duplicate,
    /// Left out, because an earlier document says nearly the same.
    NearDuplicate,
    /// Left out of training, because a test row holds a passage of it.
    Contaminated,
    /// Left out, because the templates make no row of it.
    NoRow,
    /// Left out, because others were drawn.
    NotDrawn,
    /// Could not be read.
    Faulty,
}

impl Outcome {
    /// All of them, in the order of the tables.
    pub const ALL: [Outcome; 9] = [
        Outcome::Train,
        Outcome::Test,
        Outcome::Dropped,
        Outcome::Duplicate,
        Outcome::NearDuplicate,
        Outcome::Contaminated,
        Outcome::NoRow,
        Outcome::NotDrawn,
        Outcome::Faulty,
    ];

    /// As ledgers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Train => "train",
            Outcome::Test => "test",
            Outcome::Dropped => "dropped",
            Outcome::Duplicate => "duplicate",
            Outcome::NearDuplicate => "near-duplicate",
            Outcome::Contaminated => "contaminated",
            Outcome::NoRow => "no-row",
            Outcome::NotDrawn => "not-drawn",
            Outcome::Faulty => "faulty",
        }
    }
}

/// What came from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceCount {
    /// Its path or its name on the Hub as the recipe writes it.
    pub source: String,
    /// The commit of a data set of the Hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its records.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Totals of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BuildLedger {
    /// What came, by source.
    pub sources: Vec<SourceCount>,
    /// What each step of cleaning did.
    pub steps: Vec<StepCount>,
    /// Records by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Reasons by outcome, of those that have one; steps have theirs above.
    pub reasons: BTreeMap<Outcome, BTreeMap<&'static str, u64>>,
}

impl BuildLedger {
    /// How many records ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// All that came.
    #[must_use]
    pub fn came(&self) -> Tally {
        let mut all = Tally::default();
        self.sources.iter().for_each(|source| all.add(&source.tally));
        all
    }

    /// Checks that every record that came ended in one way: those passed over (an archive's requests and the like) as the sources
    /// count them, all others with an entry; and that each step of cleaning saw what the one before left.
    ///
    /// # Errors
    /// [`CorpusError::Unbalanced`], which would be a bug here.
    pub fn balance(&self) -> Result<(), CorpusError> {
        let came = self.came();
        let check = |stage: &str, came: u64, left: u64| match came == left {
            true => Ok(()),
            false => Err(CorpusError::Unbalanced { stage: stage.to_owned(), came, left }),
        };
        let passed_over: u64 = came.passed_over.values().sum();
        check("sources", came.records, came.documents() + came.faults() + passed_over)?;
        check("faults", came.faults(), self.count(Outcome::Faulty))?;
        let mut left = came.documents();
        for step in &self.steps {
            check(step.step, left, step.seen)?;
            left -= step.dropped();
        }
        check("cleaning", came.documents() - left, self.count(Outcome::Dropped))?;
        let ended: u64 = self.outcomes.values().sum();
        check("all", came.records - passed_over, ended)
    }

    /// One line: what came and how it ended.
    #[must_use]
    pub fn summary(&self) -> String {
        let came = self.came();
        let passed_over: u64 = came.passed_over.values().sum();
        let mut parts: Vec<String> = Outcome::ALL
            .iter()
            .filter(|outcome| self.count(**outcome) > 0)
            .map(|outcome| format!("{} {}", self.count(*outcome), outcome.name()))
            .collect();
        if passed_over > 0 {
            parts.push(format!("{passed_over} passed over"));
        }
        format!("{} records read: {}", came.records, if parts.is_empty() { "none".into() } else { parts.join(", ") })
    }
}

/// The ledger while it is written: a line of JSON for every record, and the totals.
pub(super) struct Books<W> {
    lines: W,
    pub(super) totals: BuildLedger,
}

#[derive(Serialize)]
struct Entry<'e, S> {
    outcome: Outcome,
    id: Option<&'e str>,
    source: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'e Reason>,
}

impl<W: Write> Books<W> {
    pub(super) fn new(lines: W) -> Self {
        Books { lines, totals: BuildLedger::default() }
    }

    /// Enters a document. `source` is its provenance, or the same already as JSON.
    pub(super) fn enter(
        &mut self,
        outcome: Outcome,
        id: &str,
        source: impl Serialize,
        reason: Option<&Reason>,
    ) -> io::Result<()> {
        if let Some(reason) = reason {
            *self.totals.reasons.entry(outcome).or_default().entry(reason.label).or_default() += 1;
        }
        self.line(&Entry { outcome, id: Some(id), source, step: None, reason })
    }

    /// Enters a document that a step of cleaning dropped.
    pub(super) fn dropped(
        &mut self,
        id: &str,
        source: &Provenance,
        step: &'static str,
        reason: &Reason,
    ) -> io::Result<()> {
        self.line(&Entry { outcome: Outcome::Dropped, id: Some(id), source, step: Some(step), reason: Some(reason) })
    }

    /// Enters a record that could not be read.
    pub(super) fn fault(&mut self, fault: &SourceFault) -> io::Result<()> {
        let source = Provenance { file: fault.file.clone(), position: fault.position, url: fault.url.clone() };
        let reason = Reason { label: fault.kind.label(), detail: fault.kind.to_string() };
        let outcome = Outcome::Faulty;
        *self.totals.reasons.entry(outcome).or_default().entry(reason.label).or_default() += 1;
        self.line(&Entry { outcome, id: None, source: &source, step: None, reason: Some(&reason) })
    }

    fn line<S: Serialize>(&mut self, entry: &Entry<'_, S>) -> io::Result<()> {
        *self.totals.outcomes.entry(entry.outcome).or_default() += 1;
        serde_json::to_writer(&mut self.lines, entry)?;
        self.lines.write_all(b"\n")
    }

    /// The totals, once all lines are written.
    pub(super) fn finish(mut self) -> io::Result<BuildLedger> {
        self.lines.flush()?;
        Ok(self.totals)
    }
}
