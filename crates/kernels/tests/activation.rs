//! Activations and the functions they are made of against their plain twins, their gradients against differences.

mod support;

use luthier_kernels::activation::{Activation, activate, activate_backward, gated, gated_backward, plain};
use luthier_kernels::exp;
use support::{Random, assert_close, bits, differences, double, same_for_any_threads};

const ALL: [Activation; 5] =
    [Activation::Silu, Activation::GeluTanh, Activation::Gelu, Activation::Relu, Activation::QuickGelu];

#[test]
fn the_exponential_is_within_two_units_in_the_last_place() {
    let mut worst = 0.0f64;
    let mut check = |x: f32| {
        let expected = f64::from(x).exp();
        let unit = f64::from((expected as f32).next_up()) - f64::from(expected as f32);
        worst = worst.max((f64::from(exp::exp(x)) - expected).abs() / unit);
    };
    (-8_700_000..8_872_000).step_by(7).for_each(|i| check(i as f32 * 1e-5));
    (0..100_000).for_each(|i| check(i as f32 * 1e-9));
    (-10_300..-8_700).for_each(|i| check(i as f32 * 1e-2));
    assert!(worst <= 2.0, "{worst} units");
}

#[test]
fn the_exponential_has_the_right_ends() {
    assert_eq!(exp::exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(exp::exp(-1e30), 0.0);
    assert_eq!(exp::exp(-104.5), 0.0);
    assert_eq!(exp::exp(0.0), 1.0);
    assert_eq!(exp::exp(-0.0), 1.0);
    assert_eq!(exp::exp(89.0), f32::INFINITY);
    assert_eq!(exp::exp(f32::INFINITY), f32::INFINITY);
    assert!(exp::exp(88.72).is_finite());
    assert!(exp::exp(f32::NAN).is_nan());
    assert_eq!((exp::sigmoid(-200.0), exp::sigmoid(200.0)), (0.0, 1.0));
}

#[test]
fn the_hyperbolic_tangent_is_within_four_units_in_the_last_place() {
    let mut worst = 0.0f64;
    let mut check = |x: f32| {
        let expected = f64::from(x).tanh();
        let unit = f64::from((expected.abs() as f32).next_up()) - f64::from(expected.abs() as f32);
        worst = worst.max((f64::from(exp::tanh(x)) - expected).abs() / unit);
    };
    (-1_200_000..1_200_000).step_by(3).for_each(|i| check(i as f32 * 1e-5));
    (0..100_000).for_each(|i| check(i as f32 * 1e-9));
    assert!(worst <= 4.0, "{worst} units");
    assert_eq!((exp::tanh(f32::INFINITY), exp::tanh(f32::NEG_INFINITY)), (1.0, -1.0));
    assert_eq!((exp::tanh(1e30), exp::tanh(-20.0)), (1.0, -1.0));
    assert_eq!(bits(&[exp::tanh(-0.0), exp::tanh(0.0)]), bits(&[-0.0, 0.0]));
    assert!(exp::tanh(f32::NAN).is_nan());
}

#[test]
fn the_plain_error_function_has_the_values_of_the_tables() {
    // Abramowitz and Stegun, table 7.1; the last one by Python's math.erf.
    for (x, expected) in
        [(0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0), (3.0, 0.999_977_909_5)]
    {
        assert!((exp::plain::erf(x) - expected).abs() < 1e-10, "erf({x}) = {}", exp::plain::erf(x));
        assert!((exp::plain::erf(-x) + expected).abs() < 1e-10);
    }
    assert_eq!((exp::plain::erf(0.0), exp::plain::erf(7.0), exp::plain::erf(-7.0)), (0.0, 1.0, -1.0));
}

#[test]
fn the_normal_distribution_is_within_a_tenth_of_a_millionth() {
    let (mut off, mut off_density, mut off_tail) = (0.0f64, 0.0f64, 0.0f64);
    let mut check = |x: f32| {
        let (below, density) = exp::normal(x);
        let (below, x) = (f64::from(below), f64::from(x));
        let expected = 0.5 * (1.0 + exp::plain::erf(x / std::f64::consts::SQRT_2));
        off = off.max((below - expected).abs());
        let bell = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        off_density = off_density.max((f64::from(density) - bell).abs());
        // The plain sum has some twelve digits behind the point.
        if (-5.0..0.0).contains(&x) {
            off_tail = off_tail.max((below - expected).abs() / expected);
        }
    };
    (-800_000..800_000).step_by(3).for_each(|i| check(i as f32 * 1e-5));
    assert!(off <= 1e-7 && off_density <= 1e-7 && off_tail <= 1e-6, "{off:e} {off_density:e} {off_tail:e}");
    assert_eq!((exp::normal(0.0).0, exp::normal(20.0).0, exp::normal(-20.0).0), (0.5, 1.0, 0.0));
    assert_eq!((exp::normal(f32::INFINITY), exp::normal(f32::NEG_INFINITY)), ((1.0, 0.0), (0.0, 0.0)));
    assert!(exp::normal(f32::NAN).0.is_nan());
}

#[test]
fn activations_alone_and_as_gates_equal_the_plain_ones() {
    for activation in ALL {
        for n in [1, 15, 16, 100, 20_000] {
            let mut random = Random::new(n as u64);
            let mut gate: Vec<f32> = random.vec(n).iter().map(|x| 8.0 * x).collect();
            // What is far below zero is measured by something that is not.
            gate[0] = 1.5;
            let (up, dy) = (random.vec(n), random.vec(n));
            let (mut alone, mut y) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            activate(activation, &gate, &mut alone);
            gated(activation, &gate, &up, &mut y);
            let (g, u) = (double(&gate), double(&up));
            assert_close(&format!("{activation:?}"), &alone, &plain::activate(activation, &g), 1e-6);
            assert_close(&format!("gated {activation:?}"), &y, &plain::gated(activation, &g, &u), 1e-6);
            if n <= 100 {
                let (mut dx, mut dgate, mut dup) = (vec![f32::NAN; n], vec![f32::NAN; n], vec![f32::NAN; n]);
                activate_backward(activation, &gate, &dy, &mut dx);
                gated_backward(activation, &gate, &up, &dy, &mut dgate, &mut dup);
                let close = |what: &str, got: &[f32], expected: &[f64]| {
                    assert_close(&format!("{activation:?}: {what}"), got, expected, 1e-6);
                };
                close("dx", &dx, &differences(&g, &dy, |g| plain::activate(activation, g)));
                close("dgate", &dgate, &differences(&g, &dy, |g| plain::gated(activation, g, &u)));
                close("dup", &dup, &differences(&u, &dy, |u| plain::gated(activation, &g, u)));
            }
        }
    }
}

#[test]
fn activations_of_extreme_inputs_are_finite_and_of_no_number_no_number() {
    for activation in ALL {
        let x = [-1e30, -1000.0, -88.0, 0.0, 88.0, 1000.0, 1e30];
        let [mut y, mut dx, mut dgate, mut dup] = [[f32::NAN; 7]; 4];
        activate(activation, &x, &mut y);
        activate_backward(activation, &x, &[1.0; 7], &mut dx);
        gated_backward(activation, &x, &[1.0; 7], &[1.0; 7], &mut dgate, &mut dup);
        assert_eq!((&y[..2], &y[4..]), (&[0.0; 2][..], &x[4..]), "{activation:?}");
        assert_eq!((&dx[..2], &dx[4..]), (&[0.0; 2][..], &[1.0; 3][..]), "{activation:?}");
        assert!([y, dx, dgate, dup].concat().iter().all(|x| x.is_finite()), "{activation:?}: {y:?} {dx:?}");
        let mut none = [0.0];
        activate(activation, &[f32::NAN], &mut none);
        assert!(none[0].is_nan(), "{activation:?}");
    }
}

#[test]
fn activations_have_the_same_bits_for_any_number_of_threads() {
    let n = 190_001;
    let mut random = Random::new(11);
    let (x, up, dy) = (random.vec(n), random.vec(n), random.vec(n));
    for activation in ALL {
        same_for_any_threads(&format!("{activation:?}"), || {
            let [mut y, mut dx, mut z, mut dgate, mut dup] = [(); 5].map(|()| vec![0.0; n]);
            activate(activation, &x, &mut y);
            activate_backward(activation, &x, &dy, &mut dx);
            gated(activation, &x, &up, &mut z);
            gated_backward(activation, &x, &up, &dy, &mut dgate, &mut dup);
            [bits(&y), bits(&dx), bits(&z), bits(&dgate), bits(&dup)]
        });
    }
}
