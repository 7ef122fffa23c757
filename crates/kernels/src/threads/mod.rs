//! Threads: one global pool, work cut by shapes alone.
//!
//! The rule of the house is that results do not depend on the number of threads, to the last bit. So a kernel either
//! works on rows that have nothing to do with each other ([`rows`]: any cut gives the same bits), or it reduces over
//! rows in chunks whose size depends on the shape only and adds the chunks in order ([`reduce_rows`]).

mod team;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

pub use team::{leads_team, team};

/// Elements below which a loop is not worth another thread: five microseconds for an addition, more for others.
pub const GRAIN: usize = 1 << 16;

/// The pool was in use before its size was chosen.
#[derive(Debug, thiserror::Error)]
#[error("the number of threads must be chosen before the first computation, once per process")]
pub struct ThreadsStarted;

/// How many threads the kernels use.
#[must_use]
pub fn parallelism() -> usize {
    rayon::current_num_threads()
}

/// The stack of a thread of the pool: what the main thread of a program usually has, as programs run in it ([`inside`]).
const STACK: usize = 8 << 20;

/// Chooses the number of threads; 0 means one per core. To be called once, at start-up.
///
/// # Errors
/// When the pool runs already.
pub fn set(threads: usize) -> Result<(), ThreadsStarted> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build_global().map_err(|_| ThreadsStarted)
}

/// Calls `f` on a thread of the pool. Work that consists of many short kernels, as decoding does, belongs in here: from
/// outside, each kernel waits until the pool has woken up and handed back its result, some ten microseconds.
pub fn inside<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

/// How many rows of `row_len` elements make a piece of work worth handing to another thread.
#[must_use]
pub fn row_chunk(row_len: usize) -> usize {
    (GRAIN / row_len.max(1)).max(1)
}

/// Mutable data that can be cut between rows.
pub trait Rows: Send + Sized {
    /// Cuts before row `at`.
    fn split(self, at: usize) -> (Self, Self);
}

/// A matrix to be written: its elements and the length of its rows.
#[derive(Debug)]
pub struct RowsMut<'a, T = f32> {
    /// The rows, end to end.
    pub data: &'a mut [T],
    /// Elements of a row.
    pub len: usize,
}

/// The rows of `data`, each of `len` elements.
pub fn rows_of<T>(data: &mut [T], len: usize) -> RowsMut<'_, T> {
    RowsMut { data, len }
}

impl<T: Send> Rows for RowsMut<'_, T> {
    fn split(self, at: usize) -> (Self, Self) {
        let (head, tail) = self.data.split_at_mut(at * self.len);
        (Self { data: head, len: self.len }, Self { data: tail, len: self.len })
    }
}

/// Nothing to be written, or not by rows.
impl Rows for () {
    fn split(self, _: usize) -> (Self, Self) {
        ((), ())
    }
}

impl<A: Rows, B: Rows> Rows for (A, B) {
    fn split(self, at: usize) -> (Self, Self) {
        let ((a0, a1), (b0, b1)) = (self.0.split(at), self.1.split(at));
        ((a0, b0), (a1, b1))
    }
}

impl<A: Rows, B: Rows, C: Rows> Rows for (A, B, C) {
    fn split(self, at: usize) -> (Self, Self) {
        let ((a0, a1), (b0, b1), (c0, c1)) = (self.0.split(at), self.1.split(at), self.2.split(at));
        ((a0, b0, c0), (a1, b1, c1))
    }
}

impl<A: Rows, B: Rows, C: Rows, D: Rows> Rows for (A, B, C, D) {
    fn split(self, at: usize) -> (Self, Self) {
        let ((ab0, ab1), (cd0, cd1)) = ((self.0, self.1).split(at), (self.2, self.3).split(at));
        ((ab0.0, ab0.1, cd0.0, cd0.1), (ab1.0, ab1.1, cd1.0, cd1.1))
    }
}

/// Calls `f(range of rows, those rows of out)` until all `n_rows` are done, on several threads when there are more than
/// `row_chunk` of them. `f` must treat each row by itself: where the cuts fall is not promised.
pub fn rows<R: Rows>(n_rows: usize, row_chunk: usize, out: R, f: impl Fn(Range<usize>, R) + Sync) {
    let row_chunk = if parallelism() == 1 { usize::MAX } else { row_chunk.max(1) };
    if n_rows > row_chunk && leads_team() {
        // A few pieces for each thread, so that one that was held up does not keep the others waiting.
        let chunk = row_chunk.max(n_rows.div_ceil(8 * parallelism()));
        let mut rest = Some(out);
        let mut cut = |start: usize| {
            let end = (start + chunk).min(n_rows);
            let (part, behind) = rest.take().expect("rows are cut in order").split(end - start);
            rest = Some(behind);
            (start..end, part)
        };
        return for_each((0..n_rows).step_by(chunk).map(&mut cut).collect(), |(range, out)| f(range, out));
    }
    split_rows(0..n_rows, row_chunk, out, &f);
}

/// Calls `f` with each of the tasks, on several threads.
pub fn for_each<T: Send>(tasks: Vec<T>, f: impl Fn(T) + Sync) {
    if !leads_team() {
        return tasks.into_par_iter().with_max_len(1).for_each(&f);
    }
    let tasks: Vec<_> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let next = AtomicUsize::new(0);
    team::together(&|| {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
            f(task.expect("a task is taken once"));
        }
    });
}

fn split_rows<R: Rows>(range: Range<usize>, row_chunk: usize, out: R, f: &(impl Fn(Range<usize>, R) + Sync)) {
    if range.len() <= row_chunk {
        if !range.is_empty() {
            f(range, out);
        }
        return;
    }
    let half = range.len().div_ceil(2);
    let (head, tail) = out.split(half);
    let middle = range.start + half;
    rayon::join(
        || split_rows(range.start..middle, row_chunk, head, f),
        || split_rows(middle..range.end, row_chunk, tail, f),
    );
}

/// `f` of every item, in their order; on several threads when each of them is `elements` numbers of work and that is enough.
pub fn map<T: Send, U: Send>(items: Vec<T>, elements: usize, f: impl Fn(T) -> U + Sync) -> Vec<U> {
    if items.len() * elements <= GRAIN || parallelism() == 1 {
        return items.into_iter().map(f).collect();
    }
    let mut results: Vec<Option<U>> = items.iter().map(|_| None).collect();
    for_each(items.into_iter().zip(&mut results).collect(), |(item, result)| *result = Some(f(item)));
    results.into_iter().map(|result| result.expect("every item was visited")).collect()
}

/// Whether `f` holds for every chunk of `chunk` elements of `0..len`, asked on all threads.
pub fn all_chunks(len: usize, chunk: usize, f: impl Fn(Range<usize>) -> bool + Sync) -> bool {
    let chunk = chunk.max(1);
    (0..len.div_ceil(chunk)).into_par_iter().all(|i| f(i * chunk..((i + 1) * chunk).min(len)))
}

/// `total += sum over all rows`, where `f(range of rows, partial)` adds a chunk of rows into a zeroed partial sum. The
/// chunks are cut by `n_rows` and `total.len()` alone and their partial sums are added in order.
pub fn reduce_rows(n_rows: usize, total: &mut [f32], f: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    // At most 64 partial sums, so that a long input does not ask for much memory.
    let chunk = row_chunk(total.len()).max(n_rows.div_ceil(64)).max(16);
    let chunks = n_rows.div_ceil(chunk);
    let len = total.len();
    let range = |i: usize| i * chunk..((i + 1) * chunk).min(n_rows);
    crate::scratch::with(chunks * len, |partial| {
        partial.fill(0.0);
        if chunks == 1 || parallelism() == 1 {
            for (i, p) in partial.chunks_exact_mut(len.max(1)).enumerate() {
                f(range(i), p);
            }
        } else {
            partial.par_chunks_exact_mut(len.max(1)).enumerate().for_each(|(i, p)| f(range(i), p));
        }
        for p in partial.chunks_exact(len.max(1)) {
            crate::elementwise::add_assign_here(total, p);
        }
    });
}
