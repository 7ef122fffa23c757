//! Bytes of a mapped file or of our own, cheap to cut and to clone, and a cursor that never reads beyond them.

use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use luthier_files::MappedBytes;

/// Part of a mapped file, or of memory.
#[derive(Clone)]
pub(crate) enum Bytes {
    Mapped(MappedBytes),
    Owned(Arc<[u8]>, Range<usize>),
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes.as_slice(),
            Self::Owned(bytes, range) => &bytes[range.clone()],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// A part of this part; a range beyond it is our own bug and panics.
    pub(crate) fn slice(&self, part: Range<usize>) -> Self {
        match self {
            Self::Mapped(bytes) => Self::Mapped(bytes.slice(part)),
            Self::Owned(bytes, range) => {
                assert!(part.start <= part.end && part.end <= range.len(), "bytes {part:?} of {}", range.len());
                Self::Owned(Arc::clone(bytes), range.start + part.start..range.start + part.end)
            }
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self::Owned(bytes.into(), range)
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// What is wrong with a file; the caller knows which file it is.
pub(crate) type Found<T> = Result<T, String>;

/// A place in bytes that moves on as they are read.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a Bytes,
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a Bytes, at: usize) -> Self {
        Self { bytes, at }
    }

    /// Bytes from here to the end.
    pub(crate) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// Where the next `count` bytes stand, `what` being what they are.
    pub(crate) fn take(&mut self, count: u64, what: impl Display) -> Found<Range<usize>> {
        if count > self.left() {
            let (at, left) = (self.at, self.left());
            return Err(format!(
                "is broken or truncated: {what} should take {count} bytes from byte {at} on, where {left} are left; \
                 copy or fetch it again"
            ));
        }
        let start = self.at;
        // Not above what is left, which is a length in memory.
        self.at += count as usize;
        Ok(start..self.at)
    }

    /// That `count` things of at least `size` bytes each may follow; asked before they are walked over or kept.
    pub(crate) fn expect(&self, count: u64, size: u64, what: impl Display) -> Found<usize> {
        if count > self.left() / size {
            let (at, left) = (self.at, self.left());
            return Err(format!(
                "is broken or truncated: {count} {what} of at least {size} bytes each should follow from byte {at} on, \
                 where {left} bytes are left; copy or fetch it again"
            ));
        }
        Ok(count as usize)
    }

    pub(crate) fn fixed<const N: usize>(&mut self, what: impl Display) -> Found<[u8; N]> {
        let range = self.take(N as u64, what)?;
        Ok(self.bytes.as_slice()[range].try_into().expect("N bytes were taken"))
    }

    pub(crate) fn u32(&mut self, what: impl Display) -> Found<u32> {
        self.fixed(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: impl Display) -> Found<u64> {
        self.fixed(what).map(u64::from_le_bytes)
    }

    /// A length and so many bytes: how GGUF writes a text.
    pub(crate) fn text(&mut self, what: impl Display) -> Found<Range<usize>> {
        let length = self.u64(format_args!("the length of {what}"))?;
        self.take(length, what)
    }

    /// As [`Cursor::text`], which must be UTF-8.
    pub(crate) fn name(&mut self, what: impl Display) -> Found<&'a str> {
        let range = self.text(&what)?;
        let bytes = &self.bytes.as_slice()[range];
        std::str::from_utf8(bytes).map_err(|_| format!("is broken: {what} is not UTF-8: {}", bytes.escape_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_refused_before_anything_is_taken() {
        let bytes = Bytes::from([(1u64 << 60).to_le_bytes().as_slice(), b"abc"].concat());
        let mut cursor = Cursor::new(&bytes, 0);
        let error = cursor.text("a name").unwrap_err();
        assert!(
            error.contains("a name should take 1152921504606846976 bytes from byte 8 on, where 3 are left"),
            "{error}"
        );
        assert!(Cursor::new(&bytes, 8).expect(4, 1, "things").is_err());
        assert_eq!(Cursor::new(&bytes, 8).expect(3, 1, "things"), Ok(3));
    }

    #[test]
    fn parts_of_parts_count_from_their_own_beginning() {
        let bytes = Bytes::from(b"abcdef".to_vec()).slice(1..5).slice(1..3);
        assert_eq!(bytes.as_slice(), b"cd");
    }
}
