//! The shapes a row may have, and how each becomes a conversation or a text.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::fault::{Fault, FaultKind};
use super::message::{Message, check_conversation, messages_from_json};

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A conversation that ends with an answer.
    Conversation(Vec<Message>),
    /// Text to be learnt as it stands.
    Text(String),
}

/// The shape of a source's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Recognised row by row, from the fields.
    #[default]
    Auto,
    /// `instruction`, optionally `input`, `output`.
    Alpaca,
    /// `prompt` and `completion`.
    PromptCompletion,
    /// `input` and `target`.
    InputTarget,
    /// `messages`, each with `role` and `content`.
    Messages,
    /// `text`, or the paragraphs of a plain text file.
    Text,
}

impl Format {
    const NAMED: [(&'static str, Format); 6] = [
        ("auto", Format::Auto),
        ("alpaca", Format::Alpaca),
        ("prompt-completion", Format::PromptCompletion),
        ("input-target", Format::InputTarget),
        ("messages", Format::Messages),
        ("text", Format::Text),
    ];

    /// The name in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, format)| *format == self).map_or("auto", |(name, _)| name)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, format)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*format);
        }
        let names: Vec<&str> = Self::NAMED.iter().map(|(name, _)| *name).collect();
        Err(format!("unknown format {text:?}; known are {}", names.join(", ")))
    }
}

/// Whether a row, its shape recognised by its fields, can be trained on.
///
/// # Errors
/// The fault with its field.
pub fn check_row(row: &Map<String, Value>) -> Result<(), Fault> {
    of_object(row, Format::Auto).map(drop)
}

/// Reads a row's JSON value.
pub(super) fn content(value: &Value, format: Format) -> Result<Content, Fault> {
    match value {
        Value::Object(object) => of_object(object, format),
        other => Err(Fault::of(FaultKind::NotAnObject(kind_of(other)))),
    }
}

fn of_object(object: &Map<String, Value>, format: Format) -> Result<Content, Fault> {
    match if format == Format::Auto { detect(object)? } else { format } {
        Format::Alpaca => {
            let output = text_field(object, "output", "output")?;
            let instruction = text_field(object, "instruction", "instruction")?;
            let input = match object.get("input") {
                None | Some(Value::Null) => "",
                Some(_) => text_field(object, "input", "input")?,
            };
            pair(("instruction", Message::instruction(instruction.to_string(), input.to_string())), ("output", output))
        }
        Format::PromptCompletion => prompt_and_answer(object, "prompt", "completion"),
        Format::InputTarget => prompt_and_answer(object, "input", "target"),
        Format::Messages => {
            let list = object.get("messages").ok_or_else(|| missing(object, "messages", "messages"))?;
            let messages = messages_from_json(list)?;
            check_conversation(&messages)?;
            Ok(Content::Conversation(messages))
        }
        Format::Text | Format::Auto => {
            let text = text_field(object, "text", "text")?;
            if text.trim().is_empty() {
                return Err(Fault::at("text", FaultKind::EmptyOutput));
            }
            Ok(Content::Text(text.to_string()))
        }
    }
}

/// Reads a paragraph of a plain text file.
pub(super) fn paragraph(text: String) -> Result<Content, Fault> {
    if text.contains('\0') {
        return Err(Fault::of(FaultKind::NulCharacter));
    }
    Ok(Content::Text(text))
}

/// Each shape with the fields that only it has; a misspelt row is read as the shape of the fields that are right.
fn detect(object: &Map<String, Value>) -> Result<Format, Fault> {
    let has = |key: &str| object.contains_key(key);
    if has("messages") {
        Ok(Format::Messages)
    } else if has("instruction") || has("output") {
        Ok(Format::Alpaca)
    } else if has("prompt") || has("completion") {
        Ok(Format::PromptCompletion)
    } else if has("target") || has("input") {
        Ok(Format::InputTarget)
    } else if has("text") {
        Ok(Format::Text)
    } else {
        Err(Fault::of(FaultKind::UnknownShape(object.keys().cloned().collect())))
    }
}

fn prompt_and_answer(
    object: &Map<String, Value>,
    prompt: &'static str,
    answer: &'static str,
) -> Result<Content, Fault> {
    let prompt_text = text_field(object, prompt, prompt)?;
    let answer_text = text_field(object, answer, answer)?;
    pair((prompt, Message::user(prompt_text)), (answer, answer_text))
}

fn pair((prompt_field, prompt): (&str, Message), (answer_field, answer): (&str, &str)) -> Result<Content, Fault> {
    if answer.trim().is_empty() {
        return Err(Fault::at(answer_field, FaultKind::EmptyOutput));
    }
    if prompt.content.trim().is_empty() {
        return Err(Fault::at(prompt_field, FaultKind::EmptyPrompt));
    }
    Ok(Content::Conversation(vec![prompt, Message::assistant(answer)]))
}

/// A text field of an object; `at` is how the fault names it.
pub(super) fn text_field<'o>(object: &'o Map<String, Value>, key: &str, at: &str) -> Result<&'o str, Fault> {
    match object.get(key) {
        Some(Value::String(text)) if text.contains('\0') => Err(Fault::at(at, FaultKind::NulCharacter)),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(Fault::at(at, FaultKind::NotText(describe(other)))),
        None => Err(missing(object, key, at)),
    }
}

fn missing(object: &Map<String, Value>, key: &str, at: &str) -> Fault {
    let nearest = object
        .keys()
        .map(|present| (strsim::jaro_winkler(key, present), present))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, present)| present.clone());
    Fault::at(at, FaultKind::MissingField(nearest))
}

/// A value in words, short enough for a message.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Number(_) | Value::Bool(_) => format!("{} {value}", kind_of(value)),
        Value::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        _ => kind_of(value).to_string(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "the boolean",
        Value::Number(_) => "the number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
