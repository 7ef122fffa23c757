//! Archives of the web: WARC (ISO 28500) with its WET and WAT, and ARC 1.0, compressed a record at a time, whole, or not at all.
//!
//! [`Archives`] gives the records of a file. Where a record is damaged (a member that does not inflate, a `Content-Length` that is not
//! the block's, no header where one is due) it is a fault, and reading goes on with the next record that can be found: the next gzip
//! member, or the next line that opens a record. [`Pages`] makes documents of the records that hold text.

mod head;
mod http;
mod pages;
mod stream;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::GzDecoder;

pub use head::{Headers, RecordKind};
pub use http::HttpResponse;
pub(super) use pages::Pages;

use super::Bounds;
use super::bytes::fault_of;
use crate::document::Position;
use crate::error::CorpusError;
use crate::fault::{SourceFault, SourceFaultKind};
use head::{Head, Opening};
use stream::Stream;

/// A record of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRecord {
    /// What it is.
    pub kind: RecordKind,
    /// Its headers; those of an ARC record under the names that WARC gives them.
    pub headers: Headers,
    /// Its block: of a response, head and body.
    pub block: Vec<u8>,
    /// Where it begins: the byte of the file, or of the compressed file at which its gzip member begins.
    pub offset: u64,
}

impl ArchiveRecord {
    /// The record that a gzip member holds: one WARC record, whole, and nothing behind it.
    ///
    /// # Errors
    /// When the bytes are no such member, or inflate to more than `limit` bytes.
    pub fn of_member(member: &[u8], limit: u64) -> Result<Self, SourceFaultKind> {
        let (mut rest, mut inflated) = (member, Vec::new());
        let read = GzDecoder::new(&mut rest).take(limit.saturating_add(1)).read_to_end(&mut inflated);
        if inflated.len() as u64 > limit {
            return Err(SourceFaultKind::TooLong { limit });
        }
        read.map_err(|error| SourceFaultKind::Record(format!("it is no whole gzip member: {error}")))?;
        let wrong = |why: String| Err(SourceFaultKind::Record(why));
        if !rest.is_empty() {
            return wrong(format!("{} bytes follow the gzip member", rest.len()));
        }
        let mut block = inflated.as_slice();
        let Some(Head { kind, headers, length, .. }) = head::of_bytes(&mut block) else {
            return wrong("the gzip member holds no WARC record".to_owned());
        };
        let length = length.map_err(SourceFaultKind::Record)?;
        let Some((block, end)) = usize::try_from(length).ok().and_then(|length| block.split_at_checked(length)) else {
            return wrong(format!("its Content-Length is {length}, but only {} bytes follow", block.len()));
        };
        if !end.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return wrong(format!("it goes on behind its Content-Length {length}"));
        }
        Ok(ArchiveRecord { kind, headers, block: block.to_vec(), offset: 0 })
    }

    /// The address it is about.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        // wget wrote the address in angle brackets for years.
        self.headers.get("WARC-Target-URI").map(|url| url.trim_start_matches('<').trim_end_matches('>'))
    }
}

/// The records of one archive, in order, and the faults among them.
pub struct Archives {
    file: Arc<Path>,
    stream: Stream,
    bounds: Bounds,
    ended: bool,
}

impl Archives {
    /// Opens an archive; how it is compressed is seen from its first bytes.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, CorpusError> {
        let stream = Stream::open(path, bounds).map_err(CorpusError::read(path))?;
        Ok(Archives { file: path.into(), stream, bounds, ended: false })
    }

    fn fault(&self, offset: u64, url: Option<&str>, kind: SourceFaultKind) -> SourceFault {
        SourceFault { file: self.file.clone(), position: Position::Offset(offset), url: url.map(str::to_owned), kind }
    }

    fn record(&mut self) -> Option<Result<ArchiveRecord, SourceFault>> {
        loop {
            match self.stream.begin() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(self.broken_stream(self.stream.offset(), None, &error))),
            }
            let offset = self.stream.offset();
            let head = match head::read(&mut self.stream) {
                Ok(Opening::Record(head)) => head,
                Ok(Opening::Nothing) => continue,
                Ok(Opening::Other(line)) => {
                    let (skipped, error) = self.resynchronise();
                    if let Some(error) = error {
                        return Some(Err(self.broken_stream(offset, None, &error)));
                    }
                    let why = format!("no record begins here ({line:?}); {skipped} bytes skipped to the next one");
                    return Some(Err(self.fault(offset, None, SourceFaultKind::Record(why))));
                }
                Err(error) => return Some(Err(self.broken_stream(offset, None, &error))),
            };
            return Some(self.block(offset, head));
        }
    }

    fn block(&mut self, offset: u64, head: Head) -> Result<ArchiveRecord, SourceFault> {
        let Head { kind, headers, length, converted } = head;
        let mut record = ArchiveRecord { kind, headers, block: Vec::new(), offset };
        let length = match length {
            Ok(length) => length,
            Err(why) => {
                let error = self.resynchronise().1;
                let kind = error.map_or(SourceFaultKind::Record(why), |error| fault_of(&error));
                return Err(self.fault(offset, record.url(), kind));
            }
        };
        let limit = self.bounds.record;
        let read = (&mut self.stream).take(length.min(limit)).read_to_end(&mut record.block);
        let read = read.and_then(|_| match length.checked_sub(limit) {
            Some(rest) if rest > 0 => io::copy(&mut (&mut self.stream).take(rest), &mut io::sink()).map(|_| ()),
            _ => Ok(()),
        });
        if let Err(error) = read {
            return Err(self.broken_stream(offset, record.url(), &error));
        }
        if length > limit {
            return Err(self.fault(offset, record.url(), SourceFaultKind::TooLong { limit }));
        }
        let found = record.block.len() as u64;
        match self.ends_here() {
            Ok(_) if converted && head::next_record_in(&record.block).is_some() => self.converted(record),
            Ok(true) if found == length => Ok(record),
            Ok(_) if converted => self.converted(record),
            Ok(_) => {
                // The length is wrong. Where it is too great, the block holds the next records.
                let why = if let Some(inside) = head::next_record_in(&record.block) {
                    self.stream.push_back(&record.block[inside..]);
                    format!("its Content-Length {length} reaches into the next record; it has {inside} bytes at most")
                } else if found < length {
                    format!("its Content-Length is {length}, but only {found} bytes follow; it was cut short")
                } else {
                    let (skipped, error) = self.resynchronise();
                    if let Some(error) = error {
                        return Err(self.broken_stream(offset, record.url(), &error));
                    }
                    format!("it goes on for {skipped} bytes behind its Content-Length {length}")
                };
                Err(self.fault(offset, record.url(), SourceFaultKind::Record(why)))
            }
            Err(error) => Err(self.broken_stream(offset, record.url(), &error)),
        }
    }

    /// A record whose length does not hold, because the archive's line ends were converted: it goes to where the next one begins.
    fn converted(&mut self, mut record: ArchiveRecord) -> Result<ArchiveRecord, SourceFault> {
        let limit = self.bounds.record;
        if let Some(inside) = head::next_record_in(&record.block) {
            self.stream.push_back(&record.block[inside..]);
            record.block.truncate(inside);
        } else {
            let room = limit.saturating_sub(record.block.len() as u64);
            let (passed, error) = self.pass(&mut record.block, usize::try_from(room).unwrap_or(usize::MAX));
            if let Some(error) = error {
                return Err(self.broken_stream(record.offset, record.url(), &error));
            }
            if passed > room {
                return Err(self.fault(record.offset, record.url(), SourceFaultKind::TooLong { limit }));
            }
        }
        let end = record.block.trim_ascii_end().len();
        record.block.truncate(end);
        Ok(record)
    }

    /// Whether what follows is the end of a record: an empty line, another record, or nothing.
    fn ends_here(&mut self) -> io::Result<bool> {
        let next = self.stream.peek(head::LOOK)?;
        Ok(match next {
            [] | [b'\r' | b'\n', ..] => true,
            other => head::opens_record(other),
        })
    }

    /// Skips to the next line that opens a record, or to the end of the member or file.
    fn resynchronise(&mut self) -> (u64, Option<io::Error>) {
        self.pass(&mut Vec::new(), 0)
    }

    /// The same, of which the first `room` bytes are kept.
    fn pass(&mut self, kept: &mut Vec<u8>, room: usize) -> (u64, Option<io::Error>) {
        let mut passed = 0;
        let most = kept.len() + room;
        loop {
            match self.stream.peek(head::LOOK) {
                Ok([]) => return (passed, None),
                Ok(next) if head::opens_record(next) => return (passed, None),
                Ok(_) => {}
                Err(error) => return (passed, Some(error)),
            }
            let room = most - kept.len();
            match head::pass_line(&mut self.stream, kept, room) {
                Ok(count) => passed += count,
                Err(error) => return (passed, Some(error)),
            }
        }
    }

    /// A member that does not inflate, or a file that cannot be read: the next member is looked for.
    fn broken_stream(&mut self, offset: u64, url: Option<&str>, error: &io::Error) -> SourceFault {
        let mut kind = fault_of(error);
        match self.stream.skip_member() {
            Ok(true) => {
                if let SourceFaultKind::BreaksOff(why) = kind {
                    kind = SourceFaultKind::Record(format!("its gzip member is damaged: {why}"));
                }
            }
            Ok(false) => {}
            Err(error) => kind = fault_of(&error),
        }
        self.fault(offset, url, kind)
    }
}

impl Iterator for Archives {
    type Item = Result<ArchiveRecord, SourceFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.record();
        self.ended = record.is_none();
        record
    }
}
