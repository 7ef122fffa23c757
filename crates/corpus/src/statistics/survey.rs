//! The one pass over a data set.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::data_set::{DataFile, DataSet};
use super::examples::Drawn;
use super::fields::{FieldCount, Fields};
use super::frequent::Frequent;
use super::keys::{self, Conflicts, Repeats, RowKey};
use super::lengths::Lengths;
use super::measure::{Measured, ScriptOf};
use super::near::{NearRepeats, NearSearch, Searching};
use super::tokens::{Labels, Rendering};
use crate::devices::Side;
use crate::document::Document;
use crate::error::CorpusError;
use crate::fault::SourceFault;
use crate::random::mix;
use crate::source::{Tally, unopened};

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Options<'m> {
    /// Rows drawn to look at.
    pub examples: usize,
    /// Decides which.
    pub seed: u64,
    /// Faults that are named; all are counted.
    pub faults: usize,
    /// Repeats and conflicts that are named, of each kind.
    pub pairs: usize,
    /// Rows that say nearly the same; `None` not to look for them.
    pub near: Option<NearSearch>,
    /// How rows become tokens; `None` to count characters alone.
    pub rendering: Option<Rendering<'m>>,
}

/// Lengths of one part of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// In characters.
    pub characters: Lengths,
    /// In tokens; empty without a model.
    pub tokens: Lengths,
}

/// What came out of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCount {
    /// The file.
    pub file: DataFile,
    /// Its records.
    pub tally: Tally,
}

/// What a data set holds.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Records of all files.
    pub tally: Tally,
    /// Records by file.
    pub files: Vec<FileCount>,
    /// The first faults.
    pub faults: Vec<SourceFault>,
    /// The fields of rows, in the order in which they first came.
    pub fields: Vec<FieldCount>,
    /// Fields of single rows beyond those that are counted by name.
    pub other_fields: u64,
    /// What comes before the last answer of each conversation. Its tokens are those of the rendered prompt.
    pub prompts: Part,
    /// The last answers. Tokens: all that carry a label.
    pub outputs: Part,
    /// Running text, and all texts of rows of no known shape.
    pub texts: Part,
    /// Messages of conversations, without the system's.
    pub turns: Lengths,
    /// Rows by language, `None` where none can be told.
    pub languages: BTreeMap<Option<&'static str>, u64>,
    /// Rows by script.
    pub scripts: BTreeMap<ScriptOf, u64>,
    /// Rows that say what an earlier one says.
    pub repeats: Repeats,
    /// Prompts with several outputs.
    pub conflicts: Conflicts,
    /// Rows that say nearly what an earlier one says, where that was looked for.
    pub near: Option<NearRepeats>,
    /// How often each instruction came.
    pub instructions: Frequent,
    /// How often each output of a conversation came.
    pub often_output: Frequent,
    /// Tokens and labels, where a model was given.
    pub labels: Option<Labels>,
    /// Rows drawn to look at.
    pub examples: Vec<Document>,
    pub(super) keys: Vec<RowKey>,
}

impl Statistics {
    /// Reads a data set through; `watch` is told how many rows have come, and from which file the last.
    ///
    /// # Errors
    /// When a file cannot be read or its format is not known (beside other files that is a fault), or there is no record at all.
    pub fn of(
        set: &DataSet,
        options: &Options<'_>,
        watch: &mut dyn FnMut(u64, &str),
    ) -> Result<Statistics, CorpusError> {
        let mut pass = Pass::begin(options)?;
        for file in &set.files {
            pass.read(set, file, watch)?;
        }
        let statistics = pass.finish()?;
        if statistics.tally.records == 0 {
            return Err(CorpusError::NoRecords { path: set.path.clone() });
        }
        Ok(statistics)
    }

    /// How many rows there are on a side of the split.
    #[must_use]
    pub fn rows_of(&self, side: Side) -> u64 {
        self.files.iter().filter(|file| file.file.side == Some(side)).map(|file| file.tally.documents()).sum()
    }
}

/// The pass under way.
struct Pass<'o, 'm> {
    options: &'o Options<'m>,
    statistics: Statistics,
    fields: Fields,
    drawn: Drawn,
    near: Option<Searching>,
    rows: u64,
}

impl<'o, 'm> Pass<'o, 'm> {
    fn begin(options: &'o Options<'m>) -> Result<Self, CorpusError> {
        Ok(Pass {
            options,
            statistics: Statistics {
                tally: Tally::default(),
                files: Vec::new(),
                faults: Vec::new(),
                fields: Vec::new(),
                other_fields: 0,
                prompts: Part::default(),
                outputs: Part::default(),
                texts: Part::default(),
                turns: Lengths::default(),
                languages: BTreeMap::new(),
                scripts: BTreeMap::new(),
                repeats: Repeats::default(),
                conflicts: Conflicts::default(),
                near: None,
                instructions: Frequent::default(),
                often_output: Frequent::default(),
                labels: options.rendering.map(|_| Labels::default()),
                examples: Vec::new(),
                keys: Vec::new(),
            },
            fields: Fields::default(),
            drawn: Drawn::new(options.seed, options.examples),
            near: options.near.as_ref().map(Searching::begin).transpose()?,
            rows: 0,
        })
    }

    fn read(&mut self, set: &DataSet, file: &DataFile, watch: &mut dyn FnMut(u64, &str)) -> Result<(), CorpusError> {
        let mut documents = match set.source(file).documents() {
            Ok(documents) => documents,
            Err(error) if set.files.len() == 1 => return Err(error),
            Err(error) => {
                let fault = unopened(file.path.clone(), &error);
                let mut tally = Tally::default();
                tally.fault(&fault);
                self.fault(fault);
                self.book(file, tally);
                return Ok(());
            }
        };
        while let Some((batch, faults)) = documents.batch() {
            faults.into_iter().for_each(|fault| self.fault(fault));
            self.rows(batch, file.side)?;
            watch(self.rows, &file.name);
        }
        self.book(file, documents.tally().clone());
        Ok(())
    }

    fn book(&mut self, file: &DataFile, tally: Tally) {
        self.statistics.tally.add(&tally);
        self.statistics.files.push(FileCount { file: file.clone(), tally });
    }

    fn fault(&mut self, fault: SourceFault) {
        if self.statistics.faults.len() < self.options.faults {
            self.statistics.faults.push(fault);
        }
    }

    /// Measures a batch on all threads, and adds it up in order.
    fn rows(&mut self, mut batch: Vec<Document>, side: Option<Side>) -> Result<(), CorpusError> {
        let rendering = self.options.rendering.as_ref();
        let measured: Vec<Measured> = batch.par_iter_mut().map(|document| Measured::of(document, rendering)).collect();
        for (document, measured) in batch.iter().zip(&measured) {
            self.row(document, measured, side);
        }
        match &mut self.near {
            Some(near) => near.add(&batch),
            None => Ok(()),
        }
    }

    fn row(&mut self, document: &Document, measured: &Measured, side: Option<Side>) {
        let number = self.rows;
        self.rows += 1;
        let all = &mut self.statistics;
        // Rows that say nothing are no versions of each other.
        let identity = measured.identity.unwrap_or_else(|| mix(!number));
        all.keys.push(RowKey::new(identity, measured.prompt, measured.id, side, number));
        *all.languages.entry(measured.language).or_default() += 1;
        *all.scripts.entry(measured.script).or_default() += 1;
        if measured.prompt != 0 {
            all.prompts.characters.add(measured.prompt_characters);
            all.outputs.characters.add(measured.output_characters);
            all.turns.add(measured.turns);
            all.often_output.add(measured.output, document.text("output"));
        } else {
            all.texts.characters.add(measured.output_characters);
        }
        if let Some(instruction) = document.fields.get("instruction") {
            all.instructions.add(measured.instruction, instruction);
        }
        if let (Some(labels), Some(tokens)) = (&mut all.labels, &measured.tokens) {
            labels.add(tokens);
            match tokens {
                Ok(Some(tokens)) if measured.prompt != 0 => {
                    all.prompts.tokens.add(tokens.prompt);
                    all.outputs.tokens.add(tokens.labelled);
                }
                Ok(Some(tokens)) => all.texts.tokens.add(tokens.all),
                _ => {}
            }
        }
        self.fields.add(document, measured);
        self.drawn.see(number, document);
    }

    fn finish(self) -> Result<Statistics, CorpusError> {
        let Pass { options, mut statistics, fields, drawn, near, .. } = self;
        statistics.other_fields = fields.others;
        statistics.fields = fields.into_counts();
        statistics.examples = drawn.into_rows();
        statistics.near = near.map(|near| near.finish(options.pairs)).transpose()?;
        statistics.conflicts = keys::conflicts(&mut statistics.keys, options.pairs);
        statistics.repeats = keys::repeats(&mut statistics.keys, options.pairs);
        Ok(statistics)
    }
}
