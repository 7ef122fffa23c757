//! What to change when a run does not fit the memory, what costs least first.

use luthier_model::Store;
use serde::Serialize;

use crate::error::TrainError;
use crate::estimate::{MemoryEstimate, estimate_memory};
use crate::recipe::{AdamState, Lora, Method, RecomputeName, Train};
use crate::rehearsal::Base;
use crate::run::Task;

/// A change of the recipe and the memory it would then take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The key to change, the first where there are several.
    pub key: &'static str,
    /// The lines to write: `train.micro_batch_tokens = 512`.
    pub change: String,
    /// What it costs.
    pub cost: &'static str,
    /// Bytes of the device at the peak with this change.
    pub device_bytes: usize,
}

/// Makes a change.
type Apply = Box<dyn Fn(&mut Store, &mut Train)>;

/// One key to change.
struct Change {
    key: &'static str,
    value: String,
    cost: &'static str,
    apply: Apply,
}

/// The changes that take less memory than `now`, each alone, in order of what they cost; where none alone is enough, in the
/// end as many of them together as are. `fits` tells how many bytes of the device would do.
///
/// # Errors
/// As [`estimate_memory`].
pub fn advise(
    base: Base<'_>,
    task: &Task<'_>,
    now: &MemoryEstimate,
    fits: &dyn Fn(usize) -> bool,
) -> Result<Vec<Advice>, TrainError> {
    let bytes_with = |changes: &[&Change]| -> Result<usize, TrainError> {
        let (mut store, mut options) = (base.store, task.options.clone());
        changes.iter().for_each(|change| (change.apply)(&mut store, &mut options));
        Ok(estimate_memory(Base { store, ..base }, &Task { options: &options, ..*task })?.device.total())
    };
    let changes = changes(task, now);
    let (mut list, mut helpful) = (Vec::new(), Vec::new());
    let mut small_enough = false;
    for change in &changes {
        let is_size = change.key == MICRO_BATCH;
        if is_size && small_enough {
            continue;
        }
        let device_bytes = bytes_with(&[change])?;
        if device_bytes < now.device.total() {
            small_enough |= is_size && fits(device_bytes);
            let text = format!("{} = {}", change.key, change.value);
            list.push(Advice { key: change.key, change: text, cost: change.cost, device_bytes });
            helpful.push(change);
        }
    }
    if !list.iter().any(|advice| fits(advice.device_bytes)) {
        list.extend(together(&helpful, &bytes_with, fits)?);
    }
    Ok(list)
}

const MICRO_BATCH: &str = "train.micro_batch_tokens";

/// As many of the changes, in their order, as fit; none if all do not.
fn together(
    changes: &[&Change],
    bytes_with: &dyn Fn(&[&Change]) -> Result<usize, TrainError>,
    fits: &dyn Fn(usize) -> bool,
) -> Result<Option<Advice>, TrainError> {
    let mut taken: Vec<&Change> = Vec::new();
    for &change in changes {
        // A later value of a key takes the place of an earlier one.
        taken.retain(|earlier| earlier.key != change.key);
        taken.push(change);
        let device_bytes = bytes_with(&taken)?;
        if taken.len() > 1 && fits(device_bytes) {
            let lines: Vec<String> = taken.iter().map(|change| format!("{} = {}", change.key, change.value)).collect();
            let key = taken[0].key;
            return Ok(Some(Advice { key, change: lines.join(", "), cost: "together", device_bytes }));
        }
    }
    Ok(None)
}

/// All that can be changed, what costs least first; smaller micro-batches down to the longest row.
fn changes(task: &Task<'_>, now: &MemoryEstimate) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |key, value: String, cost, apply: Apply| {
        changes.push(Change { key, value, cost, apply });
    };
    let longest = task.rows.iter().map(|row| row.tokens.len()).max().unwrap_or(1);
    let mut tokens = now.heaviest.tokens;
    while tokens > longest {
        tokens = (tokens / 2).max(longest);
        let apply = Box::new(move |_: &mut Store, options: &mut Train| options.micro_batch_tokens = tokens);
        add(MICRO_BATCH, tokens.to_string(), "the result changes in rounding alone", apply);
    }
    let mut recompute = |mode: RecomputeName, cost| {
        let apply = Box::new(move |_: &mut Store, options: &mut Train| options.recompute = mode);
        add("train.recompute", format!("\"{mode}\""), cost, apply);
    };
    recompute(RecomputeName::Cheap, "the same result, a few per cent slower");
    recompute(RecomputeName::Block, "the same result, a third slower");
    if matches!(task.options.method, Method::Lora(_)) {
        let stores = [
            (Store::Bf16, "frozen weights are rounded to three digits"),
            (Store::Int8, "frozen weights are rounded to two digits"),
            (Store::Nf4, "frozen weights are rounded to sixteen levels"),
        ];
        for (to, cost) in stores {
            let apply = Box::new(move |store: &mut Store, _: &mut Train| *store = to);
            add("model.store", format!("\"{to}\""), cost, apply);
        }
    } else {
        let eight_bit = Box::new(|_: &mut Store, options: &mut Train| options.adam.state = AdamState::EightBit);
        add("train.adam.state", "\"8bit\"".to_owned(), "the optimiser's means are rounded to two digits", eight_bit);
        let apply = Box::new(|_: &mut Store, options: &mut Train| options.method = Method::Lora(Lora::of_defaults()));
        add("train.method", "\"lora\"".to_owned(), "an adapter is trained, not every weight", apply);
    }
    changes
}
