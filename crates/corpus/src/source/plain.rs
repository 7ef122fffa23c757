//! Plain text, by lines, by paragraphs or whole; and pages of HTML in files of their own.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use super::lines::{Line, Lines};
use super::shape::Shape;
use super::{Bounds, Entry, Reader, Source, bytes};
use crate::charset;
use crate::document::{Document, Fields, Position, Provenance};
use crate::fault::{SourceFault, SourceFaultKind};

/// How a plain text is divided into documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextBy {
    /// Each line that is not empty.
    Line,
    /// Lines up to an empty one.
    #[default]
    Paragraph,
    /// The file.
    File,
}

const BATCH: usize = 256;

pub(super) struct Texts {
    lines: Lines,
    file: Arc<Path>,
    by: TextBy,
    bounds: Bounds,
    encoding: &'static str,
    ended: bool,
}

impl Texts {
    pub(super) fn new(source: &Source, file: Arc<Path>, text: Box<dyn BufRead + Send>, encoding: &'static str) -> Self {
        let lines = Lines::new(text, source.bounds.record);
        Texts { lines, file, by: source.text_by, bounds: source.bounds, encoding, ended: false }
    }

    fn text(&mut self) -> Option<Entry> {
        let mut text = Vec::new();
        let mut first = None;
        let mut long = false;
        loop {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    self.ended = true;
                    let kind = bytes::fault_of(&error);
                    return Some(Entry::Fault(self.fault(Position::Line(self.lines.number + 1), kind)));
                }
            };
            let content = without_bom(&line);
            let blank = content.iter().all(u8::is_ascii_whitespace);
            if blank && self.by != TextBy::File {
                if first.is_some() {
                    break;
                }
                continue;
            }
            if first.is_some() {
                text.push(b'\n');
            }
            first.get_or_insert(line.number);
            long |= line.cut || (text.len() + content.len()) as u64 > self.bounds.record;
            if !long {
                text.extend_from_slice(content);
            }
            if self.by == TextBy::Line {
                break;
            }
        }
        let first = first?;
        let position = if self.by == TextBy::File { Position::Whole } else { Position::Line(first) };
        if long {
            return Some(Entry::Fault(self.fault(position, SourceFaultKind::TooLong { limit: self.bounds.record })));
        }
        match String::from_utf8(text) {
            Ok(text) if text.trim().is_empty() => None,
            Ok(text) => Some(Entry::Document(document(&self.file, position, Shape::Text, "text", text))),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Some(Entry::Fault(self.fault(position, SourceFaultKind::Encoding { encoding: self.encoding, at })))
            }
        }
    }

    fn fault(&self, position: Position, kind: SourceFaultKind) -> SourceFault {
        SourceFault { file: self.file.clone(), position, url: None, kind }
    }
}

fn without_bom(line: &Line) -> &[u8] {
    let content = line.content();
    if line.number == 1 { content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content) } else { content }
}

fn document(file: &Arc<Path>, position: Position, shape: Shape, field: &str, text: String) -> Document {
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let id = position.unit().map_or(name.clone(), |(_, at)| format!("{name}:{at}"));
    let provenance = Provenance { file: file.clone(), position, url: None };
    Document { id, shape, fields: Fields::from_iter([(field, text)]), provenance }
}

impl Reader for Texts {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        for _ in 0..BATCH {
            if self.ended {
                break;
            }
            entries.extend(self.text());
        }
        !self.ended || !entries.is_empty()
    }
}

/// A page in a file of its own: field `html`, as it stands; cleaning finds its text.
pub(super) struct Page {
    file: Arc<Path>,
    bytes: Option<Box<dyn BufRead + Send>>,
    encoding: Option<String>,
    bounds: Bounds,
}

impl Page {
    pub(super) fn new(source: &Source, file: Arc<Path>, bytes: Box<dyn BufRead + Send>) -> Self {
        Page { file, bytes: Some(bytes), encoding: source.encoding.clone(), bounds: source.bounds }
    }
}

impl Reader for Page {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        let Some(bytes) = self.bytes.take() else { return false };
        let fault = |kind| SourceFault { file: self.file.clone(), position: Position::Whole, url: None, kind };
        let mut page = Vec::new();
        let limit = self.bounds.record;
        entries.push_back(match bytes.take(limit + 1).read_to_end(&mut page) {
            Err(error) => Entry::Fault(fault(bytes::fault_of(&error))),
            Ok(_) if page.len() as u64 > limit => Entry::Fault(fault(SourceFaultKind::TooLong { limit })),
            Ok(_) => {
                let html = charset::decode(&page, self.encoding.as_deref()).text;
                Entry::Document(document(&self.file, Position::Whole, Shape::Page, "html", html))
            }
        });
        true
    }
}
