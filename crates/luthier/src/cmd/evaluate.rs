//! `luthier evaluate`: base against tuned, for a run that was trained.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use luthier_train::recipe::System;

use super::{Failure, print};
use crate::hub::HubArgs;
use crate::stages;

/// Scores base and tuned model of a run on the same held-out rows, under each strategy of its recipe
///
/// Writes predictions/, scores.json and the report anew. Answers that are there already are kept; after a change of
/// [evaluate] in the recipe only what is missing is computed. Without a tuned model only the base is scored.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier train recipes/quickstart.toml --out runs/quickstart\n  \
    luthier evaluate recipes/quickstart.toml --out runs/quickstart")]
pub(crate) struct Args {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// The run folder; runs/NAME by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints scores.json instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut job = stages::open(&args.recipe, args.out.as_deref(), args.hub)?;
    let evaluation = job.evaluation()?;
    if job.compares(System::Base) {
        job.answer(&evaluation, System::Base)?;
    }
    match job.load_tuned()? {
        true if job.compares(System::Tuned) => job.answer(&evaluation, System::Tuned)?,
        true => {}
        false => eprintln!("note: nothing is trained in {} yet; only the base is scored", job.folder.dir().display()),
    }
    job.score(&evaluation)?;
    job.report()?;
    if args.json {
        let path = job.folder.path("scores.json");
        return print(&std::fs::read_to_string(&path).map_err(Failure::run)?);
    }
    print(&job.table()?)
}
