//! CoNLL-U: of each sentence the comments, `# name = value`. The tables of words under them are passed by.
//!
//! Comments that open a document or a paragraph (`# newdoc id = ...`, `# newpar id = ...`) hold for all sentences until the next one.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use super::lines::Lines;
use super::shape::Shape;
use super::{Entry, Reader, Source, bytes};
use crate::document::{Document, Fields, Position, Provenance};
use crate::fault::{SourceFault, SourceFaultKind};

const BATCH_SENTENCES: usize = 256;

pub(super) struct Sentences {
    lines: Lines,
    file: Arc<Path>,
    limit: u64,
    document: Option<String>,
    ended: bool,
}

impl Sentences {
    pub(super) fn new(source: &Source, file: Arc<Path>, text: Box<dyn BufRead + Send>) -> Self {
        Sentences {
            lines: Lines::new(text, source.bounds.record),
            file,
            limit: source.bounds.record,
            document: None,
            ended: false,
        }
    }

    fn fault(&self, line: u64, kind: SourceFaultKind) -> Entry {
        Entry::Fault(SourceFault { file: self.file.clone(), position: Position::Line(line), url: None, kind })
    }

    /// The lines up to the next empty one.
    fn sentence(&mut self) -> Option<Entry> {
        let mut fields = Fields::new();
        let mut first = None;
        let mut words = 0u64;
        let mut wrong = None;
        loop {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(self.fault(self.lines.number + 1, bytes::fault_of(&error)));
                }
            };
            if line.content().is_empty() {
                if first.is_some() {
                    break;
                }
                continue;
            }
            first.get_or_insert(line.number);
            if line.cut {
                wrong.get_or_insert((line.number, SourceFaultKind::TooLong { limit: self.limit }));
                continue;
            }
            match std::str::from_utf8(line.content()) {
                Ok(text) => match text.strip_prefix('#') {
                    Some(comment) => self.comment(comment, &mut fields),
                    None => words += 1,
                },
                Err(error) => {
                    let at = error.valid_up_to();
                    wrong.get_or_insert((line.number, SourceFaultKind::Encoding { encoding: "UTF-8", at }));
                }
            }
        }
        let first = first?;
        if let Some((line, kind)) = wrong {
            return Some(self.fault(line, kind));
        }
        if fields.get("text").is_none_or(str::is_empty) {
            return match words {
                // Comments alone belong to the file, not to a sentence.
                0 => None,
                _ => {
                    Some(self.fault(first, SourceFaultKind::MissingColumn { column: "# text =".into(), nearest: None }))
                }
            };
        }
        let id = match fields.get("sent_id") {
            Some(id) => id.to_owned(),
            None => first.to_string(),
        };
        if let Some(document) = &self.document {
            fields.set("document_id", document.as_str());
        }
        let provenance = Provenance { file: self.file.clone(), position: Position::Line(first), url: None };
        Some(Entry::Document(Document { id, shape: Shape::Sentence, fields, provenance }))
    }

    fn comment(&mut self, comment: &str, fields: &mut Fields) {
        let Some((name, value)) = comment.split_once('=') else { return };
        let (name, value) = (name.trim(), value.trim());
        match name {
            "newdoc id" => self.document = Some(value.to_owned()),
            "newpar id" => {}
            _ => fields.set(name, value),
        }
    }
}

impl Reader for Sentences {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        for _ in 0..BATCH_SENTENCES {
            if self.ended {
                break;
            }
            entries.extend(self.sentence());
        }
        !self.ended || !entries.is_empty()
    }
}
