//! What can be wrong with a model folder.

use std::path::{Path, PathBuf};

/// An error that names the file and, where there is one, the field or tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written; what stood there before is untouched.
    #[error("cannot write {}: {source}; nothing was left half-written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder is no model folder.
    #[error("{} is not a model folder: {why}", path.display())]
    NotAModel {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A JSON file does not say what it must.
    #[error("{}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Field and problem.
        why: String,
    },
    /// A family that is not there.
    #[error("{}: model_type \"{found}\" is not supported; supported are: {supported}", path.display())]
    UnsupportedFamily {
        /// The config file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What there is.
        supported: String,
    },
    /// A tensor file is broken.
    #[error("{}: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A tensor that the configuration asks for is not there.
    #[error("{}: tensor \"{tensor}\" is missing{hint}", path.display())]
    MissingTensor {
        /// The folder or file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// A near name, or empty.
        hint: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor \"{tensor}\" has shape {found:?}, config.json asks for {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What the file holds.
        found: Vec<usize>,
        /// What the configuration says.
        expected: Vec<usize>,
    },
    /// An adapter does not fit.
    #[error("{}: {why}", path.display())]
    Adapter {
        /// The adapter's file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Options that cannot be met.
    #[error("{0}")]
    Options(String),
    /// Tokens that the model cannot take.
    #[error("{0}")]
    Input(String),
}

impl ModelError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn config(path: &Path, why: impl Into<String>) -> Self {
        Self::Config { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn broken(path: &Path, why: impl Into<String>) -> Self {
        Self::Broken { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn adapter(path: &Path, why: impl Into<String>) -> Self {
        Self::Adapter { path: path.to_owned(), why: why.into() }
    }
}
