//! Causal attention over packed segments, with grouped heads; forward and backward.
//!
//! Rows of many sequences lie end to end. A [`Segment`] says which query rows belong together and which key rows they
//! may see: their own, those of a prefix shared by several segments, or those of a cache.
//!
//! Queries are taken in blocks of 64; a block's scores against all keys it can see fit in a buffer, so the
//! softmax is an ordinary one, and keys beyond the last query of a block are never multiplied. The backward
//! recomputes the probabilities from `lse` (FlashAttention-2, arXiv 2307.08691, section 3.1). A segment of one query
//! (decoding) uses inner products and reads the keys in place.
//!
//! A window (Mistral 7B, arXiv 2310.06825) lets a query see the last keys alone: those that no query of a block sees are
//! neither read nor multiplied. Scores may carry a bias by distance ([`alibi_slope`]) and a soft cap
//! ([`softcap`](crate::softcap())).

mod backward;
mod forward;
pub mod plain;

use std::ops::Range;

use crate::simd::vectorised;
use crate::softcap::softcap_here;

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

/// Heads, their size, and how a query sees keys.
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
    /// How many keys a query sees at most, its own among them: query `i` sees key `j` only if `i - j < window`
    /// (`sliding_window` of transformers).
    pub window: Option<usize>,
    /// `scores = cap tanh(scores / cap)`, after all else that is done to them (`attn_logit_softcapping` of gemma2).
    pub softcap: Option<f32>,
    /// Adds [`alibi_slope`] times `j - i` to the scaled score of query `i` and key `j` (ALiBi, arXiv 2108.12409).
    pub alibi: bool,
}

impl AttentionShape {
    /// Scores scaled by `1 / sqrt(D)` and nothing else: every query sees all keys up to its own.
    #[must_use]
    pub fn new(heads: usize, kv_heads: usize, head_size: usize) -> Self {
        let scale = 1.0 / (head_size as f32).sqrt();
        Self { heads, kv_heads, head_size, scale, window: None, softcap: None, alibi: false }
    }

    /// How many pairs of a query and a key that it sees there are in a segment.
    #[must_use]
    pub fn visible_pairs(&self, segment: &Segment) -> u64 {
        let (queries, keys) = (segment.queries.len() as u64, segment.total_keys() as u64);
        let before = keys - queries;
        let window = self.window.map_or(u64::MAX, |window| window as u64);
        // Query `j` sees `before + j + 1` keys as long as the window holds them.
        let growing = window.saturating_sub(before).min(queries);
        let full = if growing == queries { 0 } else { (queries - growing) * window };
        growing * before + growing * (growing + 1) / 2 + full
    }

    fn query_width(&self) -> usize {
        self.heads * self.head_size
    }

    fn key_width(&self) -> usize {
        self.kv_heads * self.head_size
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn window(&self) -> usize {
        self.window.unwrap_or(usize::MAX)
    }

    /// What some queries of a segment, one after another, see of its keys.
    fn seen(&self, segment: &Segment, queries: &Range<usize>) -> Seen {
        let first_sees = segment.total_keys() - (segment.queries.end - queries.start) + 1;
        let start = first_sees.saturating_sub(self.window());
        let first = first_sees - start;
        Seen { keys: start..first_sees + queries.len() - 1, first, spare: self.window() - first }
    }

    /// The most keys that a block of queries of a segment sees.
    fn keys_of_block(&self, segment: &Segment) -> usize {
        segment.total_keys().min(self.window().saturating_add(BLOCK - 1))
    }
}

/// The slope of a head under ALiBi (arXiv 2108.12409, section 3): with H heads `2^(-8 h / H)`, h from 1 on; when H is no power
/// of two, that of the greatest power below for as many heads, then every other one of twice that power, as bloom has it
/// (`build_alibi_tensor` of transformers).
#[must_use]
pub fn alibi_slope(head: usize, heads: usize) -> f32 {
    let power = 1 << heads.ilog2();
    let exponent = if head < power {
        8.0 * (head + 1) as f64 / power as f64
    } else {
        4.0 * (2 * (head - power) + 1) as f64 / power as f64
    };
    (-exponent).exp2() as f32
}

/// Which keys a block of queries sees. The keys that any of them sees are counted from the first one on: query `i` of the
/// block sees key `t` if `i <= t + spare` and `t < first + i`.
#[derive(Debug, Clone)]
struct Seen {
    /// The keys that any query of the block sees, by their number in the segment.
    keys: Range<usize>,
    /// How many of them the first query sees.
    first: usize,
    /// How many further queries see the first key too.
    spare: usize,
}

impl Seen {
    /// Which queries of a block of `rows` see key `t`.
    #[inline(always)]
    fn queries(&self, t: usize, rows: usize) -> Range<usize> {
        (t + 1).saturating_sub(self.first)..t.saturating_add(self.spare).saturating_add(1).min(rows)
    }
}

/// Checks sizes and segments; returns the numbers of query and key rows.
fn check(what: &str, q: usize, k: usize, v: usize, shape: &AttentionShape, segments: &[Segment]) -> (usize, usize) {
    let AttentionShape { heads, kv_heads, head_size, window, softcap, .. } = *shape;
    assert!(window != Some(0) && softcap.is_none_or(|cap| cap > 0.0), "{what}: {shape:?}");
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

/// The rows of `k` and `v` where some of a segment's keys lie, given by their number in the segment; in their order.
fn rows_of_keys(segment: &Segment, keys: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    segment.keys.iter().filter_map(move |range| {
        let first = end;
        end += range.len();
        let row = |key: usize| range.start + (key.clamp(first, end) - first);
        let rows = row(keys.start)..row(keys.end);
        (!rows.is_empty()).then_some(rows)
    })
}

/// Some keys (or values) of one head in a segment: a slice that starts at the first of them, and the step between keys.
///
/// Keys of a segment with one range are read where they lie; of several ranges they are copied together into `copied`.
fn head_rows<'a>(
    x: &'a [f32],
    segment: &Segment,
    shape: &AttentionShape,
    kv_head: usize,
    keys: Range<usize>,
    copied: &'a mut [f32],
) -> (&'a [f32], usize) {
    let (width, d) = (shape.key_width(), shape.head_size);
    if let [range] = &segment.keys[..] {
        return (&x[(range.start + keys.start) * width + kv_head * d..], width);
    }
    let rows = rows_of_keys(segment, keys).flatten();
    for (to, row) in copied.chunks_exact_mut(d).zip(rows) {
        to.copy_from_slice(&x[row * width + kv_head * d..][..d]);
    }
    (copied, d)
}

/// Room that [`head_rows`] needs for so many keys.
fn copied_len(segment: &Segment, shape: &AttentionShape, keys: usize) -> usize {
    if segment.keys.len() == 1 { 0 } else { keys * shape.head_size }
}

/// What is done to the scaled products `[keys, queries]` of a block before the mask.
fn bias_and_cap(scores: &mut [f32], seen: &Seen, shape: &AttentionShape, head: usize) {
    if shape.alibi {
        add_alibi(scores, seen.keys.len(), seen.first, alibi_slope(head, shape.heads));
    }
    if let Some(cap) = shape.softcap {
        softcap_here(scores, cap);
    }
}

vectorised! {
    /// `scores[t, i] += slope * (t - (first + i - 1))`, where key `first + i - 1` is query `i`'s own.
    fn add_alibi(scores: &mut [f32], keys: usize, first: usize, slope: f32) {
        let rows = scores.len() / keys;
        for (t, row) in scores.chunks_exact_mut(rows).enumerate() {
            let from_first = t as f32 + 1.0 - first as f32;
            for (i, score) in (0i32..).zip(row) {
                *score = slope.mul_add(from_first - i as f32, *score);
            }
        }
    }
}

/// How many numbers of scratch memory both directions of attention over these segments take on so many threads.
#[must_use]
pub fn scratch_len(shape: &AttentionShape, segments: &[Segment], threads: usize) -> usize {
    let of_block = |s: &Segment| {
        let tile = BLOCK.min(s.queries.len()) * shape.keys_of_block(s);
        2 * tile + 2 * copied_len(s, shape, shape.seen(s, &s.queries).keys.len())
    };
    let of_thread = segments.iter().map(of_block).max().unwrap_or(0);
    threads * of_thread + backward::most_held(shape, segments)
}

/// Multiply-adds of all segments, to tell small work from large.
fn work(segments: &[Segment], shape: &AttentionShape) -> usize {
    segments.iter().map(|s| s.queries.len() * shape.keys_of_block(s) * shape.query_width()).sum()
}

/// Multiply-adds below which attention stays on its thread.
const WORTH_THREADS: usize = 1 << 19;

/// The same where the threads wait for work.
const WORTH_A_TEAM: usize = 1 << 17;
