//! `--profile`: where the time of training went, as a table and as `profile.json`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use luthier_engine::{Device, ProductKind, ProductShape, Profile, Spent};
use luthier_train::Watch;
use luthier_train::meter::{HeldOutMetrics, StepMetrics};
use serde_json::{Value, json};

use crate::cmd::Failure;
use crate::table::align;

/// Rows of the table with less than this share of the time are left to the file.
const SHOWN: f64 = 0.001;

/// Takes the device's profile when the first step begins and after each step, for another watcher.
#[derive(Debug)]
pub(crate) struct Profiling<W> {
    inner: W,
    device: Device,
    begin: Option<Profile>,
    end: Option<Profile>,
    steps: usize,
}

impl<W: Watch> Profiling<W> {
    pub(crate) fn new(inner: W, device: &Device) -> Self {
        Self { inner, device: device.clone(), begin: None, end: None, steps: 0 }
    }

    /// What the steps took, and how many there were; `None` when there was none.
    pub(crate) fn steps(&self) -> Option<(Profile, usize)> {
        Some((self.end.as_ref()?.since(self.begin.as_ref()?), self.steps))
    }
}

impl<W: Watch> Watch for Profiling<W> {
    fn start(&mut self, total_steps: usize, done: usize) {
        self.inner.start(total_steps, done);
        self.begin = self.device.profile();
    }

    fn step(&mut self, metrics: &StepMetrics) {
        self.end = self.device.profile();
        self.steps += 1;
        self.inner.step(metrics);
    }

    fn held_out(&mut self, metrics: &HeldOutMetrics) {
        self.inner.held_out(metrics);
    }
}

/// A line for each kernel, and for each shape of weight a product ran over: `[out, in]`, whatever the tokens.
pub(crate) fn table(profile: &Profile, steps: usize) -> String {
    let mut groups: BTreeMap<(String, String), Spent> = BTreeMap::new();
    for row in &profile.rows {
        let (op, shape) = match &row.product {
            Some(shape) => (format!("{} {}", row.op, shape.kind), weight(shape)),
            None => (row.op.to_owned(), String::new()),
        };
        let sum = groups.entry((op, shape)).or_default();
        *sum = sum.plus(&row.spent);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, spent)| std::cmp::Reverse(spent.time));

    let all = profile.elapsed.as_secs_f64();
    let header = ["op", "weight", "calls", "seconds", "share", "GFLOP/s", "GB/s"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    let mut line = |op: &str, shape: &str, spent: &Spent| lines.push(cells(op, shape, spent, all));
    let (shown, small): (Vec<_>, Vec<_>) =
        groups.iter().partition(|(_, spent)| spent.time.as_secs_f64() >= SHOWN * all);
    for ((op, shape), spent) in &shown {
        line(op, shape, spent);
    }
    let sum = |groups: &mut dyn Iterator<Item = &Spent>| groups.fold(Spent::default(), |sum, spent| sum.plus(spent));
    let products = sum(&mut profile.rows.iter().filter(|row| row.product.is_some()).map(|row| &row.spent));
    if !small.is_empty() {
        line(&format!("({} more)", small.len()), "", &sum(&mut small.iter().map(|(_, spent)| spent)));
    }
    line("all products", "", &products);
    line("elsewhere", "", &Spent { time: profile.elsewhere(), ..Spent::default() });
    format!("{steps} steps took {all:.2} s:\n{}", align(&lines))
}

fn cells(op: &str, shape: &str, spent: &Spent, all: f64) -> Vec<String> {
    let seconds = spent.time.as_secs_f64();
    let rate = |amount: u64| match amount {
        0 => String::new(),
        _ => format!("{:.1}", amount as f64 / seconds / 1e9),
    };
    let calls = if spent.calls == 0 { String::new() } else { spent.calls.to_string() };
    let share = format!("{:.1} %", 100.0 * seconds / all);
    let (operations, bytes) = (rate(spent.product_operations), rate(spent.bytes));
    vec![op.to_owned(), shape.to_owned(), calls, format!("{seconds:.3}"), share, operations, bytes]
}

/// The shape of the weight in a product as checkpoints store it.
fn weight(shape: &ProductShape) -> String {
    let &ProductShape { kind, m, n, k } = shape;
    match kind {
        ProductKind::Nt => format!("[{n}, {k}]"),
        ProductKind::Nn => format!("[{k}, {n}]"),
        ProductKind::Tn => format!("[{m}, {n}]"),
        ProductKind::Strided => format!("{m} x {n} x {k}"),
    }
}

/// Writes every row.
pub(crate) fn write(path: &Path, profile: &Profile, steps: usize) -> Result<(), Failure> {
    let seconds = |time: Duration| time.as_secs_f64();
    let rows = profile.rows.iter().map(|row| {
        let product = row.product.map(|shape| {
            let ProductShape { kind, m, n, k } = shape;
            json!({ "kind": kind.to_string(), "m": m, "n": n, "k": k })
        });
        let mut value = json!({ "op": row.op });
        if let Some(product) = product {
            value["product"] = product;
        }
        value["calls"] = row.spent.calls.into();
        value["seconds"] = seconds(row.spent.time).into();
        value["product_operations"] = row.spent.product_operations.into();
        value["bytes"] = row.spent.bytes.into();
        value
    });
    let value = json!({
        "steps": steps,
        "seconds": seconds(profile.elapsed),
        "seconds_in_kernels": seconds(profile.in_kernels()),
        "seconds_elsewhere": seconds(profile.elsewhere()),
        "rows": rows.collect::<Vec<Value>>(),
    });
    let text = serde_json::to_string_pretty(&value).expect("numbers and names");
    luthier_files::write_atomically(path, |file| std::io::Write::write_all(file, text.as_bytes()))
        .map_err(|error| Failure::run(format!("{}: cannot be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use luthier_engine::ProfileRow;

    use super::*;

    #[test]
    fn products_over_one_weight_stand_in_one_line_whatever_their_tokens() {
        let row = |kind, m, n, k, millis| ProfileRow {
            op: "matmul",
            product: Some(ProductShape { kind, m, n, k }),
            spent: Spent { calls: 1, time: Duration::from_millis(millis), product_operations: 10_000_000, bytes: 0 },
        };
        let rows = vec![
            row(ProductKind::Nt, 10, 4, 8, 20),
            row(ProductKind::Nt, 20, 4, 8, 30),
            row(ProductKind::Tn, 4, 8, 10, 25),
        ];
        let text = table(&Profile { elapsed: Duration::from_millis(100), rows }, 2);
        let expected = "2 steps took 0.10 s:\n\
            op            weight  calls  seconds   share  GFLOP/s  GB/s\n\
            matmul nt     [4, 8]      2    0.050  50.0 %      0.4\n\
            matmul tn     [4, 8]      1    0.025  25.0 %      0.4\n\
            all products              3    0.075  75.0 %      0.4\n\
            elsewhere                      0.025  25.0 %\n";
        assert_eq!(text, expected);
    }
}
