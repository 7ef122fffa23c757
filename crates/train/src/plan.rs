//! Which rows make which optimiser step, known for the whole run before it starts.
//!
//! Rows -> the order of an epoch (as they come, or shuffled by a generator keyed with seed and epoch) -> optimiser steps of
//! so many rows or tokens -> micro-batches, each one forward pass (see `micro_batches.rs`). Everything follows from the step's
//! number, so a resumed run asks for step n and replays nothing. The last, smaller step of an epoch is kept, as Trainer does.

use std::sync::Arc;

use crate::micro_batches::Packing;
use crate::recipe::{Length, StepSize};

/// The steps of a run.
///
/// ```
/// use luthier_train::{MicroBatches, StepPlan};
/// use luthier_train::recipe::{Length, StepSize};
/// let rows: [&[u32]; 5] = [&[1; 5], &[2; 3], &[3; 9], &[4; 4], &[5; 2]];
/// let plan = StepPlan::new(rows.to_vec(), None, StepSize::Rows(2), MicroBatches { tokens: 8, share: true }, Length::Epochs(1.0));
/// let plan = plan.unwrap();
/// assert_eq!(plan.total_steps(), 3);
/// let steps: Vec<_> = plan.steps_from(0).map(|step| step.micro_batches).collect();
/// assert_eq!(steps, [vec![vec![0, 1]], vec![vec![2], vec![3]], vec![vec![4]]]);
/// ```
#[derive(Clone, Debug)]
pub struct StepPlan<'a> {
    rows: Vec<&'a [u32]>,
    shuffle: Option<u64>,
    step_size: StepSize,
    micro_batches: MicroBatches,
    /// The number of the first step of each epoch, and at the end the steps of all epochs begun.
    epoch_starts: Vec<usize>,
    total_steps: usize,
}

/// What may stand together in one forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroBatches {
    /// The most tokens; a longer row goes alone.
    pub tokens: usize,
    /// Whether what several rows begin with is computed, and counted, once (see [`crate::Batch::pack`]).
    pub share: bool,
}

/// Why rows make no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not one row to train on.
    #[error("no row is left to train on; the ledger says what became of each")]
    NoRows,
    /// A size of 0.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Epochs that are not a number above 0.
    #[error("epochs must be a number above 0")]
    Epochs,
}

/// One optimiser step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Counted from 0 over the whole run.
    pub number: usize,
    /// Counted from 0.
    pub epoch: usize,
    /// Counted from 0 within the epoch.
    pub step_in_epoch: usize,
    /// Steps of this epoch.
    pub steps_in_epoch: usize,
    /// Indices of rows; each list is one forward pass, its rows in the epoch's order.
    pub micro_batches: Vec<Vec<usize>>,
}

impl Step {
    /// Epochs behind the run once this step is done: 1.5 in the middle of the second. What the Trainer logs as `epoch`.
    pub fn epochs_done(&self) -> f64 {
        self.epoch as f64 + (self.step_in_epoch + 1) as f64 / self.steps_in_epoch as f64
    }

    /// The step's rows.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.micro_batches.iter().flatten().copied()
    }
}

/// The order of one epoch and where its steps begin: step `i` takes `order[starts[i]..starts[i + 1]]`.
#[derive(Debug)]
struct Epoch {
    order: Vec<usize>,
    starts: Vec<usize>,
}

impl<'a> StepPlan<'a> {
    /// `rows[i]` are the tokens of row `i`; `shuffle` the seed of the orders, or none for rows as they come; a row longer
    /// than the tokens of a micro-batch (or of a step) goes alone.
    ///
    /// # Errors
    /// No rows, or a size of 0.
    pub fn new(
        rows: Vec<&'a [u32]>,
        shuffle: Option<u64>,
        step_size: StepSize,
        micro_batches: MicroBatches,
        length: Length,
    ) -> Result<Self, PlanError> {
        if rows.is_empty() {
            return Err(PlanError::NoRows);
        }
        let sizes = [
            ("rows_per_step", step_size == StepSize::Rows(0)),
            ("tokens_per_step", step_size == StepSize::Tokens(0)),
            ("micro_batch_tokens", micro_batches.tokens == 0),
            ("steps", length == Length::Steps(0)),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, is_zero)| *is_zero) {
            return Err(PlanError::Zero(name));
        }
        let mut plan = Self { rows, shuffle, step_size, micro_batches, epoch_starts: vec![0], total_steps: 0 };
        plan.total_steps = match length {
            Length::Steps(steps) => plan.begin_epochs_until(steps),
            Length::Epochs(epochs) if epochs.is_finite() && epochs > 0.0 => plan.begin_epochs(epochs),
            Length::Epochs(_) => return Err(PlanError::Epochs),
        };
        Ok(plan)
    }

    /// Optimiser steps of the whole run.
    pub fn total_steps(&self) -> usize {
        self.total_steps
    }

    /// Step `number`, counted from 0; none past the end. To walk through many, [`StepPlan::steps_from`] sorts each epoch once.
    pub fn step(&self, number: usize) -> Option<Step> {
        self.steps_from(number).next()
    }

    /// The steps from `first`, counted from 0, to the end of the run.
    pub fn steps_from(&self, first: usize) -> impl Iterator<Item = Step> + '_ {
        let mut current: Option<(usize, Arc<Epoch>)> = None;
        (first..self.total_steps).map(move |number| {
            let index = self.epoch_starts.partition_point(|&start| start <= number) - 1;
            let epoch = match &current {
                Some((at, epoch)) if *at == index => Arc::clone(epoch),
                _ => Arc::new(self.epoch(index)),
            };
            current = Some((index, Arc::clone(&epoch)));
            self.make_step(number, index, &epoch)
        })
    }

    fn make_step(&self, number: usize, index: usize, epoch: &Epoch) -> Step {
        let step_in_epoch = number - self.epoch_starts[index];
        let rows = &epoch.order[epoch.starts[step_in_epoch]..epoch.starts[step_in_epoch + 1]];
        Step {
            number,
            epoch: index,
            step_in_epoch,
            steps_in_epoch: epoch.starts.len() - 1,
            micro_batches: self.packing().divide(rows),
        }
    }

    /// The tokens of these rows in one pass, common beginnings counted once where they are computed once.
    pub fn tokens_of(&self, rows: &[usize]) -> usize {
        self.packing().cost(rows)
    }

    fn packing(&self) -> Packing<'_> {
        Packing { rows: &self.rows, limit: self.micro_batches.tokens, shares: self.micro_batches.share }
    }

    fn epoch(&self, index: usize) -> Epoch {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        if let Some(seed) = self.shuffle {
            shuffle(&mut order, seed, index as u64);
        }
        let starts = self.cut(&order);
        Epoch { order, starts }
    }

    /// Cuts rows, in order, into steps; returns where each begins, and the end.
    fn cut(&self, rows: &[usize]) -> Vec<usize> {
        let mut starts = vec![0];
        let (mut count, mut tokens) = (0, 0);
        for (i, &row) in rows.iter().enumerate() {
            let is_full = match self.step_size {
                StepSize::Rows(most) => count == most,
                StepSize::Tokens(most) => count > 0 && tokens + self.rows[row].len() > most,
            };
            if is_full {
                starts.push(i);
                (count, tokens) = (0, 0);
            }
            count += 1;
            tokens += self.rows[row].len();
        }
        starts.push(rows.len());
        starts
    }

    fn steps_of_epoch(&self, index: usize) -> usize {
        match self.step_size {
            StepSize::Rows(rows) => self.rows.len().div_ceil(rows),
            StepSize::Tokens(_) => self.epoch(index).starts.len() - 1,
        }
    }

    /// Appends one epoch and returns its steps.
    fn begin_epoch(&mut self) -> usize {
        let index = self.epoch_starts.len() - 1;
        let steps = self.steps_of_epoch(index);
        self.epoch_starts.push(self.epoch_starts[index] + steps);
        steps
    }

    fn begin_epochs_until(&mut self, steps: usize) -> usize {
        let mut known = 0;
        while known < steps {
            known += self.begin_epoch();
        }
        steps
    }

    /// A part of an epoch is rounded up to whole steps, as Trainer does.
    fn begin_epochs(&mut self, epochs: f64) -> usize {
        let mut total = 0;
        for _ in 0..epochs.trunc() as usize {
            total += self.begin_epoch();
        }
        if epochs.fract() > 0.0 {
            total += (epochs.fract() * self.begin_epoch() as f64).ceil() as usize;
        }
        total
    }
}

/// Fisher-Yates; the order depends on nothing but the seed and the epoch.
fn shuffle(order: &mut [usize], seed: u64, epoch: u64) {
    let key = mix(mix(seed) ^ epoch.wrapping_mul(GOLDEN));
    let mut counter = 0;
    for last in (1..order.len()).rev() {
        order.swap(last, below(last as u64 + 1, key, &mut counter) as usize);
    }
}

/// An even draw from `0..limit` (Lemire, arXiv 1805.10941): the few products that would make it uneven are drawn again.
fn below(limit: u64, key: u64, counter: &mut u64) -> u64 {
    let uneven = limit.wrapping_neg() % limit;
    loop {
        *counter += 1;
        let product = u128::from(mix(key.wrapping_add(counter.wrapping_mul(GOLDEN)))) * u128::from(limit);
        if product as u64 >= uneven {
            return (product >> 64) as u64;
        }
    }
}

/// SplitMix64's increment and finaliser (Steele, Lea, Flood 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    static ZEROS: [u32; 300] = [0; 300];

    /// Rows of these lengths.
    fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Vec<&'static [u32]> {
        lengths.into_iter().map(|length| &ZEROS[..length]).collect()
    }

    /// Rows of 1 to 97 tokens.
    fn rows(count: usize) -> Vec<&'static [u32]> {
        of_lengths((0..count).map(|i| 1 + (i * 37) % 97))
    }

    const APART: MicroBatches = MicroBatches { tokens: 200, share: false };

    fn plan(count: usize, step_size: StepSize, length: Length) -> StepPlan<'static> {
        StepPlan::new(rows(count), Some(42), step_size, APART, length).unwrap()
    }

    fn rows_of_epoch(plan: &StepPlan<'_>, epoch: usize) -> Vec<usize> {
        let steps = plan.steps_from(0).filter(|step| step.epoch == epoch);
        steps.flat_map(|step| step.rows().collect::<Vec<_>>()).collect()
    }

    #[test]
    fn every_row_comes_exactly_once_an_epoch() {
        for size in [StepSize::Rows(7), StepSize::Tokens(300)] {
            let plan = plan(101, size, Length::Epochs(3.0));
            for epoch in 0..3 {
                let mut seen = rows_of_epoch(&plan, epoch);
                seen.sort_unstable();
                assert_eq!(seen, (0..101).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn epochs_have_different_orders_and_a_seed_has_always_the_same() {
        let plan_a = plan(50, StepSize::Rows(50), Length::Epochs(2.0));
        let plan_b = plan(50, StepSize::Rows(50), Length::Epochs(2.0));
        assert_ne!(rows_of_epoch(&plan_a, 0), rows_of_epoch(&plan_a, 1));
        assert_eq!(rows_of_epoch(&plan_a, 1), rows_of_epoch(&plan_b, 1));
        let other_seed = StepPlan::new(rows(50), Some(43), StepSize::Rows(50), APART, Length::Epochs(1.0)).unwrap();
        assert_ne!(rows_of_epoch(&plan_a, 0), rows_of_epoch(&other_seed, 0));
    }

    #[test]
    fn the_order_of_a_seed_never_changes_between_versions() {
        let mut order: Vec<usize> = (0..10).collect();
        shuffle(&mut order, 42, 0);
        assert_eq!(order, [0, 3, 5, 7, 9, 8, 2, 1, 4, 6]);
    }

    #[test]
    fn a_shuffle_puts_every_row_in_every_place_about_equally_often() {
        let mut counts = [[0_u32; 5]; 5];
        for epoch in 0..20_000 {
            let mut order: Vec<usize> = (0..5).collect();
            shuffle(&mut order, 7, epoch);
            for (place, &row) in order.iter().enumerate() {
                counts[row][place] += 1;
            }
        }
        // 4,000 expected, standard deviation 57.
        assert!(counts.iter().flatten().all(|count| (3_700..4_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_resumed_run_sees_the_tail_of_the_whole_run_micro_batches_and_all() {
        for size in [StepSize::Rows(7), StepSize::Tokens(300)] {
            let plan = plan(60, size, Length::Epochs(2.5));
            let whole: Vec<Step> = plan.steps_from(0).collect();
            assert_eq!(whole.len(), plan.total_steps());
            for first in 0..whole.len() {
                assert!(plan.steps_from(first).eq(whole[first..].iter().cloned()));
                assert_eq!(plan.step(first).as_ref(), Some(&whole[first]));
            }
            assert_eq!(plan.step(whole.len()), None);
        }
    }

    #[test]
    fn the_last_smaller_step_of_an_epoch_is_kept() {
        let plan = plan(10, StepSize::Rows(4), Length::Epochs(2.0));
        let counts: Vec<usize> = plan.steps_from(0).map(|step| step.rows().count()).collect();
        assert_eq!(counts, [4, 4, 2, 4, 4, 2]);
    }

    #[test]
    fn tokens_per_step_bounds_a_step_unless_one_row_is_longer() {
        let rows = of_lengths([50, 50, 50, 300, 10, 10]);
        let plan = StepPlan::new(rows, None, StepSize::Tokens(100), APART, Length::Epochs(1.0)).unwrap();
        let steps: Vec<Vec<usize>> = plan.steps_from(0).map(|step| step.rows().collect()).collect();
        assert_eq!(steps, [vec![0, 1], vec![2], vec![3], vec![4, 5]]);
    }

    #[test]
    fn a_part_of_an_epoch_is_rounded_up_to_whole_steps() {
        assert_eq!(plan(10, StepSize::Rows(4), Length::Epochs(1.5)).total_steps(), 5);
        assert_eq!(plan(10, StepSize::Rows(4), Length::Epochs(0.1)).total_steps(), 1);
        assert_eq!(plan(48, StepSize::Rows(8), Length::Epochs(2.0)).total_steps(), 12);
    }

    #[test]
    fn a_number_of_steps_goes_through_as_many_epochs_as_it_needs() {
        let plan = plan(10, StepSize::Rows(4), Length::Steps(7));
        let epochs: Vec<usize> = plan.steps_from(0).map(|step| step.epoch).collect();
        assert_eq!(epochs, [0, 0, 0, 1, 1, 1, 2]);
        let done: Vec<f64> = plan.steps_from(4).map(|step| step.epochs_done()).collect();
        assert_eq!(done, [1.0 + 2.0 / 3.0, 2.0, 2.0 + 1.0 / 3.0]);
    }

    #[test]
    fn nothing_to_train_on_is_an_error() {
        let no_rows = StepPlan::new(vec![], None, StepSize::Rows(1), APART, Length::Epochs(1.0));
        assert_eq!(no_rows.unwrap_err(), PlanError::NoRows);
        let no_size = StepPlan::new(rows(1), None, StepSize::Rows(0), APART, Length::Epochs(1.0));
        assert_eq!(no_size.unwrap_err().to_string(), "rows_per_step must be at least 1");
        let no_epochs = StepPlan::new(rows(1), None, StepSize::Rows(1), APART, Length::Epochs(f64::NAN));
        assert_eq!(no_epochs.unwrap_err(), PlanError::Epochs);
    }
}
