//! Records of an XML file, their fields by paths of elements, read with a pull parser so that only one record is held.
//!
//! The gazettes of the Taiwan Intellectual Property Office, for instance, are
//! `tw-patent-grants > tw-patent-grant > tw-bibliographic-data-grant > invention-title > chinese-title`.
//! A record that is not well formed is a fault; reading goes on at the next opening tag of a record.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use quick_xml::events::{BytesStart, Event};

use super::shape::Shape;
use super::{Entry, Reader, Source, bytes};
use crate::document::{Document, Fields, Position, Provenance};
use crate::error::CorpusError;
use crate::fault::{SourceFault, SourceFaultKind};

/// Which elements are records, and which of their elements are fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlPaths {
    record: String,
    fields: Vec<FieldPath>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldPath {
    field: String,
    elements: Vec<String>,
    attribute: Option<String>,
}

impl XmlPaths {
    /// `record` is the name of the element that is a record, wherever it stands, such as `tw-patent-grant`. A field's path leads down
    /// from it: `claims/claim` (all text inside, one element a line), `invention-title/chinese-title`, `application-reference@appl-type`
    /// (an attribute), `*/abstract` (any element between).
    ///
    /// # Errors
    /// When a path is empty or holds an empty step.
    pub fn new<'p>(record: &str, fields: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, CorpusError> {
        let wrong = |what: &str| CorpusError::setting("xml", format!("{what:?} names no element"));
        if record.is_empty() || record.contains(['/', '@', ' ']) {
            return Err(wrong(record));
        }
        let mut paths = Vec::new();
        for (field, path) in fields {
            let (elements, attribute) = match path.split_once('@') {
                Some((elements, attribute)) => (elements, Some(attribute.to_owned())),
                None => (path, None),
            };
            let steps: Vec<String> = elements.split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect();
            if field.is_empty() || (steps.is_empty() && attribute.is_none()) || attribute.as_deref() == Some("") {
                return Err(wrong(path));
            }
            paths.push(FieldPath { field: field.to_owned(), elements: steps, attribute });
        }
        if paths.is_empty() {
            return Err(CorpusError::setting("xml", "no field has a path"));
        }
        Ok(XmlPaths { record: record.to_owned(), fields: paths })
    }
}

impl FieldPath {
    /// Whether the elements below the record, `path`, are this field or lie inside it.
    fn covers(&self, path: &[String]) -> bool {
        path.len() >= self.elements.len()
            && self.elements.iter().zip(path).all(|(step, name)| step == "*" || step == name)
    }
}

/// The deepest nesting that is followed.
const DEEPEST: usize = 1 << 10;

pub(super) struct Records {
    file: Arc<Path>,
    paths: XmlPaths,
    reader: Option<quick_xml::Reader<Box<dyn BufRead + Send>>>,
    /// Bytes before the current reader's first.
    base: u64,
    limit: u64,
    record: u64,
}

enum Outcome {
    Record(Fields),
    Broken(u64, SourceFaultKind),
    End,
}

impl Records {
    pub(super) fn new(source: &Source, file: Arc<Path>, text: Box<dyn BufRead + Send>) -> Result<Self, CorpusError> {
        let paths = source.xml.clone().ok_or_else(|| {
            CorpusError::setting("xml", "an XML file needs the name of its records and the paths of their fields")
        })?;
        let reader = Some(reader(text));
        Ok(Records { file, paths, reader, base: 0, limit: source.bounds.record, record: 0 })
    }

    fn next(&mut self) -> Outcome {
        let Some(reader) = &mut self.reader else { return Outcome::End };
        let mut buffer = Vec::new();
        // Outside a record nothing is kept.
        let begin = loop {
            buffer.clear();
            let at = self.base + reader.buffer_position();
            match reader.read_event_into(&mut buffer) {
                Ok(Event::Start(start)) if start.name().0 == self.paths.record => {
                    let mut record = Open::new(&self.paths);
                    record.attributes(&start);
                    break (at, record);
                }
                Ok(Event::Eof) => return Outcome::End,
                Ok(_) => {}
                Err(error) => return broken(at, &error),
            }
        };
        let (start, mut record) = begin;
        loop {
            buffer.clear();
            let at = self.base + reader.buffer_position();
            if at - start > self.limit {
                return Outcome::Broken(start, SourceFaultKind::TooLong { limit: self.limit });
            }
            match reader.read_event_into(&mut buffer) {
                Ok(Event::Start(element)) => {
                    if record.path.len() >= DEEPEST {
                        let why = format!("elements are nested deeper than {DEEPEST}");
                        return Outcome::Broken(start, SourceFaultKind::Xml(why));
                    }
                    record.enter(&element);
                }
                Ok(Event::Empty(element)) => {
                    record.enter(&element);
                    record.leave();
                }
                Ok(Event::End(_)) => {
                    if record.path.is_empty() {
                        return Outcome::Record(record.finish());
                    }
                    record.leave();
                }
                Ok(Event::Text(text)) => record.text(&text.xml10_content()),
                Ok(Event::CData(text)) => record.text(&text.xml10_content()),
                Ok(Event::GeneralRef(reference)) => match resolved(&reference) {
                    Some(text) => record.text(&text),
                    None => {
                        let why = format!("the entity &{}; is not known", reference.into_inner());
                        return Outcome::Broken(start, SourceFaultKind::Xml(why));
                    }
                },
                Ok(Event::Eof) => {
                    let why = SourceFaultKind::BreaksOff("it ends inside this record".into());
                    return Outcome::Broken(start, why);
                }
                Ok(_) => {}
                Err(error) => return broken(start, &error),
            }
        }
    }

    /// Goes on at the next opening tag of a record.
    fn resynchronise(&mut self) -> io::Result<()> {
        let Some(old) = self.reader.take() else { return Ok(()) };
        self.base += old.buffer_position();
        let mut rest = old.into_inner();
        let tag = format!("<{}", self.paths.record);
        let mut seen: Vec<u8> = Vec::new();
        loop {
            let buffered = rest.fill_buf()?;
            if buffered.is_empty() {
                return Ok(());
            }
            let length = buffered.len();
            seen.extend_from_slice(buffered);
            rest.consume(length);
            let found = memchr::memmem::find_iter(&seen, tag.as_bytes()).find(|at| {
                seen.get(at + tag.len()).is_none_or(|b| matches!(b, b'>' | b'/') || b.is_ascii_whitespace())
            });
            if let Some(at) = found {
                self.base += at as u64;
                let ahead = seen.split_off(at);
                let mut again = reader(Box::new(io::Cursor::new(ahead).chain(rest)));
                // The elements around the records were opened before the break.
                again.config_mut().allow_unmatched_ends = true;
                self.reader = Some(again);
                return Ok(());
            }
            let kept = seen.len().min(tag.len());
            self.base += (seen.len() - kept) as u64;
            seen.drain(..seen.len() - kept);
        }
    }
}

fn reader(text: Box<dyn BufRead + Send>) -> quick_xml::Reader<Box<dyn BufRead + Send>> {
    quick_xml::Reader::from_reader(text)
}

fn broken(at: u64, error: &quick_xml::Error) -> Outcome {
    let kind = match error {
        quick_xml::Error::Io(error) => bytes::fault_of(error),
        other => SourceFaultKind::Xml(other.to_string()),
    };
    Outcome::Broken(at, kind)
}

/// The text of a reference to a character or to one of XML's five entities.
fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character.to_string());
    }
    quick_xml::escape::resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned)
}

/// A record that is being read.
struct Open<'p> {
    paths: &'p XmlPaths,
    /// The elements below the record.
    path: Vec<String>,
    texts: Vec<String>,
}

impl<'p> Open<'p> {
    fn new(paths: &'p XmlPaths) -> Self {
        Open { paths, path: Vec::new(), texts: vec![String::new(); paths.fields.len()] }
    }

    fn enter(&mut self, element: &BytesStart<'_>) {
        self.path.push(element.name().0.to_owned());
        for (field, text) in self.paths.fields.iter().zip(&mut self.texts) {
            // Each element of a field and each below it begins a line.
            if field.attribute.is_none() && field.covers(&self.path) && !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
        }
        self.attributes(element);
    }

    fn attributes(&mut self, element: &BytesStart<'_>) {
        for (field, text) in self.paths.fields.iter().zip(&mut self.texts) {
            let Some(name) = &field.attribute else { continue };
            if self.path.len() != field.elements.len() || !field.covers(&self.path) {
                continue;
            }
            if let Ok(Some(attribute)) = element.try_get_attribute(name.as_str()) {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap_or_default());
            }
        }
    }

    fn leave(&mut self) {
        for (field, text) in self.paths.fields.iter().zip(&mut self.texts) {
            if field.attribute.is_none() && field.covers(&self.path) && !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
        }
        self.path.pop();
    }

    fn text(&mut self, said: &str) {
        for (field, text) in self.paths.fields.iter().zip(&mut self.texts) {
            if field.attribute.is_none() && field.covers(&self.path) {
                push_unwrapped(text, said);
            }
        }
    }

    fn finish(self) -> Fields {
        let texts = self.texts.into_iter().map(|text| text.trim().to_owned());
        let fields = self.paths.fields.iter().map(|field| field.field.clone());
        fields.zip(texts).filter(|(_, text)| !text.is_empty()).collect()
    }
}

/// Appends what an element says. Line breaks and indents of the file are no part of it; words of alphabets that stood on two lines
/// keep a space between them.
fn push_unwrapped(text: &mut String, said: &str) {
    let mut broken = false;
    for line in said.split(['\n', '\r', '\t']) {
        let part = if broken { line.trim_start() } else { line };
        let part = if said.len() > line.len() { part.trim_end() } else { part };
        if part.is_empty() {
            broken = true;
            continue;
        }
        let spaced = |c: char| c.is_ascii_alphanumeric() || c == ',' || c == '.' || c == ';';
        if broken && text.ends_with(spaced) && part.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            text.push(' ');
        }
        text.push_str(part);
        broken = true;
    }
}

impl Reader for Records {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        self.record += 1;
        let position = Position::Row(self.record);
        match self.next() {
            Outcome::End => {
                self.reader = None;
                self.record -= 1;
                return false;
            }
            Outcome::Record(fields) if fields.is_empty() => {
                entries.push_back(Entry::Fault(self.fault(position, SourceFaultKind::Empty)));
            }
            Outcome::Record(fields) => {
                let name = self.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                let id = fields.get("id").map_or_else(|| format!("{name}:{}", self.record), str::to_owned);
                let provenance = Provenance { file: self.file.clone(), position, url: None };
                entries.push_back(Entry::Document(Document { id, shape: Shape::Xml, fields, provenance }));
            }
            Outcome::Broken(offset, kind) => {
                entries.push_back(Entry::Fault(self.fault(Position::Offset(offset), kind)));
                if let Err(error) = self.resynchronise() {
                    entries.push_back(Entry::Fault(self.fault(Position::Offset(self.base), bytes::fault_of(&error))));
                }
            }
        }
        true
    }
}

impl Records {
    fn fault(&self, position: Position, kind: SourceFaultKind) -> SourceFault {
        SourceFault { file: self.file.clone(), position, url: None, kind }
    }
}
