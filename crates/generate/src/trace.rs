//! What happened while a prompt was decoded: a record that the searches themselves write while they run.
//!
//! A [`Generator`](crate::Generator) that was given traces hands each prompt's to its search. Nothing is computed twice or otherwise because of it:
//! the rows of scores are copied as they pass through the chain ([`Watch`](crate::watch::Watch)), and what the search decides is written down
//! where it decides. Without a trace a step pays for a few tests of an `Option`.
//!
//! Greedy decoding and sampling leave [`Choice`]s, beams leave [`GroupTrace`]s.

use crate::hypotheses::Hypothesis;
use crate::output::FinishReason;
use crate::watch::Scoring;

/// The record of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Candidates of each row that are written down: so many of the best before and of the best after all processors.
    pub(crate) most: usize,
    /// Greedy and sampling: every token that was chosen, in the order in which they were.
    pub choices: Vec<Choice>,
    /// Beams: every group.
    pub groups: Vec<GroupTrace>,
}

impl Trace {
    /// An empty record that will hold, of each row, so many of the best candidates before and of the best after all processors,
    /// and whatever was taken.
    #[must_use]
    pub fn new(candidates: usize) -> Self {
        Self { most: candidates, choices: Vec::new(), groups: Vec::new() }
    }

    /// The record of a group of beams.
    pub(crate) fn group(&mut self, number: usize) -> &mut GroupTrace {
        while self.groups.len() <= number {
            self.groups.push(GroupTrace { most: self.most, ..GroupTrace::default() });
        }
        &mut self.groups[number]
    }

    /// The finished hypotheses of all groups that are still in their lists, best first, as (group, hypothesis): the outputs in their
    /// order, of which there are at most `num_return_sequences`.
    #[must_use]
    pub fn best(&self) -> Vec<(usize, usize)> {
        let kept = self.groups.iter().enumerate().flat_map(|(number, group)| {
            group.kept.iter().map(move |&hypothesis| (group.hypotheses[hypothesis].score, (number, hypothesis)))
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.into_iter().rev().map(|(_, place)| place).collect()
    }
}

/// A token that greedy decoding or sampling chose.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The output among those of the prompt.
    pub output: usize,
    /// New tokens before this one.
    pub step: usize,
    /// What there was to choose from.
    pub scoring: Scoring,
    /// What was chosen.
    pub token: u32,
    /// Sampling: the uniform number on (0, 1) at which the cumulative distribution, in the order of the ids, was inverted.
    pub uniform: Option<f64>,
}

/// The record of a group of beams.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupTrace {
    pub(crate) most: usize,
    /// Every step.
    pub steps: Vec<BeamStep>,
    /// Every finished hypothesis in the order they were found, also those that left the list again or never entered it.
    pub hypotheses: Vec<HypothesisTrace>,
    /// Why the search of this group ended; none when it did not come to its end.
    pub end: Option<GroupEnd>,
    /// The numbers of the hypotheses in the list, in its order.
    kept: Vec<usize>,
}

/// A step of a group of beams.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamStep {
    /// New tokens before it.
    pub step: usize,
    /// The open beams.
    pub beams: Vec<BeamTrace>,
    /// The candidates the search looked at, best first.
    pub candidates: Vec<Continuation>,
}

/// An open beam before a step.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamTrace {
    /// Sum of its processed log-probabilities; before the first step `-1e9` for all beams but the first, which are the same text.
    pub score: f32,
    /// What it could be continued by.
    pub scoring: Scoring,
}

/// A beam's continuation by one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Continuation {
    /// The beam that is continued.
    pub beam: usize,
    /// By which token.
    pub token: u32,
    /// The beam's sum of processed log-probabilities with this token's.
    pub score: f32,
    /// What became of it.
    pub fate: Fate,
}

/// What becomes of a candidate of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is this beam of the next step.
    Beam(usize),
    /// It ends, and is this hypothesis of its group.
    Hypothesis(usize),
    /// There are enough better ones.
    NotAmongBest,
    /// It ends, but ranks behind as many candidates as there are beams.
    EndBehindBeams,
    /// A processor or the form forbids it.
    Forbidden,
}

/// A finished continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct HypothesisTrace {
    /// Index of the step it was found in, in [`GroupTrace::steps`].
    pub step: usize,
    /// The candidate of that step that it is.
    pub candidate: usize,
    /// New tokens without the end-of-sequence token.
    pub tokens: Vec<u32>,
    /// The end-of-sequence token, if one ended it.
    pub eos: Option<u32>,
    /// Sum of processed log-probabilities.
    pub sum: f32,
    /// The sum divided by `length^length_penalty`.
    pub score: f64,
    /// Why it ends.
    pub finish_reason: FinishReason,
    /// Whether it entered the list, which holds as many as there are beams; otherwise all there were better.
    pub entered: bool,
    /// The hypothesis that pushed it out of the list again.
    pub displaced_by: Option<usize>,
}

impl HypothesisTrace {
    /// The record of a hypothesis that no list has seen yet, made of the candidate of this rank.
    pub(crate) fn new(candidate: usize, hypothesis: &Hypothesis, sum: f32) -> Self {
        Self {
            step: 0,
            candidate,
            tokens: hypothesis.tokens.clone(),
            eos: hypothesis.eos,
            sum,
            score: f64::NAN,
            finish_reason: hypothesis.finish_reason,
            entered: false,
            displaced_by: None,
        }
    }
}

/// Why the search of a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupEnd {
    /// `early_stopping: true`: there are as many hypotheses as beams.
    EnoughHypotheses,
    /// No open beam can become better than the worst hypothesis of the full list.
    NoneBetter,
    /// The form allows none of the open beams.
    NothingAllowed,
    /// The length limit: the open beams became hypotheses.
    Length,
    /// Every open beam has completed a stop string: they became hypotheses.
    StopStrings,
    /// `max_time` was over: the open beams became hypotheses.
    Late,
}

/// How a hypothesis fared with the list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placed {
    pub(crate) score: f64,
    pub(crate) entered: bool,
    /// The place in the list that another one left for it.
    pub(crate) left: Option<usize>,
}

impl GroupTrace {
    /// A candidate of the newest step, by its rank, is this beam from now on.
    pub(crate) fn goes_on(&mut self, rank: usize, beam: usize) {
        self.newest(rank).fate = Fate::Beam(beam);
    }

    /// A candidate of the newest step would be a hypothesis that a form forbids.
    pub(crate) fn barred(&mut self, rank: usize) {
        self.newest(rank).fate = Fate::Forbidden;
    }

    /// A candidate of the newest step is a hypothesis; a beam that goes on stays marked as one.
    pub(crate) fn finished(&mut self, mut hypothesis: HypothesisTrace, placed: Placed) {
        let (number, rank) = (self.hypotheses.len(), hypothesis.candidate);
        hypothesis.step = self.steps.len() - 1;
        (hypothesis.score, hypothesis.entered) = (placed.score, placed.entered);
        self.hypotheses.push(hypothesis);
        if placed.entered {
            self.kept.push(number);
        }
        if let Some(left) = placed.left {
            let leaving = self.kept.remove(left);
            self.hypotheses[leaving].displaced_by = Some(number);
        }
        let candidate = self.newest(rank);
        if !matches!(candidate.fate, Fate::Beam(_)) {
            candidate.fate = Fate::Hypothesis(number);
        }
    }

    /// The rank in the newest step of what is now an open beam.
    pub(crate) fn rank_of(&self, beam: usize) -> usize {
        let newest = self.steps.last().map_or(&[][..], |step| &step.candidates);
        newest.iter().position(|candidate| candidate.fate == Fate::Beam(beam)).expect("every open beam was a candidate")
    }

    fn newest(&mut self, rank: usize) -> &mut Continuation {
        &mut self.steps.last_mut().expect("a step has begun").candidates[rank]
    }

    /// Whether a hypothesis is in the list.
    #[must_use]
    pub fn keeps(&self, hypothesis: usize) -> bool {
        self.kept.contains(&hypothesis)
    }
}
