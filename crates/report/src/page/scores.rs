//! The table of scores before and after, and the bars of each decoding strategy.

use serde::Serialize;

use crate::chart::{BarPair, BarPanel, BarValue};
use crate::{Comparison, Language, MetricInfo, Score, Scores, Strategy, figures};

/// A metric with the way its numbers are written.
#[derive(Clone)]
pub(crate) struct Measure {
    pub name: String,
    pub label: String,
    pub higher_is_better: bool,
    signature: Option<String>,
    /// The share of rows that are right reads as a percentage.
    percent: bool,
    digits: usize,
}

impl Measure {
    pub(crate) fn shown(&self, value: f64) -> String {
        let shown = figures::decimal(value, self.digits);
        if self.percent { figures::percent_sign(&shown) } else { shown }
    }

    pub(crate) fn difference(&self, value: f64, language: Language) -> String {
        let shown = figures::signed(value, self.digits);
        if self.percent { language.fill("scores.points", &[("n", &shown)]) } else { shown }
    }

    pub(crate) fn bare(&self, value: f64) -> String {
        figures::signed(value, self.digits)
    }

    /// The label within a sentence: `Exact match` loses its capital, `ROUGE-L` and `chrF` stay as they are.
    pub(crate) fn named(&self) -> String {
        let mut letters = self.label.chars();
        match (letters.next(), letters.clone().next()) {
            (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
            _ => self.label.clone(),
        }
    }

    /// Positive where the tuned model is better.
    pub(crate) fn gain(&self, base: f64, tuned: f64) -> f64 {
        if self.higher_is_better { tuned - base } else { base - tuned }
    }
}

/// The metrics of the scores, the one that matters first.
pub(crate) fn measures(scores: &Scores, language: Language) -> Vec<Measure> {
    let measure = |metric: MetricInfo| {
        let systems = [&scores.systems.base, &scores.systems.tuned].into_iter().flatten();
        let values = systems.flat_map(|system| system.values()).filter_map(|all| all.get(&metric.name)?.value);
        // The scale is 0 to 100; scores of another maker may run from 0 to 1 and need their decimals.
        let fraction = values.fold(0.0, |most: f64, value| most.max(value.abs())) <= 1.0;
        let known = language.known(&format!("metric.{}", metric.name)).map(str::to_owned);
        Measure {
            label: known.or(metric.label).unwrap_or_else(|| metric.name.clone()),
            higher_is_better: metric.higher_is_better,
            signature: metric.signature,
            percent: metric.name == "exact-match" && !fraction,
            digits: if fraction { 3 } else { 1 },
            name: metric.name,
        }
    };
    scores.all_metrics().into_iter().map(measure).collect()
}

/// Both ends of an interval, where both are numbers.
pub(crate) fn ends(interval: Option<(Option<f64>, Option<f64>)>) -> Option<(f64, f64)> {
    let (low, high) = interval?;
    Some((low?, high?))
}

/// Tuned against base as far as the scores say.
pub(crate) fn compared(scores: &Scores, strategy: &str, metric: &str) -> Comparison {
    let mut found = scores.comparisons.get(strategy).and_then(|all| all.get(metric)).copied().unwrap_or_default();
    let base = scores.systems.base(strategy, metric).value;
    let tuned = scores.systems.tuned(strategy, metric).value;
    found.difference = found.difference.or_else(|| Some(tuned? - base?));
    found
}

/// What a difference means: the sign that stands for it, and the CSS class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Better,
    Worse,
    Even,
}

impl Tone {
    /// A difference counts when its interval leaves out zero; without an interval its sign has to do.
    pub(crate) fn of(comparison: &Comparison, higher_is_better: bool) -> Option<Self> {
        let difference = comparison.difference?;
        let unclear = ends(comparison.interval).is_some_and(|(low, high)| low <= 0.0 && high >= 0.0);
        Some(match difference {
            _ if unclear || difference == 0.0 => Self::Even,
            d if (d > 0.0) == higher_is_better => Self::Better,
            _ => Self::Worse,
        })
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Even => "even",
        }
    }

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Better => "▲",
            Self::Worse => "▼",
            Self::Even => "≈",
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ScoreTable {
    metrics: Vec<MetricScores>,
    perplexity: Option<Row>,
    signatures: Vec<Signature>,
}

#[derive(Serialize)]
struct MetricScores {
    label: String,
    direction: &'static str,
    /// Number of the footnote with the signature.
    note: Option<usize>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    strategy: String,
    base: Option<Cell>,
    tuned: Option<Cell>,
    difference: Option<Cell>,
    p: Option<String>,
    tone: Option<&'static str>,
    sign: &'static str,
    meaning: &'static str,
    best: bool,
}

#[derive(Serialize)]
struct Cell {
    value: String,
    interval: Option<String>,
}

#[derive(Serialize)]
struct Signature {
    number: usize,
    label: String,
    text: String,
}

pub(super) fn table(scores: &Scores, measures: &[Measure], language: Language) -> ScoreTable {
    let strategies = scores.all_strategies();
    let mut signatures = Vec::new();
    let mut metrics = Vec::new();
    for measure in measures {
        if let Some(text) = measure.signature.clone() {
            signatures.push(Signature { number: signatures.len() + 1, label: measure.label.clone(), text });
        }
        let best = best_strategy(scores, measure);
        let row = |strategy: &Strategy| {
            let base = scores.systems.base(&strategy.name, &measure.name);
            let tuned = scores.systems.tuned(&strategy.name, &measure.name);
            let is_best = strategies.len() > 1 && best.as_deref() == Some(&strategy.name);
            let compared = compared(scores, &strategy.name, &measure.name);
            row(&strategy.name, (base, tuned), &compared, measure, is_best, language)
        };
        metrics.push(MetricScores {
            label: measure.label.clone(),
            direction: direction(measure.higher_is_better, language),
            note: measure.signature.as_ref().map(|_| signatures.len()),
            rows: strategies.iter().map(row).collect(),
        });
    }
    ScoreTable { metrics, perplexity: perplexity(scores, language), signatures }
}

fn direction(higher_is_better: bool, language: Language) -> &'static str {
    language.phrase(if higher_is_better { "scores.higher" } else { "scores.lower" })
}

/// The strategy under which the tuned model scores best, if it was scored at all; the first of equals.
pub(crate) fn best_strategy(scores: &Scores, measure: &Measure) -> Option<String> {
    let tuned = |strategy: &Strategy| scores.systems.tuned(&strategy.name, &measure.name).value;
    let scored = scores.all_strategies().into_iter().filter_map(|strategy| Some((tuned(&strategy)?, strategy.name)));
    let better = |a: (f64, String), b: (f64, String)| if measure.gain(a.0, b.0) > 0.0 { b } else { a };
    scored.reduce(better).map(|(_, name)| name)
}

fn row(
    strategy: &str,
    (base, tuned): (Score, Score),
    comparison: &Comparison,
    measure: &Measure,
    best: bool,
    language: Language,
) -> Row {
    let interval = |interval, shown: &dyn Fn(f64) -> String| {
        ends(interval)
            .map(|(low, high)| language.fill("scores.interval", &[("low", &shown(low)), ("high", &shown(high))]))
    };
    let plain = |value| figures::decimal(value, measure.digits);
    let cell =
        |score: Score| Some(Cell { value: measure.shown(score.value?), interval: interval(score.interval, &plain) });
    let tone = Tone::of(comparison, measure.higher_is_better);
    Row {
        strategy: strategy.to_owned(),
        base: cell(base),
        tuned: cell(tuned),
        difference: comparison.difference.map(|difference| Cell {
            value: measure.bare(difference),
            interval: interval(comparison.interval, &|value| measure.bare(value)),
        }),
        p: comparison.p_value.map(|p| p_value(p, language)),
        tone: tone.map(Tone::class),
        sign: tone.map_or("", Tone::sign),
        meaning: tone.map_or("", |tone| language.phrase(&format!("scores.{}", tone.class()))),
        best,
    }
}

fn p_value(p: f64, language: Language) -> String {
    if p < 0.001 {
        return language.phrase("scores.p.small").to_owned();
    }
    language.fill("scores.p", &[("p", &figures::decimal(p, 3))])
}

/// The perplexity as a row of its own: it belongs to no strategy, and its numbers have any size.
fn perplexity(scores: &Scores, language: Language) -> Option<Row> {
    let perplexity = scores.perplexity.filter(|both| both.base.is_some() || both.tuned.is_some())?;
    let mut compared = perplexity.comparison.unwrap_or_default();
    compared.difference = compared.difference.or_else(|| Some(perplexity.tuned? - perplexity.base?));
    let measure = Measure {
        name: String::new(),
        label: String::new(),
        higher_is_better: false,
        signature: None,
        percent: false,
        digits: if perplexity.tuned.or(perplexity.base)? < 100.0 { 2 } else { 1 },
    };
    let score = |value| Score { value, interval: None };
    let values = (score(perplexity.base), score(perplexity.tuned));
    Some(row(language.phrase("scores.reference_perplexity"), values, &compared, &measure, false, language))
}

#[derive(Serialize)]
pub(crate) struct Strategies {
    panels: Vec<BarPanel>,
    options: Vec<Options>,
}

#[derive(Serialize)]
struct Options {
    strategy: String,
    /// `num_beams = 4`
    options: Vec<String>,
}

pub(super) fn strategies(scores: &Scores, measures: &[Measure], language: Language) -> Strategies {
    let strategies = scores.all_strategies();
    let panel = |(at, measure): (usize, &Measure)| {
        let bar = |class: &'static str, score: Score| {
            let value = score.value?;
            let name = language.phrase(&format!("system.{class}")).to_owned();
            Some(BarValue { class, name, value, interval: ends(score.interval), shown: measure.shown(value) })
        };
        let pair = |strategy: &Strategy| BarPair {
            label: strategy.name.clone(),
            bars: [
                bar("base", scores.systems.base(&strategy.name, &measure.name)),
                bar("tuned", scores.systems.tuned(&strategy.name, &measure.name)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        let pairs: Vec<BarPair> = strategies.iter().map(pair).collect();
        BarPanel::new(&format!("bars-{at}"), &measure.label, direction(measure.higher_is_better, language), &pairs)
    };
    let options = |strategy: &Strategy| Options {
        strategy: strategy.name.clone(),
        options: strategy.options.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
    };
    Strategies {
        panels: measures.iter().enumerate().filter_map(panel).collect(),
        options: strategies.iter().map(options).collect(),
    }
}
