//! Buffers that a thread keeps between calls, so that kernels do not ask the system for memory each time.

use std::cell::Cell;

thread_local! {
    static FREE: Cell<Vec<Vec<f32>>> = const { Cell::new(Vec::new()) };
}

/// Buffers above this many elements (256 MiB) are given back instead of kept.
const KEEP: usize = 1 << 26;

/// Calls `f` with a buffer of `len` elements of unknown content. Calls may nest: each level has its own buffer.
pub fn with<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut free = FREE.take();
    let mut buffer = free.pop().unwrap_or_default();
    FREE.set(free);
    if buffer.len() < len {
        // Freed first and made anew rather than grown: the old content is worth nothing.
        drop(std::mem::take(&mut buffer));
        buffer = vec![0.0; len];
    }
    let result = f(&mut buffer[..len]);
    if buffer.len() <= KEEP {
        let mut free = FREE.take();
        free.push(buffer);
        FREE.set(free);
    }
    result
}
