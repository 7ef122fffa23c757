//! Lines of a stream, none of them longer than a bound.

use std::io::{self, BufRead};

/// Lines with their numbers.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    limit: usize,
    /// The number of the line read last, from 1.
    pub(super) number: u64,
}

/// A line as it was read.
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes with the line end; at most the bound.
    pub(super) bytes: Vec<u8>,
    /// Whether it is longer than the bound; the rest was skipped.
    pub(super) cut: bool,
}

impl Line {
    /// The bytes without the line end.
    pub(super) fn content(&self) -> &[u8] {
        let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, limit: u64) -> Self {
        Lines { reader, limit: usize::try_from(limit).unwrap_or(usize::MAX), number: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut cut = false;
        loop {
            let buffered = self.reader.fill_buf()?;
            if buffered.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', buffered).map_or(buffered.len(), |i| i + 1);
            let room = self.limit.saturating_sub(bytes.len());
            cut |= end > room;
            bytes.extend_from_slice(&buffered[..end.min(room)]);
            let complete = buffered[end - 1] == b'\n';
            self.reader.consume(end);
            if complete {
                self.number += 1;
                return Ok(Some(Line { number: self.number, bytes, cut }));
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(Line { number: self.number, bytes, cut }))
    }
}
