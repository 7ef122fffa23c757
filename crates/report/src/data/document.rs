//! The documents: every field as `--json` prints it. Texts are whole there, and cut where they are drawn.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::difference::Span;

/// What a data set holds.
#[derive(Debug, Clone, Serialize)]
pub struct DataSet {
    /// `data`.
    pub kind: &'static str,
    /// The path as it was given.
    pub path: String,
    /// The name on the card of a data set that was built.
    pub name: Option<String>,
    /// The size of its files.
    pub bytes: u64,
    /// Records read: rows, faults, and what was passed over.
    pub records: u64,
    /// Rows that could be read.
    pub rows: u64,
    /// Rows by shape.
    pub shapes: Counts,
    /// Records that are no rows and are not meant to be, by kind.
    pub passed_over: Counts,
    /// Records that could not be read.
    pub faults: Faults,
    /// The files.
    pub files: Vec<File>,
    /// Files that tell of the data and hold none, which are not read.
    pub beside: Vec<String>,
    /// The sides of a data set that was built.
    pub sides: Option<Sides>,
    /// What became of the records that a data set was built from.
    pub ledger: Option<Counts>,
    /// The fields of rows.
    pub fields: Vec<Field>,
    /// Fields of single rows beyond those listed.
    pub other_fields: u64,
    /// Lengths of prompts, outputs and running texts, where there are any, and turns of conversations of more than one.
    pub lengths: Vec<Part>,
    /// Rows by language; `none` where none can be told.
    pub languages: Counts,
    /// Rows by script of their Chinese.
    pub scripts: Counts,
    /// Rows that repeat others.
    pub repeats: Repeats,
    /// The most frequent instructions.
    pub instructions: Frequent,
    /// The most frequent outputs.
    pub outputs: Frequent,
    /// Tokens and labels, where a model was given.
    pub model: Option<Model>,
    /// Rows drawn to look at.
    pub examples: Vec<Row>,
}

/// Numbers by name, the greatest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub Vec<Count>);

/// A number and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What is counted.
    pub name: String,
    /// How many.
    pub count: u64,
}

impl Counts {
    /// Numbers in any order.
    pub fn of<N: Into<String>>(counts: impl IntoIterator<Item = (N, u64)>) -> Self {
        let counts = counts.into_iter().map(|(name, count)| Count { name: name.into(), count });
        let mut counts: Vec<Count> = counts.filter(|count| count.count > 0).collect();
        counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        Counts(counts)
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|count| count.count).sum()
    }

    /// The number of a name, 0 where it has none.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|count| count.name == name).map_or(0, |count| count.count)
    }

    /// `3 alpaca, 1 text`.
    pub(super) fn in_words(&self) -> String {
        let words = |count: &Count| format!("{} {}", crate::figures::count(count.count), count.name);
        self.0.iter().map(words).collect::<Vec<_>>().join(", ")
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for count in &self.0 {
            map.serialize_entry(&count.name, &count.count)?;
        }
        map.end()
    }
}

/// Records that could not be read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Faults {
    /// All of them.
    pub count: u64,
    /// By kind.
    pub kinds: Counts,
    /// The first.
    pub listed: Vec<Fault>,
}

/// A record that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Its line, or its row in an array or table; `null` for a whole file or a place in bytes.
    pub line: Option<u64>,
    /// Place and reason in words.
    pub message: String,
}

/// A file of the data set.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// What it is called inside the data set.
    pub file: String,
    /// `train` or `test` in a data set that was built.
    pub side: Option<&'static str>,
    /// Its size.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
    /// Rows by shape.
    pub shapes: Counts,
    /// Records that could not be read.
    pub faults: u64,
    /// Records that are no rows and are not meant to be.
    pub passed_over: u64,
}

/// The sides of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// Rows to train on.
    pub train: u64,
    /// Rows held out.
    pub test: u64,
    /// Rows held out that stand among those to train on as well.
    pub test_in_train: u64,
}

/// A field of the rows.
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Rows in which it says something.
    pub filled: u64,
    /// Rows in which it is missing or empty.
    pub empty: u64,
    /// Of the rows in which it says something.
    pub characters: Option<Lengths>,
    /// The same in tokens, of running text alone.
    pub tokens: Option<Lengths>,
}

/// Lengths, those from 4,096 on to within 1 %; least, most and mean are exact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lengths {
    /// How many there are.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// By nearest rank.
    pub median: u64,
    /// The mean.
    pub mean: f64,
    /// Nineteen in twenty are no longer.
    pub p95: u64,
    /// The longest.
    pub max: u64,
    /// How many there are of each length.
    pub histogram: Vec<Bin>,
}

/// How many lengths lie from `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// The shortest.
    pub from: u64,
    /// The longest.
    pub to: u64,
    /// How many.
    pub count: u64,
}

/// The lengths of one part of the rows.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// `prompt`, `output`, `text` or `turns`.
    pub part: &'static str,
    /// In characters; of `turns`, in messages.
    pub characters: Lengths,
    /// In tokens: of a prompt as the template writes it, of an output all that carry a label.
    pub tokens: Option<Lengths>,
}

/// Rows that repeat others.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Repeats {
    /// Rows that say exactly what an earlier one says, but for white space.
    pub exact: u64,
    /// How many different rows are repeated.
    pub repeated: u64,
    /// The first of them.
    pub first: Vec<Pair>,
    /// Rows that say nearly the same, where that was looked for.
    pub near: Option<Near>,
    /// Prompts with several different outputs.
    pub prompts_with_several_outputs: u64,
    /// How many rows have one of these prompts.
    pub rows_with_such_prompts: u64,
    /// Of the first of these prompts two rows each.
    pub first_with_such_prompts: Vec<Pair>,
}

/// Rows that say nearly what an earlier one says.
#[derive(Debug, Clone, Serialize)]
pub struct Near {
    /// The share of letters that may differ.
    pub share: f64,
    /// How many rows.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<Pair>,
}

/// A row and an earlier one.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// The later row.
    pub row: Row,
    /// The earlier one.
    pub earlier: Row,
    /// The share of letters that differ, of rows that are nearly the same.
    pub differ: Option<f64>,
}

/// A row to look at.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Its file and its place there.
    pub place: String,
    /// Its texts in order.
    pub texts: Vec<Text>,
    /// Its tokens, where a model was given and training reads such rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// How many carry a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labelled: Option<u64>,
    /// The text that the tokens stand for, cut where labels begin and end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
}

/// A text of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// Its field, or who says it.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// A stretch of a rendered row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Whether its tokens carry labels.
    pub labelled: bool,
    /// Its text.
    pub text: String,
}

/// The most frequent texts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Frequent {
    /// How many texts there are.
    pub total: u64,
    /// How many different ones; `null` where there are too many to know.
    pub different: Option<u64>,
    /// By how much counts may be too small; 0 where they are exact.
    pub error: u64,
    /// Those that came more than once, most frequent first.
    pub most: Vec<Often>,
}

/// A text that came several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Often {
    /// Its beginning.
    pub text: String,
    /// How often it came.
    pub count: u64,
}

/// What the rows are to a model.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// The model as it was named.
    pub model: String,
    /// Tokens of each row as training would see it; `null` where training reads none.
    pub row: Option<Lengths>,
    /// All of them.
    pub tokens: u64,
    /// Those that carry a label.
    pub labelled: u64,
    /// Their share.
    pub labelled_share: Option<f64>,
    /// The length that was asked about.
    pub max_length: Option<u64>,
    /// Rows that are longer.
    pub longer: Option<u64>,
    /// Rows that the template or the tokenizer refuses.
    pub refused: u64,
    /// Why the first of them is.
    pub why_refused: Option<String>,
    /// Rows of a shape that training does not read.
    pub not_read: u64,
}

/// What changed from one data set to another.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// The first.
    pub a: String,
    /// The second.
    pub b: String,
    /// Rows of each.
    pub rows: [u64; 2],
    /// Faults of each.
    pub faults: [u64; 2],
    /// Rows that are in both, in whatever order.
    pub both: u64,
    /// Rows of which the second has the prompt with another output.
    pub changed: u64,
    /// Rows of which the second has the id, and other words.
    pub rewritten: u64,
    /// Rows of the first alone.
    pub only_a: u64,
    /// Rows of the second alone.
    pub only_b: u64,
    /// Where both were built.
    pub sides: Option<SideChanges>,
    /// Rows by shape.
    pub shapes: Vec<Change>,
    /// Rows by language.
    pub languages: Vec<Change>,
    /// Rows by script of their Chinese.
    pub scripts: Vec<Change>,
    /// Lengths of prompts, outputs and texts in characters.
    pub lengths: Vec<LengthChange>,
    /// The first rows of the first alone.
    pub first_only_a: Vec<Row>,
    /// The first rows of the second alone.
    pub first_only_b: Vec<Row>,
    /// The first rows that have another output.
    pub first_changed: Vec<ChangedRow>,
    /// The first rows that have other words under the same id.
    pub first_rewritten: Vec<ChangedRow>,
    /// The first rows that went to the other side, in the first and in the second.
    pub first_moved: Vec<[Row; 2]>,
}

/// How the sides of a split changed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SideChanges {
    /// Training rows of each.
    pub train: [u64; 2],
    /// Rows held out of each.
    pub test: [u64; 2],
    /// Rows of both that went from training to test.
    pub to_test: u64,
    /// Rows of both that went from test to training.
    pub to_train: u64,
}

/// A number in the first and in the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is counted.
    pub name: String,
    /// In the first.
    pub a: u64,
    /// In the second.
    pub b: u64,
}

/// Lengths in the first and in the second.
#[derive(Debug, Clone, Serialize)]
pub struct LengthChange {
    /// `prompt`, `output` or `text`.
    pub part: &'static str,
    /// In the first.
    pub a: Option<Lengths>,
    /// In the second.
    pub b: Option<Lengths>,
}

/// A row and what it is in the second data set.
#[derive(Debug, Clone, Serialize)]
pub struct ChangedRow {
    /// Where it stands in each.
    pub places: [String; 2],
    /// What both begin with: the prompt, or the id.
    pub same: String,
    /// What the first says, what the second lacks set off.
    pub before: Vec<Span>,
    /// What the second says, what the first lacks set off.
    pub after: Vec<Span>,
}
