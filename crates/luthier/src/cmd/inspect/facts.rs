//! Facts under names, as a screen for people and as one JSON object for programs.

use serde_json::{Map, Value};

use crate::cmd::{Failure, print};

/// Names and values, in order. A name that ends in `_bytes` is shown in MB.
#[derive(Debug, Default)]
pub(super) struct Facts(Map<String, Value>);

impl Facts {
    pub(super) fn new(kind: &str) -> Self {
        Self(Map::from_iter([("kind".to_owned(), kind.into())]))
    }

    pub(super) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json { print(&format!("{}\n", Value::from(self.0.clone()))) } else { print(&self.screen()) }
    }

    fn screen(&self) -> String {
        let width = self.0.keys().map(String::len).max().unwrap_or(0);
        let mut screen = String::new();
        for (name, value) in &self.0 {
            let label = name.strip_suffix("_bytes").unwrap_or(name).replace('_', " ");
            let shown = if name.ends_with("_bytes") { megabytes(value) } else { shown(value) };
            let indented = shown.replace('\n', &format!("\n{:width$}  ", ""));
            screen += &format!("{label:<width$}  {}\n", indented.trim_end());
        }
        screen
    }
}

fn megabytes(value: &Value) -> String {
    value.as_f64().map_or_else(|| shown(value), |bytes| format!("{:.2} MB", bytes / 1e6))
}

fn shown(value: &Value) -> String {
    let lines = |lines: Vec<String>| if lines.is_empty() { "-".to_owned() } else { lines.join("\n") };
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.iter().all(Value::is_number) => {
            lines(vec![list.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")])
        }
        Value::Array(list) => lines(list.iter().map(shown).collect()),
        Value::Object(map) => {
            lines(map.iter().map(|(name, value)| format!("{name}: {}", on_one_line(value))).collect())
        }
    }
}

fn on_one_line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            map.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect::<Vec<_>>().join(", ")
        }
        other => shown(other),
    }
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_screen_lines_up_and_shows_numbers_for_people() {
        let mut facts = Facts::new("model");
        facts.add("parameters", 1_234_567);
        facts.add("memory_bytes", 4_938_268);
        facts.add("chat_template", "一\n二");
        facts.add("totals", json!({"trained": {"rows": 3, "tokens": 1000}}));
        let expected = "kind           model\nparameters     1,234,567\nmemory         4.94 MB\n\
                        chat template  一\n               二\ntotals         trained: rows 3, tokens 1,000\n";
        assert_eq!(facts.screen(), expected);
    }
}
