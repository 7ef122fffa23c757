//! What a row says: a conversation that ends with an answer, a running text, or columns of which nobody knows which is the answer.

use std::borrow::Cow;

use luthier_text::{Message, Role, messages_from_json};

use crate::clean::Over;
use crate::document::Document;
use crate::source::Shape;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said<'d> {
    /// Messages, the last of them an answer.
    Conversation(Vec<Message>),
    /// A text to be learnt as it stands.
    Text(&'d str),
    /// All its texts, one a line.
    Columns(Cow<'d, str>),
}

/// The conversation that a row stands for, as training would render it; `None` for running text, for columns of no known shape, and for a
/// question without an answer.
#[must_use]
pub fn messages_of(document: &Document) -> Option<Vec<Message>> {
    if let Some(messages) = document.fields.get("messages") {
        let list = serde_json::from_str(messages).ok()?;
        let messages = messages_from_json(&list).ok()?;
        return messages.last().is_some_and(|last| last.role == Role::Assistant).then_some(messages);
    }
    let (instruction, input, output) =
        (document.text("instruction"), document.text("input"), document.fields.get("output")?);
    if instruction.trim().is_empty() && input.trim().is_empty() || output.trim().is_empty() {
        return None;
    }
    let mut messages = Vec::with_capacity(3);
    messages.extend(document.fields.get("system").map(Message::system));
    messages.push(Message::instruction(instruction.to_owned(), input.to_owned()));
    messages.push(Message::assistant(output));
    Some(messages)
}

impl<'d> Said<'d> {
    pub(super) fn of(document: &'d Document) -> Self {
        if let Some(messages) = messages_of(document) {
            return Said::Conversation(messages);
        }
        match document.fields.get("text") {
            // Columns may be called `text` too; beside a label or a title that is not all there is.
            Some(text) if matches!(document.shape, Shape::Text | Shape::Page) => Said::Text(text),
            _ => Said::Columns(Over::AllText.joined(&document.fields)),
        }
    }

    /// What comes before the answer; empty where there is none. Messages stand one a line, whoever speaks, so that the same conversation
    /// is the same prompt in whatever shape it is written.
    pub(super) fn prompt(&self) -> String {
        match self {
            Said::Conversation(messages) => {
                let before = &messages[..messages.len().saturating_sub(1)];
                before.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
            }
            Said::Text(_) | Said::Columns(_) => String::new(),
        }
    }

    /// The last answer, or all of the text.
    pub(super) fn output(&self) -> &str {
        match self {
            Said::Conversation(messages) => messages.last().map_or("", |last| last.content.as_str()),
            Said::Text(text) => text,
            Said::Columns(text) => text,
        }
    }

    /// Messages that are no system message; 0 where there is no conversation.
    pub(super) fn turns(&self) -> u64 {
        match self {
            Said::Conversation(messages) => {
                messages.iter().filter(|message| message.role != Role::System).count() as u64
            }
            Said::Text(_) | Said::Columns(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Fields, Position, Provenance};

    fn document(shape: Shape, fields: &[(&str, &str)]) -> Document {
        let provenance = Provenance { file: std::path::Path::new("a").into(), position: Position::Line(1), url: None };
        Document { id: "a:1".into(), shape, fields: fields.iter().copied().collect::<Fields>(), provenance }
    }

    #[test]
    fn a_task_and_the_same_as_messages_have_one_prompt_and_one_output() {
        let task = document(Shape::Alpaca, &[("instruction", "翻譯"), ("input", "雨"), ("output", "rain")]);
        let messages = r#"[{"role": "user", "content": "翻譯\n雨"}, {"role": "assistant", "content": "rain"}]"#;
        let conversation = document(Shape::Messages, &[("instruction", "x"), ("output", "y"), ("messages", messages)]);
        for row in [&task, &conversation] {
            let said = Said::of(row);
            assert_eq!((said.prompt().as_str(), said.output(), said.turns()), ("翻譯\n雨", "rain", 2));
        }
    }

    #[test]
    fn a_text_has_no_prompt_and_columns_are_all_their_texts() {
        let text = document(Shape::Text, &[("text", "春眠不覺曉")]);
        assert_eq!(Said::of(&text), Said::Text("春眠不覺曉"));
        let columns = document(Shape::Columns, &[("id", "7"), ("title", "春曉"), ("text", "春眠不覺曉")]);
        assert_eq!(Said::of(&columns).output(), "春曉\n春眠不覺曉");
        for output in [&[][..], &[("output", "")], &[("output", " ")]] {
            let unanswered = document(Shape::BelleEvaluation, &[&[("instruction", "問")], output].concat());
            assert_eq!(messages_of(&unanswered), None);
            assert_eq!(Said::of(&unanswered).output().trim(), "問");
        }
    }
}
