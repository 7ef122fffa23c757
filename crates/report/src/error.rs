//! What can go wrong between a run folder and its page, said with file and line.

use std::path::{Path, PathBuf};

/// Why no report was written. The folder is left as it was found.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The given path is not a folder that can be read.
    #[error("{}: not a folder; give the folder of a run, the one that holds recipe.toml and metrics.jsonl", path.display())]
    NotAFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A file of the run is there but holds something unreadable.
    #[error("{}:{line}: {message}; correct or remove the {kind} and make the report again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What to correct: a line of a `.jsonl` file, or the file as a whole.
        kind: &'static str,
        /// What the parser expected and found.
        message: String,
    },
    /// A file of the run is there but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The page cannot be written; an older one is untouched.
    #[error("cannot write {}: {source}; check that its folder is writable and has room", path.display())]
    Write {
        /// The page.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The language is not one the report is written in.
    #[error("the report is written in \"en\" or \"zh-Hant\", not in {0:?}")]
    UnknownLanguage(String),
    /// The page's own template failed: a fault of this crate, not of the run.
    #[error("the page template failed (a fault of luthier, please report it): {0:#}")]
    Template(#[from] minijinja::Error),
}

impl ReportError {
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    /// An unreadable line `line` (from 1) of a `.jsonl` file.
    pub(crate) fn line(path: &Path, line: usize, error: &serde_json::Error) -> Self {
        let message = without_position(error);
        Self::Broken { path: path.to_owned(), line, kind: "line", message }
    }

    /// An unreadable `.json` file.
    pub(crate) fn json(path: &Path, error: &serde_json::Error) -> Self {
        let message = without_position(error);
        Self::Broken { path: path.to_owned(), line: error.line().max(1), kind: "file", message }
    }
}

/// The parser counts lines from the start of what it was given, which is one line here; only its column helps.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    if error.column() == 0 { what.to_owned() } else { format!("column {}: {what}", error.column()) }
}
