//! Products with a packed weight: panels of it are unpacked into the cache and handed to the `gemm` crate.
//!
//! Threads own whole panels, and a panel has all the depth of its part of the output, so that every element has one owner
//! and one order. How the weight is cut hangs on the shapes alone.

use std::ops::Range;

use super::PackedView;
use super::codec::BLOCK;
use super::unpack::unpack_part;
use crate::few_rows::{self, FEW_ROWS};
use crate::matmul::{MatMul, Output, product_into};
use crate::{scratch, threads};

/// Depth of a panel at most.
const DEPTH: usize = 512;

/// Elements of a panel: half a megabyte, which a second-level cache holds beside what `gemm` puts there.
const PANEL: usize = 1 << 17;

/// Elements between the rows of a panel: rows a power of two apart would fall into the same few places of the cache.
const GAP: usize = 16;

/// How the output of a product lies to the weight.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// `y = x W^T`: columns of the output are rows of the weight.
    Nt,
    /// `dx = dy W`: columns of the output are columns of the weight.
    Nn,
}

/// `c = alpha * a b + beta * c` with `b` packed, on all threads. The strides of `b` in `spec` say which product it is:
/// those of [`MatMul::nt`] (`x W^T`) or of [`MatMul::nn`] (`dy W`).
///
/// # Panics
/// With other strides of `b`, and where lengths do not fit.
pub fn matmul(spec: &MatMul, a: &[f32], b: &PackedView<'_>, c: &mut [f32]) {
    let kind = kind(spec, b);
    spec.check(a.len(), b.rows * b.cols, c.len());
    if kind == Kind::Nt && spec.a_strides.1 == 1 && (1..=FEW_ROWS).contains(&spec.m) {
        return few_rows::matmul(spec, a, Some(b.packing), b.few_rows(), c, threads::parallelism());
    }
    let (height, width) = panel(spec);
    let panels = spec.n.div_ceil(width.max(1));
    let out = Output::new(c);
    let run = |i: usize| panel_product(kind, spec, a, b, i * width..((i + 1) * width).min(spec.n), height, &out);
    if spec.is_small() || threads::parallelism() == 1 {
        (0..panels).for_each(run);
    } else {
        threads::for_each((0..panels).collect(), run);
    }
}

fn kind(spec: &MatMul, b: &PackedView<'_>) -> Kind {
    let fits = |rows, cols| (b.rows, b.cols) == (rows, cols);
    match spec.b_strides {
        (1, stride) if stride == b.cols && fits(spec.n, spec.k) => Kind::Nt,
        (stride, 1) if stride == b.cols && fits(spec.k, spec.n) => Kind::Nn,
        _ => panic!("matmul: a packed weight [{}, {}] is not the b of {spec:?}", b.rows, b.cols),
    }
}

/// Depth and width of a panel. Columns of the output are cut into an even number of panels, so that two threads, or four,
/// have as much to do as each other.
fn panel(spec: &MatMul) -> (usize, usize) {
    let depth = DEPTH.min(spec.k.next_multiple_of(BLOCK));
    let first = (spec.n * depth).div_ceil(PANEL).max(2).next_multiple_of(2);
    let width = |parts: usize| spec.n.div_ceil(parts).next_multiple_of(BLOCK);
    let even = |parts: &usize| spec.n.div_ceil(width(*parts).max(1)).is_multiple_of(2);
    let parts = (first..first + 8).step_by(2).find(even).unwrap_or(first);
    (depth, width(parts))
}

/// The columns `n` of the output.
fn panel_product(
    kind: Kind,
    spec: &MatMul,
    a: &[f32],
    b: &PackedView<'_>,
    n: Range<usize>,
    depth: usize,
    out: &Output<'_>,
) {
    let width = n.len();
    let (lines, longest) = if kind == Kind::Nt { (width, depth) } else { (depth, width) };
    scratch::with(lines * (longest + GAP), |panel| {
        // Once even for no depth at all: the output is scaled by beta.
        for start in (0..spec.k.max(1)).step_by(depth.max(1)) {
            let k = start..(start + depth).min(spec.k);
            let b_strides = match kind {
                Kind::Nt => {
                    unpack_part(b, n.clone(), k.clone(), panel, k.len() + GAP);
                    (1, k.len() + GAP)
                }
                Kind::Nn => {
                    unpack_part(b, k.clone(), n.clone(), panel, width + GAP);
                    (width + GAP, 1)
                }
            };
            let beta = if start == 0 { spec.beta } else { 1.0 };
            let part = MatMul { n: width, k: k.len(), b_strides, beta, ..*spec };
            let a = &a[(start * spec.a_strides.1).min(a.len())..];
            // SAFETY: panels are parts of the columns that do not overlap, and each is called for once.
            #[allow(unsafe_code)]
            unsafe {
                product_into(&part, a, panel, out, n.start);
            }
        }
    });
}
