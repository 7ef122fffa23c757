//! Rows and documents as JSON Lines, written aside and renamed, so that a file is whole or absent.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::devices::DeviceRow;
use crate::error::CorpusError;

/// One document as a line of JSON: `{"text": ...}`.
#[derive(Debug, Serialize)]
struct Document {
    text: String,
}

/// Writes rows as `{"instruction", "input", "output"}`, one a line; gives their number.
///
/// A file already at `path` is replaced whole.
///
/// # Errors
/// [`CorpusError::Write`] with the path and the system's reason.
pub fn write_rows(path: &Path, rows: impl Iterator<Item = DeviceRow>) -> Result<usize, CorpusError> {
    write_json_lines(path, rows)
}

/// Writes documents as `{"text"}`, one a line; gives their number.
///
/// A file already at `path` is replaced whole.
///
/// # Errors
/// [`CorpusError::Write`] with the path and the system's reason.
pub fn write_text(path: &Path, documents: impl Iterator<Item = String>) -> Result<usize, CorpusError> {
    write_json_lines(path, documents.map(|text| Document { text }))
}

/// Writes each item as one line of JSON to a file beside `path`, syncs it and renames it to `path`.
/// On an error the file beside is removed again.
fn write_json_lines<T: Serialize>(path: &Path, items: impl Iterator<Item = T>) -> Result<usize, CorpusError> {
    let aside = beside(path);
    let written = write_aside(&aside, items).and_then(|count| std::fs::rename(&aside, path).map(|()| count));
    written.map_err(|source| {
        // The first error is the one to report; a leftover that cannot be removed adds nothing to it.
        let _ = std::fs::remove_file(&aside);
        CorpusError::Write { path: path.to_owned(), source }
    })
}

fn write_aside<T: Serialize>(path: &Path, items: impl Iterator<Item = T>) -> io::Result<usize> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut count = 0;
    for item in items {
        serde_json::to_writer(&mut out, &item)?;
        out.write_all(b"\n")?;
        count += 1;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}

/// `rows.jsonl` -> `rows.jsonl.<process id>.tmp` in the same folder, so that the rename stays on one disk.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::{Side, rows};

    #[test]
    fn rows_are_written_as_alpaca_lines_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("rows.jsonl");
        let count = write_rows(&path, rows(7, 20, Side::Test)).expect("written");
        assert_eq!(count, 20);
        let text = std::fs::read_to_string(&path).expect("read back");
        for (line, row) in text.lines().zip(rows(7, 20, Side::Test)) {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let keys: Vec<_> = value.as_object().expect("an object").keys().collect();
            assert_eq!(keys, ["instruction", "input", "output"]);
            assert_eq!(value["output"], row.output);
        }
        assert_eq!(text.lines().count(), 20);
        let left = std::fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_missing_folder_is_named_in_the_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("absent/rows.jsonl");
        let error = write_text(&path, ["a".to_owned()].into_iter()).expect_err("no folder");
        assert!(error.to_string().contains("absent/rows.jsonl"), "{error}");
    }
}
