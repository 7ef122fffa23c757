//! Luthier: one binary that fine-tunes language models.

mod cmd;
mod hub;
mod input;
mod machine;
mod open;
mod pocket;
mod profile;
mod progress;
mod stages;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fine-tunes language models: rows in; a tuned model, its scores and a report out.
///
/// Start with:  luthier run recipes/quickstart.toml
#[derive(Debug, Parser)]
#[command(name = "luthier", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads to use; all cores by default. Results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(cmd::run::Args),
    Train(cmd::train::Args),
    Plan(cmd::plan::Args),
    Build(cmd::build::Args),
    Collect(cmd::collect::Args),
    Generate(Box<cmd::generate::Args>),
    Explain(Box<cmd::explain::Args>),
    Chat(Box<cmd::chat::Args>),
    Score(cmd::score::Args),
    Evaluate(cmd::evaluate::Args),
    Inspect(Box<cmd::inspect::Args>),
    Data(cmd::data::Args),
    Models(cmd::models::Args),
    Export(cmd::export::Args),
    Report(cmd::report::Args),
    Doctor(cmd::doctor::Args),
    Recipe(cmd::recipe::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = start_threads(cli.threads).and_then(|()| luthier_engine::threads::inside(|| run(&cli.command)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: &Command) -> Result<(), cmd::Failure> {
    match command {
        Command::Run(args) => cmd::run::run(args),
        Command::Train(args) => cmd::train::run(args),
        Command::Plan(args) => cmd::plan::run(args),
        Command::Build(args) => cmd::build::run(args),
        Command::Collect(args) => cmd::collect::run(args),
        Command::Generate(args) => cmd::generate::run(args),
        Command::Explain(args) => cmd::explain::run(args),
        Command::Chat(args) => cmd::chat::run(args),
        Command::Score(args) => cmd::score::run(args),
        Command::Evaluate(args) => cmd::evaluate::run(args),
        Command::Inspect(args) => cmd::inspect::run(args),
        Command::Data(args) => cmd::data::run(args),
        Command::Models(args) => cmd::models::run(args),
        Command::Export(args) => cmd::export::run(args),
        Command::Report(args) => cmd::report::run(args),
        Command::Doctor(args) => cmd::doctor::run(args),
        Command::Recipe(args) => cmd::recipe::run(args),
    }
}

fn start_threads(threads: Option<usize>) -> Result<(), cmd::Failure> {
    if threads == Some(0) {
        return Err(cmd::Failure::input("--threads must be at least 1"));
    }
    luthier_engine::threads::set(threads.unwrap_or(0)).map_err(cmd::Failure::run)
}
