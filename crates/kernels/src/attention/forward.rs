//! `out = softmax(mask(cap(scale q k^T + bias))) v`, head by head.

use std::ops::Range;

use super::{
    AttentionShape, BLOCK, Seen, Segment, WORTH_A_TEAM, WORTH_THREADS, alibi_slope, bias_and_cap, check, copied_len,
    head_rows, rows_of_keys, work,
};
use crate::elementwise::scale_here;
use crate::exp::exp;
use crate::matmul::{MatMul, matmul_on_this_thread};
use crate::simd::{self, LANES, Vector, load_part, vectorised};
use crate::softcap::softcap_here;
use crate::{scratch, threads};

/// Some queries of a segment with their part of the result: whole rows, or for one query the heads of one key-value head.
struct Task<'a> {
    segment: &'a Segment,
    queries: Range<usize>,
    first_head: usize,
    out: &'a mut [f32],
    lse: &'a mut [f32],
}

/// `q: [N, H*D], k and v: [M, K*D] -> out: [N, H*D], lse: [N, H]`; `lse` is the natural logarithm of the sum of
/// `e^score`, kept for the backward. Rows of no segment become 0.
pub fn attention(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    shape: &AttentionShape,
    segments: &[Segment],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let (n, _) = check("attention", q.len(), k.len(), v.len(), shape, segments);
    assert_eq!(out.len(), q.len(), "attention: length of out");
    assert_eq!(lse.len(), n * shape.heads, "attention: length of lse");
    let run = |task: Task<'_>| {
        if task.segment.queries.len() == 1 {
            one_query(q, k, v, shape, task);
        } else {
            query_block(q, k, v, shape, task);
        }
    };
    let tasks = tasks(shape, segments, out, lse);
    let worth_threads = if threads::leads_team() { WORTH_A_TEAM } else { WORTH_THREADS };
    if threads::parallelism() == 1 || work(segments, shape) < worth_threads {
        tasks.into_iter().for_each(run);
    } else {
        threads::for_each(tasks, run);
    }
}

/// Cuts `out` and `lse` into the rows of blocks of queries, and clears the rows between segments.
fn tasks<'a>(
    shape: &AttentionShape,
    segments: &'a [Segment],
    mut out: &'a mut [f32],
    mut lse: &'a mut [f32],
) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut row = 0;
    let mut cut = |heads: usize| {
        let out = out.split_off_mut(..heads * shape.head_size).expect("out has a row for each query");
        (out, lse.split_off_mut(..heads).expect("lse has a row for each query"))
    };
    for segment in segments.iter().filter(|s| !s.queries.is_empty()) {
        let (gap_out, gap_lse) = cut((segment.queries.start - row) * shape.heads);
        gap_out.fill(0.0);
        gap_lse.fill(0.0);
        row = segment.queries.start;
        if segment.queries.len() == 1 {
            for first_head in (0..shape.heads).step_by(shape.group()) {
                let (out, lse) = cut(shape.group());
                tasks.push(Task { segment, queries: segment.queries.clone(), first_head, out, lse });
            }
            row += 1;
        }
        while row < segment.queries.end {
            let end = (row + BLOCK).min(segment.queries.end);
            let (out, lse) = cut((end - row) * shape.heads);
            tasks.push(Task { segment, queries: row..end, first_head: 0, out, lse });
            row = end;
        }
    }
    out.fill(0.0);
    lse.fill(0.0);
    tasks
}

/// A block of queries, all heads, by matrix products. Scores lie as `[keys, queries]`: in this order the products read q, k
/// and v where they are, without packing, and the softmax runs over sixteen queries at a time.
fn query_block(q: &[f32], k: &[f32], v: &[f32], shape: &AttentionShape, task: Task<'_>) {
    let Task { segment, queries, out, lse, .. } = task;
    let (d, width) = (shape.head_size, shape.query_width());
    let rows = queries.len();
    let seen = shape.seen(segment, &queries);
    let keys = seen.keys.len();
    let copied = copied_len(segment, shape, keys);
    scratch::with(rows * keys + 2 * copied, |buffer| {
        let (scores, copies) = buffer.split_at_mut(rows * keys);
        let (k_copy, v_copy) = copies.split_at_mut(copied);
        for kv_head in 0..shape.kv_heads {
            let (k, k_step) = head_rows(k, segment, shape, kv_head, seen.keys.clone(), k_copy);
            let (v, v_step) = head_rows(v, segment, shape, kv_head, seen.keys.clone(), v_copy);
            for head in kv_head * shape.group()..(kv_head + 1) * shape.group() {
                let (mut max, mut sum) = ([0.0; BLOCK], [0.0; BLOCK]);
                let (max, sum) = (&mut max[..rows], &mut sum[..rows]);
                let k_q = MatMul {
                    a_strides: (k_step, 1),
                    b_strides: (1, width),
                    alpha: shape.scale,
                    ..MatMul::nn(keys, rows, d)
                };
                matmul_on_this_thread(&k_q, k, &q[queries.start * width + head * d..], scores);
                bias_and_cap(scores, &seen, shape, head);
                exp_columns(scores, &seen, max, sum);
                let p_v = MatMul {
                    a_strides: (1, rows),
                    b_strides: (v_step, 1),
                    c_row_stride: width,
                    ..MatMul::nn(rows, d, keys)
                };
                matmul_on_this_thread(&p_v, scores, v, &mut out[head * d..]);
                for i in 0..rows {
                    lse[i * shape.heads + head] = max[i] + sum[i].ln();
                    scale_here(&mut out[i * width + head * d..][..d], 1.0 / sum[i]);
                }
            }
        }
    });
}

/// A segment of one query: the keys are read where they lie.
fn one_query(q: &[f32], k: &[f32], v: &[f32], shape: &AttentionShape, task: Task<'_>) {
    let (d, width, group) = (shape.head_size, shape.key_width(), shape.group());
    let q = &q[task.queries.start * shape.query_width()..][..shape.query_width()];
    let keys = shape.seen(task.segment, &task.queries).keys;
    let ranges: Vec<Range<usize>> = rows_of_keys(task.segment, keys.clone()).collect();
    scratch::with(keys.len(), |scores| {
        for (head, (out, lse)) in (task.first_head..).zip(task.out.chunks_exact_mut(d).zip(task.lse)) {
            let (q, at) = (&q[head * d..][..d], head / group * d);
            let mut rest = &mut scores[..];
            for range in &ranges {
                let (part, next) = rest.split_at_mut(range.len());
                scores_of(q, &k[range.start * width..range.end * width], width, at, shape.scale, part);
                rest = next;
            }
            if shape.alibi {
                add_alibi_of_one(scores, alibi_slope(head, shape.heads));
            }
            if let Some(cap) = shape.softcap {
                softcap_here(scores, cap);
            }
            *lse = softmax(scores);
            out.fill(0.0);
            let mut rest = &scores[..];
            for range in &ranges {
                let (part, next) = rest.split_at(range.len());
                weighted_sum(part, &v[range.start * width..range.end * width], width, at, out);
                rest = next;
            }
        }
    });
}

vectorised! {
    /// Scores `[keys, queries]` become `e^(score - max)` of their query, 0 for keys that the query does not see. Sums go by
    /// parts of [`BLOCK`] keys.
    fn exp_columns(scores: &mut [f32], seen: &Seen, max: &mut [f32], sum: &mut [f32]) {
        let rows = max.len();
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        for (t, row) in scores.chunks_exact(rows).enumerate() {
            let queries = seen.queries(t, rows);
            for (m, s) in max[queries.clone()].iter_mut().zip(&row[queries]) {
                *m = if *s > *m { *s } else { *m };
            }
        }
        for (part, block) in scores.chunks_mut(BLOCK * rows).enumerate() {
            let mut partial = [0.0; BLOCK];
            for (t, row) in block.chunks_exact_mut(rows).enumerate() {
                let queries = seen.queries(part * BLOCK + t, rows);
                row[..queries.start].fill(0.0);
                row[queries.end..].fill(0.0);
                let terms = max[queries.clone()].iter().zip(&mut partial[queries.clone()]);
                for (s, (m, p)) in row[queries].iter_mut().zip(terms) {
                    *s = exp(*s - m);
                    *p += *s;
                }
            }
            for (s, p) in sum.iter_mut().zip(partial) {
                *s += p;
            }
        }
    }

    /// `scores[t] += slope * (t - last)`, where the last key is the query's own.
    fn add_alibi_of_one(scores: &mut [f32], slope: f32) {
        let last = scores.len() as f32 - 1.0;
        for (t, score) in (0i32..).zip(scores) {
            *score = slope.mul_add(t as f32 - last, *score);
        }
    }

    /// Turns scores into probabilities; returns the logarithm of the sum of `e^score`.
    fn softmax(scores: &mut [f32]) -> f32 {
        let max = simd::max::<V>(scores);
        for x in scores.iter_mut() {
            *x = exp(*x - max);
        }
        let sum = simd::sum::<V>(scores);
        let inv = 1.0 / sum;
        for x in scores {
            *x *= inv;
        }
        max + sum.ln()
    }

    /// `scores[i] = scale * q . keys[i]`, where key `i` starts at element `at` of row `i`; four keys at a time.
    fn scores_of(q: &[f32], keys: &[f32], width: usize, at: usize, scale: f32, scores: &mut [f32]) {
        let key = |i: usize| &keys[i * width + at..][..q.len()];
        let (fours, rest) = scores.as_chunks_mut::<4>();
        let done = 4 * fours.len();
        for (block, scores) in fours.iter_mut().enumerate() {
            let sums = lane_products::<V, 4>(q, std::array::from_fn(|i| key(4 * block + i)));
            *scores = V::sums(sums).map(|sum| scale * sum);
        }
        for (i, score) in rest.iter_mut().enumerate() {
            let [sum] = lane_products::<V, 1>(q, [key(done + i)]);
            *score = scale * sum.sum();
        }
    }

    /// `out += sum of weights[i] * values[i]`, in the order of the values; some columns at a time stay in registers.
    fn weighted_sum(weights: &[f32], values: &[f32], width: usize, at: usize, out: &mut [f32]) {
        const COLUMNS: usize = 4 * LANES;
        let (wide, rest) = out.as_chunks_mut::<COLUMNS>();
        for (block, out) in wide.iter_mut().enumerate() {
            let (out, _) = out.as_chunks_mut::<LANES>();
            let mut acc: [V; 4] = std::array::from_fn(|i| V::load(&out[i]));
            for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
                let (value, _) = value[at + block * COLUMNS..][..COLUMNS].as_chunks::<LANES>();
                for i in 0..4 {
                    acc[i] = V::splat(*weight).mul_add(V::load(&value[i]), acc[i]);
                }
            }
            for i in 0..4 {
                acc[i].store(&mut out[i]);
            }
        }
        let at = at + COLUMNS * wide.len();
        if !rest.is_empty() {
            for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
                for (o, v) in rest.iter_mut().zip(&value[at..]) {
                    *o = weight.mul_add(*v, *o);
                }
            }
        }
    }
}

/// The products of a query with some keys, added up in lanes.
#[inline(always)]
fn lane_products<V: Vector, const KEYS: usize>(q: &[f32], keys: [&[f32]; KEYS]) -> [V; KEYS] {
    let mut acc = [V::splat(0.0); KEYS];
    let (blocks, rest) = q.as_chunks::<LANES>();
    let key_blocks = keys.map(|key| &key.as_chunks::<LANES>().0[..blocks.len()]);
    for (at, q) in blocks.iter().enumerate() {
        let q = V::load(q);
        for i in 0..KEYS {
            acc[i] = q.mul_add(V::load(&key_blocks[i][at]), acc[i]);
        }
    }
    if !rest.is_empty() {
        let q = load_part::<V>(rest, 0.0);
        for i in 0..KEYS {
            acc[i] = q.mul_add(load_part(&keys[i][LANES * blocks.len()..], 0.0), acc[i]);
        }
    }
    acc
}
