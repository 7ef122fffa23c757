//! GGUF files, written in one pass: what there will be is said first, then the tensors' numbers are handed on piece by piece.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use luthier_files::write_atomically;

use crate::error::GgufError;
use crate::gguf::{ALIGNMENT, DEFAULT_ALIGNMENT, MOST_DIMENSIONS};
use crate::quantise::quantise;
use crate::tensor_type::TensorType;
use crate::value::{Value, write_text};

/// Tensor names of llama.cpp are shorter than this (`GGML_MAX_NAME`).
const LONGEST_NAME: usize = 64;

/// A file in the making: metadata and tensors come in the order they are named in.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    entries: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

/// A tensor that is to be written.
#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    kind: TensorType,
    bytes: usize,
}

/// Takes the numbers of one tensor.
#[derive(Debug)]
pub struct Sink<'a> {
    path: &'a Path,
    to: &'a mut BufWriter<File>,
    tensor: &'a Tensor,
    written: usize,
    buffer: &'a mut Vec<u8>,
}

impl Writer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds metadata.
    ///
    /// # Errors
    /// When the key is there already, or it is `general.alignment` and no power of two of type u32.
    pub fn metadata(&mut self, key: &str, value: impl Into<Value>) -> Result<(), GgufError> {
        let value = value.into();
        if self.entries.iter().any(|(other, _)| other == key) {
            return Err(GgufError::unwritable(key, "there is metadata of that key already"));
        }
        if key == ALIGNMENT && !matches!(value, Value::U32(alignment) if alignment.is_power_of_two()) {
            return Err(GgufError::unwritable(key, format!("it must be a power of two of type u32, not {value:?}")));
        }
        self.entries.push((key.to_owned(), value));
        Ok(())
    }

    /// Adds a tensor, its shape in row-major order as PyTorch says it.
    ///
    /// # Errors
    /// When there is one of that name already, the name is longer than llama.cpp's may be, there are more than four
    /// dimensions, or a row is no whole number of the type's blocks.
    pub fn tensor(&mut self, name: &str, kind: TensorType, shape: &[usize]) -> Result<(), GgufError> {
        let refuse = |why: String| Err(GgufError::unwritable(name, why));
        if self.tensors.iter().any(|other| other.name == name) {
            return refuse("there is a tensor of that name already".to_owned());
        }
        if name.len() >= LONGEST_NAME {
            return refuse(format!(
                "the name has {} bytes, and llama.cpp reads at most {}",
                name.len(),
                LONGEST_NAME - 1
            ));
        }
        if shape.len() > MOST_DIMENSIONS {
            return refuse(format!("it has {} dimensions; there are at most {MOST_DIMENSIONS}", shape.len()));
        }
        let (row, block) = (shape.last().copied().unwrap_or(1), kind.block_len());
        if !row.is_multiple_of(block) {
            return refuse(format!("its rows have {row} numbers, no whole number of {kind} blocks of {block}"));
        }
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        let Some(bytes) = len.and_then(|len| (len / block).checked_mul(kind.block_bytes())) else {
            return refuse(format!("its shape {shape:?} has more numbers than can be counted"));
        };
        self.tensors.push(Tensor { name: name.to_owned(), shape: shape.to_owned(), kind, bytes });
        Ok(())
    }

    /// Writes the file aside, asking `fill` for each tensor by name, in order, and renames it to `path`.
    ///
    /// # Errors
    /// What the system or `fill` said, or that a tensor got fewer or more numbers than its shape has; then what stood at
    /// `path` stands there still.
    pub fn write<E: From<GgufError>>(
        &self,
        path: &Path,
        mut fill: impl FnMut(&str, &mut Sink<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut refused = None;
        let written = write_atomically(path, |file| {
            self.write_header(file)?;
            let mut buffer = Vec::new();
            for tensor in &self.tensors {
                let mut sink = Sink { path, to: file, tensor, written: 0, buffer: &mut buffer };
                let filled = fill(&tensor.name, &mut sink).and_then(|()| sink.check_full().map_err(E::from));
                if let Err(error) = filled {
                    refused = Some(error);
                    return Err(io::Error::other("the tensors could not be written"));
                }
                pad(file, tensor.bytes, self.alignment())?;
            }
            Ok(())
        });
        written.map_err(|source| refused.unwrap_or_else(|| GgufError::Write { path: path.to_owned(), source }.into()))
    }

    fn alignment(&self) -> usize {
        let told = self.entries.iter().find(|(key, _)| key == ALIGNMENT).and_then(|(_, value)| value.as_u64());
        told.map_or(DEFAULT_ALIGNMENT, |alignment| alignment as usize)
    }

    fn write_header(&self, file: &mut BufWriter<File>) -> io::Result<()> {
        let mut header = b"GGUF".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            write_text(key.as_bytes(), &mut header);
            value.write(&mut header);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            write_text(tensor.name.as_bytes(), &mut header);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            // The file tells the shortest stride first.
            for &size in tensor.shape.iter().rev() {
                header.extend((size as u64).to_le_bytes());
            }
            header.extend((tensor.kind as u32).to_le_bytes());
            header.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes.next_multiple_of(self.alignment());
        }
        file.write_all(&header)?;
        if self.tensors.is_empty() { Ok(()) } else { pad(file, header.len(), self.alignment()) }
    }
}

/// Zeros behind `len` bytes up to the next multiple of the alignment.
fn pad(file: &mut BufWriter<File>, len: usize, alignment: usize) -> io::Result<()> {
    file.write_all(&vec![0; len.next_multiple_of(alignment) - len])
}

impl Sink<'_> {
    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    /// The type it is stored as.
    pub fn kind(&self) -> TensorType {
        self.tensor.kind
    }

    /// Takes the next numbers, whole blocks of them.
    ///
    /// # Errors
    /// When they cannot be stored as the tensor's type, are more than the tensor has, or the system cannot write.
    pub fn numbers(&mut self, numbers: &[f32]) -> Result<(), GgufError> {
        let mut buffer = std::mem::take(self.buffer);
        buffer.clear();
        let taken = quantise(self.tensor.kind, numbers, &mut buffer).and_then(|()| self.bytes(&buffer));
        *self.buffer = buffer;
        taken
    }

    /// Takes the next bytes, stored as the tensor's type already.
    ///
    /// # Errors
    /// When they are more than the tensor has, or the system cannot write.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        self.written = self.written.saturating_add(bytes.len());
        if self.written > self.tensor.bytes {
            return Err(self.not_full());
        }
        self.to.write_all(bytes).map_err(|source| GgufError::Write { path: self.path.to_owned(), source })
    }

    fn check_full(&self) -> Result<(), GgufError> {
        if self.written == self.tensor.bytes { Ok(()) } else { Err(self.not_full()) }
    }

    fn not_full(&self) -> GgufError {
        let Tensor { name, shape, kind, bytes } = self.tensor;
        let why = format!("as {kind} of shape {shape:?} it has {bytes} bytes, and was given {}", self.written);
        GgufError::unwritable(name, why)
    }
}
