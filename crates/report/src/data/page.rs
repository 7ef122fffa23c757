//! A data set as data for `templates/dataset.html`: numbers formatted, phrases in the reader's language, histograms laid out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::{Counts, DataSet, Field, Frequent, Lengths, Pair, Piece, Row};
use crate::chart::{Binned, Histogram};
use crate::page::texts::Text;
use crate::{Language, figures};

/// Entries of a list of kinds; the others are told together.
const LISTED: usize = 12;
/// Files and fields of a table.
const ROWS: usize = 60;
/// Characters of a rendered row.
const RENDERED: usize = 6_000;

/// Everything the template shows.
#[derive(Serialize)]
pub(super) struct Page {
    language: &'static str,
    t: BTreeMap<&'static str, &'static str>,
    title: String,
    path: String,
    size: String,
    model: Option<String>,
    tiles: Vec<Tile>,
    notices: Vec<String>,
    histograms: Vec<Drawn>,
    shapes: Vec<Metered>,
    languages: Vec<Metered>,
    scripts: Vec<Metered>,
    ledger: Vec<Metered>,
    files: Vec<FileRow>,
    tables: Vec<Table>,
    repeats: Vec<PairView>,
    near: Vec<PairView>,
    conflicts: Vec<PairView>,
    instructions: OftenView,
    outputs: OftenView,
    rendered: bool,
    examples: Vec<ExampleView>,
    faults: Vec<String>,
    more_faults: Option<String>,
}

#[derive(Serialize)]
struct Tile {
    label: String,
    value: String,
    detail: Option<String>,
}

#[derive(Serialize)]
struct Drawn {
    chart: Histogram,
    summary: String,
}

#[derive(Serialize)]
struct Metered {
    name: String,
    count: String,
    share: String,
    /// Of 100.
    width: f64,
}

#[derive(Serialize)]
struct FileRow {
    name: String,
    cells: [String; 4],
    shapes: String,
}

#[derive(Serialize)]
struct Table {
    caption: String,
    rows: Vec<TableRow>,
}

#[derive(Serialize)]
struct TableRow {
    name: String,
    cells: [String; 7],
}

#[derive(Serialize)]
struct PairView {
    heading: String,
    texts: Vec<Text>,
}

#[derive(Serialize)]
struct OftenView {
    note: String,
    most: Vec<OftenRow>,
}

#[derive(Serialize)]
struct OftenRow {
    count: String,
    text: String,
}

#[derive(Serialize)]
struct ExampleView {
    place: String,
    tokens: String,
    pieces: Vec<Piece>,
    texts: Vec<NamedText>,
}

#[derive(Serialize)]
struct NamedText {
    name: String,
    text: Text,
}

impl Page {
    pub(super) fn of(data: &DataSet, language: Language) -> Self {
        let name = data.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let left = data.faults.count - data.faults.listed.len() as u64;
        let pairs = |pairs: &[Pair], key| pairs.iter().map(|one| pair(one, key, language)).collect();
        Self {
            language: language.tag(),
            t: language.table(),
            title: data.name.clone().unwrap_or_else(|| name.to_owned()),
            path: data.path.clone(),
            size: figures::bytes(data.bytes),
            model: data.model.as_ref().map(|model| model.model.clone()),
            tiles: tiles(data, language),
            notices: data.model.iter().filter_map(|model| model.why_refused.clone()).collect(),
            histograms: histograms(data, language),
            shapes: metered(&data.shapes),
            languages: metered(&data.languages),
            scripts: if data.scripts.sum() == data.scripts.get("none") { Vec::new() } else { metered(&data.scripts) },
            ledger: data.ledger.as_ref().map(metered).unwrap_or_default(),
            files: if data.files.len() > 1 { data.files.iter().take(ROWS).map(file).collect() } else { Vec::new() },
            tables: tables(data, language),
            repeats: pairs(&data.repeats.first, "dataset.repeats.of"),
            near: data.repeats.near.as_ref().map(|near| pairs(&near.first, "dataset.near.of")).unwrap_or_default(),
            conflicts: pairs(&data.repeats.first_with_such_prompts, "dataset.conflict.of"),
            instructions: often(&data.instructions, language),
            outputs: often(&data.outputs, language),
            rendered: data.examples.iter().any(|row| !row.pieces.is_empty()),
            examples: data.examples.iter().map(|row| example(row, language)).collect(),
            faults: data.faults.listed.iter().map(|fault| fault.message.clone()).collect(),
            more_faults: (left > 0).then(|| language.fill("dataset.more_faults", &[("n", &figures::count(left))])),
        }
    }
}

fn tiles(data: &DataSet, language: Language) -> Vec<Tile> {
    let fill = |key: &str, values: &[(&str, &str)]| Some(language.fill(key, values));
    let tile = |key: &str, value: String, detail| Tile { label: language.phrase(key).to_owned(), value, detail };
    let share = |part: u64| fill("dataset.share", &[("share", &figures::share(part, data.rows))]);
    let records = figures::count(data.records);
    let mut tiles =
        vec![tile("dataset.rows", figures::count(data.rows), fill("dataset.rows.detail", &[("n", &records)]))];
    if let Some(sides) = data.sides {
        let value = format!("{} + {}", figures::count(sides.train), figures::count(sides.test));
        let shared = figures::count(sides.test_in_train);
        tiles.push(tile("dataset.sides", value, fill("dataset.sides.detail", &[("n", &shared)])));
    }
    let kinds = (data.faults.count > 0).then(|| data.faults.kinds.in_words());
    tiles.push(tile("dataset.faults", figures::count(data.faults.count), kinds));
    let repeats = &data.repeats;
    tiles.push(tile("dataset.repeats", figures::count(repeats.exact), share(repeats.exact)));
    if let Some(near) = &repeats.near {
        let share = figures::percent_sign(&figures::decimal(100.0 * near.share, 1));
        tiles.push(tile("dataset.near", figures::count(near.rows), fill("dataset.near.detail", &[("share", &share)])));
    }
    let prompts = figures::count(repeats.prompts_with_several_outputs);
    let rows = figures::count(repeats.rows_with_such_prompts);
    tiles.push(tile("dataset.conflicts", prompts, fill("dataset.conflicts.detail", &[("n", &rows)])));
    if let Some(model) = &data.model {
        let [labelled, tokens] = [model.labelled, model.tokens].map(figures::count);
        let detail = fill("dataset.labelled.detail", &[("labelled", &labelled), ("tokens", &tokens)]);
        tiles.push(tile("dataset.labelled", figures::share(model.labelled, model.tokens), detail));
        if let (Some(limit), Some(longer)) = (model.max_length, model.longer) {
            let label = language.fill("dataset.longer", &[("n", &figures::count(limit))]);
            tiles.push(Tile { label, value: figures::count(longer), detail: share(longer) });
        }
    }
    tiles
}

fn histograms(data: &DataSet, language: Language) -> Vec<Drawn> {
    let mut drawn = Vec::new();
    let mut draw = |part: &str, unit: &str, lengths: &Lengths| {
        let [part_name, unit_name] = [format!("dataset.part.{part}"), format!("dataset.{unit}")];
        let title = [("part", language.phrase(&part_name)), ("unit", language.phrase(&unit_name))];
        let bins = lengths.histogram.iter().map(|bin| Binned { from: bin.from, to: bin.to, count: bin.count });
        let bins: Vec<Binned> = bins.collect();
        let id = format!("{part}-{unit}");
        if let Some(chart) = Histogram::new(&id, &language.fill("dataset.in", &title), &bins) {
            drawn.push(Drawn { chart, summary: summary(lengths, language) });
        }
    };
    for part in &data.lengths {
        draw(part.part, if part.part == "turns" { "messages" } else { "characters" }, &part.characters);
        if let Some(tokens) = &part.tokens {
            draw(part.part, if part.part == "output" { "labelled_tokens" } else { "tokens" }, tokens);
        }
    }
    if let Some(row) = data.model.as_ref().and_then(|model| model.row.as_ref()) {
        draw("row", "tokens", row);
    }
    drawn
}

fn summary(lengths: &Lengths, language: Language) -> String {
    let [min, median, mean, p95, max] = five_numbers(lengths);
    let values = [("min", &*min), ("median", &median), ("mean", &mean), ("p95", &p95), ("max", &max)];
    language.fill("dataset.summary", &values)
}

fn five_numbers(lengths: &Lengths) -> [String; 5] {
    let count = figures::count;
    let mean = figures::decimal(lengths.mean, 1);
    [count(lengths.min), count(lengths.median), mean, count(lengths.p95), count(lengths.max)]
}

fn metered(counts: &Counts) -> Vec<Metered> {
    let all = counts.sum();
    let metered = |name: &str, count: u64| Metered {
        name: name.to_owned(),
        count: figures::count(count),
        share: figures::share(count, all),
        width: (1000.0 * count as f64 / all.max(1) as f64).round() / 10.0,
    };
    let (listed, others) = counts.0.split_at(counts.0.len().min(LISTED));
    let mut list: Vec<Metered> = listed.iter().map(|count| metered(&count.name, count.count)).collect();
    if !others.is_empty() {
        list.push(metered("…", others.iter().map(|count| count.count).sum()));
    }
    list
}

fn file(file: &super::File) -> FileRow {
    let [rows, faults, passed] = [file.shapes.sum(), file.faults, file.passed_over].map(figures::count);
    let shapes: Vec<&str> = file.shapes.0.iter().map(|count| count.name.as_str()).collect();
    FileRow {
        name: file.file.clone(),
        cells: [figures::bytes(file.bytes), rows, faults, passed],
        shapes: shapes.join(", "),
    }
}

fn tables(data: &DataSet, language: Language) -> Vec<Table> {
    type Of = fn(&Field) -> Option<&Lengths>;
    let kinds: [(&str, Of); 2] =
        [("characters", |field| field.characters.as_ref()), ("tokens", |field| field.tokens.as_ref())];
    let table = |(unit, of): (&str, Of)| {
        let row = |field: &Field| {
            let lengths = of(field);
            if unit == "tokens" && lengths.is_none() {
                return None;
            }
            let [min, median, mean, p95, max] = lengths.map_or([const { String::new() }; 5], five_numbers);
            let [filled, empty] = [field.filled, field.empty].map(figures::count);
            Some(TableRow { name: field.name.clone(), cells: [filled, empty, min, median, mean, p95, max] })
        };
        let rows: Vec<TableRow> = data.fields.iter().filter_map(row).take(ROWS).collect();
        let unit = language.phrase(&format!("dataset.{unit}"));
        Table { caption: language.fill("dataset.fields.caption", &[("unit", unit)]), rows }
    };
    kinds.into_iter().map(table).filter(|table| !table.rows.is_empty()).collect()
}

fn pair(pair: &Pair, key: &str, language: Language) -> PairView {
    let differ = pair.differ.unwrap_or(0.0);
    let differ = figures::percent_sign(&figures::decimal(100.0 * differ, 1));
    let values = [("row", &*pair.row.place), ("earlier", &*pair.earlier.place), ("differ", &*differ)];
    let whole = |row: &Row| {
        let texts: Vec<&str> = row.texts.iter().map(|text| text.text.as_str()).collect();
        Text::example(&texts.join("\n"), language)
    };
    let texts = match key {
        "dataset.repeats.of" => vec![whole(&pair.row)],
        _ => vec![whole(&pair.earlier), whole(&pair.row)],
    };
    PairView { heading: language.fill(key, &values), texts }
}

fn often(frequent: &Frequent, language: Language) -> OftenView {
    let total = figures::count(frequent.total);
    let note = match frequent.different {
        Some(different) => {
            language.fill("dataset.different", &[("different", &figures::count(different)), ("total", &total)])
        }
        None => language.fill("dataset.inexact", &[("error", &figures::count(frequent.error))]),
    };
    let row = |often: &super::Often| OftenRow { count: figures::count(often.count), text: often.text.clone() };
    OftenView { note, most: frequent.most.iter().map(row).collect() }
}

fn example(row: &Row, language: Language) -> ExampleView {
    let tokens = match (row.tokens, row.labelled) {
        (Some(tokens), Some(labelled)) => {
            let [tokens, labelled] = [tokens, labelled].map(figures::count);
            language.fill("dataset.example.tokens", &[("tokens", &tokens), ("labelled", &labelled)])
        }
        _ => String::new(),
    };
    let text = |text: &super::Text| NamedText { name: text.name.clone(), text: Text::example(&text.text, language) };
    ExampleView {
        place: row.place.clone(),
        tokens,
        pieces: beginning(&row.pieces),
        texts: row.texts.iter().map(text).collect(),
    }
}

/// As much of a rendered row as the page shows.
fn beginning(pieces: &[Piece]) -> Vec<Piece> {
    let mut room = RENDERED;
    let mut shown = Vec::new();
    for piece in pieces {
        let text: String = piece.text.chars().take(room).collect();
        let left = text.len() < piece.text.len();
        room -= text.chars().count();
        shown.push(Piece { labelled: piece.labelled, text: if left { text + "…" } else { text } });
        if left {
            break;
        }
    }
    shown
}
