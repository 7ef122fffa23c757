//! Templates that make rows of documents.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use rayon::prelude::*;

use luthier_text::Reason;

use super::row::{Said, TaskRow};
use crate::clean::cut_at_sentence;
use crate::document::Document;
use crate::error::CorpusError;
use crate::random::{Stream, key};

/// One way to put a task: Jinja over the document's fields, such as `為下面的詩定一個題目：` and `{{ paragraphs }}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phrasing {
    /// The system message; mostly empty.
    pub system: String,
    /// What is to be done.
    pub instruction: String,
    /// What it is to be done with; may be empty.
    pub input: String,
    /// What comes of it.
    pub output: String,
    /// How often it is drawn in comparison to the others; 0 counts as 1.
    pub weight: u32,
}

/// A field that is cut before the templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The field.
    pub field: String,
    /// The most characters; cut behind a sentence where one ends in their second half.
    pub characters: usize,
}

/// Steps a template may take, so that a loop without end stops.
const FUEL: u64 = 1_000_000;

/// The parts of a row that templates make.
const PARTS: [&str; 4] = ["system", "instruction", "input", "output"];

/// A document that gives no row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRow {
    /// The document.
    pub document: Document,
    /// Why.
    pub reason: Reason,
}

/// Makes rows of documents.
pub struct Build {
    environment: Environment<'static>,
    weights: Vec<u32>,
    cuts: Vec<Cut>,
    seed: u64,
}

/// The purpose of the numbers drawn here.
const DRAW_PHRASING: u64 = 0x7068_7261_7365;

impl Build {
    /// Phrasings to draw from; without any, documents become rows by their own `messages`, or `instruction`, `input` and `output`.
    ///
    /// # Errors
    /// [`CorpusError::Template`] for the first template that does not parse.
    pub fn new(phrasings: &[Phrasing], cuts: Vec<Cut>, seed: u64) -> Result<Self, CorpusError> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("cut", |text: &str, characters: usize| cut_at_sentence(text, characters).to_owned());
        environment.add_filter("first_line", |text: &str| text.trim().lines().next().unwrap_or_default().to_owned());
        for (i, phrasing) in phrasings.iter().enumerate() {
            let templates = [&phrasing.system, &phrasing.instruction, &phrasing.input, &phrasing.output];
            for (field, source) in PARTS.into_iter().zip(templates) {
                environment
                    .add_template_owned(name(i, field), source.clone())
                    .map_err(|error| CorpusError::Template { field, phrasing: i + 1, cause: explain(&error) })?;
            }
            if phrasing.output.trim().is_empty() {
                let cause = "it is empty: there would be nothing to learn".to_owned();
                return Err(CorpusError::Template { field: "output", phrasing: i + 1, cause });
            }
        }
        let weights = phrasings.iter().map(|phrasing| phrasing.weight.max(1)).collect();
        Ok(Build { environment, weights, cuts, seed })
    }

    /// The rows of a batch, on all threads and in order.
    ///
    /// # Errors
    /// Of each document that gives no row, why: a field is missing, or prompt or output are empty.
    pub fn rows(&self, batch: Vec<Document>) -> Vec<Result<TaskRow, Box<NoRow>>> {
        batch.into_par_iter().map(|document| self.row(document)).collect()
    }

    /// The row of a document.
    ///
    /// # Errors
    /// As [`Build::rows`].
    pub fn row(&self, mut document: Document) -> Result<TaskRow, Box<NoRow>> {
        for cut in &self.cuts {
            if let Some(text) = document.fields.get_mut(&cut.field) {
                let short = cut_at_sentence(text, cut.characters);
                if short.len() < text.len() {
                    *text = short.to_owned();
                }
            }
        }
        let phrasing = self.draw(&document.id);
        let said = if self.weights.is_empty() { own(&document) } else { self.write(phrasing, &document) };
        match said {
            Ok(said) => {
                let Document { id, provenance, .. } = document;
                Ok(TaskRow { id, said, phrasing, provenance })
            }
            Err(reason) => Err(Box::new(NoRow { document, reason })),
        }
    }

    fn draw(&self, id: &str) -> usize {
        let all: u32 = self.weights.iter().sum();
        if all == 0 {
            return 0;
        }
        let mut at = Stream::new(self.seed, DRAW_PHRASING, hash(id)).below(all as usize);
        self.weights
            .iter()
            .position(|weight| {
                let here = at < *weight as usize;
                at = at.wrapping_sub(*weight as usize);
                here
            })
            .unwrap_or(0)
    }

    fn write(&self, phrasing: usize, document: &Document) -> Result<Said, Reason> {
        let mut fields: BTreeMap<&str, &str> = BTreeMap::from([("id", document.id.as_str())]);
        fields.extend(document.provenance.url.as_deref().map(|url| ("url", url)));
        fields.extend(document.fields.iter());
        let context = minijinja::Value::from_pairs(fields);
        let mut parts = PARTS.into_iter().map(|field| {
            let template =
                self.environment.get_template(&name(phrasing, field)).expect("every phrasing has its templates");
            let text = template.render(&context).map_err(|error| Reason {
                label: if error.kind() == ErrorKind::UndefinedError { "missing field" } else { "template failed" },
                detail: format!("phrasing {}, {field}: {}", phrasing + 1, explain(&error)),
            })?;
            Ok(text.trim().to_owned())
        });
        let mut part = || parts.next().unwrap_or_else(|| Ok(String::new()));
        checked(part()?, part()?, part()?, part()?)
    }
}

/// The row that a document is already.
fn own(document: &Document) -> Result<Said, Reason> {
    if let Some(messages) = document.fields.get("messages") {
        return Ok(Said::Conversation(messages.to_owned()));
    }
    let field = |name: &str| document.text(name).trim().to_owned();
    checked(field("system"), field("instruction"), field("input"), field("output"))
}

fn checked(system: String, instruction: String, input: String, output: String) -> Result<Said, Reason> {
    if instruction.is_empty() && input.is_empty() {
        return Err(Reason { label: "empty prompt", detail: "neither instruction nor input say anything".into() });
    }
    if output.is_empty() {
        return Err(Reason { label: "empty output", detail: "there is nothing to learn".into() });
    }
    Ok(Said::Task { system, instruction, input, output })
}

fn name(phrasing: usize, field: &str) -> String {
    format!("{phrasing}/{field}")
}

fn explain(error: &minijinja::Error) -> String {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match error.line() {
        Some(line) => format!("{message} (line {line})"),
        None => message,
    }
}

/// A number that depends on a text alone.
pub(super) fn hash(text: &str) -> u64 {
    let mut state = text.len() as u64;
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = key(&[state, u64::from_le_bytes(word)]);
    }
    state
}
