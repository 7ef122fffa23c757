//! The order in which an epoch visits its rows.

/// A permutation of `0..rows` for one epoch, the same for the same `seed` and `epoch` on every machine.
///
/// Fisher-Yates over a counter-based stream (splitmix64, Steele et al. 2014), so resuming needs the cursor only.
#[must_use]
pub fn epoch_order(rows: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let key = mix(seed ^ mix(epoch.wrapping_add(0x9e37_79b9_7f4a_7c15)));
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        let draw = mix(key.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        // The high half of a 128-bit product maps the draw onto 0..=i without the bias a remainder would have.
        let j = ((u128::from(draw) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
    order
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_visits_every_row_once_in_its_own_order() {
        let first = epoch_order(1000, 42, 0);
        let second = epoch_order(1000, 42, 1);
        assert_ne!(first, second);
        assert_eq!(first, epoch_order(1000, 42, 0));
        for order in [first, second] {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
            let kept = order.iter().enumerate().filter(|(i, j)| i == *j).count();
            assert!(kept < 10, "{kept} of 1000 rows kept their place");
        }
        assert!(epoch_order(0, 1, 1).is_empty());
    }
}
