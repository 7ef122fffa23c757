//! Charts as coordinates: scales, ticks, thinned paths and bars. `templates/charts.html` turns them into SVG.
//!
//! Coordinates are in units of the view box, rounded to a tenth; the page scales the box to the width there is. A chart
//! that must be read both on a wide screen and on a telephone is laid out twice, and the page's CSS shows one of them.

mod bars;
mod histogram;
mod lines;
mod scale;
mod thin;

pub(crate) use bars::{BarPair, BarPanel, BarValue};
pub(crate) use histogram::{Binned, Histogram};
pub(crate) use lines::{LineChart, Series};
pub(crate) use thin::{Point, running_mean};

/// One decimal is a third of a pixel on the sharpest screen, and keeps paths short.
fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}
