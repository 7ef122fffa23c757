//! Matrix products against the plain ones, and their independence of threads.

mod support;

use luthier_kernels::matmul::{FEW_ROWS, MatMul, matmul, matmul_on_this_thread, plain};
use support::{Random, assert_close, bits, double, same_for_any_threads};

const SIZES: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 16, 17, 31, 64, 67];

fn kinds(m: usize, n: usize, k: usize) -> [MatMul; 3] {
    [MatMul::nn(m, n, k), MatMul::nt(m, n, k), MatMul::tn(m, n, k)]
}

fn check(spec: &MatMul, seed: u64) {
    let mut random = Random::new(seed);
    let (a, b, c) = (random.vec(spec.m * spec.k), random.vec(spec.k * spec.n), random.vec(spec.m * spec.n));
    let expected = plain::matmul(spec, &double(&a), &double(&b), &double(&c));
    for product in [matmul, matmul_on_this_thread] {
        let mut got = c.clone();
        product(spec, &a, &b, &mut got);
        assert_close(&format!("{spec:?}"), &got, &expected, 2e-6);
    }
}

#[test]
fn products_of_odd_shapes_equal_the_plain_ones() {
    for m in SIZES {
        for n in SIZES {
            for k in [1, 2, 3, 8, 15, 16, 33, 64, 129] {
                for spec in kinds(m, n, k) {
                    check(&spec, (m * 1000 + n * 10 + k) as u64);
                }
            }
        }
    }
}

#[test]
fn deep_and_wide_products_equal_the_plain_ones() {
    for (m, n, k) in [(1, 1000, 577), (3, 700, 2049), (300, 1, 300), (130, 257, 1030), (8, 576, 1024), (576, 8, 300)] {
        for spec in kinds(m, n, k) {
            check(&spec, k as u64);
            check(&spec.alpha(-0.5).beta(1.0), k as u64);
            check(&spec.beta(0.25), k as u64);
        }
    }
}

#[test]
fn a_product_without_beta_never_reads_what_was_there() {
    for (m, n, k) in [(1, 5, 3), (2, 40, 70), (5, 4, 3), (20, 30, 40), (100, 100, 100), (3, 3, 0), (9, 9, 0)] {
        for spec in kinds(m, n, k) {
            let mut c = vec![f32::NAN; m * n];
            matmul(&spec, &vec![1.0; m * k], &vec![1.0; k * n], &mut c);
            assert_eq!(c, vec![k as f32; m * n], "{spec:?}");
        }
    }
}

#[test]
fn rows_of_a_wider_matrix_are_multiplied_in_place_and_the_gaps_stay() {
    let (m, n, k, wide) = (5, 6, 7, 11);
    let mut random = Random::new(5);
    for rows in [m, 2] {
        let spec = MatMul { a_strides: (wide, 1), b_strides: (1, wide), c_row_stride: wide, ..MatMul::nn(rows, n, k) };
        let (a, b) = (random.vec(rows * wide), random.vec(n * wide));
        let mut c = vec![9.0; rows * wide];
        matmul(&spec, &a, &b, &mut c);
        let expected = plain::matmul(&spec, &double(&a), &double(&b), &[]);
        for (i, row) in c.chunks_exact(wide).enumerate() {
            assert_close("row", &row[..n], &expected[i * n..][..n], 1e-6);
            assert!(row[n..].iter().all(|&x| x == 9.0), "gap of row {i}: {row:?}");
        }
    }
}

#[test]
fn products_have_the_same_bits_for_any_number_of_threads() {
    let mut shapes = vec![];
    for m in [1, 2, 3, 17, 65, 200] {
        for n in [1, 2, 8, 17, 576, 1000] {
            for k in [1, 2, 8, 577] {
                shapes.push((m, n, k));
            }
        }
    }
    shapes.extend([
        (1, 49_152, 576),
        (4, 5000, 576),
        (1, 3, 100_000),
        (700, 700, 3000),
        (1024, 576, 1536),
        (576, 1536, 1024),
    ]);
    for (m, n, k) in shapes {
        let mut random = Random::new(7);
        let (a, b, c) = (random.vec(m * k), random.vec(k * n), random.vec(m * n));
        for spec in kinds(m, n, k) {
            same_for_any_threads(&format!("{spec:?}"), || {
                let mut out = c.clone();
                matmul(&spec.beta(1.0), &a, &b, &mut out);
                bits(&out)
            });
            let alone = {
                let mut out = c.clone();
                matmul_on_this_thread(&spec.beta(1.0), &a, &b, &mut out);
                bits(&out)
            };
            let mut together = c.clone();
            matmul(&spec.beta(1.0), &a, &b, &mut together);
            assert!(bits(&together) == alone, "{spec:?}: the product on one thread has other bits");
        }
    }
}

#[test]
fn few_rows_have_the_same_bits_alone_and_together() {
    let (n, k) = (103, 577);
    let mut random = Random::new(3);
    let (a, b) = (random.vec(FEW_ROWS * k), random.vec(n * k));
    let mut together = vec![0.0; FEW_ROWS * n];
    matmul(&MatMul::nt(FEW_ROWS, n, k), &a, &b, &mut together);
    for i in 0..FEW_ROWS {
        let mut alone = vec![0.0; n];
        matmul(&MatMul::nt(1, n, k), &a[i * k..][..k], &b, &mut alone);
        assert_eq!(bits(&alone), bits(&together[i * n..][..n]), "row {i}");
    }
}

#[test]
#[should_panic(expected = "b holds 11 elements, too few")]
fn a_slice_too_short_is_named() {
    matmul(&MatMul::nn(2, 3, 4), &[0.0; 8], &[0.0; 11], &mut [0.0; 6]);
}
