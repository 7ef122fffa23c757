//! Decoding with a key-value cache: several sequences step together, one pass over the weights.

use std::collections::HashSet;
use std::sync::Arc;

use luthier_engine::{Layout, Segment, Tape};

use crate::cache::{CachedPass, KvCache};
use crate::error::ModelError;
use crate::model::Model;

/// A sequence in a [`Session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceId(pub usize);

/// New tokens of a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// Which sequence.
    pub sequence: SequenceId,
    /// At least one token.
    pub tokens: &'a [u32],
}

/// Sequences being decoded by a model.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    cache: KvCache,
}

impl<'m> Session<'m> {
    /// No sequences yet; the cache grows as they do.
    pub fn new(model: &'m Model) -> Self {
        Self { model, cache: KvCache::new(model.device(), &model.config) }
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// A new, empty sequence.
    pub fn start(&mut self) -> SequenceId {
        SequenceId(self.cache.start())
    }

    /// A sequence that goes on from where `from` is, sharing what both have.
    ///
    /// # Panics
    /// When `from` was freed: a mistake of the caller's code.
    pub fn fork(&mut self, from: SequenceId) -> SequenceId {
        SequenceId(self.cache.fork(from.0))
    }

    /// Forgets a sequence.
    ///
    /// # Panics
    /// When it was freed already: a mistake of the caller's code.
    pub fn free(&mut self, sequence: SequenceId) {
        self.cache.free(sequence.0);
    }

    /// Appends tokens to sequences, each named once; returns the logits behind each one's last token, `[feeds, V]`.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, a feed is empty, or a sequence is named twice or is not there. Then no
    /// sequence has changed.
    pub fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        self.check(feeds)?;
        if feeds.is_empty() {
            return Ok(Vec::new());
        }
        let tokens: Vec<u32> = feeds.iter().flat_map(|feed| feed.tokens.iter().copied()).collect();
        self.model.check_tokens(&tokens)?;
        let mut positions = Vec::with_capacity(tokens.len());
        let mut segments = Vec::with_capacity(feeds.len());
        let mut rows = Vec::with_capacity(tokens.len());
        let mut last = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let start = self.cache.length(feed.sequence.0);
            let first = positions.len();
            positions.extend((start..start + feed.tokens.len()).map(|position| position as u32));
            rows.extend(self.cache.extend(feed.sequence.0, feed.tokens.len()));
            segments.push(Segment { queries: first..positions.len(), keys: self.cache.rows(feed.sequence.0) });
            last.push(positions.len() as u32 - 1);
        }
        let layout = Layout { positions, segments: Arc::new(segments) };
        let mut tape = Tape::inference(self.model.device(), &self.model.params);
        let mut store = CachedPass { cache: &mut self.cache, rows };
        let hidden = self.model.decoder.forward(&mut tape, &tokens, &layout, &mut store, Some(&last));
        Ok(tape.logits(&hidden, self.model.head(), 0..feeds.len()).to_vec())
    }

    fn check(&self, feeds: &[Feed<'_>]) -> Result<(), ModelError> {
        let mut seen = HashSet::with_capacity(feeds.len());
        for Feed { sequence, tokens } in feeds {
            let wrong = if !self.cache.is_alive(sequence.0) {
                "is not there; it was freed or belongs to another session"
            } else if tokens.is_empty() {
                "is fed no tokens; feed at least one"
            } else if !seen.insert(sequence.0) {
                "is named twice in one step; feed its tokens together"
            } else {
                continue;
            };
            return Err(ModelError::Input(format!("sequence {} {wrong}", sequence.0)));
        }
        Ok(())
    }
}
