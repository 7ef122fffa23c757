//! A data set on a terminal of 80 columns.

use unicode_width::UnicodeWidthStr;

use super::document::{Counts, DataSet, Fault, Faults, Field, Frequent, Lengths, Model, Pair, Part, Repeats, Row};
use crate::figures;
use crate::terminal::{Pen, Style, WIDTH, bar, fitted, padded};

/// Columns of a name at the beginning of a row.
const NAME: usize = 18;
/// Columns of a bar.
const BAR: usize = 42;
/// Kinds, languages and files that are listed one by one.
const LISTED: usize = 12;
/// Characters of a text of an example; what follows is left out and counted.
const EXAMPLE: usize = 1_200;

/// How what is learnt is set off in a terminal without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// What stands before and after what is learnt.
    pub learnt: (&'static str, &'static str),
    /// What stands before and after what is only read.
    pub read: (&'static str, &'static str),
    /// What that means, in words.
    pub legend: &'static str,
}

/// The data set for a terminal, with colours where they are wanted.
#[must_use]
pub fn text(data: &DataSet, marks: Marks, colours: bool) -> String {
    let mut pen = Pen::new(colours);
    draw_heading(data, &mut pen);
    draw_faults(&data.faults, &mut pen);
    draw_fields(data, &mut pen);
    for part in &data.lengths {
        draw_part(part, &mut pen);
    }
    if let Some(model) = &data.model {
        draw_model(model, &mut pen);
    }
    draw_counts("Languages", &data.languages, &mut pen);
    if data.scripts.0.iter().any(|count| count.name != "none") {
        draw_counts("Script of the Chinese", &data.scripts, &mut pen);
    }
    draw_repeats(&data.repeats, &mut pen);
    draw_frequent("Most frequent instructions", &data.instructions, &mut pen);
    draw_frequent("Most frequent outputs", &data.outputs, &mut pen);
    draw_examples(data, marks, &mut pen);
    pen.text
}

pub(super) fn heading(pen: &mut Pen, title: &str, note: &str) {
    pen.line("", None);
    let fits = title.width() + 2 + note.width() <= WIDTH;
    let title = pen.styled(title, Some(Style::Bold));
    let note = if note.is_empty() { String::new() } else { pen.styled(&format!("  {note}"), Some(Style::Faint)) };
    pen.line(&format!("{title}{}{note}", if fits { "" } else { "\n" }), None);
}

fn draw_heading(data: &DataSet, pen: &mut Pen) {
    let name = data.name.as_ref().map_or(String::new(), |name| format!("  {name}"));
    pen.line(&format!("{}{name}  {}", data.path, figures::bytes(data.bytes)), Some(Style::Bold));
    let mut parts = vec![format!("{} rows ({})", figures::count(data.rows), data.shapes.in_words())];
    if data.faults.count > 0 {
        parts.push(format!("{} faults ({})", figures::count(data.faults.count), data.faults.kinds.in_words()));
    }
    if data.passed_over.sum() > 0 {
        parts.push(format!("{} passed over ({})", figures::count(data.passed_over.sum()), data.passed_over.in_words()));
    }
    pen.paragraph(&format!("{} records: {}", figures::count(data.records), parts.join(", ")), 0, 2);
    if let Some(sides) = data.sides {
        let [train, test] = [sides.train, sides.test].map(figures::count);
        let shared = match sides.test_in_train {
            0 => "no test row stands in train".to_owned(),
            rows => format!("{} test rows stand in train too", figures::count(rows)),
        };
        pen.paragraph(&format!("train {train}, test {test}; {shared}"), 0, 2);
    }
    if let Some(ledger) = &data.ledger {
        pen.paragraph(&format!("built from {} records: {}", figures::count(ledger.sum()), ledger.in_words()), 0, 2);
    }
    if !data.beside.is_empty() {
        pen.paragraph(&format!("not read, since they tell of the data: {}", data.beside.join(", ")), 0, 2);
    }
    if data.files.len() > 1 {
        draw_files(data, pen);
    }
}

fn draw_files(data: &DataSet, pen: &mut Pen) {
    heading(pen, "Files", "");
    pen.line(&format!("{:<36}{:>11}{:>9}{:>13}  shape", "", "rows", "faults", "passed over"), Some(Style::Faint));
    for file in data.files.iter().take(LISTED) {
        let shapes: Vec<&str> = file.shapes.0.iter().map(|count| count.name.as_str()).collect();
        let numbers = [file.shapes.sum(), file.faults, file.passed_over].map(nothing_or);
        let [rows, faults, passed] = numbers;
        let line = format!("{}{rows:>11}{faults:>9}{passed:>13}  {}", padded(&file.file, 36), shapes.join(" "));
        pen.line(&fitted_line(&line), None);
    }
    more(data.files.len(), "files", pen);
}

fn more(all: usize, what: &str, pen: &mut Pen) {
    if all > LISTED {
        pen.line(&format!("... {} more {what}", all - LISTED), Some(Style::Faint));
    }
}

/// A line cut to the terminal; its inner spaces stay.
fn fitted_line(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    format!("{}{}", &line[..indent], fitted(line, WIDTH - indent))
}

/// A count, a dot for nothing.
fn nothing_or(count: u64) -> String {
    if count == 0 { "·".to_owned() } else { figures::count(count) }
}

fn draw_faults(faults: &Faults, pen: &mut Pen) {
    if faults.count == 0 {
        return;
    }
    heading(pen, "Faults", "");
    for Fault { message, .. } in &faults.listed {
        pen.line(message, None);
    }
    let left = faults.count - faults.listed.len() as u64;
    if left > 0 {
        pen.line(&format!("... {} more; --faults N names N", figures::count(left)), Some(Style::Faint));
    }
}

fn draw_fields(data: &DataSet, pen: &mut Pen) {
    if data.fields.is_empty() {
        return;
    }
    type Of = fn(&Field) -> Option<&Lengths>;
    let kinds: [(&str, Of); 2] =
        [("characters", |field| field.characters.as_ref()), ("tokens", |field| field.tokens.as_ref())];
    for (unit, lengths) in kinds {
        let fields: Vec<&Field> =
            data.fields.iter().filter(|field| unit == "characters" || lengths(field).is_some()).collect();
        if fields.is_empty() {
            continue;
        }
        heading(pen, "Fields", &format!("{unit} where they say something"));
        let head = ["filled", "empty", "min", "median", "mean", "p95", "max"];
        pen.line(&row("", &head.map(str::to_owned)), Some(Style::Faint));
        for field in fields.iter().take(2 * LISTED) {
            let [min, median, mean, p95, max] = lengths(field).map_or([const { String::new() }; 5], five_numbers);
            let cells = [figures::count(field.filled), nothing_or(field.empty), min, median, mean, p95, max];
            pen.line(&row(&field.name, &cells), None);
        }
        if fields.len() > 2 * LISTED {
            pen.line(&format!("... {} more fields", fields.len() - 2 * LISTED), Some(Style::Faint));
        }
    }
}

/// A name and seven numbers in 80 columns.
fn row(name: &str, cells: &[String; 7]) -> String {
    let widths = [11, 10, 7, 8, 8, 8, 10];
    let cells: String = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
    padded(name, NAME) + &cells
}

fn five_numbers(lengths: &Lengths) -> [String; 5] {
    let mean = figures::decimal(lengths.mean, if lengths.mean < 1000.0 { 1 } else { 0 });
    let count = figures::count;
    [count(lengths.min), count(lengths.median), mean, count(lengths.p95), count(lengths.max)]
}

fn draw_part(part: &Part, pen: &mut Pen) {
    let unit = if part.part == "turns" { "messages" } else { "characters" };
    draw_histogram(&format!("{}, {unit}", capital(part.part)), &part.characters, pen);
    if let Some(tokens) = &part.tokens {
        let of = if part.part == "output" { "labelled tokens" } else { "tokens" };
        draw_histogram(&format!("{}, {of}", capital(part.part)), tokens, pen);
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn draw_histogram(title: &str, lengths: &Lengths, pen: &mut Pen) {
    let [min, median, mean, p95, max] = five_numbers(lengths);
    heading(pen, title, &format!("min {min}, median {median}, mean {mean}, p95 {p95}, max {max}"));
    let most = lengths.histogram.iter().map(|bin| bin.count).max().unwrap_or(0);
    for bin in &lengths.histogram {
        let range = match (bin.from == bin.to, bin.from, bin.to) {
            (true, from, _) => figures::count(from),
            (false, from, to) => format!("{}-{}", figures::count(from), figures::count(to)),
        };
        draw_bar(&format!("{range:>NAME$}"), bin.count, lengths.count, most, pen);
    }
}

fn draw_bar(name: &str, count: u64, all: u64, most: u64, pen: &mut Pen) {
    let share = figures::share(count, all).replace('\u{A0}', "");
    pen.line(&format!("{name}{:>11}{share:>8} {}", figures::count(count), bar(count, most, BAR)), None);
}

pub(super) fn draw_counts(title: &str, counts: &Counts, pen: &mut Pen) {
    let all = counts.sum();
    if all == 0 {
        return;
    }
    heading(pen, title, "");
    for count in counts.0.iter().take(LISTED) {
        draw_bar(&padded(&count.name, NAME), count.count, all, all, pen);
    }
    more(counts.0.len(), "", pen);
}

fn draw_model(model: &Model, pen: &mut Pen) {
    if let Some(row) = &model.row {
        draw_histogram("Row, tokens with the template", row, pen);
    }
    heading(pen, "Labels", &format!("as training with {} would see them", model.model));
    let [tokens, labelled] = [model.tokens, model.labelled].map(figures::count);
    let rows = model.row.as_ref().map_or(0, |row| row.count);
    let share = figures::share(model.labelled, model.tokens).replace('\u{A0}', " ");
    pen.paragraph(
        &format!("{labelled} of {tokens} tokens in {} rows carry a label: {share}", figures::count(rows)),
        0,
        2,
    );
    if let (Some(limit), Some(longer)) = (model.max_length, model.longer) {
        let share = figures::share(longer, rows).replace('\u{A0}', " ");
        let [longer, limit] = [longer, limit].map(figures::count);
        pen.paragraph(&format!("{longer} rows ({share}) are longer than {limit} tokens"), 0, 2);
    }
    if model.refused > 0 {
        let why = model.why_refused.as_deref().unwrap_or_default();
        pen.paragraph(&format!("{} rows cannot be rendered; the first: {why}", figures::count(model.refused)), 0, 2);
    }
    if model.not_read > 0 {
        let rows = figures::count(model.not_read);
        pen.paragraph(&format!("{rows} rows are of no shape that training reads; luthier build makes such rows"), 0, 2);
    }
}

fn draw_repeats(repeats: &Repeats, pen: &mut Pen) {
    heading(pen, "Repeats", "");
    match repeats.exact {
        0 => pen.line("no row says exactly what an earlier one says", None),
        rows => {
            let [rows, different] = [rows, repeats.repeated].map(figures::count);
            pen.paragraph(
                &format!("{rows} rows say exactly what an earlier one says; {different} different ones are said again"),
                0,
                2,
            );
        }
    }
    repeats.first.iter().for_each(|pair| draw_pair(pair, pen));
    if let Some(near) = &repeats.near {
        let share = figures::decimal(100.0 * near.share, 1);
        let rows = figures::count(near.rows);
        pen.paragraph(&format!("{rows} rows differ from an earlier one in at most {share} % of their letters"), 0, 2);
        near.first.iter().for_each(|pair| draw_pair(pair, pen));
    }
    if repeats.prompts_with_several_outputs > 0 {
        let [prompts, rows] =
            [repeats.prompts_with_several_outputs, repeats.rows_with_such_prompts].map(figures::count);
        pen.paragraph(&format!("{prompts} prompts have several different outputs, in {rows} rows"), 0, 2);
        repeats.first_with_such_prompts.iter().for_each(|pair| draw_conflict(pair, pen));
    }
}

fn draw_pair(pair: &Pair, pen: &mut Pen) {
    let [row, earlier] = [&pair.row, &pair.earlier].map(|row| name_of(&row.place));
    let line = match pair.differ {
        None => format!("  {row} repeats {earlier}"),
        Some(share) => format!("  {row} is nearly {earlier}: {} % differ", figures::decimal(100.0 * share, 1)),
    };
    pen.line(&fitted_line(&line), None);
    pen.line(&format!("    {}", fitted(&said(&pair.row), WIDTH - 4)), Some(Style::Faint));
}

fn draw_conflict(pair: &Pair, pen: &mut Pen) {
    let prompt = pair.row.texts.split_last().map_or(&[][..], |(_, prompt)| prompt);
    let prompt: Vec<&str> = prompt.iter().map(|text| text.text.as_str()).collect();
    pen.line(&format!("  {}", fitted(&prompt.join(" "), WIDTH - 2)), None);
    for row in [&pair.earlier, &pair.row] {
        let output = row.texts.last().map_or("", |text| text.text.as_str());
        pen.line(&format!("    {}: {}", name_of(&row.place), fitted(output, 50)), Some(Style::Faint));
    }
}

/// A place without the folders before its file.
pub(super) fn name_of(place: &str) -> &str {
    let path = place.split(" (http").next().unwrap_or(place);
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// All that a row says on one line.
pub(super) fn said(row: &Row) -> String {
    row.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>().join(" | ")
}

fn draw_frequent(title: &str, frequent: &Frequent, pen: &mut Pen) {
    if frequent.total == 0 {
        return;
    }
    let note = match (frequent.different, frequent.error) {
        (Some(different), _) if different == frequent.total => {
            format!("none of {} comes twice", figures::count(different))
        }
        (Some(different), _) => {
            format!("{} different ones in {} rows", figures::count(different), figures::count(frequent.total))
        }
        (None, error) if frequent.most.is_empty() => {
            format!("too many to count all; none came more than {} times", figures::count(error + 1))
        }
        (None, error) => format!("too many to count all; a count may be {} too small", figures::count(error)),
    };
    heading(pen, title, &note);
    for often in &frequent.most {
        pen.line(&format!("{:>10}  {}", figures::count(often.count), fitted(&often.text, WIDTH - 12)), None);
    }
}

fn draw_examples(data: &DataSet, marks: Marks, pen: &mut Pen) {
    if data.examples.is_empty() {
        return;
    }
    let rendered = data.examples.iter().any(|row| !row.pieces.is_empty());
    let note = if rendered { marks.legend } else { "" };
    heading(pen, &format!("{} rows, drawn by the seed", data.examples.len()), note);
    for row in &data.examples {
        pen.line("", None);
        let tokens = match (row.tokens, row.labelled) {
            (Some(tokens), Some(labelled)) => format!(": {tokens} tokens, {labelled} learnt"),
            _ => String::new(),
        };
        pen.line(&format!("--- {}{tokens}", row.place), None);
        if row.pieces.is_empty() {
            for text in &row.texts {
                let name = pen.styled(&format!("{}: ", text.name), Some(Style::Bold));
                pen.line(&format!("{name}{}", cut(&visible(&text.text))), None);
            }
        } else {
            let mut whole = String::new();
            for piece in &row.pieces {
                let (before, after) = if piece.labelled { marks.learnt } else { marks.read };
                whole.extend([before, &cut(&visible(&piece.text)), after]);
            }
            pen.line(&whole, None);
        }
    }
}

/// A text without what would steer the terminal.
pub(super) fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n' || *c == '\t').collect()
}

/// A text as far as a screen wants it.
fn cut(text: &str) -> String {
    match text.char_indices().nth(EXAMPLE) {
        None => text.to_owned(),
        Some((end, _)) => {
            format!("{}… ({} more characters)", &text[..end], figures::count(text[end..].chars().count() as u64))
        }
    }
}
