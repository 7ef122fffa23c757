//! Files that appear whole or not at all.
//!
//! The bytes go to a temporary file in the same folder, are synced to the disk, and only then take the file's name. A reader
//! never sees half a file, and a write that fails (a full disk) leaves what stood there before.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file could not be written; nothing of it is left behind, and what stood under its name is untouched.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {cause}{}", path.display(), advice(cause))]
pub struct WriteError {
    /// The file that was to be written.
    pub path: PathBuf,
    /// What the system answered.
    #[source]
    pub cause: io::Error,
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and run the same command again",
        io::ErrorKind::PermissionDenied => "; check the folder's permissions",
        io::ErrorKind::NotFound => "; its folder does not exist",
        _ => "",
    }
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes `path` through `write`, whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// # Errors
/// [`WriteError`] with the path and the cause, from `write` itself or from the file system; the temporary file is removed.
pub fn write_atomically<F>(path: impl AsRef<Path>, write: F) -> Result<(), WriteError>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    let path = path.as_ref();
    let temporary = temporary_beside(path);
    let written = write_and_sync(&temporary, write).and_then(|()| fs::rename(&temporary, path));
    if let Err(cause) = written {
        // The first error is the one to tell; a temporary file that cannot be removed either adds nothing to it.
        let _ = fs::remove_file(&temporary);
        return Err(WriteError { path: path.to_path_buf(), cause });
    }
    sync_folder(path);
    Ok(())
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{count}.tmp", std::process::id()))
}

fn write_and_sync<F>(temporary: &Path, write: F) -> io::Result<()>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    let mut writer = BufWriter::with_capacity(1 << 18, File::create(temporary)?);
    write(&mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all()
}

/// Makes the rename itself durable. Some file systems cannot sync a folder; the data is already on the disk then.
fn sync_folder(path: &Path) {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |w| {
            w.write_all(b"new and only half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file must be gone");
        let text = error.to_string();
        assert!(text.contains("ledger.jsonl") && text.contains("free some space"), "{text}");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write_atomically("/no/such/folder/file.json", |w| w.write_all(b"x")).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/file.json"));
        assert!(error.to_string().contains("folder does not exist"));
    }
}
