//! JSON Lines, one value a line, read without holding the file.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::ReportError;

/// Calls `take` with every value of the file; `false` where there is no such file. Blank lines are passed over.
///
/// # Errors
/// A line that is not such a value, by its number from 1.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<bool, ReportError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(ReportError::read(path, error)),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|error| ReportError::read(path, error))? == 0 {
            break;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            take(serde_json::from_slice(text).map_err(|error| ReportError::line(path, number, &error))?);
        }
    }
    Ok(true)
}
