//! Conversations: messages with roles.

use serde::Serialize;
use serde_json::Value;

use super::fault::{Fault, FaultKind};
use super::shape::{describe, text_field};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role as templates and files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. For an instruction with an input: both, with a line break between.
    pub content: String,
    /// Instruction and input apart, for templates that write them apart.
    #[serde(skip)]
    pub instruction_and_input: Option<(String, String)>,
}

impl Message {
    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Message { role: Role::System, content: content.into(), instruction_and_input: None }
    }

    /// A user's message.
    pub fn user(content: impl Into<String>) -> Self {
        Message { role: Role::User, content: content.into(), instruction_and_input: None }
    }

    /// An answer.
    pub fn assistant(content: impl Into<String>) -> Self {
        Message { role: Role::Assistant, content: content.into(), instruction_and_input: None }
    }

    /// A user's message made of an instruction and the input it is to be applied to.
    #[must_use]
    pub fn instruction(instruction: String, input: String) -> Self {
        match (instruction.is_empty(), input.is_empty()) {
            (_, true) => Message::user(instruction),
            (true, false) => Message::user(input),
            (false, false) => Message {
                role: Role::User,
                content: format!("{instruction}\n{input}"),
                instruction_and_input: Some((instruction, input)),
            },
        }
    }
}

/// Messages as JSON writes them: `[{"role": ..., "content": ...}]`, the content a text or a list of `{"type": "text", "text": ...}`.
/// The order of roles is not checked; a conversation to learn from also passes [`check_conversation`].
///
/// # Errors
/// The fault with its field, such as `messages[2].content`.
pub fn messages_from_json(value: &Value) -> Result<Vec<Message>, Fault> {
    let list = value.as_array().ok_or_else(|| Fault::at("messages", FaultKind::NotAList(describe(value))))?;
    list.iter().enumerate().map(|(i, message)| one_message(i, message)).collect()
}

fn one_message(i: usize, value: &Value) -> Result<Message, Fault> {
    let at = |field: &str| format!("messages[{i}].{field}");
    let object = value.as_object().ok_or_else(|| {
        Fault::at(format!("messages[{i}]"), FaultKind::NotText(format!("{}, not an object", describe(value))))
    })?;
    let role = match text_field(object, "role", &at("role"))? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(Fault::at(at("role"), FaultKind::UnknownRole(other.to_string()))),
    };
    let content = match object.get("content") {
        Some(Value::Array(parts)) => joined_parts(parts, &at("content"))?,
        _ => text_field(object, "content", &at("content"))?.to_string(),
    };
    Ok(Message { role, content, instruction_and_input: None })
}

fn joined_parts(parts: &[Value], at: &str) -> Result<String, Fault> {
    let mut text = String::new();
    for (i, part) in parts.iter().enumerate() {
        let at = format!("{at}[{i}]");
        match part.as_object() {
            Some(object) if object.get("type").is_none_or(|t| t == "text") => {
                text.push_str(text_field(object, "text", &at)?);
            }
            Some(object) => {
                let kind = object.get("type").map(describe).unwrap_or_default();
                return Err(Fault::at(at, FaultKind::NotText(format!("a part of type {kind}"))));
            }
            None => return Err(Fault::at(at, FaultKind::NotText(describe(part)))),
        }
    }
    Ok(text)
}

/// Whether a conversation can be learnt from: an optional system message, then user and assistant in turn, an answer last, nothing empty.
///
/// # Errors
/// The fault with its field.
pub fn check_conversation(messages: &[Message]) -> Result<(), Fault> {
    if !messages.iter().any(|m| m.role == Role::Assistant) {
        return Err(Fault::at("messages", FaultKind::NoAssistant));
    }
    let first = usize::from(messages[0].role == Role::System);
    for (i, message) in messages.iter().enumerate() {
        let expected = match i {
            0 if first == 1 => Role::System,
            i if (i - first).is_multiple_of(2) => Role::User,
            _ => Role::Assistant,
        };
        if message.role != expected {
            let order = format!("{} where {} is due", message.role.name(), expected.name());
            return Err(Fault::at(format!("messages[{i}].role"), FaultKind::RoleOrder(order)));
        }
        if message.content.trim().is_empty() && message.role != Role::System {
            let kind = if message.role == Role::Assistant { FaultKind::EmptyOutput } else { FaultKind::EmptyPrompt };
            return Err(Fault::at(format!("messages[{i}].content"), kind));
        }
    }
    let last = messages.len() - 1;
    if messages[last].role != Role::Assistant {
        let order = format!("the last message is from {}, an answer is due", messages[last].role.name());
        return Err(Fault::at(format!("messages[{last}].role"), FaultKind::RoleOrder(order)));
    }
    Ok(())
}
