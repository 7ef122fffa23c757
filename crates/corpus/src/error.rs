//! What can go wrong while a source is named, made or written.

use std::path::PathBuf;

use crate::devices::Side;

/// An error of this crate; each message says what to do.
#[derive(Debug, thiserror::Error)]
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
        source: std::io::Error,
    },
}
