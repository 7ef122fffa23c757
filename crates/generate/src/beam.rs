//! Beams that compete with each other: a step of `BeamSearchScorer` of transformers 4.46.3, candidate for candidate.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use luthier_kernels::threads;

use crate::constraint::{Constraint, Matcher};
use crate::error::GenerateError;
use crate::hypotheses::{Hypotheses, Hypothesis};
use crate::job::{Context, Row};
use crate::output::FinishReason;
use crate::processor;
use crate::random::RandomStream;
use crate::resolve::{Limits, Resolved};
use crate::softmax::greatest;
use crate::step::{SequenceId, StepModel};
use crate::trace::{BeamStep, BeamTrace, Continuation, Fate, GroupTrace, HypothesisTrace};
use crate::watch::{Applied, Watch};

/// Score of all beams but the first at the start, so that the equal beams do not all choose the same tokens.
const UNUSED: f32 = -1e9;

/// An open beam.
#[derive(Clone)]
struct Beam {
    sequence: SequenceId,
    history: Vec<u32>,
    logprobs: Vec<f32>,
    /// Sum of processed log-probabilities, in f32 as the reference adds them.
    score: f32,
}

/// A beam's continuation by one token.
#[derive(Clone, Copy)]
struct Candidate {
    /// What candidates are picked by: the score, or the score with Gumbel noise.
    key: f64,
    score: f32,
    beam: usize,
    token: u32,
}

impl Candidate {
    /// `Less` when `self` comes first: the higher key, then the lower beam and token.
    fn order(&self, other: &Self) -> Ordering {
        other.key.total_cmp(&self.key).then((self.beam, self.token).cmp(&(other.beam, other.token)))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

/// A group of beams and its finished hypotheses.
pub(crate) struct Beams {
    beams: Vec<Beam>,
    /// Before the first step all beams are the prompt, in one sequence.
    first: bool,
    finished: Hypotheses,
    stream: RandomStream,
    /// Processed log-probabilities, a row for each beam.
    scores: Vec<Vec<f32>>,
    /// What each beam may become under a constraint; none for a beam that is not allowed at all.
    matchers: Vec<Option<Box<dyn Matcher>>>,
    constrained: bool,
}

impl Beams {
    /// `sequence` will hold the prompt and is every beam's parent in the first step; `copy` is the number of the prompt's random stream.
    pub(crate) fn new(
        prompt: &[u32],
        copy: u64,
        sequence: SequenceId,
        options: &Resolved,
        limits: &Limits,
        constraint: Option<&dyn Constraint>,
    ) -> Self {
        let size = options.group_size();
        let beam = Beam { sequence, history: prompt.to_vec(), logprobs: Vec::new(), score: 0.0 };
        let mut beams = vec![beam; size];
        beams[1..].iter_mut().for_each(|beam| beam.score = UNUSED);
        Self {
            beams,
            first: true,
            finished: Hypotheses::new(options, limits),
            stream: RandomStream::new(options.seed, prompt, copy),
            scores: vec![Vec::new(); size],
            matchers: (0..size).map(|_| constraint.map(Constraint::matcher)).collect(),
            constrained: constraint.is_some(),
        }
    }

    /// The sequences to feed with what each of them holds; before the first step there is a single one.
    pub(crate) fn live(&self) -> impl Iterator<Item = (SequenceId, &[u32])> {
        let live = self.beams.iter().map(|beam| (beam.sequence, beam.history.as_slice()));
        live.take(if self.first { 1 } else { usize::MAX })
    }

    /// Puts the prompt, before the first step, into another sequence that holds it.
    pub(crate) fn seat(&mut self, sequence: SequenceId) {
        self.beams.iter_mut().for_each(|beam| beam.sequence = sequence);
    }

    /// One step: candidates, finished hypotheses, next beams. There is a row for each beam, and one for all in the first step;
    /// `taken` are the tokens that the groups before have chosen in this step, to which this one adds its own. True when no beam
    /// can become a better hypothesis than those that are there.
    pub(crate) fn advance(
        &mut self,
        rows: &[Row<'_>],
        taken: &mut Vec<u32>,
        context: &Context<'_, '_>,
        mut trace: Option<&mut GroupTrace>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let (first, new_tokens) = (self.first, self.new_tokens());
        rows.iter().try_for_each(|row| row.check(context.prompt, new_tokens))?;
        let row = |beam: usize| &rows[if first { 0 } else { beam }];
        let (candidates, watches) = self.candidates(row, taken.as_slice(), context, trace.is_some())?;
        if let Some(trace) = trace.as_deref_mut() {
            let step = self.begun(&candidates, watches, row, trace.most, context);
            trace.steps.push(step);
        }
        let logprob = |c: &Candidate| row(c.beam).logprob(c.token as usize);

        let mut next: Vec<(Candidate, f32)> = Vec::with_capacity(self.beams.len());
        for (rank, candidate) in candidates.iter().enumerate() {
            if context.options.eos_token_id.contains(&candidate.token) {
                // An end ranked behind the beams would not have been a beam either.
                if rank < self.beams.len() {
                    self.finish(candidate, logprob(candidate), context, (rank, trace.as_deref_mut()));
                }
            } else {
                if let Some(trace) = trace.as_deref_mut() {
                    trace.goes_on(rank, next.len());
                }
                next.push((*candidate, logprob(candidate)));
            }
            if next.len() == self.beams.len() {
                break;
            }
        }
        let length = self.beams[0].history.len() + 1;
        let is_done = self.finished.is_done(f64::from(candidates[0].score), length);
        let parents = self.extend(&next, context)?;
        self.reseat(&next, &parents, model);
        taken.extend(next.iter().map(|(candidate, _)| candidate.token));
        Ok(is_done || self.are_all_barred())
    }

    /// Whether a constraint allows none of the open beams.
    pub(crate) fn are_all_barred(&self) -> bool {
        self.beams.iter().all(|beam| self.is_barred(beam.score))
    }

    /// The best continuations of all beams, by score; when sampling drawn without replacement and then sorted by score. With them,
    /// when they are to be written down, the scores of each beam on their way.
    fn candidates<'r>(
        &mut self,
        row: impl Fn(usize) -> &'r Row<'r> + Sync,
        taken: &[u32],
        context: &Context<'_, '_>,
        traced: bool,
    ) -> Result<(Vec<Candidate>, Vec<Watch>), GenerateError> {
        let Self { beams, stream, scores, matchers, constrained, .. } = self;
        let (beams, stream): (&[Beam], &RandomStream) = (beams, stream);
        let (prompt, options, chain) = (context.prompt, context.options, context.chain);
        let work = 4 * row(0).logits.len();
        let tasks = scores.iter_mut().zip(matchers).enumerate().collect();
        type Task<'t> = (usize, (&'t mut Vec<f32>, &'t mut Option<Box<dyn Matcher>>));
        let best_of_beams = threads::map(tasks, work, |(beam, (scores, matcher)): Task<'_>| {
            row(beam).logprobs(scores);
            let mut watch = traced.then(Watch::default);
            // A sequence bias comes before it in the reference; both add, so that the order is no matter.
            processor::hamming_diversity(scores, taken, options.diversity_penalty as f32);
            if let Some(watch) = watch.as_mut().filter(|_| !taken.is_empty() && options.diversity_penalty > 0.0) {
                let value = Some(options.diversity_penalty.to_string());
                watch.saw(Applied { name: "diversity_penalty", value }, scores);
            }
            if *constrained && matcher.is_none() {
                scores.fill(processor::FORBIDDEN);
                if let Some(watch) = &mut watch {
                    watch.saw(Applied { name: "form", value: None }, scores);
                }
            } else {
                let (history, eos) = (&beams[beam].history, &options.eos_token_id);
                let done = chain.apply_with(history, scores, matcher.as_mut(), eos, watch.as_mut());
                done.map_err(|source| GenerateError::Constraint { prompt, source })?;
            }
            Ok::<_, GenerateError>((best_of(beam, &beams[beam], scores, options, stream), watch))
        });
        let both = best_of_beams.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (best, watches): (Vec<_>, Vec<_>) = both.into_iter().unzip();
        let mut candidates = best.concat();
        candidates.sort_unstable();
        candidates.truncate(options.candidates());
        if options.do_sample {
            candidates.iter_mut().for_each(|c| c.key = f64::from(c.score));
            candidates.sort();
        }
        Ok((candidates, watches.into_iter().flatten().collect()))
    }

    /// The record of a step whose candidates are known and whose decisions are not.
    fn begun<'r>(
        &self,
        candidates: &[Candidate],
        watches: Vec<Watch>,
        row: impl Fn(usize) -> &'r Row<'r>,
        most: usize,
        context: &Context<'_, '_>,
    ) -> BeamStep {
        let watched = self.beams.iter().zip(watches).enumerate();
        let beam = |(number, (beam, watch)): (usize, (&Beam, Watch))| {
            let own = candidates.iter().filter(|candidate| candidate.beam == number);
            let tokens: Vec<u32> = own.map(|candidate| candidate.token).collect();
            BeamTrace { score: beam.score, scoring: watch.scoring(row(number), most, &tokens) }
        };
        let continuation = |candidate: &Candidate| Continuation {
            beam: candidate.beam,
            token: candidate.token,
            score: candidate.score,
            fate: match candidate.score {
                f32::NEG_INFINITY => Fate::Forbidden,
                _ if context.options.eos_token_id.contains(&candidate.token) => Fate::EndBehindBeams,
                _ => Fate::NotAmongBest,
            },
        };
        BeamStep {
            step: self.new_tokens(),
            beams: watched.map(beam).collect(),
            candidates: candidates.iter().map(continuation).collect(),
        }
    }

    fn finish(
        &mut self,
        candidate: &Candidate,
        logprob: f32,
        context: &Context<'_, '_>,
        traced: (usize, Option<&mut GroupTrace>),
    ) {
        let beam = &self.beams[candidate.beam];
        let mut logprobs = beam.logprobs.clone();
        logprobs.push(logprob);
        let hypothesis = Hypothesis {
            tokens: beam.history[context.limits.prompt_len..].to_vec(),
            logprobs,
            eos: Some(candidate.token),
            stop_string: None,
            finish_reason: FinishReason::Stop,
        };
        self.add(hypothesis, candidate.score, traced);
    }

    /// `traced` is the candidate's rank, and where that is written down.
    fn add(&mut self, hypothesis: Hypothesis, score: f32, traced: (usize, Option<&mut GroupTrace>)) {
        let (rank, trace) = traced;
        if self.is_barred(score) {
            if let Some(trace) = trace {
                trace.barred(rank);
            }
            return;
        }
        let record = trace.is_some().then(|| HypothesisTrace::new(rank, &hypothesis, score));
        let placed = self.finished.add(hypothesis, f64::from(score));
        if let Some((trace, record)) = trace.zip(record) {
            trace.finished(record, placed);
        }
    }

    /// Whether a score belongs to what a constraint forbids, or to an unused beam that has nothing else to be.
    fn is_barred(&self, score: f32) -> bool {
        self.constrained && score < UNUSED / 2.0
    }

    /// Replaces the beams by the chosen continuations, still seated in their parents' caches; returns the old beams' caches.
    fn extend(
        &mut self,
        next: &[(Candidate, f32)],
        context: &Context<'_, '_>,
    ) -> Result<Vec<SequenceId>, GenerateError> {
        let grown = |&(candidate, logprob): &(Candidate, f32)| {
            let mut beam = self.beams[candidate.beam].clone();
            beam.history.push(candidate.token);
            beam.logprobs.push(logprob);
            beam.score = candidate.score;
            beam
        };
        let beams = next.iter().map(grown).collect();
        if self.constrained {
            let told = |(candidate, _): &(Candidate, f32)| {
                let allowed = self.matchers[candidate.beam].as_ref().filter(|_| candidate.score > f32::NEG_INFINITY);
                let mut matcher = allowed.map(|matcher| matcher.fork());
                context.accept(candidate.token, matcher.as_mut())?;
                Ok(matcher)
            };
            self.matchers = next.iter().map(told).collect::<Result<_, GenerateError>>()?;
        }
        let old = std::mem::replace(&mut self.beams, beams);
        Ok(old.into_iter().map(|beam| beam.sequence).collect())
    }

    /// Gives every beam its own cache. The first child of a parent keeps the parent's, further ones fork it, and a parent without
    /// children is freed. In the first step all parents share one cache.
    fn reseat(&mut self, next: &[(Candidate, f32)], parents: &[SequenceId], model: &mut dyn StepModel) {
        let first = std::mem::take(&mut self.first);
        let seat = |beam: usize| if first { 0 } else { beam };
        let mut vacant = vec![true; if first { 1 } else { parents.len() }];
        for (beam, (candidate, _)) in self.beams.iter_mut().zip(next) {
            let parent = seat(candidate.beam);
            if !std::mem::replace(&mut vacant[parent], false) {
                beam.sequence = model.fork(parents[parent]);
            }
        }
        for (&parent, vacant) in parents.iter().zip(vacant) {
            if vacant {
                model.free(parent);
            }
        }
    }

    /// Tokens behind the prompt.
    pub(crate) fn new_tokens(&self) -> usize {
        self.beams[0].logprobs.len()
    }

    /// Whether all open beams are as long as they may be.
    pub(crate) fn is_at_limit(&self, context: &Context<'_, '_>) -> bool {
        self.beams[0].history.len() >= context.limits.max_length
    }

    /// Whether every open beam has just completed a stop string.
    pub(crate) fn all_stop(&self, context: &Context<'_, '_>) -> bool {
        self.beams.iter().all(|beam| completed(beam, context).is_some())
    }

    /// The open beams become hypotheses.
    pub(crate) fn close(&mut self, context: &Context<'_, '_>, mut trace: Option<&mut GroupTrace>) {
        for at in 0..self.beams.len() {
            let beam = &self.beams[at];
            let stop_string = completed(beam, context).map(str::to_owned);
            let finish_reason = match &stop_string {
                Some(_) => FinishReason::Stop,
                None if self.is_at_limit(context) => FinishReason::Length,
                None => FinishReason::Interrupted,
            };
            let hypothesis = Hypothesis {
                tokens: beam.history[context.limits.prompt_len..].to_vec(),
                logprobs: beam.logprobs.clone(),
                eos: None,
                finish_reason,
                stop_string,
            };
            let (score, rank) = (beam.score, trace.as_ref().map_or(0, |trace| trace.rank_of(at)));
            self.add(hypothesis, score, (rank, trace.as_deref_mut()));
        }
    }

    /// Whether there is no hypothesis.
    pub(crate) fn found_nothing(&self) -> bool {
        self.finished.is_empty()
    }

    /// Takes the caches of the open beams, which are one before the end of the first step.
    pub(crate) fn take_sequences(&mut self) -> impl Iterator<Item = SequenceId> {
        let seats = if self.first { 1 } else { usize::MAX };
        self.beams.drain(..).take(seats).map(|beam| beam.sequence)
    }

    /// What has been found.
    pub(crate) fn into_hypotheses(self) -> Hypotheses {
        self.finished
    }
}

/// The stop string that a beam's newest token has completed.
fn completed<'c>(beam: &Beam, context: &Context<'c, '_>) -> Option<&'c str> {
    context.stop.and_then(|stop| stop.completed_by_last(&beam.history))
}

/// Scores that are turned away together when their greatest is.
const BLOCK: usize = 256;

/// The best continuations of one beam, as many as all beams together are to have; `scores` are its processed log-probabilities.
fn best_of(index: usize, beam: &Beam, scores: &[f32], options: &Resolved, stream: &RandomStream) -> Vec<Candidate> {
    let wanted = options.candidates();
    let step = beam.logprobs.len() as u64;
    let mut best: BinaryHeap<Candidate> = BinaryHeap::with_capacity(wanted + 1);
    // Not a number until the heap is full: it turns nobody away.
    let mut bar = f64::NAN;
    for (block, scores_of_block) in scores.chunks(BLOCK).enumerate() {
        if !options.do_sample && f64::from(greatest(scores_of_block) + beam.score) <= bar {
            continue;
        }
        for (token, &score) in (block * BLOCK..).zip(scores_of_block) {
            let score = score + beam.score;
            let mut key = f64::from(score);
            if options.do_sample && score > f32::NEG_INFINITY {
                // The k best of scores with Gumbel noise are a draw of k without replacement (arXiv 1903.06059).
                key -= (-stream.uniform(step, (index * scores.len() + token) as u64).ln()).ln();
            }
            // Almost every candidate is turned away here; equal keys rank behind, for they come later.
            if key <= bar {
                continue;
            }
            best.push(Candidate { key, score, beam: index, token: token as u32 });
            if best.len() > wanted {
                best.pop();
            }
            if best.len() == wanted {
                bar = best.peek().map_or(bar, |worst| worst.key);
            }
        }
    }
    best.into_vec()
}
