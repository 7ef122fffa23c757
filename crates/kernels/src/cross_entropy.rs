//! Softmax over the vocabulary: negative log-likelihood with its gradient, and log-probabilities.

use crate::exp::exp;
use crate::scratch;
use crate::simd::{self, Vector, vectorised};
use crate::softcap::{softcap_here, times_slope};
use crate::threads::{self, row_chunk, rows_of};

/// Elements summed in single precision before the sum moves to double.
const BLOCK: usize = 512;

/// `logits: [n, V], labels: [n] -> nll: [n]`, `nll = ln(sum of e^logits) - logits[label]`.
///
/// With `cap = Some(c)` the logits are first capped, see [`softcap`](crate::softcap()). With `grad_scale = Some(s)` the logits
/// become the gradient of what was given, `s * (softmax - onehot)` times the slope of the cap; with `None` they stay as they
/// are, or as they were capped.
pub fn cross_entropy(
    logits: &mut [f32],
    v: usize,
    labels: &[u32],
    nll: &mut [f32],
    grad_scale: Option<f32>,
    cap: Option<f32>,
) {
    let n = labels.len();
    assert!(v > 0 && logits.len() == n * v, "cross_entropy: {} logits for {n} rows of {v}", logits.len());
    assert_eq!(nll.len(), n, "cross_entropy: length of nll");
    assert!(cap.is_none_or(|cap| cap > 0.0), "cross_entropy: a cap of {cap:?}");
    if let Some(label) = labels.iter().find(|&&label| label as usize >= v) {
        panic!("cross_entropy: label {label} of a vocabulary of {v}");
    }
    threads::rows(n, row_chunk(4 * v), (rows_of(logits, v), rows_of(nll, 1)), |r, (logits, nll)| {
        for ((row, &label), nll) in logits.data.chunks_exact_mut(v).zip(&labels[r]).zip(nll.data) {
            let label = label as usize;
            if let Some(cap) = cap {
                softcap_here(row, cap);
            }
            *nll = match (grad_scale, cap) {
                (None, _) => {
                    let max = max_of(row);
                    (f64::from(max) + sum_exp(row, max).ln() - f64::from(row[label])) as f32
                }
                (Some(s), None) => to_gradient(row, label, s),
                (Some(s), Some(cap)) => scratch::with(v, |capped| {
                    capped.copy_from_slice(row);
                    let nll = to_gradient(row, label, s);
                    times_slope(row, capped, cap);
                    nll
                }),
            };
        }
    });
}

/// Turns a row into its gradient; returns its loss.
fn to_gradient(row: &mut [f32], label: usize, s: f32) -> f32 {
    let (max, at_label) = (max_of(row), f64::from(row[label]));
    let sum = exp_in_place(row, max);
    crate::elementwise::scale_here(row, (f64::from(s) / sum) as f32);
    row[label] -= s;
    (f64::from(max) + sum.ln() - at_label) as f32
}

/// `out = logits - ln(sum of e^logits)` on every row of `v`.
pub fn log_softmax(logits: &[f32], v: usize, out: &mut [f32]) {
    assert!(v > 0 && logits.len().is_multiple_of(v), "log_softmax: {} logits, rows of {v}", logits.len());
    assert_eq!(logits.len(), out.len(), "log_softmax: lengths");
    threads::rows(logits.len() / v, row_chunk(4 * v), rows_of(out, v), |r, out| {
        for (row, out) in logits[r.start * v..r.end * v].chunks_exact(v).zip(out.data.chunks_exact_mut(v)) {
            let max = max_of(row);
            subtract(row, max, sum_exp(row, max).ln() as f32, out);
        }
    });
}

/// The place of the greatest element, the first one among equals, as `torch.argmax` on a CPU; 0 where nothing is greater
/// than minus infinity.
#[must_use]
pub fn argmax(row: &[f32]) -> usize {
    let max = max_of(row);
    row.iter().position(|x| *x == max).unwrap_or(0)
}

/// `ln(sum(e^x))` of one row, shifted by the greatest element, on the calling thread; minus infinity for a row of nothing
/// else, and not finite when an element is not a number or plus infinity.
#[must_use]
pub fn log_sum_exp(row: &[f32]) -> f64 {
    let max = max_of(row);
    if max == f32::NEG_INFINITY {
        // The maximum passes over what is not a number.
        return if row.iter().any(|x| x.is_nan()) { f64::NAN } else { f64::NEG_INFINITY };
    }
    f64::from(max) + sum_exp(row, max).ln()
}

/// The greatest element; minus infinity for none, and what is not a number is passed over.
#[must_use]
pub fn greatest(row: &[f32]) -> f32 {
    max_of(row)
}

/// `out = row - total`, formed in double precision: the log-probabilities of a row of logits whose log-sum-exp is `total`.
pub fn minus_total(row: &[f32], total: f64, out: &mut [f32]) {
    assert_eq!(row.len(), out.len(), "minus_total: lengths");
    subtract_total(row, total, out);
}

/// Sum of `e^(x - max)` over a block, the terms left in `terms`.
#[inline(always)]
fn sum_exp_block<V: Vector>(block: &[f32], max: f32, terms: &mut [f32]) -> f32 {
    for (t, x) in terms.iter_mut().zip(block) {
        *t = exp(*x - max);
    }
    simd::sum::<V>(terms)
}

vectorised! {
    fn max_of(row: &[f32]) -> f32 {
        simd::max::<V>(row)
    }

    fn sum_exp(row: &[f32], max: f32) -> f64 {
        let mut total = 0.0;
        let mut terms = [0.0; BLOCK];
        for block in row.chunks(BLOCK) {
            total += f64::from(sum_exp_block::<V>(block, max, &mut terms[..block.len()]));
        }
        total
    }

    fn exp_in_place(row: &mut [f32], max: f32) -> f64 {
        let mut total = 0.0;
        for block in row.chunks_mut(BLOCK) {
            for x in block.iter_mut() {
                *x = exp(*x - max);
            }
            total += f64::from(simd::sum::<V>(block));
        }
        total
    }

    fn subtract_total(row: &[f32], total: f64, out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(row) {
            *o = (f64::from(*x) - total) as f32;
        }
    }

    fn subtract(row: &[f32], max: f32, log_sum: f32, out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(row) {
            *o = (x - max) - log_sum;
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    /// `logits: [n, v] -> [n, v]`.
    #[must_use]
    pub fn log_softmax(logits: &[f64], v: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(logits.len());
        for row in logits.chunks_exact(v) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
            out.extend(row.iter().map(|x| x - max - log_sum));
        }
        out
    }
}
