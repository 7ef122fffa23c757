//! A session that keeps the last sequence of an answer, so that the next prompt takes over what both begin with.
//!
//! A prompt takes over the blocks of any living sequence that begins alike (`model/src/cache.rs`), but decoding frees its sequences when it
//! is done. Here the longest one lives on until the next answer is there: of a conversation only what is new goes through the model.

use std::collections::HashMap;

use luthier_generate::{Feed, ModelError, SequenceId, StepModel, Stepped, Wanted};
use luthier_model::Session;

use super::interrupt::Interrupt;

/// What a step answers when the user has had enough of a search that shows nothing while it goes on.
pub(super) const INTERRUPTED: &str = "interrupted";

/// A model between answers.
#[derive(Debug)]
pub(super) struct Kept<'m> {
    session: Session<'m>,
    /// Tokens of the living sequences.
    lengths: HashMap<SequenceId, usize>,
    /// The sequence that the answer before left.
    before: Option<SequenceId>,
    /// The longest one that this answer has left so far, and its tokens.
    longest: Option<(SequenceId, usize)>,
    /// Whether an interrupt ends the next step: searches that do not tell their tokens end by nothing else.
    heeds: Option<Interrupt>,
    /// What went through the model in this answer's first step.
    first: Option<usize>,
}

impl<'m> Kept<'m> {
    pub(super) fn new(session: Session<'m>) -> Self {
        Self { session, lengths: HashMap::new(), before: None, longest: None, heeds: None, first: None }
    }

    /// Tokens of the last answer's prompt that went through the model: those that the cache did not have.
    pub(super) fn computed(&self) -> usize {
        self.first.unwrap_or(0)
    }

    /// An answer begins; with `heeds` an interrupt makes its next step fail.
    pub(super) fn begin(&mut self, heeds: Option<Interrupt>) {
        (self.heeds, self.first) = (heeds, None);
        self.before = self.longest.take().map(|(sequence, _)| sequence);
    }

    /// The answer is there, or came to nothing.
    pub(super) fn end(&mut self) {
        match (self.before.take(), self.longest) {
            (Some(before), Some(_)) => StepModel::free(&mut self.session, before),
            (Some(before), None) => self.longest = Some((before, 0)),
            (None, _) => {}
        }
    }
}

impl StepModel for Kept<'_> {
    fn vocab_size(&self) -> usize {
        StepModel::vocab_size(&self.session)
    }

    fn max_positions(&self) -> usize {
        StepModel::max_positions(&self.session)
    }

    fn start(&mut self) -> SequenceId {
        let sequence = StepModel::start(&mut self.session);
        self.lengths.insert(sequence, 0);
        sequence
    }

    fn fork(&mut self, from: SequenceId) -> SequenceId {
        let sequence = StepModel::fork(&mut self.session, from);
        let length = self.lengths.get(&from).copied().unwrap_or(0);
        self.lengths.insert(sequence, length);
        sequence
    }

    fn free(&mut self, sequence: SequenceId) {
        let length = self.lengths.remove(&sequence).unwrap_or(0);
        match self.longest {
            Some((_, longest)) if longest >= length => StepModel::free(&mut self.session, sequence),
            other => {
                self.longest = Some((sequence, length));
                if let Some((shorter, _)) = other {
                    StepModel::free(&mut self.session, shorter);
                }
            }
        }
    }

    fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        Ok(self.step_for(feeds, &vec![Wanted::Last; feeds.len()])?.logits)
    }

    fn step_for(&mut self, feeds: &[Feed<'_>], wanted: &[Wanted]) -> Result<Stepped, ModelError> {
        if self.heeds.as_ref().is_some_and(Interrupt::asked) {
            return Err(INTERRUPTED.into());
        }
        let computed = self.session.computed();
        let stepped = StepModel::step_for(&mut self.session, feeds, wanted)?;
        self.first.get_or_insert(self.session.computed() - computed);
        for feed in feeds {
            *self.lengths.entry(feed.sequence).or_default() += feed.tokens.len();
        }
        Ok(stepped)
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<(), ModelError> {
        StepModel::truncate(&mut self.session, sequence, length)?;
        self.lengths.insert(sequence, length);
        Ok(())
    }
}
