//! AdamW with decoupled weight decay (arXiv 1711.05101, as torch.optim.AdamW), state for trained parameters only; on request
//! in eight bits (arXiv 2110.02861).

use luthier_engine::{AdamW, Device, Grads, Param, Params, Tensor, eight_bit_lengths};

use crate::recipe::{Adam, AdamState};

/// First and second moments of every trained parameter.
#[derive(Debug)]
pub struct Optimiser {
    moments: Vec<Moments>,
    adam: Adam,
    weight_decay: f64,
    device: Device,
}

#[derive(Debug)]
struct Moments {
    name: String,
    held: Held,
}

/// Running mean of gradients, and of their squares.
#[derive(Debug)]
enum Held {
    F32([Tensor; 2]),
    /// Four codes in the bits of each number, and the scale of each block.
    EightBit {
        codes: [Tensor; 2],
        scales: [Tensor; 2],
    },
}

/// Names under which the moments are saved, as torch calls them.
const NAMES: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// Parameters of fewer numbers keep moments in f32, as bitsandbytes does: nothing is saved on them.
const LEAST_IN_EIGHT_BITS: usize = 4096;

/// What a tensor of the state holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Numbers.
    Numbers,
    /// Bytes, four in the bits of each number.
    Bytes,
}

impl Held {
    fn zero(device: &Device, param: &Param, state: AdamState) -> Self {
        let zeros = |rows, cols| [(); 2].map(|()| Tensor::zeros(device, rows, cols));
        let (rows, cols) = (param.tensor.rows(), param.tensor.cols());
        if state == AdamState::F32 || rows * cols < LEAST_IN_EIGHT_BITS {
            return Self::F32(zeros(rows, cols));
        }
        let (codes, blocks) = eight_bit_lengths(rows * cols);
        Self::EightBit { codes: zeros(blocks, codes / blocks), scales: zeros(blocks, 1) }
    }

    /// Its tensors, with what follows the parameter's name in theirs.
    fn tensors(&self) -> Vec<(String, Content, &Tensor)> {
        match self {
            Self::F32(means) => named("", Content::Numbers, means.each_ref()).collect(),
            Self::EightBit { codes, scales } => named(".codes", Content::Bytes, codes.each_ref())
                .chain(named(".absmax", Content::Numbers, scales.each_ref()))
                .collect(),
        }
    }

    /// The same, to be filled.
    fn tensors_mut(&mut self) -> Vec<(String, Content, &mut Tensor)> {
        match self {
            Self::F32(means) => named("", Content::Numbers, means.each_mut()).collect(),
            Self::EightBit { codes, scales } => named(".codes", Content::Bytes, codes.each_mut())
                .chain(named(".absmax", Content::Numbers, scales.each_mut()))
                .collect(),
        }
    }
}

fn named<T>(suffix: &str, content: Content, pair: [T; 2]) -> impl Iterator<Item = (String, Content, T)> {
    NAMES.into_iter().zip(pair).map(move |(name, tensor)| (format!("{name}{suffix}"), content, tensor))
}

impl Optimiser {
    /// Zero moments for the trained of `params`.
    pub fn new(device: &Device, params: &Params, adam: Adam, weight_decay: f64) -> Self {
        let zero = |param: &Param| Held::zero(device, param, adam.state);
        let moments =
            params.trainable().map(|(_, param)| Moments { name: param.name.clone(), held: zero(param) }).collect();
        Self { moments, adam, weight_decay, device: device.clone() }
    }

    /// One update. `step` counts from 1; `clip` is multiplied into every gradient. Norm weights and biases (all
    /// vectors) do not decay, as in transformers' Trainer.
    pub fn update(&mut self, params: &mut Params, grads: &Grads, step: u64, learning_rate: f64, clip: f64) {
        let ids: Vec<_> = params.trainable().map(|(id, _)| id).collect();
        for (id, moments) in ids.into_iter().zip(&mut self.moments) {
            let gradient = grads.range(params, id).expect("a trained parameter has a gradient");
            let param = params.get_mut(id);
            let decays = param.shape.len() > 1;
            let options = AdamW {
                lr: learning_rate,
                beta1: self.adam.beta1,
                beta2: self.adam.beta2,
                eps: self.adam.eps,
                weight_decay: if decays { self.weight_decay } else { 0.0 },
                step,
                grad_scale: clip,
            };
            let (weights, gradient) = (param.tensor.view_mut(), grads.flat_range(gradient));
            match &mut moments.held {
                Held::F32([m, v]) => self.device.adamw(weights, gradient, m.view_mut(), v.view_mut(), &options),
                Held::EightBit { codes, scales } => {
                    let (codes, scales) =
                        (codes.each_mut().map(Tensor::view_mut), scales.each_mut().map(Tensor::view_mut));
                    self.device.adamw_8bit(weights, gradient, codes, scales, &options);
                }
            }
        }
    }

    /// The moments by the names they are saved under.
    pub fn state(&self) -> impl Iterator<Item = (String, Content, &Tensor)> {
        self.moments.iter().flat_map(|Moments { name: owner, held }| {
            held.tensors().into_iter().map(move |(name, content, tensor)| (format!("{owner}.{name}"), content, tensor))
        })
    }

    /// The same, to be filled from a checkpoint.
    pub fn state_mut(&mut self) -> impl Iterator<Item = (String, Content, &mut Tensor)> {
        self.moments.iter_mut().flat_map(|Moments { name: owner, held }| {
            let (owner, tensors) = (owner.as_str(), held.tensors_mut().into_iter());
            tensors.map(move |(name, content, tensor)| (format!("{owner}.{name}"), content, tensor))
        })
    }
}
