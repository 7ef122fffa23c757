//! Row kernels against their plain twins, their gradients against differences, and their independence of threads. Norms,
//! activations and experts have files of their own.

mod support;

use luthier_kernels::*;
use support::{Random, assert_close, bits, differences, double, same_for_any_threads};

fn angles(random: &mut Random, n: usize, d: usize) -> Vec<f32> {
    (0..n)
        .flat_map(|_| {
            let angles = random.vec(d / 2);
            let of = |f: fn(f32) -> f32| angles.iter().map(|a| f(3.0 * a)).collect::<Vec<_>>();
            [of(f32::cos), of(f32::sin)].concat()
        })
        .collect()
}

/// Heads and their size, and how many elements of a head are turned.
const TURNED: [(usize, usize, usize, usize); 7] =
    [(1, 1, 2, 2), (3, 2, 4, 4), (5, 3, 80, 80), (33, 9, 64, 64), (3, 2, 5, 4), (4, 3, 80, 20), (33, 2, 96, 72)];

#[test]
fn rope_equals_the_plain_one_and_its_inverse_undoes_it() {
    for (n, heads, d, turned) in TURNED {
        let mut random = Random::new(d as u64);
        let x = random.vec(n * heads * d);
        let cos_sin = angles(&mut random, n, turned);
        let mut y = vec![f32::NAN; x.len()];
        rope(&x, &mut y, heads, d, &cos_sin, false);
        assert_close("y", &y, &rope::plain::rope(&double(&x), heads, d, &double(&cos_sin)), 1e-6);
        for (x, y) in x.chunks_exact(d).zip(y.chunks_exact(d)) {
            assert_eq!(x[turned..], y[turned..], "what is not turned passes through");
        }
        let mut back = vec![f32::NAN; x.len()];
        rope(&y, &mut back, heads, d, &cos_sin, true);
        assert_close("back", &back, &double(&x), 1e-6);
    }
}

#[test]
fn the_gradient_of_rope_equals_differences() {
    for turned in [6, 4] {
        let (n, heads, d) = (3, 2, 6);
        let mut random = Random::new(9);
        let (x, dy) = (random.vec(n * heads * d), random.vec(n * heads * d));
        let cos_sin = angles(&mut random, n, turned);
        let mut dx = vec![f32::NAN; x.len()];
        rope(&dy, &mut dx, heads, d, &cos_sin, true);
        let expected = differences(&double(&x), &dy, |x| rope::plain::rope(x, heads, d, &double(&cos_sin)));
        assert_close("dx", &dx, &expected, 1e-6);
    }
}

#[test]
#[should_panic(expected = "8 elements of a head of 6 are turned")]
fn a_rotation_wider_than_a_head_is_named() {
    rope(&[0.0; 12], &mut [0.0; 12], 2, 6, &[0.0; 8], false);
}

#[test]
fn parts_of_columns_are_taken_out_and_put_back() {
    // One group as in phi3, a group for each head as in gpt_neox, and rows for several threads.
    for (n, groups, widths) in
        [(1, 1, vec![3]), (5, 1, vec![6, 2, 2]), (4, 3, vec![5, 5, 5]), (700, 4, vec![33, 65, 1])]
    {
        let group_width: usize = widths.iter().sum();
        let mut random = Random::new(n as u64);
        let (x, before) = (random.vec(n * groups * group_width), random.vec(n * groups * group_width));
        let mut start = 0;
        let (mut put, mut added) = (vec![f32::NAN; x.len()], before.clone());
        for &width in &widths {
            let columns = Columns { groups, group_width, start, width };
            let mut part = vec![f32::NAN; n * groups * width];
            take_columns(&x, &columns, &mut part);
            assert_eq!(double(&part), split::plain::take_columns(&double(&x), &columns), "{columns:?}");
            put_columns(&part, &columns, 0.0, &mut put);
            put_columns(&part, &columns, 1.0, &mut added);
            start += width;
        }
        assert_eq!(put, x);
        assert_eq!(added, before.iter().zip(&x).map(|(b, x)| b + x).collect::<Vec<_>>());
    }
}

#[test]
fn columns_that_no_part_has_stay() {
    let mut x = [1.0, 2.0, 3.0, 4.0];
    put_columns(&[9.0, 8.0], &Columns { groups: 2, group_width: 2, start: 1, width: 1 }, 0.0, &mut x);
    assert_eq!(x, [1.0, 9.0, 3.0, 8.0]);
}

#[test]
fn a_soft_cap_equals_the_plain_one_and_stays_below_the_cap() {
    for cap in [0.7, 30.0] {
        let mut x: Vec<f32> = Random::new(7).vec(40_000).iter().map(|x| 100.0 * x).collect();
        x.extend([f32::INFINITY, f32::NEG_INFINITY, 1e30, 0.0]);
        let expected: Vec<f64> = double(&x).iter().map(|x| softcap::plain::softcap(*x, f64::from(cap))).collect();
        softcap(&mut x, cap);
        assert_close("capped", &x, &expected, 3e-7);
        assert!(x.iter().all(|x| x.abs() <= cap));
    }
}

#[test]
fn elementwise_kernels_compute_what_they_say() {
    for n in [0, 1, 17, 40_000] {
        let mut random = Random::new(n as u64);
        let (x, y) = (random.vec(n), random.vec(n));
        let of = |f: fn(f64, f64) -> f64| double(&x).iter().zip(double(&y)).map(|(x, y)| f(*x, y)).collect::<Vec<_>>();
        let mut out = vec![f32::NAN; n];
        add(&x, &y, &mut out);
        assert_close("add", &out, &of(|x, y| x + y), 1e-7);
        let mut acc = x.clone();
        add_assign(&mut acc, &y);
        assert_eq!(acc, out);
        let mut acc = x.clone();
        axpy(-0.5, &y, &mut acc);
        let mut times = vec![f32::NAN; n];
        scaled(&x, 2.5, &mut times);
        assert_close("scaled", &times, &of(|x, _| 2.5 * x), 1e-7);
        assert_close("axpy", &acc, &of(|x, y| x - 0.5 * y), 1e-7);
        scale(&mut acc, 4.0);
        assert_close("scale", &acc, &of(|x, y| 4.0 * x - 2.0 * y), 1e-6);
        let expected: f64 = double(&x).iter().map(|x| x * x).sum();
        assert!((sum_of_squares(&x) - expected).abs() <= 1e-7 * expected);
    }
}

#[test]
fn a_bias_is_added_to_every_row_and_its_gradient_is_the_column_sums() {
    for (n, c) in [(1, 1), (3, 7), (1000, 33), (300, 576)] {
        let mut random = Random::new(c as u64);
        let (x, bias, before) = (random.vec(n * c), random.vec(c), random.vec(c));
        let mut y = x.clone();
        add_bias(&mut y, &bias);
        let expected: Vec<f64> = (0..n * c).map(|i| f64::from(x[i]) + f64::from(bias[i % c])).collect();
        assert_close("y", &y, &expected, 1e-7);
        let mut sums = before.clone();
        column_sums(&x, c, &mut sums);
        let sum = |j: usize| f64::from(before[j]) + (0..n).map(|i| f64::from(x[i * c + j])).sum::<f64>();
        assert_close("sums", &sums, &(0..c).map(sum).collect::<Vec<_>>(), 1e-6);
    }
}

#[test]
fn rows_are_looked_up_and_gradients_added_back() {
    for (table_rows, c, n) in [(1, 1, 3), (5, 3, 20), (100, 40, 700), (50, 576, 300)] {
        let mut random = Random::new(c as u64);
        let (table, dy, ids) = (random.vec(table_rows * c), random.vec(n * c), random.below(table_rows as u32, n));
        let mut out = vec![f32::NAN; n * c];
        embed(&table, c, &ids, &mut out);
        let mut expected = double(&table);
        for (i, &id) in ids.iter().enumerate() {
            assert_eq!(out[i * c..][..c], table[id as usize * c..][..c]);
            for j in 0..c {
                expected[id as usize * c + j] += f64::from(dy[i * c + j]);
            }
        }
        let mut dtable = table.clone();
        embed_backward(&ids, c, &dy, &mut dtable);
        assert_close("dtable", &dtable, &expected, 1e-6);
    }
}

#[test]
#[should_panic(expected = "row 5 of a table of 5 rows")]
fn an_index_outside_the_table_is_named() {
    embed(&[0.0; 10], 2, &[0, 5], &mut [0.0; 4]);
}

#[test]
fn dropout_keeps_the_mean_and_repeats_itself() {
    let n = 200_000;
    let x = vec![1.0; n];
    for p in [0.0, 0.1, 0.5, 0.9] {
        let (mut y, mut again, mut other) = (vec![f32::NAN; n], vec![f32::NAN; n], vec![f32::NAN; n]);
        dropout(&x, &mut y, p, 42);
        dropout(&x, &mut again, p, 42);
        dropout(&x, &mut other, p, 43);
        assert_eq!(y, again);
        let kept = y.iter().filter(|&&y| y != 0.0).count() as f64 / n as f64;
        assert!((kept - (1.0 - f64::from(p))).abs() < 0.005, "p {p}: {kept} kept");
        assert!(y.iter().all(|&y| y == 0.0 || y == 1.0 / (1.0 - p)));
        if p > 0.0 {
            let both = y.iter().zip(&other).filter(|(a, b)| **a != 0.0 && **b != 0.0).count() as f64 / n as f64;
            assert!((both - kept * kept).abs() < 0.01, "p {p}: keys 42 and 43 go together: {both}");
            let next = y.windows(2).filter(|w| w[0] != 0.0 && w[1] != 0.0).count() as f64 / n as f64;
            assert!((next - kept * kept).abs() < 0.01, "p {p}: neighbours go together: {next}");
        } else {
            assert_eq!(y, x);
        }
    }
}

#[test]
fn cross_entropy_and_its_gradient_equal_the_plain_one() {
    for (n, v) in [(1, 1), (2, 3), (3, 17), (5, 1000), (2, 49_152)] {
        let mut random = Random::new(v as u64);
        let logits: Vec<f32> = random.vec(n * v).iter().map(|x| 10.0 * x).collect();
        let labels = random.below(v as u32, n);
        let log_p = cross_entropy::plain::log_softmax(&double(&logits), v);
        let expected: Vec<f64> = labels.iter().enumerate().map(|(i, &l)| -log_p[i * v + l as usize]).collect();

        let (mut untouched, mut nll) = (logits.clone(), vec![f32::NAN; n]);
        cross_entropy(&mut untouched, v, &labels, &mut nll, None, None);
        assert_eq!(untouched, logits);
        assert_close("nll", &nll, &expected, 1e-6);

        let (mut grad, mut nll_again) = (logits.clone(), vec![f32::NAN; n]);
        cross_entropy(&mut grad, v, &labels, &mut nll_again, Some(0.25), None);
        assert_eq!(bits(&nll), bits(&nll_again));
        let mut expected: Vec<f64> = log_p.iter().map(|l| 0.25 * l.exp()).collect();
        for (i, &l) in labels.iter().enumerate() {
            expected[i * v + l as usize] -= 0.25;
        }
        assert_close("gradient", &grad, &expected, 1e-6);

        let mut out = vec![f32::NAN; n * v];
        log_softmax(&logits, v, &mut out);
        assert_close("log_softmax", &out, &log_p, 1e-6);
    }
}

#[test]
fn the_gradient_of_cross_entropy_equals_differences() {
    let (n, v) = (3, 9);
    let mut random = Random::new(1);
    let logits = random.vec(n * v);
    let labels = random.below(v as u32, n);
    let mut grad = logits.clone();
    cross_entropy(&mut grad, v, &labels, &mut vec![0.0; n], Some(1.0), None);
    let nll = |x: &[f64]| {
        let log_p = cross_entropy::plain::log_softmax(x, v);
        labels.iter().enumerate().map(|(i, &l)| -log_p[i * v + l as usize]).collect()
    };
    assert_close("gradient", &grad, &differences(&double(&logits), &[1.0; 3], nll), 1e-6);
}

#[test]
fn cross_entropy_of_capped_logits_and_its_gradient_equal_the_plain_ones() {
    for (n, v, cap) in [(1, 1, 1.0), (3, 9, 0.8), (3, 33, 2.0)] {
        let mut random = Random::new(v as u64);
        let logits: Vec<f32> = random.vec(n * v).iter().map(|x| 3.0 * x).collect();
        let labels = random.below(v as u32, n);
        let losses = |x: &[f64]| {
            let capped: Vec<f64> = x.iter().map(|x| softcap::plain::softcap(*x, f64::from(cap))).collect();
            let log_p = cross_entropy::plain::log_softmax(&capped, v);
            labels.iter().enumerate().map(|(i, &l)| -log_p[i * v + l as usize]).collect::<Vec<_>>()
        };
        let (mut capped, mut nll) = (logits.clone(), vec![f32::NAN; n]);
        cross_entropy(&mut capped, v, &labels, &mut nll, None, Some(cap));
        assert_close("nll", &nll, &losses(&double(&logits)), 2e-6);
        let mut expected = logits.clone();
        softcap(&mut expected, cap);
        assert_eq!(bits(&capped), bits(&expected));

        let (mut grad, mut nll_again) = (logits.clone(), vec![f32::NAN; n]);
        cross_entropy(&mut grad, v, &labels, &mut nll_again, Some(1.0), Some(cap));
        assert_eq!(bits(&nll), bits(&nll_again));
        let expected = differences(&double(&logits), &[1.0; 3][..n], losses);
        if v > 1 {
            assert_close("gradient", &grad, &expected, 1e-6);
        }
    }
}

#[test]
fn masked_logits_have_no_probability_and_no_gradient() {
    let mut logits = vec![1.0, f32::NEG_INFINITY, 1.0, 2e4, -2e4, 0.0];
    let mut nll = vec![0.0; 2];
    cross_entropy(&mut logits, 3, &[0, 0], &mut nll, Some(1.0), None);
    assert_eq!(logits, [-0.5, 0.0, 0.5, 0.0, 0.0, 0.0]);
    assert_close("nll", &nll, &[2.0f64.ln(), 0.0], 1e-7);
}

#[test]
fn adamw_takes_the_steps_of_the_plain_one() {
    let n = 1003;
    let mut random = Random::new(2);
    let mut w = random.vec(n);
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    let mut expected: Vec<(f64, f64, f64)> = w.iter().map(|&w| (f64::from(w), 0.0, 0.0)).collect();
    for step in 1..=20 {
        let h = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step, grad_scale: 0.5 };
        let g = random.vec(n);
        adamw(&mut w, &g, &mut m, &mut v, &h);
        for (e, g) in expected.iter_mut().zip(&g) {
            *e = adamw::plain::adamw(e.0, f64::from(*g), e.1, e.2, &h);
        }
        assert_close("w", &w, &expected.iter().map(|e| e.0).collect::<Vec<_>>(), 1e-6);
        assert_close("m", &m, &expected.iter().map(|e| e.1).collect::<Vec<_>>(), 1e-6);
        assert_close("v", &v, &expected.iter().map(|e| e.2).collect::<Vec<_>>(), 1e-6);
    }
}

#[test]
fn the_first_step_of_adamw_moves_by_the_learning_rate_against_the_sign() {
    let (mut w, mut m, mut v) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
    let h = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, step: 1, grad_scale: 3.0 };
    adamw(&mut w, &[0.5, -0.25], &mut m, &mut v, &h);
    // The decay is decoupled: 1 - 0.1 * 0.01 of the weight, whatever its gradient.
    assert_close("w", &w, &[0.999 - 0.1, -1.998 + 0.1], 1e-6);
    assert_close("m", &m, &[0.15, -0.075], 1e-6);
}

#[test]
fn row_kernels_have_the_same_bits_for_any_number_of_threads() {
    let (n, c) = (1500, 129);
    let mut random = Random::new(11);
    let (x, y) = (random.vec(n * c), random.vec(n * c));
    let ids = random.below(97, n);
    same_for_any_threads("sums", || {
        let mut sums = vec![0.0; c];
        column_sums(&x, c, &mut sums);
        (bits(&sums), sum_of_squares(&x).to_bits())
    });
    same_for_any_threads("elementwise", || {
        let (mut a, mut b, mut d) = (vec![0.0; n * c], vec![0.0; n * c], vec![0.0; n * c]);
        add(&x, &y, &mut a);
        scaled(&x, 0.7, &mut b);
        softcap(&mut b, 0.5);
        dropout(&x, &mut d, 0.3, 5);
        axpy(0.3, &a, &mut b);
        [bits(&a), bits(&b), bits(&d)]
    });
    same_for_any_threads("rows by index", || {
        let mut dtable = vec![0.0; 97 * c];
        embed_backward(&ids, c, &x, &mut dtable);
        bits(&dtable)
    });
    same_for_any_threads("softmax", || {
        let (mut logits, mut nll, mut out) = (x.clone(), vec![0.0; n], vec![0.0; n * c]);
        cross_entropy(&mut logits, c, &ids, &mut nll, Some(0.5), None);
        log_softmax(&x, c, &mut out);
        let mut capped = x.clone();
        cross_entropy(&mut capped, c, &ids, &mut nll, Some(0.5), Some(0.6));
        [bits(&logits), bits(&nll), bits(&out), bits(&capped)]
    });
}

#[test]
fn every_row_is_visited_once() {
    let (n, len) = (1003, 3);
    same_for_any_threads("rows", || {
        let mut data = vec![0.0; n * len];
        threads::rows(n, 10, threads::rows_of(&mut data, len), |range, part| {
            assert_eq!(part.data.len(), range.len() * len);
            for (row, values) in range.zip(part.data.chunks_exact_mut(len)) {
                values.iter_mut().for_each(|v| *v += row as f32);
            }
        });
        let expected: Vec<f32> = (0..n * len).map(|i| (i / len) as f32).collect();
        assert_eq!(data, expected);
        data
    });
}
