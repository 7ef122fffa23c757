//! Gradient checks: what the backward says against central finite differences of the forward.
//!
//! The scalar that is differentiated is `sum(y * r)` with fixed random `r`, so every entry of the Jacobian takes part.

use crate::device::Device;
use crate::params::{Grads, Param, Params};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// Step of the differences. f32 forwards leave about 1e-7 / STEP of noise, third derivatives about STEP^2.
const STEP: f32 = 1e-2;
/// Largest difference allowed, relative to the largest entry of the gradient.
const TOLERANCE: f64 = 2e-3;

/// Random inputs and parameters for an op under test.
#[derive(Clone, Debug)]
pub struct Check {
    device: Device,
    inputs: Vec<Tensor>,
    params: Params,
    draws: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}

impl Check {
    /// No inputs and no parameters yet.
    pub fn new() -> Self {
        Self { device: Device::cpu(), inputs: Vec::new(), params: Params::default(), draws: 0 }
    }

    /// Adds inputs of these shapes, with entries around 0 of size about 1.
    #[must_use]
    pub fn inputs(&self, shapes: &[(usize, usize)]) -> Self {
        let mut check = self.clone();
        for &(rows, cols) in shapes {
            let tensor = check.random(rows, cols);
            check.inputs.push(tensor);
        }
        check
    }

    /// Adds a trained parameter.
    #[must_use]
    pub fn param(&self, name: &str, rows: usize, cols: usize) -> Self {
        self.with_param(name, rows, cols, true)
    }

    /// Adds a frozen parameter.
    #[must_use]
    pub fn frozen(&self, name: &str, rows: usize, cols: usize) -> Self {
        self.with_param(name, rows, cols, false)
    }

    fn with_param(&self, name: &str, rows: usize, cols: usize, trainable: bool) -> Self {
        let mut check = self.clone();
        let tensor = check.random(rows, cols);
        check.params.push(Param { name: name.to_owned(), shape: vec![rows, cols], tensor, trainable });
        check
    }

    /// The parameters added so far.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Checks the gradient of every entry of every input and trained parameter of `f`.
    ///
    /// # Panics
    /// If one disagrees, naming it.
    pub fn gradients(&self, f: impl Fn(&mut Tape<'_>, &[Var]) -> Var) {
        let mut weights = None;
        self.loss_gradients_of(|tape, inputs, grads, wanted| {
            let y = f(tape, inputs);
            let r = weights.get_or_insert_with(|| self.clone().random(y.tensor.rows(), y.tensor.cols())).clone();
            let loss = y.tensor.to_vec().iter().zip(r.to_vec()).map(|(a, b)| f64::from(a * b)).sum();
            let gradients = grads.map(|grads| {
                let spare = Tape::inference(&self.device, tape.params());
                let used = std::mem::replace(tape, spare);
                used.backward_to(&y, r, grads, wanted)
            });
            (loss, gradients)
        });
    }

    /// The same for a function that computes a scalar and, when given gradients, its own backward: checks parameters.
    ///
    /// # Panics
    /// If one disagrees, naming it.
    pub fn loss_gradients(&self, f: impl Fn(Tape<'_>, &[Var], Option<&mut Grads>, f32) -> f64) {
        self.loss_gradients_of(|tape, inputs, grads, _| {
            let spare = Tape::inference(&self.device, tape.params());
            let used = std::mem::replace(tape, spare);
            (f(used, inputs, grads, 0.37), Some(Vec::new()))
        });
    }

    #[allow(clippy::type_complexity, reason = "one private callback")]
    fn loss_gradients_of(
        &self,
        mut f: impl FnMut(&mut Tape<'_>, &[Var], Option<&mut Grads>, &[&Var]) -> (f64, Option<Vec<Option<Tensor>>>),
    ) {
        let mut grads = Grads::zeros(&self.device, &self.params);
        let mut tape = Tape::training(&self.device, &self.params);
        let vars: Vec<Var> = self.inputs.iter().map(|input| tape.input(input.clone())).collect();
        let wanted: Vec<&Var> = vars.iter().collect();
        let (_, input_gradients) = f(&mut tape, &vars, Some(&mut grads), &wanted);
        let mut evaluate = |inputs: &[Tensor], params: &Params| {
            let mut tape = Tape::training(&self.device, params);
            let vars: Vec<Var> = inputs.iter().map(|input| tape.input(input.clone())).collect();
            f(&mut tape, &vars, None, &[]).0
        };
        for (index, gradient) in input_gradients.into_iter().flatten().enumerate() {
            let size = self.inputs[index].rows() * self.inputs[index].cols();
            let analytic = gradient.map_or_else(|| vec![0.0; size], |tensor| tensor.to_vec());
            let numeric = differences(&self.inputs[index], |changed| {
                let mut inputs = self.inputs.clone();
                inputs[index] = changed;
                evaluate(&inputs, &self.params)
            });
            compare(&format!("input {index}"), &analytic, &numeric);
        }
        for (id, param) in self.params.trainable() {
            let view = grads.view(&self.params, id).expect("it is trained");
            let analytic = self.device.download(view);
            let numeric = differences(&param.tensor, |changed| {
                let mut params = self.params.clone();
                params.get_mut(id).tensor = changed;
                evaluate(&self.inputs, &params)
            });
            compare(&param.name, &analytic, &numeric);
        }
    }

    fn random(&mut self, rows: usize, cols: usize) -> Tensor {
        let data: Vec<f32> = (0..rows * cols).map(|_| self.draw()).collect();
        Tensor::from_slice(&self.device, rows, cols, &data)
    }

    /// Uniform in -1..1, from a fixed sequence (SplitMix64).
    fn draw(&mut self) -> f32 {
        self.draws += 1;
        let mut z = self.draws.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    }
}

fn differences(tensor: &Tensor, mut evaluate: impl FnMut(Tensor) -> f64) -> Vec<f64> {
    let data = tensor.to_vec();
    let mut at = |index: usize, change: f32| {
        let mut changed = data.clone();
        changed[index] += change;
        evaluate(Tensor::from_slice(tensor.device(), tensor.rows(), tensor.cols(), &changed))
    };
    (0..data.len()).map(|index| (at(index, STEP) - at(index, -STEP)) / f64::from(2.0 * STEP)).collect()
}

fn compare(name: &str, analytic: &[f32], numeric: &[f64]) {
    let largest = numeric.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert!(largest > 1e-3, "{name}: the check has no gradient to compare");
    for (index, (&a, &n)) in analytic.iter().zip(numeric).enumerate() {
        let difference = (f64::from(a) - n).abs();
        assert!(difference <= TOLERANCE * largest, "{name}[{index}]: backward {a}, differences {n}");
    }
}
