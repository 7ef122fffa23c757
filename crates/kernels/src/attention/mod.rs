//! Causal attention over packed segments, with grouped heads; forward and backward.
//!
//! Rows of many sequences lie end to end. A [`Segment`] says which query rows belong together and which key rows they
//! may see: their own, those of a prefix shared by several segments, or those of a cache.
//!
//! Queries are taken in blocks of 64; a block's scores against all keys it can see fit in a buffer, so the
//! softmax is an ordinary one, and keys beyond the last query of a block are never multiplied. The backward
//! recomputes the probabilities from `lse` (FlashAttention-2, arXiv 2307.08691, section 3.1). A segment of one query
//! (decoding) uses inner products and reads the keys in place.

mod backward;
mod forward;
pub mod plain;

use std::ops::Range;

pub use backward::attention_backward;
pub use forward::attention;

/// Queries of a block.
const BLOCK: usize = 64;

/// Query rows and the key rows that they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Rows of `q`. Segments come in the order of their queries and do not overlap in them.
    pub queries: Range<usize>,
    /// Rows of `k` and `v`, the ranges one after another in time. The queries stand at the last positions: with `T` keys
    /// and `n` queries, query `j` sees the first `T - n + j + 1` keys.
    pub keys: Vec<Range<usize>>,
}

impl Segment {
    /// A sequence whose queries and keys are the same rows.
    #[must_use]
    pub fn causal(rows: Range<usize>) -> Self {
        Self { queries: rows.clone(), keys: vec![rows] }
    }

    /// How many keys the last query sees.
    #[must_use]
    pub fn total_keys(&self) -> usize {
        self.keys.iter().map(ExactSizeIterator::len).sum()
    }
}

/// Heads and their size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads, H.
    pub heads: usize,
    /// Key-value heads, K; H is a multiple of it, and query head `h` reads key-value head `h / (H / K)`.
    pub kv_heads: usize,
    /// Head size, D.
    pub head_size: usize,
    /// Factor of the scores, usually `1 / sqrt(D)`.
    pub scale: f32,
}

impl AttentionShape {
    fn query_width(&self) -> usize {
        self.heads * self.head_size
    }

    fn key_width(&self) -> usize {
        self.kv_heads * self.head_size
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Checks sizes and segments; returns the numbers of query and key rows.
fn check(what: &str, q: usize, k: usize, v: usize, shape: &AttentionShape, segments: &[Segment]) -> (usize, usize) {
    let AttentionShape { heads, kv_heads, head_size, .. } = *shape;
    assert!(kv_heads > 0 && head_size > 0 && heads > 0 && heads.is_multiple_of(kv_heads), "{what}: {shape:?}");
    assert!(q.is_multiple_of(shape.query_width()), "{what}: {q} elements of q do not fit {shape:?}");
    assert!(k == v && k.is_multiple_of(shape.key_width()), "{what}: {k} and {v} elements of k and v, {shape:?}");
    let (n, m) = (q / shape.query_width(), k / shape.key_width());
    let mut end = 0;
    for segment in segments {
        assert!(segment.queries.start >= end && segment.queries.end <= n, "{what}: queries of {segment:?}, {n} rows");
        assert!(segment.keys.iter().all(|r| r.start <= r.end && r.end <= m), "{what}: keys of {segment:?}, {m} rows");
        assert!(segment.total_keys() >= segment.queries.len(), "{what}: fewer keys than queries in {segment:?}");
        end = segment.queries.end.max(end);
    }
    (n, m)
}

/// The keys (or values) of one head in a segment: a slice that starts at the first key, and the step between keys.
///
/// Keys of one range are read where they lie; several ranges are copied together into `copied`.
fn head_rows<'a>(
    x: &'a [f32],
    segment: &Segment,
    shape: &AttentionShape,
    kv_head: usize,
    copied: &'a mut [f32],
) -> (&'a [f32], usize) {
    let (width, d) = (shape.key_width(), shape.head_size);
    if let [range] = &segment.keys[..] {
        return (&x[range.start * width + kv_head * d..], width);
    }
    let rows = segment.keys.iter().flat_map(Clone::clone);
    for (to, row) in copied.chunks_exact_mut(d).zip(rows) {
        to.copy_from_slice(&x[row * width + kv_head * d..][..d]);
    }
    (copied, d)
}

/// Room that [`head_rows`] needs.
fn copied_len(segment: &Segment, shape: &AttentionShape) -> usize {
    if segment.keys.len() == 1 { 0 } else { segment.total_keys() * shape.head_size }
}

/// How many numbers of scratch memory both directions of attention over these segments take on so many threads.
#[must_use]
pub fn scratch_len(shape: &AttentionShape, segments: &[Segment], threads: usize) -> usize {
    let of_block = |s: &Segment| 2 * BLOCK.min(s.queries.len()) * s.total_keys() + 2 * copied_len(s, shape);
    let of_thread = segments.iter().map(of_block).max().unwrap_or(0);
    threads * of_thread + backward::most_held(shape, segments)
}

/// Multiply-adds of all segments, to tell small work from large.
fn work(segments: &[Segment], shape: &AttentionShape) -> usize {
    segments.iter().map(|s| s.queries.len() * s.total_keys() * shape.query_width()).sum()
}

/// Multiply-adds below which attention stays on its thread.
const WORTH_THREADS: usize = 1 << 19;

/// The same where the threads wait for work.
const WORTH_A_TEAM: usize = 1 << 17;
