//! `luthier train`: the training stage alone.

use clap::Args as ClapArgs;

use super::{Failure, print};
use crate::stages::RunArgs;

/// Trains what a recipe says, without evaluation and report
///
/// Writes the ledger of every input row, metrics.jsonl with one line a step, checkpoints, and in the end adapter/
/// (as PEFT writes it) or model/ (as transformers writes it). Run the same command again to go on where it stopped.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier train recipes/quickstart.toml --out runs/quickstart\n\n\
    `luthier recipe` lists every key a recipe may have.")]
pub(crate) struct Args {
    #[command(flatten)]
    job: RunArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut job = args.job.open()?;
    let tuned = job.train()?;
    print(&format!("{}\n", tuned.dir().display()))
}
