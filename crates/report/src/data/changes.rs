//! What changed from one data set to another, on a terminal of 80 columns.

use super::document::{Change, ChangedRow, Changes, LengthChange, Lengths, Row};
use super::terminal::{heading, name_of, said, visible};
use crate::difference::Span;
use crate::figures;
use crate::terminal::{Pen, Style, WIDTH, fitted, padded};

/// Columns of a name at the beginning of a row.
const NAME: usize = 24;
/// Characters on either side of a change that are shown; more of them are passed over.
const AROUND: usize = 60;

/// The changes for a terminal, with colours where they are wanted; without, `[-` and `-]` stand around what went, `{+` and `+}` around
/// what came.
#[must_use]
pub fn changes_text(changes: &Changes, colours: bool) -> String {
    let mut pen = Pen::new(colours);
    pen.line(&format!("A  {}", changes.a), Some(Style::Bold));
    pen.line(&format!("B  {}", changes.b), Some(Style::Bold));
    let same = changes.changed + changes.rewritten + changes.only_a + changes.only_b == 0
        && changes.sides.is_none_or(|sides| sides.to_test + sides.to_train == 0);
    if same {
        pen.line(&format!("the same {} rows, in whatever order", figures::count(changes.both)), None);
    }
    heading(&mut pen, "Rows", "");
    head(&mut pen);
    numbers("all", changes.rows[0], changes.rows[1], &mut pen);
    if changes.faults != [0, 0] {
        numbers("faults", changes.faults[0], changes.faults[1], &mut pen);
    }
    if let Some(sides) = changes.sides {
        numbers("train", sides.train[0], sides.train[1], &mut pen);
        numbers("test", sides.test[0], sides.test[1], &mut pen);
    }
    pen.line("", None);
    let mut kinds = vec![
        ("in both", changes.both),
        ("changed: same prompt, other output", changes.changed),
        ("changed: same id, other words", changes.rewritten),
        ("only in A", changes.only_a),
        ("only in B", changes.only_b),
    ];
    if let Some(sides) = changes.sides {
        kinds.push(("in both, moved from train to test", sides.to_test));
        kinds.push(("in both, moved from test to train", sides.to_train));
    }
    for (kind, count) in kinds {
        pen.line(&format!("{kind:<35}{:>11}", figures::count(count)), None);
    }
    for (title, list) in
        [("Shape", &changes.shapes), ("Language", &changes.languages), ("Script of the Chinese", &changes.scripts)]
    {
        draw_list(title, list, &mut pen);
    }
    draw_lengths(&changes.lengths, &mut pen);
    draw_rows("Only in A", '-', &changes.first_only_a, changes.only_a, Style::Removed, &mut pen);
    draw_rows("Only in B", '+', &changes.first_only_b, changes.only_b, Style::Added, &mut pen);
    draw_changed("Changed: same prompt, other output", &changes.first_changed, changes.changed, &mut pen);
    draw_changed("Changed: same id, other words", &changes.first_rewritten, changes.rewritten, &mut pen);
    draw_moved(changes, &mut pen);
    pen.text
}

fn head(pen: &mut Pen) {
    pen.line(&format!("{:NAME$}{:>14}{:>14}{:>14}", "", "A", "B", "B - A"), Some(Style::Faint));
}

fn numbers(name: &str, a: u64, b: u64, pen: &mut Pen) {
    let difference = figures::signed(b as f64 - a as f64, 0);
    let [shown_a, shown_b] = [a, b].map(figures::count);
    pen.line(&format!("{}{shown_a:>14}{shown_b:>14}{difference:>14}", padded(name, NAME)), None);
}

/// Only lists of which something changed.
fn draw_list(title: &str, list: &[Change], pen: &mut Pen) {
    if list.iter().all(|change| change.a == change.b) {
        return;
    }
    heading(pen, title, "");
    head(pen);
    for Change { name, a, b } in list.iter().take(12) {
        numbers(name, *a, *b, pen);
    }
}

fn draw_lengths(lengths: &[LengthChange], pen: &mut Pen) {
    if lengths.iter().all(|length| length.a == length.b) {
        return;
    }
    heading(pen, "Lengths in characters", "");
    head(pen);
    for LengthChange { part, a, b } in lengths {
        type Of = fn(&Lengths) -> f64;
        let measures: [(&str, Of, usize); 4] = [
            ("median", |lengths| lengths.median as f64, 0),
            ("mean", |lengths| lengths.mean, 1),
            ("p95", |lengths| lengths.p95 as f64, 0),
            ("max", |lengths| lengths.max as f64, 0),
        ];
        for (measure, of, digits) in measures {
            let [a, b] = [a, b].map(|lengths| lengths.as_ref().map(of));
            let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| figures::decimal(value, digits));
            let difference = a.zip(b).map_or(String::new(), |(a, b)| figures::signed(b - a, digits));
            let name = padded(&format!("{part}, {measure}"), NAME);
            pen.line(&format!("{name}{:>14}{:>14}{difference:>14}", shown(a), shown(b)), None);
        }
    }
}

fn shown_of(shown: usize, all: u64) -> String {
    if shown as u64 == all { String::new() } else { format!("the first {shown} of {}", figures::count(all)) }
}

fn draw_rows(title: &str, sign: char, rows: &[Row], all: u64, style: Style, pen: &mut Pen) {
    if rows.is_empty() {
        return;
    }
    heading(pen, title, &shown_of(rows.len(), all));
    for row in rows {
        pen.line(&format!("{sign} {}", fitted(name_of(&row.place), WIDTH - 2)), Some(Style::Faint));
        pen.line(&format!("  {}", fitted(&said(row), WIDTH - 2)), Some(style));
    }
}

fn draw_changed(title: &str, rows: &[ChangedRow], all: u64, pen: &mut Pen) {
    if rows.is_empty() {
        return;
    }
    heading(pen, title, &shown_of(rows.len(), all));
    for ChangedRow { places, same, before, after } in rows {
        let [old, new] = [name_of(&places[0]), name_of(&places[1])];
        pen.line(&fitted(&format!("{old} -> {new}"), WIDTH), Some(Style::Faint));
        if !same.is_empty() {
            pen.line(&format!("  {}", fitted(same, WIDTH - 2)), None);
        }
        let old = marked(before, ("[-", "-]"), Style::Removed, pen);
        let new = marked(after, ("{+", "+}"), Style::Added, pen);
        pen.line(&format!("- {old}"), None);
        pen.line(&format!("+ {new}"), None);
    }
}

/// A text with what differs set off, and long stretches that are the same passed over.
fn marked(spans: &[Span], around: (&str, &str), style: Style, pen: &Pen) -> String {
    let mut text = String::new();
    for (at, span) in spans.iter().enumerate() {
        let shown = visible(&span.text).replace('\n', "⏎");
        if !span.differs {
            text += &passed_over(&shown, at == 0, at + 1 == spans.len());
        } else if pen.colours {
            text += &pen.styled(&shown, Some(style));
        } else {
            text.extend([around.0, &shown, around.1]);
        }
    }
    text
}

/// The ends of a long stretch; at the beginning and end of a text only the one that lies beside a change.
fn passed_over(text: &str, first: bool, last: bool) -> String {
    let letters: Vec<char> = text.chars().collect();
    // A text of which nothing is gone is known by its beginning.
    let (head, tail) = (if first && !last { 0 } else { AROUND }, if last { 0 } else { AROUND });
    if letters.len() <= head + tail + AROUND {
        return text.to_owned();
    }
    let piece = |letters: &[char]| letters.iter().collect::<String>();
    format!("{}…{}", piece(&letters[..head]), piece(&letters[letters.len() - tail..]))
}

fn draw_moved(changes: &Changes, pen: &mut Pen) {
    let Some(sides) = changes.sides.filter(|_| !changes.first_moved.is_empty()) else { return };
    heading(pen, "Moved", &shown_of(changes.first_moved.len(), sides.to_test + sides.to_train));
    for [old, new] in &changes.first_moved {
        pen.line(&fitted(&format!("{} -> {}", name_of(&old.place), name_of(&new.place)), WIDTH), Some(Style::Faint));
        pen.line(&format!("  {}", fitted(&said(old), WIDTH - 2)), None);
    }
}
