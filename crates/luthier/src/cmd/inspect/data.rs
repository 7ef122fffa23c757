//! A data file on a screen: its rows and their fields, every fault, and how long the texts are.

use std::collections::BTreeMap;
use std::path::Path;

use luthier_text::{Content, Role, Row, RowFault, Source, read_rows};
use serde_json::{Map, Value, json};

use super::facts::Facts;
use crate::cmd::{Failure, print};
use crate::input;

pub(super) fn show(path: &Path, most_faults: usize, json: bool) -> Result<(), Failure> {
    let rows = read_rows(&Source::new(path), 0, None).map_err(Failure::input)?;
    let (mut good, mut faults): (Vec<Row>, Vec<RowFault>) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Ok(row) => good.push(row),
            Err(fault) => faults.push(fault),
        }
    }
    let mut facts = Facts::new("data");
    facts.add("file", path.display().to_string());
    facts.add("rows", good.len() + faults.len());
    facts.add("usable", good.len());
    facts.add("with_faults", faults.len());
    facts.add("fields", fields(path));
    facts.add("kinds_of_fault", counted(faults.iter().map(|fault| fault.kind.label().to_owned())));
    facts.add("characters", lengths(&good));
    if json {
        let listed = faults.iter().take(most_faults);
        let listed = listed.map(|fault| json!({"line": fault.line, "field": fault.field, "message": fault.message()}));
        facts.add("faults", listed.collect::<Value>());
        return facts.print(true);
    }
    facts.print(false)?;
    let mut lines: String = faults.iter().take(most_faults).map(|fault| format!("{fault}\n")).collect();
    if faults.len() > most_faults {
        lines += &format!("... {} more; --faults N shows N\n", faults.len() - most_faults);
    }
    print(&lines)
}

/// How many rows have which fields.
fn fields(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_default();
    let values = input::values(&bytes).unwrap_or_default();
    let names = |value: Value| value.as_object().map(|row| row.keys().cloned().collect::<Vec<_>>().join(" "));
    counted(values.into_iter().filter_map(|(_, value)| value.ok().and_then(names)))
}

fn counted(names: impl Iterator<Item = String>) -> Value {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Value::from(counts.into_iter().map(|(name, count)| (name, Value::from(count))).collect::<Map<_, _>>())
}

/// Quantiles of the characters of prompts, answers and plain texts.
fn lengths(rows: &[Row]) -> Value {
    let mut lengths: [(&str, Vec<usize>); 3] = ["prompt", "answer", "text"].map(|name| (name, Vec::new()));
    for row in rows {
        match &row.content {
            Content::Text(text) => lengths[2].1.push(text.chars().count()),
            Content::Conversation(messages) => {
                let count = |answers: bool| -> usize {
                    let side = messages.iter().filter(|message| (message.role == Role::Assistant) == answers);
                    side.map(|message| message.content.chars().count()).sum()
                };
                lengths[0].1.push(count(false));
                lengths[1].1.push(count(true));
            }
        }
    }
    let filled = lengths.into_iter().filter(|(_, lengths)| !lengths.is_empty());
    Value::from(filled.map(|(name, lengths)| (name.to_owned(), quantiles(lengths))).collect::<Map<_, _>>())
}

/// By nearest rank; `lengths` is not empty.
fn quantiles(mut lengths: Vec<usize>) -> Value {
    lengths.sort_unstable();
    let at = |share: f64| lengths[((lengths.len() - 1) as f64 * share).round() as usize];
    json!({"least": at(0.0), "q25": at(0.25), "median": at(0.5), "q75": at(0.75), "q95": at(0.95), "most": at(1.0)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_elements_of_the_list() {
        let lengths = quantiles((1..=101).rev().collect());
        assert_eq!(lengths, json!({"least": 1, "q25": 26, "median": 51, "q75": 76, "q95": 96, "most": 101}));
        assert_eq!(quantiles(vec![7])["q95"], 7);
    }
}
