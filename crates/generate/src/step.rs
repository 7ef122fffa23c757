//! What decoding asks of a model: feed tokens to named sequences, get logits back. The key-value cache stays with the model.

use std::error::Error;

/// A sequence whose key-value cache the model holds. Only the model that made it knows what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub usize);

/// Tokens to append to one sequence in this step; never empty.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// The sequence that grows.
    pub sequence: SequenceId,
    /// Token ids to append: the whole prompt at first, one token a step afterwards.
    pub tokens: &'a [u32],
}

/// Whatever went wrong inside the model.
pub type ModelError = Box<dyn Error + Send + Sync>;

/// A language model that holds a key-value cache per sequence.
pub trait StepModel {
    /// V, the number of logits per row.
    fn vocab_size(&self) -> usize;
    /// The context length in tokens.
    fn max_positions(&self) -> usize;
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
}
