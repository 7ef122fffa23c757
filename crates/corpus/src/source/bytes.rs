//! A file's bytes: decompressed where its first bytes say so, with a bound on how far a small file may inflate.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::fault::SourceFaultKind;

/// How far a source may go. Beyond a bound stands a fault, never an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest record in bytes.
    pub record: u64,
    /// How many times longer than its compressed form a file may become, once `free` bytes have come out.
    pub inflation: u64,
    /// Bytes that may come out of a compressed file whatever the ratio.
    pub free: u64,
}

impl Default for Bounds {
    /// Records of 64 MiB; two hundred times, from 64 MiB on. Text compresses by three to ten, logs by some dozens.
    fn default() -> Self {
        Bounds { record: 64 << 20, inflation: 200, free: 64 << 20 }
    }
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, in one member or several.
    Gzip,
    /// Zstandard, in one frame or several.
    Zstd,
    /// bzip2, in one stream or several.
    Bzip2,
}

impl Compression {
    /// What the first bytes of a file say.
    #[must_use]
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1F, 0x8B, ..] => Compression::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }
}

/// Bytes that were read from a file, for the ratio and for offsets.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts what is consumed, not what is read ahead.
pub(super) struct Counted<R> {
    inner: R,
    counter: Counter,
}

impl<R> Counted<R> {
    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    pub(super) fn new(inner: R, counter: Counter) -> Self {
        Counted { inner, counter }
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.counter.0.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.counter.0.fetch_add(count as u64, Relaxed);
        self.inner.consume(count);
    }
}

/// The decompressed bytes of a file.
pub(super) type Bytes = Box<dyn BufRead + Send>;

/// Opens a file and decompresses what is compressed.
pub(super) fn open(path: &Path, bounds: &Bounds) -> io::Result<(Bytes, Compression)> {
    let counter = Counter::default();
    let mut file = Counted::new(BufReader::with_capacity(1 << 18, File::open(path)?), counter.clone());
    let compression = Compression::of(file.fill_buf()?);
    let inner: Box<dyn Read + Send> = match compression {
        Compression::None => return Ok((Box::new(file), compression)),
        Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(file)),
        Compression::Zstd => Box::new(Frames::new(file)),
    };
    let guarded = Guarded { inner, out: 0, counter, bounds: *bounds };
    Ok((Box::new(BufReader::with_capacity(1 << 18, guarded)), compression))
}

/// Stops a stream that inflates beyond its bounds.
struct Guarded {
    inner: Box<dyn Read + Send>,
    out: u64,
    counter: Counter,
    bounds: Bounds,
}

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.out += count as u64;
        check_inflation(self.out, self.counter.get(), &self.bounds)?;
        Ok(count)
    }
}

/// Whether so many bytes may have come out of so many.
pub(super) fn check_inflation(inflated: u64, compressed: u64, bounds: &Bounds) -> io::Result<()> {
    if inflated > bounds.free && inflated > compressed.saturating_mul(bounds.inflation) {
        return Err(io::Error::other(Inflated { inflated, compressed }));
    }
    Ok(())
}

/// Carried through the readers above as an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("{compressed} bytes have inflated to {inflated} and more")]
struct Inflated {
    inflated: u64,
    compressed: u64,
}

/// The fault that an error of reading stands for.
pub(super) fn fault_of(error: &io::Error) -> SourceFaultKind {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Inflated>()) {
        Some(Inflated { inflated, compressed }) => {
            SourceFaultKind::Inflates { inflated: *inflated, compressed: *compressed }
        }
        None => SourceFaultKind::BreaksOff(error.to_string()),
    }
}

/// The frames of a Zstandard file, one behind another.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Frames { source, decoder: FrameDecoder::new(), within: false }
    }

    /// Begins the next frame; `false` at the file's end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.within {
                self.within = self.begin()?;
                if !self.within {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let blocks = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, blocks).map_err(|error| broken(&error))?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let stated = self.decoder.get_checksum_from_data();
            if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a Zstandard frame has another checksum"));
            }
            self.within = false;
        }
        Ok(0)
    }
}

fn broken(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("broken Zstandard frame: {error}"))
}
