//! Whether a run fits the memory, asked before its first step: a process that is killed in the middle tells nobody why.

use crate::advice::{Advice, advise};
use crate::error::TrainError;
use crate::estimate::{MemoryEstimate, estimate_memory};
use crate::meter::resident_bytes;
use crate::rehearsal::Base;
use crate::room::{gigabytes, room};
use crate::run::Task;

/// Memory that threads, kernels and the files that are written take beside what is counted.
pub const MARGIN: u64 = 4 << 20;

/// The most memory a process takes that has `process` bytes besides those of the device.
pub fn peak_bytes(process: u64, device: usize) -> u64 {
    process + device as u64 + MARGIN
}

/// Counts what a run takes and refuses one that would take more memory than there is. `weights` are the bytes of the device
/// that the process has already.
///
/// # Errors
/// [`TrainError::Memory`], with what to change.
pub fn check_room(base: Base<'_>, task: &Task<'_>, weights: usize) -> Result<MemoryEstimate, TrainError> {
    let estimate = estimate_memory(base, task)?;
    let Some(room) = room().map_err(TrainError::MemoryLimit)? else { return Ok(estimate) };
    let process = resident_bytes().saturating_sub(weights as u64);
    let needed = peak_bytes(process, estimate.device.total());
    if needed <= room.bytes {
        return Ok(estimate);
    }
    let fits = |device| peak_bytes(process, device) <= room.bytes;
    let advice = advise(base, task, &estimate, &fits)?;
    let first = advice.iter().find(|advice| fits(advice.device_bytes)).or(advice.last());
    let key = first.map_or("train.micro_batch_tokens", |advice| advice.key);
    Err(TrainError::Memory { key, why: refusal(&estimate, needed, &room.why, &advice, process) })
}

fn refusal(estimate: &MemoryEstimate, needed: u64, room: &str, advice: &[Advice], process: u64) -> String {
    let heaviest = estimate.heaviest;
    let mut why = format!(
        "does not fit: training takes {} at its heaviest micro-batch (step {}: {} rows, {} tokens), but {room}",
        gigabytes(needed),
        heaviest.step,
        heaviest.rows,
        heaviest.tokens,
    );
    for advice in advice {
        let peak = gigabytes(peak_bytes(process, advice.device_bytes));
        why += &format!("\n    {} takes {peak} ({})", advice.change, advice.cost);
    }
    why + "\n    luthier plan RECIPE shows what takes how much"
}
