//! A run on the counting device: the code that trains, on shapes alone.

use std::path::Path;

use luthier_engine::op::head_loss::logits_rows;
use luthier_engine::{Device, Grads, Work};
use luthier_model::{Config, Model, Store};
use serde::Serialize;

use crate::batch::Batch;
use crate::error::TrainError;
use crate::optimiser::Optimiser;
use crate::recipe::Train;
use crate::setup::{make_trainable, opening};

/// Bytes of the counting device's stretch for what a pass takes: more than there is anywhere.
const ENDLESS: usize = 1 << 60;

/// The model a run starts from, as far as its memory depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// Its shape.
    pub config: &'a Config,
    /// How its weights are held.
    pub store: Store,
}

impl<'a> Base<'a> {
    /// The base model that a run holds.
    pub fn of(model: &'a Model) -> Self {
        Self { config: &model.config, store: model.opening().store }
    }
}

/// Bytes a run takes of a device, by kind. They are there together when the heaviest micro-batch is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceMemory {
    /// The base model.
    pub weights: usize,
    /// The low-rank terms.
    pub adapter: usize,
    /// Of trained weights.
    pub gradients: usize,
    /// The optimiser's moments of trained weights.
    pub optimiser: usize,
    /// Values kept for the backward, their gradients on the way, and the gaps between them.
    pub activations: usize,
    /// The chunk of logits that exists at a time.
    pub logits: usize,
    /// What kernels pack and hold meanwhile.
    pub scratch: usize,
}

impl DeviceMemory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.weights + self.adapter + self.gradients + self.optimiser + self.activations + self.logits + self.scratch
    }

    /// What comes and goes with every micro-batch and is taken from the system before the first.
    pub fn passing(&self) -> usize {
        self.activations + self.logits
    }
}

/// A model, its gradients and its optimiser without numbers.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    model: Model,
    grads: Grads,
    optimiser: Optimiser,
    standing: DeviceMemory,
    /// Bytes that the device held before the first pass.
    held: usize,
    most_labels: usize,
}

impl Rehearsal {
    /// Sets up what stands for the whole run.
    pub(crate) fn new(base: Base<'_>, options: &Train, seed: u64) -> Result<Self, TrainError> {
        let device = Device::plan();
        let mut standing = DeviceMemory::default();
        let mut before = 0;
        let mut since = |kind: &mut usize| {
            let now = device.memory().current;
            *kind = now - before;
            before = now;
        };
        let mut model = Model::of_shape(
            base.config.clone(),
            Path::new("config.json"),
            &device,
            opening(&options.method, base.store),
        )?;
        since(&mut standing.weights);
        make_trainable(&mut model, &options.method, seed)?;
        since(&mut standing.adapter);
        let grads = Grads::zeros(&device, &model.params);
        since(&mut standing.gradients);
        let optimiser = Optimiser::new(&device, &model.params, options.adam, options.weight_decay);
        since(&mut standing.optimiser);
        let held = device.memory().held;
        device.reserve(ENDLESS).expect("counting takes no memory");
        Ok(Self { model, grads, optimiser, standing, held, most_labels: 0 })
    }

    /// Computes a micro-batch; the work it is.
    pub(crate) fn pass(&mut self, batch: &Batch) -> Result<Work, TrainError> {
        self.most_labels = self.most_labels.max(batch.labels.len());
        let before = self.model.device().work();
        batch.backward(&self.model, 1.0, 0, &mut self.grads)?;
        Ok(work_since(self.model.device(), before))
    }

    /// Updates the trained weights; the work it is.
    pub(crate) fn update(&mut self) -> Work {
        let before = self.model.device().work();
        self.grads.norm();
        self.optimiser.update(&mut self.model.params, &self.grads, 1, 1.0, 1.0);
        self.grads.set_zero();
        work_since(self.model.device(), before)
    }

    /// What the passes so far took, the heaviest of them.
    pub(crate) fn memory(&self) -> DeviceMemory {
        let memory = self.model.device().memory();
        let words = self.model.config.vocab_size;
        let logits = self.most_labels.min(logits_rows(words)) * words * 4;
        let passing = memory.held - self.held;
        DeviceMemory { activations: passing.saturating_sub(logits), logits, scratch: memory.scratch, ..self.standing }
    }
}

fn work_since(device: &Device, before: Work) -> Work {
    let now = device.work();
    Work {
        product_operations: now.product_operations - before.product_operations,
        row_kernel_bytes: now.row_kernel_bytes - before.row_kernel_bytes,
    }
}
