//! Progress on stderr: a bar with tokens a second and the time left in a terminal, a line now and then elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use luthier_train::Watch;
use luthier_train::meter::{HeldOutMetrics, StepMetrics};

/// How often a line is written when stderr is no terminal.
const EVERY: Duration = Duration::from_secs(15);

/// A bar over a known number of things.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    label: String,
    hidden: bool,
    last_line: Instant,
}

impl Bar {
    pub(crate) fn new(label: &str, total: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = "{prefix:>10} [{bar:32}] {pos}/{len} {msg} {elapsed} < {eta}";
        let style = ProgressStyle::with_template(style).expect("the template above is valid");
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        let hidden = bar.is_hidden();
        Self { bar, label: label.to_owned(), hidden, last_line: Instant::now() }
    }

    /// A bar over bytes that arrive.
    pub(crate) fn of_bytes(label: &str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = "{prefix} [{bar:32}] {decimal_bytes}/{decimal_total_bytes} {msg} {decimal_bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(style).expect("the template above is valid");
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        let hidden = bar.is_hidden();
        Self { bar, label: label.to_owned(), hidden, last_line: Instant::now() }
    }

    pub(crate) fn set_bytes(&mut self, done: u64, file: &str) {
        let total = self.bar.length().unwrap_or(0);
        if self.hidden && (self.last_line.elapsed() >= EVERY || done == total) {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            eprintln!("{}: {:.1} of {:.1} MB, {file}", self.label, megabytes(done), megabytes(total));
            self.last_line = Instant::now();
        }
        self.bar.set_message(file.to_owned());
        self.bar.set_position(done);
    }

    /// Where the bar starts, when something was done before.
    pub(crate) fn skip(&self, done: usize) {
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
    }

    pub(crate) fn set(&mut self, done: usize, message: String) {
        if self.hidden && (self.last_line.elapsed() >= EVERY || done as u64 == self.bar.length().unwrap_or(0)) {
            eprintln!("{}: {done}/{} {message}", self.label, self.bar.length().unwrap_or(0));
            self.last_line = Instant::now();
        }
        self.bar.set_message(message);
        self.bar.set_position(done as u64);
    }

    pub(crate) fn note(&self, line: &str) {
        if self.hidden { eprintln!("{line}") } else { self.bar.println(line) }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish();
    }
}

/// A bar for rows that several threads count: `(done, total)`.
pub(crate) fn counter(label: &str) -> impl Fn(usize, usize) + Sync {
    let (bar, label) = (Mutex::new(None::<Bar>), label.to_owned());
    move |done, total| {
        if done.is_multiple_of(500) || done == total {
            let mut bar = bar.lock().expect("the bar's lock is never poisoned");
            bar.get_or_insert_with(|| Bar::new(&label, total)).set(done, String::new());
        }
    }
}

/// The training bar.
#[derive(Debug, Default)]
pub(crate) struct TrainingBar {
    bar: Option<Bar>,
    smoothed: Option<f64>,
}

impl Watch for TrainingBar {
    fn start(&mut self, total_steps: usize, done: usize) {
        let bar = Bar::new("train", total_steps);
        bar.skip(done);
        if done > 0 {
            bar.note(&format!("going on from step {done} of {total_steps}"));
        }
        self.bar = Some(bar);
    }

    fn step(&mut self, metrics: &StepMetrics) {
        let before = self.smoothed.unwrap_or(metrics.tokens_per_second);
        let speed = 0.9 * before + 0.1 * metrics.tokens_per_second;
        self.smoothed = Some(speed);
        if let Some(bar) = &mut self.bar {
            bar.set(metrics.step, format!("loss {:.3} {speed:.0} tok/s", metrics.loss));
        }
    }

    fn held_out(&mut self, metrics: &HeldOutMetrics) {
        if let Some(bar) = &self.bar {
            let perplexity = metrics.eval_perplexity;
            bar.note(&format!(
                "step {}: held-out loss {:.4}, perplexity {perplexity:.3}",
                metrics.step, metrics.eval_loss
            ));
        }
    }
}

/// The evaluation bar: one for each file of answers.
#[derive(Debug, Default)]
pub(crate) struct EvaluationBar {
    bar: Option<Bar>,
}

impl luthier_evaluate::Watch for EvaluationBar {
    fn start(&mut self, system: &str, stage: &str, rows: usize) {
        self.bar = Some(Bar::new(&format!("{system} {stage}"), rows));
    }

    fn rows(&mut self, done: usize) {
        if let Some(bar) = &mut self.bar {
            bar.set(done, String::new());
        }
    }

    fn finish(&mut self, system: &str, stage: &str, kept: bool) {
        match self.bar.take() {
            Some(bar) => bar.finish(),
            None if kept => eprintln!("{system} {stage}: there already"),
            None => {}
        }
    }
}
