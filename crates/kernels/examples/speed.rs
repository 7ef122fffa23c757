//! Speed of the kernels on the shapes of a 135M-parameter llama: `cargo run --release -p luthier-kernels --example speed`.
#![allow(clippy::print_stdout)]
#![allow(clippy::single_range_in_vec_init)] // a list of one range of keys is what is meant

use std::time::Instant;

use luthier_kernels::*;

/// Seconds of the fastest of several runs.
fn fastest(mut f: impl FnMut()) -> f64 {
    f();
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.4 {
        let run = Instant::now();
        f();
        best = best.min(run.elapsed().as_secs_f64());
    }
    best
}

fn product(kind: &str, spec: &MatMul, beta: f32) {
    let (a, b) = (vec![0.5; spec.m * spec.k], vec![0.25; spec.k * spec.n]);
    let mut c = vec![0.0; spec.m * spec.n];
    let spec = spec.beta(beta);
    let seconds = fastest(|| matmul(&spec, &a, &b, &mut c));
    let MatMul { m, n, k, .. } = spec;
    let flops = 2.0 * (m * n * k) as f64 / seconds / 1e9;
    let bytes = 4.0 * (m * k + k * n + m * n) as f64 / seconds / 1e9;
    println!("{kind} m={m:<5} n={n:<5} k={k:<5} {:9.3} ms {flops:8.1} GFLOP/s {bytes:7.1} GB/s", seconds * 1e3);
}

fn rows(what: &str, elements: usize, f: impl FnMut()) {
    let seconds = fastest(f);
    println!("{what:<28} {:9.3} ms {:8.3} ns/element", seconds * 1e3, seconds * 1e9 / elements as f64);
}

fn main() {
    println!("{} threads", threads::parallelism());
    for (m, n, k) in [(1024, 576, 576), (1024, 192, 576), (1024, 1536, 576), (1024, 576, 1536), (1024, 49_152, 576)] {
        product("nt", &MatMul::nt(m, n, k), 0.0);
        product("nn", &MatMul::nn(m, n, k), 0.0);
    }
    for (m, n, k) in [(576, 1536, 1024), (576, 576, 1024), (49_152, 576, 1024)] {
        product("tn", &MatMul::tn(m, n, k), 1.0);
    }
    println!("-- low rank");
    for rank in [8, 16, 64] {
        product("nt", &MatMul::nt(1024, rank, 576), 0.0);
        product("nt", &MatMul::nt(1024, rank, 1536), 0.0);
        product("nt", &MatMul::nt(1024, 576, rank), 1.0);
        product("nn", &MatMul::nn(1024, rank, 576), 0.0);
        product("nn", &MatMul::nn(1024, 576, rank), 1.0);
        product("nn", &MatMul::nn(1024, 1536, rank), 1.0);
        product("tn", &MatMul::tn(rank, 576, 1024), 1.0);
        product("tn", &MatMul::tn(576, rank, 1024), 1.0);
    }
    println!("-- few rows");
    for m in [1, 2, 3, 4, 5, 8, 16] {
        product("nt", &MatMul::nt(m, 576, 576), 0.0);
        product("nt", &MatMul::nt(m, 1536, 576), 0.0);
        product("nt", &MatMul::nt(m, 49_152, 576), 0.0);
    }
    println!("-- rows");
    row_kernels();
    println!("-- attention, 9 heads, 3 key-value heads of 64");
    attention_of(4, 256);
    attention_of(1, 1024);
    attention_of(1, 4096);
}

fn row_kernels() {
    let (n, c, f, v) = (1024, 576, 1536, 49_152);
    let (x, w, mut y, mut inv) = (vec![0.5; n * c], vec![1.0; c], vec![0.0; n * c], vec![0.0; n]);
    let mut dw = vec![0.0; c];
    rows("rms_norm", n * c, || rms_norm(&x, &w, 1e-5, &mut y, &mut inv));
    rows("rms_norm_backward", n * c, || rms_norm_backward(&x, &w, &inv, &x, &mut y, 1.0, None));
    rows("rms_norm_backward with dw", n * c, || rms_norm_backward(&x, &w, &inv, &x, &mut y, 0.0, Some(&mut dw)));
    let angles = vec![0.5; n * 64];
    rows("rope", n * c, || rope(&x, &mut y, 9, 64, &angles, false));
    rows("add", n * c, || add(&x, &x, &mut y));
    rows("dropout", n * c, || dropout(&x, &mut y, 0.1, 1));
    rows("column_sums", n * c, || column_sums(&x, c, &mut dw));
    rows("sum_of_squares", n * c, || assert!(sum_of_squares(&x) > 0.0));
    let (gate, mut h, mut h2) = (vec![0.5; n * f], vec![0.0; n * f], vec![0.0; n * f]);
    rows("swiglu", n * f, || swiglu(&gate, &gate, &mut h));
    rows("swiglu_backward", n * f, || swiglu_backward(&gate, &gate, &gate, &mut h, &mut h2));
    let ids: Vec<u32> = (0..n as u32).map(|i| i * 7 % 4000).collect();
    let mut table = vec![0.0; 4096 * c];
    rows("embed", n * c, || embed(&table, c, &ids, &mut y));
    rows("embed_backward", n * c, || embed_backward(&ids, c, &x, &mut table));
    let (mut logits, mut nll) = (vec![0.5; 256 * v], vec![0.0; 256]);
    rows("cross_entropy", 256 * v, || cross_entropy(&mut logits, v, &ids[..256], &mut nll, None));
    rows("cross_entropy with gradient", 256 * v, || cross_entropy(&mut logits, v, &ids[..256], &mut nll, Some(1.0)));
    let (mut p, mut m, mut s) = (vec![0.5; 1 << 22], vec![0.0; 1 << 22], vec![0.0; 1 << 22]);
    let g = vec![0.1; 1 << 22];
    let h = AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, step: 3, grad_scale: 1.0 };
    rows("adamw", 1 << 22, || adamw(&mut p, &g, &mut m, &mut s, &h));
}

fn attention_of(count: usize, len: usize) {
    let shape = AttentionShape { heads: 9, kv_heads: 3, head_size: 64, scale: 0.125 };
    let n = count * len;
    let segments: Vec<Segment> = (0..count).map(|i| Segment::causal(i * len..(i + 1) * len)).collect();
    let (q, k) = (vec![0.5; n * 576], vec![0.5; n * 192]);
    let (mut out, mut lse, mut dq) = (vec![0.0; n * 576], vec![0.0; n * 9], vec![0.0; n * 576]);
    let (mut dk, mut dv) = (vec![0.0; n * 192], vec![0.0; n * 192]);
    // Products of the visible half: two forward, five backward.
    let flops = (count * len * (len + 1)) as f64 * 576.0;
    let seconds = fastest(|| attention(&q, &k, &k, &shape, &segments, &mut out, &mut lse));
    println!("forward  {count} x {len:<5} {:9.3} ms {:8.1} GFLOP/s", seconds * 1e3, 2.0 * flops / seconds / 1e9);
    let seconds = fastest(|| {
        attention_backward(&q, &k, &k, &out, &lse, &out, &shape, &segments, &mut dq, &mut dk, &mut dv);
    });
    println!("backward {count} x {len:<5} {:9.3} ms {:8.1} GFLOP/s", seconds * 1e3, 5.0 * flops / seconds / 1e9);
    let one = [Segment { queries: 0..1, keys: vec![0..len] }];
    let seconds = fastest(|| attention(&q[..576], &k, &k, &shape, &one, &mut out[..576], &mut lse[..9]));
    println!("decoding 1 x {len:<5} {:9.3} ms", seconds * 1e3);
}
