//! What can go wrong before a record is read. Faults of single records are [`crate::SourceFault`]s; they never stop the others.

use std::io;
use std::path::{Path, PathBuf};

use crate::devices::Side;

/// An error of this crate; each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A recipe names a generator that does not exist.
    #[error("no generator is called `{name}`; known: {}", crate::Generated::NAMES.join(", "))]
    UnknownGenerator {
        /// The name as written.
        name: String,
    },
    /// A recipe names a side of the split that does not exist.
    #[error("no part is called `{name}`; write `train` or `test`")]
    UnknownPart {
        /// The name as written.
        name: String,
    },
    /// More rows are asked for than there are combinations on that side.
    #[error("{rows} rows asked for, but part `{part}` holds {available} combinations; ask for fewer")]
    TooManyRows {
        /// Rows asked for.
        rows: usize,
        /// Combinations on that side.
        available: u64,
        /// The side.
        part: Side,
    },
    /// The file could not be written; nothing was left at `path` that was not there before.
    #[error("cannot write {}: {source}; check that its folder is writable and has room", path.display())]
    Write {
        /// The file that was to be made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source's file or folder could not be read at all.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file's format cannot be seen from its first bytes nor from its name.
    #[error(
        "{}: neither content nor name tell the format; name it: {}",
        path.display(), crate::source::FileFormat::NAMES.join(", ")
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A file of a kind that is known and not read.
    #[error("{}: this is {what}, which is not read; {remedy}", path.display())]
    NotRead {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What can be done.
        remedy: &'static str,
    },
    /// A server does not give what cannot be done without.
    #[error("{url} {why}; what was said before is kept, and the same command goes on there")]
    Server {
        /// The address.
        url: String,
        /// What it answered, or why it did not.
        why: String,
    },
    /// A source in which there is nothing.
    #[error("{} holds no records: {}", path.display(), if path.is_dir() { "its files are empty, or there are none" } else { "it is empty" })]
    NoRecords {
        /// The file or folder.
        path: PathBuf,
    },
    /// A setting makes no sense.
    #[error("{setting}: {cause}")]
    Setting {
        /// The setting, such as `near.edited`.
        setting: &'static str,
        /// What is wrong and what is allowed.
        cause: String,
    },
    /// A template could not be parsed.
    #[error("template `{field}` of phrasing {phrasing} does not parse: {cause}")]
    Template {
        /// Which of the row's fields it makes.
        field: &'static str,
        /// Which phrasing, from 1.
        phrasing: usize,
        /// What is wrong, with its line.
        cause: String,
    },
    /// The table of a conversion between scripts could not be loaded: a bug of the build.
    #[error("the conversion table {table} cannot be loaded: {cause}")]
    Conversion {
        /// The table.
        table: &'static str,
        /// Why.
        cause: String,
    },
    /// The totals do not add up: a bug of this crate.
    #[error("{stage}: {came} documents came in, {left} are accounted for; this is a bug of luthier")]
    Unbalanced {
        /// Where.
        stage: String,
        /// Documents in.
        came: u64,
        /// Documents kept, dropped and faulty.
        left: u64,
    },
}

impl CorpusError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> CorpusError {
        let path = path.to_owned();
        move |source| CorpusError::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> CorpusError {
        let path = path.to_owned();
        move |source| CorpusError::Write { path, source }
    }

    pub(crate) fn setting(setting: &'static str, cause: impl Into<String>) -> CorpusError {
        CorpusError::Setting { setting, cause: cause.into() }
    }
}
