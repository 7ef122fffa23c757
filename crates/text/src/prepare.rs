//! All rows of a run: rendered, divided, deduplicated, cut to length, and booked.
//!
//! Rows are rendered on all threads; the decisions after that are made in reading order, so the outcome does not depend on the
//! number of threads: side of the split, then duplicates within a side, then training rows that the test side holds, then length.

mod length;
mod sides;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::TextError;
use crate::ledger::{Ledger, LedgerEntry, Outcome, Reason};
use crate::options::{DataOptions, Dedup, Overlong, Part, TrainOn};
use crate::render::{Example, PromptTokens, Renderer, prompt_and_answer};
use crate::rows::{Content, Message, Row, RowFault};
use sides::Fingerprint;

/// A held-out row.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRow {
    /// Its file.
    pub source: String,
    /// Its line, or its position in a JSON array.
    pub line: usize,
    /// The prompt's tokens, as served; empty for plain text.
    pub prompt: Vec<u32>,
    /// The prompt's text.
    pub prompt_text: String,
    /// The answer to compare with.
    pub reference: String,
    /// The messages of the prompt.
    pub messages: Vec<Message>,
    /// The whole row with labels, for loss and perplexity.
    pub example: Example,
}

/// The rows of a run, ready for packing.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// Rows to train on, in reading order.
    pub train: Vec<Example>,
    /// Held-out rows, in reading order.
    pub test: Vec<TestRow>,
    /// The fate of every row.
    pub ledger: Ledger,
    /// What the reader of the run should know: rows tokenised in pieces, answers without an end, a template that follows the clock.
    pub notices: Vec<String>,
    /// Labelled tokens of the training side before `max_length` was applied.
    pub answer_tokens: usize,
    /// Labelled tokens of the training side that `max_length` took.
    pub answer_tokens_lost: usize,
}

impl Prepared {
    /// The share of the training answers' tokens that `max_length` took, in [0, 1].
    #[must_use]
    pub fn answer_tokens_lost_share(&self) -> f64 {
        if self.answer_tokens == 0 { 0.0 } else { self.answer_tokens_lost as f64 / self.answer_tokens as f64 }
    }

    /// Whether a run may start: something is left to train on, and not too much of the answers is lost. Write the ledger first,
    /// so that a refusal can be looked into.
    ///
    /// # Errors
    /// [`TextError::AnswersLost`] or [`TextError::NothingToTrain`].
    pub fn check(&self, options: &DataOptions) -> Result<(), TextError> {
        let share = self.answer_tokens_lost_share();
        if share > options.max_answer_loss {
            return Err(TextError::AnswersLost {
                lost: self.answer_tokens_lost,
                total: self.answer_tokens,
                share,
                limit: options.max_answer_loss,
                max_length: options.max_length,
            });
        }
        if self.train.is_empty() {
            return Err(TextError::NothingToTrain { summary: self.ledger.summary() });
        }
        Ok(())
    }
}

/// Prepares the rows that [`crate::read_all`] read. `progress` is called with the rows rendered so far and their number, from any
/// thread.
///
/// # Errors
/// A setting that makes no sense, or `overlong = "refuse"` with rows too long. Faults of rows are entries of the ledger.
pub fn prepare(
    options: &DataOptions,
    rows: Vec<Result<Row, RowFault>>,
    renderer: &Renderer<'_>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Prepared, TextError> {
    sides::check(options)?;
    let mut booked = render_all(options, rows, renderer, progress);
    sides::assign(options, &mut booked);
    if options.dedup == Dedup::Exact {
        mark_duplicates(&mut booked);
    }
    mark_leaks(&mut booked);
    render_test_prompts(renderer, &mut booked);
    if options.overlong == Overlong::Refuse {
        length::refuse(options, &booked)?;
    }
    let losses = length::apply(options, renderer, &mut booked);
    Ok(collect(options, renderer, booked, losses))
}

/// A row on its way through.
struct Booked {
    source: String,
    line: usize,
    source_part: Option<Part>,
    tokens: usize,
    tokens_lost: usize,
    state: State,
}

enum State {
    Open(Box<Rendered>),
    Out(Outcome, Reason),
}

struct Rendered {
    example: Example,
    /// The prompt as served; filled for test rows.
    served: PromptTokens,
    messages: Vec<Message>,
    reference: String,
    prompt: Fingerprint,
    whole: Fingerprint,
    part: Part,
    cut: Option<Reason>,
}

impl Booked {
    fn open(&self) -> Option<&Rendered> {
        match &self.state {
            State::Open(rendered) => Some(rendered),
            State::Out(..) => None,
        }
    }

    fn open_mut(&mut self) -> Option<&mut Rendered> {
        match &mut self.state {
            State::Open(rendered) => Some(rendered),
            State::Out(..) => None,
        }
    }

    fn leave(&mut self, outcome: Outcome, label: &'static str, detail: String) {
        self.state = State::Out(outcome, Reason { label, detail });
    }

    fn place(&self) -> String {
        format!("{}:{}", self.source, self.line)
    }
}

fn render_all(
    options: &DataOptions,
    rows: Vec<Result<Row, RowFault>>,
    renderer: &Renderer<'_>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Booked> {
    let total = rows.len();
    let done = AtomicUsize::new(0);
    rows.into_par_iter()
        .map(|row| {
            let booked = book(options, row, renderer);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            booked
        })
        .collect()
}

fn book(options: &DataOptions, row: Result<Row, RowFault>, renderer: &Renderer<'_>) -> Booked {
    let (source, line) = match &row {
        Ok(row) => (row.source, row.line),
        Err(fault) => (fault.source, fault.line),
    };
    let source = options.sources.get(source);
    let mut booked = Booked {
        source: source.map(|s| s.path.display().to_string()).unwrap_or_default(),
        line,
        source_part: source.and_then(|s| s.part),
        tokens: 0,
        tokens_lost: 0,
        state: State::Out(Outcome::Dropped, Reason { label: "", detail: String::new() }),
    };
    match row {
        Err(fault) => booked.leave(Outcome::Dropped, fault.kind.label(), fault.message()),
        Ok(row) => match render(options.train_on, row.content, renderer) {
            Ok(rendered) => {
                booked.tokens = rendered.example.tokens.len();
                booked.state = State::Open(Box::new(rendered));
            }
            Err(error) => booked.leave(Outcome::Dropped, "cannot be rendered", error.to_string()),
        },
    }
    booked
}

fn render(train_on: TrainOn, content: Content, renderer: &Renderer<'_>) -> Result<Rendered, TextError> {
    let (example, messages, reference) = match content {
        Content::Text(text) => (renderer.text_example(&text)?, Vec::new(), text),
        Content::Conversation(mut messages) => {
            let example = renderer.render_example(&messages, train_on)?;
            let reference = prompt_and_answer(&messages).1.to_string();
            messages.pop();
            (example, messages, reference)
        }
    };
    let whole = Fingerprint::of(&messages, &reference);
    // Plain text has no prompt apart; only the whole text can be the same.
    let prompt = if messages.is_empty() { whole } else { Fingerprint::of(&messages, "") };
    let served = PromptTokens { tokens: Vec::new(), text: String::new() };
    Ok(Rendered { example, served, messages, reference, prompt, whole, part: Part::Train, cut: None })
}

/// Test rows carry the prompt that will be served for them.
fn render_test_prompts(renderer: &Renderer<'_>, booked: &mut [Booked]) {
    booked.par_iter_mut().for_each(|row| {
        let Some(rendered) = row.open_mut().filter(|r| r.part == Part::Test && !r.messages.is_empty()) else { return };
        match renderer.render_prompt(&rendered.messages) {
            Ok(prompt) => rendered.served = prompt,
            Err(error) => row.leave(Outcome::Dropped, "cannot be rendered", error.to_string()),
        }
    });
}

/// Of equal rows on one side the first stays.
fn mark_duplicates(booked: &mut [Booked]) {
    let mut seen: HashMap<(bool, Fingerprint), usize> = HashMap::new();
    for i in 0..booked.len() {
        let Some(rendered) = booked[i].open() else { continue };
        let first = *seen.entry((rendered.part == Part::Test, rendered.whole)).or_insert(i);
        if first != i {
            let detail = format!("the same as {}", booked[first].place());
            booked[i].leave(Outcome::Duplicate, "same text as an earlier row", detail);
        }
    }
}

/// No training row may show the prompt of a test row, whatever its answer.
fn mark_leaks(booked: &mut [Booked]) {
    let mut held: HashMap<Fingerprint, usize> = HashMap::new();
    for (i, row) in booked.iter().enumerate() {
        if let Some(rendered) = row.open().filter(|r| r.part == Part::Test) {
            held.entry(rendered.prompt).or_insert(i);
        }
    }
    for i in 0..booked.len() {
        let Some(rendered) = booked[i].open().filter(|r| r.part == Part::Train) else { continue };
        let Some(&test) = held.get(&rendered.prompt) else { continue };
        let same_answer = booked[test].open().is_some_and(|t| t.whole == rendered.whole);
        let label = if same_answer { "the test split holds this row" } else { "the test split holds this prompt" };
        let detail = format!("{label}: {}", booked[test].place());
        booked[i].leave(Outcome::Leaked, label, detail);
    }
}

fn collect(options: &DataOptions, renderer: &Renderer<'_>, booked: Vec<Booked>, losses: length::Losses) -> Prepared {
    let mut prepared = Prepared {
        answer_tokens: losses.answer_tokens,
        answer_tokens_lost: losses.answer_tokens_lost,
        ..Prepared::default()
    };
    prepared.ledger.rows_read = booked.len();
    prepared.notices = notices(options, renderer, &booked);
    for row in booked {
        let mut entry = LedgerEntry {
            source: row.source.clone(),
            line: row.line,
            outcome: Outcome::Dropped,
            reason: None,
            tokens: row.tokens,
            tokens_lost: row.tokens_lost,
        };
        match row.state {
            State::Out(outcome, reason) => (entry.outcome, entry.reason) = (outcome, Some(reason)),
            State::Open(rendered) => {
                entry.outcome = match rendered.part {
                    Part::Test => Outcome::Test,
                    Part::Train if rendered.cut.is_some() => Outcome::Truncated,
                    Part::Train => Outcome::Trained,
                };
                entry.reason = rendered.cut;
                match rendered.part {
                    Part::Train => prepared.train.push(rendered.example),
                    Part::Test => prepared.test.push(TestRow {
                        source: row.source,
                        line: row.line,
                        prompt: rendered.served.tokens,
                        prompt_text: rendered.served.text,
                        reference: rendered.reference,
                        messages: rendered.messages,
                        example: rendered.example,
                    }),
                }
            }
        }
        prepared.ledger.entries.push(entry);
    }
    prepared
}

fn notices(options: &DataOptions, renderer: &Renderer<'_>, booked: &[Booked]) -> Vec<String> {
    let rows: Vec<&Rendered> = booked.iter().filter_map(Booked::open).collect();
    let count = |what: fn(&Example) -> bool| rows.iter().filter(|r| what(&r.example)).count();
    let mut notices = Vec::new();
    let mut tell = |count: usize, sentence: &str| {
        if count > 0 {
            notices.push(format!("{count} rows: {sentence}"));
        }
    };
    tell(
        count(|e| e.resplit > 0),
        "tokenised in two pieces at the prompt's end, so that training sees the prompt's tokens as served",
    );
    tell(
        count(|e| e.restated),
        "the template writes the finished conversation otherwise than the prompt; trained as prompt, then answer",
    );
    tell(
        count(|e| e.unlabelled_answers > 0),
        "some earlier answers carry no label: the template rewrites what stood before them",
    );
    tell(
        count(|e| !e.ended),
        "the template writes no end-of-turn token after the answer, so the model will not learn to stop",
    );
    if renderer.template().uses_clock() {
        notices.push(format!(
            "template {} writes today's date: prompts of another day differ",
            renderer.template().name()
        ));
    }
    let asked = match options.split.test {
        crate::options::TestSize::Fraction(fraction) => fraction > 0.0,
        crate::options::TestSize::Rows(rows) => rows > 0,
    };
    if asked && !rows.iter().any(|r| r.part == Part::Test) {
        notices.push("the split left no test row; hold out a number of rows instead of a share".into());
    }
    notices
}
