//! What decoding asks of a model: feed tokens to named sequences, get logits back. The key-value cache stays with the model.

use std::error::Error;

pub use luthier_model::{Stepped, Wanted};

/// A sequence whose key-value cache the model holds. Only the model that made it knows what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub usize);

/// Tokens to append to one sequence in this step; never empty.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// The sequence that grows.
    pub sequence: SequenceId,
    /// Token ids to append: the whole prompt at first, one token a step afterwards, or a few with prompt lookup.
    pub tokens: &'a [u32],
}

/// Whatever went wrong inside the model.
pub type ModelError = Box<dyn Error + Send + Sync>;

/// A language model that holds a key-value cache per sequence.
///
/// The first six methods serve every search but two: prompt lookup needs `step_for` and `truncate`, contrastive search `step_for`.
pub trait StepModel {
    /// V, the number of logits per row.
    fn vocab_size(&self) -> usize;
    /// The context length in tokens.
    fn max_positions(&self) -> usize;
    /// Up to this length of a sequence, tokens that are fed together give what they give one by one. Nothing is drafted beyond it.
    fn drafts_up_to(&self) -> usize {
        usize::MAX
    }
    /// A new, empty sequence.
    fn start(&mut self) -> SequenceId;
    /// A new sequence that shares all that `from` has cached so far (copy on write); cheap.
    fn fork(&mut self, from: SequenceId) -> SequenceId;
    /// Forgets a sequence and gives back its share of the cache.
    fn free(&mut self, sequence: SequenceId);
    /// Feeds tokens to each named sequence (lengths may differ), all in one pass over the weights.
    /// Returns the logits after each one's last token: `[feeds.len(), V]`, row-major, unprocessed.
    ///
    /// # Errors
    /// Whatever the model reports; decoding frees its sequences and passes it on.
    fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError>;

    /// As [`StepModel::step`], with what is wanted of each feed.
    ///
    /// # Errors
    /// As [`StepModel::step`]; a model that leaves this method out refuses everything but [`Wanted::Last`].
    fn step_for(&mut self, feeds: &[Feed<'_>], wanted: &[Wanted]) -> Result<Stepped, ModelError> {
        if wanted.iter().any(|wanted| *wanted != Wanted::Last) {
            return Err(
                "this model gives nothing but logits after the last token: it cannot look up or contrast".into()
            );
        }
        Ok(Stepped { logits: self.step(feeds)?, hidden: Vec::new() })
    }

    /// Takes back all tokens of a sequence but its first `length`, as if the others had never been fed.
    ///
    /// # Errors
    /// Whatever the model reports; a model that leaves this method out refuses.
    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<(), ModelError> {
        Err(format!("this model cannot cut {sequence:?} back to {length} tokens").into())
    }
}
