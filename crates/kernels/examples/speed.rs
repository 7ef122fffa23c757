//! Speed of the kernels: `cargo run --release -p luthier-kernels --example speed [PART...]`.
//!
//! Parts: `memory`, `products`, `packed`, `few`, `rows`, `attention`; all of them when none is named. Each number is that of
//! the fastest of several runs.
#![allow(clippy::print_stdout)]
#![allow(clippy::single_range_in_vec_init)] // a list of one range of keys is what is meant

use std::hint::black_box;
use std::time::Instant;

use luthier_kernels::*;
use rayon::prelude::*;

/// Weights `[out, in]` of Qwen2.5-0.5B: gate and up, down, q and o, k and v.
const QWEN: [(usize, usize); 4] = [(4864, 896), (896, 4864), (896, 896), (128, 896)];

/// Its head and table.
const QWEN_HEAD: (usize, usize) = (151_936, 896);

/// Weights that decoding reads: those of a 135M body, its head, and one of Qwen2.5-0.5B.
const DECODE: [(usize, usize); 4] = [(576, 576), (1536, 576), (4864, 896), (151_936, 576)];

const PACKINGS: [Packing; 3] = [Packing::Bf16, Packing::Int8, Packing::Nf4];

/// Seconds of the fastest of several runs.
fn fastest(mut f: impl FnMut()) -> f64 {
    f();
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.3 {
        let run = Instant::now();
        f();
        best = best.min(run.elapsed().as_secs_f64());
    }
    best
}

/// Seconds of one call, where a call is too short for the clock: many at a time.
fn fastest_of_short(calls: usize, mut f: impl FnMut()) -> f64 {
    fastest(|| (0..calls).for_each(|_| f())) / calls as f64
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    println!("{} threads, {}", threads::parallelism(), instruction_set());
    let parts: [(&str, fn()); 5] = [
        ("products", products),
        ("packed", packed_products),
        ("few", few_rows),
        ("rows", row_kernels),
        ("attention", attentions),
    ];
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    if is_asked("memory") {
        println!("-- memory");
        memory();
    }
    for (name, part) in parts {
        if is_asked(name) {
            println!("-- {name}");
            threads::inside(part);
        }
    }
}

fn memory() {
    let gigabytes = read_bandwidth();
    println!("reading 512 MiB on all threads {gigabytes:8.1} GB/s");
    let (a, b, mut c) = (numbers(576), numbers(576 * 576), vec![0.0; 576]);
    let mut product = || fastest_of_short(100, || matmul(&MatMul::nt(1, 576, 576), &a, &b, &mut c));
    println!("a product of 1x576x576 from the cache, called from outside the pool {:8.2} us", product() * 1e6);
    println!("the same called from inside the pool {:8.2} us", threads::inside(product) * 1e6);
}

/// Bytes a second, in units of 10^9, that all threads together read from memory.
fn read_bandwidth() -> f64 {
    let data = vec![1u64; 1 << 26];
    let seconds = fastest(|| {
        let sum = |part: &[u64]| {
            let mut sums = [0u64; 16];
            for block in part.as_chunks::<16>().0 {
                for (s, x) in sums.iter_mut().zip(block) {
                    *s = s.wrapping_add(*x);
                }
            }
            sums.iter().fold(0, |a: u64, b| a.wrapping_add(*b))
        };
        let part = data.len().div_ceil(8 * threads::parallelism());
        black_box(data.par_chunks(part).map(sum).reduce(|| 0, u64::wrapping_add));
    });
    8.0 * data.len() as f64 / seconds / 1e9
}

/// One line; returns the seconds.
fn product(kind: &str, spec: &MatMul) -> f64 {
    let (a, b) = (vec![0.5; spec.m * spec.k], vec![0.25; spec.k * spec.n]);
    let mut c = vec![0.0; spec.m * spec.n];
    let seconds = fastest(|| matmul(spec, &a, &b, &mut c));
    line(kind, spec, seconds, "");
    seconds
}

fn line(kind: &str, spec: &MatMul, seconds: f64, end: &str) {
    let MatMul { m, n, k, .. } = *spec;
    let rate = 2.0 * (m * n * k) as f64 / seconds / 1e9;
    println!("{kind:<8} m={m:<6} n={n:<6} k={k:<6} {:9.3} ms {rate:8.1} GFLOP/s{end}", seconds * 1e3);
}

fn products() {
    product("square", &MatMul::nn(2048, 2048, 2048));
    for m in [256, 512] {
        for (outs, ins) in QWEN {
            product("nt", &MatMul::nt(m, outs, ins));
            product("nn", &MatMul::nn(m, ins, outs));
            product("tn", &MatMul::tn(outs, ins, m).beta(1.0));
        }
    }
    product("head nt", &MatMul::nt(256, QWEN_HEAD.0, QWEN_HEAD.1));
    product("head nn", &MatMul::nn(256, QWEN_HEAD.1, QWEN_HEAD.0));
    println!("low rank");
    for rank in [8, 64] {
        product("nt", &MatMul::nt(512, rank, 896));
        product("nt", &MatMul::nt(512, 4864, rank).beta(1.0));
        product("nn", &MatMul::nn(512, rank, 4864));
        product("nn", &MatMul::nn(512, 896, rank).beta(1.0));
        product("tn", &MatMul::tn(rank, 896, 512).beta(1.0));
        product("tn", &MatMul::tn(4864, rank, 512).beta(1.0));
    }
}

/// Numbers without a pattern, from -0.5 to 0.5.
fn numbers(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
}

fn packed_products() {
    for (outs, ins) in QWEN.into_iter().chain([QWEN_HEAD]) {
        let weight = numbers(outs * ins);
        let all: Vec<_> = PACKINGS.map(|p| (p, packed::pack(p, outs, ins, &weight))).into();
        let rows: &[usize] = if outs > 100_000 { &[256] } else { &[64, 256, 512, 1024] };
        for &m in rows {
            for (kind, spec) in [("nt", MatMul::nt(m, outs, ins)), ("nn", MatMul::nn(m, ins, outs))] {
                let (a, mut c) = (numbers(m * spec.k), vec![0.0; m * spec.n]);
                // The best of turns, so that a slow moment does not fall on one of them alone.
                let mut best = [f64::INFINITY; 4];
                for _ in 0..3 {
                    best[0] = best[0].min(fastest(|| matmul(&spec, &a, &weight, &mut c)));
                    for ((packing, (codes, scales)), best) in all.iter().zip(&mut best[1..]) {
                        let view = PackedView::new(*packing, outs, ins, codes, scales);
                        *best = best.min(fastest(|| packed::matmul(&spec, &a, &view, &mut c)));
                    }
                }
                line(kind, &spec, best[0], "");
                for (packing, seconds) in PACKINGS.iter().zip(&best[1..]) {
                    let more = format!(" {:+6.1} %", 100.0 * (seconds / best[0] - 1.0));
                    line(&format!("{kind} {packing:?}"), &spec, *seconds, &more);
                }
            }
        }
    }
}

/// Copies of a weight, more than the caches hold, so that each product reads memory as decoding does.
fn few_rows() {
    let bandwidth = read_bandwidth();
    for (outs, ins) in DECODE {
        let copies = (100_000_000 / (outs * ins)).clamp(1, 64);
        let weight = numbers(outs * ins);
        let weights = vec![weight.clone(); copies];
        for m in [1, 4, 8] {
            let spec = MatMul::nt(m, outs, ins);
            let (a, mut c) = (numbers(m * ins), vec![0.0; m * outs]);
            let report = |kind: &str, seconds: f64, bytes: usize| {
                let rate = bytes as f64 / seconds / 1e9;
                let share = format!(" {rate:6.1} GB/s, {:3.0} % of memory", 100.0 * rate / bandwidth);
                line(kind, &spec, seconds, &share);
            };
            let mut at = 0;
            let seconds = fastest_of_short(copies, || {
                at = (at + 1) % copies;
                matmul(&spec, &a, &weights[at], &mut c);
            });
            report("f32", seconds, 4 * outs * ins);
            for packing in PACKINGS {
                let packed = vec![packed::pack(packing, outs, ins, &weight); copies];
                let seconds = fastest_of_short(copies, || {
                    at = (at + 1) % copies;
                    let (codes, scales) = &packed[at];
                    let view = PackedView::new(packing, outs, ins, codes, scales);
                    packed::matmul(&spec, &a, &view, &mut c);
                });
                report(&format!("{packing:?}"), seconds, packed[0].0.len() + 4 * packed[0].1.len());
            }
        }
    }
}

fn rows(what: &str, elements: usize, bytes: usize, f: impl FnMut()) {
    let seconds = fastest(f);
    let rate = (bytes * elements) as f64 / seconds / 1e9;
    println!("{what:<28} {:9.3} ms {:8.3} ns/element {rate:8.1} GB/s", seconds * 1e3, seconds * 1e9 / elements as f64);
}

/// Kernels over 500 rows of Qwen2.5-0.5B. The bytes are those that an element must be read and written with.
fn row_kernels() {
    let (n, c, f, v, chunk) = (500, 896, 4864, 151_936, 128);
    let (x, w, mut y) = (vec![0.5; n * c], vec![1.0; c], vec![0.0; n * c]);
    let (mut sum, mut dw) = (vec![0.0; n * c], vec![0.0; c]);
    for kind in [NormKind::Rms, NormKind::Layer] {
        let mut kept = vec![0.0; n * kind.statistics()];
        rows(&format!("norm {kind:?}"), n * c, 8, || norm(kind, &x, &w, None, 1e-5, &mut y, &mut kept));
        rows(&format!("add_norm {kind:?}"), n * c, 16, || {
            add_norm(kind, &x, &x, &w, None, 1e-5, &mut sum, &mut y, &mut kept);
        });
        rows(&format!("norm_backward {kind:?}"), n * c, 16, || {
            norm_backward(kind, &x, &w, &kept, &x, &mut y, 1.0, None);
        });
        rows(&format!("norm_backward {kind:?} with dw"), n * c, 20, || {
            norm_backward(kind, &x, &w, &kept, &x, &mut y, 0.0, Some(&mut dw));
        });
    }
    let angles = vec![0.5; n * 64];
    rows("rope", n * c, 8, || rope(&x, &mut y, 14, 64, &angles, false));
    rows("add", n * c, 12, || add(&x, &x, &mut y));
    rows("dropout", n * c, 8, || dropout(&x, &mut y, 0.1, 1));
    rows("column_sums", n * c, 4, || column_sums(&x, c, &mut dw));
    rows("sum_of_squares", n * c, 4, || assert!(sum_of_squares(&x) > 0.0));
    let (gate, mut h, mut h2) = (vec![0.5; n * f], vec![0.0; n * f], vec![0.0; n * f]);
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
        rows(&format!("gated {activation:?}"), n * f, 12, || gated(activation, &gate, &gate, &mut h));
        rows(&format!("gated_backward {activation:?}"), n * f, 20, || {
            gated_backward(activation, &gate, &gate, &gate, &mut h, &mut h2);
        });
    }
    let ids: Vec<u32> = (0..n as u32).map(|i| i * 7 % 4000).collect();
    let mut table = vec![0.0; 4096 * c];
    rows("embed", n * c, 8, || embed(&table, c, &ids, &mut y));
    rows("embed_backward", n * c, 12, || embed_backward(&ids, c, &x, &mut table));
    let (mut logits, mut nll) = (vec![0.5; chunk * v], vec![0.0; chunk]);
    rows("cross_entropy", chunk * v, 4, || cross_entropy(&mut logits, v, &ids[..chunk], &mut nll, None, None));
    rows("cross_entropy with gradient", chunk * v, 8, || {
        cross_entropy(&mut logits, v, &ids[..chunk], &mut nll, Some(1.0), None);
    });
    let (mut p, mut m, mut s) = (vec![0.5; 1 << 24], vec![0.0; 1 << 24], vec![0.0; 1 << 24]);
    let g = vec![0.1; 1 << 24];
    let h = AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, step: 3, grad_scale: 1.0 };
    rows("adamw", 1 << 24, 28, || adamw(&mut p, &g, &mut m, &mut s, &h));
}

fn attentions() {
    for (heads, kv_heads) in [(9, 3), (14, 2)] {
        println!("{heads} heads, {kv_heads} key-value heads of 64");
        for (count, len) in [(4, 128), (4, 256), (1, 1024)] {
            attention_of(heads, kv_heads, count, len);
        }
        for len in [32, 128, 512, 2048, 8192] {
            decoding(heads, kv_heads, len);
        }
    }
}

fn attention_of(heads: usize, kv_heads: usize, count: usize, len: usize) {
    let shape = AttentionShape::new(heads, kv_heads, 64);
    let (n, width, kv_width) = (count * len, heads * 64, kv_heads * 64);
    let segments: Vec<Segment> = (0..count).map(|i| Segment::causal(i * len..(i + 1) * len)).collect();
    let (q, k) = (vec![0.5; n * width], vec![0.5; n * kv_width]);
    let (mut out, mut lse, mut dq) = (vec![0.0; n * width], vec![0.0; n * heads], vec![0.0; n * width]);
    let (mut dk, mut dv) = (vec![0.0; n * kv_width], vec![0.0; n * kv_width]);
    // Products of the visible half: two forward, five backward.
    let flops = (count * len * (len + 1) * width) as f64;
    let seconds = fastest(|| attention(&q, &k, &k, &shape, &segments, &mut out, &mut lse));
    println!("forward  {count} x {len:<5} {:9.3} ms {:8.1} GFLOP/s", seconds * 1e3, 2.0 * flops / seconds / 1e9);
    let seconds = fastest(|| {
        attention_backward(&q, &k, &k, &out, &lse, &out, &shape, &segments, &mut dq, &mut dk, &mut dv);
    });
    println!("backward {count} x {len:<5} {:9.3} ms {:8.1} GFLOP/s", seconds * 1e3, 5.0 * flops / seconds / 1e9);
}

/// One query over many keys.
fn decoding(heads: usize, kv_heads: usize, len: usize) {
    let shape = AttentionShape::new(heads, kv_heads, 64);
    let (q, k) = (numbers(heads * 64), numbers(len * kv_heads * 64));
    let (mut out, mut lse) = (vec![0.0; heads * 64], vec![0.0; heads]);
    let one = [Segment { queries: 0..1, keys: vec![0..len] }];
    let seconds = fastest_of_short(10, || attention(&q, &k, &k, &shape, &one, &mut out, &mut lse));
    let rate = 8.0 * k.len() as f64 / seconds / 1e9;
    println!("decoding 1 x {len:<5} {:9.2} us {rate:8.1} GB/s of keys and values", seconds * 1e6);
}
