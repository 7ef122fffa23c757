//! A watcher that keeps what every step says.

use luthier_train::Watch;
use luthier_train::meter::{HeldOutMetrics, StepMetrics};

#[derive(Default)]
pub(crate) struct Steps(pub(crate) Vec<StepMetrics>);

impl Watch for Steps {
    fn start(&mut self, _: usize, _: usize) {}

    fn step(&mut self, metrics: &StepMetrics) {
        self.0.push(*metrics);
    }

    fn held_out(&mut self, _: &HeldOutMetrics) {}
}
