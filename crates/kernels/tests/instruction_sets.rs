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
    let mut columns = vec![0.0; c];

    for kind in [NormKind::Rms, NormKind::RmsPlusOne, NormKind::Layer] {
        let mut statistics = vec![0.0; n * kind.statistics()];
        norm(kind, &x, &w, None, 1e-5, &mut out, &mut statistics);
        results.extend([bits(&out), bits(&statistics)]);
        norm_backward(kind, &x, &w, &statistics, &y, &mut out, 0.0, Some(&mut columns));
        results.extend([bits(&out), bits(&columns)]);
    }
    let wide: Vec<f32> = x.iter().map(|x| 6.0 * x).collect();
    for activation in
        [Activation::Silu, Activation::GeluTanh, Activation::Gelu, Activation::Relu, Activation::QuickGelu]
    {
        let mut up = vec![0.0; n * c];
        gated(activation, &wide, &y, &mut out);
        results.push(bits(&out));
        gated_backward(activation, &wide, &y, &x, &mut out, &mut up);
        results.extend([bits(&out), bits(&up)]);
    }
    let mut capped = wide.clone();
    softcap(&mut capped, 2.0);
    results.push(bits(&capped));
    let router = Router { experts: c, k: 3, renormalise: false };
    let (mut weights, mut chosen) = (vec![0.0; 3 * n], vec![0; 3 * n]);
    route(&router, &wide, &mut weights, &mut chosen);
    route_backward(&router, &wide, &weights, &chosen, &y[..3 * n], &mut out);
    results.extend([bits(&weights), chosen.clone(), bits(&out)]);
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
    let plain = AttentionShape { scale: 0.1, ..AttentionShape::new(1, 1, c) };
    let keys = [Segment { queries: 0..1, keys: std::iter::once(0..n).collect() }];
    for shape in [plain, AttentionShape { window: Some(20), softcap: Some(1.5), alibi: true, ..plain }] {
        let (mut attended, mut lse) = (vec![0.0; c], [0.0]);
        attention(&w, &x, &y, &shape, &keys, &mut attended, &mut lse);
        results.extend([bits(&attended), bits(&lse)]);
    }
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
