//! What a chat shows beside the answers: always on stderr, but the headings over two models' answers.

use std::io::IsTerminal;

use serde_json::json;

use super::Chat;
use super::command::COMMANDS;
use super::page::Columns;
use super::voice::Answer;
use crate::cmd::{Failure, print};

/// Columns that lists are written for: those of the terminal within reason.
pub(super) fn columns() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(80, |(width, _)| usize::from(width.0)).clamp(40, 100)
}

/// The commands with what they do, in so many columns.
pub(super) fn commands(columns: usize) -> String {
    let width = COMMANDS.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
    let room = columns - width - 4;
    let mut text = String::new();
    for (usage, what) in COMMANDS {
        let mut usage = usage;
        let mut line = String::new();
        for word in what.split(' ') {
            if !line.is_empty() && line.len() + 1 + word.len() > room {
                text += &format!("  {usage:<width$}  {line}\n");
                (usage, line) = ("", String::new());
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        text += &format!("  {usage:<width$}  {line}\n");
    }
    text
}

/// Faint in a terminal.
fn faint(text: &str, terminal: bool) -> String {
    if terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        format!("\x1b[2m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Whose answer follows.
pub(super) fn heading(name: &str, terminal: bool) -> Result<(), Failure> {
    print(&format!("{}\n", faint(&format!("--- {name}"), terminal)))
}

/// Whose answers follow, side by side in a terminal.
pub(super) fn headings(columns: Columns, left: &str, right: &str) -> Result<(), Failure> {
    let line = columns.heading(&format!("--- {left}"), &format!("--- {right}"));
    print(&format!("{}\r\n", faint(&line, true)))
}

/// What an answer took, on stderr; with a name where it stands beside another one.
pub(super) fn counts(answer: &Answer, name: Option<&str>) {
    let speed = answer.tokens as f64 / answer.seconds.max(1e-9);
    let mut line = format!(
        "{} token{} in {:.1} s, {speed:.1} tokens/s; prompt {}, {} of it computed",
        answer.tokens,
        if answer.tokens == 1 { "" } else { "s" },
        answer.seconds,
        answer.prompt_tokens,
        answer.computed
    );
    if answer.interrupted {
        line += "; interrupted";
    }
    if let Some(limit) = &answer.cut_by {
        line += &format!("\ncut by {limit}");
    }
    let terminal = std::io::stderr().is_terminal();
    for line in line.lines() {
        let name = name.map_or_else(String::new, |name| format!("{name}: "));
        eprintln!("{}", faint(&format!("[{name}{line}]"), terminal));
    }
}

/// A line of `--json`.
pub(super) fn json_line(question: &str, model: &str, answer: &Answer) -> Result<(), Failure> {
    let line = json!({
        "question": question,
        "answer": answer.text,
        "model": model,
        "finish_reason": answer.finish_reason,
        "tokens": answer.tokens,
        "prompt_tokens": answer.prompt_tokens,
        "computed_tokens": answer.computed,
        "seconds": answer.seconds,
    });
    print(&format!("{line}\n"))
}

impl Chat<'_> {
    /// The first lines in a terminal.
    pub(super) fn greet(&self) {
        let model = self.model_name();
        let terminal = std::io::stderr().is_terminal();
        eprintln!("{}", faint(&format!("{model}, a context of {} tokens", self.voice.context()), terminal));
        eprintln!("{}\n", faint("/help lists the commands, Ctrl-C interrupts an answer", terminal));
    }

    fn model_name(&self) -> String {
        let model = self.args.model.model.display();
        match &self.args.model.adapter {
            Some(adapter) => format!("{model} with {}", adapter.display()),
            None => model.to_string(),
        }
    }

    /// `/show`.
    pub(super) fn show(&self) {
        let messages = self.conversation.messages(None);
        let tokens = if messages.is_empty() { Ok(0) } else { self.voice.prompt(&messages).map(|tokens| tokens.len()) };
        let tokens = tokens.map_or_else(|error| error, |tokens| tokens.to_string());
        let compares = match (&self.second, self.compares) {
            (Some(second), true) => format!("on, with {}", second.name),
            _ => "off".to_owned(),
        };
        eprintln!("model         {}", self.model_name());
        eprintln!("template      {}", self.voice.template_name());
        eprintln!("system        {}", self.conversation.system.as_deref().unwrap_or("none"));
        eprintln!("conversation  {} turns, {tokens} of {} tokens", self.conversation.turns.len(), self.voice.context());
        eprintln!("compare       {compares}\n");
        eprint!("{}", self.parameters.show(&self.voice, columns()));
    }
}
