//! From the trace of a search to the document of the report: tokens get their texts, the best output's way is followed back.

use std::collections::HashSet;

use luthier_generate::{
    BeamStep, Choice, Completion, Continuation, Fate, FinishReason, GroupEnd, GroupTrace, HypothesisTrace, Resolved,
    Scoring, Trace,
};
use luthier_report::explain::{self, Candidate, Distribution, End, Explanation, Stage, Token};
use luthier_text::Tokenizer;
use serde_json::{Map, Value};

use super::spelling;

/// What is known when the search is over.
pub(super) struct Record<'r> {
    pub(super) tokenizer: &'r Tokenizer,
    pub(super) options: &'r Resolved,
    pub(super) trace: &'r Trace,
    pub(super) completion: &'r Completion,
}

impl Record<'_> {
    pub(super) fn explanation(&self, model: String, parameters: Map<String, Value>) -> Explanation {
        let mut choices: Vec<&Choice> = self.trace.choices.iter().collect();
        choices.sort_by_key(|choice| (choice.output, choice.step));
        let groups = self.trace.groups.iter().enumerate();
        Explanation {
            model,
            search: self.search(),
            parameters,
            prompt: self.tokens(self.completion.prompt.iter().copied()),
            steps: choices.into_iter().map(|choice| self.step(choice)).collect(),
            groups: groups.map(|(number, group)| self.group(number, group)).collect(),
            outputs: self.outputs(),
        }
    }

    fn search(&self) -> &'static str {
        match (self.options.num_beams, self.options.num_beam_groups, self.options.do_sample) {
            (1, _, false) => "greedy decoding",
            (1, _, true) => "sampling",
            (_, 1, false) => "beam search",
            (_, 1, true) => "beam sampling",
            _ => "diverse beam search",
        }
    }

    fn token(&self, id: u32) -> Token {
        spelling::token(id, self.tokenizer)
    }

    fn tokens(&self, ids: impl IntoIterator<Item = u32>) -> Vec<Token> {
        ids.into_iter().map(|id| self.token(id)).collect()
    }

    fn outputs(&self) -> Vec<explain::Output> {
        let output = |output: &luthier_generate::Output| explain::Output {
            text: output.text(&|ids| self.tokenizer.decode(ids, true)),
            tokens: self.tokens(output.tokens_with_eos()),
            score: output.score,
            finish_reason: reason(output.finish_reason),
        };
        self.completion.outputs.iter().map(output).collect()
    }

    fn step(&self, choice: &Choice) -> explain::Step {
        explain::Step {
            output: choice.output + 1,
            step: choice.step + 1,
            taken: self.token(choice.token),
            uniform: choice.uniform,
            distribution: self.distribution(&choice.scoring, |token| token == choice.token),
        }
    }

    fn distribution(&self, scoring: &Scoring, taken: impl Fn(u32) -> bool) -> Distribution {
        let stages = scoring.stages.iter().map(|(applied, spread)| Stage {
            name: applied.name,
            value: applied.value.clone(),
            kept: spread.kept,
            entropy: spread.entropy,
        });
        let candidates = scoring.candidates.iter().map(|scored| Candidate {
            token: self.token(scored.token),
            before: scored.before,
            after: scored.after.clone(),
            taken: taken(scored.token),
        });
        let (kept, entropy) = (scoring.before.kept, scoring.before.entropy);
        Distribution { kept, entropy, stages: stages.collect(), candidates: candidates.collect() }
    }

    fn group(&self, number: usize, group: &GroupTrace) -> explain::Group {
        let best = self.trace.best();
        let path = match best.first() {
            Some(&(first, hypothesis)) if first == number => path(group, &group.hypotheses[hypothesis]),
            _ => HashSet::new(),
        };
        let hypothesis = |(at, hypothesis): (usize, &HypothesisTrace)| explain::Hypothesis {
            step: hypothesis.step + 1,
            tokens: self.tokens(hypothesis.tokens.iter().copied().chain(hypothesis.eos)),
            sum: f64::from(hypothesis.sum),
            score: hypothesis.score,
            finish_reason: reason(hypothesis.finish_reason),
            place: best.iter().position(|&kept| kept == (number, at)).map(|place| place + 1),
            displaced_by: hypothesis.displaced_by,
        };
        explain::Group {
            steps: (0..group.steps.len()).map(|at| self.beam_step(at, group, &path)).collect(),
            hypotheses: group.hypotheses.iter().enumerate().map(hypothesis).collect(),
            end: group.end.map(end),
        }
    }

    fn beam_step(&self, at: usize, group: &GroupTrace, path: &HashSet<(usize, usize)>) -> explain::BeamStep {
        let step: &BeamStep = &group.steps[at];
        let went_on = |beam: usize, token: u32| {
            let mut same =
                step.candidates.iter().filter(|candidate| (candidate.beam, candidate.token) == (beam, token));
            same.any(|candidate| matches!(candidate.fate, Fate::Beam(_) | Fate::Hypothesis(_)))
        };
        let beam = |(number, beam): (usize, &luthier_generate::BeamTrace)| explain::Beam {
            score: f64::from(beam.score),
            distribution: self.distribution(&beam.scoring, |token| went_on(number, token)),
        };
        let is_last = at + 1 == group.steps.len();
        let continuation = |(rank, candidate): (usize, &Continuation)| {
            let closed = || group.hypotheses.iter().position(|found| (found.step, found.candidate) == (at, rank));
            let (fate, next, hypothesis) = match candidate.fate {
                Fate::Beam(_) if is_last && closed().is_some() => (explain::Fate::Finished, None, closed()),
                Fate::Beam(_) if is_last && candidate.score == f32::NEG_INFINITY => {
                    (explain::Fate::Forbidden, None, None)
                }
                Fate::Beam(_) if is_last && group.end.is_some() => (explain::Fate::SearchEnded, None, None),
                Fate::Beam(next) => (explain::Fate::Beam, Some(next), None),
                Fate::Hypothesis(number) => (explain::Fate::Finished, None, Some(number)),
                Fate::NotAmongBest => (explain::Fate::NotAmongBest, None, None),
                Fate::EndBehindBeams => (explain::Fate::EndBehindBeams, None, None),
                Fate::Forbidden => (explain::Fate::Forbidden, None, None),
            };
            explain::Continuation {
                beam: candidate.beam,
                token: self.token(candidate.token),
                logprob: f64::from(candidate.score) - f64::from(step.beams[candidate.beam].score),
                score: f64::from(candidate.score),
                fate,
                next,
                hypothesis,
                on_path: path.contains(&(at, rank)),
            }
        };
        explain::BeamStep {
            step: step.step + 1,
            beams: step.beams.iter().enumerate().map(beam).collect(),
            continuations: step.candidates.iter().enumerate().map(continuation).collect(),
        }
    }
}

/// The continuations, as (step, rank), that lead to a hypothesis.
fn path(group: &GroupTrace, hypothesis: &HypothesisTrace) -> HashSet<(usize, usize)> {
    let mut rank = hypothesis.candidate;
    let mut path = HashSet::from([(hypothesis.step, rank)]);
    for at in (0..hypothesis.step).rev() {
        let beam = group.steps[at + 1].candidates[rank].beam;
        let parent = group.steps[at].candidates.iter().position(|candidate| candidate.fate == Fate::Beam(beam));
        rank = parent.expect("every open beam was a candidate of the step before");
        path.insert((at, rank));
    }
    path
}

fn reason(reason: FinishReason) -> String {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Interrupted => "interrupted",
    }
    .to_owned()
}

fn end(end: GroupEnd) -> End {
    match end {
        GroupEnd::EnoughHypotheses => End::EnoughHypotheses,
        GroupEnd::NoneBetter => End::NoneBetter,
        GroupEnd::NothingAllowed => End::NothingAllowed,
        GroupEnd::Length => End::Length,
        GroupEnd::StopStrings => End::StopStrings,
        GroupEnd::Late => End::Late,
    }
}
