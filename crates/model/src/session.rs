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

/// What is asked of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The logits behind its last token.
    #[default]
    Last,
    /// The logits behind each of its tokens.
    Each,
    /// The logits behind its last token, and the hidden states of all of them.
    Hidden,
}

impl Wanted {
    /// Rows of logits that a feed of so many tokens gets.
    #[must_use]
    pub fn logits(self, tokens: usize) -> usize {
        if self == Self::Each { tokens } else { tokens.min(1) }
    }

    /// Hidden states that a feed of so many tokens gets.
    #[must_use]
    pub fn hidden(self, tokens: usize) -> usize {
        if self == Self::Hidden { tokens } else { 0 }
    }
}

/// What a step gives, row-major, feed by feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stepped {
    /// `[rows, V]`, [`Wanted::logits`] rows a feed.
    pub logits: Vec<f32>,
    /// `[rows, C]` behind the last norm, [`Wanted::hidden`] rows a feed.
    pub hidden: Vec<f32>,
}

/// A feed on its way into passes.
#[derive(Debug)]
struct Fed {
    sequence: usize,
    /// Tokens of its text when all of them are in.
    text_length: usize,
    wanted: Wanted,
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
    /// The tokens of which something is asked.
    wanted: Vec<u32>,
    /// Which of these are asked for their logits.
    logits: Vec<u32>,
    /// Which of these are asked for their hidden states.
    hidden: Vec<u32>,
}

impl Pass {
    /// `replayed` of the tokens were fed before: nothing is asked of them.
    fn add(&mut self, cache: &mut KvCache, feed: &Fed, tokens: &[u32], replayed: usize, ends: bool) {
        let sequence = feed.sequence;
        let (start, first) = (cache.length(sequence), self.tokens.len());
        self.tokens.extend(tokens);
        self.positions.extend((start..start + tokens.len()).map(|position| position as u32));
        self.rows.extend(cache.extend(sequence, tokens));
        self.segments.push(Segment { queries: first..self.tokens.len(), keys: cache.rows(sequence) });
        self.text_lengths.push(feed.text_length);
        for token in first + replayed..self.tokens.len() {
            let logits = feed.wanted == Wanted::Each || (ends && token + 1 == self.tokens.len());
            if logits || feed.wanted == Wanted::Hidden {
                let row = self.wanted.len() as u32;
                self.wanted.push(token as u32);
                self.logits.extend(logits.then_some(row));
                self.hidden.extend((feed.wanted == Wanted::Hidden).then_some(row));
            }
        }
    }
}

/// Sequences being decoded by a model.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    cache: KvCache,
    computed: usize,
}

impl<'m> Session<'m> {
    /// No sequences yet; the cache grows as they do.
    pub fn new(model: &'m Model) -> Self {
        Self { model, cache: KvCache::new(model.device(), &model.config), computed: 0 }
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Tokens that have gone through the model so far: those that a sequence took over from another one are not among them.
    pub fn computed(&self) -> usize {
        self.computed
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

    /// Takes back all tokens of a sequence but its first `length`.
    ///
    /// # Errors
    /// When the sequence is not there or has fewer tokens.
    pub fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<(), ModelError> {
        if !self.cache.is_alive(sequence.0) || self.cache.length(sequence.0) < length {
            let why = format!("sequence {} is not there or has fewer than {length} tokens to be cut to", sequence.0);
            return Err(ModelError::Input(why));
        }
        self.cache.truncate(sequence.0, length);
        Ok(())
    }

    /// Appends tokens to sequences, each named once; returns the logits behind each one's last token, `[feeds, V]`.
    /// What a new sequence begins with is not computed again where another sequence has it (see `cache.rs`). Long
    /// prompts go through in passes of at most [`PASS`] tokens, which bounds memory.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, a feed is empty, a sequence is named twice or is not there, or becomes longer than
    /// the places that the model has learnt. Then no sequence has changed.
    pub fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        Ok(self.step_for(feeds, &vec![Wanted::Last; feeds.len()])?.logits)
    }

    /// The same with what is wanted of each feed. Feeds that want more than the last token's logits share no beginning with
    /// other sequences: what is not computed again has no hidden states.
    ///
    /// # Errors
    /// As [`Session::step`].
    ///
    /// # Panics
    /// When there are not as many feeds as `wanted`: a mistake of the caller's code.
    pub fn step_for(&mut self, feeds: &[Feed<'_>], wanted: &[Wanted]) -> Result<Stepped, ModelError> {
        assert_eq!(feeds.len(), wanted.len(), "one wish for each feed");
        self.check(feeds)?;
        for feed in feeds {
            self.model.check_tokens(feed.tokens)?;
            self.model.check_length(self.cache.length(feed.sequence.0) + feed.tokens.len())?;
        }
        let (mut pass, mut stepped) = (Pass::default(), Stepped::default());
        for (feed, &wanted) in feeds.iter().zip(wanted) {
            let sequence = feed.sequence.0;
            let tokens = self.tokens_due(sequence, feed.tokens);
            let mut replayed = tokens.len() - feed.tokens.len();
            let fed = Fed { sequence, text_length: self.cache.length(sequence) + tokens.len(), wanted };
            let mut rest = &tokens[..];
            if wanted == Wanted::Last {
                let shared = self.share_prefix(sequence, &tokens);
                (rest, replayed) = (&rest[shared..], replayed.saturating_sub(shared));
            }
            while !rest.is_empty() {
                if pass.tokens.len() == PASS {
                    self.run(std::mem::take(&mut pass), &mut stepped);
                }
                let (piece, after) = rest.split_at(rest.len().min(PASS - pass.tokens.len()));
                let before = replayed.min(piece.len());
                replayed -= before;
                pass.add(&mut self.cache, &fed, piece, before, after.is_empty());
                rest = after;
            }
        }
        self.run(pass, &mut stepped);
        Ok(stepped)
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

    /// Computes the keys and values of a pass, and appends what is wanted of its tokens.
    fn run(&mut self, pass: Pass, stepped: &mut Stepped) {
        if pass.tokens.is_empty() {
            return;
        }
        self.computed += pass.tokens.len();
        // A step of a few sequences is hundreds of short kernels; a prompt keeps the threads busy with long ones.
        if pass.tokens.len() <= FEW_ROWS {
            threads::team(|| self.compute(pass, stepped));
        } else {
            self.compute(pass, stepped);
        }
    }

    fn compute(&mut self, pass: Pass, stepped: &mut Stepped) {
        let layout = Layout {
            positions: pass.positions,
            segments: Arc::new(pass.segments),
            text_lengths: Some(Arc::new(pass.text_lengths)),
        };
        let mut tape = Tape::inference(self.model.device(), &self.model.params);
        let mut store = CachedPass { cache: &mut self.cache, rows: pass.rows };
        let mut rows = self.model.decoder.forward(&mut tape, &pass.tokens, &layout, &mut store, Some(&pass.wanted));
        if !pass.hidden.is_empty() {
            stepped.hidden.extend(tape.gather(&rows, &pass.hidden).tensor.to_vec());
        }
        if !pass.logits.is_empty() {
            if pass.logits.len() < pass.wanted.len() {
                rows = tape.gather(&rows, &pass.logits);
            }
            stepped.logits.extend(tape.logits(&rows, self.model.head(), 0..pass.logits.len()).to_vec());
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
