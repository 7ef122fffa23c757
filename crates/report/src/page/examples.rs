//! Which rows are shown: those that improved most, those that got worse, those still wrong.

use serde::Serialize;

use super::scores::Measure;
use super::texts::{EXAMPLE, Text};
use crate::difference::{Span, spans};
use crate::{Language, Prediction, Predictions, figures};

/// Rows of each kind.
const SHOWN: usize = 4;
/// Numbers of one example.
const METRICS: usize = 4;

#[derive(Serialize)]
pub(crate) struct Examples {
    intro: String,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    class: &'static str,
    title: &'static str,
    examples: Vec<Example>,
}

#[derive(Serialize)]
struct Example {
    heading: String,
    place: Option<String>,
    prompt: Text,
    reference: Option<Marked>,
    base: Option<Answer>,
    tuned: Option<Answer>,
    metrics: Vec<MetricPair>,
}

/// A text with what the other text lacks marked.
#[derive(Serialize)]
struct Marked {
    text: Text,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Answer {
    marked: Marked,
    hit_length: bool,
    same: bool,
}

#[derive(Serialize)]
struct MetricPair {
    label: String,
    base: String,
    tuned: String,
}

/// One held-out row with what the models made of it.
struct Pair<'a> {
    base: Option<&'a Prediction>,
    tuned: Option<&'a Prediction>,
    /// Per metric, positive where tuned is better; empty unless both answered.
    gains: Vec<f64>,
    /// The tuned model's score on the first metric, negated where lower is better.
    standing: f64,
}

impl Pair<'_> {
    fn either(&self) -> &Prediction {
        self.tuned.or(self.base).expect("a pair is made from at least one prediction")
    }

    fn right(&self) -> bool {
        let tuned = self.tuned.map(|tuned| tuned.output.trim());
        tuned.is_some() && tuned == self.either().reference.as_deref().map(str::trim)
    }
}

pub(super) fn choose(predictions: &Predictions, measures: &[Measure], language: Language) -> Examples {
    let pairs = pairs(predictions, measures);
    let compared = predictions.base.is_some() && predictions.tuned.is_some();
    let groups = if compared { by_change(&pairs) } else { first(&pairs) };
    let shown: usize = groups.iter().map(|(_, chosen)| chosen.len()).sum();
    let better = pairs.iter().filter(|pair| gain(pair) > 0.0).count();
    let worse = pairs.iter().filter(|pair| gain(pair) < 0.0).count();
    let wrong = pairs.iter().filter(|pair| pair.tuned.is_some() && !pair.right()).count();
    let number = |n: usize| figures::count(n as u64);
    let intro = [("strategy", predictions.strategy.as_str()), ("shown", &number(shown)), ("n", &number(pairs.len()))];
    let metric = measures.first().map_or_else(|| language.phrase("metric.exact-match").to_owned(), Measure::named);
    let balance = [
        ("metric", metric.as_str()),
        ("better", &number(better)),
        ("worse", &number(worse)),
        ("wrong", &number(wrong)),
    ];
    let mut sentences = match pairs.len() {
        0 => language.phrase("examples.nothing").to_owned(),
        _ => language.fill("examples.intro", &intro),
    };
    if compared && !pairs.is_empty() {
        sentences += language.phrase("between_sentences");
        sentences += &language.fill("examples.balance", &balance);
    }
    Examples {
        intro: sentences,
        groups: groups
            .into_iter()
            .filter(|(_, chosen)| !chosen.is_empty())
            .map(|(class, chosen)| Group {
                class,
                title: language.phrase(&format!("examples.{class}")),
                examples: chosen.into_iter().map(|pair| example(pair, measures, language)).collect(),
            })
            .collect(),
    }
}

fn pairs<'a>(predictions: &'a Predictions, measures: &[Measure]) -> Vec<Pair<'a>> {
    let (base, tuned) = (predictions.base.as_ref(), predictions.tuned.as_ref());
    let rows: std::collections::BTreeSet<u64> =
        base.iter().chain(&tuned).flat_map(|rows| rows.keys().copied()).collect();
    rows.into_iter()
        .map(|row| {
            let (base, tuned) = (base.and_then(|rows| rows.get(&row)), tuned.and_then(|rows| rows.get(&row)));
            let gains = base.zip(tuned).map_or_else(Vec::new, |(base, tuned)| gains(base, tuned, measures));
            let standing =
                measures.first().map(|measure| measure.gain(0.0, value(tuned, &measure.name).unwrap_or(0.0)));
            Pair { base, tuned, gains, standing: standing.unwrap_or(0.0) }
        })
        .collect()
}

fn value(prediction: Option<&Prediction>, metric: &str) -> Option<f64> {
    prediction.and_then(|prediction| *prediction.metrics.get(metric)?).filter(|value| value.is_finite())
}

/// The gains of the metrics that both answers carry; without any, whether the answer became equal to the reference.
fn gains(base: &Prediction, tuned: &Prediction, measures: &[Measure]) -> Vec<f64> {
    let gain = |measure: &Measure| {
        let (base, tuned) = (value(Some(base), &measure.name)?, value(Some(tuned), &measure.name)?);
        Some(measure.gain(base, tuned))
    };
    let gains: Vec<f64> = measures.iter().filter_map(gain).collect();
    if !gains.is_empty() {
        return gains;
    }
    let right = |answer: &Prediction| answer.reference.as_deref().is_some_and(|r| r.trim() == answer.output.trim());
    vec![f64::from(u8::from(right(tuned))) - f64::from(u8::from(right(base)))]
}

fn gain(pair: &Pair<'_>) -> f64 {
    pair.gains.first().copied().unwrap_or(0.0)
}

type Chosen<'p, 'a> = Vec<(&'static str, Vec<&'p Pair<'a>>)>;

/// A row is shown once: as improved or worse by the first metric, the others breaking ties, else as still wrong.
fn by_change<'p, 'a>(pairs: &'p [Pair<'a>]) -> Chosen<'p, 'a> {
    let by_gains = |a: &&Pair<'a>, b: &&Pair<'a>| {
        let pairs = a.gains.iter().zip(&b.gains);
        pairs.map(|(a, b)| b.total_cmp(a)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    let mut improved: Vec<&Pair<'a>> = pairs.iter().filter(|pair| gain(pair) > 0.0).collect();
    improved.sort_by(by_gains);
    improved.truncate(SHOWN);
    let mut worse: Vec<&Pair<'a>> = pairs.iter().filter(|pair| gain(pair) < 0.0).collect();
    worse.sort_by(|a, b| by_gains(b, a));
    worse.truncate(SHOWN);
    let shown = |pair: &&Pair<'a>| improved.iter().chain(&worse).any(|other| std::ptr::eq(*other, *pair));
    let mut wrong: Vec<&Pair<'a>> =
        pairs.iter().filter(|pair| pair.tuned.is_some() && !pair.right() && !shown(pair)).collect();
    wrong.sort_by(|a, b| a.standing.total_cmp(&b.standing));
    wrong.truncate(SHOWN);
    vec![("improved", improved), ("worse", worse), ("wrong", wrong)]
}

fn first<'p, 'a>(pairs: &'p [Pair<'a>]) -> Chosen<'p, 'a> {
    vec![("sample", pairs.iter().take(2 * SHOWN).collect())]
}

fn example(pair: &Pair<'_>, measures: &[Measure], language: Language) -> Example {
    let row = pair.either();
    let reference = row.reference.as_deref().map(|reference| Text::example(reference, language));
    let tuned = pair.tuned.map(|tuned| Text::example(&tuned.output, language));
    let (of_reference, of_tuned) = match (&reference, &tuned) {
        (Some(reference), Some(tuned)) => spans(&reference.body, &tuned.body),
        _ => (reference.as_ref().map_or_else(Vec::new, plain), tuned.as_ref().map_or_else(Vec::new, plain)),
    };
    let metric = |measure: &Measure| {
        let (base, tuned) = (value(pair.base, &measure.name), value(pair.tuned, &measure.name));
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| measure.shown(value));
        (base.is_some() || tuned.is_some()).then(|| MetricPair {
            label: measure.label.clone(),
            base: shown(base),
            tuned: shown(tuned),
        })
    };
    let hit_length = |prediction: Option<&Prediction>| {
        prediction.is_some_and(|prediction| prediction.finish_reason.as_deref() == Some("length"))
    };
    let place = row.source.as_ref().zip(row.line).map(|(source, line)| {
        // Only the end of a long path tells where to look.
        let short: String = source.rsplit('/').next().unwrap_or(source).chars().take(EXAMPLE / 10).collect();
        language.fill("examples.where", &[("source", &short), ("line", &figures::count(line))])
    });
    let base = pair.base.map(|base| Text::example(&base.output, language));
    Example {
        heading: language.fill("examples.row", &[("n", &figures::count(row.row))]),
        place,
        prompt: Text::example(&row.prompt, language),
        reference: reference.map(|text| Marked { text, spans: of_reference }),
        base: base.map(|text| Answer {
            same: pair.base.is_some_and(|base| Some(base.output.as_str()) == row.reference.as_deref()),
            hit_length: hit_length(pair.base),
            marked: Marked { spans: plain(&text), text },
        }),
        tuned: tuned.map(|text| Answer {
            same: pair.right(),
            hit_length: hit_length(pair.tuned),
            marked: Marked { text, spans: of_tuned },
        }),
        metrics: measures.iter().filter_map(metric).take(METRICS).collect(),
    }
}

fn plain(text: &Text) -> Vec<Span> {
    if text.body.is_empty() { Vec::new() } else { vec![Span { differs: false, text: text.body.clone() }] }
}
