//! The self-contained HTML report of a run folder.
//!
//! Data flows one way: files -> [`Run`] (parsed, nothing decided) -> `page` (what to say, in numbers already
//! formatted and phrases already translated) -> `templates/report.html` (how it looks) -> `report.html`. The page
//! needs no network and no script, follows the reader's light or dark setting, and prints.
//!
//! What a run does not hold yet is said so on the page; what it holds but cannot be read is an error with file and line.
//! `explain` draws something else: how an answer was decoded, from a document that its caller fills in; and `data` what a data set holds,
//! and what changed between two.
//!
//! The crate depends on files only, so that the report of an old run, or one made elsewhere, can be drawn at any time.
//!
//! **Charts** are drawn here, in `chart`, not by plotters. Its SVG backend bakes colours and fonts into attributes, so a
//! chart could not follow `prefers-color-scheme`, be hatched, or carry the title and description a screen reader needs;
//! it would bring four crates for lines and bars. What is ours is small: ticks, thinning and coordinates; the
//! template turns those into SVG elements styled by the page's own CSS.

#![forbid(unsafe_code)]

mod chart;
pub mod data;
mod difference;
mod error;
pub mod explain;
mod figures;
mod language;
mod page;
mod phrases;
mod render;
mod run;
mod terminal;

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use error::ReportError;
pub use language::Language;
pub use run::{
    Commit, Comparison, EvalPoint, Ledger, Machine, Manifest, MetricInfo, Model, Outcome, Perplexity, Prediction,
    Predictions, Reason, Recipe, Run, Score, Scores, Strategy, Systems, Training, TrainingStep,
};

/// Reads the run in `run_dir` and writes its page to `run_dir/report.html`, whole or not at all; an older page is replaced.
///
/// Returns the path of the page.
///
/// # Errors
/// A path that is not a folder, a file of the run that cannot be read (with file and line), or a page that cannot be written.
pub fn write_report(run_dir: &Path, language: Language) -> Result<PathBuf, ReportError> {
    let run = Run::read(run_dir)?;
    let html = render_report(&run, language)?;
    let path = run_dir.join("report.html");
    match luthier_files::write_atomically(&path, |file| file.write_all(html.as_bytes())) {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::Write { path, source }),
    }
}

/// The page of a run as one string of HTML.
///
/// # Errors
/// Only a fault in the page's own template.
pub fn render_report(run: &Run, language: Language) -> Result<String, ReportError> {
    Ok(render::html(&page::Page::of(run, language))?)
}
