//! The archive that pages are collected into: a WARC (ISO 28500), a gzip member for each record, that only grows.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::date;
use crate::document::Position;
use crate::error::CorpusError;
use crate::fault::SourceFaultKind;
use crate::source::{ArchiveRecord, Archives, Bounds};

/// An archive that is open to be added to, by one process at a time.
pub(super) struct Archive {
    path: PathBuf,
    file: File,
}

impl Archive {
    /// Opens an archive, or begins one with `about` it, and gives each record that is in it. What a process that was killed left half
    /// written at its end is cut off.
    pub(super) fn open(
        path: &Path,
        about: &str,
        bounds: Bounds,
        each: &mut dyn FnMut(ArchiveRecord),
    ) -> Result<Self, CorpusError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(CorpusError::write(folder))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(CorpusError::write(path))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let taken = io::Error::new(io::ErrorKind::WouldBlock, "another process is collecting into it");
            return Err(CorpusError::write(path)(taken));
        }
        let mut archive = Archive { path: path.to_owned(), file };
        let (mut whole, mut broken) = (0, None);
        if std::fs::metadata(path).map_err(CorpusError::read(path))?.len() > 0 {
            for record in Archives::open(path, bounds)? {
                match record {
                    Ok(record) => {
                        (whole, broken) = (whole + 1, None);
                        each(record);
                    }
                    // A record behind it shows that it is no end that was cut off, and one that is only too long is whole.
                    Err(fault) => match (fault.position, &fault.kind) {
                        (_, SourceFaultKind::TooLong { .. }) => (whole, broken) = (whole + 1, None),
                        (Position::Offset(offset), _) => broken = broken.or(Some(offset)),
                        _ => {}
                    },
                }
            }
        }
        if whole == 0 {
            broken = Some(0);
        }
        if let Some(offset) = broken {
            archive.file.set_len(offset).map_err(CorpusError::write(path))?;
        }
        if whole == 0 {
            archive.append("warcinfo", None, "application/warc-fields", about.as_bytes())?;
        }
        Ok(archive)
    }

    /// Appends a record of a kind, about an address, that is made now.
    pub(super) fn append(
        &mut self,
        kind: &str,
        url: Option<&str>,
        content: &str,
        block: &[u8],
    ) -> Result<(), CorpusError> {
        let date = date::of_warc(SystemTime::now());
        let digest = luthier_files::sha256(block);
        let id = luthier_files::sha256(format!("{kind} {} {date} {digest}", url.unwrap_or_default()).as_bytes());
        let target = url.map_or(String::new(), |url| format!("WARC-Target-URI: {url}\r\n"));
        let head = format!(
            "WARC/1.1\r\nWARC-Type: {kind}\r\n{target}WARC-Date: {date}\r\nWARC-Record-ID: <urn:uuid:{}-{}-{}-{}-{}>\r\n\
             WARC-Block-Digest: sha256:{digest}\r\nContent-Type: {content}\r\nContent-Length: {}\r\n\r\n",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..32],
            block.len()
        );
        let member = || -> io::Result<Vec<u8>> {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(head.as_bytes())?;
            encoder.write_all(block)?;
            encoder.write_all(b"\r\n\r\n")?;
            encoder.finish()
        };
        let member = member().map_err(CorpusError::write(&self.path))?;
        self.append_member(&member)
    }

    /// Appends a record that is a gzip member already, as it is: in one write, so that a process that is killed leaves at most its
    /// last record unfinished.
    pub(super) fn append_member(&mut self, member: &[u8]) -> Result<(), CorpusError> {
        self.file.write_all(member).map_err(CorpusError::write(&self.path))
    }
}
