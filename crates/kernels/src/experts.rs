//! Sparse mixtures of experts (arXiv 1701.06538; as in Mixtral, arXiv 2401.04088): a router picks for every row the `k` most
//! probable of E experts, and the row's result is the sum of their outputs, each times its weight.
//!
//! With `p = softmax(logits)` and `e_s` the expert of slot `s`: `w_s = p[e_s]`, or `p[e_s] / sum_t p[e_t]` when
//! renormalised. The choice itself has no gradient. With `m = sum_s dw_s w_s`: renormalised, `dlogits[e_s] = w_s (dw_s - m)`
//! and 0 elsewhere, for that is a softmax over the chosen alone; otherwise `dlogits[j] = p[j] ([j = e_s] dw_s - m)`.

use crate::elementwise::{axpy_here, inner, scaled_here};
use crate::exp::exp;
use crate::scratch;
use crate::simd::{self, vectorised};
use crate::threads::{self, row_chunk, rows_of};

/// How experts are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    /// E, of which a row may choose.
    pub experts: usize,
    /// How many a row chooses: its slots.
    pub k: usize,
    /// Whether the weights of a row are divided by their sum.
    pub renormalise: bool,
}

/// Where the output of a row in a slot is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which of the parts.
    pub part: u32,
    /// The row of that part.
    pub row: u32,
}

impl Router {
    /// Checks sizes; the number of rows.
    fn check(&self, what: &str, logits: usize, weights: usize) -> usize {
        let &Self { experts, k, .. } = self;
        assert!(k > 0 && k <= experts, "{what}: {self:?}");
        assert!(logits.is_multiple_of(experts), "{what}: {logits} logits for {experts} experts");
        assert_eq!(weights, logits / experts * k, "{what}: weights of {} rows with {k} slots", logits / experts);
        logits / experts
    }
}

/// `logits: [N, E] -> weights: [N, k]`, and the experts of the slots, `chosen: [N, k]`, the most probable first; among equals
/// the lower number comes first.
pub fn route(router: &Router, logits: &[f32], weights: &mut [f32], chosen: &mut [u32]) {
    let n = router.check("route", logits.len(), weights.len());
    assert_eq!(chosen.len(), weights.len(), "route: length of chosen");
    let &Router { experts, k, renormalise } = router;
    let out = (rows_of(weights, k), rows_of(chosen, k));
    threads::rows(n, row_chunk(4 * experts), out, |r, (weights, chosen)| {
        scratch::with(experts, |p| {
            let rows = weights.data.chunks_exact_mut(k).zip(chosen.data.chunks_exact_mut(k));
            for (row, (weights, chosen)) in r.zip(rows) {
                softmax(&logits[row * experts..][..experts], p);
                greatest(p, weights, chosen);
                if renormalise {
                    let sum: f32 = weights.iter().sum();
                    weights.iter_mut().for_each(|w| *w /= sum);
                }
            }
        });
    });
}

/// The gradient of [`route`] (overwritten): `dlogits: [N, E]` from `dweights: [N, k]`.
pub fn route_backward(
    router: &Router,
    logits: &[f32],
    weights: &[f32],
    chosen: &[u32],
    dweights: &[f32],
    dlogits: &mut [f32],
) {
    let n = router.check("route_backward", logits.len(), weights.len());
    let same = [chosen.len(), dweights.len()];
    assert!(same.iter().all(|&len| len == weights.len()), "route_backward: lengths of chosen, dweights {same:?}");
    assert_eq!(dlogits.len(), logits.len(), "route_backward: length of dlogits");
    let &Router { experts, k, renormalise } = router;
    threads::rows(n, row_chunk(4 * experts), rows_of(dlogits, experts), |r, dlogits| {
        for (row, d) in r.zip(dlogits.data.chunks_exact_mut(experts)) {
            let slots = row * k..(row + 1) * k;
            let (w, dw) = (&weights[slots.clone()], &dweights[slots.clone()]);
            let mean: f32 = w.iter().zip(dw).map(|(w, dw)| w * dw).sum();
            if renormalise {
                d.fill(0.0);
            } else {
                softmax(&logits[row * experts..][..experts], d);
                d.iter_mut().for_each(|d| *d *= -mean);
            }
            for (&expert, (w, dw)) in chosen[slots].iter().zip(w.iter().zip(dw)) {
                d[expert as usize] = w * (dw - mean);
            }
        }
    });
}

/// The `k` greatest of `p` with their places, the greatest first, the first one among equals. What is not a number is passed
/// over as long as there is something else.
fn greatest(p: &[f32], values: &mut [f32], places: &mut [u32]) {
    for (slot, value) in values.iter_mut().enumerate() {
        let (taken, free) = places.split_at_mut(slot);
        let left = (0..p.len()).filter(|&i| !taken.contains(&(i as u32)));
        let greater = |i: usize, best: usize| p[i] > p[best] || (p[best].is_nan() && !p[i].is_nan());
        let best = left.reduce(|best, i| if greater(i, best) { i } else { best });
        let best = best.expect("a row does not choose more experts than there are");
        (*value, free[0]) = (p[best], best as u32);
    }
}

/// `out[row] = sum over its slots of weight * output`, in the order of the slots.
///
/// `parts`: the outputs of experts, `[rows, C]` each; `sources: [N, k]` says where those of a row lie; `weights: [N, k]`;
/// `out: [N, C]`.
pub fn mix(parts: &[&[f32]], c: usize, sources: &[Source], weights: &[f32], out: &mut [f32]) {
    let (n, k) = check_mix("mix", parts, c, sources, weights.len(), out.len());
    threads::rows(n, row_chunk(k * c), rows_of(out, c), |r, out| {
        for (row, out) in r.zip(out.data.chunks_exact_mut(c)) {
            for slot in 0..k {
                let y = output(parts, c, sources[row * k + slot]);
                let weight = weights[row * k + slot];
                if slot == 0 {
                    scaled_here(y, weight, out);
                } else {
                    axpy_here(weight, y, out);
                }
            }
        }
    });
}

/// The gradient of [`mix`] with respect to the weights (overwritten): `dweights[row, slot] = dout[row] . output`.
pub fn mix_backward_weights(parts: &[&[f32]], c: usize, sources: &[Source], dout: &[f32], dweights: &mut [f32]) {
    let (n, k) = check_mix("mix_backward_weights", parts, c, sources, dweights.len(), dout.len());
    threads::rows(n, row_chunk(k * c), rows_of(dweights, k), |r, dweights| {
        for (row, dweights) in r.zip(dweights.data.chunks_exact_mut(k)) {
            for (slot, dweight) in dweights.iter_mut().enumerate() {
                *dweight = inner(&dout[row * c..][..c], output(parts, c, sources[row * k + slot]));
            }
        }
    });
}

/// The gradient of [`mix`] with respect to one part (overwritten): `dpart[i] = weights[places[i]] * dout[places[i] / k]`,
/// where `places[i]`, `row * k + slot`, is where row `i` of the part goes.
pub fn mix_backward_part(dout: &[f32], c: usize, weights: &[f32], places: &[u32], k: usize, dpart: &mut [f32]) {
    assert!(c > 0 && k > 0 && dout.len() * k == weights.len() * c, "mix_backward_part: {k} slots, rows of {c}");
    assert_eq!(dpart.len(), places.len() * c, "mix_backward_part: elements for {} rows of {c}", places.len());
    threads::rows(places.len(), row_chunk(c), rows_of(dpart, c), |r, dpart| {
        for (&place, dpart) in places[r].iter().zip(dpart.data.chunks_exact_mut(c)) {
            let place = place as usize;
            scaled_here(&dout[place / k * c..][..c], weights[place], dpart);
        }
    });
}

fn output<'a>(parts: &[&'a [f32]], c: usize, source: Source) -> &'a [f32] {
    &parts[source.part as usize][source.row as usize * c..][..c]
}

/// Checks sizes and sources; the numbers of rows and of slots.
fn check_mix(what: &str, parts: &[&[f32]], c: usize, sources: &[Source], weights: usize, out: usize) -> (usize, usize) {
    assert!(c > 0 && out.is_multiple_of(c), "{what}: {out} elements do not make rows of {c}");
    let n = out / c;
    assert!(sources.len() == weights && sources.len().is_multiple_of(n.max(1)), "{what}: slots of {n} rows");
    let rows = |source: &Source| parts.get(source.part as usize).map_or(0, |part| part.len() / c);
    if let Some(source) = sources.iter().find(|source| source.row as usize >= rows(source)) {
        panic!("{what}: {source:?} of {} parts, that one with {} rows", parts.len(), rows(source));
    }
    let k = sources.len() / n.max(1);
    assert!(k > 0 || n == 0, "{what}: {n} rows without slots");
    (n, k)
}

vectorised! {
    /// `p = softmax(x)` of one row.
    fn softmax(x: &[f32], p: &mut [f32]) {
        let max = simd::max::<V>(x);
        for (p, x) in p.iter_mut().zip(x) {
            *p = exp(*x - max);
        }
        let sum = simd::sum::<V>(p);
        for p in p {
            *p /= sum;
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    use super::Router;

    /// As [`route`](super::route()): the weights and the experts.
    #[must_use]
    pub fn route(router: &Router, logits: &[f64]) -> (Vec<f64>, Vec<u32>) {
        let (mut weights, mut chosen) = (Vec::new(), Vec::new());
        for row in logits.chunks_exact(router.experts) {
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            let mut order: Vec<usize> = (0..router.experts).collect();
            // A stable sort: equals keep their order.
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order.truncate(router.k);
            let p: Vec<f64> = order.iter().map(|&e| row[e].exp() / total).collect();
            let sum = if router.renormalise { p.iter().sum() } else { 1.0 };
            weights.extend(p.iter().map(|p| p / sum));
            chosen.extend(order.iter().map(|&e| e as u32));
        }
        (weights, chosen)
    }

    /// As [`mix`](super::mix()), for outputs `[N, k, C]` that lie in the order of rows and slots.
    #[must_use]
    pub fn mix(outputs: &[f64], c: usize, weights: &[f64], k: usize) -> Vec<f64> {
        let mut out = vec![0.0; weights.len() / k * c];
        for (place, weight) in weights.iter().enumerate() {
            for i in 0..c {
                out[place / k * c + i] += weight * outputs[place * c + i];
            }
        }
        out
    }
}
