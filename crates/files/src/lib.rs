//! Files that appear whole or not at all, their hashes, and files as memory.
//!
//! A writer gets a file beside the target; only when everything is written and synced is it renamed over the target.
//! A full disk or a crash leaves the target as it was.

mod mapping;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use mapping::{MappedBytes, MappedNumbers};

/// Writes a file through `write`; the folder is made if need be.
///
/// # Errors
/// What the system or `write` said; then nothing is left of the attempt.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    write_aside(path, |aside| {
        let mut writer = BufWriter::new(File::create(aside)?);
        write(&mut writer)?;
        writer.flush()
    })
}

/// The same for writers that want a path: `write` must create the file it is given.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_aside(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let aside = aside(path);
    let written = write(&aside).and_then(|()| File::open(&aside)?.sync_all()).and_then(|()| fs::rename(&aside, path));
    match &written {
        Ok(()) => sync_folder_of(path),
        // The attempt failed already; a failure to clean up adds nothing.
        Err(_) => drop(fs::remove_file(&aside)),
    }
    written
}

/// Fills a folder through `write` and renames it to `path`, which must not exist yet.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_folder_aside(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let aside = aside(path);
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::create_dir_all(&aside)?;
    let written = write(&aside).and_then(|()| fs::rename(&aside, path));
    match &written {
        Ok(()) => sync_folder_of(path),
        Err(_) => drop(fs::remove_dir_all(&aside)),
    }
    written
}

/// Makes a rename in the folder of `path` survive a power cut. Some file systems cannot sync a folder; the bytes are on the
/// disk already then, so that is no failure.
fn sync_folder_of(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// `path` with `.tmp` behind its name: a leftover of a killed run is recognised and overwritten.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".tmp");
    path.with_file_name(name)
}

/// SHA-256 of a file's bytes, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("luthier-files-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_beside_it() {
        let folder = folder("failed");
        let path = folder.join("a.txt");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let folder = folder("folder");
        let target = folder.join("step-1");
        write_folder_aside(&target, |_| Err(io::Error::other("no"))).unwrap_err();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        write_folder_aside(&target, |aside| fs::write(aside.join("x"), "1")).unwrap();
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "1");
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
