//! Warpers, which act on the shape of the distribution and only when tokens are drawn.
//!
//! Each sets the scores it drops to minus infinity, in place over one row `[V]`, as the `LogitsWarper` of the same name in
//! transformers 4.46.3 does. `keep` is the number of tokens that always stay (more than one with beams). Where scores are equal the
//! order is that of a stable sort in the direction transformers sorts: in `top_p` the lower id goes first, in `min_p` and
//! `typical` the lower id stays first, and `top_k`, `epsilon` and `eta` keep everything that equals the last one kept.

use std::cmp::Ordering;

use crate::softmax::{Ranking, log_sum_exp};

const DROPPED: f32 = f32::NEG_INFINITY;

fn drop_all(scores: &mut [f32], ids: &[u32]) {
    for &id in ids {
        scores[id as usize] = DROPPED;
    }
}

fn alive(scores: &[f32]) -> Vec<u32> {
    (0..scores.len() as u32).filter(|&id| scores[id as usize] > DROPPED).collect()
}

/// The `k`-th largest score (`k` from 1, capped by V).
fn kth_largest(scores: &[f32], k: usize) -> f32 {
    let mut values = scores.to_vec();
    let k = k.clamp(1, values.len());
    *values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// Drops scores whose probability is below `least`, but none of the `keep` best.
fn drop_improbable(scores: &mut [f32], least: f64, keep: usize) {
    let total = log_sum_exp(scores);
    let kth = kth_largest(scores, keep);
    for score in scores {
        if (f64::from(*score) - total).exp() < least && *score < kth {
            *score = DROPPED;
        }
    }
}

/// Divides every score: below 1 sharpens, above 1 flattens the distribution.
pub fn temperature(scores: &mut [f32], temperature: f32) {
    for score in scores {
        *score /= temperature;
    }
}

/// Keeps the `k` best scores and all that equal the last of them (Fan et al., arXiv 1805.04833).
pub fn top_k(scores: &mut [f32], k: usize, keep: usize) {
    let kth = kth_largest(scores, k.max(keep));
    for score in scores {
        if *score < kth {
            *score = DROPPED;
        }
    }
}

/// Nucleus: keeps a token while the tokens before it, best first, hold less than the mass `p` (Holtzman et al., arXiv 1904.09751).
pub fn top_p(scores: &mut [f32], p: f64, keep: usize) {
    let total = log_sum_exp(scores);
    let order = |a: u32, b: u32| -> Ordering { scores[b as usize].total_cmp(&scores[a as usize]).then(b.cmp(&a)) };
    let mut ranking = Ranking::new(alive(scores), order);
    let (mut rank, mut mass) = (0, 0.0);
    while rank < ranking.len() && (rank < keep || mass < p) {
        mass += (f64::from(scores[ranking.get(rank) as usize]) - total).exp();
        rank += 1;
    }
    let dropped = ranking.beyond(rank).to_vec();
    drop_all(scores, &dropped);
}

/// Drops tokens less probable than `p` times the most probable one (arXiv 2407.01082).
pub fn min_p(scores: &mut [f32], p: f64, keep: usize) {
    let best = f64::from(scores.iter().copied().fold(DROPPED, f32::max));
    let order = |a: u32, b: u32| -> Ordering { scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)) };
    let mut ranking = Ranking::new(alive(scores), order);
    let weak = |id: u32| (f64::from(scores[id as usize]) - best).exp() < p;
    let dropped: Vec<u32> = ranking.beyond(keep).iter().copied().filter(|&id| weak(id)).collect();
    drop_all(scores, &dropped);
}

/// Locally typical: ranks tokens by how far their surprise `-ln p` is from the entropy and keeps them up to `mass` (arXiv 2202.00666).
pub fn typical(scores: &mut [f32], mass: f64, keep: usize) {
    let total = log_sum_exp(scores);
    let ids = alive(scores);
    let log_p = |id: u32| f64::from(scores[id as usize]) - total;
    let entropy: f64 = ids.iter().map(|&id| -log_p(id) * log_p(id).exp()).sum();
    // Rounded to f32, as the reference compares them, so that equal distances stay equal.
    let distance: Vec<f32> = scores.iter().map(|&s| ((total - f64::from(s)) - entropy).abs() as f32).collect();
    let order = |a: u32, b: u32| -> Ordering { distance[a as usize].total_cmp(&distance[b as usize]).then(a.cmp(&b)) };
    let mut ranking = Ranking::new(ids, order);
    let (mut rank, mut held) = (0, 0.0);
    while rank < ranking.len() {
        held += log_p(ranking.get(rank)).exp();
        if held >= mass {
            break;
        }
        rank += 1;
    }
    if rank >= ranking.len() {
        return;
    }
    let farthest = distance[ranking.get(rank) as usize];
    let beyond = ranking.beyond(keep).iter().copied();
    let dropped: Vec<u32> = beyond.filter(|&id| distance[id as usize] > farthest).collect();
    drop_all(scores, &dropped);
}

/// Drops tokens less probable than `cutoff` (Hewitt et al., arXiv 2210.15191).
pub fn epsilon(scores: &mut [f32], cutoff: f64, keep: usize) {
    drop_improbable(scores, cutoff, keep);
}

/// Drops tokens less probable than `min(cutoff, sqrt(cutoff) * exp(-entropy))` (Hewitt et al., arXiv 2210.15191).
pub fn eta(scores: &mut [f32], cutoff: f64, keep: usize) {
    let total = log_sum_exp(scores);
    let logs = scores.iter().filter(|&&s| s > DROPPED).map(|&s| f64::from(s) - total);
    let entropy: f64 = logs.map(|log_p| -log_p * log_p.exp()).sum();
    drop_improbable(scores, cutoff.min(cutoff.sqrt() * (-entropy).exp()), keep);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores whose probabilities are 0.5, 0.25, 0.15, 0.07, 0.03, out of order.
    fn row() -> Vec<f32> {
        [0.15f32, 0.5, 0.03, 0.25, 0.07].iter().map(|p| p.ln()).collect()
    }

    fn kept(scores: &[f32]) -> Vec<u32> {
        alive(scores)
    }

    #[test]
    fn temperature_divides() {
        let mut scores = [1.0, -2.0];
        temperature(&mut scores, 0.5);
        assert_eq!(scores, [2.0, -4.0]);
    }

    #[test]
    fn top_k_keeps_the_best_and_ties_with_the_last() {
        let mut scores = row();
        top_k(&mut scores, 2, 1);
        assert_eq!(kept(&scores), [1, 3]);
        let mut scores = vec![1.0, 3.0, 1.0, 1.0, 0.0];
        top_k(&mut scores, 2, 1);
        assert_eq!(kept(&scores), [0, 1, 2, 3]);
        let mut scores = row();
        top_k(&mut scores, 1, 3);
        assert_eq!(kept(&scores), [0, 1, 3]);
        let mut scores = row();
        top_k(&mut scores, 99, 1);
        assert_eq!(kept(&scores).len(), 5);
    }

    #[test]
    fn top_p_keeps_the_token_that_crosses_the_mass() {
        for (p, expected) in [(0.49, vec![1]), (0.6, vec![1, 3]), (0.8, vec![0, 1, 3]), (0.95, vec![0, 1, 3, 4])] {
            let mut scores = row();
            top_p(&mut scores, p, 1);
            assert_eq!(kept(&scores), expected, "p = {p}");
        }
        let mut scores = row();
        top_p(&mut scores, 0.1, 2);
        assert_eq!(kept(&scores), [1, 3]);
    }

    #[test]
    fn top_p_among_equals_lets_the_lower_id_go_first() {
        let mut scores = vec![0.0; 4];
        top_p(&mut scores, 0.5, 1);
        assert_eq!(kept(&scores), [2, 3]);
    }

    #[test]
    fn min_p_is_relative_to_the_best() {
        let mut scores = row();
        min_p(&mut scores, 0.29, 1);
        assert_eq!(kept(&scores), [0, 1, 3]);
        let mut scores = row();
        min_p(&mut scores, 1.0, 2);
        assert_eq!(kept(&scores), [1, 3]);
    }

    #[test]
    fn typical_keeps_what_is_as_surprising_as_expected() {
        // Entropy 1.269; distances: 0.15 -> 0.628, 0.5 -> 0.576, 0.03 -> 2.238, 0.25 -> 0.117, 0.07 -> 1.390.
        for (mass, expected) in [(0.2, vec![3]), (0.3, vec![1, 3]), (0.7, vec![1, 3]), (0.8, vec![0, 1, 3])] {
            let mut scores = row();
            typical(&mut scores, mass, 1);
            assert_eq!(kept(&scores), expected, "mass = {mass}");
        }
        let mut scores = row();
        typical(&mut scores, 0.2, 2);
        assert_eq!(kept(&scores), [1, 3]);
    }

    #[test]
    fn epsilon_is_an_absolute_probability() {
        let mut scores = row();
        epsilon(&mut scores, 0.1, 1);
        assert_eq!(kept(&scores), [0, 1, 3]);
        let mut scores = row();
        epsilon(&mut scores, 0.9, 2);
        assert_eq!(kept(&scores), [1, 3]);
    }

    #[test]
    fn eta_scales_with_the_entropy() {
        // sqrt(0.2) exp(-1.269) = 0.1257 is below 0.2.
        let mut scores = row();
        eta(&mut scores, 0.2, 1);
        assert_eq!(kept(&scores), [0, 1, 3]);
        let mut scores = row();
        eta(&mut scores, 0.001, 1);
        assert_eq!(kept(&scores).len(), 5);
    }

    #[test]
    fn warpers_leave_dropped_scores_dropped() {
        for warp in [top_k_two, nucleus, typical_half, min_p_tenth] {
            let mut scores = vec![f32::NEG_INFINITY, 1.0, 0.5, f32::NEG_INFINITY];
            warp(&mut scores);
            assert!(kept(&scores).iter().all(|id| [1, 2].contains(id)) && !kept(&scores).is_empty());
        }
        fn top_k_two(s: &mut [f32]) {
            top_k(s, 2, 1);
        }
        fn nucleus(s: &mut [f32]) {
            top_p(s, 0.9, 1);
        }
        fn typical_half(s: &mut [f32]) {
            typical(s, 0.5, 1);
        }
        fn min_p_tenth(s: &mut [f32]) {
            min_p(s, 0.1, 1);
        }
    }
}
