//! A window on a file: only the bytes from the current piece on are held.

use std::io::{self, Read};

const CHUNK: usize = 1 << 18;

pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    /// What the reader said after bytes that came through; they are given out first.
    failure: Option<io::Error>,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Window { reader, buffer: Vec::new(), start: 0, ended: false, failure: None }
    }

    /// The byte `i` places after the current position, `None` past the end.
    #[inline]
    pub(super) fn at(&mut self, i: usize) -> io::Result<Option<u8>> {
        while self.start + i >= self.buffer.len() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer[self.start + i]))
    }

    /// Distance to the next `byte`, or to the end; `None` when neither stands within `limit` bytes.
    pub(super) fn find(&mut self, byte: u8, limit: usize) -> io::Result<Option<usize>> {
        let mut searched = 0;
        loop {
            let seen = &self.buffer[self.start + searched..];
            if let Some(i) = memchr::memchr(byte, seen) {
                return Ok(Some(searched + i).filter(|found| *found <= limit));
            }
            searched += seen.len();
            if searched > limit {
                return Ok(None);
            }
            if !self.fill()? {
                return Ok(Some(searched));
            }
        }
    }

    /// Moves to the next `byte`, or to the end, and keeps nothing of what lies before it.
    pub(super) fn skip_to(&mut self, byte: u8) -> io::Result<()> {
        loop {
            let seen = &self.buffer[self.start..];
            match memchr::memchr(byte, seen) {
                Some(i) => {
                    self.start += i;
                    return Ok(());
                }
                None => self.start = self.buffer.len(),
            }
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// The next `length` bytes, which must have been seen.
    pub(super) fn slice(&self, length: usize) -> &[u8] {
        &self.buffer[self.start..(self.start + length).min(self.buffer.len())]
    }

    /// Moves past `count` bytes, at most to the end of what has been seen.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.start >= CHUNK {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if let Some(failure) = self.failure.take() {
            self.ended = true;
            return Err(failure);
        }
        let before = self.buffer.len();
        let read = self.reader.by_ref().take(CHUNK as u64).read_to_end(&mut self.buffer);
        match read {
            Ok(_) => self.ended = self.buffer.len() == before,
            Err(failure) if self.buffer.len() > before => self.failure = Some(failure),
            Err(failure) => {
                self.ended = true;
                return Err(failure);
            }
        }
        Ok(!self.ended)
    }
}
