//! Documents laid down on the disk between the passes of a build, so that memory holds eight bytes of each.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use luthier_files::MappedBytes;
use serde::{Deserialize, Serialize};

use crate::document::{Document, Position, Provenance};
use crate::source::Shape;

/// Documents being laid down.
pub(crate) struct SpoolWriter {
    path: PathBuf,
    writer: BufWriter<File>,
    files: Vec<Arc<Path>>,
    /// Where each document begins.
    starts: Vec<u64>,
    at: u64,
}

/// Documents that can be had again by their number, on any thread.
pub(crate) struct Spool {
    /// `None` where there are none: an empty file cannot be mapped everywhere.
    bytes: Option<MappedBytes>,
    files: Vec<Arc<Path>>,
    starts: Vec<u64>,
}

#[derive(Serialize)]
struct Laid<'d> {
    id: &'d str,
    shape: &'static str,
    fields: Vec<(&'d str, &'d str)>,
    file: usize,
    at: Option<(&'static str, u64)>,
    url: Option<&'d str>,
}

#[derive(Deserialize)]
struct Found {
    id: String,
    shape: String,
    fields: Vec<(String, String)>,
    file: usize,
    at: Option<(String, u64)>,
    url: Option<String>,
}

impl SpoolWriter {
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let writer = BufWriter::with_capacity(1 << 18, File::create(&path)?);
        Ok(SpoolWriter { path, writer, files: Vec::new(), starts: Vec::new(), at: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn push(&mut self, document: &Document) -> io::Result<()> {
        let Document { id, shape, fields, provenance } = document;
        let laid = Laid {
            id,
            shape: shape.name(),
            fields: fields.iter().collect(),
            file: self.file(&provenance.file),
            at: provenance.position.unit(),
            url: provenance.url.as_deref(),
        };
        let line = serde_json::to_vec(&laid)?;
        self.starts.push(self.at);
        self.at += line.len() as u64;
        self.writer.write_all(&line)
    }

    /// Documents of one file come one after another.
    fn file(&mut self, file: &Arc<Path>) -> usize {
        if self.files.last() != Some(file) {
            self.files.push(file.clone());
        }
        self.files.len() - 1
    }

    pub(crate) fn finish(mut self) -> io::Result<Spool> {
        self.writer.flush()?;
        drop(self.writer);
        let bytes = if self.at == 0 { None } else { Some(MappedBytes::of_file(&self.path)?) };
        self.starts.push(self.at);
        Ok(Spool { bytes, files: self.files, starts: self.starts })
    }
}

impl Spool {
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Gives the memory back in which all documents before a number were read; they can be read again.
    pub(crate) fn let_go(&self, before: usize) {
        if let (Some(bytes), Ok(end)) = (&self.bytes, usize::try_from(self.starts[before])) {
            bytes.slice(0..end).let_go();
        }
    }

    /// The document of a number, as it was laid down.
    pub(crate) fn get(&self, number: usize) -> io::Result<Document> {
        let missing = || io::Error::other("the file of documents between the passes is not as it was written");
        let all = self.bytes.as_ref().map(MappedBytes::as_slice).unwrap_or_default();
        let end = |at: usize| usize::try_from(self.starts[at]).map_err(io::Error::other);
        let line = all.get(end(number)?..end(number + 1)?).ok_or_else(missing)?;
        let Found { id, shape, fields, file, at, url } = serde_json::from_slice(line)?;
        let position = match at {
            None => Position::Whole,
            Some((unit, at)) => Position::from_unit(&unit, at).ok_or_else(missing)?,
        };
        let file = self.files.get(file).ok_or_else(missing)?.clone();
        let shape = Shape::by_name(&shape).ok_or_else(missing)?;
        let provenance = Provenance { file, position, url };
        Ok(Document { id, shape, fields: fields.into_iter().collect(), provenance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Fields;

    #[test]
    fn documents_come_back_as_they_were_laid_down() {
        let folder = tempfile::tempdir().unwrap();
        let file: Arc<Path> = Path::new("a/b.jsonl").into();
        let document = |id: &str, position, url: Option<&str>| Document {
            id: id.into(),
            shape: Shape::Alpaca,
            fields: Fields::from_iter([("output", "甲\n\"乙\""), ("instruction", "")]),
            provenance: Provenance { file: file.clone(), position, url: url.map(str::to_owned) },
        };
        let documents = [
            document("1", Position::Line(3), None),
            document("二", Position::Whole, Some("https://example.org/")),
            document("", Position::Offset(1 << 40), None),
        ];
        let mut writer = SpoolWriter::create(folder.path().join("spool")).unwrap();
        documents.iter().for_each(|document| writer.push(document).unwrap());
        assert_eq!(writer.len(), 3);
        let spool = writer.finish().unwrap();
        assert_eq!(spool.len(), 3);
        for number in [2, 0, 1] {
            assert_eq!(spool.get(number).unwrap(), documents[number]);
            spool.let_go(number + 1);
        }
        assert_eq!(SpoolWriter::create(folder.path().join("none")).unwrap().finish().unwrap().len(), 0);
    }
}
