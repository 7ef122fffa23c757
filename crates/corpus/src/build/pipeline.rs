//! A data set from its sources, in three passes over the documents.
//!
//! 1. Sources are read and cleaned, a batch at a time; what is left is laid down on the disk, with a hash and a MinHash signature of
//!    each document kept in memory.
//! 2. Duplicates are known then. The passages of the test side are gathered.
//! 3. Each document that is no duplicate gets its side, is compared with the test side's passages, and becomes a row.
//!
//! Where rows are drawn or balanced, they wait on the disk until all are known. Every record has a line in the ledger, and nothing is
//! left in the folder unless the totals balance.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use luthier_text::Reason;
use rayon::prelude::*;

use super::batches::Batches;
use super::card;
use super::choice::Choice;
use super::files::{Files, Waiting, create, to_line};
use super::ledger::{Books, BuildLedger, Outcome, SourceCount};
use super::measure::{Measure, Measures};
use super::phrasing::{Build, Cut, Phrasing};
use super::row::TaskRow;
use super::split::Sides;
use super::spool::{Spool, SpoolWriter};
use super::twins::{Found, Twins};
use crate::clean::{Cleaning, Over, Step};
use crate::devices::Side;
use crate::document::Document;
use crate::duplicates::{Contaminated, Contamination, NearOf, NearOptions};
use crate::error::CorpusError;
use crate::letters::Widths;
use crate::source::{BATCH, Source};

/// A source, and what is said of it.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Where its documents come from.
    pub source: Source,
    /// Its path or its name on the Hub as the recipe writes it: what rows and ledger call it, wherever the folder lies.
    pub name: String,
    /// The commit of a data set of the Hub.
    pub commit: Option<String>,
    /// Its licence as its publisher states it.
    pub licence: Option<String>,
    /// What it is and where it is from.
    pub about: Option<String>,
}

/// Which documents count as duplicates.
#[derive(Debug, Clone)]
pub struct Duplicates {
    /// Those that say the same but for white space.
    pub exact: bool,
    /// Those that say nearly the same.
    pub near: Option<NearOptions>,
    /// The fields that are compared, together.
    pub over: Over,
}

/// What training rows must not share with test rows.
#[derive(Debug, Clone)]
pub struct Apart {
    /// How long a shared passage is.
    pub widths: Widths,
    /// The fields that are compared, together.
    pub over: Over,
    /// Test sets of other origin.
    pub against: Vec<Collected>,
}

/// All that makes a data set.
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is, for its card.
    pub about: Option<String>,
    /// Where documents come from, in order.
    pub sources: Vec<Collected>,
    /// Steps of cleaning, in order.
    pub steps: Vec<Box<dyn Step>>,
    /// Which documents count as duplicates.
    pub duplicates: Duplicates,
    /// Which side each document falls on.
    pub sides: Sides,
    /// What training rows must not share with test rows; `None` for no such check.
    pub apart: Option<Apart>,
    /// How documents become rows; none where they are rows already.
    pub phrasings: Vec<Phrasing>,
    /// Fields that are cut before.
    pub cuts: Vec<Cut>,
    /// Which rows are drawn; `None` for all.
    pub choice: Option<Choice>,
    /// Decides which phrasing each document gets.
    pub seed: u64,
    /// The text of the recipe, which is kept beside the rows.
    pub recipe: Option<String>,
}

/// What a build tells on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'p> {
    /// So many documents have been read, the last from this source.
    Read(u64, &'p str),
    /// Near duplicates are being looked for among so many documents.
    Compare(u64),
    /// So many of so many documents have become rows or not.
    Rows(u64, u64),
}

impl Pipeline {
    /// Builds the data set in a folder that appears whole or not at all: `train.jsonl`, `test.jsonl` where there is a test side,
    /// `ledger.jsonl`, `ledger.json` with the totals, `card.md`, and `recipe.toml`.
    ///
    /// The same sources give the same bytes, whatever the number of threads.
    ///
    /// # Errors
    /// When the folder is there already, a source or a setting is wrong, or something cannot be written.
    pub fn build(self, folder: &Path, watch: &mut dyn FnMut(Progress<'_>)) -> Result<BuildLedger, CorpusError> {
        if folder.exists() {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is there already");
            return Err(CorpusError::Write { path: folder.to_owned(), source });
        }
        let mut built = None;
        let written = luthier_files::write_folder_aside(folder, |aside| {
            let ledger = Run::new(self, aside).and_then(|run| run.all(watch));
            // The error itself is handed on below.
            let done = ledger.as_ref().map(|_| ()).map_err(|error| io::Error::other(error.to_string()));
            built = Some(ledger);
            done
        });
        match built {
            Some(Err(error)) => Err(error),
            Some(Ok(ledger)) => written.map(|()| ledger).map_err(CorpusError::write(folder)),
            None => Err(CorpusError::write(folder)(
                written.err().unwrap_or_else(|| io::Error::other("nothing was written")),
            )),
        }
    }
}

/// A build under way in its folder.
struct Run {
    folder: PathBuf,
    pipeline: Pipeline,
    build: Build,
    books: Books<BufWriter<File>>,
    measures: Measures,
    /// The field by which rows are balanced.
    balanced_by: Option<String>,
}

/// What the first two passes have found.
struct Gathered {
    spool: Spool,
    twins: Found,
    test_side: Option<Contamination>,
}

/// What becomes of a document in the third pass.
enum Fate {
    Row { side: Side, row: Box<TaskRow>, group: String },
    Out { outcome: Outcome, document: Box<Document>, reason: Reason },
}

impl Run {
    fn new(pipeline: Pipeline, folder: &Path) -> Result<Self, CorpusError> {
        let build = Build::new(&pipeline.phrasings, pipeline.cuts.clone(), pipeline.seed)?;
        let books = Books::new(create(&folder.join("ledger.jsonl"))?);
        let measures = Measures::new(pipeline.phrasings.len());
        let balanced_by = pipeline.choice.as_ref().and_then(|choice| choice.by.clone());
        Ok(Run { folder: folder.to_owned(), pipeline, build, books, measures, balanced_by })
    }

    fn all(mut self, watch: &mut dyn FnMut(Progress<'_>)) -> Result<BuildLedger, CorpusError> {
        let gathered = self.gather(watch)?;
        self.rows(&gathered, watch)?;
        drop(gathered);
        let path = self.folder.join(SPOOL);
        fs::remove_file(&path).map_err(CorpusError::write(&path))?;
        let Run { folder, pipeline, books, measures, .. } = self;
        let path = folder.join("ledger.jsonl");
        let ledger = books.finish().map_err(CorpusError::write(&path))?;
        ledger.balance()?;
        let totals = serde_json::to_string_pretty(&ledger).expect("names and numbers") + "\n";
        write(&folder.join("ledger.json"), &totals)?;
        write(&folder.join("card.md"), &card::card(&pipeline, &ledger, &measures)?)?;
        if let Some(recipe) = &pipeline.recipe {
            write(&folder.join("recipe.toml"), recipe)?;
        }
        Ok(ledger)
    }

    /// The first two passes.
    fn gather(&mut self, watch: &mut dyn FnMut(Progress<'_>)) -> Result<Gathered, CorpusError> {
        let path = self.folder.join(SPOOL);
        let failed = || CorpusError::write(&path);
        let mut spool = SpoolWriter::create(path.clone()).map_err(failed())?;
        let mut cleaning = Cleaning::new(std::mem::take(&mut self.pipeline.steps));
        let mut twins = Twins::new(&self.pipeline.duplicates)?;
        let sources = std::mem::take(&mut self.pipeline.sources);
        let mut read = 0;
        for collected in &sources {
            let mut batches = Batches::open(collected)?;
            while let Some((documents, faults)) = batches.next() {
                read += documents.len() as u64;
                let ledger = self.folder.join("ledger.jsonl");
                for fault in &faults {
                    self.books.fault(fault).map_err(CorpusError::write(&ledger))?;
                }
                let mut kept = Vec::with_capacity(documents.len());
                for cleaned in cleaning.clean(documents) {
                    match cleaned {
                        Ok(document) => kept.push(document),
                        Err(dropped) => {
                            let Document { id, provenance, .. } = &dropped.document;
                            let entered = self.books.dropped(id, provenance, dropped.step, &dropped.reason);
                            entered.map_err(CorpusError::write(&ledger))?;
                        }
                    }
                }
                twins.add(&kept, spool.len());
                kept.iter().try_for_each(|document| spool.push(document)).map_err(failed())?;
                watch(Progress::Read(read, &collected.name));
            }
            let tally = batches.documents.tally().clone();
            self.books.totals.sources.push(SourceCount {
                source: collected.name.clone(),
                commit: collected.commit.clone(),
                tally,
            });
        }
        self.pipeline.sources = sources;
        self.books.totals.steps = cleaning.counts().to_vec();
        let spool = spool.finish().map_err(failed())?;
        watch(Progress::Compare(spool.len() as u64));
        let twins = twins.finish(&spool, &self.pipeline.duplicates.over).map_err(failed())?;
        let mut gathered = Gathered { spool, twins, test_side: None };
        gathered.test_side = self.test_side(&gathered)?;
        Ok(gathered)
    }

    /// The passages of the test side, where training rows are to be kept apart from it.
    fn test_side(&self, gathered: &Gathered) -> Result<Option<Contamination>, CorpusError> {
        let Some(apart) = &self.pipeline.apart else { return Ok(None) };
        let mut contamination = Contamination::new(apart.widths)?;
        let named = |document: &Document| (document.id.clone(), apart.over.joined(&document.fields).into_owned());
        for collected in &apart.against {
            let mut batches = Batches::open(collected)?;
            while let Some((documents, _)) = batches.next() {
                let rows: Vec<_> = documents.iter().map(named).collect();
                contamination.add(&rows);
            }
        }
        for numbers in batches_of(gathered.spool.len()) {
            let end = numbers.end;
            let rows: Vec<_> = numbers
                .into_par_iter()
                .filter(|number| gathered.twin(*number).is_none())
                .map(|number| gathered.spool.get(number))
                .filter(|document| {
                    document.as_ref().map_or(true, |document| self.pipeline.sides.of(document) == Side::Test)
                })
                .map(|document| document.map(|document| named(&document)))
                .collect::<Result<_, _>>()
                .map_err(CorpusError::read(&self.folder.join(SPOOL)))?;
            contamination.add(&rows);
            gathered.spool.let_go(end);
        }
        Ok(Some(contamination))
    }

    /// The third pass.
    fn rows(&mut self, gathered: &Gathered, watch: &mut dyn FnMut(Progress<'_>)) -> Result<(), CorpusError> {
        let mut sides = Files::create(&self.folder, self.pipeline.sides.holds_out())?;
        let mut waiting = match self.pipeline.choice.take() {
            Some(choice) => Some(Waiting::create(self.folder.join("rows.waiting"), choice)?),
            None => None,
        };
        let ledger = self.folder.join("ledger.jsonl");
        for numbers in batches_of(gathered.spool.len()) {
            let done = numbers.end;
            let fates: Vec<Fate> = numbers
                .into_par_iter()
                .map(|number| self.fate(gathered, number))
                .collect::<Result<_, _>>()
                .map_err(CorpusError::read(&self.folder.join(SPOOL)))?;
            for fate in fates {
                match fate {
                    Fate::Out { outcome, document, reason } => {
                        let entered = self.books.enter(outcome, &document.id, &document.provenance, Some(&reason));
                        entered.map_err(CorpusError::write(&ledger))?;
                    }
                    Fate::Row { side, row, group } => match &mut waiting {
                        Some(waiting) => waiting.push(side, &row, &group)?,
                        None => {
                            let line = to_line(&row);
                            self.measures.add(side, Measure::of(&row), &line);
                            let outcome = sides.write(side, &line)?;
                            let entered = self.books.enter(outcome, &row.id, &row.provenance, None);
                            entered.map_err(CorpusError::write(&ledger))?;
                        }
                    },
                }
            }
            gathered.spool.let_go(done);
            watch(Progress::Rows(done as u64, gathered.spool.len() as u64));
        }
        if let Some(waiting) = waiting {
            waiting.draw(&mut sides, &mut self.books, &mut self.measures)?;
        }
        sides.finish()
    }

    fn fate(&self, gathered: &Gathered, number: usize) -> io::Result<Fate> {
        let document = gathered.spool.get(number)?;
        let out = |outcome, document, reason| Fate::Out { outcome, document: Box::new(document), reason };
        if let Some((outcome, of, how)) = gathered.twin(number) {
            let of = gathered.spool.get(of)?;
            let reason = Reason { label: outcome.name(), detail: format!("{how} {} ({})", of.id, of.provenance) };
            return Ok(out(outcome, document, reason));
        }
        let side = self.pipeline.sides.of(&document);
        if let (Side::Train, Some(test_side), Some(apart)) = (side, &gathered.test_side, &self.pipeline.apart)
            && let Some(Contaminated { with, passage }) = test_side.find(&apart.over.joined(&document.fields))
        {
            let detail = format!("the test row {with} holds {passage:?} as well");
            return Ok(out(Outcome::Contaminated, document, Reason { label: "shared with test", detail }));
        }
        let group = self.balanced_by.as_deref().map_or_else(String::new, |by| document.text(by).to_owned());
        Ok(match self.build.row(document) {
            Ok(row) => Fate::Row { side, row: Box::new(row), group },
            Err(none) => out(Outcome::NoRow, none.document, none.reason),
        })
    }
}

impl Gathered {
    /// The earlier document that a document repeats, and how that is said.
    fn twin(&self, number: usize) -> Option<(Outcome, usize, String)> {
        if let Some(of) = self.twins.same_as.get(number).copied().flatten() {
            return Some((Outcome::Duplicate, of, "the same as".to_owned()));
        }
        let NearOf { of, edited } = self.twins.near.get(number).copied().flatten()?;
        Some((Outcome::NearDuplicate, of, format!("{:.1} % of its letters differ from", 100.0 * edited)))
    }
}

/// The file of documents between the passes.
const SPOOL: &str = "documents.waiting";

fn batches_of(count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..count).step_by(BATCH).map(move |start| start..(start + BATCH).min(count))
}

fn write(path: &Path, text: &str) -> Result<(), CorpusError> {
    fs::write(path, text).map_err(CorpusError::write(path))
}
