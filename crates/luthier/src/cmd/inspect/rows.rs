//! The first training rows of a recipe as training sees them, and the ledger of them all.

use std::path::Path;

use luthier_hub::{Hub, Want};
use luthier_text::Example;
use luthier_train::{Recipe, RenderedRows, RunFolder, find_models, render_rows};
use serde_json::json;

use super::marks;
use crate::cmd::{Failure, print};
use crate::progress::counter;
use crate::stages;

pub(super) fn show(path: &Path, count: usize, hub: &Hub, json: bool) -> Result<(), Failure> {
    let (rendered, ledger) = render(path, hub)?;
    let RenderedRows { tokenizer, prepared, options, notices, .. } = &rendered;
    for notice in notices {
        eprintln!("note: {notice}");
    }
    if let Err(error) = prepared.check(options) {
        eprintln!("note: a run would not start: {error}");
    }
    let rows = || prepared.train.iter().take(count);
    if json {
        eprintln!("{}", prepared.ledger.summary());
        let line = |row: &Example| json!({"tokens": row.tokens, "labelled": row.labelled, "text": row.text});
        return print(&rows().map(|row| format!("{}\n", line(row))).collect::<String>());
    }
    let marks = marks::of_stdout();
    let mut screen = String::new();
    if count > 0 && !prepared.train.is_empty() {
        screen += &format!("{} of {} training rows; {}\n\n", rows().count(), prepared.train.len(), marks.legend);
    }
    for (i, row) in rows().enumerate() {
        let (tokens, learnt) = (row.tokens.len(), row.labelled_tokens());
        screen += &format!(
            "--- row {}: {tokens} tokens, {learnt} learnt\n{}\n\n",
            i + 1,
            marks::marked(tokenizer, row, marks)
        );
    }
    print(&(screen + &ledger))
}

/// Renders the rows beside a folder that is gone afterwards; the ledger's table names generated files as a run would.
fn render(path: &Path, hub: &Hub) -> Result<(RenderedRows, String), Failure> {
    let mut recipe = Recipe::read(path).map_err(Failure::input)?.resolve();
    let scratch = tempfile::tempdir().map_err(|error| Failure::run(format!("no temporary folder: {error}")))?;
    let folder = RunFolder::open(scratch.path(), false).map_err(stages::failure)?;
    for notice in find_models(&mut recipe, &folder, hub, Want::Description).map_err(stages::failure)? {
        eprintln!("warning: {notice}");
    }
    let pocket = stages::pocket_for(&recipe)?;
    let rendered = render_rows(&recipe, &folder, &pocket, &counter("rows")).map_err(stages::failure)?;
    let ledger = rendered.prepared.ledger.to_markdown().replace(&format!("{}/", scratch.path().display()), "");
    Ok((rendered, ledger))
}
