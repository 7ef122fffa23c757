//! Beam search and beam sampling of one prompt: `BeamSearchScorer` of transformers 4.46.3, candidate for candidate.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use luthier_kernels::threads;

use crate::error::GenerateError;
use crate::hypotheses::{Hypotheses, Hypothesis};
use crate::job::{Context, Row};
use crate::output::{FinishReason, Output};
use crate::random::RandomStream;
use crate::resolve::Resolved;
use crate::softmax::greatest;
use crate::step::{SequenceId, StepModel};

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

/// The beams of one prompt and its finished hypotheses.
pub(crate) struct Beams {
    beams: Vec<Beam>,
    finished: Hypotheses,
    stream: RandomStream,
    /// Processed log-probabilities, a row for each beam.
    scores: Vec<Vec<f32>>,
}

impl Beams {
    /// `sequence` will hold the prompt and is every beam's parent in the first step; `copy` is the number of the prompt's random stream.
    pub(crate) fn new(prompt: &[u32], copy: u64, sequence: SequenceId, context: &Context<'_, '_>) -> Self {
        let first = Beam { sequence, history: prompt.to_vec(), logprobs: Vec::new(), score: 0.0 };
        let mut beams = vec![first; context.options.num_beams];
        beams[1..].iter_mut().for_each(|beam| beam.score = UNUSED);
        Self {
            beams,
            finished: Hypotheses::new(context.options, context.limits),
            stream: RandomStream::new(context.options.seed, prompt, copy),
            scores: vec![Vec::new(); context.options.num_beams],
        }
    }

    /// The sequences to feed with what each of them holds; before the first step there is a single one.
    pub(crate) fn live(&self, first: bool) -> impl Iterator<Item = (SequenceId, &[u32])> {
        let live = self.beams.iter().map(|beam| (beam.sequence, beam.history.as_slice()));
        live.take(if first { 1 } else { usize::MAX })
    }

    /// One step: candidates, finished hypotheses, next beams. There is a row for each beam, and one for all in the first step.
    /// True when the search is over; the beams' caches are free then.
    pub(crate) fn advance(
        &mut self,
        first: bool,
        rows: &[Row<'_>],
        context: &Context<'_, '_>,
        model: &mut dyn StepModel,
    ) -> Result<bool, GenerateError> {
        let new_tokens = self.beams[0].logprobs.len();
        rows.iter().try_for_each(|row| row.check(context.prompt, new_tokens))?;
        let row = |beam: usize| &rows[if first { 0 } else { beam }];
        let candidates = self.candidates(row, context);
        let logprob = |c: &Candidate| row(c.beam).logprob(c.token as usize);

        let mut next: Vec<(Candidate, f32)> = Vec::with_capacity(self.beams.len());
        for (rank, candidate) in candidates.iter().enumerate() {
            if context.options.eos_token_id.contains(&candidate.token) {
                // An end ranked behind the beams would not have been a beam either.
                if rank < self.beams.len() {
                    self.finish(candidate, logprob(candidate), context);
                }
            } else {
                next.push((*candidate, logprob(candidate)));
            }
            if next.len() == self.beams.len() {
                break;
            }
        }
        let length = self.beams[0].history.len() + 1;
        if self.finished.is_done(f64::from(candidates[0].score), length) {
            self.free(first, model);
            return Ok(true);
        }
        let parents = self.extend(&next);
        if self.close(context) {
            self.beams.clear();
            parents.into_iter().take(if first { 1 } else { usize::MAX }).for_each(|sequence| model.free(sequence));
            return Ok(true);
        }
        self.reseat(&next, &parents, first, model);
        Ok(false)
    }

    /// The best continuations of all beams, by score; when sampling drawn without replacement and then sorted by score.
    fn candidates<'r>(
        &mut self,
        row: impl Fn(usize) -> &'r Row<'r> + Sync,
        context: &Context<'_, '_>,
    ) -> Vec<Candidate> {
        let Self { beams, stream, scores, .. } = self;
        let (beams, stream): (&[Beam], &RandomStream) = (beams, stream);
        let (options, chain, vocab_size) = (context.options, context.chain, context.vocab_size);
        let tasks = scores.iter_mut().enumerate().collect();
        let best_of_beams = threads::map(tasks, 4 * vocab_size, |(beam, scores): (usize, &mut Vec<f32>)| {
            row(beam).logprobs(scores);
            chain.apply(&beams[beam].history, scores);
            best_of(beam, &beams[beam], scores, options, stream)
        });
        let mut candidates = best_of_beams.concat();
        candidates.sort_unstable();
        candidates.truncate(options.candidates());
        if options.do_sample {
            candidates.iter_mut().for_each(|c| c.key = f64::from(c.score));
            candidates.sort();
        }
        candidates
    }

    fn finish(&mut self, candidate: &Candidate, logprob: f32, context: &Context<'_, '_>) {
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
        self.finished.add(hypothesis, f64::from(candidate.score));
    }

    /// Replaces the beams by the chosen continuations, still seated in their parents' caches; returns the old beams' caches.
    fn extend(&mut self, next: &[(Candidate, f32)]) -> Vec<SequenceId> {
        let grown = |&(candidate, logprob): &(Candidate, f32)| {
            let mut beam = self.beams[candidate.beam].clone();
            beam.history.push(candidate.token);
            beam.logprobs.push(logprob);
            beam.score = candidate.score;
            beam
        };
        let beams = next.iter().map(grown).collect();
        let old = std::mem::replace(&mut self.beams, beams);
        old.into_iter().map(|beam| beam.sequence).collect()
    }

    /// At the length limit, or when every open beam has just completed a stop string (transformers' rule), the open beams
    /// become hypotheses and the search is over.
    fn close(&mut self, context: &Context<'_, '_>) -> bool {
        let completed = |beam: &Beam| context.stop.and_then(|stop| stop.completed_by_last(&beam.history));
        let at_limit = self.beams[0].history.len() >= context.limits.max_length;
        if !at_limit && !self.beams.iter().all(|beam| completed(beam).is_some()) {
            return false;
        }
        for beam in &self.beams {
            let stop_string = completed(beam).map(str::to_owned);
            let hypothesis = Hypothesis {
                tokens: beam.history[context.limits.prompt_len..].to_vec(),
                logprobs: beam.logprobs.clone(),
                eos: None,
                finish_reason: if stop_string.is_some() { FinishReason::Stop } else { FinishReason::Length },
                stop_string,
            };
            self.finished.add(hypothesis, f64::from(beam.score));
        }
        true
    }

    /// Gives every beam its own cache. The first child of a parent keeps the parent's, further ones fork it, and a parent without
    /// children is freed. In the first step all parents share one cache.
    fn reseat(&mut self, next: &[(Candidate, f32)], parents: &[SequenceId], first: bool, model: &mut dyn StepModel) {
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

    /// Frees the open beams' caches; before the end of the first step they are one.
    pub(crate) fn free(&mut self, first: bool, model: &mut dyn StepModel) {
        for beam in self.beams.drain(..).take(if first { 1 } else { usize::MAX }) {
            model.free(beam.sequence);
        }
    }

    /// The best `count` hypotheses, best first.
    pub(crate) fn into_outputs(self, count: usize) -> Vec<Output> {
        self.finished.into_outputs(count)
    }
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
