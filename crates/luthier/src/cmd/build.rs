//! `luthier build`: a recipe's documents become the rows of a data set.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use luthier_corpus::CorpusError;
use luthier_corpus::build::{BuildLedger, Outcome, Progress};
use luthier_train::recipe::BuildRecipe;

use super::{Failure, print};
use crate::hub::HubArgs;

/// Builds a data set: collects documents, cleans them, drops duplicates, and writes them as rows
///
/// Sources and steps stand in the sections [collect] and [build] of the recipe; no model is needed. A source may be a data set of the Hub,
/// whose files are fetched into its ordinary cache. The folder appears whole or not at
/// all, and the same recipe on the same sources gives the same bytes.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier build poems.toml --out corpora/poems\n\n\
    The folder afterwards:\n  \
    train.jsonl   rows, each with its source          ledger.jsonl  what became of every record\n  \
    test.jsonl    the rows that are held out          ledger.json   the totals\n  \
    card.md       sources, licences, steps, counts    recipe.toml   the recipe\n\n\
    `luthier recipe` lists every key a recipe may have.")]
pub(crate) struct Args {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// The folder of the data set
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replaces the data set that is in the folder
    #[arg(long)]
    overwrite: bool,
    /// Prints the totals as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// How often a line about the progress is written.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let recipe = BuildRecipe::read(&args.recipe).map_err(Failure::input)?;
    let old = args.out.exists();
    if old && !(args.overwrite && is_data_set(&args.out)) {
        let remedy = match (args.overwrite, is_data_set(&args.out)) {
            (true, _) => "it holds no data set of luthier's, and is not replaced; give another --out",
            (false, true) => "a data set is there already; give --overwrite to replace it, or another --out",
            (false, false) => "it is there already; give another --out",
        };
        return Err(Failure::input(format!("{}: {remedy}", args.out.display())));
    }
    let (pipeline, notices) = recipe.pipeline(&args.hub.hub()).map_err(|error| match error.is_input() {
        true => Failure::input(error),
        false => Failure::run(error),
    })?;
    notices.iter().for_each(|notice| eprintln!("warning: {notice}"));
    let folder = if old { beside(&args.out) } else { args.out.clone() };
    if old && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| Failure::run(format!("{}: {error}", folder.display())))?;
    }
    let ledger = pipeline.build(&folder, &mut progress()).map_err(failure)?;
    if old {
        let replaced = std::fs::remove_dir_all(&args.out).and_then(|()| std::fs::rename(&folder, &args.out));
        replaced.map_err(|error| Failure::run(format!("{}: {error}", args.out.display())))?;
    }
    notes(&ledger, &args.out);
    if args.json {
        let totals = serde_json::to_string_pretty(&ledger).expect("names and numbers");
        return print(&format!("{totals}\n"));
    }
    print(&format!("{}\n{}\n", ledger.summary(), args.out.join("card.md").display()))
}

fn is_data_set(folder: &Path) -> bool {
    folder.join("ledger.json").is_file() && folder.join("train.jsonl").is_file()
}

/// Where a data set is built that is to replace another one.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().map_or_else(|| "data".into(), std::ffi::OsStr::to_os_string);
    name.push(".new");
    folder.with_file_name(name)
}

/// Sources and settings are the user's; what cannot be written, and what does not balance, is not.
fn failure(error: CorpusError) -> Failure {
    match error {
        CorpusError::Write { .. } | CorpusError::Unbalanced { .. } => Failure::run(error),
        _ => Failure::input(error),
    }
}

fn progress() -> impl FnMut(Progress<'_>) {
    let mut last = Instant::now();
    move |progress| {
        let now = Instant::now();
        let due = now.duration_since(last) >= EVERY;
        match progress {
            Progress::Read(count, source) if due => eprintln!("read: {count} documents, now {source}"),
            Progress::Compare(count) => eprintln!("read: {count} documents are left after cleaning"),
            Progress::Rows(done, all) if due || done == all => eprintln!("rows: {done} of {all} documents"),
            _ => return,
        }
        last = now;
    }
}

fn notes(ledger: &BuildLedger, out: &Path) {
    let faults = ledger.count(Outcome::Faulty);
    if faults > 0 {
        let why = ledger.reasons.get(&Outcome::Faulty).into_iter().flatten();
        let why: Vec<String> = why.map(|(why, count)| format!("{count} {why}")).collect();
        let file = out.join("ledger.jsonl");
        eprintln!("note: {faults} records could not be read ({}); {} names each", why.join(", "), file.display());
    }
    if ledger.count(Outcome::Train) == 0 {
        eprintln!(
            "note: no training row came of it; {} says what became of the records",
            out.join("card.md").display()
        );
    }
}
