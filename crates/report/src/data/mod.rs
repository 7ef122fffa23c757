//! What a data set holds, and what changed between two of them, as documents and their pictures.
//!
//! [`DataSet`] and [`Changes`] are plain data that whoever reads the rows fills in: written as JSON they are what `luthier inspect --json` and
//! `luthier data diff --json` print. [`text`] and [`changes_text`] draw them for a terminal, `page` draws a data set as a page with its
//! histograms. Nothing here reads rows or knows models.

mod changes;
mod document;
mod page;
mod terminal;

pub use changes::changes_text;
pub use document::{
    Bin, Change, ChangedRow, Changes, Count, Counts, DataSet, Fault, Faults, Field, File, Frequent, LengthChange,
    Lengths, Model, Near, Often, Pair, Part, Piece, Repeats, Row, SideChanges, Sides, Text,
};
pub use terminal::{Marks, text};

pub use crate::difference::{Span, word_spans};
use crate::{Language, ReportError, render};

/// The data set as a page: one file, no script, nothing loaded.
///
/// # Errors
/// Only a fault in the page's own template.
pub fn render_data(data: &DataSet, language: Language) -> Result<String, ReportError> {
    Ok(render::data(&page::Page::of(data, language))?)
}
