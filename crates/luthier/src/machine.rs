//! How fast this machine computes, measured with the program's own kernels.

use std::time::{Duration, Instant};

use luthier_engine::{Activation, Device, MatMul, Tensor};

/// Seconds of one product, the mean over about that long.
pub(crate) fn product_seconds(product: &MatMul, measure: Duration) -> f64 {
    let device = Device::cpu();
    let (m, n, k) = (product.m, product.n, product.k);
    let a = Tensor::from_slice(&device, m, k, &vec![0.5; m * k]);
    let b = Tensor::from_slice(&device, n, k, &vec![0.25; n * k]);
    let mut c = Tensor::zeros(&device, m, n);
    mean_seconds(measure, || device.matmul(product, a.view(), b.view(), c.view_mut()))
}

/// Bytes a second that a kernel of rows reads and writes: the gate of an MLP over `[rows, cols]`.
pub(crate) fn row_kernel_rate(rows: usize, cols: usize, measure: Duration) -> f64 {
    let device = Device::cpu();
    let gate = Tensor::from_slice(&device, rows, cols, &vec![0.5; rows * cols]);
    let up = gate.clone();
    let mut out = Tensor::zeros(&device, rows, cols);
    let seconds = mean_seconds(measure, || device.gated(Activation::Silu, gate.view(), up.view(), out.view_mut()));
    (3 * 4 * rows * cols) as f64 / seconds
}

/// Mean seconds of a call. The first touches memory and starts the threads, and is not counted.
fn mean_seconds(measure: Duration, mut once: impl FnMut()) -> f64 {
    once();
    let (start, mut calls) = (Instant::now(), 0);
    while calls == 0 || start.elapsed() < measure {
        once();
        calls += 1;
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}
