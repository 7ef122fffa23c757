//! The step loop: many prompts, one pass over the weights per step, whatever their lengths and searches.
//!
//! ```text
//! waiting prompts --(room in the batch)--> jobs --feeds--> model.step --logits--> each job chooses
//!                                           ^                                        |
//!                                           '------------- not done -----------------+--> completion
//! ```
//! A prompt is fed whole in its first step, beside the single tokens of those under way. A finished prompt leaves at once
//! and the next one enters. Nothing a prompt does depends on its neighbours, so neither do its tokens.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use luthier_kernels::threads;

use crate::constraint::Constraint;
use crate::error::{GenerateError, OptionsError};
use crate::job::{Given, Job, OnToken, Row, Waiting};
use crate::output::{Completion, Decode};
use crate::resolve::{Resolved, SearchKind};
use crate::step::{Feed, StepModel, Wanted};
use crate::stop::StopStrings;
use crate::trace::Trace;

/// Rows in one step when the caller does not say.
pub const DEFAULT_MAX_BATCH: usize = 64;

/// Hears every finished prompt.
type OnCompletion<'a> = &'a mut dyn FnMut(usize, &Completion);

/// Decodes prompts with fixed parameters.
pub struct Generator<'a> {
    options: &'a Resolved,
    max_batch: usize,
    decode: Option<Decode<'a>>,
    constraint: Option<&'a dyn Constraint>,
    on_token: Option<OnToken<'a>>,
    on_completion: Option<OnCompletion<'a>>,
    traces: &'a mut [Trace],
}

impl<'a> Generator<'a> {
    /// A generator that runs up to [`DEFAULT_MAX_BATCH`] rows together.
    #[must_use]
    pub fn new(options: &'a Resolved) -> Self {
        Self {
            options,
            max_batch: DEFAULT_MAX_BATCH,
            decode: None,
            constraint: None,
            on_token: None,
            on_completion: None,
            traces: &mut [],
        }
    }

    /// Most rows (beams and outputs count) in one step; a prompt that needs more than this runs alone.
    #[must_use]
    pub fn max_batch(mut self, rows: usize) -> Self {
        self.max_batch = rows.max(1);
        self
    }

    /// How token ids become text; needed by stop strings.
    #[must_use]
    pub fn decode(mut self, decode: Decode<'a>) -> Self {
        self.decode = Some(decode);
        self
    }

    /// The form that every output must have. Of beams and draws those that the constraint leaves nothing to be are left out: there
    /// may be fewer outputs than `num_return_sequences`.
    #[must_use]
    pub fn constraint(mut self, constraint: &'a dyn Constraint) -> Self {
        self.constraint = Some(constraint);
        self
    }

    /// Hears every new token of the searches without beams as it is chosen (end-of-sequence tokens excepted), with its row:
    /// prompt index times `num_return_sequences` plus output. `Break` ends that row.
    #[must_use]
    pub fn on_token(mut self, listen: &'a mut dyn FnMut(usize, u32) -> ControlFlow<()>) -> Self {
        self.on_token = Some(listen);
        self
    }

    /// Hears every finished prompt with its index, in the order they finish.
    #[must_use]
    pub fn on_completion(mut self, listen: &'a mut dyn FnMut(usize, &Completion)) -> Self {
        self.on_completion = Some(listen);
        self
    }

    /// Writes down what happens to the first prompts, one trace for each. Tokens are the same with and without.
    #[must_use]
    pub fn traces(mut self, traces: &'a mut [Trace]) -> Self {
        self.traces = traces;
        self
    }

    /// Decodes all prompts and returns one completion for each, in their order. All sequences are free afterwards, also after an error.
    ///
    /// # Errors
    /// Parameters, prompts and model that do not fit each other (before anything is computed); a failing model; nothing left to draw.
    pub fn generate(
        mut self,
        model: &mut dyn StepModel,
        prompts: &[Vec<u32>],
    ) -> Result<Vec<Completion>, GenerateError> {
        let mut waiting = self.admit(model, prompts)?;
        let stop = self.stop_strings()?;
        if self.constraint.is_some() && self.options.eos_token_id.is_empty() {
            return Err(OptionsError::ConstraintWithoutEnd.into());
        }
        if !self.traces.is_empty() && self.options.search() == SearchKind::Contrastive {
            return Err(OptionsError::ContrastiveTrace.into());
        }
        let mut jobs: Vec<Job> = Vec::new();
        let mut completions: Vec<Option<Completion>> = prompts.iter().map(|_| None).collect();
        while !(waiting.is_empty() && jobs.is_empty()) {
            let width = self.options.width();
            while jobs.is_empty() || (jobs.len() + 1) * width <= self.max_batch {
                let Some(next) = waiting.pop_front() else { break };
                jobs.push(Job::start(next, self.options, self.constraint, model));
            }
            match self.step(&mut jobs, stop, model) {
                Ok(finished) => {
                    for job in finished {
                        let index = job.index;
                        let completion = job.into_completion(self.options.num_return_sequences);
                        if let Some(listen) = &mut self.on_completion {
                            listen(index, &completion);
                        }
                        completions[index] = Some(completion);
                    }
                }
                Err(error) => {
                    jobs.iter_mut().for_each(|job| job.abandon(model));
                    return Err(error);
                }
            }
        }
        Ok(completions.into_iter().flatten().collect())
    }

    /// Checks everything that can be checked beforehand.
    fn admit(&self, model: &dyn StepModel, prompts: &[Vec<u32>]) -> Result<VecDeque<Waiting>, OptionsError> {
        let (vocab_size, context) = (model.vocab_size(), model.max_positions());
        self.options.check_vocabulary(vocab_size)?;
        let mut seen: HashMap<&[u32], u64> = HashMap::new();
        let mut waiting = VecDeque::with_capacity(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            let count = seen.entry(prompt).or_default();
            let occurrence = *count;
            *count += 1;
            let prompt = match self.options.bos_token_id {
                Some(bos) if prompt.is_empty() => vec![bos],
                None if prompt.is_empty() => return Err(OptionsError::EmptyPrompt { prompt: index }),
                _ => prompt.clone(),
            };
            if let Some(&token) = prompt.iter().find(|&&token| token as usize >= vocab_size) {
                return Err(OptionsError::PromptTokenOutsideVocabulary { prompt: index, token, vocab_size });
            }
            let limits = self.options.limits(index, prompt.len(), context)?;
            waiting.push_back(Waiting { index, prompt, limits, occurrence });
        }
        Ok(waiting)
    }

    fn stop_strings(&self) -> Result<Option<StopStrings<'a>>, OptionsError> {
        let strings = &self.options.stop_strings;
        match self.decode {
            _ if strings.is_empty() => Ok(None),
            Some(decode) => Ok(Some(StopStrings::new(strings, decode))),
            None => Err(OptionsError::StopStringsWithoutDecoder),
        }
    }

    /// One pass of the model over all jobs; returns those that are done.
    fn step(
        &mut self,
        jobs: &mut Vec<Job>,
        stop: Option<StopStrings<'a>>,
        model: &mut dyn StepModel,
    ) -> Result<Vec<Job>, GenerateError> {
        let vocab_size = model.vocab_size();
        let fed: Vec<Vec<(Feed<'_>, Wanted)>> = jobs.iter().map(Job::feeds).collect();
        let shares: Vec<(usize, usize)> = fed.iter().map(|feeds| wanted_of(feeds)).collect();
        let (feeds, wanted): (Vec<_>, Vec<_>) = fed.into_iter().flatten().unzip();
        let stepped = model.step_for(&feeds, &wanted).map_err(GenerateError::Model)?;
        let (rows, states) = shares.iter().fold((0, 0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
        if stepped.logits.len() != rows * vocab_size {
            return Err(GenerateError::WrongLogits { rows, vocab_size, found: stepped.logits.len() });
        }
        let width = stepped.hidden.len() / states.max(1);
        if stepped.hidden.len() != states * width || (states > 0 && width == 0) {
            return Err(GenerateError::WrongHidden { rows: states, found: stepped.hidden.len() });
        }
        let rows = threads::map(stepped.logits.chunks_exact(vocab_size).collect(), vocab_size, Row::new);
        let (mut rows, mut hidden) = (&rows[..], &stepped.hidden[..]);
        let mut done = Vec::with_capacity(jobs.len());
        for (job, (own_rows, own_states)) in jobs.iter_mut().zip(shares) {
            let given = Given {
                rows: rows.split_off(..own_rows).expect("as many rows as were wanted"),
                hidden: hidden.split_off(..own_states * width).expect("as many hidden states as were wanted"),
            };
            let trace = self.traces.get_mut(job.index);
            done.push(job.advance(&given, self.options, stop, &mut self.on_token, trace, model)?);
        }
        let mut done = done.into_iter();
        let (finished, going_on) = jobs.drain(..).partition(|_| done.next().unwrap_or(false));
        *jobs = going_on;
        Ok(finished)
    }
}

/// Rows of logits and hidden states that feeds are to get.
fn wanted_of(feeds: &[(Feed<'_>, Wanted)]) -> (usize, usize) {
    let wanted =
        feeds.iter().map(|(feed, wanted)| (wanted.logits(feed.tokens.len()), wanted.hidden(feed.tokens.len())));
    wanted.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
