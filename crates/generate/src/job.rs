//! One prompt under way: its search, its limits and what it shares with the loop.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::chain::Chain;
use crate::constraint::{Constraint, Matcher};
use crate::contrastive::Contrastive;
use crate::error::GenerateError;
use crate::groups::Groups;
use crate::line::Lines;
use crate::output::{Completion, Output};
use crate::processor;
use crate::resolve::{Limits, Resolved, SearchKind};
use crate::softmax::{greatest, log_sum_exp, minus_total};
use crate::step::{Feed, StepModel, Wanted};
use crate::stop::StopStrings;
use crate::trace::Trace;
use crate::watch::{Applied, Watch};

/// Hears every new token of the searches that choose one at a time: `(row, token)`.
pub(crate) type OnToken<'l> = &'l mut dyn FnMut(usize, u32) -> ControlFlow<()>;

/// What one prompt's search needs to know.
pub(crate) struct Context<'c, 'l> {
    /// Index of the prompt.
    pub(crate) prompt: usize,
    pub(crate) options: &'c Resolved,
    pub(crate) limits: &'c Limits,
    pub(crate) chain: &'c Chain,
    pub(crate) stop: Option<StopStrings<'c>>,
    pub(crate) on_token: &'c mut Option<OnToken<'l>>,
    /// Whether `max_time` is over.
    pub(crate) late: bool,
    /// What is written down, if anything is.
    pub(crate) trace: Option<&'c mut Trace>,
}

impl Context<'_, '_> {
    /// A row behind all processors; `scratch` holds it where they change anything. `guide` is the row of the text without the prompt;
    /// `watch` sees the scores on their way.
    pub(crate) fn scores<'s>(
        &self,
        row: &Row<'s>,
        guide: Option<&Row<'_>>,
        history: &[u32],
        matcher: Option<&mut Box<dyn Matcher>>,
        new_tokens: usize,
        scratch: &'s mut Vec<f32>,
        mut watch: Option<&mut Watch>,
    ) -> Result<&'s [f32], GenerateError> {
        row.check(self.prompt, new_tokens)?;
        let constrained = matcher.is_some();
        if self.chain.is_empty() && !constrained && guide.is_none() {
            return Ok(row.logits);
        }
        scratch.clear();
        if let Some(guide) = guide {
            guide.check(self.prompt, new_tokens)?;
            let mut unconditional = Vec::new();
            guide.logprobs(&mut unconditional);
            row.logprobs(scratch);
            processor::guidance(scratch, &unconditional, self.options.guidance_scale as f32);
            if let Some(watch) = watch.as_deref_mut() {
                let value = Some(self.options.guidance_scale.to_string());
                watch.saw(Applied { name: "guidance_scale", value }, scratch);
            }
        } else {
            scratch.extend_from_slice(row.logits);
        }
        self.apply(history, scratch, matcher, watch)?;
        // Without a constraint the first token stands where all are forbidden, as in transformers.
        if constrained && greatest(scratch) == f32::NEG_INFINITY {
            return Err(GenerateError::NothingAllowed { prompt: self.prompt, new_tokens });
        }
        Ok(scratch)
    }

    /// Runs all processors over a row.
    pub(crate) fn apply(
        &self,
        history: &[u32],
        scores: &mut [f32],
        matcher: Option<&mut Box<dyn Matcher>>,
        watch: Option<&mut Watch>,
    ) -> Result<(), GenerateError> {
        let done = self.chain.apply_with(history, scores, matcher, &self.options.eos_token_id, watch);
        done.map_err(|source| GenerateError::Constraint { prompt: self.prompt, source })
    }

    /// Tells the matcher a token that was chosen; an end of sequence is none of its business.
    pub(crate) fn accept(&self, token: u32, matcher: Option<&mut Box<dyn Matcher>>) -> Result<(), GenerateError> {
        match matcher {
            Some(matcher) if !self.options.eos_token_id.contains(&token) => {
                matcher.accept(token).map_err(|source| GenerateError::Constraint { prompt: self.prompt, source })
            }
            _ => Ok(()),
        }
    }
}

/// A prompt that waits.
pub(crate) struct Waiting {
    pub(crate) index: usize,
    pub(crate) prompt: Vec<u32>,
    pub(crate) limits: Limits,
    /// How many equal prompts stand before it.
    pub(crate) occurrence: u64,
}

/// What the model gave for the feeds of one prompt.
#[derive(Clone, Copy)]
pub(crate) struct Given<'g> {
    /// As many rows of logits as the feeds wanted, in their order.
    pub(crate) rows: &'g [Row<'g>],
    /// As many hidden states, end to end.
    pub(crate) hidden: &'g [f32],
}

/// A way of choosing the tokens of one prompt.
pub(crate) trait Search {
    /// What it feeds in the next step, and what it wants for it.
    fn feeds(&self) -> Vec<(Feed<'_>, Wanted)>;

    /// Takes what it wanted; true when the search is over and its sequences are free.
    fn advance(
        &mut self,
        given: &Given<'_>,
        context: &mut Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError>;

    /// Gives up its sequences.
    fn free(&mut self, model: &mut dyn StepModel);

    /// The outputs, best first, at most `count`.
    fn into_outputs(self: Box<Self>, count: usize) -> Vec<Output>;
}

/// A prompt whose sequences take part in the steps.
pub(crate) struct Job {
    pub(crate) index: usize,
    prompt: Vec<u32>,
    limits: Limits,
    chain: Chain,
    search: Box<dyn Search>,
    started: Instant,
}

impl Job {
    pub(crate) fn start(
        waiting: Waiting,
        options: &Resolved,
        constraint: Option<&dyn Constraint>,
        model: &mut dyn StepModel,
    ) -> Self {
        let Waiting { index, prompt, limits, occurrence } = waiting;
        let chain = Chain::new(options, &limits);
        let sequence = model.start();
        let search: Box<dyn Search> = match options.search() {
            SearchKind::Lines => {
                let outputs = options.num_return_sequences as u64;
                let copies = occurrence * outputs..(occurrence + 1) * outputs;
                let guide = options.is_guided().then(|| model.start());
                Box::new(Lines::new(&prompt, copies, sequence, guide, options, constraint))
            }
            SearchKind::Contrastive => Box::new(Contrastive::new(&prompt, sequence, constraint)),
            SearchKind::Beams => Box::new(Groups::new(&prompt, occurrence, sequence, options, &limits, constraint)),
        };
        Self { index, prompt, limits, chain, search, started: Instant::now() }
    }

    /// What this prompt feeds in the next step.
    pub(crate) fn feeds(&self) -> Vec<(Feed<'_>, Wanted)> {
        self.search.feeds()
    }

    /// Takes what the model gave for its feeds; true when the prompt is done and its sequences are free.
    pub(crate) fn advance(
        &mut self,
        given: &Given<'_>,
        options: &Resolved,
        stop: Option<StopStrings<'_>>,
        on_token: &mut Option<OnToken<'_>>,
        trace: Option<&mut Trace>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let (limits, chain) = (&self.limits, &self.chain);
        let late = options.max_time.is_some_and(|most| self.started.elapsed().as_secs_f64() > most);
        let mut context = Context { prompt: self.index, options, limits, chain, stop, on_token, late, trace };
        self.search.advance(given, &mut context, model)
    }

    /// Gives up the prompt's sequences.
    pub(crate) fn abandon(&mut self, model: &mut dyn StepModel) {
        self.search.free(model);
    }

    pub(crate) fn into_completion(self, count: usize) -> Completion {
        Completion { prompt: self.prompt, outputs: self.search.into_outputs(count) }
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
