//! Conversations: OpenAI's messages, ShareGPT, and BELLE's history inside the instruction.

use luthier_text::{Fault, FaultKind, Message, Role, check_conversation, messages_from_json};
use serde_json::{Map, Value, json};

use super::{Parsed, renamed};

pub(super) fn messages(mut row: Map<String, Value>) -> Result<Parsed, Fault> {
    let list = row.remove("messages").unwrap_or_default();
    let messages = messages_from_json(&list)?;
    with_messages(row, &messages)
}

pub(super) fn sharegpt(mut row: Map<String, Value>) -> Result<Parsed, Fault> {
    let list = row.remove("conversations").unwrap_or_default();
    let mut messages = Vec::new();
    for (i, turn) in list.as_array().into_iter().flatten().enumerate() {
        let text = |key: &str| {
            let at = format!("conversations[{i}].{key}");
            match turn.get(key) {
                Some(Value::String(text)) => Ok(text.as_str()),
                Some(_) => Err(Fault { field: Some(at), kind: FaultKind::NotText("something else".into()) }),
                None => Err(Fault { field: Some(at), kind: FaultKind::MissingField(None) }),
            }
        };
        let said = text("value")?;
        messages.push(match text("from")? {
            "system" => Message::system(said),
            "human" | "user" => Message::user(said),
            "gpt" | "assistant" | "chatgpt" | "bing" | "bard" => Message::assistant(said),
            other => {
                let at = Some(format!("conversations[{i}].from"));
                return Err(Fault { field: at, kind: FaultKind::UnknownRole(other.to_owned()) });
            }
        });
    }
    if let Some(system) = row.remove("system").as_ref().and_then(Value::as_str)
        && !system.trim().is_empty()
        && messages.first().is_some_and(|first| first.role != Role::System)
    {
        messages.insert(0, Message::system(system));
    }
    // ShareGPT's conversations often begin with an answer whose question is lost.
    if messages.first().is_some_and(|first| first.role == Role::Assistant) {
        messages.remove(0);
    }
    // And a question that nobody answered teaches nothing.
    if messages.last().is_some_and(|last| last.role == Role::User) {
        messages.pop();
    }
    with_messages(row, &messages)
}

/// Whether an instruction is a history: it begins with `Human:` and waits for the assistant.
pub(super) fn is_belle(instruction: &str) -> bool {
    instruction.trim_start().starts_with("Human:") && instruction.trim_end().ends_with("Assistant:")
}

pub(super) fn belle(mut row: Map<String, Value>) -> Result<Parsed, Fault> {
    let history = row.remove("instruction").unwrap_or_default();
    let output = row.remove("output").unwrap_or_default();
    let history = history.as_str().unwrap_or_default();
    let mut messages = Vec::new();
    let mut rest = history.trim_start();
    while !rest.is_empty() {
        let (role, said) = match (rest.strip_prefix("Human:"), rest.strip_prefix("Assistant:")) {
            (Some(said), _) => (Role::User, said),
            (_, Some(said)) => (Role::Assistant, said),
            _ => break,
        };
        let end = next_turn(said);
        messages.push(Message { role, content: said[..end].trim().to_owned(), instruction_and_input: None });
        rest = said[end..].trim_start();
    }
    // The last turn is the assistant's, empty: what follows is the row's output.
    messages.pop();
    let answer = output.as_str().ok_or_else(|| Fault { field: Some("output".into()), kind: FaultKind::EmptyOutput })?;
    messages.push(Message::assistant(answer.trim()));
    with_messages(row, &messages)
}

/// Where the next line begins that opens a turn, or the end.
fn next_turn(said: &str) -> usize {
    let opens = |at: &usize| said[*at..].starts_with("Human:") || said[*at..].starts_with("Assistant:");
    said.match_indices('\n').map(|(at, _)| at + 1).find(opens).unwrap_or(said.len())
}

fn with_messages(row: Map<String, Value>, messages: &[Message]) -> Result<Parsed, Fault> {
    check_conversation(messages)?;
    let mut parsed = renamed(row, &[], &[])?;
    let of = |role: Role| messages.iter().filter(move |message| message.role == role);
    if let Some(system) = of(Role::System).next() {
        parsed.fields.set("system", system.content.as_str());
    }
    let question = of(Role::User).next().map_or("", |message| message.content.as_str());
    let answer = of(Role::Assistant).next_back().map_or("", |message| message.content.as_str());
    parsed.fields.set("instruction", question);
    parsed.fields.set("output", answer);
    let list: Vec<Value> = messages.iter().map(|m| json!({"role": m.role.name(), "content": m.content})).collect();
    parsed.fields.set("messages", Value::Array(list).to_string());
    Ok(parsed)
}
