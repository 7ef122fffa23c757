//! Text that needs no model: documents from files of many formats, cleaned, freed of duplicates, and built into data sets; and a seeded
//! generator.
//!
//! Data flows one way. A [`Source`] gives [`Document`]s, and a [`SourceFault`] for each record that cannot be read. [`clean`] looks at one
//! document at a time, [`duplicates`] at all of them, and [`build`] writes rows with a ledger whose totals balance. [`statistics`] tells what
//! a data set holds, and what changed between two of them.
//!
//! The generator invents [`devices`]: from them the pocket base model learns to write, and on them the quickstart recipe tunes it. A
//! recipe names a source of this kind by a word (`{ generate = "devices", rows = 4000, part = "train" }`); [`Generated`] reads the word
//! and [`generate_rows`] and [`generate_documents`] make what it asks for. [`write_rows`] and [`write_text`] lay them down as files.
//!
//! ```
//! use luthier_corpus::Source;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("poems.jsonl");
//! std::fs::write(&path, "{\"title\": \"春曉\", \"lines\": [\"春眠不覺曉\", \"處處聞啼鳥\"]}\n{\"title\":\n")?;
//! let mut documents = Source::new(&path).documents()?;
//! assert_eq!(documents.next().unwrap().unwrap().text("lines"), "春眠不覺曉\n處處聞啼鳥");
//! let fault = documents.next().unwrap().unwrap_err().to_string();
//! assert!(fault.contains("poems.jsonl:2: "), "{fault}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod build;
mod charset;
pub mod clean;
pub mod collect;
pub mod devices;
mod document;
pub mod duplicates;
mod error;
mod fault;
mod generated_files;
mod letters;
mod random;
pub mod source;
pub mod statistics;

use std::str::FromStr;

pub use charset::{Decoded, decode};
pub use devices::{DeviceRow, Language, Side};
pub use document::{Document, Fields, Position, Provenance};
pub use error::CorpusError;
pub use fault::{SourceFault, SourceFaultKind};
pub use generated_files::{write_rows, write_text};
pub use letters::Widths;
pub use source::{Documents, FileFormat, Mapping, Shape, Source, Tally};

/// A source that makes its rows itself, named by a word in a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    /// Invented devices: a description, and the title that belongs to it.
    Devices,
}

impl Generated {
    /// The words a recipe may use.
    pub const NAMES: &'static [&'static str] = &["devices"];

    /// The word a recipe uses for this source.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
        }
    }
}

impl FromStr for Generated {
    type Err = CorpusError;

    fn from_str(name: &str) -> Result<Self, CorpusError> {
        match name {
            "devices" => Ok(Self::Devices),
            _ => Err(CorpusError::UnknownGenerator { name: name.to_owned() }),
        }
    }
}

/// The first `rows` alpaca rows of a generated source on one side of its split.
///
/// The same arguments give the same rows, and fewer rows are the beginning of more rows. Rows of
/// [`Side::Test`] share no combination of attributes with rows of [`Side::Train`] or with
/// [`generate_documents`], whatever the seeds.
///
/// # Errors
/// [`CorpusError::TooManyRows`] when the side has fewer combinations than `rows`.
pub fn generate_rows(
    kind: Generated,
    seed: u64,
    rows: usize,
    part: Side,
) -> Result<impl Iterator<Item = DeviceRow>, CorpusError> {
    match kind {
        Generated::Devices => {
            let available = devices::combinations_of(part);
            if rows as u64 > available {
                return Err(CorpusError::TooManyRows { rows, available, part });
            }
            Ok(devices::rows(seed, rows, part))
        }
    }
}

/// The first `documents` documents of running text of a generated source, for pretraining.
pub fn generate_documents(kind: Generated, seed: u64, documents: usize) -> impl Iterator<Item = String> {
    match kind {
        Generated::Devices => devices::pretraining_text(seed, documents),
    }
}
