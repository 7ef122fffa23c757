//! Greedy decoding and sampling: one prompt, `num_return_sequences` lines that do not influence each other.
//!
//! With prompt lookup a line feeds a draft of its next tokens behind the newest one, chooses after each of them as it would have
//! done without, and goes on as long as the draft was right. So a step may yield several tokens, and they are the same ones.
//!
//! With classifier-free guidance each line has a second sequence, which begins with the last token of the prompt and is fed what the
//! line is fed.

use crate::constraint::{Constraint, Matcher};
use crate::end::{End, end_with, output};
use crate::error::GenerateError;
use crate::job::{Context, Given, Row, Search};
use crate::lookup::Lookup;
use crate::output::Output;
use crate::random::RandomStream;
use crate::resolve::Resolved;
use crate::softmax::argmax;
use crate::step::{Feed, SequenceId, StepModel, Wanted};
use crate::trace::Choice;
use crate::watch::Watch;

/// The caches of a line.
#[derive(Clone, Copy)]
struct Seat {
    sequence: SequenceId,
    /// The text without the prompt.
    guide: Option<SequenceId>,
}

impl Seat {
    fn sequences(self) -> impl Iterator<Item = SequenceId> {
        std::iter::once(self.sequence).chain(self.guide)
    }

    fn fork(self, model: &mut dyn StepModel) -> Self {
        Self { sequence: model.fork(self.sequence), guide: self.guide.map(|guide| model.fork(guide)) }
    }

    fn free(self, model: &mut dyn StepModel) {
        self.sequences().for_each(|sequence| model.free(sequence));
    }

    /// Takes back all but the first `length` tokens of a line whose prompt has `prompt_len`.
    fn truncate(self, length: usize, prompt_len: usize, model: &mut dyn StepModel) -> Result<(), GenerateError> {
        let lengths = [length, length + 1 - prompt_len];
        let mut cut = self.sequences().zip(lengths);
        cut.try_for_each(|(sequence, length)| model.truncate(sequence, length)).map_err(GenerateError::Model)
    }

    /// Rows of `own` for each cache: the line's, and the guide's.
    fn share<'r, 'g>(self, rows: &mut &'r [Row<'g>], own: usize) -> (&'r [Row<'g>], Option<&'r [Row<'g>]>) {
        let mut take = || rows.split_off(..own).expect("a row for each token of a live line");
        (take(), self.guide.map(|_| take()))
    }
}

/// One line under way, or its end.
struct Line {
    /// Its cache; none once it has ended.
    seat: Option<Seat>,
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
        guides: Option<&[Row<'_>]>,
        copy: usize,
        context: &mut Context<'_, '_>,
        scratch: &mut Vec<f32>,
    ) -> Result<usize, GenerateError> {
        for (i, row) in rows.iter().enumerate() {
            let token = self.choose(row, guides.map(|guides| &guides[i]), copy, context, scratch)?;
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
        guide: Option<&Row<'_>>,
        copy: usize,
        context: &mut Context<'_, '_>,
        scratch: &mut Vec<f32>,
    ) -> Result<u32, GenerateError> {
        let new_tokens = self.logprobs.len();
        let mut watch = context.trace.as_ref().map(|_| Watch::default());
        let matcher = self.matcher.as_mut();
        let scores = context.scores(row, guide, &self.history, matcher, new_tokens, scratch, watch.as_mut())?;
        let uniform = context.options.do_sample.then(|| self.stream.uniform(new_tokens as u64, 0));
        let token = match uniform {
            Some(uniform) => {
                draw(scores, uniform).ok_or(GenerateError::NothingAllowed { prompt: context.prompt, new_tokens })?
            }
            None => argmax(scores),
        };
        if let Some((trace, watch)) = context.trace.as_deref_mut().zip(watch) {
            let scoring = watch.scoring(row, trace.most, &[token as u32]);
            trace.choices.push(Choice { output: copy, step: new_tokens, scoring, token: token as u32, uniform });
        }
        self.logprobs.push(row.logprob(token));
        context.accept(token as u32, self.matcher.as_mut())?;
        Ok(token as u32)
    }

    /// Looks up what may follow; the last token up to the limit is never fed, for nothing follows it.
    fn draft(&mut self, lookup: Option<Lookup>, drafts_up_to: usize, context: &Context<'_, '_>) {
        self.pending.clear();
        self.pending.extend(self.history.last());
        if let Some(lookup) = lookup {
            let room = (context.limits.max_length - 1).min(drafts_up_to).saturating_sub(self.history.len());
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
    /// `copies` are the numbers of the prompt's random streams, one per line; all lines start from one cached sequence, and one `guide`
    /// where there is guidance.
    pub(crate) fn new(
        prompt: &[u32],
        copies: std::ops::Range<u64>,
        sequence: SequenceId,
        guide: Option<SequenceId>,
        options: &Resolved,
        constraint: Option<&dyn Constraint>,
    ) -> Self {
        let line = |copy| Line {
            seat: Some(Seat { sequence, guide }),
            history: prompt.to_vec(),
            pending: Vec::new(),
            logprobs: Vec::new(),
            stream: RandomStream::new(options.seed, prompt, copy),
            matcher: constraint.map(Constraint::matcher),
            end: None,
        };
        let lines = copies.map(line).collect();
        Self { lines, first: true, prompt_len: prompt.len(), lookup: options.lookup(), scratch: Vec::new() }
    }

    /// After the first step every line that goes on gets its own cache: one keeps the prompt's, the others fork it.
    fn part(&mut self, shared: Seat, model: &mut dyn StepModel) {
        let mut going_on = self.lines.iter_mut().filter(|line| line.end.is_none());
        if going_on.next().is_none() {
            shared.free(model);
        }
        for line in going_on {
            line.seat = Some(shared.fork(model));
        }
    }
}

impl Search for Lines {
    fn feeds(&self) -> Vec<(Feed<'_>, Wanted)> {
        let live = self.lines.iter().filter_map(|line| Some((line.seat?, line)));
        if self.first {
            let prompts = live.take(1).flat_map(|(seat, line)| {
                let parts = [&line.history[..], &line.history[self.prompt_len - 1..]];
                seat.sequences().zip(parts).map(|(sequence, tokens)| (Feed { sequence, tokens }, Wanted::Last))
            });
            prompts.collect()
        } else {
            let newest = live.flat_map(|(seat, line)| {
                let wanted = if line.pending.len() > 1 { Wanted::Each } else { Wanted::Last };
                seat.sequences().map(move |sequence| (Feed { sequence, tokens: &line.pending }, wanted))
            });
            newest.collect()
        }
    }

    fn advance(
        &mut self,
        given: &Given<'_>,
        context: &mut Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let shared = self.lines[0].seat.filter(|_| std::mem::take(&mut self.first));
        let mut rest = given.rows;
        for (copy, line) in self.lines.iter_mut().enumerate() {
            let Some(seat) = line.seat else { continue };
            let (rows, guides) = match shared {
                Some(_) => seat.share(&mut &given.rows[..], 1),
                None => seat.share(&mut rest, line.pending.len()),
            };
            let followed = line.follow(rows, guides, copy, context, &mut self.scratch)?;
            if line.end.is_some() {
                line.seat = None;
                if shared.is_none() {
                    seat.free(model);
                }
                continue;
            }
            if followed < rows.len() {
                // What was drafted behind a wrong guess goes; the newest token is not fed yet.
                seat.truncate(line.history.len() - 1, self.prompt_len, model)?;
            }
            line.draft(self.lookup, model.drafts_up_to(), context);
        }
        if let Some(shared) = shared {
            self.part(shared, model);
        }
        Ok(self.lines.iter().all(|line| line.end.is_some()))
    }

    fn free(&mut self, model: &mut dyn StepModel) {
        let seats = self.lines.iter_mut().filter_map(|line| line.seat.take());
        let mut sequences: Vec<SequenceId> = seats.flat_map(Seat::sequences).collect();
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
