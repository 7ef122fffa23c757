//! From values to positions, and where the ticks stand.

use serde::Serialize;

use super::round;
use crate::figures;

/// A tick of an axis: its position in the view box and its text.
#[derive(Debug, Serialize)]
pub(crate) struct Tick {
    pub at: f64,
    pub label: String,
}

/// A linear scale from `[low, high]` to the positions `[from, to]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale whose ends are ticks: about `wanted` steps of 1, 2, 2.5 or 5 times a power of ten that cover the values.
    pub(crate) fn covering(low: f64, high: f64, wanted: usize, positions: (f64, f64)) -> Self {
        let (low, high) = widened(low, high);
        let step = nice_step((high - low) / wanted as f64);
        // A value a rounding error past a tick must not open another step.
        let slack = step * 1e-6;
        let (low, high) = (((low + slack) / step).floor() * step, ((high - slack) / step).ceil() * step);
        Self { low, high, step, from: positions.0, to: positions.1 }
    }

    /// A scale that ends exactly at the values, with ticks at round numbers between them.
    pub(crate) fn within(low: f64, high: f64, wanted: usize, positions: (f64, f64)) -> Self {
        let (low, high) = widened(low, high);
        Self { low, high, step: nice_step((high - low) / wanted as f64), from: positions.0, to: positions.1 }
    }

    /// The same with steps of whole numbers only, for counts.
    pub(crate) fn whole(self) -> Self {
        Self { step: self.step.max(1.0).ceil(), ..self }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        round(self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from))
    }

    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let first = (self.low / self.step - 1e-6).ceil();
        let last = (self.high / self.step + 1e-6).floor();
        // A negative number of steps, when no round number lies between the ends, becomes none.
        let count = ((last - first + 1.0) as usize).min(50);
        (0..count)
            .map(|k| (first + k as f64) * self.step)
            .map(|value| Tick { at: self.at(value), label: figures::tick(value) })
            .collect()
    }
}

/// One value alone gets a neighbourhood of its own, so that it stands in the middle.
fn widened(low: f64, high: f64) -> (f64, f64) {
    if high > low && (high - low).is_finite() && (high - low) > 1e-12 * high.abs().max(low.abs()) {
        return (low, high);
    }
    let around = if low == 0.0 { 1.0 } else { (low.abs() * 0.5).min(f64::MAX / 4.0) };
    (low.clamp(-f64::MAX / 4.0, f64::MAX / 4.0) - around, low.clamp(-f64::MAX / 4.0, f64::MAX / 4.0) + around)
}

fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| rough <= factor * power * 1.000_001);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_stand_at_round_numbers_and_cover_the_values() {
        let scale = Scale::covering(0.13, 2.71, 5, (200.0, 0.0));
        assert_eq!(labels(&scale), ["0", "1", "2", "3"]);
        assert_eq!((scale.at(0.0), scale.at(3.0)), (200.0, 0.0));
        assert_eq!(labels(&Scale::covering(0.0, 0.0002, 4, (0.0, 1.0)))[1], "5×10⁻⁵");
        assert_eq!(labels(&Scale::covering(0.0, 1.0, 5, (0.0, 1.0))).len(), 6);
    }

    #[test]
    fn a_single_value_stands_in_the_middle() {
        let scale = Scale::within(7.0, 7.0, 5, (0.0, 100.0));
        assert!((scale.at(7.0) - 50.0).abs() < 1e-9);
        let zero = Scale::covering(0.0, 0.0, 4, (0.0, 100.0));
        assert!((zero.at(0.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn steps_of_a_run_never_get_a_fraction() {
        let scale = Scale::within(1.0, 3.0, 6, (0.0, 100.0)).whole();
        assert_eq!(labels(&scale), ["1", "2", "3"]);
    }

    #[test]
    fn values_at_the_edge_of_the_number_range_give_finite_positions() {
        for (low, high) in [(-1e308, 1e308), (1e308, 1e308), (1e-320, 2e-320), (5.0, 5.0 + 1e-15)] {
            let scale = Scale::covering(low, high, 5, (0.0, 100.0));
            assert!(scale.ticks().iter().all(|tick| tick.at.is_finite()), "{low} {high}");
        }
    }
}
