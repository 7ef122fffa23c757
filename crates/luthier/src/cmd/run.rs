//! `luthier run`: a recipe from its rows to its report.

use clap::Args as ClapArgs;
use luthier_train::recipe::System;

use super::{Failure, print};
use crate::stages::RunArgs;

/// Does all that a recipe says: rows, base scores, training, tuned scores, report
///
/// Everything lands in the run folder (runs/NAME). A stopped run goes on where it stopped when the same command is
/// given again; its result is the same, byte for byte, as that of a run that was never stopped.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier run recipes/quickstart.toml\n\n\
    The run folder afterwards:\n  \
    ledger.jsonl   what became of every input row     metrics.jsonl  one line a training step\n  \
    adapter/       the tuned adapter, as PEFT's       scores.json    base against tuned\n  \
    predictions/   every answer                       report.html    the page to show\n\n\
    `luthier recipe` lists every key a recipe may have.")]
pub(crate) struct Args {
    #[command(flatten)]
    job: RunArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut job = args.job.open()?;
    let evaluation = job.evaluation()?;
    if job.compares(System::Base) {
        job.answer(&evaluation, System::Base)?;
    }
    job.train()?;
    if job.compares(System::Tuned) {
        job.answer(&evaluation, System::Tuned)?;
    }
    job.score(&evaluation)?;
    let report = job.report()?;
    print(&format!("{}report: {}\n", job.table()?, report.display()))
}
