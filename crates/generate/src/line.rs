//! Greedy decoding and sampling: one prompt, `num_return_sequences` lines that do not influence each other.

use std::ops::ControlFlow;

use crate::error::GenerateError;
use crate::job::{Context, Row};
use crate::output::{FinishReason, Output};
use crate::random::RandomStream;
use crate::softmax::argmax;
use crate::step::{SequenceId, StepModel};

/// One line under way, or its end.
struct Line {
    /// Its cache; none once it has ended.
    sequence: Option<SequenceId>,
    history: Vec<u32>,
    logprobs: Vec<f32>,
    stream: RandomStream,
    end: Option<(FinishReason, Option<u32>, Option<String>)>,
}

/// All lines of one prompt.
pub(crate) struct Lines {
    lines: Vec<Line>,
    scratch: Vec<f32>,
}

impl Lines {
    /// `copies` are the numbers of the prompt's random streams, one per line; all lines start from one cached sequence.
    pub(crate) fn new(prompt: &[u32], seed: u64, copies: std::ops::Range<u64>, sequence: SequenceId) -> Self {
        let line = |copy| Line {
            sequence: Some(sequence),
            history: prompt.to_vec(),
            logprobs: Vec::new(),
            stream: RandomStream::new(seed, prompt, copy),
            end: None,
        };
        Self { lines: copies.map(line).collect(), scratch: Vec::new() }
    }

    /// The sequences to feed with what each of them holds; before the first step there is a single one.
    pub(crate) fn live(&self, first: bool) -> impl Iterator<Item = (SequenceId, &[u32])> {
        let live = self.lines.iter().filter_map(|line| Some((line.sequence?, line.history.as_slice())));
        live.take(if first { 1 } else { usize::MAX })
    }

    /// Chooses a token for every live line; there is one row for all lines in the first step. True when all lines have ended.
    pub(crate) fn advance(
        &mut self,
        first: bool,
        rows: &[Row<'_>],
        context: &mut Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let shared = self.lines[0].sequence.filter(|_| first);
        let mut rows = rows.iter().cycle();
        for (copy, line) in self.lines.iter_mut().enumerate() {
            if line.sequence.is_none() {
                continue;
            }
            let row = rows.next().expect("a row per live line");
            let token = choose(line, row, &mut self.scratch, context)?;
            line.end = end_of(line, token, copy, context);
            if line.end.is_some()
                && let Some(sequence) = line.sequence.take()
                && shared.is_none()
            {
                model.free(sequence);
            }
        }
        if let Some(shared) = shared {
            self.part(shared, model);
        }
        Ok(self.lines.iter().all(|line| line.end.is_some()))
    }

    /// After the first step every line that goes on gets its own cache: one keeps the prompt's, the others fork it.
    fn part(&mut self, shared: SequenceId, model: &mut dyn StepModel) {
        let mut going_on = self.lines.iter_mut().filter(|line| line.end.is_none());
        if going_on.next().is_none() {
            model.free(shared);
        }
        for line in going_on {
            line.sequence = Some(model.fork(shared));
        }
    }

    pub(crate) fn free(&mut self, model: &mut dyn StepModel) {
        let mut sequences: Vec<SequenceId> = self.lines.iter_mut().filter_map(|line| line.sequence.take()).collect();
        sequences.sort_unstable();
        sequences.dedup();
        sequences.into_iter().for_each(|sequence| model.free(sequence));
    }

    pub(crate) fn into_outputs(self, prompt_len: usize) -> Vec<Output> {
        let output = |line: Line| {
            let (finish_reason, eos, stop_string) = line.end.unwrap_or((FinishReason::Interrupted, None, None));
            Output {
                tokens: line.history[prompt_len..].to_vec(),
                eos,
                stop_string,
                score: line.logprobs.iter().map(|&l| f64::from(l)).sum(),
                finish_reason,
                token_logprobs: line.logprobs,
            }
        };
        self.lines.into_iter().map(output).collect()
    }
}

/// The next token of a line: the best one, or one drawn from the warped distribution.
fn choose(
    line: &mut Line,
    row: &Row<'_>,
    scratch: &mut Vec<f32>,
    context: &Context<'_, '_>,
) -> Result<u32, GenerateError> {
    let new_tokens = line.logprobs.len();
    row.check(context.prompt, new_tokens)?;
    let scores = if context.chain.is_empty() {
        row.logits
    } else {
        scratch.clear();
        scratch.extend_from_slice(row.logits);
        context.chain.apply(&line.history, scratch);
        scratch
    };
    let token = if context.options.do_sample {
        let uniform = line.stream.uniform(new_tokens as u64, 0);
        draw(scores, uniform).ok_or(GenerateError::NothingAllowed { prompt: context.prompt, new_tokens })?
    } else {
        argmax(scores)
    };
    line.logprobs.push(row.logprob(token));
    Ok(token as u32)
}

/// Inverts the cumulative softmax of the scores, in the order of the ids, at `uniform`; none when no token is allowed.
fn draw(scores: &[f32], uniform: f64) -> Option<usize> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return None;
    }
    let weight = |&s: &f32| if s == f32::NEG_INFINITY { 0.0 } else { f64::from((s - max).exp()) };
    let target = uniform * scores.iter().map(weight).sum::<f64>();
    let mut mass = 0.0;
    let mut last = None;
    for (id, score) in scores.iter().enumerate() {
        let w = weight(score);
        if w > 0.0 {
            mass += w;
            last = Some(id);
            if mass > target {
                break;
            }
        }
    }
    last
}

/// Adds the token to the line, or ends the line with it; tells the listener.
fn end_of(
    line: &mut Line,
    token: u32,
    copy: usize,
    context: &mut Context<'_, '_>,
) -> Option<(FinishReason, Option<u32>, Option<String>)> {
    if context.options.eos_token_id.contains(&token) {
        return Some((FinishReason::Stop, Some(token), None));
    }
    line.history.push(token);
    let row = context.prompt * context.options.num_return_sequences + copy;
    let flow = context.on_token.as_mut().map_or(ControlFlow::Continue(()), |listen| listen(row, token));
    if let Some(stop) = context.stop.and_then(|stop| stop.completed_by_last(&line.history)) {
        return Some((FinishReason::Stop, None, Some(stop.to_owned())));
    }
    if line.history.len() >= context.limits.max_length {
        return Some((FinishReason::Length, None, None));
    }
    flow.is_break().then_some((FinishReason::Interrupted, None, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_inverts_the_cumulative_distribution() {
        let scores = [f32::NEG_INFINITY, 0.2f32.ln(), 0.5f32.ln(), f32::NEG_INFINITY, 0.3f32.ln()];
        for (uniform, expected) in [(0.0001, 1), (0.19, 1), (0.21, 2), (0.69, 2), (0.71, 4), (0.9999, 4)] {
            assert_eq!(draw(&scores, uniform), Some(expected), "at {uniform}");
        }
        assert_eq!(draw(&[f32::NEG_INFINITY; 3], 0.5), None);
    }
}
