//! What of a rendered row is learnt, set off from what is only read.

use std::io::IsTerminal;

use luthier_report::data::{Marks, Piece};
use luthier_text::{Example, Tokenizer};

const PLAIN: Marks = Marks { learnt: ("[[", "]]"), read: ("", ""), legend: "[[ ]] stand around what is learnt" };
const COLOURED: Marks = Marks {
    learnt: ("\x1b[1;32m", "\x1b[0m"),
    read: ("\x1b[2m", "\x1b[0m"),
    legend: "\x1b[1;32mlearnt\x1b[0m, \x1b[2monly read\x1b[0m",
};

/// Whether stdout shows colours.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// How what is learnt is set off on stdout.
pub(super) fn of_stdout() -> Marks {
    if colours() { COLOURED } else { PLAIN }
}

/// The row's text, token runs that are learnt set off from the others.
pub(super) fn marked(tokenizer: &Tokenizer, row: &Example, marks: Marks) -> String {
    let mut text = String::new();
    for Piece { labelled, text: piece } in pieces(tokenizer, row) {
        let (before, after) = if labelled { marks.learnt } else { marks.read };
        text.extend([before, &piece, after]);
    }
    text
}

/// The text of each run of tokens with or without labels. A run is decoded behind what stands before it, since some decoders treat the
/// first token of a text specially.
pub(super) fn pieces(tokenizer: &Tokenizer, row: &Example) -> Vec<Piece> {
    let (mut pieces, mut before, mut start) = (Vec::new(), String::new(), 0);
    for run in row.labelled.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        let whole = tokenizer.decode(&row.tokens[..end], false);
        let text = match whole.strip_prefix(&before) {
            Some(piece) => piece.to_owned(),
            None => tokenizer.decode(&row.tokens[start..end], false),
        };
        pieces.push(Piece { labelled: run[0], text });
        (before, start) = (whole, end);
    }
    pieces
}
