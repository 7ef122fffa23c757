//! AdamW with eight-bit moments against its plain twin, and against the one with moments in f32.

mod support;

use luthier_kernels::adamw_8bit::{BLOCK, lengths, plain};
use luthier_kernels::dynamic_map::{SIGNED, UNSIGNED};
use luthier_kernels::{AdamW, adamw, adamw_8bit};
use support::{Random, bits};

fn options(step: u64) -> AdamW {
    AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, step, grad_scale: 0.5 }
}

/// Weights and both moments as the kernel holds them.
#[derive(Clone)]
struct State {
    w: Vec<f32>,
    codes: [Vec<f32>; 2],
    scales: [Vec<f32>; 2],
}

impl State {
    fn new(w: Vec<f32>) -> Self {
        let (words, blocks) = lengths(w.len());
        Self { w, codes: [(); 2].map(|()| vec![0.0; words]), scales: [(); 2].map(|()| vec![0.0; blocks]) }
    }

    fn step(&mut self, g: &[f32], h: &AdamW) {
        let (codes, scales) =
            (self.codes.each_mut().map(Vec::as_mut_slice), self.scales.each_mut().map(Vec::as_mut_slice));
        adamw_8bit(&mut self.w, g, codes, scales, h);
    }

    fn moments(&self) -> [plain::Moment; 2] {
        [0, 1].map(|which| {
            let bytes = self.codes[which].iter().flat_map(|word| word.to_bits().to_le_bytes());
            (bytes.take(self.w.len()).collect(), self.scales[which].clone())
        })
    }
}

/// Gradients of very different sizes, some of them zero.
fn gradient(random: &mut Random, n: usize) -> Vec<f32> {
    let sizes = random.below(9, n);
    let zero = |x: f32, size: u32| if size == 8 { 0.0 } else { x * 10f32.powi(-(size as i32)) };
    random.vec(n).into_iter().zip(sizes).map(|(x, size)| zero(x, size)).collect()
}

#[test]
fn a_step_is_that_of_the_plain_twin() {
    for n in [1, 255, 256, 257, 5000] {
        let mut random = Random::new(n as u64);
        let mut state = State::new(random.vec(n));
        for step in 1..=6 {
            let g = gradient(&mut random, n);
            let before = state.clone();
            state.step(&g, &options(step));
            let (w, moments) = plain::adamw_8bit(&before.w, &g, &before.moments(), &options(step));
            for (i, (ours, plain)) in state.w.iter().zip(&w).enumerate() {
                // A few roundings of what is added up: the weight, and the step it takes.
                let size = f64::from(before.w[i].abs()) + (plain - f64::from(before.w[i])).abs();
                assert!((f64::from(*ours) - plain).abs() <= 3e-7 * size, "{n} {step} {i}: {ours} {plain}");
            }
            for (which, (ours, plain)) in state.moments().iter().zip(&moments).enumerate() {
                for (ours, plain) in ours.1.iter().zip(&plain.1) {
                    assert!((ours - plain).abs() <= 1e-6 * plain, "scale {ours} {plain}");
                }
                // What lies within a rounding of the border between two codes may get either.
                let apart = |(a, b): (&u8, &u8)| a.abs_diff(*b);
                let differences: Vec<u8> = ours.0.iter().zip(&plain.0).map(apart).collect();
                assert!(differences.iter().all(|&apart| apart <= 1), "moment {which} of {n} after {step}");
                let off = differences.iter().filter(|&&apart| apart > 0).count();
                assert!(off * 500 <= n, "moment {which} of {n} after {step}: {off} codes differ");
            }
        }
    }
}

#[test]
fn no_thread_changes_a_bit_and_zeros_stay_zero() {
    let n = 300 * BLOCK + 17;
    let mut random = Random::new(3);
    let (w, g) = (random.vec(n), gradient(&mut random, n));
    let mut together = State::new(w.clone());
    together.step(&g, &options(1));
    for (block, g) in g.chunks(BLOCK).enumerate() {
        let at = block * BLOCK..(block * BLOCK + g.len());
        let mut alone = State::new(w[at.clone()].to_vec());
        alone.step(g, &options(1));
        assert_eq!(bits(&alone.w), bits(&together.w[at]));
        assert_eq!(bits(&alone.codes[0]), bits(&together.codes[0][block * 64..][..64]));
        assert_eq!(alone.scales[1][0], together.scales[1][block]);
    }
    let mut idle = State::new(w.clone());
    idle.step(&vec![0.0; n], &AdamW { weight_decay: 0.0, ..options(1) });
    assert_eq!(idle.w, w);
    assert_eq!(idle.moments()[0].1, vec![0.0; lengths(n).1]);
    assert!(idle.moments()[0].0.iter().all(|&code| SIGNED.values[code as usize] == 0.0));
    assert!(idle.moments()[1].0.iter().all(|&code| UNSIGNED.values[code as usize] == 0.0));
}

#[test]
fn weights_go_nearly_where_moments_in_f32_take_them() {
    let n = 4096;
    let mut random = Random::new(9);
    let target = random.vec(n);
    let (mut state, mut w) = (State::new(vec![0.0; n]), vec![0.0; n]);
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    let loss = |w: &[f32]| w.iter().zip(&target).map(|(w, t)| f64::from((w - t).powi(2))).sum::<f64>();
    let begin = loss(&w);
    for step in 1..=200 {
        let h = AdamW { lr: 1e-2, weight_decay: 0.0, grad_scale: 1.0, ..options(step) };
        let noise = random.vec(n);
        let slope = |w: &[f32]| -> Vec<f32> {
            w.iter().zip(&target).zip(&noise).map(|((w, t), noise)| 2.0 * (w - t) + 0.3 * noise).collect()
        };
        let g = slope(&state.w);
        state.step(&g, &h);
        let g = slope(&w);
        adamw(&mut w, &g, &mut m, &mut v, &h);
    }
    let (ours, full) = (loss(&state.w), loss(&w));
    assert!(full < begin / 50.0 && ours < full * 1.2, "from {begin}: {ours}, in f32 {full}");
}
