//! Norms against their plain twins, their gradients against differences, and their independence of threads.

mod support;

use luthier_kernels::norm::{NormKind, add_norm, norm, norm_backward, plain};
use support::{Random, assert_close, bits, differences, double, same_for_any_threads};

const EPS: f32 = 1e-5;

/// Every kind, without and with a bias where there may be one.
const KINDS: [(NormKind, bool); 4] =
    [(NormKind::Rms, false), (NormKind::RmsPlusOne, false), (NormKind::Layer, false), (NormKind::Layer, true)];

fn plain_norm(kind: NormKind, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    plain::norm(kind, &double(x), &double(w), bias.map(double).as_deref(), f64::from(EPS))
}

#[test]
fn norms_equal_the_plain_ones_alone_and_behind_a_sum() {
    for (kind, biased) in KINDS {
        for (n, c) in [(1, 1), (3, 5), (2, 16), (7, 33), (40, 576), (3, 1500)] {
            let mut random = Random::new(c as u64);
            let (x, delta, w) = (random.vec(n * c), random.vec(n * c), random.vec(c));
            let bias = biased.then(|| random.vec(c));
            let (bias, kept) = (bias.as_deref(), n * kind.statistics());
            let (mut y, mut statistics) = (vec![f32::NAN; n * c], vec![f32::NAN; kept]);
            norm(kind, &x, &w, bias, EPS, &mut y, &mut statistics);
            let what = format!("{kind:?} of [{n}, {c}]");
            assert_close(&what, &y, &plain_norm(kind, &x, &w, bias), 1e-6);

            let (mut sum, mut y2, mut statistics2) =
                (vec![f32::NAN; n * c], vec![f32::NAN; n * c], vec![f32::NAN; kept]);
            add_norm(kind, &x, &delta, &w, bias, EPS, &mut sum, &mut y2, &mut statistics2);
            assert_eq!(sum, x.iter().zip(&delta).map(|(x, d)| x + d).collect::<Vec<_>>(), "{what}");
            norm(kind, &sum, &w, bias, EPS, &mut y, &mut statistics);
            assert_eq!((bits(&y), bits(&statistics)), (bits(&y2), bits(&statistics2)), "{what}");
        }
    }
}

#[test]
fn a_layer_norm_of_rows_far_from_zero_keeps_its_digits() {
    // Steps of 2^-13, which single precision can hold at 1000: what is lost is lost by the norm.
    for (n, c) in [(4, 64), (2, 1000), (2, 8192)] {
        let mut random = Random::new(c as u64);
        let x: Vec<f32> = random.vec(n * c).iter().map(|x| 1000.0 + (x * 8192.0).round() / 8192.0).collect();
        let (w, mut y, mut statistics) = (vec![1.0; c], vec![f32::NAN; n * c], vec![f32::NAN; 2 * n]);
        norm(NormKind::Layer, &x, &w, None, EPS, &mut y, &mut statistics);
        // The mean itself is a number of single precision, half a unit in the last place off: 3e-5.
        assert_close("far from zero", &y, &plain_norm(NormKind::Layer, &x, &w, None), 5e-5);
    }
}

#[test]
fn gradients_of_norms_equal_differences() {
    for (kind, biased) in KINDS {
        for (n, c) in [(1, 2), (3, 5), (2, 16), (5, 37), (2, 70)] {
            let mut random = Random::new(c as u64);
            let (x, w, dy) = (random.vec(n * c), random.vec(c), random.vec(n * c));
            let bias = biased.then(|| random.vec(c));
            let (mut y, mut statistics) = (vec![0.0; n * c], vec![0.0; n * kind.statistics()]);
            norm(kind, &x, &w, bias.as_deref(), EPS, &mut y, &mut statistics);
            let (xd, wd, eps) = (double(&x), double(&w), f64::from(EPS));
            let bias = bias.as_deref().map(double);
            let dx_expected = differences(&xd, &dy, |x| plain::norm(kind, x, &wd, bias.as_deref(), eps));
            let dw_expected = differences(&wd, &dy, |w| plain::norm(kind, &xd, w, bias.as_deref(), eps));
            let close = |what: &str, got: &[f32], expected: &[f64]| {
                assert_close(&format!("{kind:?} of [{n}, {c}]: {what}"), got, expected, 3e-6);
            };

            let (mut dx, mut dw) = (vec![f32::NAN; n * c], vec![0.0; c]);
            norm_backward(kind, &x, &w, &statistics, &dy, &mut dx, 0.0, Some(&mut dw));
            // Two elements that are normed to -1 and 1 have next to no gradient.
            if c > 2 {
                close("dx", &dx, &dx_expected);
            }
            close("dw", &dw, &dw_expected);

            let (before_x, before_w) = (random.vec(n * c), random.vec(c));
            let (mut dx, mut dw) = (before_x.clone(), before_w.clone());
            norm_backward(kind, &x, &w, &statistics, &dy, &mut dx, 1.0, Some(&mut dw));
            let plus = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a + f64::from(*b)).collect::<Vec<_>>();
            close("dx accumulated", &dx, &plus(&dx_expected, &before_x));
            close("dw accumulated", &dw, &plus(&dw_expected, &before_w));

            let mut alone = vec![f32::NAN; n * c];
            norm_backward(kind, &x, &w, &statistics, &dy, &mut dx, 0.0, None);
            norm_backward(kind, &x, &w, &statistics, &dy, &mut alone, 0.0, Some(&mut dw));
            assert_eq!(bits(&dx), bits(&alone));
        }
    }
}

#[test]
fn norms_have_the_same_bits_for_any_number_of_threads() {
    let (n, c) = (1500, 129);
    let mut random = Random::new(11);
    let (x, dy, w, bias) = (random.vec(n * c), random.vec(n * c), random.vec(c), random.vec(c));
    for (kind, biased) in KINDS {
        same_for_any_threads(&format!("{kind:?}"), || {
            let (mut y, mut statistics) = (vec![0.0; n * c], vec![0.0; n * kind.statistics()]);
            let (mut dx, mut dw) = (vec![0.0; n * c], vec![0.0; c]);
            norm(kind, &x, &w, biased.then_some(&bias[..]), EPS, &mut y, &mut statistics);
            norm_backward(kind, &x, &w, &statistics, &dy, &mut dx, 0.0, Some(&mut dw));
            [bits(&y), bits(&statistics), bits(&dx), bits(&dw)]
        });
    }
}

#[test]
#[should_panic(expected = "a bias of 2 for Rms of 2")]
fn a_bias_where_there_is_none_is_named() {
    norm(NormKind::Rms, &[1.0; 4], &[1.0; 2], Some(&[0.0; 2]), EPS, &mut [0.0; 4], &mut [0.0; 2]);
}
