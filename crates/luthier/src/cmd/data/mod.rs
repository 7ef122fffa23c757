//! `luthier data`: what concerns data sets and no model.

mod diff;

use clap::Subcommand;

use super::Failure;

/// Compares data sets
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Diff(diff::Args),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Diff(args) => diff::run(args),
    }
}
