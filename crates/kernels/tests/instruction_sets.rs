//! The same bits under AVX-512, AVX2 and the baseline. The choice is made once per process, so the test runs itself again.
#![allow(clippy::print_stdout)]

mod support;

use std::process::Command;

use luthier_kernels::*;
use support::{Random, bits};

/// Marks the process that prints its numbers for the other to compare.
const CHILD: &str = "LUTHIER_TEST_CHILD";

/// Results of every kernel that does not go through the gemm crate, folded into one number.
fn fingerprint() -> u64 {
    let (n, c) = (37, 131);
    let mut random = Random::new(1);
    let (x, y, w) = (random.vec(n * c), random.vec(n * c), random.vec(c));
    let mut results = vec![];
    let mut out = vec![0.0; n * c];
    let mut inv = vec![0.0; n];
    let mut columns = vec![0.0; c];

    rms_norm(&x, &w, 1e-5, &mut out, &mut inv);
    results.extend([bits(&out), bits(&inv)]);
    rms_norm_backward(&x, &w, &inv, &y, &mut out, 0.0, Some(&mut columns));
    results.extend([bits(&out), bits(&columns)]);
    swiglu(&x, &y, &mut out);
    results.push(bits(&out));
    dropout(&x, &mut out, 0.4, 8);
    results.push(bits(&out));
    log_softmax(&x, c, &mut out);
    results.push(bits(&out));
    axpy(0.3, &x, &mut out);
    column_sums(&out, c, &mut columns);
    results.extend([bits(&out), bits(&columns)]);
    for rows in [1, 2, 5] {
        let mut products = vec![0.0; rows * n];
        matmul(&MatMul::nt(rows, n, c), &y[..rows * c], &x, &mut products);
        results.push(bits(&products));
    }
    for packing in [Packing::Bf16, Packing::Int8, Packing::Nf4] {
        let (codes, scales) = packed::pack(packing, n, c, &x);
        let view = PackedView::new(packing, n, c, &codes, &scales);
        let mut unpacked = vec![0.0; n * c];
        packed::unpack_rows(&view, 0..n, &mut unpacked);
        results.push(bits(&unpacked));
        for rows in [1, 2, 5] {
            let mut products = vec![0.0; rows * n];
            packed::matmul(&MatMul::nt(rows, n, c), &y[..rows * c], &view, &mut products);
            results.push(bits(&products));
        }
    }
    let (mut weights, (mut m, mut v)) = (x.clone(), (vec![0.0; 19 * 64], vec![0.0; 19 * 64]));
    let h = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 2, grad_scale: 0.9 };
    let (mut m_scales, mut v_scales) = ([0.0; 19], [0.0; 19]);
    for g in [&y, &x, &y] {
        adamw_8bit(&mut weights, g, [&mut m, &mut v], [&mut m_scales, &mut v_scales], &h);
        results.extend([bits(&weights), bits(&m), bits(&v), bits(&m_scales), bits(&v_scales)]);
    }
    let shape = AttentionShape { heads: 1, kv_heads: 1, head_size: c, scale: 0.1 };
    let keys = Segment { queries: 0..1, keys: std::iter::once(0..n).collect() };
    let (mut attended, mut lse) = (vec![0.0; c], [0.0]);
    attention(&w, &x, &y, &shape, &[keys], &mut attended, &mut lse);
    results.extend([bits(&attended), bits(&lse)]);
    let all = results.concat().into_iter().map(u64::from).chain([sum_of_squares(&x).to_bits()]);
    all.fold(0, |hash: u64, b| (hash ^ b).wrapping_mul(0x0100_0000_01b3).rotate_left(23))
}

#[test]
fn kernels_have_the_same_bits_under_every_instruction_set() {
    let here = format!("fingerprint {:016x}", fingerprint());
    if std::env::var_os(CHILD).is_some() {
        println!("{here}");
        return;
    }
    for level in ["", "avx2", "baseline"] {
        let child = Command::new(std::env::current_exe().expect("the path of this test"))
            .args(["--exact", "kernels_have_the_same_bits_under_every_instruction_set", "--nocapture"])
            .env(CHILD, "1")
            .env("LUTHIER_SIMD", level)
            .output()
            .expect("this test runs again");
        let printed = String::from_utf8_lossy(&child.stdout);
        assert!(printed.contains(&here), "under {level:?}: expected {here}, got {printed}");
    }
}
