//! Packed weights: what packing loses, and products against unpacking and multiplying.

mod support;

use luthier_kernels::matmul::{self, FEW_ROWS, MatMul};
use luthier_kernels::packed::{self, PackedView, Packing, pack, plain, unpack_rows};
use support::{Random, assert_close, bits, double, same_for_any_threads};

const PACKINGS: [Packing; 3] = [Packing::Bf16, Packing::Int8, Packing::Nf4];

/// Shapes with odd columns, groups cut short, and none at all.
const SHAPES: [(usize, usize); 14] = [
    (0, 5),
    (3, 0),
    (1, 1),
    (2, 31),
    (5, 32),
    (7, 33),
    (4, 63),
    (9, 64),
    (3, 127),
    (6, 128),
    (17, 131),
    (130, 257),
    (35, 700),
    (40, 1161),
];

struct Packed {
    packing: Packing,
    rows: usize,
    cols: usize,
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl Packed {
    fn new(packing: Packing, rows: usize, cols: usize, data: &[f32]) -> Self {
        let (codes, scales) = pack(packing, rows, cols, data);
        Self { packing, rows, cols, codes, scales }
    }

    fn view(&self) -> PackedView<'_> {
        PackedView::new(self.packing, self.rows, self.cols, &self.codes, &self.scales)
    }
}

fn each(mut f: impl FnMut(Packing, usize, usize, &[f32])) {
    for packing in PACKINGS {
        for (rows, cols) in SHAPES {
            let data = Random::new((rows * 2000 + cols) as u64).vec(rows * cols);
            f(packing, rows, cols, &data);
        }
    }
}

#[test]
fn packing_loses_no_more_than_half_a_step() {
    each(|packing, rows, cols, data| {
        let packed = Packed::new(packing, rows, cols, data);
        for (i, &x) in data.iter().enumerate() {
            let (row, col) = (i / cols, i % cols);
            let off = (plain::element(&packed.view(), row, col) - f64::from(x)).abs();
            let greatest = |group: usize| {
                let start = col / group * group;
                let end = (start + group).min(cols);
                data[row * cols + start..row * cols + end].iter().fold(0.0, |m: f64, x| m.max(f64::from(x.abs())))
            };
            // The scale and the quotient are rounded before the nearest code is taken: twice 6e-8 of the greatest.
            let bound = match packing {
                Packing::Bf16 => f64::from(x.abs()) / 256.0,
                Packing::Int8 => greatest(128) * (0.5 / 127.0 + 1.2e-7),
                // Half of the widest gap between levels, that from -1 to -0.696.
                Packing::Nf4 => greatest(64) * ((1.0 - 0.696_192_8) / 2.0 + 1.2e-7),
            };
            assert!(off <= bound, "{packing:?} [{rows}, {cols}]: {x} at {row}, {col} is off by {off}");
        }
    });
}

#[test]
fn numbers_that_have_a_code_come_back_as_they_were() {
    each(|packing, rows, cols, data| {
        let first = Packed::new(packing, rows, cols, data);
        let mut unpacked = vec![0.0; rows * cols];
        unpack_rows(&first.view(), 0..rows, &mut unpacked);
        let mut again = vec![0.0; rows * cols];
        unpack_rows(&Packed::new(packing, rows, cols, &unpacked).view(), 0..rows, &mut again);
        for (a, b) in unpacked.iter().zip(&again) {
            assert!((a - b).abs() <= a.abs() * 1e-6, "{packing:?} [{rows}, {cols}]: {a} came back as {b}");
        }
    });
}

#[test]
fn bf16_rounds_to_the_nearest_and_ties_to_even() {
    let cases: [(u32, u16); 8] = [
        (0x3f80_8000, 0x3f80),
        (0x3f81_8000, 0x3f82),
        (0x3f80_8001, 0x3f81),
        (0x3f80_7fff, 0x3f80),
        (0xbf81_8000, 0xbf82),
        (0x7f7f_ffff, 0x7f80),
        (0x7f80_0000, 0x7f80),
        (0x7f80_0001, 0x7fc0),
    ];
    for (x, expected) in cases {
        let (codes, _) = pack(Packing::Bf16, 1, 1, &[f32::from_bits(x)]);
        assert_eq!(codes, expected.to_le_bytes(), "{x:x}");
    }
}

#[test]
fn a_group_of_zeros_stays_zero() {
    for packing in PACKINGS {
        let packed = Packed::new(packing, 2, 200, &[0.0; 400]);
        assert!(plain::unpack(&packed.view()).iter().all(|&x| x == 0.0), "{packing:?}");
    }
}

#[test]
fn unpacked_rows_are_what_the_codes_say() {
    each(|packing, rows, cols, data| {
        let packed = Packed::new(packing, rows, cols, data);
        let expected = plain::unpack(&packed.view());
        for range in [0..rows, rows / 3..rows / 2] {
            let mut out = vec![9.0; range.len() * cols];
            unpack_rows(&packed.view(), range.clone(), &mut out);
            // A product of two numbers in single precision, rounded once.
            let expected = &expected[range.start * cols..range.end * cols];
            let expected: Vec<f32> = expected.iter().map(|&x| x as f32).collect();
            assert_eq!(out, expected, "{packing:?} [{rows}, {cols}] rows {range:?}");
        }
    });
}

#[test]
fn codes_need_no_alignment() {
    for packing in PACKINGS {
        let (rows, cols) = (20, 131);
        let (codes, scales) = pack(packing, rows, cols, &Random::new(4).vec(rows * cols));
        let x = Random::new(5).vec(cols);
        let product = |codes: &[u8]| {
            let mut y = vec![0.0; rows];
            let view = PackedView::new(packing, rows, cols, codes, &scales);
            packed::matmul(&MatMul::nt(1, rows, cols), &x, &view, &mut y);
            bits(&y)
        };
        let expected = product(&codes);
        for shift in 1..4 {
            let mut moved = vec![0; shift];
            moved.extend(&codes);
            assert_eq!(product(&moved[shift..]), expected, "{packing:?} moved by {shift}");
        }
    }
}

#[test]
fn embedding_looks_up_unpacked_rows() {
    for packing in PACKINGS {
        let (rows, cols) = (50, 131);
        let packed = Packed::new(packing, rows, cols, &Random::new(6).vec(rows * cols));
        let mut table = vec![0.0; rows * cols];
        unpack_rows(&packed.view(), 0..rows, &mut table);
        let ids = Random::new(7).below(rows as u32, 77);
        let (mut got, mut expected) = (vec![0.0; 77 * cols], vec![0.0; 77 * cols]);
        packed::embed(&packed.view(), &ids, &mut got);
        luthier_kernels::embed(&table, cols, &ids, &mut expected);
        assert_eq!(bits(&got), bits(&expected), "{packing:?}");
    }
}

#[test]
fn products_equal_those_of_the_unpacked_weight() {
    each(|packing, rows, cols, data| {
        let packed = Packed::new(packing, rows, cols, data);
        let weight = plain::unpack(&packed.view());
        for m in (1..=14).chain([40, FEW_ROWS - 1, FEW_ROWS, FEW_ROWS + 1]) {
            for spec in [MatMul::nt(m, rows, cols), MatMul::nn(m, cols, rows)] {
                let mut random = Random::new(m as u64);
                let (a, c) = (random.vec(m * spec.k), random.vec(m * spec.n));
                for spec in [spec, spec.alpha(-0.5).beta(1.0), spec.beta(0.25)] {
                    let expected = matmul::plain::matmul(&spec, &double(&a), &weight, &double(&c));
                    let mut got = c.clone();
                    packed::matmul(&spec, &a, &packed.view(), &mut got);
                    // As for products in single precision: sums of up to 1161 terms, each rounded to 6e-8.
                    assert_close(&format!("{packing:?} {spec:?}"), &got, &expected, 2e-6);
                }
            }
        }
    });
}

#[test]
fn deep_and_wide_products_equal_those_of_the_unpacked_weight() {
    for packing in PACKINGS {
        for (m, rows, cols) in [(3, 1000, 2049), (70, 530, 1300), (33, 1300, 530), (20, 2100, 140)] {
            let packed = Packed::new(packing, rows, cols, &Random::new(8).vec(rows * cols));
            let weight = plain::unpack(&packed.view());
            for spec in [MatMul::nt(m, rows, cols), MatMul::nn(m, cols, rows)] {
                let a = Random::new(9).vec(m * spec.k);
                let expected = matmul::plain::matmul(&spec, &double(&a), &weight, &[]);
                let mut got = vec![f32::NAN; m * spec.n];
                packed::matmul(&spec, &a, &packed.view(), &mut got);
                assert_close(&format!("{packing:?} {spec:?}"), &got, &expected, 2e-6);
            }
        }
    }
}

#[test]
fn rows_of_a_wider_matrix_are_multiplied_in_place_and_the_gaps_stay() {
    let (rows, cols, wide) = (70, 67, 90);
    for packing in PACKINGS {
        let packed = Packed::new(packing, rows, cols, &Random::new(10).vec(rows * cols));
        let weight = plain::unpack(&packed.view());
        for m in [2, 30] {
            for spec in [MatMul::nt(m, rows, cols), MatMul::nn(m, cols, rows)] {
                let spec = MatMul { a_strides: (wide, 1), c_row_stride: wide, ..spec };
                let a = Random::new(11).vec(m * wide);
                let mut c = vec![9.0; m * wide];
                packed::matmul(&spec, &a, &packed.view(), &mut c);
                let expected = matmul::plain::matmul(&spec, &double(&a), &weight, &[]);
                for (i, row) in c.chunks_exact(wide).enumerate() {
                    assert_close("row", &row[..spec.n], &expected[i * spec.n..][..spec.n], 2e-6);
                    assert!(row[spec.n..].iter().all(|&x| x == 9.0), "gap of row {i}: {row:?}");
                }
            }
        }
    }
}

#[test]
fn everything_has_the_same_bits_for_any_number_of_threads() {
    for packing in PACKINGS {
        for (rows, cols) in [(1, 5000), (131, 67), (1000, 577), (700, 1300)] {
            let mut random = Random::new(12);
            let data = random.vec(rows * cols);
            same_for_any_threads(&format!("{packing:?} [{rows}, {cols}]"), || {
                let packed = Packed::new(packing, rows, cols, &data);
                (packed.codes.clone(), bits(&packed.scales))
            });
            let packed = Packed::new(packing, rows, cols, &data);
            for m in [1, 4, 5, 16, 17, 130] {
                for spec in [MatMul::nt(m, rows, cols), MatMul::nn(m, cols, rows)] {
                    let (a, c) = (random.vec(m * spec.k), random.vec(m * spec.n));
                    same_for_any_threads(&format!("{packing:?} {spec:?}"), || {
                        let mut out = c.clone();
                        packed::matmul(&spec.beta(1.0), &a, &packed.view(), &mut out);
                        bits(&out)
                    });
                }
            }
        }
    }
}

#[test]
fn few_rows_have_the_same_bits_alone_and_together() {
    let (n, k) = (103, 577);
    for packing in PACKINGS {
        let packed = Packed::new(packing, n, k, &Random::new(13).vec(n * k));
        let a = Random::new(14).vec(FEW_ROWS * k);
        let mut together = vec![0.0; FEW_ROWS * n];
        packed::matmul(&MatMul::nt(FEW_ROWS, n, k), &a, &packed.view(), &mut together);
        for i in 0..FEW_ROWS {
            let mut alone = vec![0.0; n];
            packed::matmul(&MatMul::nt(1, n, k), &a[i * k..][..k], &packed.view(), &mut alone);
            assert_eq!(bits(&alone), bits(&together[i * n..][..n]), "{packing:?} row {i}");
        }
    }
}

#[test]
#[should_panic(expected = "a packed weight [4, 3] is not the b of")]
fn other_strides_are_refused() {
    let packed = Packed::new(Packing::Int8, 4, 3, &[0.0; 12]);
    packed::matmul(&MatMul::nt(2, 3, 4), &[0.0; 8], &packed.view(), &mut [0.0; 6]);
}

#[test]
#[should_panic(expected = "code bytes and scales of Nf4 [2, 3]")]
fn a_view_of_other_lengths_is_refused() {
    let _ = PackedView::new(Packing::Nf4, 2, 3, &[0; 3], &[0.0; 2]);
}
