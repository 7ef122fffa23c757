//! GGUF, the file format of llama.cpp, in and out.
//!
//! [`Gguf`] opens a file and hands out its metadata and the bytes of its tensors; [`Vocabulary`] is what it says of the
//! tokenizer. Nothing here knows a model or a tokenizer.

#![forbid(unsafe_code)]

mod bytes;
mod error;
mod gguf;
mod tensor_type;
mod value;
mod vocabulary;

pub use error::GgufError;
pub use gguf::{Gguf, TensorInfo};
pub use tensor_type::TensorType;
pub use value::{Array, Text, Value, ValueKind};
pub use vocabulary::{Defaults, TokenType, Vocabulary};
