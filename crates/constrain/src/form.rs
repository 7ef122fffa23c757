//! What an output must look like.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A form, as people and requests write it: `{"json_schema": {...}}`, `{"regex": "..."}` or `{"choices": ["...", ...]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// JSON that this schema (draft 2020-12; references within it) describes: properties in the order of the schema, white space as
    /// Python's `json.dumps` writes it unless the schema has an `x-guidance` of its own.
    JsonSchema(Value),
    /// Text that this regular expression (syntax of the `regex` crate) matches from beginning to end.
    Regex(String),
    /// One of these texts.
    Choices(Vec<String>),
}

/// A regular expression that matches these texts and nothing else.
pub(crate) fn one_of(choices: &[String]) -> String {
    let escaped: Vec<String> = choices.iter().map(|choice| escape(choice)).collect();
    format!("({})", escaped.join("|"))
}

/// Writes a backslash before everything that means something in a regular expression.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped += "\\n",
            '\r' => escaped += "\\r",
            '\t' => escaped += "\\t",
            _ => {
                if c.is_ascii_punctuation() {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_become_a_regular_expression_that_means_their_letters() {
        let choices = ["yes (1.5)", "n|o", "好。"].map(str::to_owned);
        assert_eq!(one_of(&choices), r"(yes \(1\.5\)|n\|o|好。)");
    }

    #[test]
    fn a_form_reads_as_it_is_written() {
        for (text, form) in [
            (json!({"regex": "[0-9]+"}), Form::Regex("[0-9]+".into())),
            (json!({"choices": ["a", "b"]}), Form::Choices(vec!["a".into(), "b".into()])),
            (json!({"json_schema": {"type": "object"}}), Form::JsonSchema(json!({"type": "object"}))),
        ] {
            assert_eq!(serde_json::from_value::<Form>(text.clone()).unwrap(), form);
            assert_eq!(serde_json::to_value(&form).unwrap(), text);
        }
    }
}
