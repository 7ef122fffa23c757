//! Where lines come from: an editor with history in a terminal, plain lines elsewhere.

use std::io::{BufRead, IsTerminal};

use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use crate::cmd::Failure;

const PROMPT: &str = "> ";

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    End,
}

/// The source of lines.
pub(super) enum Input {
    Terminal(Box<DefaultEditor>),
    /// Lines read so far.
    Lines(usize),
}

impl Input {
    /// The editor where a person sits at both ends.
    pub(super) fn open() -> Result<Self, Failure> {
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            return Ok(Self::Lines(0));
        }
        let config = Config::builder().auto_add_history(true).build();
        let editor = DefaultEditor::with_config(config);
        editor.map(|editor| Self::Terminal(Box::new(editor))).map_err(|error| unreadable("the terminal", &error))
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Result<Read, Failure> {
        match self {
            Self::Terminal(editor) => typed(editor.readline(PROMPT)),
            Self::Lines(number) => {
                *number += 1;
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().read_until(b'\n', &mut bytes);
                match read.map_err(|error| unreadable("stdin", &error))? {
                    0 => Ok(Read::End),
                    _ => String::from_utf8(bytes).map(Read::Line).map_err(|_| {
                        Failure::input(format!("stdin: not UTF-8 in line {number}; send the text as UTF-8"))
                    }),
                }
            }
        }
    }

    /// A line to be changed; `None` where there is no editor.
    pub(super) fn edit(&mut self, text: &str) -> Option<Result<Read, Failure>> {
        match self {
            Self::Terminal(editor) => Some(typed(editor.readline_with_initial(PROMPT, (text, "")))),
            Self::Lines(_) => None,
        }
    }
}

fn typed(line: Result<String, ReadlineError>) -> Result<Read, Failure> {
    match line {
        Ok(line) => Ok(Read::Line(line)),
        Err(ReadlineError::Interrupted) => Ok(Read::Interrupted),
        Err(ReadlineError::Eof) => Ok(Read::End),
        Err(error) => Err(unreadable("the terminal", &error)),
    }
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::run(format!("cannot read {what}: {error}"))
}
