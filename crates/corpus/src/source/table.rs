//! Tables: comma-separated values with quotes, tab-separated values without.
//!
//! Records are cut out first, by counting quotes over line ends, and then split by `csv-core`. So a quote that never closes costs its
//! own line and not the rest of the file.

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use csv_core::{ReadRecordResult, ReaderBuilder};
use serde_json::{Map, Value};

use super::json::RowReader;
use super::lines::{Line, Lines};
use super::{Entry, Reader, Source, bytes};
use crate::document::Position;
use crate::fault::SourceFaultKind;

/// How values are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Csv,
    Tsv,
}

/// The longest record that quotes may make of several lines.
const LONGEST_QUOTED: usize = 1 << 20;

const BATCH_ROWS: usize = 1024;

pub(super) struct Table {
    lines: Lines,
    rows: RowReader,
    splitter: csv_core::Reader,
    dialect: Dialect,
    header: Option<Vec<String>>,
    /// Lines that were read ahead for a quote that did not close.
    again: VecDeque<Line>,
    limit: u64,
    ended: bool,
}

impl Table {
    pub(super) fn new(source: &Source, file: Arc<Path>, text: Box<dyn BufRead + Send>, dialect: Dialect) -> Self {
        let splitter = match dialect {
            Dialect::Csv => ReaderBuilder::new().build(),
            Dialect::Tsv => ReaderBuilder::new().delimiter(b'\t').quoting(false).build(),
        };
        Table {
            lines: Lines::new(text, source.bounds.record),
            rows: RowReader::new(source, file),
            splitter,
            dialect,
            header: source.header.clone(),
            again: VecDeque::new(),
            limit: source.bounds.record,
            ended: false,
        }
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    /// The next record: a line, or the lines that an open quote joins. Where the quote does not close, the line alone.
    fn record(&mut self) -> io::Result<Option<Line>> {
        let Some(first) = self.line()? else { return Ok(None) };
        if self.dialect == Dialect::Tsv || first.cut || quotes(&first.bytes).is_multiple_of(2) {
            return Ok(Some(first));
        }
        let mut joined = first.bytes.clone();
        let mut ahead = Vec::new();
        while joined.len() < LONGEST_QUOTED {
            let Some(line) = self.line()? else { break };
            let closes = !quotes(&line.bytes).is_multiple_of(2);
            joined.extend_from_slice(&line.bytes);
            let cut = line.cut;
            ahead.push(line);
            if cut {
                break;
            }
            if closes {
                return Ok(Some(Line { number: first.number, bytes: joined, cut: false }));
            }
        }
        for line in ahead.into_iter().rev() {
            self.again.push_front(line);
        }
        Ok(Some(first))
    }

    /// The values of a record.
    fn split(&mut self, record: &[u8]) -> Result<Vec<String>, SourceFaultKind> {
        self.splitter.reset();
        let mut out = vec![0; record.len() + 1];
        // Each value but the last is followed by a delimiter.
        let mut ends = vec![0; record.len() + 2];
        let (mut read, mut written, mut count) = (0, 0, 0);
        loop {
            let (result, consumed, wrote, fields) =
                self.splitter.read_record(&record[read..], &mut out[written..], &mut ends[count..]);
            read += consumed;
            written += wrote;
            count += fields;
            match result {
                // An empty input says that the record is over.
                ReadRecordResult::InputEmpty => {}
                _ => break,
            }
        }
        let mut start = 0;
        ends[..count]
            .iter()
            .map(|&end| {
                let value = std::str::from_utf8(&out[start..end]);
                let from = start;
                start = end;
                value
                    .map(str::to_owned)
                    .map_err(|error| SourceFaultKind::Encoding { encoding: "UTF-8", at: from + error.valid_up_to() })
            })
            .collect()
    }

    fn row(&mut self, line: &Line) -> Result<Option<Map<String, Value>>, SourceFaultKind> {
        if line.cut {
            return Err(SourceFaultKind::TooLong { limit: self.limit });
        }
        let content = line.content();
        if content.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let content = if line.number == 1 { content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content) } else { content };
        let values = self.split(content)?;
        let Some(header) = &self.header else {
            // A nameless first column is a row number, as pandas writes it.
            let named = values.into_iter().enumerate();
            self.header =
                Some(named.map(|(i, name)| if name.is_empty() { format!("column {}", i + 1) } else { name }).collect());
            return Ok(None);
        };
        if values.len() != header.len() {
            return Err(SourceFaultKind::Columns { expected: header.len(), found: values.len() });
        }
        Ok(Some(header.iter().cloned().zip(values.into_iter().map(Value::String)).collect()))
    }
}

fn quotes(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'"', bytes).count()
}

impl Reader for Table {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        for _ in 0..BATCH_ROWS {
            let record = match self.record() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    let position = Position::Line(self.lines.number + 1);
                    entries.push_back(Entry::Fault(self.rows.fault(position, bytes::fault_of(&error))));
                    self.ended = true;
                    break;
                }
            };
            let position = Position::Line(record.number);
            match self.row(&record) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    let read = self.rows.read_row(position, row);
                    self.rows.accept(read, entries);
                }
                Err(kind) => entries.push_back(Entry::Fault(self.rows.fault(position, kind))),
            }
        }
        !self.ended || !entries.is_empty()
    }
}
