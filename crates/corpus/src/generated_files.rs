//! Rows and documents as JSON Lines files, each whole or absent.

use std::io::Write;
use std::path::Path;

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

fn write_json_lines<T: Serialize>(path: &Path, items: impl Iterator<Item = T>) -> Result<usize, CorpusError> {
    let mut count = 0;
    luthier_files::write_atomically(path, |file| {
        for item in items {
            serde_json::to_writer(&mut *file, &item)?;
            file.write_all(b"\n")?;
            count += 1;
        }
        Ok(())
    })
    .map_err(|source| CorpusError::Write { path: path.to_owned(), source })?;
    Ok(count)
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
    fn what_cannot_be_written_is_named_in_the_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("file"), "no folder").expect("written");
        let error =
            write_text(&folder.path().join("file/rows.jsonl"), ["a".to_owned()].into_iter()).expect_err("a file");
        let text = error.to_string();
        assert!(text.contains("file/rows.jsonl") && text.contains("check that its folder"), "{text}");
    }
}
