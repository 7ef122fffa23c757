//! One prompt under way: its search, its limits and what it shares with the loop.

use std::ops::ControlFlow;

use crate::beam::Beams;
use crate::chain::Chain;
use crate::error::GenerateError;
use crate::line::Lines;
use crate::output::{Completion, Output};
use crate::resolve::{Limits, Resolved};
use crate::softmax::{log_sum_exp, minus_total};
use crate::step::{Feed, SequenceId, StepModel};
use crate::stop::StopStrings;

/// Hears every new token of greedy decoding and sampling: `(row, token)`.
pub(crate) type OnToken<'l> = &'l mut dyn FnMut(usize, u32) -> ControlFlow<()>;

/// What one prompt's search needs to know.
pub(crate) struct Context<'c, 'l> {
    /// Index of the prompt.
    pub(crate) prompt: usize,
    pub(crate) options: &'c Resolved,
    pub(crate) limits: &'c Limits,
    pub(crate) chain: &'c Chain,
    pub(crate) stop: Option<StopStrings<'c>>,
    pub(crate) vocab_size: usize,
    pub(crate) on_token: &'c mut Option<OnToken<'l>>,
}

/// A prompt that waits.
pub(crate) struct Waiting {
    pub(crate) index: usize,
    pub(crate) prompt: Vec<u32>,
    pub(crate) limits: Limits,
    /// How many equal prompts stand before it.
    pub(crate) occurrence: u64,
}

enum Search {
    Lines(Lines),
    Beams(Beams),
}

/// A prompt whose sequences take part in the steps.
pub(crate) struct Job {
    pub(crate) index: usize,
    prompt: Vec<u32>,
    limits: Limits,
    chain: Chain,
    search: Search,
    /// Tokens every live sequence of the prompt has in its cache.
    cached: usize,
}

impl Job {
    pub(crate) fn start(waiting: Waiting, options: &Resolved, vocab_size: usize, model: &mut dyn StepModel) -> Self {
        let Waiting { index, prompt, limits, occurrence } = waiting;
        let chain = Chain::new(options, &limits);
        let sequence = model.start();
        let search = if options.num_beams > 1 {
            let context = Context {
                prompt: index,
                options,
                limits: &limits,
                chain: &chain,
                stop: None,
                vocab_size,
                on_token: &mut None,
            };
            Search::Beams(Beams::new(&prompt, occurrence, sequence, &context))
        } else {
            let outputs = options.num_return_sequences as u64;
            let copies = occurrence * outputs..(occurrence + 1) * outputs;
            Search::Lines(Lines::new(&prompt, options.seed, copies, sequence))
        };
        Self { index, prompt, limits, chain, search, cached: 0 }
    }

    /// What this prompt feeds in the next step.
    pub(crate) fn feeds(&self) -> Vec<Feed<'_>> {
        let first = self.cached == 0;
        let live: Vec<(SequenceId, &[u32])> = match &self.search {
            Search::Lines(lines) => lines.live(first).collect(),
            Search::Beams(beams) => beams.live(first).collect(),
        };
        live.into_iter().map(|(sequence, history)| Feed { sequence, tokens: &history[self.cached..] }).collect()
    }

    /// Takes the logits of its feeds; true when the prompt is done and its sequences are free.
    pub(crate) fn advance(
        &mut self,
        rows: &[Row<'_>],
        options: &Resolved,
        stop: Option<StopStrings<'_>>,
        vocab_size: usize,
        on_token: &mut Option<OnToken<'_>>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let first = self.cached == 0;
        let (limits, chain) = (&self.limits, &self.chain);
        let mut context = Context { prompt: self.index, options, limits, chain, stop, vocab_size, on_token };
        let done = match &mut self.search {
            Search::Lines(lines) => lines.advance(first, rows, &mut context, model)?,
            Search::Beams(beams) => beams.advance(first, rows, &context, model)?,
        };
        self.cached = if first { self.prompt.len() } else { self.cached + 1 };
        Ok(done)
    }

    /// Gives up the prompt's sequences.
    pub(crate) fn abandon(&mut self, model: &mut dyn StepModel) {
        match &mut self.search {
            Search::Lines(lines) => lines.free(model),
            Search::Beams(beams) => beams.free(self.cached == 0, model),
        }
    }

    pub(crate) fn into_completion(self, count: usize) -> Completion {
        let outputs: Vec<Output> = match self.search {
            Search::Lines(lines) => lines.into_outputs(self.prompt.len()),
            Search::Beams(beams) => beams.into_outputs(count),
        };
        Completion { prompt: self.prompt, outputs }
    }
}

/// One sequence's raw logits `[V]`.
#[derive(Clone, Copy)]
pub(crate) struct Row<'l> {
    pub(crate) logits: &'l [f32],
    /// Their log-sum-exp.
    total: f64,
}

impl<'l> Row<'l> {
    pub(crate) fn new(logits: &'l [f32]) -> Self {
        Self { logits, total: log_sum_exp(logits) }
    }

    /// A sound model keeps the log-sum-exp finite.
    pub(crate) fn check(&self, prompt: usize, new_tokens: usize) -> Result<(), GenerateError> {
        if self.total.is_finite() { Ok(()) } else { Err(GenerateError::NotANumber { prompt, new_tokens }) }
    }

    /// The log-probability of a token.
    pub(crate) fn logprob(&self, token: usize) -> f32 {
        (f64::from(self.logits[token]) - self.total) as f32
    }

    /// The log-probabilities of all tokens.
    pub(crate) fn logprobs(&self, out: &mut Vec<f32>) {
        out.resize(self.logits.len(), 0.0);
        minus_total(self.logits, self.total, out);
    }
}
