//! Conversations with more than text in them: tools, tool calls and their results, documents, settings of a template's own.

use std::ops::Range;

use minijinja::value::Serde;
use serde_json::{Map, Value};

use super::{Template, environment};
use crate::error::TextError;
use crate::rows::Message;

/// What a template is given, as transformers' `apply_chat_template` takes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// The messages as JSON objects, with whatever keys the template knows: `role`, `content`, `tool_calls`, ...
    pub messages: Vec<Value>,
    /// Descriptions of tools, usually JSON schemas of functions.
    pub tools: Option<Vec<Value>>,
    /// Texts to answer from.
    pub documents: Option<Vec<Value>>,
    /// Whether the text goes on to where the next answer begins.
    pub add_generation_prompt: bool,
    /// Further variables, such as `date_string` or `enable_thinking`; they stand over all others.
    pub variables: Map<String, Value>,
}

impl Template {
    /// Writes a conversation with tools, documents and variables.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_chat(&self, chat: &Chat) -> Result<String, TextError> {
        let list = |items: Option<&Vec<Value>>| items.map_or(minijinja::Value::from(()), |items| given(items));
        let named = [
            ("messages", given(&chat.messages)),
            ("add_generation_prompt", chat.add_generation_prompt.into()),
            ("tools", list(chat.tools.as_ref())),
            ("documents", list(chat.documents.as_ref())),
        ];
        let own = chat.variables.iter().map(|(key, value)| (key.as_str(), minijinja::Value::from(Serde(value))));
        self.render_in(&self.environment, named.into_iter().chain(own))
    }

    /// Which bytes of the rendered conversation the template marks as the model's own with `{% generation %}` blocks; `None` for
    /// a template without such blocks.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn generation_spans(&self, messages: &[Message]) -> Result<Option<Vec<Range<usize>>>, TextError> {
        if !environment::has_generation_tags(&self.source) {
            return Ok(None);
        }
        let [open, close] = marks(messages);
        let environment = environment::for_template(&self.source, Some([open, close]))
            .map_err(|e| TextError::TemplateSyntax { name: self.name.clone(), cause: environment::explain(&e) })?;
        let marked = self.render_in(&environment, super::plain(messages, false))?;
        let mut spans: Vec<Range<usize>> = Vec::new();
        let mut length = 0;
        for c in marked.chars() {
            if c == open {
                spans.push(length..length);
            } else if c == close {
                if let Some(span) = spans.last_mut() {
                    span.end = length;
                }
            } else {
                length += c.len_utf8();
            }
        }
        Ok(Some(spans))
    }
}

fn given(values: &[Value]) -> minijinja::Value {
    minijinja::Value::from(Serde(values))
}

/// Two characters that no message holds. Unicode keeps these for use within a program.
fn marks(messages: &[Message]) -> [char; 2] {
    let mut free = ('\u{FDD0}'..='\u{FDEF}').filter(|c| !messages.iter().any(|message| message.content.contains(*c)));
    [free.next().unwrap_or('\u{FDD0}'), free.next().unwrap_or('\u{FDD1}')]
}
