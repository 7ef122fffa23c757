//! AdamW with decoupled weight decay (arXiv 1711.05101, as torch.optim.AdamW), state for trained parameters only.

use luthier_engine::{AdamW, Device, Grads, Param, Params, Tensor};

use crate::recipe::Adam;

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
    /// Running mean of gradients, and of their squares.
    means: [Tensor; 2],
}

/// Names under which the moments are saved, as torch calls them.
const NAMES: [&str; 2] = ["exp_avg", "exp_avg_sq"];

impl Optimiser {
    /// Zero moments for the trained of `params`.
    pub fn new(device: &Device, params: &Params, adam: Adam, weight_decay: f64) -> Self {
        let zeros = |param: &Param| Tensor::zeros(device, param.tensor.rows(), param.tensor.cols());
        let moments = params
            .trainable()
            .map(|(_, param)| Moments { name: param.name.clone(), means: [zeros(param), zeros(param)] })
            .collect();
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
            let [m, v] = &mut moments.means;
            let gradient = grads.flat_range(gradient);
            self.device.adamw(param.tensor.view_mut(), gradient, m.view_mut(), v.view_mut(), &options);
        }
    }

    /// The moments by the names they are saved under.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.moments.iter().flat_map(|moments| {
            NAMES.iter().zip(&moments.means).map(|(name, tensor)| (format!("{}.{name}", moments.name), tensor))
        })
    }

    /// The same, to be filled from a checkpoint.
    pub fn state_mut(&mut self) -> impl Iterator<Item = (String, &mut Tensor)> {
        self.moments.iter_mut().flat_map(|moments| {
            let owner = moments.name.clone();
            NAMES.iter().zip(&mut moments.means).map(move |(name, tensor)| (format!("{owner}.{name}"), tensor))
        })
    }
}
