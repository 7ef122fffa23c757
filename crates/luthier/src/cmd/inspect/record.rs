//! From the statistics of a data set to the document that is shown.

use std::collections::{BTreeMap, BTreeSet};

use luthier_corpus::statistics::{self as corpus, DataSet, Rendering, Statistics};
use luthier_corpus::{Document, Position, Side, SourceFault};
use luthier_report::data::{
    Bin, Counts, DataSet as Shown, Fault, Faults, Field, File, Frequent, Lengths, Model, Near, Often, Pair, Part,
    Repeats, Row, Sides, Text,
};
use luthier_text::Tokenizer;

use super::marks;
use crate::cmd::Failure;

/// Bars of a histogram, about; fewer for a handful of rows.
const BINS: u64 = 14;

/// What the statistics are shown with.
pub(super) struct Record<'r> {
    pub(super) set: &'r DataSet,
    pub(super) statistics: &'r Statistics,
    /// The model as it was named, its tokenizer, and how rows were rendered.
    pub(super) model: Option<(&'r str, &'r Tokenizer, Rendering<'r>)>,
    /// The share of letters by which near repeats differ at most.
    pub(super) near: Option<f64>,
    /// Frequent texts shown of each kind.
    pub(super) most: usize,
}

impl Record<'_> {
    /// The document; reads the rows that repeat others again to show them.
    pub(super) fn document(&self) -> Result<Shown, Failure> {
        let Record { set, statistics, .. } = self;
        let tally = &statistics.tally;
        let rows = tally.documents();
        Ok(Shown {
            kind: "data",
            path: set.path.display().to_string(),
            name: set.built.as_ref().and_then(|built| built.name.clone()),
            bytes: set.files.iter().map(|file| file.bytes).sum(),
            records: tally.records,
            rows,
            shapes: counts(&tally.documents),
            passed_over: counts(&tally.passed_over),
            faults: Faults {
                count: tally.faults(),
                kinds: counts(&tally.faults),
                listed: statistics.faults.iter().map(fault).collect(),
            },
            files: statistics.files.iter().map(file).collect(),
            beside: set.beside.clone(),
            sides: set.built.as_ref().map(|_| Sides {
                train: statistics.rows_of(Side::Train),
                test: statistics.rows_of(Side::Test),
                test_in_train: statistics.repeats.across_sides,
            }),
            ledger: set.built.as_ref().map(|built| Counts::of(built.outcomes.clone())),
            fields: fields(statistics, rows),
            other_fields: statistics.other_fields,
            lengths: parts(statistics),
            languages: languages(statistics),
            scripts: Counts::of(statistics.scripts.iter().map(|(script, count)| (script.name(), *count))),
            repeats: self.repeats()?,
            instructions: self.frequent(&statistics.instructions),
            outputs: self.frequent(&statistics.often_output),
            model: self.model(),
            examples: statistics.examples.iter().map(|row| self.example(row)).collect(),
        })
    }

    fn frequent(&self, frequent: &corpus::Frequent) -> Frequent {
        let often = |often: corpus::Often| Often { text: often.text, count: often.count };
        Frequent {
            total: frequent.total(),
            different: frequent.different(),
            error: frequent.error(),
            most: frequent.most(self.most).into_iter().map(often).collect(),
        }
    }

    fn repeats(&self) -> Result<Repeats, Failure> {
        let Statistics { repeats, conflicts, near, .. } = self.statistics;
        let near_pairs = near.iter().flat_map(|near| &near.first).map(|pair| &pair.rows);
        let all = repeats.first.iter().chain(&conflicts.first).chain(near_pairs);
        let numbers: BTreeSet<u64> = all.flat_map(|pair| [pair.later, pair.earlier]).collect();
        let rows = self.set.rows_at(&numbers).map_err(Failure::input)?;
        let pairs = |list: &[corpus::Pair]| list.iter().filter_map(|one| pair(&rows, one, None)).collect();
        Ok(Repeats {
            exact: repeats.rows,
            repeated: repeats.repeated,
            first: pairs(&repeats.first),
            near: near.as_ref().zip(self.near).map(|(near, share)| Near {
                share,
                rows: near.rows,
                first: near.first.iter().filter_map(|one| pair(&rows, &one.rows, Some(one.edited))).collect(),
            }),
            prompts_with_several_outputs: conflicts.prompts,
            rows_with_such_prompts: conflicts.rows,
            first_with_such_prompts: pairs(&conflicts.first),
        })
    }

    fn model(&self) -> Option<Model> {
        let labels = self.statistics.labels.as_ref()?;
        let (name, _, rendering) = self.model.as_ref()?;
        Some(Model {
            model: (*name).to_owned(),
            row: of_lengths(&labels.rows),
            tokens: labels.tokens(),
            labelled: labels.labelled,
            labelled_share: labels.share(),
            max_length: rendering.max_length,
            longer: rendering.max_length.map(|limit| labels.rows.longer_than(limit)),
            refused: labels.refused,
            why_refused: labels.why_refused.clone(),
            not_read: labels.unread,
        })
    }

    fn example(&self, document: &Document) -> Row {
        let row = of_row(document);
        // A row that cannot be rendered is counted among the refused ones, and shown as it stands.
        let rendered = self
            .model
            .as_ref()
            .and_then(|(_, tokenizer, rendering)| Some((tokenizer, rendering.example(document).ok().flatten()?)));
        let Some((tokenizer, example)) = rendered else { return row };
        Row {
            tokens: Some(example.tokens.len() as u64),
            labelled: Some(example.labelled_tokens() as u64),
            pieces: marks::pieces(tokenizer, &example),
            ..row
        }
    }
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> Counts {
    Counts::of(counts.iter().map(|(name, count)| (*name, *count)))
}

/// Rows by the code of their language, `none` where none can be told.
pub(crate) fn languages(statistics: &Statistics) -> Counts {
    Counts::of(statistics.languages.iter().map(|(code, count)| (code.unwrap_or("none"), *count)))
}

fn fault(fault: &SourceFault) -> Fault {
    let line = match fault.position {
        Position::Line(at) | Position::Row(at) => Some(at),
        Position::Whole | Position::Offset(_) => None,
    };
    Fault { file: fault.file.display().to_string(), line, message: fault.to_string() }
}

fn file(count: &corpus::FileCount) -> File {
    File {
        file: count.file.name.clone(),
        side: count.file.side.map(side_name),
        bytes: count.file.bytes,
        records: count.tally.records,
        shapes: counts(&count.tally.documents),
        faults: count.tally.faults(),
        passed_over: count.tally.passed_over.values().sum(),
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Train => "train",
        Side::Test => "test",
    }
}

/// The fields of a conversation first, in the order in which it is read.
fn fields(statistics: &Statistics, rows: u64) -> Vec<Field> {
    let mut fields: Vec<Field> = statistics.fields.iter().map(|field| of_field(field, rows)).collect();
    let order = ["system", "instruction", "input", "output"];
    fields.sort_by_key(|field| order.iter().position(|name| *name == field.name).unwrap_or(order.len()));
    fields
}

fn of_field(field: &corpus::FieldCount, rows: u64) -> Field {
    Field {
        name: field.name.clone(),
        filled: field.filled,
        empty: rows - field.filled,
        characters: of_lengths(&field.characters),
        tokens: of_lengths(&field.tokens),
    }
}

/// Lengths as a document has them; `None` where there are none.
pub(crate) fn of_lengths(lengths: &corpus::Lengths) -> Option<Lengths> {
    (lengths.count() > 0).then(|| Lengths {
        count: lengths.count(),
        min: lengths.least(),
        median: lengths.quantile(0.5),
        mean: (100.0 * lengths.mean()).round() / 100.0,
        p95: lengths.quantile(0.95),
        max: lengths.most(),
        histogram: lengths
            .bins((2 * lengths.count().isqrt()).clamp(4, BINS))
            .iter()
            .map(|bin| Bin { from: bin.from, to: bin.to, count: bin.count })
            .collect(),
    })
}

fn parts(statistics: &Statistics) -> Vec<Part> {
    let turns = corpus::Part { characters: statistics.turns.clone(), ..corpus::Part::default() };
    // Turns are worth a picture where a conversation has more than a question and its answer.
    let turns = (statistics.turns.most() > 2).then_some(("turns", &turns));
    let parts = [("prompt", &statistics.prompts), ("output", &statistics.outputs), ("text", &statistics.texts)];
    let part = |(part, lengths): (&'static str, &corpus::Part)| {
        Some(Part { part, characters: of_lengths(&lengths.characters)?, tokens: of_lengths(&lengths.tokens) })
    };
    parts.into_iter().chain(turns).filter_map(part).collect()
}

fn pair(rows: &BTreeMap<u64, Document>, pair: &corpus::Pair, differ: Option<f64>) -> Option<Pair> {
    Some(Pair { row: of_row(rows.get(&pair.later)?), earlier: of_row(rows.get(&pair.earlier)?), differ })
}

/// A row and its texts: who says what in a conversation, fields elsewhere.
pub(crate) fn of_row(document: &Document) -> Row {
    let text = |name: &str, text: &str| Text { name: name.to_owned(), text: text.to_owned() };
    let texts = match corpus::messages_of(document) {
        Some(messages) if document.fields.get("messages").is_some() => {
            messages.iter().map(|message| text(message.role.name(), &message.content)).collect()
        }
        Some(_) => {
            let fields = ["system", "instruction", "input", "output"];
            fields.iter().filter_map(|name| Some(text(name, document.fields.get(name)?))).collect()
        }
        None => document.fields.iter().map(|(name, said)| text(name, said)).collect(),
    };
    Row { place: document.provenance.to_string(), texts, ..Row::default() }
}
