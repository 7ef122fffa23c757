//! The learning rate of every step.
//!
//! The lambdas are those of transformers' `get_{constant_with_warmup,linear,cosine}_schedule`; step `t` counts from 0, so the
//! first step of a warm-up has a rate of 0. The rate given here is the one the step uses, and `metrics.jsonl` logs
//! that one; transformers' Trainer logs the rate of the step that follows.

use crate::recipe::{Amount, ScheduleKind};

/// A course of the learning rate over a whole run.
///
/// ```
/// use luthier_train::recipe::{Amount, ScheduleKind};
/// use luthier_train::Schedule;
/// let schedule = Schedule::new(ScheduleKind::Linear, Amount::Count(2), 12, 1e-3);
/// assert_eq!(schedule.learning_rate(0), 0.0);
/// assert_eq!(schedule.learning_rate(1), 0.5e-3);
/// assert_eq!(schedule.learning_rate(2), 1e-3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The course after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of rising rate.
    pub warmup_steps: usize,
    /// Steps of the run.
    pub total_steps: usize,
    /// The highest rate.
    pub peak: f64,
}

impl Schedule {
    /// A warm-up given as a fraction takes that share of `total_steps`, rounded up (`TrainingArguments.get_warmup_steps`).
    pub fn new(kind: ScheduleKind, warmup: Amount, total_steps: usize, peak: f64) -> Self {
        Self { kind, warmup_steps: warmup.of(total_steps), total_steps, peak }
    }

    /// The rate that optimiser step `step`, counted from 0, uses.
    pub fn learning_rate(&self, step: usize) -> f64 {
        self.peak * self.share(step)
    }

    fn share(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        let length = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => self.total_steps.saturating_sub(step) as f64 / length,
            ScheduleKind::Cosine => {
                let progress = (step - self.warmup_steps) as f64 / length;
                (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: &Schedule, steps: std::ops::Range<usize>) -> Vec<f64> {
        steps.map(|step| schedule.learning_rate(step)).collect()
    }

    #[test]
    fn a_linear_schedule_rises_from_zero_and_falls_to_zero() {
        let schedule = Schedule::new(ScheduleKind::Linear, Amount::Count(2), 6, 1.0);
        assert_eq!(rates(&schedule, 0..8), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn a_cosine_schedule_is_at_half_its_peak_halfway() {
        let schedule = Schedule::new(ScheduleKind::Cosine, Amount::Count(0), 4, 2.0);
        let expected = [2.0, 1.0 + 0.5_f64.sqrt(), 1.0, 1.0 - 0.5_f64.sqrt(), 0.0];
        for (rate, expected) in rates(&schedule, 0..5).iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-15, "{rate} {expected}");
        }
    }

    #[test]
    fn a_constant_schedule_stays_at_its_peak_after_the_warmup() {
        let schedule = Schedule::new(ScheduleKind::Constant, Amount::Count(4), 6, 4.0);
        assert_eq!(rates(&schedule, 0..7), [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
        let flat = Schedule::new(ScheduleKind::Constant, Amount::Count(0), 6, 4.0);
        assert_eq!(flat.learning_rate(0), 4.0);
    }

    #[test]
    fn a_fraction_of_warmup_is_rounded_up() {
        let warmup =
            |fraction, total| Schedule::new(ScheduleKind::Linear, Amount::Fraction(fraction), total, 1.0).warmup_steps;
        assert_eq!(warmup(0.03, 100), 3);
        assert_eq!(warmup(0.03, 101), 4);
        assert_eq!(warmup(0.0, 101), 0);
        assert_eq!(warmup(0.5, 1), 1);
    }

    #[test]
    fn a_warmup_as_long_as_the_run_or_longer_stays_finite() {
        for kind in [ScheduleKind::Constant, ScheduleKind::Linear, ScheduleKind::Cosine] {
            let schedule = Schedule::new(kind, Amount::Count(9), 3, 1.0);
            assert!(rates(&schedule, 0..20).iter().all(|rate| (0.0..=1.0).contains(rate)));
        }
    }

    #[test]
    fn the_rates_equal_those_of_transformers_schedules() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../fixtures/optimisation.json")).unwrap();
        let mut compared = 0;
        for case in golden["schedules"].as_array().unwrap() {
            let kind = match case["kind"].as_str().unwrap() {
                // The one of these that has no warm-up, whatever is asked for; ours has.
                "constant" => continue,
                "constant_with_warmup" => ScheduleKind::Constant,
                name => ScheduleKind::from_name(name).unwrap(),
            };
            let count = |field: &str| case[field].as_u64().unwrap() as usize;
            let schedule = Schedule::new(kind, Amount::Count(count("warmup")), count("steps"), 1.0);
            for (step, golden) in case["rates"].as_array().unwrap().iter().enumerate() {
                let (rate, golden) = (schedule.learning_rate(step), golden.as_f64().unwrap());
                assert!((rate - golden).abs() < 1e-11, "{case}: step {step}, {rate}");
                compared += 1;
            }
        }
        assert_eq!(compared, 192);
    }

    #[test]
    fn the_rates_equal_those_that_transformers_logged() {
        let (file, what) = ("models/stories260K/golden/hf_train.json", "learning rates of transformers' Trainer");
        let Some(path) = luthier_fixtures::shared_for(file, what) else { return };
        let golden = luthier_fixtures::json(&path);
        for run in ["full_linear", "full_cosine_ga1", "lora_qv", "lora_all_rslora"] {
            let args = &golden[run]["args"];
            let kind = ScheduleKind::from_name(args["lr_scheduler_type"].as_str().unwrap()).unwrap();
            let warmup = Amount::Count(args["warmup_steps"].as_u64().unwrap() as usize);
            let schedule = Schedule::new(kind, warmup, 12, args["learning_rate"].as_f64().unwrap());
            let log = golden[run]["log"].as_array().unwrap();
            let logged: Vec<_> = log.iter().filter(|entry| entry["learning_rate"].is_f64()).collect();
            assert_eq!(logged.len(), 12, "{run}");
            for entry in logged {
                // After its n-th step (from 1) the Trainer logs the rate of step n counted from 0.
                let rate = schedule.learning_rate(entry["step"].as_u64().unwrap() as usize);
                let golden = entry["learning_rate"].as_f64().unwrap();
                assert!((rate - golden).abs() <= 1e-12 * golden.max(1e-6), "{run}: {rate} {golden}");
            }
        }
    }
}
