//! The project's decoder as a [`StepModel`]: a [`Session`] holds the key-value caches that decoding names.

use luthier_model::Session;

use crate::step::{Feed, ModelError, SequenceId, StepModel};

impl StepModel for Session<'_> {
    fn vocab_size(&self) -> usize {
        self.model().config.vocab_size
    }

    fn max_positions(&self) -> usize {
        self.model().config.context()
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
        let feeds: Vec<_> = feeds
            .iter()
            .map(|feed| luthier_model::Feed {
                sequence: luthier_model::SequenceId(feed.sequence.0),
                tokens: feed.tokens,
            })
            .collect();
        Ok(Session::step(self, &feeds)?)
    }
}
