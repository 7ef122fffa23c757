//! Records that cannot be read: where they stand and what is wrong. They never stop the records after them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use luthier_text::Fault;

use crate::document::Position;

/// A record that gives no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFault {
    /// The file.
    pub file: Arc<Path>,
    /// Where in it.
    pub position: Position,
    /// The address of the record, where it is known.
    pub url: Option<String>,
    /// What is wrong.
    pub kind: SourceFaultKind,
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {}", self.file.display(), self.position, self.kind)?;
        match &self.url {
            Some(url) => write!(f, " ({url})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SourceFault {}

/// What can be wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFaultKind {
    /// A JSON row is broken, or has not the fields of its shape.
    Row(Fault),
    /// A row has another shape than the rows before it: theirs, and the fields that are there.
    OtherShape {
        /// The shape of the rows before.
        expected: &'static str,
        /// The fields of this row.
        found: Vec<String>,
    },
    /// A mapped column is not there: its path, and the nearest one present.
    MissingColumn {
        /// The path as the mapping writes it.
        column: String,
        /// The nearest column present.
        nearest: Option<String>,
    },
    /// A table's row has another number of columns than its header.
    Columns {
        /// Columns of the header.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
    /// Bytes that are not in the file's encoding.
    Encoding {
        /// The encoding that was assumed.
        encoding: &'static str,
        /// The first wrong byte, counted from the record's start.
        at: usize,
    },
    /// A record is longer than the bound.
    TooLong {
        /// The bound in bytes.
        limit: u64,
    },
    /// A small file that inflates without end.
    Inflates {
        /// Bytes out when reading stopped.
        inflated: u64,
        /// Bytes in by then.
        compressed: u64,
    },
    /// The file breaks off or is damaged; what follows cannot be read.
    BreaksOff(String),
    /// An archive's record is damaged.
    Record(String),
    /// XML that is not well formed.
    Xml(String),
    /// A page that cannot be parsed within the bounds.
    Page(String),
    /// The record has no text at all.
    Empty,
}

impl SourceFaultKind {
    /// A short name, the same for all records with this kind of fault.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            SourceFaultKind::Row(fault) => fault.kind.label(),
            SourceFaultKind::OtherShape { .. } => "other shape",
            SourceFaultKind::MissingColumn { .. } => "missing column",
            SourceFaultKind::Columns { .. } => "wrong number of columns",
            SourceFaultKind::Encoding { .. } => "broken encoding",
            SourceFaultKind::TooLong { .. } => "too long",
            SourceFaultKind::Inflates { .. } => "inflates without end",
            SourceFaultKind::BreaksOff(_) => "breaks off",
            SourceFaultKind::Record(_) => "broken record",
            SourceFaultKind::Xml(_) => "broken XML",
            SourceFaultKind::Page(_) => "page out of bounds",
            SourceFaultKind::Empty => "empty",
        }
    }
}

impl fmt::Display for SourceFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceFaultKind::Row(fault) => fault.fmt(f),
            SourceFaultKind::OtherShape { expected, found } => {
                write!(f, "the rows before are {expected}, this one has the fields {}", found.join(", "))
            }
            SourceFaultKind::MissingColumn { column, nearest: Some(nearest) } => {
                write!(f, "column `{column}` is missing; the nearest one is `{nearest}`")
            }
            SourceFaultKind::MissingColumn { column, nearest: None } => write!(f, "column `{column}` is missing"),
            SourceFaultKind::Columns { expected, found } => {
                write!(f, "the row has {found} columns, its header {expected}; is a quote or a delimiter missing?")
            }
            SourceFaultKind::Encoding { encoding, at } => {
                write!(f, "byte {at} of the record is not {encoding}; name the source's encoding if it is another")
            }
            SourceFaultKind::TooLong { limit } => write!(f, "the record does not end within {limit} bytes"),
            SourceFaultKind::Inflates { inflated, compressed } => write!(
                f,
                "{compressed} bytes have inflated to {inflated} and more; if that is meant, raise the source's bound"
            ),
            SourceFaultKind::BreaksOff(why) => write!(f, "the file cannot be read on: {why}"),
            SourceFaultKind::Record(why) => f.write_str(why),
            SourceFaultKind::Xml(why) => write!(f, "not well-formed XML: {why}"),
            SourceFaultKind::Page(why) => f.write_str(why),
            SourceFaultKind::Empty => f.write_str("the record holds no text"),
        }
    }
}
