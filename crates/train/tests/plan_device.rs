//! The counting device runs the code that trains: what it says of memory is what the CPU then takes.

use luthier_engine::{Device, Grads, Recompute};
use luthier_model::{LoraOptions, Model, Store, Targets};
use luthier_train::optimiser::Optimiser;
use luthier_train::recipe::Adam;
use luthier_train::{Batch, TrainingRow};

/// Two steps of an adapter on a model held so, or of all weights.
fn two_steps(device: &Device, lora: Option<Store>, recompute: Recompute) {
    let dir = luthier_fixtures::model("qwen2-bias-tied");
    let mut model = Model::load_as(&dir, device, lora.unwrap_or_default()).unwrap();
    if lora.is_some() {
        let options = LoraOptions { rank: 4, alpha: 8.0, dropout: 0.1, rslora: false, targets: Targets::AllLinear };
        model.attach_lora(&options, 1).unwrap();
    } else {
        model.train_everything();
    }
    let row = |length: u32| TrainingRow {
        tokens: (0..length).map(|i| (i * 37 + length) % 300).collect(),
        labelled: (0..length).map(|i| i > length / 2).collect(),
    };
    let mut batch = Batch::pack(&[row(30), row(57), row(5)]);
    batch.recompute = recompute;
    let adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let mut optimiser = Optimiser::new(device, &model.params, adam, 0.0);
    let mut grads = Grads::zeros(device, &model.params);
    for step in 1..=2 {
        grads.set_zero();
        batch.backward(&model, 0.1, step, &mut grads).unwrap();
        optimiser.update(&mut model.params, &grads, step, 1e-3, 1.0);
    }
}

#[test]
fn the_counted_peak_is_the_peak_that_training_takes() {
    let stores = [None, Some(Store::F32), Some(Store::Bf16), Some(Store::Int8), Some(Store::Nf4)];
    let modes = [Recompute::None, Recompute::Cheap, Recompute::Block];
    for (lora, recompute) in stores.into_iter().flat_map(|lora| modes.map(|recompute| (lora, recompute))) {
        let (cpu, plan) = (Device::cpu(), Device::plan());
        two_steps(&cpu, lora, recompute);
        two_steps(&plan, lora, recompute);
        assert_eq!(plan.memory().peak, cpu.memory().peak, "{lora:?}, recompute {recompute:?}");
        assert_eq!(plan.memory().held, cpu.memory().held, "{lora:?}, recompute {recompute:?}");
        assert_eq!(plan.memory().current, 0);
        assert!(plan.memory().peak > 100_000);
    }
}

#[test]
fn an_adapter_step_counts_fewer_operations_than_a_full_one() {
    let count = |lora| {
        let plan = Device::plan();
        two_steps(&plan, lora, Recompute::None);
        plan.work().product_operations
    };
    let (full, adapter) = (count(None), count(Some(Store::F32)));
    // Without the weights' gradients a third of the linear maps' work goes; the low-rank terms add a little.
    assert!(adapter < full && adapter > full / 2, "{adapter} of {full}");
}
