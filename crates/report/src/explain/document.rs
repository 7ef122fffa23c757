//! The document: every field as `--json` prints it. Numbers that are not finite are `null` there.

use serde::Serialize;
use serde_json::{Map, Value};

/// What happened while one prompt was decoded.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The model as it was named.
    pub model: String,
    /// `greedy decoding`, `sampling`, `beam search`, `beam sampling` or `diverse beam search`.
    pub search: &'static str,
    /// Generation parameters in force that someone chose.
    pub parameters: Map<String, Value>,
    /// What was fed: the prompt's tokens.
    pub prompt: Vec<Token>,
    /// Greedy decoding and sampling: each choice, output by output.
    pub steps: Vec<Step>,
    /// Beams: each group's search.
    pub groups: Vec<Group>,
    /// What came of it, best first.
    pub outputs: Vec<Output>,
}

/// A token and its text for the eye: spaces, line breaks and bytes that are no whole character made visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Token id.
    pub id: u32,
    /// Its text.
    pub text: String,
}

/// A choice of greedy decoding or sampling.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The output, from 1.
    pub output: usize,
    /// The new token's number, from 1.
    pub step: usize,
    /// What was taken.
    pub taken: Token,
    /// Sampling: the number on (0, 1) that was drawn.
    pub uniform: Option<f64>,
    /// What there was to choose from.
    #[serde(flatten)]
    pub distribution: Distribution,
}

/// A distribution on its way through the processors.
#[derive(Debug, Clone, Serialize)]
pub struct Distribution {
    /// Tokens the model leaves possible.
    pub kept: usize,
    /// Entropy of the model's distribution in nats.
    pub entropy: f64,
    /// The processors and warpers in their order.
    pub stages: Vec<Stage>,
    /// Candidates, the most probable under the model first.
    pub candidates: Vec<Candidate>,
}

/// A processor that acted.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Its parameter.
    pub name: &'static str,
    /// The parameter's value where it is a single one.
    pub value: Option<String>,
    /// Tokens possible behind it.
    pub kept: usize,
    /// Entropy behind it in nats.
    pub entropy: f64,
}

/// A token that could have been taken.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// Probability under the model.
    pub before: f64,
    /// Probability behind each stage; none where it is removed.
    pub after: Vec<Option<f64>>,
    /// Whether it was taken; of beams, whether it went on or ended as a hypothesis.
    pub taken: bool,
}

/// The search of a group of beams.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Its steps.
    pub steps: Vec<BeamStep>,
    /// Its finished hypotheses in the order they were found.
    pub hypotheses: Vec<Hypothesis>,
    /// Why it ended.
    pub end: Option<End>,
}

/// A step of a group.
#[derive(Debug, Clone, Serialize)]
pub struct BeamStep {
    /// The new token's number, from 1.
    pub step: usize,
    /// The open beams before it.
    pub beams: Vec<Beam>,
    /// The best continuations of all beams, best first.
    pub continuations: Vec<Continuation>,
}

/// An open beam.
#[derive(Debug, Clone, Serialize)]
pub struct Beam {
    /// Its cumulative log-probability.
    pub score: f64,
    /// What it could be continued by.
    #[serde(flatten)]
    pub distribution: Distribution,
}

/// A beam with one token more.
#[derive(Debug, Clone, Serialize)]
pub struct Continuation {
    /// The beam, its index among those of the step.
    pub beam: usize,
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The log-probability that was added.
    pub logprob: f64,
    /// Cumulative log-probability.
    pub score: f64,
    /// What became of it.
    pub fate: Fate,
    /// The beam of the next step that it is.
    pub next: Option<usize>,
    /// The hypothesis that it is, by its index.
    pub hypothesis: Option<usize>,
    /// Whether the best output goes through it.
    pub on_path: bool,
}

/// What became of a continuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is a beam of the next step.
    Beam,
    /// It is a finished hypothesis.
    Finished,
    /// Enough others are better.
    NotAmongBest,
    /// It ends, but ranks behind as many others as there are beams.
    EndBehindBeams,
    /// A processor or the form forbids it.
    Forbidden,
    /// It was an open beam when the search ended.
    SearchEnded,
}

/// A finished continuation.
#[derive(Debug, Clone, Serialize)]
pub struct Hypothesis {
    /// Its number of new tokens, an end-of-sequence token counted.
    pub step: usize,
    /// Its tokens, an end-of-sequence token included.
    pub tokens: Vec<Token>,
    /// Cumulative log-probability.
    pub sum: f64,
    /// The same divided by length^length_penalty.
    pub score: f64,
    /// `stop`, `length` or `interrupted`.
    pub finish_reason: String,
    /// Its place among all that were kept, from 1; none for one that was not.
    pub place: Option<usize>,
    /// The hypothesis that pushed it out of the list.
    pub displaced_by: Option<usize>,
}

/// Why the search of a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// As many hypotheses as beams, and early_stopping is true.
    EnoughHypotheses,
    /// No open beam could become better than the worst hypothesis.
    NoneBetter,
    /// The form allows no beam any more.
    NothingAllowed,
    /// The length limit.
    Length,
    /// Every beam completed a stop string.
    StopStrings,
    /// max_time was over.
    Late,
}

/// An output.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    /// Its text.
    pub text: String,
    /// Its tokens, an end-of-sequence token included.
    pub tokens: Vec<Token>,
    /// As `generate` gives it.
    pub score: f64,
    /// `stop`, `length` or `interrupted`.
    pub finish_reason: String,
}
