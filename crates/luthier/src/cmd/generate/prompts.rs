//! From `--prompt` or the rows of `--input` to tokens.

use luthier_text::{Message, Renderer, Template};
use serde_json::Value;

use super::Args;
use crate::cmd::Failure;
use crate::input::{self, Row};
use crate::open::Opened;

/// What a row asks to be continued.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    /// Raw text.
    Text(String),
    /// A conversation to be answered.
    Messages(Vec<Message>),
    /// Tokens as they are.
    Tokens(Vec<u32>),
}

/// A prompt before there are tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    /// Where it stands, for messages.
    place: String,
    /// What was given, for the output.
    pub(crate) echo: Value,
    asked: Asked,
}

/// A prompt as the model is fed it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    pub(crate) place: String,
    pub(crate) echo: Value,
    pub(crate) tokens: Vec<u32>,
}

/// Reads and checks all that was asked; the model need not be there yet.
pub(super) fn read(args: &Args) -> Result<Vec<Question>, Failure> {
    match (&args.prompt, &args.input) {
        (Some(text), _) => Ok(vec![of_flag("--prompt", text, args.chat)]),
        (None, Some(path)) => input::all(input::read(path)?.iter().map(|row| question(row, args.chat))),
        (None, None) => Err(Failure::input("give --prompt TEXT or --input FILE")),
    }
}

/// A single text that a flag gave, as it is or as a user's message.
pub(crate) fn of_flag(flag: &str, text: &str, chat: bool) -> Question {
    Question { place: flag.to_owned(), echo: Value::from(text), asked: raw_or_chat(text, chat) }
}

fn question(row: &Row, chat: bool) -> Result<Question, String> {
    let (field, asked) = match row.only(&["prompt", "messages", "tokens"])? {
        Some("messages") => ("messages", Asked::Messages(row.messages()?)),
        Some("tokens") => ("tokens", Asked::Tokens(row.tokens()?)),
        Some(_) => ("prompt", raw_or_chat(row.text("prompt")?, chat)),
        None => {
            let found = row.field_names();
            return Err(row.fault(&format!("needs one of `prompt`, `messages` and `tokens`, but has {found}")));
        }
    };
    Ok(Question { place: row.place.clone(), echo: row.value(field).clone(), asked })
}

fn raw_or_chat(text: &str, chat: bool) -> Asked {
    if chat { Asked::Messages(vec![Message::user(text)]) } else { Asked::Text(text.to_owned()) }
}

/// Whether any of them is written with the chat template.
pub(crate) fn any_chat(questions: &[Question]) -> bool {
    questions.iter().any(|question| matches!(question.asked, Asked::Messages(_)))
}

/// Renders and tokenises.
pub(crate) fn tokenise(questions: Vec<Question>, opened: &Opened) -> Result<Vec<Prompt>, Failure> {
    let template = if any_chat(&questions) { Some(opened.template()?) } else { None };
    if questions.iter().any(|question| matches!(question.asked, Asked::Text(_))) {
        opened.need_tokenizer()?;
    }
    input::all(questions.into_iter().map(|question| {
        let tokens = tokens(question.asked, opened, template.as_ref());
        let tokens = tokens.map_err(|error| format!("{}: {error}", question.place))?;
        Ok(Prompt { place: question.place, echo: question.echo, tokens })
    }))
}

fn tokens(asked: Asked, opened: &Opened, template: Option<&Template>) -> Result<Vec<u32>, luthier_text::TextError> {
    match (asked, opened.tokenizer(), template) {
        (Asked::Text(text), Some(tokenizer), _) => tokenizer.encode(&text, true),
        (Asked::Messages(messages), Some(tokenizer), Some(template)) => {
            Ok(Renderer::new(tokenizer, template).render_prompt(&messages)?.tokens)
        }
        (Asked::Tokens(tokens), ..) => Ok(tokens),
        _ => unreachable!("tokenizer and template were asked for above where a row needs them"),
    }
}
