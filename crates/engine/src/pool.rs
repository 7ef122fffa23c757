//! Memory of the CPU device: blocks are kept and handed out again.
//!
//! Giving large buffers back to the system at every op costs a third of a training step in page faults
//! (measured on two other engines), so freed blocks wait here for the next request of about their size.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks below this many numbers are left to the allocator, which serves them well.
const SMALL: usize = 1 << 12;

/// Freed blocks by capacity in numbers (4 bytes each), with the bytes that are in use.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: BTreeMap<usize, Vec<Vec<f32>>>,
    free_total: usize,
    in_use: usize,
    peak: usize,
}

impl Pool {
    /// A block of `len` numbers whose contents are left over from earlier use.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Block {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count(len * 4);
        let class = size_class(len);
        let found = state.free.range(class..=class + class / 4).find(|(_, blocks)| !blocks.is_empty());
        let reused = found.map(|(&capacity, _)| capacity).and_then(|capacity| {
            let block = state.free.get_mut(&capacity).and_then(Vec::pop);
            state.free_total -= capacity;
            block
        });
        drop(state);
        let data = reused.unwrap_or_else(|| vec![0.0; class]);
        Block { data, len, pool: Arc::clone(self) }
    }

    /// Numbers that somebody else made, from now on counted and kept like any block.
    pub(crate) fn adopt(self: &Arc<Self>, data: Vec<f32>) -> Block {
        let len = data.len();
        self.count(len * 4);
        Block { data, len, pool: Arc::clone(self) }
    }

    /// Counts bytes that lie elsewhere, as long as the answer lives.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        self.count(bytes);
        Held { bytes, pool: Arc::clone(self) }
    }

    fn count(&self, bytes: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).count(bytes);
    }

    fn give_back(&self, data: Vec<f32>, len: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_use -= len * 4;
        let class = data.len();
        if class < SMALL {
            return;
        }
        state.free_total += class;
        state.free.entry(class).or_default().push(data);
        // Rows of changing length leave blocks of many sizes behind; hold no more than half of the peak.
        while state.free_total > state.peak / 8 + SMALL {
            let Some((&largest, _)) = state.free.iter().rfind(|(_, blocks)| !blocks.is_empty()) else { break };
            state.free.get_mut(&largest).map(Vec::pop);
            state.free_total -= largest;
        }
    }

    /// Bytes handed out now, and the most that ever were.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.in_use, state.peak)
    }
}

impl State {
    fn count(&mut self, bytes: usize) {
        self.in_use += bytes;
        self.peak = self.peak.max(self.in_use);
    }
}

/// Rounds up to four steps per power of two, so that requests of about one size share blocks.
fn size_class(len: usize) -> usize {
    if len < SMALL {
        return len;
    }
    let step = (len.next_power_of_two() / 8).max(1);
    len.div_ceil(step) * step
}

/// Numbers on loan from a [`Pool`]; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Block {
    data: Vec<f32>,
    len: usize,
    pool: Arc<Pool>,
}

impl Block {
    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.data[..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.data), self.len);
    }
}

/// Bytes that lie outside the pool and count as its own until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    pool: Arc<Pool>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.state.lock().unwrap_or_else(PoisonError::into_inner).in_use -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_block_is_handed_out_again_and_the_peak_is_remembered() {
        let pool = Arc::new(Pool::default());
        let keep = pool.take(200_000);
        let first = pool.take(100_000);
        let address = first.as_slice().as_ptr();
        drop(first);
        let second = pool.take(99_000);
        assert_eq!(second.as_slice().as_ptr(), address);
        assert_eq!(pool.usage(), (299_000 * 4, 300_000 * 4));
        drop((keep, second));
        assert_eq!(pool.usage().0, 0);
    }

    #[test]
    fn freed_memory_of_many_sizes_does_not_pile_up() {
        let pool = Arc::new(Pool::default());
        for len in (5_000..400_000).step_by(7_001) {
            drop(pool.take(len));
        }
        let held = pool.state.lock().unwrap().free_total;
        assert!(held <= 400_000, "{held}");
    }
}
