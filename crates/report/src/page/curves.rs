//! The curves of a training: loss, learning rate, gradient norm and speed.

use serde::Serialize;

use crate::chart::{LineChart, Point, Series, running_mean};
use crate::{Language, Training, TrainingStep, figures};

/// Shorter curves are read as they are.
const SMOOTHED_FROM: usize = 80;

#[derive(Serialize)]
pub(crate) struct Curves {
    /// The loss for a wide page and for a narrow one.
    loss_wide: Option<LineChart>,
    loss_narrow: Option<LineChart>,
    /// Learning rate, gradient norm, tokens per second.
    small: Vec<Small>,
    broken: Option<String>,
}

#[derive(Serialize)]
struct Small {
    title: &'static str,
    chart: Option<LineChart>,
}

pub(super) fn curves(training: &Training, language: Language) -> Curves {
    let loss = loss(training, language);
    let title = language.phrase("curve.loss");
    let step = language.phrase("curve.step");
    let small = |id: &str, key: &str, value: fn(&TrainingStep) -> Option<f64>| {
        let title = language.phrase(key);
        let series = Series { class: "train", name: title.to_owned(), points: points(training, value), dots: false };
        Small { title, chart: LineChart::new(id, title, step, &[series], (360.0, 210.0)) }
    };
    let broken = training.steps.iter().filter(|step| step.loss.is_none()).count() as u64;
    Curves {
        loss_wide: LineChart::new("loss-wide", title, step, &loss, (1040.0, 340.0)),
        loss_narrow: LineChart::new("loss-narrow", title, step, &loss, (360.0, 270.0)),
        small: vec![
            small("learning-rate", "curve.learning_rate", |step| step.learning_rate),
            small("grad-norm", "curve.grad_norm", |step| step.grad_norm),
            small("speed", "curve.speed", |step| step.tokens_per_second),
        ],
        broken: (broken > 0).then(|| language.counted("curve.broken", broken)),
    }
}

/// Training loss, smoothed where there are many steps, and the loss on held-out rows.
fn loss(training: &Training, language: Language) -> Vec<Series> {
    let raw = points(training, |step| step.loss);
    let name = language.phrase("curve.train").to_owned();
    let mut series = Vec::new();
    if raw.len() >= SMOOTHED_FROM {
        let width = (raw.len() / 25) | 1;
        let finite: Vec<Point> = raw.iter().copied().filter(|point| point.1.is_finite()).collect();
        let mean = language.fill("curve.mean", &[("n", &figures::count(width as u64))]);
        series.push(Series { class: "faint", name, points: raw, dots: false });
        series.push(Series { class: "train", name: mean, points: running_mean(&finite, width), dots: false });
    } else {
        series.push(Series { class: "train", name, points: raw, dots: false });
    }
    let held_out = training.evals.iter().map(|eval| (eval.step as f64, eval.eval_loss.unwrap_or(f64::NAN))).collect();
    let name = language.phrase("curve.eval").to_owned();
    series.push(Series { class: "eval", name, points: held_out, dots: true });
    series
}

fn points(training: &Training, value: fn(&TrainingStep) -> Option<f64>) -> Vec<Point> {
    training.steps.iter().map(|step| (step.step as f64, value(step).unwrap_or(f64::NAN))).collect()
}
