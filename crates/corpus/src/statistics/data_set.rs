//! What is looked at: a file, a folder of files, or a data set that `luthier build` has made.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::devices::Side;
use crate::error::CorpusError;
use crate::source::{FileFormat, Source};

/// A file or folder of rows.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// The path as it was given.
    pub path: PathBuf,
    /// Its files in reading order.
    pub files: Vec<DataFile>,
    /// What `luthier build` says of it, where it made it.
    pub built: Option<Built>,
    /// Files of the folder that tell of the data and hold none, such as a read-me and a licence.
    pub beside: Vec<String>,
    format: FileFormat,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is called inside the data set.
    pub name: String,
    /// The side of the split it holds, in a data set that was built.
    pub side: Option<Side>,
    /// Its size.
    pub bytes: u64,
}

/// What stands in the folder of a data set beside its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Built {
    /// The name on its card.
    pub name: Option<String>,
    /// What became of the records it was made of, by the names of the ledger.
    pub outcomes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Ledger {
    outcomes: BTreeMap<String, u64>,
}

impl DataSet {
    /// Looks at what lies at `path`. `format` names the format of its files; [`FileFormat::Auto`] sees it from each.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be read; when a ledger is broken.
    pub fn open(path: &Path, format: FileFormat) -> Result<Self, CorpusError> {
        let built = if is_built(path) { Some(Built::read(path)?) } else { None };
        let mut beside = Vec::new();
        let files = if built.is_some() {
            let sides = [("train.jsonl", Side::Train), ("test.jsonl", Side::Test)];
            let there = sides.into_iter().filter(|(name, _)| path.join(name).is_file());
            there.map(|(name, side)| DataFile::at(path.join(name), path, Some(side))).collect::<Result<_, _>>()?
        } else {
            let files = Source::new(path).files()?;
            let files = files.into_iter().map(|file| DataFile::at(file, path, None)).collect::<Result<Vec<_>, _>>()?;
            // A file that is asked for by itself is looked at whatever its name.
            let (about, rows): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|file| file.path != path && tells_of_data(&file.path));
            beside.extend(about.into_iter().map(|file| file.name));
            rows
        };
        Ok(DataSet { path: path.to_owned(), files, built, beside, format })
    }

    /// Whether there is anything at `path` that a name or a ledger shows to be data: a file, a data set that was built, or a folder with
    /// at least one file of a known format in it.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.is_file()
            || is_built(path)
            || Source::new(path).files().is_ok_and(|files| files.iter().any(|file| FileFormat::of_name(file).is_some()))
    }

    /// How one of the files is read: as training would where its rows are of a shape that training reads.
    pub(super) fn source(&self, file: &DataFile) -> Source {
        Source { format: self.format, trainable: true, ..Source::new(&file.path) }
    }
}

/// Whether a file's name is one of those under which data sets are described.
fn tells_of_data(file: &Path) -> bool {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (stem, extension) = (part(file.file_stem()), part(file.extension()));
    let describes = ["readme", "license", "licence", "copying", "notice", "source", "card", "changelog", "citation"];
    describes.contains(&stem.as_str()) && ["", "md", "txt", "rst", "cff"].contains(&extension.as_str())
}

fn is_built(path: &Path) -> bool {
    path.join("ledger.json").is_file() && path.join("train.jsonl").is_file()
}

impl DataFile {
    fn at(path: PathBuf, within: &Path, side: Option<Side>) -> Result<Self, CorpusError> {
        let bytes = fs::metadata(&path).map_err(CorpusError::read(&path))?.len();
        let inside = path.strip_prefix(within).ok().filter(|inside| !inside.as_os_str().is_empty());
        let name = inside.map_or_else(|| path.file_name().map(Path::new), Some).unwrap_or(&path);
        Ok(DataFile { name: name.to_string_lossy().into_owned(), side, bytes, path })
    }
}

impl Built {
    fn read(folder: &Path) -> Result<Self, CorpusError> {
        let path = folder.join("ledger.json");
        let bytes = fs::read(&path).map_err(CorpusError::read(&path))?;
        let broken = |error| CorpusError::read(&path)(io::Error::other(format!("it is no ledger: {error}")));
        let Ledger { outcomes } = serde_json::from_slice(&bytes).map_err(broken)?;
        let card = fs::read_to_string(folder.join("card.md")).unwrap_or_default();
        let name = card.lines().find_map(|line| line.strip_prefix("# ")).map(|name| name.trim().to_owned());
        Ok(Built { name, outcomes })
    }
}
