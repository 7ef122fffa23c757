//! The first training rows of a recipe as training sees them, and the ledger of them all.

use std::io::IsTerminal;
use std::path::Path;

use luthier_hub::{Hub, Want};
use luthier_text::{Example, Tokenizer};
use luthier_train::{Recipe, RenderedRows, RunFolder, find_models, render_rows};
use serde_json::json;

use crate::cmd::{Failure, print};
use crate::progress::counter;
use crate::stages;

/// How what is learnt is set off: what stands before and after it, and before and after the rest.
#[derive(Debug, Clone, Copy)]
struct Marks {
    learnt: (&'static str, &'static str),
    read: (&'static str, &'static str),
    legend: &'static str,
}

const PLAIN: Marks = Marks { learnt: ("[[", "]]"), read: ("", ""), legend: "[[ ]] stand around what is learnt" };
const COLOURED: Marks = Marks {
    learnt: ("\x1b[1;32m", "\x1b[0m"),
    read: ("\x1b[2m", "\x1b[0m"),
    legend: "\x1b[1;32mlearnt\x1b[0m, \x1b[2monly read\x1b[0m",
};

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
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let marks = if colours { COLOURED } else { PLAIN };
    let mut screen = String::new();
    if count > 0 && !prepared.train.is_empty() {
        screen += &format!("{} of {} training rows; {}\n\n", rows().count(), prepared.train.len(), marks.legend);
    }
    for (i, row) in rows().enumerate() {
        let (tokens, learnt) = (row.tokens.len(), row.labelled_tokens());
        screen +=
            &format!("--- row {}: {tokens} tokens, {learnt} learnt\n{}\n\n", i + 1, marked(tokenizer, row, marks));
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

/// The row's text, token runs that are learnt set off from the others.
fn marked(tokenizer: &Tokenizer, row: &Example, marks: Marks) -> String {
    let mut text = String::new();
    for (learnt, piece) in pieces(tokenizer, row) {
        let (before, after) = if learnt { marks.learnt } else { marks.read };
        text.extend([before, &piece, after]);
    }
    text
}

/// The text of each run of tokens with or without labels. A run is decoded behind what stands before it, since some decoders treat the
/// first token of a text specially.
fn pieces(tokenizer: &Tokenizer, row: &Example) -> Vec<(bool, String)> {
    let (mut pieces, mut before, mut start) = (Vec::new(), String::new(), 0);
    for run in row.labelled.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        let whole = tokenizer.decode(&row.tokens[..end], false);
        let piece = match whole.strip_prefix(&before) {
            Some(piece) => piece.to_owned(),
            None => tokenizer.decode(&row.tokens[start..end], false),
        };
        pieces.push((run[0], piece));
        (before, start) = (whole, end);
    }
    pieces
}
