//! Attention in double precision, without tricks.

use super::{AttentionShape, Segment, alibi_slope};
use crate::softcap::plain::softcap;

/// As [`attention`](super::attention()): returns `out: [N, H*D]` and `lse: [N, H]`.
#[must_use]
pub fn attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    shape: &AttentionShape,
    segments: &[Segment],
) -> (Vec<f64>, Vec<f64>) {
    let AttentionShape { heads, kv_heads, head_size: d, scale, .. } = *shape;
    let mut out = vec![0.0; q.len()];
    let mut lse = vec![0.0; q.len() / d];
    for segment in segments {
        let keys: Vec<usize> = segment.keys.iter().flat_map(Clone::clone).collect();
        for (j, row) in segment.queries.clone().enumerate() {
            let own = keys.len() - segment.queries.len() + j;
            let seen = (0..=own).filter(|key| shape.window.is_none_or(|window| own - key < window));
            let seen: Vec<(usize, usize)> = seen.map(|key| (keys[key], own - key)).collect();
            for head in 0..heads {
                let kv_head = head / (heads / kv_heads);
                let at = (row * heads + head) * d;
                let element = |key: usize, i: usize| (key * kv_heads + kv_head) * d + i;
                let slope = if shape.alibi { f64::from(alibi_slope(head, heads)) } else { 0.0 };
                let score = |&(key, distance): &(usize, usize)| {
                    let product: f64 = (0..d).map(|i| q[at + i] * k[element(key, i)]).sum();
                    let score = f64::from(scale) * product - slope * distance as f64;
                    shape.softcap.map_or(score, |cap| softcap(score, f64::from(cap)))
                };
                let scores: Vec<f64> = seen.iter().map(score).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                lse[row * heads + head] = max + sum.ln();
                for (&(key, _), s) in seen.iter().zip(&scores) {
                    for i in 0..d {
                        out[at + i] += (s - max).exp() / sum * v[element(key, i)];
                    }
                }
            }
        }
    }
    (out, lse)
}
