//! Curves over the steps of a run.

use std::fmt::Write as _;

use serde::Serialize;

use super::round;
use super::scale::{Scale, Tick};
use super::thin::{Point, thinned};
use crate::figures;

/// One curve: points in the order of the steps. A value that is not finite breaks the line.
pub(crate) struct Series {
    /// CSS class, which gives colour and stroke.
    pub class: &'static str,
    /// What the curve shows, in the reader's language.
    pub name: String,
    pub points: Vec<Point>,
    /// Mark every point, for curves of few points.
    pub dots: bool,
}

/// A line chart, laid out.
#[derive(Debug, Serialize)]
pub(crate) struct LineChart {
    pub id: String,
    pub title: String,
    pub description: String,
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub x_name: String,
    pub x_ticks: Vec<Tick>,
    pub y_ticks: Vec<Tick>,
    pub curves: Vec<Curve>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    class: &'static str,
    name: String,
    path: String,
    dots: Vec<Dot>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Dot {
    x: f64,
    y: f64,
    label: String,
}

impl LineChart {
    /// Lays out `series` in a box of `width` x `height`; without a single finite point there is no chart.
    pub(crate) fn new(id: &str, title: &str, x_name: &str, series: &[Series], size: (f64, f64)) -> Option<Self> {
        let (width, height) = size;
        let (left, right, top, bottom) = (58.0, width - 14.0, 12.0, height - 42.0);
        let finite = || series.iter().flat_map(|series| &series.points).filter(|point| point.1.is_finite());
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold(None, |ends: Option<(f64, f64)>, v| {
                ends.map_or(Some((v, v)), |(a, b)| Some((a.min(v), b.max(v))))
            })
        };
        let (first, last) = ends(&mut finite().map(|point| point.0))?;
        let (low, high) = ends(&mut finite().map(|point| point.1))?;
        // A curve that comes within a third of its height of zero is read against zero.
        let low = if low > 0.0 && low < (high - low) / 3.0 { 0.0 } else { low };
        let x = Scale::within(first, last, (width / 85.0) as usize, (left, right)).whole();
        let y = Scale::covering(low, high, 5, (bottom, top));
        let curves =
            series.iter().filter_map(|series| curve(series, &x, &y, ((right - left) / 3.0) as usize)).collect();
        Some(Self {
            id: id.to_owned(),
            title: title.to_owned(),
            description: described(series),
            width,
            height,
            left,
            right,
            top,
            bottom,
            x_name: x_name.to_owned(),
            x_ticks: x.ticks(),
            y_ticks: y.ticks(),
            curves,
        })
    }
}

fn curve(series: &Series, x: &Scale, y: &Scale, buckets: usize) -> Option<Curve> {
    let mut path = String::new();
    let mut lone = Vec::new();
    let pieces = series.points.split(|point| !point.1.is_finite()).filter(|piece| !piece.is_empty());
    for piece in pieces {
        if let [point] = piece {
            lone.push(*point);
        }
        for (at, point) in thinned(piece, buckets).into_iter().enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            write!(path, "{command}{} {}", x.at(point.0), y.at(point.1)).ok()?;
        }
    }
    if path.is_empty() {
        return None;
    }
    // A line of one point has no length, so a point that stands alone is marked whatever the series asks.
    let marked = if series.dots { thinned(&series.points, 60) } else { lone };
    let dots = marked
        .into_iter()
        .filter(|point| point.1.is_finite())
        .map(|(step, value)| Dot {
            x: round(x.at(step)),
            y: round(y.at(value)),
            label: format!("{} · {} · {}", series.name, figures::count(step as u64), figures::general(value)),
        })
        .collect();
    Some(Curve { class: series.class, name: series.name.clone(), path, dots })
}

/// First, lowest, highest and last value of each curve, for those who cannot see it.
fn described(series: &[Series]) -> String {
    let mut text = String::new();
    for series in series {
        let values: Vec<f64> = series.points.iter().map(|point| point.1).filter(|value| value.is_finite()).collect();
        let (Some(first), Some(last)) = (values.first(), values.last()) else { continue };
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let [first, last, low, high] = [*first, *last, low, high].map(figures::general);
        let separator = if text.is_empty() { "" } else { "; " };
        text += &format!("{separator}{}: {first} → {last} (min {low}, max {high})", series.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>) -> Option<LineChart> {
        let series = Series { class: "train", name: "loss".to_owned(), points, dots: false };
        LineChart::new("loss", "Loss", "step", &[series], (360.0, 220.0))
    }

    #[test]
    fn no_points_make_no_chart() {
        assert!(chart(vec![]).is_none());
        assert!(chart(vec![(1.0, f64::NAN)]).is_none());
    }

    #[test]
    fn one_point_is_a_dot_inside_the_frame() {
        let chart = chart(vec![(1.0, 2.5)]).unwrap();
        let dot = &chart.curves[0].dots[0];
        assert!(chart.left < dot.x && dot.x < chart.right && chart.top < dot.y && dot.y < chart.bottom);
    }

    #[test]
    fn a_value_that_is_not_finite_breaks_the_line_and_leaves_the_rest() {
        let points = vec![(1.0, 2.0), (2.0, 1.5), (3.0, f64::NAN), (4.0, 1.0), (5.0, 0.9)];
        let chart = chart(points).unwrap();
        assert_eq!(chart.curves[0].path.matches('M').count(), 2);
        assert!(!chart.curves[0].path.contains("NaN"));
    }
}
