//! GGUF, the file format of llama.cpp, in and out.
//!
//! [`Gguf`] opens a file and hands out its metadata and the bytes of its tensors, which [`dequantise`] turns into numbers;
//! [`Writer`] makes a file. [`Vocabulary`] is what a file says of the tokenizer, and [`architecture`] what its tensors and
//! settings are called on Hugging Face's side. Nothing here knows a model or a tokenizer.

#![forbid(unsafe_code)]

pub mod architecture;
mod bytes;
mod dequantise;
mod error;
mod gguf;
mod quantise;
mod tensor_type;
mod value;
mod vocabulary;
mod writer;

pub use dequantise::dequantise;
pub use error::GgufError;
pub use gguf::{Gguf, TensorInfo};
pub use quantise::quantise;
pub use tensor_type::TensorType;
pub use value::{Array, Text, Value, ValueKind};
pub use vocabulary::{Defaults, TokenType, Vocabulary};
pub use writer::{Sink, Writer};
