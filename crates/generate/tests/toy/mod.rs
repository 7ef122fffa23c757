//! A model whose logits are a formula of the last two tokens, and which watches how its sequences are used.

use std::collections::HashMap;

use luthier_generate::{Feed, ModelError, SequenceId, StepModel, Stepped, Wanted};

/// See `logit` in `tools/make_decoding_goldens.py`: the same numbers there and here.
pub(crate) fn logit(seed: u32, before: u32, last: u32, token: u32, levels: u32) -> f32 {
    let mut h = seed;
    for x in [before, last, token] {
        h = (h ^ x.wrapping_add(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
        h ^= h >> 13;
        h = h.wrapping_mul(0xC2B2_AE35);
        h ^= h >> 16;
    }
    (f64::from(h % levels) / f64::from(levels) * 8.0 - 4.0) as f32
}

/// Numbers of a hidden state.
pub(crate) const HIDDEN: usize = 5;

/// Panics when a sequence is fed after it was freed, fed twice in a step or freed twice: those are bugs of the loop.
pub(crate) struct Toy {
    pub(crate) seed: u32,
    pub(crate) vocab: usize,
    pub(crate) levels: u32,
    pub(crate) sequences: HashMap<SequenceId, Vec<u32>>,
    next: usize,
    pub(crate) steps: usize,
    pub(crate) tokens_fed: usize,
    pub(crate) widest: usize,
    pub(crate) forks: usize,
    /// Fails at this step, to see what the loop leaves behind.
    pub(crate) fail_at: Option<usize>,
}

impl Toy {
    pub(crate) fn new(seed: u32, vocab: usize) -> Self {
        Self {
            seed,
            vocab,
            levels: 1_000_003,
            sequences: HashMap::new(),
            next: 0,
            steps: 0,
            tokens_fed: 0,
            widest: 0,
            forks: 0,
            fail_at: None,
        }
    }

    pub(crate) fn row(&self, history: &[u32]) -> Vec<f32> {
        let last = history[history.len() - 1];
        let before = if history.len() > 1 { history[history.len() - 2] } else { 0 };
        (0..self.vocab as u32).map(|token| logit(self.seed, before, last, token, self.levels)).collect()
    }

    /// A made-up hidden state of the last two tokens.
    pub(crate) fn hidden(&self, history: &[u32]) -> Vec<f32> {
        let other = Self { seed: !self.seed, vocab: HIDDEN, ..Self::new(0, 0) };
        other.row(history)
    }
}

impl StepModel for Toy {
    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn max_positions(&self) -> usize {
        64
    }

    fn start(&mut self) -> SequenceId {
        self.next += 1;
        self.sequences.insert(SequenceId(self.next), Vec::new());
        SequenceId(self.next)
    }

    fn fork(&mut self, from: SequenceId) -> SequenceId {
        let held = self.sequences[&from].clone();
        self.forks += 1;
        let id = self.start();
        self.sequences.insert(id, held);
        id
    }

    fn free(&mut self, sequence: SequenceId) {
        assert!(self.sequences.remove(&sequence).is_some(), "{sequence:?} was freed twice");
    }

    fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
        Ok(self.step_for(feeds, &vec![Wanted::Last; feeds.len()])?.logits)
    }

    fn step_for(&mut self, feeds: &[Feed<'_>], wanted: &[Wanted]) -> Result<Stepped, ModelError> {
        self.steps += 1;
        self.widest = self.widest.max(feeds.len());
        if self.fail_at == Some(self.steps) {
            return Err("the toy broke".into());
        }
        let mut seen = Vec::new();
        let mut stepped = Stepped::default();
        for (feed, &wanted) in feeds.iter().zip(wanted) {
            assert!(
                !feed.tokens.is_empty() && !seen.contains(&feed.sequence),
                "a feed without tokens, or a second one"
            );
            seen.push(feed.sequence);
            self.tokens_fed += feed.tokens.len();
            for (at, &token) in feed.tokens.iter().enumerate() {
                let held = self.sequences.get_mut(&feed.sequence).expect("a fed sequence is alive");
                held.push(token);
                assert!(held.len() <= 64, "a sequence outgrows the context");
                let held = held.clone();
                if wanted == Wanted::Each || at + 1 == feed.tokens.len() {
                    stepped.logits.extend(self.row(&held));
                }
                if wanted == Wanted::Hidden {
                    stepped.hidden.extend(self.hidden(&held));
                }
            }
        }
        Ok(stepped)
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<(), ModelError> {
        let held = self.sequences.get_mut(&sequence).expect("a sequence that is cut is alive");
        assert!(held.len() > length, "a cut takes something away");
        held.truncate(length);
        Ok(())
    }
}
