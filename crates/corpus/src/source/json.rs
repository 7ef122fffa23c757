//! Rows of JSON: an array, lines, or a list inside a document. Lines are parsed on all threads, a batch at a time, in order.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use luthier_text::pieces::{Body, OpenError, Piece, Pieces, Unparsed};
use luthier_text::{Fault, check_row};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::mapping::no_object;
use super::shape::{Parsed, Shape};
use super::{Entry, Mapping, Reader, Source, bytes};
use crate::document::{Document, Position, Provenance};
use crate::error::CorpusError;
use crate::fault::{SourceFault, SourceFaultKind};

/// Bytes of lines that are parsed together.
const BATCH: usize = 1 << 21;

/// Rows of a batch that had to be parsed to be found, which are held as values.
const BATCH_ROWS: usize = 1024;

pub(super) struct Rows {
    pieces: Pieces<Box<dyn BufRead + Send>>,
    rows: RowReader,
    ended: bool,
}

impl Rows {
    pub(super) fn open(source: &Source, file: Arc<Path>, text: Box<dyn BufRead + Send>) -> Result<Self, CorpusError> {
        let pieces = Pieces::open_within(text, false, source.within.clone()).map_err(|error| {
            let cause = match error {
                OpenError::Io(cause) => cause,
                OpenError::Encoding(encoding) => std::io::Error::other(format!("it is in {encoding}")),
            };
            CorpusError::read(&file)(cause)
        })?;
        Ok(Rows { pieces, rows: RowReader::new(source, file), ended: false })
    }
}

impl Reader for Rows {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut failure = None;
        while !self.ended && bytes < BATCH && batch.len() < BATCH_ROWS * 16 {
            match self.pieces.next_unparsed() {
                Ok(Some(Unparsed::Line { line, bytes: content })) => {
                    bytes += content.len();
                    batch.push(Unparsed::Line { line, bytes: content });
                }
                Ok(Some(whole)) => {
                    bytes += BATCH / BATCH_ROWS;
                    batch.push(whole);
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    failure = Some(bytes::fault_of(&error));
                    self.ended = true;
                }
            }
        }
        let rows = &self.rows;
        let read: Vec<Read> = batch
            .into_par_iter()
            .map(|piece| {
                let in_lines = matches!(piece, Unparsed::Line { .. });
                rows.read(piece.parse(), in_lines)
            })
            .collect();
        read.into_iter().for_each(|read| self.rows.accept(read, entries));
        if let Some(kind) = failure {
            entries.push_back(Entry::Fault(self.rows.fault(Position::Whole, kind)));
        }
        !self.ended || !entries.is_empty()
    }
}

/// A row that was read on some thread.
pub(super) struct Read {
    position: Position,
    shape: Shape,
    names: Vec<String>,
    parsed: Result<Vec<Parsed>, SourceFaultKind>,
}

/// Makes documents of rows. Shapes are recognised row by row; a row that fits none while the file's first row did is a fault, and so
/// is one that shares no column with a file's first row.
pub(super) struct RowReader {
    file: Arc<Path>,
    name: String,
    mapping: Mapping,
    trainable: bool,
    first: Option<(Shape, Vec<String>)>,
}

impl RowReader {
    pub(super) fn new(source: &Source, file: Arc<Path>) -> Self {
        let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        RowReader { file, name, mapping: source.columns.clone(), trainable: source.trainable, first: None }
    }

    fn read(&self, piece: Piece, in_lines: bool) -> Read {
        let at = piece.line as u64;
        let position = if in_lines { Position::Line(at) } else { Position::Row(at) };
        match piece.body {
            Ok(Body::Json(Value::Object(row))) => match self.unfit(&row) {
                Some(fault) => Read::fault(position, SourceFaultKind::Row(fault)),
                None => self.read_row(position, row),
            },
            Ok(Body::Json(other)) => Read::fault(position, no_object(&other)),
            Ok(Body::Paragraph(_)) => Read::fault(position, SourceFaultKind::Empty),
            Err(fault) => Read::fault(position, SourceFaultKind::Row(fault)),
        }
    }

    /// What keeps a row from being trained, where that is asked for and its shape is one that training reads.
    fn unfit(&self, row: &Map<String, Value>) -> Option<Fault> {
        let asked = self.trainable && self.mapping.is_empty() && Shape::of(row).is_trained();
        if asked { check_row(row).err() } else { None }
    }

    pub(super) fn read_row(&self, position: Position, row: Map<String, Value>) -> Read {
        if !self.mapping.is_empty() {
            let fields = self.mapping.fields(&row);
            let id = ["id", "uuid"].iter().find_map(|name| row.get(*name)).and_then(super::shape::text_of);
            let url = row.get("url").and_then(Value::as_str).map(str::to_owned);
            let parsed = fields.map(|fields| vec![Parsed { id, url, fields }]);
            return Read { position, shape: Shape::Mapped, names: Vec::new(), parsed };
        }
        let shape = Shape::of(&row);
        let names = row.keys().cloned().collect();
        let parsed = shape.documents(row).map_err(SourceFaultKind::Row).and_then(|parsed| {
            let says_nothing = |parsed: &Parsed| parsed.fields.iter().all(|(_, text)| text.trim().is_empty());
            if parsed.is_empty() || parsed.iter().all(says_nothing) { Err(SourceFaultKind::Empty) } else { Ok(parsed) }
        });
        Read { position, shape, names, parsed }
    }

    pub(super) fn accept(&mut self, read: Read, entries: &mut VecDeque<Entry>) {
        let Read { position, shape, names, parsed } = read;
        let parsed = parsed.and_then(|parsed| match &self.first {
            Some((first, _)) if first.is_recognised() && shape == Shape::Columns => {
                Err(SourceFaultKind::OtherShape { expected: first.name(), found: names.clone() })
            }
            Some((Shape::Columns, first))
                if shape == Shape::Columns && !names.iter().any(|name| first.contains(name)) =>
            {
                Err(SourceFaultKind::OtherShape { expected: "rows of other columns", found: names.clone() })
            }
            _ => Ok(parsed),
        });
        match parsed {
            Err(kind) => entries.push_back(Entry::Fault(self.fault(position, kind))),
            Ok(parsed) => {
                self.first.get_or_insert((shape, names));
                let several = parsed.len() > 1;
                for (i, Parsed { id, url, fields }) in parsed.into_iter().enumerate() {
                    let id = id.unwrap_or_else(|| self.id(position, several.then_some(i)));
                    let provenance = Provenance { file: self.file.clone(), position, url };
                    entries.push_back(Entry::Document(Document { id, shape, fields, provenance }));
                }
            }
        }
    }

    pub(super) fn fault(&self, position: Position, kind: SourceFaultKind) -> SourceFault {
        SourceFault { file: self.file.clone(), position, url: None, kind }
    }

    fn id(&self, position: Position, part: Option<usize>) -> String {
        let at = position.unit().map_or(0, |(_, at)| at);
        match part {
            Some(part) => format!("{}:{at}/{part}", self.name),
            None => format!("{}:{at}", self.name),
        }
    }
}

impl Read {
    pub(super) fn fault(position: Position, kind: SourceFaultKind) -> Self {
        Read { position, shape: Shape::Columns, names: Vec::new(), parsed: Err(kind) }
    }
}
