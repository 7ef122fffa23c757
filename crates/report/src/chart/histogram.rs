//! How many rows have which length: upright bars side by side.

use serde::Serialize;

use super::round;
use super::scale::{Scale, Tick};
use crate::figures;

/// A histogram, laid out.
#[derive(Debug, Serialize)]
pub(crate) struct Histogram {
    pub id: String,
    pub title: String,
    pub description: String,
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub bottom: f64,
    pub y_ticks: Vec<Tick>,
    pub bars: Vec<Bar>,
    /// Every so many bars one has its label.
    pub labels: Vec<Tick>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// Whether it holds the long tail, whatever its width.
    tail: bool,
    label: String,
}

/// One bar: the values it stands for, both included, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binned {
    pub from: u64,
    pub to: u64,
    pub count: u64,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = HEIGHT - 26.0;

impl Histogram {
    /// Lays out bins in order; `None` where there are none.
    pub(crate) fn new(id: &str, title: &str, bins: &[Binned]) -> Option<Self> {
        let most = bins.iter().map(|bin| bin.count).max()?;
        let all: u64 = bins.iter().map(|bin| bin.count).sum();
        let y = Scale::covering(0.0, most.max(1) as f64, 4, (BOTTOM, TOP)).whole();
        let step = (RIGHT - LEFT) / bins.len() as f64;
        let usual = bins.first().map_or(1, |bin| bin.to - bin.from + 1);
        let range = |bin: &Binned| match bin.from == bin.to {
            true => figures::count(bin.from),
            false => format!("{}–{}", figures::count(bin.from), figures::count(bin.to)),
        };
        let bars = bins.iter().zip(0u32..).map(|(bin, at)| {
            let top = if bin.count == 0 { BOTTOM } else { y.at(bin.count as f64).min(BOTTOM - 1.0) };
            Bar {
                x: round(LEFT + f64::from(at) * step + 0.75),
                y: top,
                width: round((step - 1.5).max(1.0)),
                height: round(BOTTOM - top),
                tail: bin.to - bin.from + 1 > usual,
                label: format!("{}: {} ({})", range(bin), figures::count(bin.count), figures::share(bin.count, all)),
            }
        });
        let every = bins.len().div_ceil(8);
        let labels = bins.iter().zip(0u32..).step_by(every).map(|(bin, at)| Tick {
            at: round(LEFT + (f64::from(at) + 0.5) * step),
            label: figures::tick(bin.from as f64),
        });
        let described = bins.iter().filter(|bin| bin.count > 0);
        let described = described.map(|bin| format!("{}: {}", range(bin), figures::count(bin.count)));
        Some(Self {
            id: id.to_owned(),
            title: title.to_owned(),
            description: described.collect::<Vec<_>>().join("; "),
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            bottom: BOTTOM,
            y_ticks: y.ticks(),
            bars: bars.collect(),
            labels: labels.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_the_axis_inside_the_frame_and_the_tail_is_told_apart() {
        let bins = [(0, 9, 40), (10, 19, 0), (20, 29, 1), (30, 4000, 3)];
        let chart = Histogram::new("h", "H", &bins.map(|(from, to, count)| Binned { from, to, count })).unwrap();
        assert!(chart.bars.iter().all(|bar| bar.x >= chart.left && bar.x + bar.width <= chart.right));
        assert!(chart.bars.iter().all(|bar| (bar.y + bar.height - chart.bottom).abs() < 1e-9));
        let heights: Vec<f64> = chart.bars.iter().map(|bar| bar.height).collect();
        assert!(heights[0] > 100.0 && heights[1] == 0.0 && heights[2] >= 1.0, "{heights:?}");
        assert_eq!(chart.bars.iter().map(|bar| bar.tail).collect::<Vec<_>>(), [false, false, false, true]);
        assert!(chart.bars[3].label.starts_with("30–4,000: 3 ("), "{}", chart.bars[3].label);
        assert!(Histogram::new("h", "H", &[]).is_none());
    }
}
