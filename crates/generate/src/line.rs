//! Greedy decoding and sampling: one prompt, `num_return_sequences` lines that do not influence each other.
//!
//! With prompt lookup a line feeds a draft of its next tokens behind the newest one, chooses after each of them as it would have
//! done without, and goes on as long as the draft was right. So a step may yield several tokens, and they are the same ones.

use crate::constraint::{Constraint, Matcher};
use crate::end::{End, end_with, output};
use crate::error::GenerateError;
use crate::job::{Context, Given, Row, Search};
use crate::lookup::Lookup;
use crate::output::Output;
use crate::random::RandomStream;
use crate::softmax::argmax;
use crate::step::{Feed, SequenceId, StepModel, Wanted};

/// One line under way, or its end.
struct Line {
    /// Its cache; none once it has ended.
    sequence: Option<SequenceId>,
    history: Vec<u32>,
    /// What it feeds next: the newest token and a draft of those behind it.
    pending: Vec<u32>,
    logprobs: Vec<f32>,
    stream: RandomStream,
    matcher: Option<Box<dyn Matcher>>,
    end: Option<End>,
}

impl Line {
    /// Chooses a token after each row, as long as the draft was right; says after how many.
    fn follow(
        &mut self,
        rows: &[Row<'_>],
        copy: usize,
        context: &mut Context<'_, '_>,
        scratch: &mut Vec<f32>,
    ) -> Result<usize, GenerateError> {
        for (i, row) in rows.iter().enumerate() {
            let token = self.choose(row, context, scratch)?;
            self.end = end_with(token, &mut self.history, copy, context);
            if self.end.is_some() || self.pending.get(i + 1) != Some(&token) {
                return Ok(i + 1);
            }
        }
        Ok(rows.len())
    }

    /// The best token, or one drawn from the warped distribution.
    fn choose(
        &mut self,
        row: &Row<'_>,
        context: &Context<'_, '_>,
        scratch: &mut Vec<f32>,
    ) -> Result<u32, GenerateError> {
        let new_tokens = self.logprobs.len();
        let scores = context.scores(row, &self.history, self.matcher.as_mut(), new_tokens, scratch)?;
        let token = if context.options.do_sample {
            let uniform = self.stream.uniform(new_tokens as u64, 0);
            draw(scores, uniform).ok_or(GenerateError::NothingAllowed { prompt: context.prompt, new_tokens })?
        } else {
            argmax(scores)
        };
        self.logprobs.push(row.logprob(token));
        context.accept(token as u32, self.matcher.as_mut())?;
        Ok(token as u32)
    }

    /// Looks up what may follow; the last token up to the limit is never fed, for nothing follows it.
    fn draft(&mut self, lookup: Option<Lookup>, context: &Context<'_, '_>) {
        self.pending.clear();
        self.pending.extend(self.history.last());
        if let Some(lookup) = lookup {
            let room = context.limits.max_length - self.history.len() - 1;
            self.pending.extend(lookup.draft(&self.history, room, &context.options.eos_token_id));
        }
    }
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

/// All lines of one prompt.
pub(crate) struct Lines {
    lines: Vec<Line>,
    /// Before the first step all lines are the prompt, in one sequence.
    first: bool,
    prompt_len: usize,
    lookup: Option<Lookup>,
    scratch: Vec<f32>,
}

impl Lines {
    /// `copies` are the numbers of the prompt's random streams, one per line; all lines start from one cached sequence.
    pub(crate) fn new(
        prompt: &[u32],
        seed: u64,
        copies: std::ops::Range<u64>,
        sequence: SequenceId,
        lookup: Option<Lookup>,
        constraint: Option<&dyn Constraint>,
    ) -> Self {
        let line = |copy| Line {
            sequence: Some(sequence),
            history: prompt.to_vec(),
            pending: Vec::new(),
            logprobs: Vec::new(),
            stream: RandomStream::new(seed, prompt, copy),
            matcher: constraint.map(Constraint::matcher),
            end: None,
        };
        let lines = copies.map(line).collect();
        Self { lines, first: true, prompt_len: prompt.len(), lookup, scratch: Vec::new() }
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
}

impl Search for Lines {
    fn feeds(&self) -> Vec<(Feed<'_>, Wanted)> {
        let live = self.lines.iter().filter_map(|line| Some((line.sequence?, line)));
        if self.first {
            live.take(1).map(|(sequence, line)| (Feed { sequence, tokens: &line.history }, Wanted::Last)).collect()
        } else {
            let wanted = |line: &Line| if line.pending.len() > 1 { Wanted::Each } else { Wanted::Last };
            live.map(|(sequence, line)| (Feed { sequence, tokens: &line.pending }, wanted(line))).collect()
        }
    }

    fn advance(
        &mut self,
        given: &Given<'_>,
        context: &mut Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let shared = self.lines[0].sequence.filter(|_| std::mem::take(&mut self.first));
        let mut rest = given.rows;
        for (copy, line) in self.lines.iter_mut().enumerate() {
            let Some(sequence) = line.sequence else { continue };
            let rows = match shared {
                Some(_) => rest,
                None => rest.split_off(..line.pending.len()).expect("a row for each token of a live line"),
            };
            let followed = line.follow(rows, copy, context, &mut self.scratch)?;
            if line.end.is_some() {
                line.sequence = None;
                if shared.is_none() {
                    model.free(sequence);
                }
                continue;
            }
            if followed < rows.len() {
                // What was drafted behind a wrong guess goes; the newest token is not fed yet.
                model.truncate(sequence, line.history.len() - 1).map_err(GenerateError::Model)?;
            }
            line.draft(self.lookup, context);
        }
        if let Some(shared) = shared {
            self.part(shared, model);
        }
        Ok(self.lines.iter().all(|line| line.end.is_some()))
    }

    fn free(&mut self, model: &mut dyn StepModel) {
        let mut sequences: Vec<SequenceId> = self.lines.iter_mut().filter_map(|line| line.sequence.take()).collect();
        sequences.sort_unstable();
        sequences.dedup();
        sequences.into_iter().for_each(|sequence| model.free(sequence));
    }

    fn into_outputs(self: Box<Self>, _: usize) -> Vec<Output> {
        let output = |line: Line| output(&line.history, self.prompt_len, line.logprobs, line.end);
        self.lines.into_iter().map(output).collect()
    }
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
