//! A run folder on a screen: its manifest, how far it came, and the totals of its ledger.

use std::path::Path;

use luthier_text::Outcome;
use serde_json::{Map, Value, json};

use super::facts::Facts;
use crate::cmd::Failure;

pub(super) fn show(dir: &Path, json: bool) -> Result<(), Failure> {
    let manifest = super::read_object(&dir.join("manifest.json"))?;
    let mut facts = Facts::new("run");
    facts.add("folder", dir.display().to_string());
    for (name, value) in manifest {
        facts.add(&name, value);
    }
    facts.add("ledger", ledger(&dir.join("ledger.jsonl"))?);
    facts.add("last_step", last_step(&dir.join("metrics.jsonl")));
    let parts = ["checkpoints", "adapter", "model", "predictions", "scores.json", "report.html"];
    facts.add("holds", parts.into_iter().filter(|part| dir.join(part).exists()).collect::<Vec<_>>().join(", "));
    facts.print(json)
}

/// Rows, tokens and lost tokens by outcome, and their sum.
fn ledger(path: &Path) -> Result<Value, Failure> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Value::Null) };
    let mut totals: Vec<(&str, [u64; 3])> = Outcome::ALL.iter().map(|outcome| (outcome.name(), [0; 3])).collect();
    totals.push(("all", [0; 3]));
    for (i, line) in text.lines().enumerate() {
        let wrong = || Failure::input(format!("{}:{}: not a line of a ledger", path.display(), i + 1));
        let entry: Value = serde_json::from_str(line).map_err(|_| wrong())?;
        let number = |field: &str| entry[field].as_u64();
        let counts = [Some(1), number("tokens"), number("tokens_lost")];
        let outcome = entry["outcome"].as_str().filter(|outcome| totals.iter().any(|(name, _)| name == outcome));
        let outcome = outcome.ok_or_else(wrong)?;
        for (_, sums) in totals.iter_mut().filter(|(name, _)| *name == outcome || *name == "all") {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count.ok_or_else(wrong)?;
            }
        }
    }
    let shown = totals.into_iter().map(|(name, [rows, tokens, lost])| {
        (name.to_owned(), json!({"rows": rows, "tokens": tokens, "tokens_lost": lost}))
    });
    Ok(Value::from(Map::from_iter(shown)))
}

fn last_step(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let steps = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = steps.into_iter().find(|line| line["loss"].is_number());
    last.map_or(Value::Null, |last| json!({"step": last["step"], "epoch": last["epoch"], "loss": last["loss"]}))
}
