//! The settings of a run's data, resolved: what the recipe's `[data]` section becomes.

use std::path::PathBuf;

use crate::rows::Format;

/// Settings of the data of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct DataOptions {
    /// The files, in order.
    pub sources: Vec<Source>,
    /// Which tokens carry a label.
    pub train_on: TrainOn,
    /// Longest row in tokens, end-of-turn included.
    pub max_length: usize,
    /// What happens to longer rows.
    pub overlong: Overlong,
    /// How rows without a part of their own are divided.
    pub split: Split,
    /// Whether repeated rows are left out.
    pub dedup: Dedup,
    /// Read at most this many rows, over all sources together.
    pub limit: Option<usize>,
    /// Largest share of the answers' tokens that may be lost to `max_length` before a run refuses to start.
    pub max_answer_loss: f64,
}

impl Default for DataOptions {
    fn default() -> Self {
        DataOptions {
            sources: Vec::new(),
            train_on: TrainOn::Answers,
            max_length: 1024,
            overlong: Overlong::Drop,
            split: Split { test: TestSize::Rows(0), by: SplitBy::Hash },
            dedup: Dedup::None,
            limit: None,
            max_answer_loss: 0.05,
        }
    }
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// The shape of its rows.
    pub format: Format,
    /// The side all its rows belong to; `None` leaves it to the split.
    pub part: Option<Part>,
}

impl Source {
    /// A source whose row shapes are recognised row by row and whose rows the split divides.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Source { path: path.into(), format: Format::Auto, part: None }
    }
}

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Trained on.
    Train,
    /// Held out.
    Test,
}

/// Which tokens carry a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrainOn {
    /// Every answer and its end-of-turn token.
    #[default]
    Answers,
    /// The last answer and its end-of-turn token.
    LastAnswer,
    /// All that follows the last answer's prompt: also what the template writes behind the end of turn, such as a line break.
    Completion,
    /// Every token but the first, which nothing predicts.
    All,
}

/// What happens to a row longer than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlong {
    /// It is left out.
    #[default]
    Drop,
    /// The prompt's oldest tokens are cut; a leading beginning-of-sequence token stays.
    TruncatePrompt,
    /// The row's end is cut.
    TruncateEnd,
    /// The run does not start.
    Refuse,
}

/// How rows are divided between training and test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// How much is held out.
    pub test: TestSize,
    /// By which rule.
    pub by: SplitBy,
}

/// How much is held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TestSize {
    /// A share of the rows, in [0, 1).
    Fraction(f64),
    /// A number of rows. Rows with the same prompt stay together, so by hash it may be exceeded by a few.
    Rows(usize),
}

/// By which rule rows are held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SplitBy {
    /// By a hash of the prompt: a row stays on its side whatever else the file holds, and equal prompts stay together.
    #[default]
    Hash,
    /// The last rows in reading order are held out.
    Order,
}

/// Whether repeated rows are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dedup {
    /// Repeated rows are trained repeatedly.
    #[default]
    None,
    /// Of rows on one side that say the same but for white space, the first is kept.
    Exact,
}
