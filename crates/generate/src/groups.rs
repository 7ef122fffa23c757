//! Beam search of one prompt: groups of beams side by side (diverse beam search, arXiv 1610.02424, as `_group_beam_search` of
//! transformers 4.46.3 does it). Plain beam search and beam sampling are the case of one group.
//!
//! Groups choose one after another. What the groups before have chosen in this step costs a `diversity_penalty` in the scores of those
//! behind. Each group has its own list of hypotheses; the outputs are the best of all lists together.

use crate::beam::Beams;
use crate::constraint::Constraint;
use crate::error::GenerateError;
use crate::hypotheses::Hypotheses;
use crate::job::{Context, Given, Search};
use crate::options::EarlyStopping;
use crate::output::Output;
use crate::resolve::{Limits, Resolved};
use crate::step::{Feed, SequenceId, StepModel, Wanted};
use crate::trace::GroupEnd;

/// A group and whether its search is over.
struct Group {
    beams: Beams,
    done: bool,
}

/// All groups of one prompt.
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// The prompt's cache before the first step.
    prompt: Option<SequenceId>,
    size: usize,
}

impl Groups {
    /// `sequence` will hold the prompt; `copy` is the number of the prompt's random stream.
    pub(crate) fn new(
        prompt: &[u32],
        copy: u64,
        sequence: SequenceId,
        options: &Resolved,
        limits: &Limits,
        constraint: Option<&dyn Constraint>,
    ) -> Self {
        let group = |_| Group { beams: Beams::new(prompt, copy, sequence, options, limits, constraint), done: false };
        let groups = (0..options.num_beam_groups).map(group).collect();
        Self { groups, prompt: Some(sequence), size: options.group_size() }
    }

    fn open(&self) -> impl Iterator<Item = &Beams> {
        self.groups.iter().filter(|group| !group.done).map(|group| &group.beams)
    }

    /// Whether time is up, the open groups are at the length limit, or every beam has just completed a stop string. The beams of a group that was
    /// done before go on as padding in the reference: they stop only where that is an end of sequence.
    fn is_at_end(&self, context: &Context<'_, '_>) -> bool {
        let pads_end = || context.options.pad_token_id.is_some_and(|pad| context.options.eos_token_id.contains(&pad));
        let stops = |group: &Group| if group.done { pads_end() } else { group.beams.all_stop(context) };
        context.late || self.open().any(|beams| beams.is_at_limit(context)) || self.groups.iter().all(stops)
    }
}

/// Why the search of a group that is over ended.
fn why(group: &Group, full: bool, context: &Context<'_, '_>) -> GroupEnd {
    match context.options.early_stopping {
        _ if full && group.beams.are_all_barred() => GroupEnd::NothingAllowed,
        EarlyStopping::Yes if full => GroupEnd::EnoughHypotheses,
        _ if full => GroupEnd::NoneBetter,
        _ if context.late => GroupEnd::Late,
        _ if group.beams.is_at_limit(context) => GroupEnd::Length,
        _ => GroupEnd::StopStrings,
    }
}

impl Search for Groups {
    fn feeds(&self) -> Vec<(Feed<'_>, Wanted)> {
        let groups = if self.prompt.is_some() { &self.groups[..1] } else { &self.groups };
        let live = groups.iter().filter(|group| !group.done).flat_map(|group| group.beams.live());
        let cached = |history: &[u32]| if self.prompt.is_some() { 0 } else { history.len() - 1 };
        live.map(|(sequence, history)| (Feed { sequence, tokens: &history[cached(history)..] }, Wanted::Last)).collect()
    }

    fn advance(
        &mut self,
        given: &Given<'_>,
        context: &mut Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let shared = self.prompt.take();
        if let Some(shared) = shared {
            self.groups[1..].iter_mut().for_each(|group| group.beams.seat(model.fork(shared)));
        }
        let new_tokens = self.open().map(Beams::new_tokens).max().unwrap_or(0);
        let mut rest = given.rows;
        let (mut taken, mut full) = (Vec::new(), Vec::with_capacity(self.groups.len()));
        let mut trace = context.trace.take();
        for (number, group) in self.groups.iter_mut().enumerate() {
            if group.done {
                taken.extend(std::iter::repeat_n(context.options.pad_token_id, self.size).flatten());
                full.push(false);
                continue;
            }
            let rows = match shared {
                Some(_) => rest,
                None => rest.split_off(..self.size).expect("a row for each open beam"),
            };
            let trace = trace.as_deref_mut().map(|trace| trace.group(number));
            full.push(group.beams.advance(rows, &mut taken, context, trace, model)?);
        }
        let at_end = self.is_at_end(context);
        for (number, (group, full)) in self.groups.iter_mut().zip(full).enumerate() {
            let mut trace = trace.as_deref_mut().filter(|_| !group.done).map(|trace| trace.group(number));
            if at_end && !group.done && !full {
                group.beams.close(context, trace.as_deref_mut());
            }
            if at_end || full {
                if let Some(trace) = trace {
                    trace.end = Some(why(group, full, context));
                }
                group.beams.take_sequences().for_each(|sequence| model.free(sequence));
                group.done = true;
            }
        }
        let done = self.groups.iter().all(|group| group.done);
        if done && self.groups.iter().all(|group| group.beams.found_nothing()) {
            // Only a constraint keeps beams from becoming hypotheses.
            return Err(GenerateError::NothingAllowed { prompt: context.prompt, new_tokens });
        }
        Ok(done)
    }

    fn free(&mut self, model: &mut dyn StepModel) {
        let mut sequences: Vec<SequenceId> =
            self.groups.iter_mut().flat_map(|group| group.beams.take_sequences()).collect();
        // Before the first step all groups have one.
        sequences.sort_unstable();
        sequences.dedup();
        sequences.into_iter().for_each(|sequence| model.free(sequence));
    }

    fn into_outputs(self: Box<Self>, count: usize) -> Vec<Output> {
        Hypotheses::into_outputs(self.groups.into_iter().map(|group| group.beams.into_hypotheses()), count)
    }
}
