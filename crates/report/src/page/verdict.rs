//! The sentence a hurried reader takes away, and the few numbers beside it.

use serde::Serialize;

use super::scores::{Measure, Tone, best_strategy, compared, ends};
use crate::{Language, Run, Scores, figures};

/// One paragraph, and how it should look.
#[derive(Serialize)]
pub(crate) struct Verdict {
    /// CSS class.
    tone: &'static str,
    sign: &'static str,
    headline: &'static str,
    text: String,
}

impl Verdict {
    fn new(tone: &'static str, sign: &'static str, headline: &'static str, text: String) -> Self {
        Self { tone, sign, headline, text }
    }
}

/// A number that deserves large type; with `before` it is a change.
#[derive(Serialize)]
pub(crate) struct Tile {
    label: String,
    before: Option<String>,
    value: String,
    detail: String,
}

pub(super) fn verdict(run: &Run, measures: &[Measure], language: Language) -> Verdict {
    let scored = run.scores.as_ref().zip(measures.first());
    scored
        .and_then(|(scores, measure)| of_scores(scores, measure, language))
        .unwrap_or_else(|| of_training(run, language))
}

fn of_scores(scores: &Scores, measure: &Measure, language: Language) -> Option<Verdict> {
    let all = scores.all_strategies();
    let best = best_strategy(scores, measure);
    let strategy = best.or_else(|| {
        let scored = |name: &String| scores.systems.base(name, &measure.name).value.is_some();
        all.iter().map(|strategy| strategy.name.clone()).find(scored)
    })?;
    let base = scores.systems.base(&strategy, &measure.name).value;
    let tuned = scores.systems.tuned(&strategy, &measure.name).value;
    let rows = scores.rows.map_or_else(String::new, |rows| language.counted("verdict.rows", rows));
    let end = language.phrase("verdict.end");
    let (Some(base), Some(tuned)) = (base, tuned) else {
        let system = if tuned.is_some() { "system.tuned" } else { "system.base" };
        let value = measure.shown(tuned.or(base)?);
        let (metric, system) = (measure.named(), language.phrase(system));
        let named = [("strategy", strategy.as_str()), ("metric", &metric), ("value", &value), ("system", system)];
        let text = language.fill("verdict.single", &named) + &rows + end;
        return Some(Verdict::new("none", "○", language.phrase("verdict.scored"), text));
    };
    let comparison = compared(scores, &strategy, &measure.name);
    let tone = Tone::of(&comparison, measure.higher_is_better)?;
    let n = all.len().to_string();
    let (metric, base, tuned) = (measure.named(), measure.shown(base), measure.shown(tuned));
    let named = [("strategy", strategy.as_str()), ("n", &n), ("metric", &metric), ("base", &base), ("tuned", &tuned)];
    let mut text = language.fill(if all.len() > 1 { "verdict.choice" } else { "verdict.change" }, &named) + &rows;
    let difference = measure.difference(comparison.difference?, language);
    text += &language.fill("verdict.difference", &[("difference", &difference)]);
    if let Some((low, high)) = ends(comparison.interval) {
        let (low, high) = (measure.bare(low), measure.bare(high));
        text += &language.fill("verdict.interval", &[("low", &low), ("high", &high)]);
    }
    text += end;
    let between = language.phrase("between_sentences");
    if !measure.higher_is_better {
        text = text + between + language.phrase("verdict.lower");
    }
    if tone == Tone::Even {
        text = text + between + language.phrase("verdict.chance");
    }
    Some(Verdict::new(tone.class(), tone.sign(), language.phrase(&format!("verdict.{}", tone.class())), text))
}

fn of_training(run: &Run, language: Language) -> Verdict {
    let losses: Vec<f64> =
        run.training.iter().flat_map(|training| &training.steps).filter_map(|step| step.loss).collect();
    let (Some(first), Some(last)) = (losses.first(), losses.last()) else {
        let text = language.phrase("verdict.nothing").to_owned();
        return Verdict::new("none", "○", language.phrase("verdict.started"), text);
    };
    let (first, last) = (figures::general(*first), figures::general(*last));
    let steps = language.counted("steps", losses.len() as u64);
    let text = language.fill("verdict.loss", &[("steps", &steps), ("first", &first), ("last", &last)]);
    Verdict::new("none", "○", language.phrase("verdict.trained"), text)
}

pub(super) fn tiles(run: &Run, measures: &[Measure], language: Language) -> Vec<Tile> {
    let tiles = [
        metric_tile(run, measures, language),
        perplexity_tile(run, language),
        rows_tile(run, language),
        trainable_tile(run, language),
        speed_tile(run, language),
        memory_tile(run, language),
    ];
    tiles.into_iter().flatten().collect()
}

fn tile(language: Language, key: &str, value: String, detail: String) -> Tile {
    Tile { label: language.phrase(key).to_owned(), before: None, value, detail }
}

fn metric_tile(run: &Run, measures: &[Measure], language: Language) -> Option<Tile> {
    let (scores, measure) = run.scores.as_ref().zip(measures.first())?;
    let strategy = best_strategy(scores, measure)?;
    Some(Tile {
        label: measure.label.clone(),
        before: scores.systems.base(&strategy, &measure.name).value.map(|base| measure.shown(base)),
        value: measure.shown(scores.systems.tuned(&strategy, &measure.name).value?),
        detail: language.fill("tile.metric.detail", &[("strategy", &strategy)]),
    })
}

fn perplexity_tile(run: &Run, language: Language) -> Option<Tile> {
    let perplexity = run.scores.as_ref()?.perplexity?;
    let detail = language.phrase("tile.perplexity.detail").to_owned();
    let value = figures::general(perplexity.tuned?);
    let before = perplexity.base.map(figures::general);
    Some(Tile { before, ..tile(language, "metric.perplexity", value, detail) })
}

fn rows_tile(run: &Run, language: Language) -> Option<Tile> {
    let ledger = run.ledger.as_ref()?;
    let trained = ["trained", "truncated"].iter().filter_map(|outcome| ledger.outcomes.get(*outcome));
    let rows = figures::count(trained.map(|outcome| outcome.rows).sum());
    let detail = language.fill("tile.rows.detail", &[("n", &figures::count(ledger.rows))]);
    Some(tile(language, "tile.rows", rows, detail))
}

fn trainable_tile(run: &Run, language: Language) -> Option<Tile> {
    let manifest = run.manifest.as_ref()?;
    let trained = manifest.trainable_parameters?;
    let all = manifest.base_model.as_ref().and_then(|model| model.parameters).filter(|all| *all > 0);
    let detail = all.map_or_else(String::new, |all| {
        let share = figures::share(trained, all);
        language.fill("tile.trainable.detail", &[("share", &share), ("n", &figures::parameters(all))])
    });
    Some(tile(language, "tile.trainable", figures::parameters(trained), detail))
}

fn speed_tile(run: &Run, language: Language) -> Option<Tile> {
    let steps = &run.training.as_ref()?.steps;
    let mut speeds: Vec<f64> = steps.iter().filter_map(|step| step.tokens_per_second).collect();
    speeds.sort_by(f64::total_cmp);
    // The first step warms caches up, and a busy machine has slow ones; the median is not moved by either.
    let median = *speeds.get(speeds.len() / 2)?;
    let median = if median >= 100.0 { figures::decimal(median, 0) } else { figures::general(median) };
    let value = language.fill("tile.speed.value", &[("n", &median)]);
    let steps = language.counted("steps", speeds.len() as u64);
    Some(tile(language, "tile.speed", value, language.fill("tile.speed.detail", &[("steps", &steps)])))
}

fn memory_tile(run: &Run, language: Language) -> Option<Tile> {
    let steps = &run.training.as_ref()?.steps;
    let peak = steps.iter().filter_map(|step| step.peak_memory_bytes).max()?;
    Some(tile(language, "tile.memory", figures::bytes(peak), String::new()))
}
