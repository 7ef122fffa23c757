//! Log-sum-exp and candidate ranking over one row of scores `[V]`.

pub use luthier_kernels::cross_entropy::{argmax, log_sum_exp};
pub(crate) use luthier_kernels::cross_entropy::{greatest, minus_total};

/// Replaces scores by their log-softmax, in place; a row of nothing but minus infinity stays as it is.
pub fn log_softmax(scores: &mut [f32]) {
    let total = log_sum_exp(scores);
    if total.is_finite() {
        for s in scores {
            *s = (f64::from(*s) - total) as f32;
        }
    }
}

/// The token ids of one row in an order, sorted only as far as they are looked at: partial selection by growing chunks
/// instead of a full O(V log V) sort.
pub(crate) struct Ranking<F> {
    ids: Vec<u32>,
    sorted: usize,
    before: F,
}

impl<F: Fn(u32, u32) -> std::cmp::Ordering> Ranking<F> {
    /// `before(a, b)` is `Less` when `a` ranks ahead of `b`; it must be a total order.
    pub(crate) fn new(ids: Vec<u32>, before: F) -> Self {
        Self { ids, sorted: 0, before }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The id at `rank` (0 is the first).
    pub(crate) fn get(&mut self, rank: usize) -> u32 {
        while rank >= self.sorted {
            let rest = &mut self.ids[self.sorted..];
            let chunk = (self.sorted * 3).max(64).min(rest.len());
            let before = &self.before;
            if chunk < rest.len() {
                rest.select_nth_unstable_by(chunk - 1, |&a, &b| before(a, b));
            }
            rest[..chunk].sort_unstable_by(|&a, &b| before(a, b));
            self.sorted += chunk;
        }
        self.ids[rank]
    }

    /// The ids from `rank` on, in no order.
    pub(crate) fn beyond(&mut self, rank: usize) -> &[u32] {
        if rank > 0 && !self.ids.is_empty() {
            self.get(rank.min(self.ids.len()) - 1);
        }
        &self.ids[rank.min(self.ids.len())..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_softmax_of_three_scores_equals_the_hand_computed_one() {
        let mut scores = [1.0, 2.0, f32::NEG_INFINITY];
        log_softmax(&mut scores);
        assert!((scores[0] - -1.313_261_7).abs() < 1e-6 && (scores[1] - -0.313_261_7).abs() < 1e-6);
        assert_eq!(scores[2], f32::NEG_INFINITY);
    }

    #[test]
    fn log_sum_exp_shows_a_nan_and_an_empty_row() {
        assert!(log_sum_exp(&[f32::NAN, f32::NAN]).is_nan());
        assert!(log_sum_exp(&[0.0, f32::NAN]).is_nan());
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 3]), f64::NEG_INFINITY);
    }

    #[test]
    fn argmax_takes_the_first_among_equals() {
        assert_eq!(argmax(&[0.0, 3.0, 1.0, 3.0]), 1);
    }

    #[test]
    fn a_ranking_read_piecewise_equals_a_full_sort() {
        let keys: Vec<u32> = (0..1000u32).map(|i| i.wrapping_mul(2_654_435_761) >> 22).collect();
        let order = |a: u32, b: u32| keys[a as usize].cmp(&keys[b as usize]).then(a.cmp(&b));
        let mut expected: Vec<u32> = (0..1000).collect();
        expected.sort_by(|&a, &b| order(a, b));
        let mut ranking = Ranking::new((0..1000).collect(), order);
        assert_eq!(ranking.get(5), expected[5]);
        let mut rest = ranking.beyond(70).to_vec();
        rest.sort_by(|&a, &b| order(a, b));
        assert_eq!(rest, expected[70..]);
        for (rank, &id) in expected.iter().enumerate() {
            assert_eq!(ranking.get(rank), id);
        }
    }
}
