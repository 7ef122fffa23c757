//! Where the answers stand in a rendered conversation.

use crate::error::TextError;
use crate::rows::{Message, Role};
use crate::template::Template;

/// Bytes of one answer in the rendered text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerSpan {
    /// Where its prompt ends.
    pub(super) start: usize,
    /// Where what the answer says ends.
    pub(super) content_end: usize,
    /// Where everything that belongs to the turn ends: the end-of-turn token and what the template writes behind it.
    pub(super) end: usize,
}

/// A rendered conversation with its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenderedRow {
    pub(super) text: String,
    /// In order; the last is always there.
    pub(super) answers: Vec<AnswerSpan>,
    pub(super) restated: bool,
    pub(super) lost_answers: usize,
}

/// Renders a conversation that ends with an answer ([`crate::check_conversation`]).
pub(super) fn render(template: &Template, messages: &[Message]) -> Result<RenderedRow, TextError> {
    let last = messages.len().saturating_sub(1);
    if messages.get(last).is_none_or(|m| m.role != Role::Assistant) {
        return Err(refuse(template, "a row to learn from must end with an answer"));
    }
    let full = template.render(messages, false)?;
    let prompt = template.render(&messages[..last], true)?;
    let content = messages[last].content.trim();
    let restated = !full.starts_with(&prompt);
    let text = if restated {
        // The prompt is what will be served, so the row is that prompt and then the answer as the template writes it.
        let at = full.rfind(content).ok_or_else(|| refuse(template, "it does not write the answer as it stands"))?;
        format!("{prompt}{}", &full[at..])
    } else {
        full
    };
    let mut answers = Vec::new();
    let mut lost_answers = 0;
    for (i, message) in messages[..last].iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
        let prompt = template.render(&messages[..i], true)?;
        let until = template.render(&messages[..=i], false)?;
        let end = common_prefix(&text, &until);
        if text.starts_with(&prompt) && end > prompt.len() {
            answers.push(span(&text, prompt.len(), end, &message.content));
        } else {
            lost_answers += 1;
        }
    }
    if prompt.len() >= text.len() {
        return Err(refuse(template, "it writes nothing for the answer"));
    }
    answers.push(span(&text, prompt.len(), text.len(), content));
    Ok(RenderedRow { text, answers, restated, lost_answers })
}

fn refuse(template: &Template, cause: &str) -> TextError {
    TextError::TemplateRender { name: template.name().to_string(), cause: cause.to_string() }
}

fn span(text: &str, start: usize, end: usize, content: &str) -> AnswerSpan {
    let content = content.trim();
    let turn = &text[start..end];
    // A template may rewrite an answer (cut its reasoning away); then the turn without its closing white space stands for it,
    // and the first special token in it that closes the turn cannot be told from others: the label runs to the last word.
    let content_end = match turn.find(content) {
        Some(at) => start + at + content.len(),
        None => start + longest_common_tail(turn, content),
    };
    AnswerSpan { start, content_end, end }
}

/// Where the longest end of `content` that `turn` still contains ends in it; the end of its words where there is none.
fn longest_common_tail(turn: &str, content: &str) -> usize {
    content
        .char_indices()
        .find_map(|(i, _)| turn.find(&content[i..]).map(|at| at + content.len() - i))
        .unwrap_or(turn.trim_end().len())
}

/// Length of the common beginning, at a character boundary of both.
fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((i, _), _)| i)
}
