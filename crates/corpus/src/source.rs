//! Sources: files of many formats, read as a stream of documents and faults.
//!
//! [`Source::documents`] opens the file, or every file of a folder in the order of their names, and gives [`Documents`], an iterator
//! that holds only the records being read. What a file is follows from its first bytes and, where these say nothing, from its name;
//! how its records become fields is a [`Shape`], recognised row by row and counted by name in the [`Tally`], or a [`Mapping`] of columns.
//! A record that cannot be read is a [`crate::SourceFault`], and the ones after it go on.

mod archive;
mod batch;
mod bytes;
mod conllu;
mod json;
mod lines;
mod mapping;
#[cfg(feature = "parquet")]
mod parquet;
mod plain;
mod published;
mod shape;
mod table;
mod tally;
mod xml;

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

pub use archive::{ArchiveRecord, Archives, Headers, HttpResponse, RecordKind};
pub(crate) use batch::BATCH;
pub use bytes::{Bounds, Compression};
pub use luthier_text::pieces::Within;
pub use mapping::Mapping;
pub use plain::TextBy;
pub use shape::Shape;
pub use tally::Tally;
pub use xml::XmlPaths;

use crate::charset;
use crate::document::{Document, Position};
use crate::error::CorpusError;
use crate::fault::{SourceFault, SourceFaultKind};

/// A file, or a folder of files, and how it is read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file or folder.
    pub path: PathBuf,
    /// Which files of the folder, by their paths in it; `None` for all.
    pub only: Option<Vec<PathBuf>>,
    /// What the files are.
    pub format: FileFormat,
    /// The columns that become fields; empty to recognise the shape.
    pub columns: Mapping,
    /// Where the rows of a JSON document lie.
    pub within: Within,
    /// How plain text is divided.
    pub text_by: TextBy,
    /// Where the records of an XML file lie, and which of their elements become fields.
    pub xml: Option<XmlPaths>,
    /// The names of a table's columns, where its first line is not a header.
    pub header: Option<Vec<String>>,
    /// The encoding, by its name; `None` to see it from the bytes.
    pub encoding: Option<String>,
    /// How far reading may go.
    pub bounds: Bounds,
    /// Whether rows of JSON in a shape that training reads must be such as training takes: their texts no numbers, nothing empty, roles
    /// in turn. What is no text becomes one otherwise.
    pub trainable: bool,
}

impl Source {
    /// A source of which everything is recognised.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Source {
            path: path.into(),
            only: None,
            format: FileFormat::Auto,
            columns: Mapping::default(),
            within: Within::Anywhere,
            text_by: TextBy::Paragraph,
            xml: None,
            header: None,
            encoding: None,
            bounds: Bounds::default(),
            trainable: false,
        }
    }

    /// The same with columns mapped to fields.
    #[must_use]
    pub fn with_columns(mut self, columns: Mapping) -> Self {
        self.columns = columns;
        self
    }

    /// The files of this source in reading order: itself, or the files under the folder that it names, or all but hidden ones.
    ///
    /// # Errors
    /// When the file or folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, CorpusError> {
        if let Some(only) = &self.only {
            return Ok(only.iter().map(|file| self.path.join(file)).collect());
        }
        let mut files = Vec::new();
        collect_files(&self.path, &mut files).map_err(CorpusError::read(&self.path))?;
        Ok(files)
    }

    /// Opens the source.
    ///
    /// # Errors
    /// When the file or folder cannot be opened, the file's format is not known, or the source's settings make no sense. A file of a
    /// folder that cannot be opened is a fault.
    pub fn documents(&self) -> Result<Documents, CorpusError> {
        if let Some(name) = &self.encoding {
            charset::by_name(name).ok_or_else(|| {
                CorpusError::setting("encoding", format!("{name:?} is no encoding; such as utf-8, big5, gb18030"))
            })?;
        }
        let mut files: VecDeque<PathBuf> = self.files()?.into();
        let mut entries = VecDeque::new();
        let is_folder = files.len() > 1;
        let reader = match files.pop_front().map(|first| (open(self, &first), first)) {
            None => None,
            Some((Ok(reader), _)) => Some(reader),
            Some((Err(error), first)) if is_folder && !matches!(error, CorpusError::Setting { .. }) => {
                entries.push_back(Entry::Fault(unopened(first, &error)));
                None
            }
            Some((Err(error), _)) => return Err(error),
        };
        Ok(Documents { source: self.clone(), files, reader, entries, tally: Tally::default() })
    }
}

fn collect_files(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut inside: Vec<_> = std::fs::read_dir(path)?.collect::<Result<_, _>>()?;
    inside.sort_by_key(std::fs::DirEntry::file_name);
    for entry in inside {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            collect_files(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileFormat {
    /// Seen from its first bytes or its name.
    #[default]
    Auto,
    /// A JSON array, JSON Lines, or one JSON document; comments and trailing commas are read past.
    Json,
    /// Comma-separated values, quoted as in RFC 4180.
    Csv,
    /// Tab-separated values without quotes.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// Plain text.
    Text,
    /// One page of HTML.
    Html,
    /// CoNLL-U, of which the comments are read: `# text = ...`.
    Conllu,
    /// XML, by the paths of [`Source::xml`].
    Xml,
    /// WARC with its WET and WAT, and ARC.
    Archive,
}

impl FileFormat {
    /// The names a recipe may use.
    pub const NAMES: [&'static str; 10] =
        ["auto", "json", "csv", "tsv", "parquet", "text", "html", "conllu", "xml", "warc"];

    const ALL: [FileFormat; 10] = [
        FileFormat::Auto,
        FileFormat::Json,
        FileFormat::Csv,
        FileFormat::Tsv,
        FileFormat::Parquet,
        FileFormat::Text,
        FileFormat::Html,
        FileFormat::Conllu,
        FileFormat::Xml,
        FileFormat::Archive,
    ];

    /// The name in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        let at = Self::ALL.iter().position(|format| *format == self).expect("every format is listed");
        Self::NAMES[at]
    }

    /// What a file's first bytes say, and its name where they say nothing.
    fn of(first: &[u8], path: &Path) -> Option<Self> {
        let text = first.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(first).trim_ascii_start();
        let begins = |with: &[u8]| text.len() >= with.len() && text[..with.len()].eq_ignore_ascii_case(with);
        if first.starts_with(b"PAR1") {
            return Some(FileFormat::Parquet);
        }
        if begins(b"WARC/") || begins(b"filedesc://") {
            return Some(FileFormat::Archive);
        }
        let by_name = Self::of_name(path);
        // Prose may begin with a bracket, a table with anything; their names are believed.
        if matches!(by_name, Some(FileFormat::Csv | FileFormat::Tsv | FileFormat::Conllu)) {
            return by_name;
        }
        if begins(b"{") || begins(b"[{") || begins(b"//") {
            return Some(FileFormat::Json);
        }
        if begins(b"<!doctype html") || begins(b"<html") {
            return Some(FileFormat::Html);
        }
        if begins(b"<?xml") {
            return Some(if by_name == Some(FileFormat::Html) { FileFormat::Html } else { FileFormat::Xml });
        }
        match by_name {
            None if begins(b"[") => Some(FileFormat::Json),
            None if begins(b"# sent_id") || begins(b"# newdoc") => Some(FileFormat::Conllu),
            by_name => by_name,
        }
    }

    /// What a file's name says.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = [".gz", ".zst", ".bz2"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned();
        Some(match name.rsplit_once('.')?.1 {
            "json" | "jsonl" | "ndjson" | "jsonc" | "json5" => FileFormat::Json,
            "csv" => FileFormat::Csv,
            "tsv" => FileFormat::Tsv,
            "parquet" => FileFormat::Parquet,
            "txt" | "text" | "md" => FileFormat::Text,
            "html" | "htm" | "xhtml" => FileFormat::Html,
            "conllu" | "conll" => FileFormat::Conllu,
            "xml" => FileFormat::Xml,
            "warc" | "wet" | "wat" | "arc" => FileFormat::Archive,
            _ => return None,
        })
    }
}

impl FromStr for FileFormat {
    type Err = CorpusError;

    fn from_str(name: &str) -> Result<Self, CorpusError> {
        let at = Self::NAMES.iter().position(|known| *known == name);
        at.map(|at| Self::ALL[at]).ok_or_else(|| {
            CorpusError::setting("format", format!("{name:?} is not known; one of {}", Self::NAMES.join(", ")))
        })
    }
}

/// What reading came upon.
enum Entry {
    Document(Document),
    Fault(SourceFault),
    /// A record that is no document and is not meant to be: its kind, such as `request`.
    PassedOver(&'static str),
}

/// The reader of one format.
trait Reader: Send {
    /// Reads on and appends what came; `false` at the end.
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool;
}

/// The documents of a source and the faults among them, in order.
pub struct Documents {
    source: Source,
    files: VecDeque<PathBuf>,
    reader: Option<Box<dyn Reader>>,
    entries: VecDeque<Entry>,
    tally: Tally,
}

impl Documents {
    /// What has come so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn fill(&mut self) -> bool {
        if let Some(reader) = &mut self.reader
            && reader.fill(&mut self.entries)
        {
            return true;
        }
        self.reader = None;
        while let Some(file) = self.files.pop_front() {
            match open(&self.source, &file) {
                Ok(reader) => {
                    self.reader = Some(reader);
                    break;
                }
                Err(error) => self.entries.push_back(Entry::Fault(unopened(file, &error))),
            }
        }
        self.reader.is_some() || !self.entries.is_empty()
    }
}

impl Iterator for Documents {
    type Item = Result<Document, SourceFault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.pop_front() {
                Some(Entry::Document(document)) => {
                    self.tally.document(document.shape);
                    return Some(Ok(document));
                }
                Some(Entry::Fault(fault)) => {
                    self.tally.fault(&fault);
                    return Some(Err(fault));
                }
                Some(Entry::PassedOver(kind)) => self.tally.passed_over(kind),
                None if self.fill() => {}
                None => return None,
            }
        }
    }
}

/// The fault of a file that cannot be opened.
pub(crate) fn unopened(file: PathBuf, error: &CorpusError) -> SourceFault {
    let kind = SourceFaultKind::BreaksOff(error.to_string());
    SourceFault { file: file.into(), position: Position::Whole, url: None, kind }
}

fn open(source: &Source, path: &Path) -> Result<Box<dyn Reader>, CorpusError> {
    let file: Arc<Path> = path.into();
    let (mut bytes, _) = bytes::open(path, &source.bounds).map_err(CorpusError::read(path))?;
    let format = match source.format {
        FileFormat::Auto => {
            let first = bytes.fill_buf().map_err(CorpusError::read(path))?;
            if first.is_empty() { FileFormat::Text } else { recognised(first, path)? }
        }
        stated => stated,
    };
    match format {
        FileFormat::Parquet => return open_parquet(source, file),
        FileFormat::Archive => return Ok(Box::new(archive::Pages::open(source, file)?)),
        FileFormat::Html => return Ok(Box::new(plain::Page::new(source, file, bytes))),
        _ => {}
    }
    let encoding = source.encoding.as_deref().and_then(charset::by_name);
    let (text, encoding) = charset::as_utf8(bytes, encoding).map_err(CorpusError::read(path))?;
    Ok(match format {
        FileFormat::Csv => Box::new(table::Table::new(source, file, text, table::Dialect::Csv)),
        FileFormat::Tsv => Box::new(table::Table::new(source, file, text, table::Dialect::Tsv)),
        FileFormat::Conllu => Box::new(conllu::Sentences::new(source, file, text)),
        FileFormat::Xml => Box::new(xml::Records::new(source, file, text)?),
        FileFormat::Text => Box::new(plain::Texts::new(source, file, text, encoding)),
        _ => Box::new(json::Rows::open(source, file, text)?),
    })
}

/// Kinds of files that people try, by their first bytes: what they are, and what can be done.
const NOT_READ: [(&[u8], &str, &str); 3] = [
    (b"%PDF-", "a PDF", "save its text first, such as with pdftotext"),
    (b"PK\x03\x04", "a ZIP archive or an office document", "unpack it, or save it as text first"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive", "unpack it first"),
];

fn recognised(first: &[u8], path: &Path) -> Result<FileFormat, CorpusError> {
    if let Some(&(_, what, remedy)) = NOT_READ.iter().find(|(begins, ..)| first.starts_with(begins)) {
        return Err(CorpusError::NotRead { path: path.to_owned(), what, remedy });
    }
    // A file in UTF-16 says nothing before it is decoded.
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(first) {
        let (text, _, _) = encoding.decode(&first[..first.len() & !1]);
        return FileFormat::of(text.as_bytes(), path)
            .ok_or_else(|| CorpusError::UnknownFormat { path: path.to_owned() });
    }
    FileFormat::of(first, path).ok_or_else(|| CorpusError::UnknownFormat { path: path.to_owned() })
}

#[cfg(feature = "parquet")]
fn open_parquet(source: &Source, file: Arc<Path>) -> Result<Box<dyn Reader>, CorpusError> {
    Ok(Box::new(parquet::Rows::open(source, file)?))
}

#[cfg(not(feature = "parquet"))]
fn open_parquet(_: &Source, _: Arc<Path>) -> Result<Box<dyn Reader>, CorpusError> {
    Err(CorpusError::setting("format", "this build reads no Parquet; build it with the feature `parquet`"))
}
