//! Data files cut into rows, each row read on its own: a bad one is a [`RowFault`] with file, line and field, and the good ones go on.
//!
//! Whether a file is a JSON array or JSON Lines is seen from its first character, not from its name.

mod fault;
mod message;
mod shape;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::TextError;
use crate::options::Source;
use crate::pieces::{Body, OpenError, Pieces};
pub use fault::{Fault, FaultKind, RowFault};
pub use message::{Message, Role, check_conversation, messages_from_json};
pub use shape::{Content, Format, check_row};

/// A good row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Position of its source in [`crate::DataOptions::sources`].
    pub source: usize,
    /// Its line in the file, from 1; for a JSON array, its position in the array; for plain text, the paragraph's first line.
    pub line: usize,
    /// What it says.
    pub content: Content,
}

/// Reads the rows of one source, at most `limit` of them; `index` becomes [`Row::source`].
///
/// The file is read through a window, so that beside the rows only the piece being read is held.
///
/// # Errors
/// When the file cannot be read at all or is not UTF-8 by its first bytes. Faults of single rows are items of the result.
pub fn read_rows(source: &Source, index: usize, limit: Option<usize>) -> Result<Vec<Result<Row, RowFault>>, TextError> {
    let path = &source.path;
    let file = File::open(path).map_err(TextError::read(path))?;
    read_from(file, source, index, limit)
}

/// Reads all sources in order, at most `limit` rows together.
///
/// # Errors
/// As [`read_rows`], for the first file that cannot be read.
pub fn read_all(sources: &[Source], limit: Option<usize>) -> Result<Vec<Result<Row, RowFault>>, TextError> {
    let mut rows = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let left = limit.map(|limit| limit - rows.len());
        rows.extend(read_rows(source, index, left)?);
    }
    Ok(rows)
}

fn read_from(
    reader: impl Read,
    source: &Source,
    index: usize,
    limit: Option<usize>,
) -> Result<Vec<Result<Row, RowFault>>, TextError> {
    let path = &source.path;
    let mut pieces =
        Pieces::open(reader, source.format == Format::Text || is_plain_text(path)).map_err(|e| match e {
            OpenError::Io(cause) => TextError::Read { path: path.clone(), cause },
            OpenError::Encoding(encoding) => TextError::Encoding { path: path.clone(), encoding },
        })?;
    let mut rows = Vec::new();
    while limit.is_none_or(|limit| rows.len() < limit) {
        let Some(piece) = pieces.next().map_err(TextError::read(path))? else { break };
        let line = piece.line;
        let content = piece.body.and_then(|body| match body {
            Body::Json(value) => shape::content(&value, source.format),
            Body::Paragraph(text) => shape::paragraph(text),
        });
        rows.push(match content {
            Ok(content) => Ok(Row { source: index, line, content }),
            Err(fault) => {
                Err(RowFault { file: path.clone(), source: index, line, field: fault.field, kind: fault.kind })
            }
        });
    }
    Ok(rows)
}

/// Only a name can tell that prose is meant as rows; JSON is still recognised by its content inside such a file.
fn is_plain_text(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"))
}

#[cfg(test)]
mod tests;
