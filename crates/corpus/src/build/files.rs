//! The files of rows, and rows that wait for a drawing.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use luthier_text::Reason;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::choice::{Choice, Chosen};
use super::ledger::{Books, Outcome};
use super::measure::{Measure, Measures};
use super::row::TaskRow;
use crate::devices::Side;
use crate::error::CorpusError;

/// The files of rows.
pub(super) struct Files {
    train: (PathBuf, BufWriter<File>),
    test: Option<(PathBuf, BufWriter<File>)>,
}

impl Files {
    pub(super) fn create(folder: &Path, with_test: bool) -> Result<Self, CorpusError> {
        let file = |name: &str| {
            let path = folder.join(name);
            create(&path).map(|file| (path, file))
        };
        Ok(Files { train: file("train.jsonl")?, test: if with_test { Some(file("test.jsonl")?) } else { None } })
    }

    pub(super) fn write(&mut self, side: Side, line: &str) -> Result<Outcome, CorpusError> {
        let (outcome, (path, file)) = match (side, &mut self.test) {
            (Side::Test, Some(test)) => (Outcome::Test, test),
            _ => (Outcome::Train, &mut self.train),
        };
        let written = file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n"));
        written.map(|()| outcome).map_err(CorpusError::write(path))
    }

    pub(super) fn finish(self) -> Result<(), CorpusError> {
        for (path, mut file) in std::iter::once(self.train).chain(self.test) {
            file.flush().map_err(CorpusError::write(&path))?;
        }
        Ok(())
    }
}

/// Rows that wait until all are known, for some of them to be drawn.
pub(super) struct Waiting {
    path: PathBuf,
    file: BufWriter<File>,
    chosen: Chosen,
    rows: Vec<(Side, Measure)>,
}

/// What the ledger needs of a row that waited.
#[derive(Deserialize)]
struct Waited<'r> {
    id: String,
    #[serde(borrow)]
    source: &'r RawValue,
}

impl Waiting {
    pub(super) fn create(path: PathBuf, choice: Choice) -> Result<Self, CorpusError> {
        Ok(Waiting { file: create(&path)?, path, chosen: choice.begin()?, rows: Vec::new() })
    }

    pub(super) fn push(&mut self, side: Side, row: &TaskRow, group: &str) -> Result<(), CorpusError> {
        self.chosen.see(&row.id, group);
        self.rows.push((side, Measure::of(row)));
        writeln!(self.file, "{}", to_line(row)).map_err(CorpusError::write(&self.path))
    }

    pub(super) fn draw<W: Write>(
        self,
        files: &mut Files,
        books: &mut Books<W>,
        measures: &mut Measures,
    ) -> Result<(), CorpusError> {
        let Waiting { path, mut file, chosen, rows } = self;
        file.flush().map_err(CorpusError::write(&path))?;
        let opened = File::open(&path).map_err(CorpusError::read(&path))?;
        let lines = BufReader::new(opened).lines();
        for ((line, taken), (side, measure)) in lines.zip(chosen.finish()).zip(rows) {
            let line = line.map_err(CorpusError::read(&path))?;
            let row: Waited<'_> =
                serde_json::from_str(&line).map_err(|error| CorpusError::read(&path)(io::Error::other(error)))?;
            let (outcome, reason) = if taken {
                measures.add(side, measure, &line);
                (files.write(side, &line)?, None)
            } else {
                let detail = "other rows were drawn".to_owned();
                (Outcome::NotDrawn, Some(Reason { label: "not drawn", detail }))
            };
            books.enter(outcome, &row.id, row.source, reason.as_ref()).map_err(CorpusError::write(&path))?;
        }
        fs::remove_file(&path).map_err(CorpusError::write(&path))
    }
}

pub(super) fn to_line(row: &TaskRow) -> String {
    serde_json::to_string(row).expect("a row is texts, and messages that were written as JSON here")
}

/// A new file, written through a buffer.
pub(super) fn create(path: &Path) -> Result<BufWriter<File>, CorpusError> {
    let file = File::create(path).map_err(CorpusError::write(path))?;
    Ok(BufWriter::with_capacity(1 << 18, file))
}
