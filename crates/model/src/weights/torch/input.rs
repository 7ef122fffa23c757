//! A stretch of a file, read once and in order; nothing is allocated that the file does not hold.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use crate::error::ModelError;

/// Lines of old pickles are names and numbers.
const LONGEST_LINE: u64 = 1 << 12;

#[derive(Debug)]
pub(super) struct Input<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    at: u64,
    end: u64,
}

impl<'a> Input<'a> {
    pub(super) fn open(path: &'a Path, stretch: Range<u64>) -> Result<Self, ModelError> {
        let mut file = File::open(path).map_err(ModelError::read(path))?;
        file.seek(SeekFrom::Start(stretch.start)).map_err(ModelError::read(path))?;
        Ok(Self { path, reader: BufReader::new(file), at: stretch.start, end: stretch.end })
    }

    /// Where the next byte lies in the file.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes there still are.
    pub(super) fn left(&self) -> u64 {
        self.end - self.at
    }

    /// An error that names the file.
    pub(super) fn broken(&self, why: impl Into<String>) -> ModelError {
        ModelError::broken(self.path, why)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        self.check(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(ModelError::read(self.path))?;
        self.at += N as u64;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ModelError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, ModelError> {
        self.check(count)?;
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes).map_err(ModelError::read(self.path))?;
        self.at += count;
        Ok(bytes)
    }

    /// Up to the end of the line, which is taken too.
    pub(super) fn line(&mut self) -> Result<String, ModelError> {
        let mut line = Vec::new();
        let longest = LONGEST_LINE.min(self.left());
        let read = self.reader.by_ref().take(longest).read_until(b'\n', &mut line);
        self.at += read.map_err(ModelError::read(self.path))? as u64;
        match line.pop() {
            Some(b'\n') => String::from_utf8(line).map_err(|_| self.damaged()),
            _ if self.at == self.end => Err(self.truncated()),
            _ => Err(self.damaged()),
        }
    }

    pub(super) fn skip(&mut self, count: u64) -> Result<(), ModelError> {
        self.check(count)?;
        let skipped = i64::try_from(count).map_err(|_| self.damaged())?;
        self.reader.seek_relative(skipped).map_err(ModelError::read(self.path))?;
        self.at += count;
        Ok(())
    }

    pub(super) fn damaged(&self) -> ModelError {
        self.broken(format!("its pickle is damaged near byte {}; copy or fetch it again", self.at))
    }

    fn truncated(&self) -> ModelError {
        self.broken(format!("is truncated: its pickle ends at byte {} in the middle; copy or fetch it again", self.end))
    }

    fn check(&self, count: u64) -> Result<(), ModelError> {
        if count <= self.left() { Ok(()) } else { Err(self.truncated()) }
    }
}
