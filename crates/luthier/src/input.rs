//! Rows of `--input`: JSON Lines or a JSON array, from a file or from stdin. Every fault names its file, line and field, and all rows
//! are looked at before a command prints anything.

use std::io::Read;
use std::path::Path;

use luthier_text::{Message, messages_from_json};
use serde_json::{Map, Value};

use crate::cmd::Failure;

/// A row and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// `rows.jsonl:3`; rows of a JSON array count by position.
    pub(crate) place: String,
    fields: Map<String, Value>,
}

/// The rows of a file; `-` is stdin.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, Failure> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|error| Failure::input(format!("cannot read {name}: {error}")))?;
    let pieces = values(&bytes).map_err(|why| Failure::input(format!("{name}: {why}")))?;
    if pieces.is_empty() {
        return Err(Failure::input(format!("{name} holds no rows; give one JSON object a line")));
    }
    let row = |(line, value): Numbered| {
        let place = format!("{name}:{line}");
        match value {
            Ok(Value::Object(fields)) => Ok(Row { place, fields }),
            Ok(other) => Err(format!("{place}: a row must be a JSON object, this one is {}", described(&other))),
            Err(why) => Err(format!("{place}: not JSON: {why}")),
        }
    };
    all(pieces.into_iter().map(row))
}

/// Line, or position in an array, and value.
type Numbered = (usize, Result<Value, String>);

/// The rows of a file's bytes; one that is not JSON does not hide the others.
fn values(bytes: &[u8]) -> Result<Vec<Numbered>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("not UTF-8 in line {line}; save the file as UTF-8")
    })?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('[') {
        let rows: Vec<Value> =
            serde_json::from_str(text).map_err(|error| format!("not a JSON array of rows: {error}"))?;
        return Ok(rows.into_iter().enumerate().map(|(i, value)| (i + 1, Ok(value))).collect());
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |line: &str| serde_json::from_str(line).map_err(|error| error.to_string().replace("line 1 ", ""));
    Ok(lines.map(|(i, line)| (i + 1, parse(line))).collect())
}

/// All results, or one failure that names the first fault and counts the others.
pub(crate) fn all<T>(results: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, Failure> {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.split_first() {
        None => Ok(good),
        Some((first, [])) => Err(Failure::input(first)),
        Some((first, rest)) => Err(Failure::input(format!("{first} (and {} more rows with faults)", rest.len()))),
    }
}

impl Row {
    /// The one field of `known` that the row has; `None` when it has none of them.
    pub(crate) fn only<'k>(&self, known: &[&'k str]) -> Result<Option<&'k str>, String> {
        let mut there = known.iter().copied().filter(|field| self.fields.contains_key(*field));
        match (there.next(), there.next()) {
            (Some(one), Some(other)) => Err(self.fault(&format!("holds both `{one}` and `{other}`; keep one"))),
            (one, _) => Ok(one),
        }
    }

    /// A text.
    pub(crate) fn text(&self, field: &str) -> Result<&str, String> {
        match self.fields.get(field) {
            None => Err(self.fault(&format!("field `{field}` is missing; the row has {}", self.field_names()))),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.fault(&format!("field `{field}` must be text, but holds {}", described(other)))),
        }
    }

    /// Token ids, at least one.
    pub(crate) fn tokens(&self) -> Result<Vec<u32>, String> {
        let value = &self.fields["tokens"];
        let wrong = |found: String| self.fault(&format!("field `tokens` must be a list of token ids, but {found}"));
        let list = value.as_array().ok_or_else(|| wrong(format!("holds {}", described(value))))?;
        if list.is_empty() {
            return Err(self.fault("field `tokens` is empty"));
        }
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        list.iter().map(|value| id(value).ok_or_else(|| wrong(format!("has {} in it", described(value))))).collect()
    }

    /// A conversation, at least one message.
    pub(crate) fn messages(&self) -> Result<Vec<Message>, String> {
        let messages = messages_from_json(&self.fields["messages"]).map_err(|fault| self.fault(&fault.to_string()))?;
        if messages.is_empty() { Err(self.fault("field `messages` is empty")) } else { Ok(messages) }
    }

    /// A field as it stands.
    pub(crate) fn value(&self, field: &str) -> &Value {
        &self.fields[field]
    }

    /// A message about this row.
    pub(crate) fn fault(&self, what: &str) -> String {
        format!("{}: {what}", self.place)
    }

    /// The fields that are there.
    pub(crate) fn field_names(&self) -> String {
        let names: Vec<String> = self.fields.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "no fields".to_owned() } else { names.join(", ") }
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        let object = |(line, value): Numbered| match value {
            Ok(Value::Object(fields)) => Row { place: format!("a.jsonl:{line}"), fields },
            other => panic!("{other:?}"),
        };
        values(text.as_bytes()).unwrap().into_iter().map(object).collect()
    }

    #[test]
    fn lines_count_with_the_empty_ones_and_elements_of_an_array_by_position() {
        let lined = rows("\u{feff}{\"text\": \"一\"}\n\n{\"text\": \"二\"}\n");
        assert_eq!(lined.iter().map(|row| row.place.as_str()).collect::<Vec<_>>(), ["a.jsonl:1", "a.jsonl:3"]);
        let array = rows("[{\"text\": \"一\"},\n\n{\"text\": \"二\"}]");
        assert_eq!(array[1].place, "a.jsonl:2");
    }

    #[test]
    fn a_fault_names_line_and_field() {
        let row = &rows("{\"text\": 5, \"tokens\": [1, -2]}")[0];
        assert_eq!(row.text("text").unwrap_err(), "a.jsonl:1: field `text` must be text, but holds the number 5");
        let tokens = "a.jsonl:1: field `tokens` must be a list of token ids, but has the number -2 in it";
        assert_eq!(row.tokens().unwrap_err(), tokens);
        assert_eq!(row.only(&["text", "tokens"]).unwrap_err(), "a.jsonl:1: holds both `text` and `tokens`; keep one");
        let missing = "a.jsonl:1: field `prompt` is missing; the row has `text`, `tokens`";
        assert_eq!(row.text("prompt").unwrap_err(), missing);
        let broken = values(b"{\"text\": \"a\"}\n{\"text\": ").unwrap().remove(1);
        assert_eq!((broken.0, broken.1.unwrap_err().as_str()), (2, "EOF while parsing a value at column 9"));
        assert!(values(b"{}\n\xff").unwrap_err().contains("line 2"));
    }
}
