//! What can be wrong with a GGUF file, or with what should become one.

use std::path::{Path, PathBuf};

use crate::tensor_type::TensorType;

/// An error that names the file and, where there is one, the key or tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
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
    /// The file is no GGUF, one of a version that is not read, or broken.
    #[error("{} {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Metadata does not say what it must.
    #[error("{}: metadata \"{key}\" {why}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A tensor is not what it must be.
    #[error("{}: tensor \"{tensor}\" {why}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// What is wrong.
        why: String,
    },
    /// Tensors of this type cannot be turned into numbers.
    #[error("tensors of type {0} cannot be read; supported are: {supported}", supported = TensorType::readable())]
    UnreadableType(TensorType),
    /// Numbers cannot be stored as this type.
    #[error("numbers cannot be stored as {0}; supported are: F32, F16, BF16, Q8_0")]
    UnwritableType(TensorType),
    /// Bytes or numbers that are no whole number of blocks.
    #[error("{found} {what} are no whole number of {kind} blocks of {block}")]
    Blocks {
        /// The type.
        kind: TensorType,
        /// How many there are.
        found: usize,
        /// Of what: bytes or numbers.
        what: &'static str,
        /// How many a block has.
        block: usize,
    },
    /// A number that the type cannot hold.
    #[error("{number} cannot be stored as {kind}{hint}")]
    OutOfRange {
        /// The type.
        kind: TensorType,
        /// The number.
        number: f32,
        /// What to do, or nothing.
        hint: &'static str,
    },
    /// A tensor or key that cannot be written as it is.
    #[error("cannot write \"{name}\": {why}")]
    Unwritable {
        /// Tensor or key.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// An architecture that is not known.
    #[error("architecture \"{found}\" is not supported; supported are: {supported}")]
    Architecture {
        /// What the file says.
        found: String,
        /// What there is.
        supported: String,
    },
    /// A `config.json` that llama.cpp has no counterpart for.
    #[error("config.json: {0}")]
    Config(String),
    /// A tensor whose shape is not what its conversion works on.
    #[error("a tensor of shape {shape:?} cannot be converted: {why}")]
    Shape {
        /// The shape.
        shape: Vec<usize>,
        /// What is wrong.
        why: String,
    },
}

impl GgufError {
    pub(crate) fn broken(path: &Path) -> impl FnOnce(String) -> Self + '_ {
        |why| Self::Broken { path: path.to_owned(), why }
    }

    pub(crate) fn unwritable(name: &str, why: impl Into<String>) -> Self {
        Self::Unwritable { name: name.to_owned(), why: why.into() }
    }
}
