//! What to change when a run does not fit the memory, what costs least first.

use luthier_model::Store;
use serde::Serialize;

use crate::error::TrainError;
use crate::estimate::{MemoryEstimate, estimate_memory};
use crate::recipe::{Lora, Method, RecomputeName, Targets, Train};
use crate::rehearsal::Base;
use crate::run::Task;

/// A change of the recipe and the memory it would then take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The key to change.
    pub key: &'static str,
    /// The line to write: `micro_batch_tokens = 512`.
    pub change: String,
    /// What it costs.
    pub cost: &'static str,
    /// Bytes of the device at the peak with this change alone.
    pub device_bytes: usize,
}

/// The changes that take less memory than `now`, in order of what they cost. `fits` tells how many bytes of the device
/// would do.
///
/// # Errors
/// As [`estimate_memory`].
pub fn advise(
    base: Base<'_>,
    task: &Task<'_>,
    now: &MemoryEstimate,
    fits: &dyn Fn(usize) -> bool,
) -> Result<Vec<Advice>, TrainError> {
    let mut list = Vec::new();
    let mut add = |key, change: String, cost, base: Base<'_>, options: &Train| -> Result<usize, TrainError> {
        let device_bytes = estimate_memory(base, &Task { options, ..*task })?.device.total();
        if device_bytes < now.device.total() {
            list.push(Advice { key, change, cost, device_bytes });
        }
        Ok(device_bytes)
    };
    let longest = task.rows.iter().map(|row| row.tokens.len()).max().unwrap_or(1);
    let mut tokens = now.heaviest.tokens.next_power_of_two() / 2;
    while tokens >= longest.max(64) {
        let options = Train { micro_batch_tokens: tokens, ..task.options.clone() };
        let change = format!("train.micro_batch_tokens = {tokens}");
        let bytes = add("train.micro_batch_tokens", change, "no change of the result but rounding", base, &options)?;
        if fits(bytes) {
            break;
        }
        tokens /= 2;
    }
    let modes = [
        (RecomputeName::Cheap, "norms and gates are computed twice: the same result, a few per cent slower"),
        (RecomputeName::Block, "every block is computed twice: the same result, a third slower"),
    ];
    for (recompute, cost) in modes {
        let options = Train { recompute, ..task.options.clone() };
        add("train.recompute", format!("train.recompute = \"{recompute}\""), cost, base, &options)?;
    }
    if matches!(task.options.method, Method::Lora(_)) {
        let stores = [
            (Store::Bf16, "frozen weights to three digits"),
            (Store::Int8, "frozen weights to two digits"),
            (Store::Nf4, "frozen weights in sixteen levels"),
        ];
        for (store, cost) in stores {
            let change = format!("model.store = \"{store}\"");
            add("model.store", change, cost, Base { store, ..base }, task.options)?;
        }
    } else {
        let lora = Lora {
            rank: Some(8),
            alpha: Some(16.0),
            dropout: 0.0,
            targets: Some(Targets::AllLinear),
            rslora: Some(false),
            init: None,
        };
        let options = Train { method: Method::Lora(lora), ..task.options.clone() };
        add(
            "train.method",
            "train.method = \"lora\"".to_owned(),
            "trains an adapter, not every weight",
            base,
            &options,
        )?;
    }
    Ok(list)
}
