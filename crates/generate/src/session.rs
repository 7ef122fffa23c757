//! The project's decoder as a [`StepModel`]: a [`Session`] holds the key-value caches that decoding names.

use luthier_model::Session;

use crate::step::{Feed, ModelError, SequenceId, StepModel, Stepped, Wanted};

impl StepModel for Session<'_> {
    fn vocab_size(&self) -> usize {
        self.model().config.vocab_size
    }

    fn max_positions(&self) -> usize {
        self.model().config.context()
    }

    /// Beyond it keys turn with the length of their text, which for a draft is that behind its last token.
    fn drafts_up_to(&self) -> usize {
        self.model().config.rope_turns_at().unwrap_or(usize::MAX)
    }

    fn start(&mut self) -> SequenceId {
        SequenceId(Session::start(self).0)
    }

    fn fork(&mut self, from: SequenceId) -> SequenceId {
        SequenceId(Session::fork(self, luthier_model::SequenceId(from.0)).0)
    }

    fn free(&mut self, sequence: SequenceId) {
        Session::free(self, luthier_model::SequenceId(sequence.0));
    }

    fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        Ok(Session::step(self, &own(feeds))?)
    }

    fn step_for(&mut self, feeds: &[Feed<'_>], wanted: &[Wanted]) -> Result<Stepped, ModelError> {
        Ok(Session::step_for(self, &own(feeds), wanted)?)
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<(), ModelError> {
        Ok(Session::truncate(self, luthier_model::SequenceId(sequence.0), length)?)
    }
}

/// The session's own feeds.
fn own<'a>(feeds: &[Feed<'a>]) -> Vec<luthier_model::Feed<'a>> {
    let own = |feed: &Feed<'a>| luthier_model::Feed {
        sequence: luthier_model::SequenceId(feed.sequence.0),
        tokens: feed.tokens,
    };
    feeds.iter().map(own).collect()
}
