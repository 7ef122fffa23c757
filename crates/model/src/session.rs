//! Decoding with a key-value cache: several sequences step together, one pass over the weights.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use luthier_engine::{FEW_ROWS, Layout, Segment, Tape, threads};

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

/// The most tokens of one pass: enough for products at full speed.
const PASS: usize = 1024;

/// Tokens that go through the model together.
#[derive(Debug, Default)]
struct Pass {
    tokens: Vec<u32>,
    positions: Vec<u32>,
    segments: Vec<Segment>,
    /// Tokens of the whole text of each segment.
    text_lengths: Vec<usize>,
    /// Where each token's keys and values go in the cache.
    rows: Vec<u32>,
    /// The tokens whose logits are asked for.
    wanted: Vec<u32>,
}

impl Pass {
    fn add(&mut self, cache: &mut KvCache, sequence: usize, tokens: &[u32], text_length: usize) {
        let (start, first) = (cache.length(sequence), self.tokens.len());
        self.tokens.extend(tokens);
        self.positions.extend((start..start + tokens.len()).map(|position| position as u32));
        self.rows.extend(cache.extend(sequence, tokens));
        self.segments.push(Segment { queries: first..self.tokens.len(), keys: cache.rows(sequence) });
        self.text_lengths.push(text_length);
    }
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
    /// What a new sequence begins with is not computed again where another sequence has it (see `cache.rs`). Long
    /// prompts go through in passes of at most [`PASS`] tokens, which bounds memory.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, a feed is empty, a sequence is named twice or is not there, or becomes longer than
    /// the places that the model has learnt. Then no sequence has changed.
    pub fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        self.check(feeds)?;
        for feed in feeds {
            self.model.check_tokens(feed.tokens)?;
            self.model.check_length(self.cache.length(feed.sequence.0) + feed.tokens.len())?;
        }
        let mut logits = Vec::with_capacity(feeds.len() * self.model.config.vocab_size);
        let mut pass = Pass::default();
        for feed in feeds {
            let sequence = feed.sequence.0;
            let tokens = self.tokens_due(sequence, feed.tokens);
            let text_length = self.cache.length(sequence) + tokens.len();
            let mut rest = &tokens[self.share_prefix(sequence, &tokens)..];
            while !rest.is_empty() {
                if pass.tokens.len() == PASS {
                    self.run(std::mem::take(&mut pass), &mut logits);
                }
                let (piece, after) = rest.split_at(rest.len().min(PASS - pass.tokens.len()));
                pass.add(&mut self.cache, sequence, piece, text_length);
                rest = after;
            }
            pass.wanted.push(pass.tokens.len() as u32 - 1);
        }
        self.run(pass, &mut logits);
        Ok(logits)
    }

    /// The new tokens of a sequence; all of its tokens, and its cache empty, where its keys turn otherwise from now on.
    fn tokens_due<'t>(&mut self, sequence: usize, new: &'t [u32]) -> Cow<'t, [u32]> {
        let old = self.cache.length(sequence);
        let passes = |at: usize| old > 0 && old <= at && old + new.len() > at;
        if !self.model.config.rope_starts_over_at().is_some_and(passes) {
            return Cow::Borrowed(new);
        }
        let mut all = self.cache.clear(sequence);
        all.extend(new);
        Cow::Owned(all)
    }

    /// Keys that depend on the length of their text are not shared with another one.
    fn share_prefix(&mut self, sequence: usize, tokens: &[u32]) -> usize {
        match self.model.config.rope_turns_at() {
            Some(_) => 0,
            None => self.cache.share_prefix(sequence, tokens),
        }
    }

    /// Computes the keys and values of a pass, and appends the logits of its wanted tokens.
    fn run(&mut self, pass: Pass, logits: &mut Vec<f32>) {
        if pass.tokens.is_empty() {
            return;
        }
        // A step of a few sequences is hundreds of short kernels; a prompt keeps the threads busy with long ones.
        if pass.tokens.len() <= FEW_ROWS {
            threads::team(|| self.compute(pass, logits));
        } else {
            self.compute(pass, logits);
        }
    }

    fn compute(&mut self, pass: Pass, logits: &mut Vec<f32>) {
        let layout = Layout {
            positions: pass.positions,
            segments: Arc::new(pass.segments),
            text_lengths: Some(Arc::new(pass.text_lengths)),
        };
        let mut tape = Tape::inference(self.model.device(), &self.model.params);
        let mut store = CachedPass { cache: &mut self.cache, rows: pass.rows };
        let hidden = self.model.decoder.forward(&mut tape, &pass.tokens, &layout, &mut store, Some(&pass.wanted));
        if !pass.wanted.is_empty() {
            logits.extend(tape.logits(&hidden, self.model.head(), 0..pass.wanted.len()).to_vec());
        }
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
