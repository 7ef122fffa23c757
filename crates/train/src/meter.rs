//! `metrics.jsonl`: one line a step, appended as the run goes; a resumed run first cuts what lies beyond its checkpoint.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

/// What one optimiser step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepMetrics {
    /// Counted from 1.
    pub step: usize,
    /// Epochs done, with the part of the current one.
    pub epoch: f64,
    /// Mean over the step's labelled tokens, in nats.
    pub loss: f64,
    /// The rate this step used.
    pub learning_rate: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Tokens of the step's rows as rendered.
    pub tokens: usize,
    /// Those of them that are learnt.
    pub labelled_tokens: usize,
    /// Rendered tokens a second of this step.
    pub tokens_per_second: f64,
    /// The most memory the process has had, in bytes.
    pub peak_memory_bytes: u64,
}

/// Loss on held-out rows after a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeldOutMetrics {
    /// The step it was taken after.
    pub step: usize,
    /// Epochs done.
    pub epoch: f64,
    /// Mean over labelled tokens, in nats.
    pub eval_loss: f64,
    /// Its exponential.
    pub eval_perplexity: f64,
    /// How many rows.
    pub eval_rows: usize,
}

/// The open file.
#[derive(Debug)]
pub struct Meter {
    path: PathBuf,
    file: File,
}

impl Meter {
    /// Opens the file of a run that goes on behind step `done`: lines of later steps, and a half-written last line
    /// of a killed run, are cut.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path, done: usize) -> io::Result<Self> {
        let kept = match std::fs::read_to_string(path) {
            Ok(text) => text.lines().filter(|line| step_of(line).is_some_and(|step| step <= done)).fold(
                String::new(),
                |mut kept, line| {
                    kept.push_str(line);
                    kept.push('\n');
                    kept
                },
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        luthier_files::write_atomically(path, |file| file.write_all(kept.as_bytes()))?;
        let file = File::options().append(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// What the system said.
    pub fn record(&mut self, metrics: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_string(metrics).expect("numbers can be written");
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn step_of(line: &str) -> Option<usize> {
    let value: Value = serde_json::from_str(line).ok()?;
    value.get("step")?.as_u64().map(|step| step as usize)
}

/// The most memory this process has had, in bytes; 0 where the system does not say.
pub fn peak_memory_bytes() -> u64 {
    kilobytes("/proc/self/status", "VmHWM:") * 1024
}

/// The memory this process has now, in bytes; 0 where the system does not say.
pub fn resident_bytes() -> u64 {
    kilobytes("/proc/self/status", "VmRSS:") * 1024
}

/// The machine's memory in bytes; 0 where the system does not say.
pub fn memory_bytes() -> u64 {
    kilobytes("/proc/meminfo", "MemTotal:") * 1024
}

/// What the processor calls itself, or its architecture where the system does not say.
pub fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(':').nth(1));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned())
}

pub(crate) fn kilobytes(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_keeps_the_lines_up_to_its_checkpoint_and_drops_a_half_written_one() {
        let path = std::env::temp_dir().join(format!("luthier-meter-{}.jsonl", std::process::id()));
        std::fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n{\"st").unwrap();
        let mut meter = Meter::open(&path, 2).unwrap();
        meter.record(&serde_json::json!({"step": 3})).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n");
        std::fs::remove_file(path).unwrap();
    }
}
