//! What a card says of the rows: how many, how long, of which phrasing, and one to look at.

use serde::Deserialize;

use super::row::{Said, TaskRow};
use crate::devices::Side;

/// The sizes of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measure {
    phrasing: u32,
    prompt: u32,
    output: u32,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

impl Measure {
    pub(super) fn of(row: &TaskRow) -> Self {
        let length = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let (prompt, output) = match &row.said {
            Said::Task { system, instruction, input, output } => {
                let prompt = [system, instruction, input].map(|text| length(text));
                (prompt.into_iter().fold(0, u32::saturating_add), length(output))
            }
            Said::Conversation(messages) => {
                let turns: Vec<Turn> = serde_json::from_str(messages).unwrap_or_default();
                turns.iter().fold((0u32, 0u32), |(prompt, output), turn| match turn.role.as_str() {
                    "assistant" => (prompt, output.saturating_add(length(&turn.content))),
                    _ => (prompt.saturating_add(length(&turn.content)), output),
                })
            }
        };
        Measure { phrasing: u32::try_from(row.phrasing).unwrap_or(u32::MAX), prompt, output }
    }
}

/// Lengths in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) all: u64,
    pub(super) longest: u32,
}

impl Lengths {
    fn add(&mut self, length: u32) {
        self.all += u64::from(length);
        self.longest = self.longest.max(length);
    }
}

/// The sizes of the rows of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SideMeasure {
    pub(super) rows: u64,
    pub(super) prompts: Lengths,
    pub(super) outputs: Lengths,
}

/// The sizes of all rows.
#[derive(Debug)]
pub(super) struct Measures {
    pub(super) train: SideMeasure,
    pub(super) test: SideMeasure,
    /// How often each phrasing was drawn.
    pub(super) phrasings: Vec<u64>,
    /// The first row of the training side, as its line.
    pub(super) example: Option<String>,
}

/// The longest example that a card shows, in bytes.
const LONGEST_EXAMPLE: usize = 4096;

impl Measures {
    pub(super) fn new(phrasings: usize) -> Self {
        Measures {
            train: SideMeasure::default(),
            test: SideMeasure::default(),
            phrasings: vec![0; phrasings],
            example: None,
        }
    }

    pub(super) fn add(&mut self, side: Side, measure: Measure, line: &str) {
        let of = match side {
            Side::Train => &mut self.train,
            Side::Test => &mut self.test,
        };
        of.rows += 1;
        of.prompts.add(measure.prompt);
        of.outputs.add(measure.output);
        if let Some(count) = self.phrasings.get_mut(measure.phrasing as usize) {
            *count += 1;
        }
        if side == Side::Train && self.example.is_none() && line.len() <= LONGEST_EXAMPLE {
            self.example = Some(line.to_owned());
        }
    }
}
