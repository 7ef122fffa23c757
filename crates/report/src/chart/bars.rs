//! Base and tuned side by side under each strategy: one panel a metric.

use serde::Serialize;

use super::scale::{Scale, Tick};

/// One strategy of a panel.
pub(crate) struct BarPair {
    pub label: String,
    pub bars: Vec<BarValue>,
}

/// One bar: a value, its interval and how both are written.
pub(crate) struct BarValue {
    /// CSS class: `base` or `tuned`.
    pub class: &'static str,
    /// Name of the model, in the reader's language.
    pub name: String,
    pub value: f64,
    pub interval: Option<(f64, f64)>,
    pub shown: String,
}

/// A panel of horizontal bars, laid out: strategies below each other, so that any number of them and long names fit.
#[derive(Debug, Serialize)]
pub(crate) struct BarPanel {
    pub id: String,
    pub title: String,
    pub note: String,
    pub description: String,
    pub width: f64,
    pub height: f64,
    pub top: f64,
    pub bottom: f64,
    pub zero: f64,
    pub ticks: Vec<Tick>,
    pub groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// As much of the name as fits.
    label: String,
    name: String,
    y: f64,
    bars: Vec<Bar>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    class: &'static str,
    name: String,
    shown: String,
    x: f64,
    y: f64,
    width: f64,
    /// Position of the interval's ends.
    whisker: Option<(f64, f64)>,
    label_x: f64,
}

const WIDTH: f64 = 360.0;
const LEFT: f64 = 64.0;
/// Room for a value behind the longest bar.
const RIGHT: f64 = WIDTH - 62.0;
const LABEL: f64 = 22.0;
const BAR: f64 = 17.0;
const GAP: f64 = 10.0;

impl BarPanel {
    /// Lays out the pairs of one metric; without a value there is no panel.
    pub(crate) fn new(id: &str, title: &str, note: &str, pairs: &[BarPair]) -> Option<Self> {
        let values = || {
            let bars = pairs.iter().flat_map(|pair| &pair.bars);
            bars.flat_map(|bar| [Some(bar.value), bar.interval.map(|ends| ends.0), bar.interval.map(|ends| ends.1)])
                .flatten()
        };
        values().next()?;
        let low = values().fold(0.0, f64::min);
        let high = values().fold(0.0, f64::max);
        let high = if high == low { 1.0 } else { high };
        let scale = Scale::covering(low, high, 4, (LEFT, RIGHT));
        let mut y = 4.0;
        let mut groups = Vec::new();
        for pair in pairs {
            let start = y;
            y += LABEL;
            let mut bars = Vec::new();
            for bar in &pair.bars {
                bars.push(laid_out(bar, &scale, y));
                y += BAR;
            }
            groups.push(Group { label: fitted(&pair.label), name: pair.label.clone(), y: start + 15.0, bars });
            y += GAP;
        }
        Some(Self {
            id: id.to_owned(),
            title: title.to_owned(),
            note: note.to_owned(),
            description: described(pairs),
            width: WIDTH,
            height: y + 22.0,
            top: 4.0,
            bottom: y,
            zero: scale.at(0.0),
            ticks: scale.ticks(),
            groups,
        })
    }
}

fn laid_out(bar: &BarValue, scale: &Scale, y: f64) -> Bar {
    let (zero, end) = (scale.at(0.0), scale.at(bar.value));
    let whisker = bar.interval.map(|(low, high)| (scale.at(low), scale.at(high)));
    Bar {
        class: bar.class,
        name: bar.name.clone(),
        shown: bar.shown.clone(),
        x: zero.min(end),
        y,
        // A score of nothing is still a bar one can see.
        width: (end - zero).abs().max(1.5),
        whisker,
        label_x: zero.max(end).max(whisker.map_or(0.0, |ends| ends.1)) + 6.0,
    }
}

/// A name cut to the width of the panel, a wide character counting for two.
fn fitted(name: &str) -> String {
    let mut room = 46;
    let fits = |c: &char| {
        room -= if c.is_ascii() { 1 } else { 2 };
        room >= 0
    };
    let kept: String = name.chars().take_while(fits).collect();
    if kept.len() < name.len() { kept + "…" } else { kept }
}

fn described(pairs: &[BarPair]) -> String {
    let pair = |pair: &BarPair| {
        let bars: Vec<String> = pair.bars.iter().map(|bar| format!("{} {}", bar.name, bar.shown)).collect();
        format!("{}: {}", pair.label, bars.join(", "))
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join("; ")
}
