//! An archive's bytes, gzip member by gzip member.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::super::bytes::{self, Bounds, Bytes, Compression, Counted, Counter, check_inflation};

type Raw = Counted<BufReader<File>>;

/// The inflated bytes of the current member, or of the whole file where it has none.
pub(super) struct Stream {
    state: State,
    /// Bytes that were read too far.
    pushed: Vec<u8>,
    pushed_at: usize,
    /// Inflated bytes given out, of a plain file: its offset.
    given: u64,
    bounds: Bounds,
}

enum State {
    Plain(Bytes),
    Gzip(Box<Gzip>),
}

struct Gzip {
    member: Member,
    counter: Counter,
    /// Where the reading of `counter` began.
    base: u64,
    /// Where the current member begins.
    start: u64,
    inflated: u64,
}

enum Member {
    Open(Box<BufReader<GzDecoder<Raw>>>),
    Between(Raw),
    Ended,
}

impl Stream {
    pub(super) fn open(path: &Path, bounds: Bounds) -> io::Result<Self> {
        let mut first = [0; 4];
        let count = File::open(path)?.take(4).read(&mut first)?;
        let state = if Compression::of(&first[..count]) == Compression::Gzip {
            State::Gzip(Box::new(Gzip::at(File::open(path)?, 0)?))
        } else {
            State::Plain(bytes::open(path, &bounds)?.0)
        };
        Ok(Stream { state, pushed: Vec::new(), pushed_at: 0, given: 0, bounds })
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        match &self.state {
            State::Plain(_) => self.given,
            State::Gzip(gzip) => gzip.start,
        }
    }

    /// Passes empty lines and opens the next member where one is due; `false` at the file's end.
    pub(super) fn begin(&mut self) -> io::Result<bool> {
        loop {
            let buffered = self.fill_buf()?;
            let blank = buffered.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            if blank < buffered.len() {
                self.consume(blank);
                return Ok(true);
            }
            self.consume(blank);
            if blank == 0 {
                let more = match &mut self.state {
                    State::Plain(_) => false,
                    State::Gzip(gzip) => gzip.next_member()?,
                };
                if !more {
                    return Ok(false);
                }
            }
        }
    }

    /// The next `count` bytes without taking them; fewer only where the member or the file ends.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.pushed.len() - self.pushed_at < count {
            if self.pushed_at == self.pushed.len() {
                self.pushed.clear();
                self.pushed_at = 0;
            }
            let buffered = Self::fill(&mut self.state, &self.bounds)?;
            if buffered.is_empty() {
                break;
            }
            if self.pushed.is_empty() && buffered.len() >= count {
                return Self::fill(&mut self.state, &self.bounds);
            }
            let length = buffered.len();
            self.pushed.extend_from_slice(buffered);
            Self::take(&mut self.state, length);
        }
        Ok(&self.pushed[self.pushed_at..])
    }

    fn fill<'s>(state: &'s mut State, bounds: &Bounds) -> io::Result<&'s [u8]> {
        match state {
            State::Plain(bytes) => bytes.fill_buf(),
            State::Gzip(gzip) => gzip.fill_buf(bounds),
        }
    }

    fn take(state: &mut State, count: usize) {
        match state {
            State::Plain(bytes) => bytes.consume(count),
            State::Gzip(gzip) => gzip.consume(count),
        }
    }

    /// Puts bytes back, to be read next.
    pub(super) fn push_back(&mut self, bytes: &[u8]) {
        let rest = self.pushed.split_off(self.pushed_at);
        self.pushed = bytes.to_vec();
        self.pushed.extend(rest);
        self.pushed_at = 0;
        self.given -= bytes.len() as u64;
    }

    /// Leaves a member that does not inflate for the next place where one begins; `false` when there is none, or the file has no
    /// members. Nothing is left to read then.
    pub(super) fn skip_member(&mut self) -> io::Result<bool> {
        self.pushed.clear();
        self.pushed_at = 0;
        match &mut self.state {
            State::Plain(bytes) => {
                *bytes = Box::new(io::empty());
                Ok(false)
            }
            State::Gzip(gzip) => gzip.skip_member(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.pushed_at < self.pushed.len() {
            return Ok(&self.pushed[self.pushed_at..]);
        }
        Self::fill(&mut self.state, &self.bounds)
    }

    fn consume(&mut self, count: usize) {
        self.given += count as u64;
        if self.pushed_at < self.pushed.len() {
            self.pushed_at += count;
        } else {
            Self::take(&mut self.state, count);
        }
    }
}

impl Gzip {
    fn at(mut file: File, start: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        let counter = Counter::default();
        let raw = Counted::new(BufReader::with_capacity(1 << 18, file), counter.clone());
        let member = Member::Between(raw);
        Ok(Gzip { member, counter, base: start, start, inflated: 0 })
    }

    fn position(&self) -> u64 {
        self.base + self.counter.get()
    }

    fn fill_buf(&mut self, bounds: &Bounds) -> io::Result<&[u8]> {
        let compressed = self.base + self.counter.get() - self.start;
        match &mut self.member {
            Member::Open(member) => {
                check_inflation(self.inflated, compressed, bounds)?;
                member.fill_buf()
            }
            Member::Between(_) | Member::Ended => Ok(&[]),
        }
    }

    fn consume(&mut self, count: usize) {
        self.inflated += count as u64;
        if let Member::Open(member) = &mut self.member {
            member.consume(count);
        }
    }

    /// Opens the member that begins where the last one ended.
    fn next_member(&mut self) -> io::Result<bool> {
        let mut raw = match std::mem::replace(&mut self.member, Member::Ended) {
            Member::Open(member) => member.into_inner().into_inner(),
            Member::Between(raw) => raw,
            Member::Ended => return Ok(false),
        };
        self.start = self.position();
        self.inflated = 0;
        let first = raw.fill_buf()?;
        if first.is_empty() {
            return Ok(false);
        }
        if first.iter().all(|b| *b == 0) {
            // Archives copied from tape end in zeros.
            return Ok(false);
        }
        self.member = Member::Open(Box::new(BufReader::with_capacity(1 << 16, GzDecoder::new(raw))));
        Ok(true)
    }

    fn skip_member(&mut self) -> io::Result<bool> {
        let raw = match std::mem::replace(&mut self.member, Member::Ended) {
            Member::Open(member) => member.into_inner().into_inner(),
            Member::Between(raw) => raw,
            Member::Ended => return Ok(false),
        };
        let mut file = raw.into_inner().into_inner();
        let from = self.start + 1;
        let Some(at) = find_member(&mut file, from)? else { return Ok(false) };
        *self = Gzip::at(file, at)?;
        Ok(true)
    }
}

/// The next place where a gzip member begins that inflates to the beginning of a record.
fn find_member(file: &mut File, mut from: u64) -> io::Result<Option<u64>> {
    const STRETCH: usize = 1 << 20;
    loop {
        file.seek(SeekFrom::Start(from))?;
        let mut stretch = Vec::new();
        file.by_ref().take(STRETCH as u64).read_to_end(&mut stretch)?;
        for at in memchr::memmem::find_iter(&stretch, b"\x1F\x8B\x08") {
            let here = from + at as u64;
            file.seek(SeekFrom::Start(here))?;
            let mut first = [0; 64];
            let mut member = GzDecoder::new(BufReader::with_capacity(1 << 12, file.by_ref()));
            if let Ok(count) = member.read(&mut first)
                && super::head::opens_record(&first[..count])
            {
                return Ok(Some(here));
            }
        }
        if stretch.len() < STRETCH {
            return Ok(None);
        }
        // A magic number may lie over the stretch's end.
        from += (STRETCH - 2) as u64;
    }
}
