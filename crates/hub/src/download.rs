//! One file into the cache: it grows beside its place, goes on where it broke off, is checked, and takes its place by a rename.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache::RepoCache;
use crate::client::{Client, Remote};
use crate::error::HubError;
use crate::name::RepoName;

/// How often a download that makes no progress is tried.
const ATTEMPTS: usize = 5;

/// Digits of a SHA-256.
const SHA256_LEN: usize = 64;

/// A file on its way.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a RepoCache,
    pub(crate) repo: &'a RepoName,
    pub(crate) remote: &'a Remote,
    /// How long to wait before the second attempt.
    pub(crate) patience: Duration,
}

impl Download<'_> {
    /// Fetches the file unless its bytes are there already. `received` hears how many there are.
    pub(crate) fn run(&self, received: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let blob = self.cache.blob(&self.remote.etag);
        if blob.is_file() {
            return Ok(());
        }
        let _lock = self.cache.lock(&self.remote.etag);
        // Another process may have fetched it meanwhile.
        if blob.is_file() {
            return Ok(());
        }
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(HubError::write(folder))?;
        }
        let part = PathBuf::from(format!("{}.incomplete", blob.display()));
        let resumed = length(&part) > 0;
        self.fetch(&part, received)?;
        if let Err(why) = self.check(&part)? {
            fs::remove_file(&part).map_err(HubError::write(&part))?;
            if !resumed {
                return Err(self.damaged(why));
            }
            // What was there before may have been the fault.
            self.fetch(&part, received)?;
            if let Err(why) = self.check(&part)? {
                fs::remove_file(&part).map_err(HubError::write(&part))?;
                return Err(self.damaged(why));
            }
        }
        fs::rename(&part, &blob).map_err(HubError::write(&blob))
    }

    /// Lets the file grow to its end, again and again as long as it grows.
    fn fetch(&self, part: &Path, received: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let (mut attempts, mut wait, mut before) = (1, self.patience, length(part));
        loop {
            match self.transfer(part, received) {
                Err(error) if error.may_pass() => {
                    let now = length(part);
                    if now > before {
                        (attempts, wait) = (0, self.patience);
                    }
                    if attempts == ATTEMPTS {
                        return Err(error);
                    }
                    (attempts, before) = (attempts + 1, now);
                    std::thread::sleep(wait);
                    wait *= 4;
                }
                done => return done,
            }
        }
    }

    /// Asks once for what is not there yet.
    fn transfer(&self, part: &Path, received: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(HubError::write(part))?;
        let mut at = length(part);
        if self.remote.size.is_some_and(|size| at > size) {
            at = cut(&file, part, 0)?;
        }
        if self.remote.size == Some(at) {
            return Ok(());
        }
        let piece = match self.client.open(self.repo, self.remote, at)? {
            Some(piece) => Some(piece),
            None => {
                at = cut(&file, part, 0)?;
                self.client.open(self.repo, self.remote, 0)?
            }
        };
        let mut piece = piece.ok_or_else(|| self.damaged("the server has no byte of it".to_owned()))?;
        if piece.start < at {
            at = cut(&file, part, piece.start)?;
        }
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = piece.body.read(&mut buffer).map_err(|error| self.broke_off(&error.to_string()))?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count]).map_err(HubError::write(part))?;
            at += count as u64;
            if let Some(size) = self.remote.size.filter(|size| at > *size) {
                cut(&file, part, 0)?;
                return Err(self.damaged(format!("it is longer than the {size} bytes it should have")));
            }
            received(at);
        }
        if let Some(size) = self.remote.size.filter(|size| at < *size) {
            return Err(self.broke_off(&format!("it ended after {at} of {size} bytes")));
        }
        file.sync_all().map_err(HubError::write(part))
    }

    /// Whether the bytes are those of the hash, where that is a hash of the bytes alone.
    fn check(&self, part: &Path) -> Result<Result<(), String>, HubError> {
        let etag = &self.remote.etag;
        if etag.len() != SHA256_LEN || !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Ok(()));
        }
        let hash = luthier_files::sha256_of_file(part).map_err(HubError::read(part))?;
        if hash.eq_ignore_ascii_case(etag) {
            Ok(Ok(()))
        } else {
            Ok(Err(format!("its SHA-256 is {hash}, it should be {etag}")))
        }
    }

    fn broke_off(&self, why: &str) -> HubError {
        HubError::Unreachable { host: self.client.host(), why: format!("{}: {why}", self.remote.file) }
    }

    fn damaged(&self, why: String) -> HubError {
        HubError::Damaged { repo: self.repo.id().to_owned(), file: self.remote.file.clone(), why }
    }
}

/// Bytes of a file; none where there is no such file.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Keeps the first bytes of a file.
fn cut(file: &File, path: &Path, to: u64) -> Result<u64, HubError> {
    file.set_len(to).map_err(HubError::write(path))?;
    Ok(to)
}
