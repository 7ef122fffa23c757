//! What the devices keep of memory: how much is lent, and how much the system had to give for that.
//!
//! Blocks come out of an arena, whose stretches stay (`luthier_kernels::arena`). The counting device keeps the same books
//! without the memory, so it knows not only what a run uses but what the gaps between its blocks cost.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use luthier_kernels::arena::{Arena, Lent, Place, Places};
use luthier_kernels::packed::Packing;

use crate::device::Memory;
use crate::storage::Numbers;

/// Blocks below this many numbers are left to the allocator, which serves them well.
const SMALL: usize = 1 << 12;

/// Bytes lent, now and at most.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    current: AtomicUsize,
    peak: AtomicUsize,
}

impl Tally {
    fn add(&self, bytes: usize) {
        let now = self.current.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(now, Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.current.fetch_sub(bytes, Relaxed);
    }

    fn current(&self) -> usize {
        self.current.load(Relaxed)
    }

    fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

/// Memory of the CPU device.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    arena: Arc<Arena>,
    lent: Tally,
    /// The part of it that does not come out of the arena.
    outside: Tally,
}

impl Pool {
    /// A block of `len` numbers whose contents are left over from earlier use.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Block {
        self.lent.add(len * 4);
        let source = if len < SMALL {
            self.outside.add(len * 4);
            Source::Own(vec![0.0; len])
        } else {
            Source::Lent(self.arena.take(len))
        };
        Block { source, len, pool: Arc::clone(self) }
    }

    /// Numbers that somebody else made, from now on counted like any block.
    pub(crate) fn adopt(self: &Arc<Self>, data: Vec<f32>) -> Block {
        let len = data.len();
        self.lent.add(len * 4);
        self.outside.add(len * 4);
        Block { source: Source::Own(data), len, pool: Arc::clone(self) }
    }

    /// Counts bytes that lie elsewhere, as long as the answer lives.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        self.lent.add(bytes);
        self.outside.add(bytes);
        Held { bytes, pool: Arc::clone(self) }
    }

    /// Takes `bytes` from the system for blocks to come.
    ///
    /// # Errors
    /// When the system does not have so much.
    pub(crate) fn reserve(&self, bytes: usize) -> std::io::Result<()> {
        self.arena.reserve(bytes.div_ceil(4))
    }

    /// Gives what is free back to the system, where nothing beside it is in use.
    pub(crate) fn release(&self) {
        self.arena.release();
    }

    pub(crate) fn usage(&self) -> Memory {
        let held = self.arena.touched() * 4 + self.outside.peak();
        Memory { current: self.lent.current(), peak: self.lent.peak(), held, scratch: 0 }
    }
}

#[derive(Debug)]
enum Source {
    Lent(Lent),
    Own(Vec<f32>),
}

/// Numbers on loan from a [`Pool`]; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Block {
    source: Source,
    len: usize,
    pool: Arc<Pool>,
}

impl Block {
    pub(crate) fn as_slice(&self) -> &[f32] {
        match &self.source {
            Source::Lent(lent) => lent.as_slice(),
            Source::Own(data) => data,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        match &mut self.source {
            Source::Lent(lent) => lent.as_mut_slice(),
            Source::Own(data) => data,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.lent.remove(self.len * 4);
        if matches!(self.source, Source::Own(_)) {
            self.pool.outside.remove(self.len * 4);
        }
    }
}

/// Bytes that lie outside the arena and count as the pool's until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    pool: Arc<Pool>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.lent.remove(self.bytes);
        self.pool.outside.remove(self.bytes);
    }
}

/// The books of a [`Pool`] without its memory.
#[derive(Debug, Default)]
pub(crate) struct Books {
    places: Mutex<Places>,
    lent: Tally,
    outside: Tally,
}

impl Books {
    /// A block of `len` numbers.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Counted {
        let bytes = len * 4;
        self.lent.add(bytes);
        let place = (len >= SMALL).then(|| self.places().take(len));
        if place.is_none() {
            self.outside.add(bytes);
        }
        Counted { len, bytes, packing: None, read_only: false, place, books: Arc::clone(self) }
    }

    /// Numbers that lie outside the arena.
    pub(crate) fn hold(self: &Arc<Self>, numbers: &Numbers) -> Counted {
        let (len, bytes, packing) = (numbers.len(), numbers.bytes(), numbers.packing());
        self.lent.add(bytes);
        self.outside.add(bytes);
        let read_only = packing.is_some() || matches!(numbers, Numbers::Mapped(_));
        Counted { len, bytes, packing, read_only, place: None, books: Arc::clone(self) }
    }

    /// As [`Pool::reserve`], but only what is used of it counts as held.
    pub(crate) fn reserve(&self, bytes: usize) {
        self.places().begin(bytes.div_ceil(4));
    }

    pub(crate) fn usage(&self) -> Memory {
        let held = self.places().touched() * 4 + self.outside.peak();
        Memory { current: self.lent.current(), peak: self.lent.peak(), held, scratch: 0 }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A block without numbers: its count, given back when it is dropped.
#[derive(Debug)]
pub struct Counted {
    len: usize,
    bytes: usize,
    packing: Option<Packing>,
    read_only: bool,
    place: Option<Place>,
    books: Arc<Books>,
}

impl Counted {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn packing(&self) -> Option<Packing> {
        self.packing
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.books.lent.remove(self.bytes);
        match self.place.take() {
            Some(place) => self.books.places().give_back(place),
            None => self.books.outside.remove(self.bytes),
        }
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
        let usage = pool.usage();
        assert_eq!((usage.current, usage.peak, usage.held), (299_000 * 4, 300_000 * 4, 300_000 * 4));
        drop((keep, second));
        assert_eq!(pool.usage().current, 0);
    }

    #[test]
    fn the_books_say_of_any_blocks_what_the_pool_then_takes() {
        let (pool, books) = (Arc::new(Pool::default()), Arc::new(Books::default()));
        let (mut blocks, mut counted) = (Vec::new(), Vec::new());
        for i in 0..500 {
            let len = (i * 7919 + 13) % 60_000;
            blocks.push(pool.take(len));
            counted.push(books.take(len));
            if i % 3 == 2 {
                let at = i * 31 % blocks.len();
                drop((blocks.swap_remove(at), counted.swap_remove(at)));
            }
        }
        assert_eq!(books.usage(), pool.usage());
        drop(counted);
        assert_eq!(books.usage().current, 0);
    }
}
