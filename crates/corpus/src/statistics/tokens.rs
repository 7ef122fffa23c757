//! What rows are to a model: their tokens, and the share of them that carry a label.

use luthier_text::{Example, Renderer, TextError, TrainOn};

use super::lengths::Lengths;
use super::said::Said;
use crate::document::Document;

/// How rows become tokens: by the renderer that training uses, with all answers labelled.
#[derive(Debug, Clone, Copy)]
pub struct Rendering<'m> {
    /// A model's tokenizer and template.
    pub renderer: Renderer<'m>,
    /// The length in tokens beyond which rows are counted.
    pub max_length: Option<u64>,
}

impl Rendering<'_> {
    /// The row as training would see it; `None` for columns of no known shape, which training does not read.
    ///
    /// # Errors
    /// The template's refusal, or the tokenizer's.
    pub fn example(&self, document: &Document) -> Result<Option<Example>, TextError> {
        self.of(&Said::of(document))
    }

    pub(super) fn of(&self, said: &Said<'_>) -> Result<Option<Example>, TextError> {
        match said {
            Said::Conversation(messages) => self.renderer.render_example(messages, TrainOn::Answers).map(Some),
            Said::Text(text) => self.renderer.text_example(text).map(Some),
            Said::Columns(_) => Ok(None),
        }
    }

    /// The number of tokens of a text alone.
    pub(super) fn count(&self, text: &str) -> u64 {
        // A text that the tokenizer cannot represent is told with its row.
        self.renderer.tokenizer().encode(text, false).map_or(0, |tokens| tokens.len() as u64)
    }
}

/// The tokens of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowTokens {
    pub(super) all: u64,
    pub(super) prompt: u64,
    pub(super) labelled: u64,
}

impl RowTokens {
    pub(super) fn of(example: &Example) -> Self {
        let labelled = example.labelled_tokens() as u64;
        RowTokens { all: example.tokens.len() as u64, prompt: example.prompt_len as u64, labelled }
    }
}

/// Tokens and labels of all rows that training reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Tokens of each row, template and end-of-turn included.
    pub rows: Lengths,
    /// Tokens that carry a label.
    pub labelled: u64,
    /// Rows that the template or the tokenizer refuses.
    pub refused: u64,
    /// Why the first of them is.
    pub why_refused: Option<String>,
    /// Rows of a shape that training does not read.
    pub unread: u64,
}

impl Labels {
    /// All tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.rows.sum()
    }

    /// The share of tokens that carry a label; `None` where there are no tokens.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.tokens() > 0).then(|| self.labelled as f64 / self.tokens() as f64)
    }

    pub(super) fn add(&mut self, row: &Result<Option<RowTokens>, String>) {
        match row {
            Ok(Some(tokens)) => {
                self.rows.add(tokens.all);
                self.labelled += tokens.labelled;
            }
            Ok(None) => self.unread += 1,
            Err(why) => {
                self.refused += 1;
                self.why_refused.get_or_insert_with(|| why.clone());
            }
        }
    }
}
