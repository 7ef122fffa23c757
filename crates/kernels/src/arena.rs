//! Memory lent block by block out of long stretches, which are kept: a training step takes and gives back the same few
//! hundred blocks again and again, and asking the system each time costs a third of it in page faults.
//!
//! A stretch is divided as the blocks come, neighbours that are free grow together, and a block goes to the first place that
//! holds it. So rows of changing length leave few gaps, and how much memory a sequence of blocks needs follows from their
//! lengths alone: [`Places`] is the bookkeeping without the memory.

use std::collections::BTreeMap;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// Numbers of a cache line of 64 bytes, at which every block begins.
const LINE: usize = 16;

/// Numbers of a huge page of 2 MiB.
const HUGE_PAGE: usize = 1 << 19;

/// Numbers of a stretch that nobody asked to be longer: 64 MB, of which the system gives what is touched.
const STRETCH: usize = 1 << 24;

/// Which numbers of which stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    stretch: usize,
    start: usize,
    len: usize,
}

/// Which parts of which stretches are free.
#[derive(Debug, Default)]
pub struct Places {
    stretches: Vec<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    len: usize,
    /// What lies behind was never lent.
    touched: usize,
    /// Lengths of the free parts by where they start; no two touch.
    free: BTreeMap<usize, usize>,
}

impl Places {
    /// A free place of at least `len` numbers, from now on taken; a new stretch is begun where no old one has it.
    pub fn take(&mut self, len: usize) -> Place {
        let len = len.max(1).next_multiple_of(LINE);
        let found = self.stretches.iter().enumerate().find_map(|(index, stretch)| {
            let start = stretch.free.iter().find(|(_, free)| **free >= len).map(|(&start, _)| start)?;
            Some((index, start))
        });
        let (stretch, start) = found.unwrap_or_else(|| {
            self.stretches.push(Stretch::of(len.max(STRETCH)));
            (self.stretches.len() - 1, 0)
        });
        self.stretches[stretch].take(start, len);
        Place { stretch, start, len }
    }

    /// Gives a place back. It must be one that [`Places::take`] gave, and is not to be given back twice.
    pub fn give_back(&mut self, place: Place) {
        self.stretches[place.stretch].give_back(place.start, place.len);
    }

    /// Begins a stretch of `len` numbers that serves from now on; its number. What was never lent of the others never will be:
    /// the system has not given it yet.
    pub fn begin(&mut self, len: usize) -> usize {
        self.stretches.iter_mut().for_each(Stretch::close);
        self.stretches.push(Stretch::of(len));
        self.stretches.len() - 1
    }

    /// Ends the stretches of which nothing is lent; their numbers.
    fn end_unused(&mut self) -> Vec<usize> {
        let unused = |stretch: &Stretch| stretch.free.values().sum::<usize>() == stretch.len;
        let ended: Vec<usize> = (0..self.stretches.len()).filter(|&i| unused(&self.stretches[i])).collect();
        for &index in &ended {
            self.stretches[index] = Stretch { len: 0, touched: 0, free: BTreeMap::new() };
        }
        ended
    }

    /// How many numbers of all stretches were ever lent, from the start of each to the last of them: the memory that the
    /// system had to give.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.touched).sum()
    }
}

impl Stretch {
    fn of(len: usize) -> Self {
        Self { len, touched: 0, free: BTreeMap::from([(0, len)]) }
    }

    /// Ends the stretch where it was last lent.
    fn close(&mut self) {
        if let Some((&start, free)) = self.free.iter_mut().next_back()
            && start + *free > self.touched
        {
            *free = self.touched.saturating_sub(start);
            if *free == 0 {
                self.free.remove(&start);
            }
        }
        self.len = self.touched;
    }

    fn take(&mut self, start: usize, len: usize) {
        let free = self.free.remove(&start).expect("a free part starts there");
        if free > len {
            self.free.insert(start + len, free - len);
        }
        self.touched = self.touched.max(start + len);
    }

    fn give_back(&mut self, mut start: usize, mut len: usize) {
        let after = self.free.remove(&(start + len));
        len += after.unwrap_or(0);
        if let Some((&before, &free)) = self.free.range(..start).next_back() {
            assert!(before + free <= start, "a place was given back twice");
            if before + free == start {
                (start, len) = (before, free + len);
            }
        }
        self.free.insert(start, len);
    }
}

/// Stretches of memory with their bookkeeping.
#[derive(Debug, Default)]
pub struct Arena {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: Places,
    /// `None` for a stretch that was given back.
    memory: Vec<Option<Arc<Memory>>>,
}

impl Arena {
    /// A block of `len` numbers, whatever was left in them.
    #[must_use]
    pub fn take(self: &Arc<Self>, len: usize) -> Lent {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = state.places.take(len);
        if place.stretch == state.memory.len() {
            let stretch = state.places.stretches[place.stretch].len;
            let memory = Memory::new(stretch);
            let memory =
                memory.unwrap_or_else(|error| panic!("the system gives no memory for {stretch} numbers: {error}"));
            state.memory.push(Some(Arc::new(memory)));
        }
        let memory = state.memory[place.stretch].as_ref().expect("nothing is lent of a stretch that was given back");
        let memory = Arc::clone(memory);
        Lent { memory, place, len, arena: Arc::clone(self) }
    }

    /// Takes a stretch of `len` numbers from the system now, all of it, so that blocks that fit there can be had later.
    ///
    /// # Errors
    /// When the system does not have so much.
    pub fn reserve(&self, len: usize) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let memory = Memory::touched(len)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stretch = state.places.begin(len);
        state.places.stretches[stretch].touched = len;
        state.memory.push(Some(Arc::new(memory)));
        Ok(())
    }

    /// Gives stretches of which nothing is lent back to the system.
    pub fn release(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for index in state.places.end_unused() {
            state.memory[index] = None;
        }
    }

    /// How many numbers the system had to give.
    pub fn touched(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).places.touched()
    }
}

/// The memory of a stretch: zeroed pages of the system, huge ones where it has them, which come when they are first touched.
/// It is read and written through the blocks that are lent of it.
#[derive(Debug)]
struct Memory {
    /// In `pages`, where the first huge page begins.
    start: NonNull<f32>,
    _pages: MmapMut,
}

impl Memory {
    /// Room for `len` numbers.
    fn new(len: usize) -> io::Result<Self> {
        // A page more than asked for, so that one begins in it.
        let bytes = len.checked_add(HUGE_PAGE).and_then(|numbers| numbers.checked_mul(size_of::<f32>()));
        let mut pages = MmapMut::map_anon(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?;
        #[cfg(target_os = "linux")]
        // Without huge pages the ordinary ones do.
        let _ = pages.advise(memmap2::Advice::HugePage);
        let start = pages.as_mut_ptr();
        let start = start.wrapping_add(start.align_offset(HUGE_PAGE * size_of::<f32>()));
        Ok(Self { start: NonNull::new(start.cast()).expect("a mapping does not begin at zero"), _pages: pages })
    }

    /// The same, all of it given by the system now.
    fn touched(len: usize) -> io::Result<Self> {
        let memory = Self::new(len)?;
        #[allow(unsafe_code)]
        // SAFETY: `new` has made room for `len` numbers behind `start`, and nobody else knows of them yet.
        let numbers = unsafe { std::slice::from_raw_parts_mut(memory.start.as_ptr(), len) };
        numbers.fill(0.0);
        Ok(memory)
    }
}

#[allow(unsafe_code)]
// SAFETY: the memory is owned, and what reads or writes it is a `Lent`, each over a part of its own.
unsafe impl Send for Memory {}

#[allow(unsafe_code)]
// SAFETY: as above; a shared `Memory` alone gives access to no number.
unsafe impl Sync for Memory {}

/// Numbers on loan from an [`Arena`]; dropping them gives them back.
#[derive(Debug)]
pub struct Lent {
    memory: Arc<Memory>,
    place: Place,
    len: usize,
    arena: Arc<Arena>,
}

impl Lent {
    /// The numbers, to read.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        let start = self.start();
        #[allow(unsafe_code)]
        // SAFETY: see `start`; nobody writes while this borrow of the only holder lives.
        unsafe {
            std::slice::from_raw_parts(start.as_ptr(), self.len)
        }
    }

    /// The numbers, to write.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        let start = self.start();
        #[allow(unsafe_code)]
        // SAFETY: see `start`; nobody else reads or writes while this borrow of the only holder lives.
        unsafe {
            std::slice::from_raw_parts_mut(start.as_ptr(), self.len)
        }
    }

    /// The first of its numbers. `Places` lends no number twice, so as long as this `Lent` lives the `len` numbers from
    /// here on are its own; they are zeros from the system or were written since.
    fn start(&self) -> NonNull<f32> {
        #[allow(unsafe_code)]
        // SAFETY: a place ends within its stretch, whose memory has room for all of it.
        unsafe {
            self.memory.start.add(self.place.start)
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.arena.state.lock().unwrap_or_else(PoisonError::into_inner).places.give_back(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_given_back_is_lent_again_and_neighbours_grow_together() {
        let arena = Arc::new(Arena::default());
        let (first, second, last) = (arena.take(1000), arena.take(1000), arena.take(1000));
        let address = first.as_slice().as_ptr();
        assert_eq!(address.align_offset(64), 0);
        drop((second, first));
        let both = arena.take(2000);
        assert_eq!(both.as_slice().as_ptr(), address);
        assert_eq!(arena.touched(), 3 * 1008);
        drop((last, both));
        assert_eq!(arena.take(3000).as_slice().as_ptr(), address);
        assert_eq!(arena.touched(), 3 * 1008);
    }

    #[test]
    fn no_two_blocks_share_a_number_whatever_the_order() {
        let arena = Arc::new(Arena::default());
        let mut state = 3u64;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut held: Vec<(Lent, f32)> = Vec::new();
        for round in 0..3000 {
            if held.len() > 40 || (draw(3) == 0 && !held.is_empty()) {
                let (block, mark) = held.swap_remove(draw(held.len()));
                assert!(block.as_slice().iter().all(|&x| x.to_bits() == mark.to_bits()), "{mark}");
            } else {
                let mut block = arena.take(draw(5000));
                block.as_mut_slice().fill(round as f32);
                held.push((block, round as f32));
            }
        }
        drop(held);
        let places = &arena.state.lock().unwrap().places;
        assert!(places.stretches.iter().all(|stretch| stretch.free == BTreeMap::from([(0, stretch.len)])));
    }

    #[test]
    fn lengths_that_change_from_pass_to_pass_need_little_more_than_the_longest_pass() {
        let mut places = Places::default();
        let (mut longest, mut seed) = (0, 5usize);
        for _ in 0..200 {
            seed = (seed * 7919 + 17) % 1000;
            let rows = 500 + seed;
            // As activations come and go: wide ones are kept, some between them are not.
            let mut kept = Vec::new();
            let mut total = 0;
            for layer in 0..20 {
                let passing = places.take(rows * 48);
                kept.push(places.take(rows * (64 + layer % 3 * 32)));
                places.give_back(passing);
                total += rows * (64 + layer % 3 * 32);
            }
            longest = longest.max(total + rows * 48);
            kept.into_iter().rev().for_each(|place| places.give_back(place));
        }
        assert!(places.touched() < longest + longest / 20, "{} {longest}", places.touched());
    }

    #[test]
    fn what_is_reserved_serves_blocks_that_fit_and_no_others() {
        let arena = Arc::new(Arena::default());
        let (early, before) = (arena.take(100), arena.take(4_000));
        drop(early);
        arena.reserve(10_000).unwrap();
        assert_eq!(arena.touched(), 14_112);
        // What the first stretch never lent stays untouched; its gap serves on.
        let (inside, gap) = (arena.take(9_000), arena.take(100));
        assert_eq!(arena.touched(), 14_112);
        let beyond = arena.take(2_000);
        assert_eq!(arena.touched(), 16_112);
        drop((before, inside, gap, beyond));
    }

    #[test]
    fn what_is_wholly_free_can_be_given_back_to_the_system() {
        let arena = Arc::new(Arena::default());
        let kept = arena.take(5_008);
        arena.reserve(20_000).unwrap();
        drop(arena.take(10_000));
        arena.release();
        assert_eq!(arena.touched(), 5_008);
        assert_eq!(arena.take(9_008).as_slice().len(), 9_008);
        assert_eq!(arena.touched(), 14_016);
        drop(kept);
    }

    #[test]
    fn more_than_there_is_cannot_be_reserved() {
        assert!(Arena::default().reserve(usize::MAX / 8).is_err());
    }
}
