//! GGUF files byte by byte, right or wrong as a test needs them.

#![allow(dead_code, reason = "each test binary uses its part")]

use luthier_gguf::{Gguf, GgufError};

/// A file in the making; the counts of the header may say something else than what follows.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) version: u32,
    pub(crate) tensor_count: Option<u64>,
    pub(crate) entry_count: Option<u64>,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) tensors: Vec<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    pub(crate) alignment: usize,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            version: 3,
            tensor_count: None,
            entry_count: None,
            entries: Vec::new(),
            tensors: Vec::new(),
            data: Vec::new(),
            alignment: 32,
        }
    }
}

/// Length and bytes.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Numbers in a row.
pub(crate) fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(crate) fn u64s(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

impl Raw {
    /// An entry of metadata: key, type and the bytes of the value.
    pub(crate) fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries.push([&text(key), &u32s(&[kind]), value].concat());
        self
    }

    /// A tensor, its sizes in the file's order.
    pub(crate) fn tensor(mut self, name: &str, sizes: &[u64], kind: u32, offset: u64) -> Self {
        let count = u32s(&[sizes.len() as u32]);
        self.tensors.push([text(name), count, u64s(sizes), u32s(&[kind]), u64s(&[offset])].concat());
        self
    }

    pub(crate) fn data(mut self, data: Vec<u8>) -> Self {
        self.data = data;
        self
    }

    pub(crate) fn alignment(mut self, alignment: usize) -> Self {
        self.alignment = alignment;
        self.entry("general.alignment", 4, &u32s(&[alignment as u32]))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let tensors = self.tensor_count.unwrap_or(self.tensors.len() as u64);
        let entries = self.entry_count.unwrap_or(self.entries.len() as u64);
        let mut bytes = [b"GGUF".to_vec(), u32s(&[self.version]), u64s(&[tensors, entries])].concat();
        bytes.extend(self.entries.concat());
        bytes.extend(self.tensors.concat());
        if !self.data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
            bytes.extend(&self.data);
        }
        bytes
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Gguf {
        open(&self.bytes()).unwrap()
    }

    /// What opening says.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        open(&self.bytes()).expect_err("a broken file is refused").to_string()
    }
}

/// Opens bytes as a file, which outlives its name.
pub(crate) fn open(bytes: &[u8]) -> Result<Gguf, GgufError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    Gguf::open(&path)
}
