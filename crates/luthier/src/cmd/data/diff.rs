//! `luthier data diff`: what changed from one data set to another.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use luthier_corpus::statistics::{DataSet, Difference, Part, Statistics, messages_of};
use luthier_corpus::{Document, FileFormat, Side};
use luthier_report::data::{
    Change, ChangedRow, Changes, Counts, LengthChange, Row, SideChanges, changes_text, word_spans,
};
use luthier_text::Message;

use crate::cmd::inspect::{data, marks, record};
use crate::cmd::{Failure, print};

/// Shows what changed from one data set to another: rows that are in both, in one alone, or changed
///
/// A and B are files of any format that `luthier build` reads, folders of such files, or data sets that it has made. The order of rows does
/// not count, nor does white space; a row that stands several times is matched as often as it stands in both. A row is changed where both
/// have its prompt with another output, and rewritten where both have its id with other words. Of two data sets that were built also the rows that went to the other side of the split.
///
/// --json prints one object: a, b, rows: [A, B], faults: [A, B], both, changed, rewritten, only_a, only_b; sides: {train: [A, B], test: [A, B], to_test,
/// to_train} or null; shapes, languages, scripts: [{name, a, b}]; lengths in characters: [{part, a, b}], each {count, min, median, mean,
/// p95, max, histogram: [{from, to, count}]} or null; first_only_a, first_only_b: [{place, texts: [{name, text}]}]; first_changed, first_rewritten: [{places: [A, B], same,
/// before, after}], where before and after are [{differs, text}]; first_moved: [[row of A, row of B]].
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier data diff corpora/titles corpora/titles-2\n  \
    luthier data diff old.jsonl new.parquet --rows 20\n  \
    luthier data diff old.jsonl new.jsonl --exit-code --json\n\n\
    Colours need a terminal; elsewhere, or with NO_COLOR set, [- -] stand around what went and {+ +} around what came.")]
pub(crate) struct Args {
    /// The first data set
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second
    #[arg(value_name = "B")]
    b: PathBuf,
    /// How many rows of each kind to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    rows: usize,
    /// What the files are, where content and names do not tell
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    #[arg(value_parser = PossibleValuesParser::new(FileFormat::NAMES).try_map(|name| name.parse::<FileFormat>()))]
    format: FileFormat,
    /// Exits with 1 where anything differs, and with 0 where nothing does
    #[arg(long)]
    exit_code: bool,
    /// Prints one object of JSON
    #[arg(long)]
    json: bool,
}

/// Characters of a changed row that are compared; texts that differ all over take long.
const COMPARED: usize = 4_000;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let [a, b] = [&args.a, &args.b].map(|path| DataSet::open(path, args.format).map_err(data::failure));
    let (a, b) = (a?, b?);
    if is_same(&args.a, &args.b) {
        return Err(Failure::input(format!("{} and {} are the same; give two", args.a.display(), args.b.display())));
    }
    let difference = Difference::of(&a, &b, args.rows, &mut data::progress()).map_err(data::failure)?;
    let changes = changes(&a, &b, &difference);
    if args.json {
        let json = serde_json::to_string(&changes).map_err(Failure::run)?;
        print(&format!("{json}\n"))?;
    } else {
        print(&changes_text(&changes, marks::colours()))?;
    }
    if args.exit_code && !difference.is_none() {
        std::process::exit(1);
    }
    Ok(())
}

fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(a).is_some_and(|path| Some(path) == real(b))
}

/// One part of the rows.
type PartOf = fn(&Statistics) -> &Part;

fn changes(a: &DataSet, b: &DataSet, difference: &Difference) -> Changes {
    let of = |count: fn(&Statistics) -> u64| [count(&difference.a), count(&difference.b)];
    let both_built = a.built.is_some() && b.built.is_some();
    let list = |counts: &dyn Fn(&Statistics) -> Counts| side_by_side(&counts(&difference.a), &counts(&difference.b));
    let parts: [(&str, PartOf); 3] =
        [("prompt", |all| &all.prompts), ("output", |all| &all.outputs), ("text", |all| &all.texts)];
    let length = |(part, of): (&'static str, PartOf)| {
        let [a, b] = [&difference.a, &difference.b].map(|all| record::of_lengths(&of(all).characters));
        (a.is_some() || b.is_some()).then_some(LengthChange { part, a, b })
    };
    let rows = |rows: &[Document]| -> Vec<Row> { rows.iter().map(record::of_row).collect() };
    let examples = &difference.examples;
    Changes {
        a: a.path.display().to_string(),
        b: b.path.display().to_string(),
        rows: of(|all| all.tally.documents()),
        faults: of(|all| all.tally.faults()),
        both: difference.both,
        changed: difference.changed,
        rewritten: difference.rewritten,
        only_a: difference.only_a,
        only_b: difference.only_b,
        sides: both_built.then(|| SideChanges {
            train: of(|all| all.rows_of(Side::Train)),
            test: of(|all| all.rows_of(Side::Test)),
            to_test: difference.to_test,
            to_train: difference.to_train,
        }),
        shapes: list(&|all| Counts::of(all.tally.documents.iter().map(|(name, count)| (*name, *count)))),
        languages: list(&record::languages),
        scripts: list(&|all| Counts::of(all.scripts.iter().map(|(script, count)| (script.name(), *count)))),
        lengths: parts.into_iter().filter_map(length).collect(),
        first_only_a: rows(&examples.only_a),
        first_only_b: rows(&examples.only_b),
        first_changed: examples.changed.iter().map(|(old, new)| changed(old, new)).collect(),
        first_rewritten: examples.rewritten.iter().map(|(old, new)| rewritten(old, new)).collect(),
        first_moved: examples.moved.iter().map(|(a, b)| [a, b].map(record::of_row)).collect(),
    }
}

/// Numbers of both by their names, in the order of those that changed most.
fn side_by_side(a: &Counts, b: &Counts) -> Vec<Change> {
    let only_b = b.0.iter().filter(|count| a.get(&count.name) == 0);
    let names = a.0.iter().chain(only_b).map(|count| count.name.clone());
    let mut list: Vec<Change> = names.map(|name| Change { a: a.get(&name), b: b.get(&name), name }).collect();
    list.sort_by_key(|change| std::cmp::Reverse(change.a.abs_diff(change.b)));
    list
}

/// One prompt and its outputs in both.
fn changed(old: &Document, new: &Document) -> ChangedRow {
    let of = |document: &Document| messages_of(document).unwrap_or_default();
    let (old_messages, new_messages) = (of(old), of(new));
    let answer = |messages: &[Message]| messages.last().map_or_else(String::new, |last| last.content.clone());
    let prompt = old_messages.split_last().map_or(&[][..], |(_, prompt)| prompt);
    let same = prompt.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n");
    compared([old, new], same, &answer(&old_messages), &answer(&new_messages))
}

/// All that stands under one id in both.
fn rewritten(old: &Document, new: &Document) -> ChangedRow {
    compared([old, new], old.id.clone(), &all(old), &all(new))
}

fn compared(rows: [&Document; 2], same: String, before: &str, after: &str) -> ChangedRow {
    let begins = |text: &str| text.chars().take(COMPARED).collect::<String>();
    let (before, after) = word_spans(&begins(before), &begins(after));
    ChangedRow { places: rows.map(|row| row.provenance.to_string()), same, before, after }
}

/// What a row says, without what is noted beside it.
fn all(document: &Document) -> String {
    record::of_row(document).texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n")
}
