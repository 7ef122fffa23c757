//! The distribution of lengths in bounded memory.

/// Lengths below this are counted one by one.
const EXACT: u64 = 1 << 12;

/// Longer ones share a counter with those that differ by less than one in so many, as in an HDR histogram.
const STEPS: u64 = 128;

/// How often each length came. Lengths up to 4,095 are told exactly, longer ones to within 1 %; count, sum, least and most are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lengths {
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    least: u64,
    most: u64,
}

/// How many lengths lie from `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// The shortest.
    pub from: u64,
    /// The longest.
    pub to: u64,
    /// How many.
    pub count: u64,
}

impl Lengths {
    /// Adds a length.
    pub fn add(&mut self, length: u64) {
        let at = slot(length);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.least = if self.count == 0 { length } else { self.least.min(length) };
        self.most = self.most.max(length);
        self.count += 1;
        self.sum += length;
    }

    /// How many came.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The shortest; 0 where none came.
    #[must_use]
    pub fn least(&self) -> u64 {
        self.least
    }

    /// The longest; 0 where none came.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Their mean; 0 where none came.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    /// The length at a share of all, by nearest rank: `quantile(0.5)` is the median. 0 where none came.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut before = 0;
        for (at, count) in self.counts.iter().enumerate() {
            before += count;
            if before >= rank {
                return first_of(at).clamp(self.least, self.most);
            }
        }
        self.most
    }

    /// How many are longer than `limit`.
    #[must_use]
    pub fn longer_than(&self, limit: u64) -> u64 {
        self.counts.iter().enumerate().filter(|(at, _)| first_of(*at) > limit).map(|(_, count)| count).sum()
    }

    /// Bins of one width between round numbers, about `wanted` of them, and one more for the longest hundredth where it would need many.
    #[must_use]
    pub fn bins(&self, wanted: u64) -> Vec<Bin> {
        if self.count == 0 {
            return Vec::new();
        }
        let usual = self.quantile(0.99);
        let width = round_width((usual - self.least).div_ceil(wanted.max(1)));
        let first = self.least / width * width;
        // The tail that follows the usual lengths within two bins gets bins like them.
        let end = if self.most < usual + 2 * width { self.most } else { usual };
        let regular = (end - first) / width + 1;
        let mut bins: Vec<Bin> = (0..regular)
            .map(|at| Bin { from: first + at * width, to: first + (at + 1) * width - 1, count: 0 })
            .collect();
        let tail = first + regular * width;
        if self.most >= tail {
            bins.push(Bin { from: tail, to: self.most, count: 0 });
        }
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let length = first_of(at).clamp(self.least, self.most);
            let bin = ((length - first) / width).min(bins.len() as u64 - 1);
            bins[bin as usize].count += count;
        }
        bins
    }
}

/// Which counter a length belongs to.
fn slot(length: u64) -> usize {
    if length < EXACT {
        return length as usize;
    }
    let octave = u64::from(length.ilog2());
    let step = (length >> (octave - STEPS.ilog2() as u64)) - STEPS;
    (EXACT + (octave - u64::from(EXACT.ilog2())) * STEPS + step) as usize
}

/// The shortest length of a counter.
fn first_of(slot: usize) -> u64 {
    let slot = slot as u64;
    if slot < EXACT {
        return slot;
    }
    let (octave, step) = ((slot - EXACT) / STEPS + u64::from(EXACT.ilog2()), (slot - EXACT) % STEPS);
    (STEPS + step) << (octave - u64::from(STEPS.ilog2()))
}

/// The next of 1, 2, 5, 10, 20, 25, 50, 100, 200, 250, ...
fn round_width(least: u64) -> u64 {
    if let Some(width) = [1, 2, 5].into_iter().find(|width| *width >= least) {
        return width;
    }
    let mut power = 1;
    loop {
        if let Some(width) = [10, 20, 25, 50].into_iter().map(|factor| factor * power).find(|width| *width >= least) {
            return width;
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: impl IntoIterator<Item = u64>) -> Lengths {
        let mut all = Lengths::default();
        lengths.into_iter().for_each(|length| all.add(length));
        all
    }

    #[test]
    fn quantiles_of_usual_lengths_are_elements_of_the_list() {
        let lengths = of((1..=100).rev());
        let at = [0.0, 0.25, 0.5, 0.95, 1.0].map(|share| lengths.quantile(share));
        assert_eq!(at, [1, 25, 50, 95, 100]);
        assert_eq!((lengths.mean(), lengths.least(), lengths.most(), lengths.count()), (50.5, 1, 100, 100));
        assert_eq!((lengths.longer_than(95), lengths.longer_than(100)), (5, 0));
        assert_eq!(of([7]).quantile(0.95), 7);
        let none = Lengths::default();
        assert_eq!((none.quantile(0.5), none.mean(), none.most(), none.bins(10).len()), (0, 0.0, 0, 0));
    }

    #[test]
    fn long_lengths_are_told_to_within_a_hundredth_and_the_longest_exactly() {
        for length in [4096, 5000, 70_001, 1_234_567, 1 << 40, u64::MAX >> 8] {
            let first = first_of(slot(length));
            assert!(first <= length && length - first <= length / 100, "{length} {first}");
            assert!(slot(length) >= slot(length - 1), "{length}");
            assert_eq!(of([1, length]).quantile(1.0), first.max(1));
            assert_eq!(of([1, length]).most(), length);
        }
        assert!(slot(u64::MAX) < 12_000, "a bounded number of counters");
    }

    #[test]
    fn bins_hold_every_length_once_and_a_long_tail_has_one_of_its_own() {
        let lengths = of((0..1000).map(|i| i % 97).chain([100_000]));
        let bins = lengths.bins(12);
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), 1001);
        assert!(bins.windows(2).all(|pair| pair[0].to + 1 == pair[1].from), "{bins:?}");
        assert_eq!(bins.last(), Some(&Bin { from: 100, to: 100_000, count: 1 }));
        assert_eq!(bins[0], Bin { from: 0, to: 9, count: 110 });
        assert!(bins.len() <= 13, "{bins:?}");
        assert_eq!(of([5, 5, 5]).bins(12), [Bin { from: 5, to: 5, count: 3 }]);
    }
}
