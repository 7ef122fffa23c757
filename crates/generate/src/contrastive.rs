//! Contrastive search of one prompt (arXiv 2202.06417), as transformers 4.46.3 does it: of the `top_k` most probable tokens the one with
//! the greatest `(1 - alpha) * p - alpha * s`, where `s` is the greatest cosine of its hidden state and one of the tokens before it.
//!
//! The hidden state of a candidate needs a pass over the model. That pass also gives the logits behind it, so a step feeds all candidates
//! and goes on from the chosen one. A forbidden token is never a candidate; in transformers it can be one, with probability 0.

use luthier_kernels::matmul::{MatMul, matmul};

use crate::constraint::{Constraint, Matcher};
use crate::end::{End, end_with, output};
use crate::error::GenerateError;
use crate::job::{Context, Given, Row, Search};
use crate::output::Output;
use crate::softmax::{Ranking, greatest, log_sum_exp};
use crate::step::{Feed, SequenceId, StepModel, Wanted};

/// A token that may come next.
struct Candidate {
    token: u32,
    /// Its probability behind all processors.
    probability: f64,
    /// Its log-probability under the model itself.
    logprob: f32,
    /// A cache of its own.
    sequence: SequenceId,
}

/// One prompt under way.
pub(crate) struct Contrastive {
    history: Vec<u32>,
    prompt_len: usize,
    /// The history's cache, while no candidate goes on from it.
    base: Option<SequenceId>,
    candidates: Vec<Candidate>,
    /// The hidden states of the history, each of length 1, end to end.
    seen: Vec<f32>,
    logprobs: Vec<f32>,
    matcher: Option<Box<dyn Matcher>>,
    end: Option<End>,
    scratch: Vec<f32>,
}

impl Contrastive {
    /// `sequence` will hold the prompt.
    pub(crate) fn new(prompt: &[u32], sequence: SequenceId, constraint: Option<&dyn Constraint>) -> Self {
        Self {
            history: prompt.to_vec(),
            prompt_len: prompt.len(),
            base: Some(sequence),
            candidates: Vec::new(),
            seen: Vec::new(),
            logprobs: Vec::new(),
            matcher: constraint.map(Constraint::matcher),
            end: None,
            scratch: Vec::new(),
        }
    }

    /// The candidate with the best balance of probability and difference, the first among equals. `states: [candidates, C]`.
    fn best(&self, states: &[f32], width: usize, alpha: f64) -> usize {
        let seen = self.seen.len() / width;
        let mut cosines = vec![0.0; self.candidates.len() * seen];
        matmul(&MatMul::nt(self.candidates.len(), seen, width), states, &self.seen, &mut cosines);
        let score = |candidate: &Candidate, cosines: &[f32]| {
            (1.0 - alpha) * candidate.probability - alpha * f64::from(greatest(cosines))
        };
        let scores = self.candidates.iter().zip(cosines.chunks_exact(seen)).map(|(c, cosines)| score(c, cosines));
        let best = scores.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.expect("there is a candidate").0
    }

    /// The most probable tokens behind a row, each with a cache that goes on from `sequence`.
    fn next(
        &mut self,
        row: &Row<'_>,
        sequence: SequenceId,
        context: &Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<(), GenerateError> {
        let new_tokens = self.logprobs.len();
        let Self { history, matcher, scratch, .. } = self;
        let scores = context.scores(row, None, history, matcher.as_mut(), new_tokens, scratch, None)?;
        let total = log_sum_exp(scores);
        let allowed = (0..scores.len() as u32).filter(|&id| scores[id as usize] > f32::NEG_INFINITY).collect();
        let order = |a: u32, b: u32| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b));
        let mut ranking = Ranking::new(allowed, order);
        let count = context.options.top_k.min(ranking.len());
        if count == 0 {
            return Err(GenerateError::NothingAllowed { prompt: context.prompt, new_tokens });
        }
        let candidate = |rank: usize| {
            let token = ranking.get(rank);
            Candidate {
                token,
                probability: (f64::from(scores[token as usize]) - total).exp(),
                logprob: row.logprob(token as usize),
                sequence: if rank == 0 { sequence } else { model.fork(sequence) },
            }
        };
        self.candidates = (0..count).map(candidate).collect();
        Ok(())
    }
}

impl Search for Contrastive {
    fn feeds(&self) -> Vec<(Feed<'_>, Wanted)> {
        let prompt = self.base.map(|sequence| Feed { sequence, tokens: &self.history });
        let candidates = self
            .candidates
            .iter()
            .map(|candidate| Feed { sequence: candidate.sequence, tokens: std::slice::from_ref(&candidate.token) });
        prompt.into_iter().chain(candidates).map(|feed| (feed, Wanted::Hidden)).collect()
    }

    fn advance(
        &mut self,
        given: &Given<'_>,
        context: &mut Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let mut states = given.hidden.to_vec();
        let (row, sequence) = if let Some(prompt) = self.base {
            normalise(&mut states, given.hidden.len() / self.history.len());
            self.seen = states;
            (&given.rows[0], prompt)
        } else {
            let width = given.hidden.len() / self.candidates.len();
            normalise(&mut states, width);
            let best = self.best(&states, width, context.options.penalty_alpha);
            let Candidate { token, logprob, sequence, .. } = self.candidates.swap_remove(best);
            self.candidates.drain(..).for_each(|other| model.free(other.sequence));
            self.base = Some(sequence);
            self.logprobs.push(logprob);
            context.accept(token, self.matcher.as_mut())?;
            self.end = end_with(token, &mut self.history, 0, context);
            if self.end.is_some() {
                self.free(model);
                return Ok(true);
            }
            self.seen.extend_from_slice(&states[best * width..][..width]);
            (&given.rows[best], sequence)
        };
        self.next(row, sequence, context, model)?;
        self.base = None;
        Ok(false)
    }

    fn free(&mut self, model: &mut dyn StepModel) {
        let candidates = self.candidates.drain(..).map(|candidate| candidate.sequence);
        self.base.take().into_iter().chain(candidates).for_each(|sequence| model.free(sequence));
    }

    fn into_outputs(self: Box<Self>, _: usize) -> Vec<Output> {
        vec![output(&self.history, self.prompt_len, self.logprobs, self.end)]
    }
}

/// Makes every state of `width` numbers one of length 1.
fn normalise(states: &mut [f32], width: usize) {
    for state in states.chunks_exact_mut(width) {
        let length = state.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        state.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}
