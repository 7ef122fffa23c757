//! Apache Parquet: row groups one after another, each row as the JSON object it stands for.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use serde_json::{Map, Value};

use super::json::RowReader;
use super::{Entry, Reader, Source};
use crate::document::Position;
use crate::error::CorpusError;
use crate::fault::SourceFaultKind;

const BATCH_ROWS: usize = 1024;

pub(super) struct Rows {
    iterator: RowIter<'static>,
    rows: RowReader,
    row: u64,
    expected: u64,
    ended: bool,
}

impl Rows {
    pub(super) fn open(source: &Source, file: Arc<Path>) -> Result<Self, CorpusError> {
        let opened = File::open(&file).map_err(CorpusError::read(&file))?;
        let reader = SerializedFileReader::new(opened)
            .map_err(|error| CorpusError::read(&file)(std::io::Error::other(error.to_string())))?;
        let expected = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        let iterator = RowIter::from_file_into(Box::new(reader));
        Ok(Rows { iterator, rows: RowReader::new(source, file), row: 0, expected, ended: false })
    }
}

impl Reader for Rows {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        for _ in 0..BATCH_ROWS {
            if self.ended {
                break;
            }
            self.row += 1;
            let position = Position::Row(self.row);
            match self.iterator.next() {
                Some(Ok(row)) => {
                    let read = self.rows.read_row(position, object(&row));
                    self.rows.accept(read, entries);
                }
                Some(Err(error)) => {
                    let kind = SourceFaultKind::BreaksOff(error.to_string());
                    entries.push_back(Entry::Fault(self.rows.fault(position, kind)));
                    self.ended = true;
                }
                None => {
                    self.ended = true;
                    let came = self.row - 1;
                    if came < self.expected {
                        let why = format!("{came} rows came, its footer states {}", self.expected);
                        entries.push_back(Entry::Fault(self.rows.fault(position, SourceFaultKind::BreaksOff(why))));
                    }
                }
            }
        }
        !self.ended || !entries.is_empty()
    }
}

fn object(row: &Row) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float(value) => Value::from(*value),
        Field::Double(value) => Value::from(*value),
        Field::Str(text) => Value::from(text.as_str()),
        // Older writers leave out that a column of bytes is text.
        Field::Bytes(bytes) => Value::from(String::from_utf8_lossy(bytes.data())),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => map
            .entries()
            .iter()
            .map(|(key, item)| (key.to_string().trim_matches('"').to_owned(), value(item)))
            .collect(),
        other => Value::from(other.to_string()),
    }
}
