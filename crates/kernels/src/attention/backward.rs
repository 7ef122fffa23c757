//! The gradients of attention, the probabilities recomputed from `lse`.
//!
//! With `P` the probabilities and `delta = rowsum(dout * out)`: `dv += P^T dout`, `dP = dout v^T`,
//! `dS = scale * P * (dP - delta)`, `dq = dS k`, `dk += dS^T q`. Where scores are capped, `dS` is multiplied by the slope of
//! the cap too; a bias by distance changes nothing in it.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    AttentionShape, BLOCK, Seen, Segment, WORTH_THREADS, bias_and_cap, check, copied_len, head_rows, rows_of_keys, work,
};
use crate::elementwise::{add_assign_here, inner};
use crate::exp::exp;
use crate::matmul::{MatMul, matmul_on_this_thread};
use crate::simd::vectorised;
use crate::threads::{self, row_chunk, rows_of};

/// Elements of gradients held at a time (64 MiB), before they are added up.
const HELD: usize = 1 << 24;

/// One segment and head, with the room for its gradients: dq `[n, D]`, dk and dv `[T, D]` of the T keys that are seen.
struct Task<'a> {
    segment: &'a Segment,
    head: usize,
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

/// The gradients of [`attention`](super::attention()): `dq` is overwritten, `dk` and `dv` are accumulated.
///
/// Every segment and head has its gradients in a buffer of its own; the buffers are added in the order of segments and
/// heads, so keys that several segments share receive their parts in one fixed order.
pub fn attention_backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &[f32],
    lse: &[f32],
    dout: &[f32],
    shape: &AttentionShape,
    segments: &[Segment],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let (n, _) = check("attention_backward", q.len(), k.len(), v.len(), shape, segments);
    let (same_as_q, same_as_k) = ([out.len(), dout.len(), dq.len()], [dk.len(), dv.len()]);
    assert!(same_as_q.iter().all(|&len| len == q.len()), "attention_backward: lengths of out, dout, dq {same_as_q:?}");
    assert!(same_as_k.iter().all(|&len| len == k.len()), "attention_backward: lengths of dk, dv {same_as_k:?}");
    assert_eq!(lse.len(), n * shape.heads, "attention_backward: length of lse");
    dq.fill(0.0);
    let inputs = Inputs { q, k, v, out, lse, dout };
    for (held, segments) in parts(shape, segments) {
        some_segments(&inputs, shape, segments, held, dq, dk, dv);
    }
}

/// As many segments at a time as fit the room, at least one, with the room they take: a cut that depends on the segments alone.
fn parts<'a>(shape: &AttentionShape, segments: &'a [Segment]) -> impl Iterator<Item = (usize, &'a [Segment])> {
    let mut rest = segments;
    std::iter::from_fn(move || {
        let mut held = held_by(rest.first()?, shape);
        let mut count = 1;
        while count < rest.len() && held + held_by(&rest[count], shape) <= HELD {
            held += held_by(&rest[count], shape);
            count += 1;
        }
        let (now, later) = rest.split_at(count);
        rest = later;
        Some((held, now))
    })
}

/// The most gradients that are held before they are added up.
pub(super) fn most_held(shape: &AttentionShape, segments: &[Segment]) -> usize {
    parts(shape, segments).map(|(held, _)| held).max().unwrap_or(0)
}

/// What the gradients are computed from.
struct Inputs<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: &'a [f32],
    lse: &'a [f32],
    dout: &'a [f32],
}

/// Elements of the gradients of a segment before they are added up.
fn held_by(segment: &Segment, shape: &AttentionShape) -> usize {
    (segment.queries.len() + 2 * seen_keys(segment, shape).len()) * shape.query_width()
}

/// The keys that any query of a segment sees.
fn seen_keys(segment: &Segment, shape: &AttentionShape) -> Range<usize> {
    shape.seen(segment, &segment.queries).keys
}

fn some_segments(
    inputs: &Inputs<'_>,
    shape: &AttentionShape,
    segments: &[Segment],
    held: usize,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    crate::scratch::with(held, |held| {
        let mut tasks = Vec::with_capacity(segments.len() * shape.heads);
        let mut rest = &mut held[..];
        for segment in segments {
            let keys = seen_keys(segment, shape).len();
            for head in 0..shape.heads {
                let mut cut = |rows: usize| rest.split_off_mut(..rows * shape.head_size).expect("held is long enough");
                let (dq, dk, dv) = (cut(segment.queries.len()), cut(keys), cut(keys));
                tasks.push(Task { segment, head, dq, dk, dv });
            }
        }
        let run = |task: &mut Task<'_>| one_head(inputs, shape, task);
        if threads::parallelism() == 1 || work(segments, shape) < WORTH_THREADS {
            tasks.iter_mut().for_each(run);
        } else {
            tasks.par_iter_mut().with_max_len(1).for_each(run);
        }
        for heads in tasks.chunks(shape.heads) {
            add_segment(shape, heads, dq, dk, dv);
        }
    });
}

/// Puts the gradients of all heads of a segment where they belong.
fn add_segment(shape: &AttentionShape, heads: &[Task<'_>], dq: &mut [f32], dk: &mut [f32], dv: &mut [f32]) {
    let d = shape.head_size;
    let (width, key_width) = (shape.query_width(), shape.key_width());
    let segment = heads[0].segment;
    let dq = &mut dq[segment.queries.start * width..segment.queries.end * width];
    threads::rows(segment.queries.len(), row_chunk(width), rows_of(dq, width), |r, dq| {
        for (i, row) in r.zip(dq.data.chunks_exact_mut(width)) {
            for (task, part) in heads.iter().zip(row.chunks_exact_mut(d)) {
                part.copy_from_slice(&task.dq[i * d..][..d]);
            }
        }
    });
    let mut first = 0;
    for range in rows_of_keys(segment, seen_keys(segment, shape)) {
        let at = range.start * key_width..range.end * key_width;
        let rows = (rows_of(&mut dk[at.clone()], key_width), rows_of(&mut dv[at], key_width));
        threads::rows(range.len(), row_chunk(2 * width), rows, |r, (dk, dv)| {
            let rows = dk.data.chunks_exact_mut(key_width).zip(dv.data.chunks_exact_mut(key_width));
            for (i, (dk, dv)) in r.zip(rows) {
                for task in heads {
                    let to = task.head / shape.group() * d;
                    let from = (first + i) * d;
                    add_assign_here(&mut dk[to..to + d], &task.dk[from..from + d]);
                    add_assign_here(&mut dv[to..to + d], &task.dv[from..from + d]);
                }
            }
        });
        first += range.len();
    }
}

/// The gradients of one segment and head, block of queries by block.
fn one_head(inputs: &Inputs<'_>, shape: &AttentionShape, task: &mut Task<'_>) {
    let Task { segment, head, dq, dk, dv } = task;
    let (d, width) = (shape.head_size, shape.query_width());
    let all = seen_keys(segment, shape);
    let copied = copied_len(segment, shape, all.len());
    let tile = BLOCK.min(segment.queries.len()) * shape.keys_of_block(segment);
    dk.fill(0.0);
    dv.fill(0.0);
    crate::scratch::with(2 * tile + 2 * copied, |buffer| {
        let (tiles, copies) = buffer.split_at_mut(2 * tile);
        let (k_copy, v_copy) = copies.split_at_mut(copied);
        let (k, k_step) = head_rows(inputs.k, segment, shape, *head / shape.group(), all.clone(), k_copy);
        let (v, v_step) = head_rows(inputs.v, segment, shape, *head / shape.group(), all.clone(), v_copy);
        let (p, dp) = tiles.split_at_mut(tile);
        let mut start = segment.queries.start;
        while start < segment.queries.end {
            let rows = BLOCK.min(segment.queries.end - start);
            let seen = shape.seen(segment, &(start..start + rows));
            let (skipped, keys) = (seen.keys.start - all.start, seen.keys.len());
            let (p, dp) = (&mut p[..rows * keys], &mut dp[..rows * keys]);
            let (k, v) = (&k[skipped * k_step..], &v[skipped * v_step..]);
            let (dk, dv) = (&mut dk[skipped * d..], &mut dv[skipped * d..]);
            let at = start * width + *head * d;
            let (q, dout, out) = (&inputs.q[at..], &inputs.dout[at..], &inputs.out[at..]);

            let by_queries = MatMul { b_strides: (1, width), ..MatMul::nn(keys, rows, d) };
            let k_q = MatMul { a_strides: (k_step, 1), alpha: shape.scale, ..by_queries };
            matmul_on_this_thread(&k_q, k, q, p);
            bias_and_cap(p, &seen, shape, *head);
            matmul_on_this_thread(&MatMul { a_strides: (v_step, 1), ..by_queries }, v, dout, dp);
            let (mut lse, mut delta) = ([0.0; BLOCK], [0.0; BLOCK]);
            for i in 0..rows {
                lse[i] = inputs.lse[(start + i) * shape.heads + *head];
                delta[i] = inner(&dout[i * width..][..d], &out[i * width..][..d]);
            }
            let (lse, delta) = (&lse[..rows], &delta[..rows]);
            match shape.softcap {
                None => scores_gradient::<0>(p, dp, &seen, lse, delta, shape.scale, f32::INFINITY),
                Some(cap) => scores_gradient::<1>(p, dp, &seen, lse, delta, shape.scale, cap),
            }

            let over_queries = MatMul { b_strides: (width, 1), ..MatMul::nn(keys, d, rows) }.beta(1.0);
            matmul_on_this_thread(&over_queries, p, dout, dv);
            matmul_on_this_thread(&over_queries, dp, q, dk);
            let ds_k = MatMul { a_strides: (1, rows), b_strides: (k_step, 1), ..MatMul::nn(rows, d, keys) };
            matmul_on_this_thread(&ds_k, dp, k, &mut dq[(start - segment.queries.start) * d..]);
            start += rows;
        }
    });
}

vectorised! {
    /// Scores `[keys, queries]` become probabilities, and dP becomes dS; both 0 for keys that a query does not see. `CAPPED`:
    /// 1 where the scores were capped, else 0.
    fn scores_gradient<const CAPPED: usize>(
        p: &mut [f32],
        dp: &mut [f32],
        seen: &Seen,
        lse: &[f32],
        delta: &[f32],
        scale: f32,
        cap: f32,
    ) {
        let (rows, inverse) = (lse.len(), 1.0 / cap);
        for (t, (p, dp)) in p.chunks_exact_mut(rows).zip(dp.chunks_exact_mut(rows)).enumerate() {
            let queries = seen.queries(t, rows);
            for outside in [0..queries.start, queries.end..rows] {
                p[outside.clone()].fill(0.0);
                dp[outside].fill(0.0);
            }
            let terms = lse[queries.clone()].iter().zip(&delta[queries.clone()]);
            for ((p, dp), (lse, delta)) in p[queries.clone()].iter_mut().zip(&mut dp[queries]).zip(terms) {
                let capped = *p * inverse;
                *p = exp(*p - lse);
                *dp = scale * *p * (*dp - delta);
                if CAPPED == 1 {
                    *dp *= 1.0 - capped * capped;
                }
            }
        }
    }
}
