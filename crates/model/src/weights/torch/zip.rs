//! The zip archive that `torch.save` writes since 1.6 (PKWARE's APPNOTE): files stored as they are, so that a storage can be
//! used where it lies. Only the directory at the archive's end is read, and a file's own header when it is asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::ModelError;

/// Bytes of the record with which an archive ends, without the comment behind it.
const END: usize = 22;
const END_MARK: &[u8] = b"PK\x05\x06";
/// Bytes of a comment at most.
const LONGEST_COMMENT: usize = 0xFFFF;
/// A record of twenty bytes before the end, which says where the end record of large archives lies.
const LOCATOR: usize = 20;
const LOCATOR_MARK: &[u8] = b"PK\x06\x07";
/// Bytes of the end record of large archives that are read.
const LARGE_END: usize = 56;
const LARGE_END_MARK: &[u8] = b"PK\x06\x06";
/// Bytes of a directory's entry before its name.
const ENTRY: usize = 46;
const ENTRY_MARK: &[u8] = b"PK\x01\x02";
/// Bytes of a file's own header before its name.
const HEADER: usize = 30;
const HEADER_MARK: &[u8] = b"PK\x03\x04";
/// Stands where a number did not fit and lies in the extra field of large archives.
const ELSEWHERE: u32 = u32::MAX;
/// The kind of that extra field.
const LARGE_EXTRA: u16 = 1;

/// A directory above this is refused: its storages would be more than any model has tensors.
const LARGEST_DIRECTORY: u64 = 100_000_000;

/// The one folder of an archive.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    /// Where the directory begins; all files lie before it.
    directory: u64,
    /// By name inside the folder.
    entries: HashMap<Box<str>, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    header: u64,
    size: u64,
    is_plain: bool,
}

impl Archive {
    /// Reads the directory; the folder is the one that `data.pkl` lies in.
    ///
    /// # Errors
    /// When the archive is cut off or damaged, or no file of torch.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::read(path))?;
        let mut archive = Self { path: path.to_owned(), file, directory: 0, entries: HashMap::new() };
        let bytes = archive.read_directory()?;
        let entries: Option<Vec<_>> = Entries(&bytes).collect();
        let entries = entries.ok_or_else(|| archive.damaged("its zip directory"))?;
        let folder =
            entries.iter().find_map(|(name, _)| name.strip_suffix("data.pkl").filter(|folder| is_folder(folder)));
        let folder = folder.ok_or_else(|| {
            archive.broken("is a zip archive without data.pkl, so it is nothing that torch.save wrote".to_owned())
        })?;
        for (name, entry) in &entries {
            let Some(inside) = name.strip_prefix(folder) else { continue };
            if archive.entries.insert(inside.into(), *entry).is_some() {
                return Err(archive.broken(format!("its zip directory lists \"{name}\" twice")));
            }
        }
        Ok(archive)
    }

    /// Where the bytes of a file of the folder lie; `None` when it is not there.
    ///
    /// # Errors
    /// When it is compressed, or does not lie where the directory says.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<Range<u64>>, ModelError> {
        let Some(&Entry { header, size, is_plain }) = self.entries.get(name) else { return Ok(None) };
        if !is_plain {
            let why = format!(
                "\"{name}\" in it is compressed or encrypted, which torch.save never does; unpack and zip it \
                               anew without compression"
            );
            return Err(self.broken(why));
        }
        let what = format!("\"{name}\" in it");
        if header.checked_add(HEADER as u64).is_none_or(|end| end > self.directory) {
            return Err(self.damaged(&what));
        }
        let own = self.read::<HEADER>(header)?;
        let start = header + (HEADER + usize::from(u16_at(&own, 26)) + usize::from(u16_at(&own, 28))) as u64;
        match start.checked_add(size) {
            Some(end) if own.starts_with(HEADER_MARK) && end <= self.directory => Ok(Some(start..end)),
            _ => Err(self.damaged(&what)),
        }
    }

    /// The first bytes of a file of the folder, if it is there.
    ///
    /// # Errors
    /// As [`Archive::find`].
    pub(super) fn beginning(&mut self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        let Some(range) = self.find(name)? else { return Ok(None) };
        let mut bytes = vec![0; (range.end - range.start).min(16) as usize];
        self.read_at(range.start, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The directory's bytes; notes where it begins.
    fn read_directory(&mut self) -> Result<Vec<u8>, ModelError> {
        let length = self.file.metadata().map_err(ModelError::read(&self.path))?.len();
        let mut tail = vec![0; length.min((END + LONGEST_COMMENT) as u64) as usize];
        let tail_start = length - tail.len() as u64;
        self.read_at(tail_start, &mut tail)?;
        let is_end = |&at: &usize| {
            tail[at..].starts_with(END_MARK) && at + END + usize::from(u16_at(&tail, at + 20)) <= tail.len()
        };
        let Some(at) = (0..(tail.len() + 1).saturating_sub(END)).rev().find(is_end) else {
            let why = "is truncated: the directory at a zip archive's end is missing; copy or fetch it again";
            return Err(self.broken(why.to_owned()));
        };
        let end = tail_start + at as u64;
        let (mut size, mut start) = (u64::from(u32_at(&tail, at + 12)), u64::from(u32_at(&tail, at + 16)));
        if at >= LOCATOR && tail[at - LOCATOR..].starts_with(LOCATOR_MARK) {
            let large_end = u64_at(&tail, at - LOCATOR + 8);
            if large_end.checked_add(LARGE_END as u64).is_none_or(|behind| behind > end) {
                return Err(self.damaged("its zip directory"));
            }
            let record = self.read::<LARGE_END>(large_end)?;
            if !record.starts_with(LARGE_END_MARK) {
                return Err(self.damaged("its zip directory"));
            }
            (size, start) = (u64_at(&record, 40), u64_at(&record, 48));
        }
        if size > LARGEST_DIRECTORY || start.checked_add(size).is_none_or(|behind| behind > end) {
            return Err(self.damaged("its zip directory"));
        }
        self.directory = start;
        let mut bytes = vec![0; size as usize];
        self.read_at(start, &mut bytes)?;
        Ok(bytes)
    }

    fn read<const N: usize>(&mut self, at: u64) -> Result<[u8; N], ModelError> {
        let mut bytes = [0; N];
        self.read_at(at, &mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), ModelError> {
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(bytes));
        read.map_err(ModelError::read(&self.path))
    }

    fn broken(&self, why: String) -> ModelError {
        ModelError::broken(&self.path, why)
    }

    fn damaged(&self, what: &str) -> ModelError {
        self.broken(format!("{what} is damaged or cut off; copy or fetch it again"))
    }
}

/// `NAME/`, one folder deep.
fn is_folder(folder: &str) -> bool {
    folder.strip_suffix('/').is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// The entries of a directory one after another; `None` for one that is damaged, and then no more.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Option<(&'a str, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let entry = first_entry(bytes);
        Some(entry.map(|(name, entry, rest)| {
            self.0 = rest;
            (name, entry)
        }))
    }
}

fn first_entry(bytes: &[u8]) -> Option<(&str, Entry, &[u8])> {
    let (fixed, rest) = bytes.split_at_checked(ENTRY)?;
    let (name, rest) = rest.split_at_checked(u16_at(fixed, 28).into())?;
    let (extra, rest) = rest.split_at_checked(u16_at(fixed, 30).into())?;
    let (_comment, rest) = rest.split_at_checked(u16_at(fixed, 32).into())?;
    let mut large = large_numbers(extra);
    let mut number = |at| match u32_at(fixed, at) {
        ELSEWHERE => large.next(),
        number => Some(number.into()),
    };
    // In this order the numbers lie in the extra field too.
    let (size, packed, header) = (number(24)?, number(20)?, number(42)?);
    let (flags, method) = (u16_at(fixed, 8), u16_at(fixed, 10));
    let entry = Entry { header, size, is_plain: method == 0 && flags & 1 == 0 && packed == size };
    fixed.starts_with(ENTRY_MARK).then_some((std::str::from_utf8(name).ok()?, entry, rest))
}

/// The numbers in the extra field of large archives, or none.
fn large_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, rest)) = rest.split_at_checked(u16_at(head, 2).into()) else { break };
        if u16_at(head, 0) == LARGE_EXTRA {
            found = field;
            break;
        }
        extra = rest;
    }
    found.as_chunks().0.iter().map(|&eight| u64::from_le_bytes(eight))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range is N long")
}
