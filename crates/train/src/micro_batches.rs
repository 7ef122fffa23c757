//! How the rows of an optimiser step are put into micro-batches.
//!
//! A step's loss is the mean over all its labelled tokens, so its rows may be computed together in any way. What a micro-batch
//! costs, in memory and time, is its tokens with common beginnings counted once. Wanted are as few micro-batches as hold
//! the rows, as even as possible. That is bin packing, which has no fast exact answer; of two heuristics the better result
//! is taken, and it follows from the rows alone.

use crate::shared_prefix::placed_tokens;

/// The rows of a step, and what may stand together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing<'a> {
    /// All rows of the run as tokens.
    pub(crate) rows: &'a [&'a [u32]],
    /// The most tokens of a micro-batch, as `cost` counts them.
    pub(crate) limit: usize,
    /// Whether common beginnings are computed once.
    pub(crate) shares: bool,
}

impl Packing<'_> {
    /// The tokens that these rows are in one pass.
    pub(crate) fn cost(&self, rows: &[usize]) -> usize {
        let tokens: Vec<&[u32]> = rows.iter().map(|&row| self.rows[row]).collect();
        if self.shares { placed_tokens(&tokens) } else { tokens.iter().map(|tokens| tokens.len()).sum() }
    }

    /// Divides the rows of a step. Within a micro-batch they keep their order; a row longer than the limit goes alone.
    pub(crate) fn divide(&self, rows: &[usize]) -> Vec<Vec<usize>> {
        if rows.len() == 1 || self.cost(rows) <= self.limit {
            return vec![rows.to_vec()];
        }
        let (long, fitting): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|&at| self.rows[rows[at]].len() > self.limit);
        let mut bins: Vec<Vec<usize>> = long.into_iter().map(|at| vec![at]).collect();
        bins.extend(Places { packing: self, step: rows }.divide(&fitting));
        for bin in &mut bins {
            bin.sort_unstable();
        }
        bins.sort_unstable();
        bins.into_iter().map(|bin| bin.into_iter().map(|at| rows[at]).collect()).collect()
    }
}

/// A step's rows by their places in it: a row may come twice.
struct Places<'a> {
    packing: &'a Packing<'a>,
    step: &'a [usize],
}

/// Micro-batches as places.
type Bins = Vec<Vec<usize>>;

impl Places<'_> {
    fn cost(&self, places: &[usize]) -> usize {
        let rows: Vec<usize> = places.iter().map(|&at| self.step[at]).collect();
        self.packing.cost(&rows)
    }

    fn tokens(&self, at: usize) -> &[u32] {
        self.packing.rows[self.step[at]]
    }

    /// The better of the two divisions: fewer micro-batches, then the smaller largest one, then fewer tokens in all.
    fn divide(&self, places: &[usize]) -> Bins {
        if places.is_empty() {
            return Vec::new();
        }
        let rank = |bins: &Bins| {
            let costs: Vec<usize> = bins.iter().map(|bin| self.cost(bin)).collect();
            (bins.len(), costs.iter().max().copied(), costs.iter().sum::<usize>())
        };
        let runs = self.runs(places);
        let heaped = self.heaps(places, runs.len());
        match heaped {
            Some(heaps) if rank(&heaps) < rank(&runs) => heaps,
            _ => runs,
        }
    }

    /// Neighbours in the order of their tokens together, so that those that begin alike are: runs of that order, as few as the
    /// limit allows, under the smallest bound that needs no more of them.
    fn runs(&self, places: &[usize]) -> Bins {
        let mut order = places.to_vec();
        order.sort_by_key(|&at| (self.tokens(at), at));
        let fewest = self.cut(&order, self.packing.limit).len();
        let longest = order.iter().map(|&at| self.tokens(at).len()).max().unwrap_or(0);
        // A bound that fits stands at `most`; what is below `least` does not.
        let (mut least, mut most) = (longest.max(self.cost(places).div_ceil(fewest)), self.packing.limit);
        while least < most {
            let middle = usize::midpoint(least, most);
            if self.cut(&order, middle).len() <= fewest { most = middle } else { least = middle + 1 }
        }
        self.cut(&order, most)
    }

    /// Cuts an order into runs that each cost at most `bound`.
    fn cut(&self, order: &[usize], bound: usize) -> Bins {
        let mut bins: Bins = Vec::new();
        for &at in order {
            match bins.last_mut() {
                Some(bin) if self.cost_with(bin, at) <= bound => bin.push(at),
                _ => bins.push(vec![at]),
            }
        }
        bins
    }

    /// The longest row first, each to where the cost is then least, over as few micro-batches as it goes with, at most `most`.
    fn heaps(&self, places: &[usize], most: usize) -> Option<Bins> {
        let mut order = places.to_vec();
        order.sort_by_key(|&at| (std::cmp::Reverse(self.tokens(at).len()), at));
        let least = self.cost(places).div_ceil(self.packing.limit);
        (least..=most).find_map(|count| self.heap(&order, count))
    }

    fn heap(&self, order: &[usize], count: usize) -> Option<Bins> {
        let mut bins = vec![Vec::new(); count];
        for &at in order {
            let (cost, bin) = (0..count).map(|bin| (self.cost_with(&bins[bin], at), bin)).min()?;
            if cost > self.packing.limit {
                return None;
            }
            bins[bin].push(at);
        }
        bins.retain(|bin| !bin.is_empty());
        Some(bins)
    }

    fn cost_with(&self, bin: &[usize], at: usize) -> usize {
        let with: Vec<usize> = bin.iter().copied().chain([at]).collect();
        self.cost(&with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of these lengths that have nothing in common.
    fn apart(lengths: &[usize]) -> Vec<Vec<u32>> {
        lengths.iter().enumerate().map(|(i, &length)| vec![i as u32; length]).collect()
    }

    fn divide(rows: &[Vec<u32>], limit: usize) -> Vec<Vec<usize>> {
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        Packing { rows: &rows, limit, shares: true }.divide(&all)
    }

    #[test]
    fn a_step_that_fits_is_one_micro_batch_in_its_order() {
        let rows = apart(&[30, 10, 20]);
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let packing = Packing { rows: &rows, limit: 60, shares: true };
        assert_eq!(packing.divide(&[2, 0, 1]), [vec![2, 0, 1]]);
    }

    #[test]
    fn micro_batches_are_as_few_as_the_rows_allow() {
        // In order they fill four: 60, 50 + 40, 60, 50 + 40; sorted out, three hold them all.
        let bins = divide(&apart(&[60, 50, 40, 60, 50, 40]), 100);
        assert_eq!(bins, [vec![0, 2], vec![1, 4], vec![3, 5]]);
    }

    #[test]
    fn micro_batches_are_even() {
        // In order: 90 and 30.
        assert_eq!(divide(&apart(&[50, 40, 20, 10]), 100), [vec![0, 3], vec![1, 2]]);
    }

    #[test]
    fn rows_that_begin_alike_stand_together() {
        // Two instructions of 40 tokens, rows of both in turn: apart every pair costs 110.
        let row = |i: u32| (0..40).map(|t| t + 100 * (i % 2)).chain([1000 + i; 15]).collect::<Vec<u32>>();
        let rows: Vec<Vec<u32>> = (0..8).map(row).collect();
        assert_eq!(divide(&rows, 100), [vec![0, 2, 4, 6], vec![1, 3, 5, 7]]);
    }

    #[test]
    fn a_row_longer_than_the_limit_goes_alone() {
        assert_eq!(divide(&apart(&[60, 300, 60, 10]), 128), [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_row_that_comes_twice_is_there_twice() {
        let rows = apart(&[60, 60]);
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let bins = Packing { rows: &rows, limit: 100, shares: false }.divide(&[1, 0, 1]);
        assert_eq!(bins, [vec![1], vec![0], vec![1]]);
    }

    #[test]
    fn every_row_comes_once_and_the_bound_holds() {
        let mut state = 9u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..100 {
            let rows: Vec<Vec<u32>> = (0..draw(24) + 2)
                .map(|_| {
                    let (family, shared, own) = (draw(3) as u32, draw(40) as usize, draw(60) as usize);
                    (0..shared as u32)
                        .map(|t| t + 1000 * family)
                        .chain((0..=own).map(|_| 5000 + draw(9) as u32))
                        .collect()
                })
                .collect();
            let limit = 80 + draw(80) as usize;
            let bins = divide(&rows, limit);
            let mut seen: Vec<usize> = bins.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..rows.len()).collect::<Vec<_>>());
            for bin in &bins {
                let rows: Vec<&[u32]> = bin.iter().map(|&row| rows[row].as_slice()).collect();
                assert!(rows.len() == 1 || placed_tokens(&rows) <= limit, "{bin:?}");
            }
        }
    }
}
