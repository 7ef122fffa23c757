//! What happened while an answer was decoded, as one document, and its pictures.
//!
//! [`Explanation`] is plain data that whoever decodes fills in: written as JSON it is what `luthier explain --json` prints. [`text`] draws it for a
//! terminal, `page` and `tree` as a page with bars and the tree of the beams. Nothing here knows models or searches.

mod document;
mod page;
mod terminal;
mod tree;

pub use document::{
    Beam, BeamStep, Candidate, Continuation, Distribution, End, Explanation, Fate, Group, Hypothesis, Output, Stage,
    Step, Token,
};
pub use terminal::text;

use crate::{Language, ReportError, render};

/// The explanation as a page: one file, no script, nothing loaded.
///
/// # Errors
/// Only a fault in the page's own template.
pub fn render_explanation(explanation: &Explanation, language: Language) -> Result<String, ReportError> {
    Ok(render::explanation(&page::Page::of(explanation, language))?)
}
