//! The explanation as data for `templates/explain.html`: numbers formatted, phrases in the reader's language, bars and trees laid out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tree::Tree;
use super::{Candidate, Distribution, Explanation, Group, Hypothesis, Token};
use crate::{Language, figures};

/// Width of a bar of probability 1, in units of its own view box.
const BAR: f64 = 300.0;

/// Everything the template shows.
#[derive(Serialize)]
pub(super) struct Page {
    language: &'static str,
    t: BTreeMap<&'static str, &'static str>,
    title: String,
    model: String,
    parameters: Vec<(String, String)>,
    prompt: Vec<Token>,
    outputs: Vec<OutputView>,
    steps: Vec<StepView>,
    groups: Vec<GroupView>,
}

#[derive(Serialize)]
struct OutputView {
    heading: String,
    text: String,
    tokens: Vec<Token>,
    detail: String,
}

#[derive(Serialize)]
struct StepView {
    heading: String,
    /// How it was taken.
    how: String,
    taken: Token,
    distribution: DistributionView,
}

/// A row of numbers a stage, the model first; and a row of bars a candidate.
#[derive(Serialize)]
struct DistributionView {
    stages: Vec<StageView>,
    candidates: Vec<CandidateView>,
}

#[derive(Serialize)]
struct StageView {
    name: String,
    value: String,
    kept: String,
    entropy: String,
}

#[derive(Serialize)]
struct CandidateView {
    id: u32,
    text: String,
    /// `taken`, `removed` or `left`.
    class: &'static str,
    before: f64,
    /// Nothing where it is removed.
    after: Option<f64>,
    /// One for each stage, the model's first; none where it is removed.
    probabilities: Vec<Option<String>>,
    /// The stage that removed it.
    removed_by: Option<String>,
    description: String,
}

#[derive(Serialize)]
struct GroupView {
    heading: Option<String>,
    id: String,
    tree: Tree,
    description: String,
    end: Option<&'static str>,
    hypotheses: Vec<HypothesisView>,
    steps: Vec<BeamStepView>,
}

#[derive(Serialize)]
struct HypothesisView {
    number: usize,
    text: String,
    length: usize,
    sum: String,
    score: String,
    reason: String,
    fate: String,
    best: bool,
}

#[derive(Serialize)]
struct BeamStepView {
    heading: String,
    beams: Vec<BeamView>,
}

#[derive(Serialize)]
struct BeamView {
    heading: String,
    distribution: DistributionView,
}

impl Page {
    pub(super) fn of(explanation: &Explanation, language: Language) -> Self {
        let search = explanation.search.replace(' ', "_");
        let parameters = explanation.parameters.iter().map(|(name, value)| (name.clone(), value.to_string()));
        let outputs = explanation.outputs.iter().enumerate();
        Self {
            language: language.tag(),
            t: language.table(),
            title: language.phrase(&format!("explain.search.{search}")).to_owned(),
            model: explanation.model.clone(),
            parameters: parameters.collect(),
            prompt: explanation.prompt.clone(),
            outputs: outputs
                .map(|(number, output)| OutputView {
                    heading: language.fill("explain.output", &[("n", &(number + 1).to_string())]),
                    text: output.text.clone(),
                    tokens: output.tokens.clone(),
                    detail: language.fill(
                        "explain.output.detail",
                        &[
                            ("tokens", &figures::count(output.tokens.len() as u64)),
                            ("score", &figures::decimal(output.score, 4)),
                            ("reason", &output.finish_reason),
                        ],
                    ),
                })
                .collect(),
            steps: steps(explanation, language),
            groups: groups(explanation, language),
        }
    }
}

fn steps(explanation: &Explanation, language: Language) -> Vec<StepView> {
    let several = explanation.outputs.len() > 1;
    let view = |step: &super::Step| {
        let (n, output) = (step.step.to_string(), step.output.to_string());
        let key = if several { "explain.step.of" } else { "explain.step" };
        StepView {
            heading: language.fill(key, &[("n", &n), ("output", &output)]),
            how: match step.uniform {
                Some(uniform) => language.fill("explain.drawn", &[("at", &figures::decimal(uniform, 4))]),
                None => language.phrase("explain.best").to_owned(),
            },
            taken: step.taken.clone(),
            distribution: distribution(&step.distribution, language),
        }
    };
    explanation.steps.iter().map(view).collect()
}

fn distribution(distribution: &Distribution, language: Language) -> DistributionView {
    let model = StageView {
        name: language.phrase("explain.model").to_owned(),
        value: String::new(),
        kept: figures::count(distribution.kept as u64),
        entropy: figures::decimal(distribution.entropy, 3),
    };
    let stages = distribution.stages.iter().map(|stage| StageView {
        name: stage.name.to_owned(),
        value: stage.value.clone().unwrap_or_default(),
        kept: figures::count(stage.kept as u64),
        entropy: figures::decimal(stage.entropy, 3),
    });
    let largest = |candidate: &Candidate| {
        let after = candidate.after.iter().copied().flatten();
        after.chain([candidate.before]).fold(0.0, f64::max)
    };
    // The bars of a step share a scale, so that small ones can be told apart.
    let most = distribution.candidates.iter().map(largest).fold(0.0, f64::max);
    let candidates = distribution.candidates.iter().map(|one| candidate(one, distribution, most, language));
    DistributionView { candidates: candidates.collect(), stages: std::iter::once(model).chain(stages).collect() }
}

fn candidate(candidate: &Candidate, distribution: &Distribution, most: f64, language: Language) -> CandidateView {
    let length = |p: f64| (p / most.max(f64::MIN_POSITIVE) * BAR * 10.0).round() / 10.0;
    let last = candidate.after.last().copied().unwrap_or(Some(candidate.before));
    let removed = candidate.after.iter().position(Option::is_none).filter(|_| last.is_none());
    let removed_by = removed.map(|at| language.fill("explain.removed_by", &[("stage", distribution.stages[at].name)]));
    let before = figures::general(candidate.before);
    let after = last.map_or_else(|| language.phrase("explain.removed").to_owned(), figures::general);
    CandidateView {
        id: candidate.token.id,
        text: candidate.token.text.clone(),
        class: match last {
            _ if candidate.taken => "taken",
            None => "removed",
            Some(_) => "left",
        },
        before: length(candidate.before),
        after: last.map(length),
        probabilities: std::iter::once(Some(candidate.before))
            .chain(candidate.after.iter().copied())
            .map(|p| p.map(figures::general))
            .collect(),
        removed_by,
        description: language.fill("explain.bar", &[("before", &before), ("after", &after)]),
    }
}

fn groups(explanation: &Explanation, language: Language) -> Vec<GroupView> {
    let several = explanation.groups.len() > 1;
    let view = |(number, group): (usize, &Group)| {
        let n = (number + 1).to_string();
        let (steps, hypotheses) = (group.steps.len(), group.hypotheses.len());
        let values = [("steps", &*steps.to_string()), ("hypotheses", &hypotheses.to_string())];
        GroupView {
            heading: several.then(|| language.fill("explain.group", &[("n", &n)])),
            id: format!("tree-{n}"),
            tree: Tree::of(group),
            description: language.fill("explain.tree.description", &values),
            end: group.end.map(|end| language.phrase(end_key(end))),
            hypotheses: group.hypotheses.iter().enumerate().map(|one| hypothesis(one, language)).collect(),
            steps: group.steps.iter().map(|step| beam_step(step, language)).collect(),
        }
    };
    explanation.groups.iter().enumerate().map(view).collect()
}

fn end_key(end: super::End) -> &'static str {
    match end {
        super::End::EnoughHypotheses => "explain.end.enough",
        super::End::NoneBetter => "explain.end.none_better",
        super::End::NothingAllowed => "explain.end.nothing",
        super::End::Length => "explain.end.length",
        super::End::StopStrings => "explain.end.stop",
        super::End::Late => "explain.end.late",
    }
}

fn hypothesis((number, hypothesis): (usize, &Hypothesis), language: Language) -> HypothesisView {
    HypothesisView {
        number: number + 1,
        text: hypothesis.tokens.iter().map(|token| token.text.as_str()).collect(),
        length: hypothesis.step,
        sum: figures::decimal(hypothesis.sum, 4),
        score: figures::decimal(hypothesis.score, 4),
        reason: hypothesis.finish_reason.clone(),
        fate: match (hypothesis.place, hypothesis.displaced_by) {
            (Some(place), _) => language.fill("explain.place", &[("n", &place.to_string())]),
            (None, Some(by)) => language.fill("explain.displaced", &[("n", &(by + 1).to_string())]),
            (None, None) => language.phrase("explain.too_bad").to_owned(),
        },
        best: hypothesis.place == Some(1),
    }
}

fn beam_step(step: &super::BeamStep, language: Language) -> BeamStepView {
    let beam = |(number, beam): (usize, &super::Beam)| BeamView {
        heading: language
            .fill("explain.beam", &[("n", &(number + 1).to_string()), ("score", &figures::decimal(beam.score, 3))]),
        distribution: distribution(&beam.distribution, language),
    };
    BeamStepView {
        heading: language.fill("explain.step", &[("n", &step.step.to_string())]),
        beams: step.beams.iter().enumerate().map(beam).collect(),
    }
}
