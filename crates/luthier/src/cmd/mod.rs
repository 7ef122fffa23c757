//! One file a subcommand, and how they fail.

pub(crate) mod build;
pub(crate) mod chat;
pub(crate) mod collect;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod models;
pub(crate) mod plan;
pub(crate) mod recipe;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod train;

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command ended: wrong input exits with 2, a failed run with 1.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    code: u8,
}

impl Failure {
    /// What the user gave is wrong.
    pub(crate) fn input(error: impl Display) -> Self {
        Self { error: anyhow::anyhow!("{error}"), code: 2 }
    }

    /// Something went wrong on the way.
    pub(crate) fn run(error: impl Display) -> Self {
        Self { error: anyhow::anyhow!("{error}"), code: 1 }
    }

    pub(crate) fn report(self) -> ExitCode {
        eprintln!("error: {self}");
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// Results go to stdout; a reader that closes the pipe early ends the command quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Failure::run(format!("cannot write the results: {error}"))),
    }
}
