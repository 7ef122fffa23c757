//! Matrix products: one entry for all of them. Large products go to the `gemm` crate; products of a few rows with a
//! weight stored `[n, k]`, the ones of decoding, stream the weight once.
//!
//! A product is cut between threads by its output alone, so its bits do not depend on the number of threads. They may
//! depend on `m`: a row multiplied alone and the same row in a batch may differ in the last bits, because the depth `k`
//! is cut at other places. For up to [`FEW_ROWS`] rows the order is one and the same.

use std::marker::PhantomData;
use std::ops::Range;

use gemm::Parallelism;

use crate::few_rows::{self, Weight};
use crate::simd::LANES;
use crate::threads;

pub use crate::few_rows::FEW_ROWS;

/// A product `c[m, n] = alpha * a[m, k] b[k, n] + beta * c`. Strides are in elements: (from row to row, from column to column).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatMul {
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Strides of `a[m, k]`.
    pub a_strides: (usize, usize),
    /// Strides of `b[k, n]`.
    pub b_strides: (usize, usize),
    /// From row to row of `c`, whose columns are adjacent.
    pub c_row_stride: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what `c` holds; with 0 `c` is never read.
    pub beta: f32,
}

impl MatMul {
    /// `a: [m, k], b: [k, n]`.
    #[must_use]
    pub fn nn(m: usize, n: usize, k: usize) -> Self {
        Self { m, n, k, a_strides: (k, 1), b_strides: (n, 1), c_row_stride: n, alpha: 1.0, beta: 0.0 }
    }

    /// `a: [m, k]`, `b` stored `[n, k]`: activations by a weight as checkpoints store it.
    #[must_use]
    pub fn nt(m: usize, n: usize, k: usize) -> Self {
        Self { b_strides: (1, k), ..Self::nn(m, n, k) }
    }

    /// `a` stored `[k, m]`, `b: [k, n]`: the gradient of a weight.
    #[must_use]
    pub fn tn(m: usize, n: usize, k: usize) -> Self {
        Self { a_strides: (1, m), ..Self::nn(m, n, k) }
    }

    /// Keeps `beta` times what `c` holds.
    #[must_use]
    pub fn beta(self, beta: f32) -> Self {
        Self { beta, ..self }
    }

    /// Multiplies the product by `alpha`.
    #[must_use]
    pub fn alpha(self, alpha: f32) -> Self {
        Self { alpha, ..self }
    }

    /// Whether a product through `gemm` is to stay on its thread.
    pub(crate) fn is_small(&self) -> bool {
        self.m.saturating_mul(self.n).saturating_mul(self.k) < WORTH_THREADS
    }

    pub(crate) fn check(&self, a: usize, b: usize, c: usize) {
        let reach = |rows: usize, columns: usize, (row, column): (usize, usize)| {
            if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row + (columns - 1) * column + 1 }
        };
        assert!(self.c_row_stride >= self.n, "matmul: rows of c overlap: {self:?}");
        assert!(reach(self.m, self.k, self.a_strides) <= a, "matmul: a holds {a} elements, too few for {self:?}");
        assert!(reach(self.k, self.n, self.b_strides) <= b, "matmul: b holds {b} elements, too few for {self:?}");
        assert!(
            reach(self.m, self.n, (self.c_row_stride, 1)) <= c,
            "matmul: c holds {c} elements, too few for {self:?}"
        );
    }
}

/// Multiply-adds below which a product through `gemm` stays on its thread: some ten microseconds.
const WORTH_THREADS: usize = 1 << 20;

/// About how many numbers a product with `m` rows of `a` and sums of length `k` packs meanwhile: `gemm` packs one operand in
/// pieces of this depth, of which the cache takes at most so many, on each thread.
#[must_use]
pub fn scratch_len(m: usize, k: usize) -> usize {
    const DEPTH: usize = 512;
    const MOST: usize = 1 << 23;
    (m * k.min(DEPTH)).min(MOST) * threads::parallelism()
}

/// Computes the product on all threads.
pub fn matmul(spec: &MatMul, a: &[f32], b: &[f32], c: &mut [f32]) {
    spec.check(a.len(), b.len(), c.len());
    product(spec, a, b, c, threads::parallelism());
}

/// Computes the product on the calling thread, for use inside a parallel loop.
pub fn matmul_on_this_thread(spec: &MatMul, a: &[f32], b: &[f32], c: &mut [f32]) {
    spec.check(a.len(), b.len(), c.len());
    product(spec, a, b, c, 1);
}

fn product(spec: &MatMul, a: &[f32], b: &[f32], c: &mut [f32], threads: usize) {
    let contiguous = spec.a_strides.1 == 1 && spec.b_strides.0 == 1;
    if contiguous && (1..=FEW_ROWS).contains(&spec.m) && spec.n > 0 && spec.k >= LANES {
        let weight = Weight { codes: bytes_of(b), row_bytes: 4 * spec.b_strides.1, scales: &[], row_scales: 0 };
        few_rows::matmul(spec, a, None, weight, c, threads);
    } else {
        through_gemm(spec, a, b, c, threads);
    }
}

/// The numbers as they lie in memory.
fn bytes_of(numbers: &[f32]) -> &[u8] {
    // SAFETY: every byte of a number is one, and bytes need no alignment.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers))
    }
}

/// A large product through `gemm`, one call for each of its [`Parts`]; a small or narrow one in a single call. `spec` must
/// have passed [`MatMul::check`].
fn through_gemm(spec: &MatMul, a: &[f32], b: &[f32], c: &mut [f32], threads: usize) {
    let Some(parts) = Parts::of(spec) else {
        let parallelism = if threads == 1 || spec.is_small() { Parallelism::None } else { Parallelism::Rayon(threads) };
        // SAFETY: the caller has checked that `c` holds the output, and it is borrowed alone.
        #[allow(unsafe_code)]
        return unsafe { gemm_at(spec, a, b, c.as_mut_ptr(), parallelism) };
    };
    let out = Output::new(c);
    let run = |part: usize| {
        let (rows, columns) = parts.at(part, spec);
        let part = MatMul { m: rows.len(), n: columns.len(), ..*spec };
        let (a, b) = (&a[rows.start * spec.a_strides.0..], &b[columns.start * spec.b_strides.1..]);
        // SAFETY: parts do not overlap, and each is computed once.
        #[allow(unsafe_code)]
        unsafe {
            product_into(&part, a, b, &out, rows.start * spec.c_row_stride + columns.start);
        }
    };
    if threads == 1 {
        (0..parts.count).for_each(run);
    } else {
        threads::for_each((0..parts.count).collect(), run);
    }
}

/// How an output is cut, by its shape alone, so that threads take part after part, each with its own panels in its own cache:
/// faster than `gemm`'s threads, which wait for each other while one of them packs.
#[derive(Clone, Copy)]
struct Parts {
    /// Rows of a part: all of them, or columns are.
    height: usize,
    width: usize,
    count: usize,
}

impl Parts {
    /// Columns of a part: two tiles of registers under AVX-512, four or more under other instruction sets.
    const WIDTH: usize = 96;
    /// Rows of a part of a tall output.
    const HEIGHT: usize = 768;

    fn of(spec: &MatMul) -> Option<Self> {
        let (m, n) = (spec.m, spec.n);
        if spec.is_small() {
            None
        } else if m >= 4 * n && m >= 4 * Self::HEIGHT {
            Some(Self { height: Self::HEIGHT, width: n, count: m.div_ceil(Self::HEIGHT) })
        } else if n >= 2 * Self::WIDTH {
            // A very wide output in wider parts: for each of them `a` is packed again. An even number of equal parts, as
            // long as they are few: two threads or four then have as much to do as each other.
            let about = Self::WIDTH * (n / (64 * Self::WIDTH)).clamp(1, 4);
            let even = 2 * (n / (2 * about));
            let width = n.div_ceil(even).next_multiple_of(16);
            Some(Self { height: m, width, count: n.div_ceil(width) })
        } else {
            None
        }
    }

    fn at(&self, part: usize, spec: &MatMul) -> (Range<usize>, Range<usize>) {
        let cut = |length: usize, step: usize| part * step..((part + 1) * step).min(length);
        if self.width == spec.n { (cut(spec.m, self.height), 0..spec.n) } else { (0..spec.m, cut(spec.n, self.width)) }
    }
}

/// An output `[m, n]` of which several threads write parts, each its own.
pub(crate) struct Output<'a> {
    first: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is that of a slice borrowed alone, and threads write through it by `product_into` and `put_columns`,
// whose callers see to it that no two of them write the same elements.
#[allow(unsafe_code)]
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub(crate) fn new(c: &'a mut [f32]) -> Self {
        Self { first: c.as_mut_ptr(), len: c.len(), borrowed: PhantomData }
    }

    /// `c = alpha * products + beta * c` in some columns; `products: [m, columns]`.
    ///
    /// # Safety
    /// No other thread uses these columns at the same time.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn put_columns(&self, spec: &MatMul, columns: Range<usize>, products: &[f32]) {
        for i in 0..spec.m {
            let row = i * spec.c_row_stride;
            assert!(columns.end <= spec.n && row + columns.end <= self.len, "matmul: columns {columns:?} of row {i}");
            // SAFETY: the columns of the row lie inside the output; that nobody else uses them is the caller's promise.
            let c = unsafe { std::slice::from_raw_parts_mut(self.first.add(row + columns.start), columns.len()) };
            for (c, product) in c.iter_mut().zip(&products[i * columns.len()..]) {
                let product = spec.alpha * product;
                *c = if spec.beta == 0.0 { product } else { spec.beta * *c + product };
            }
        }
    }
}

/// The product of `spec` on the calling thread, into the part of `c` that begins at element `first`.
///
/// # Safety
/// No other thread uses this part at the same time.
#[allow(unsafe_code)]
pub(crate) unsafe fn product_into(spec: &MatMul, a: &[f32], b: &[f32], c: &Output<'_>, first: usize) {
    assert!(first <= c.len, "matmul: element {first} of an output of {}", c.len);
    spec.check(a.len(), b.len(), c.len - first);
    // SAFETY: `check` has found the output inside `c` behind `first`; that nobody else uses it is the caller's promise.
    unsafe { gemm_at(spec, a, b, c.first.add(first), Parallelism::None) }
}

/// # Safety
/// `spec` has passed [`MatMul::check`] with `a`, `b` and an output at `c` that nobody else uses.
#[allow(unsafe_code)]
unsafe fn gemm_at(spec: &MatMul, a: &[f32], b: &[f32], c: *mut f32, parallelism: Parallelism) {
    let stride = |elements: usize| elements as isize;
    // SAFETY: every element that the sizes and strides reach lies inside `a`, `b` and the output, whose rows do not
    // overlap: the caller has checked it.
    unsafe {
        gemm::gemm::<f32>(
            spec.m,
            spec.n,
            spec.k,
            c,
            1,
            stride(spec.c_row_stride),
            spec.beta != 0.0,
            a.as_ptr(),
            stride(spec.a_strides.1),
            stride(spec.a_strides.0),
            b.as_ptr(),
            stride(spec.b_strides.1),
            stride(spec.b_strides.0),
            spec.beta,
            spec.alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    use super::MatMul;

    /// `alpha * a b + beta * c`, as `[m, n]` without gaps between the rows.
    #[must_use]
    pub fn matmul(spec: &MatMul, a: &[f64], b: &[f64], c: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(spec.m * spec.n);
        for i in 0..spec.m {
            for j in 0..spec.n {
                let mut sum = 0.0;
                for p in 0..spec.k {
                    sum +=
                        a[i * spec.a_strides.0 + p * spec.a_strides.1] * b[p * spec.b_strides.0 + j * spec.b_strides.1];
                }
                let kept = if spec.beta == 0.0 { 0.0 } else { f64::from(spec.beta) * c[i * spec.c_row_stride + j] };
                out.push(f64::from(spec.alpha) * sum + kept);
            }
        }
        out
    }
}
