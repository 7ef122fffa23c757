//! `luthier inspect`: what a recipe, model, adapter, run or data file holds, before anything is computed with it.

mod adapter;
mod data;
mod facts;
mod model;
mod rows;
mod run;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Failure;
use crate::open::model_folder;
use crate::pocket;

/// Shows what a recipe, model, adapter, run or data file holds
///
/// A recipe (.toml): its first training rows exactly as training will see them, what is learnt of each set off from what is only read,
/// and the ledger: how every row of the data ends. With --json a line for each row: {"tokens": [...], "labelled": [true, ...],
/// "text": ...}. No weights are loaded and nothing is left behind.
///
/// A model folder, or `pocket`: sizes, memory, tokenizer, special tokens, chat template and generation settings. An adapter folder:
/// rank, targets and base. A run folder: what ran, how far, and its ledger. A data file: its rows and their fields, every fault with
/// its line, and how long the texts are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier inspect recipes/quickstart.toml --rows 2\n  \
    luthier inspect recipes/quickstart.toml --rows 100 --json\n  \
    luthier inspect pocket\n  \
    luthier inspect data/rows.jsonl --faults 100\n\n\
    Colours need a terminal; elsewhere, or with NO_COLOR set, [[ ]] stand around what is learnt.")]
pub(crate) struct Args {
    /// Recipe (.toml), model folder, adapter folder, run folder, data file, or `pocket`
    #[arg(value_name = "WHAT")]
    what: PathBuf,
    /// How many training rows of a recipe to show
    #[arg(long, value_name = "N", default_value_t = 3)]
    rows: usize,
    /// How many faults of a data file to name
    #[arg(long, value_name = "N", default_value_t = 20)]
    faults: usize,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let what = args.what.as_path();
    let holds = |file: &str| what.join(file).is_file();
    if what.is_dir() {
        return match what {
            _ if holds("config.json") => model::show(what, args.json),
            _ if holds("adapter_config.json") => adapter::show(what, args.json),
            _ if holds("manifest.json") => run::show(what, args.json),
            _ => Err(Failure::input(format!(
                "{} holds none of config.json (a model), adapter_config.json (an adapter) and manifest.json (a run)",
                what.display()
            ))),
        };
    }
    match what.extension().and_then(|extension| extension.to_str()) {
        _ if what == Path::new(pocket::NAME) => model::show(&model_folder(what)?, args.json),
        Some("toml") => rows::show(what, args.rows, args.json),
        _ if what.is_file() => data::show(what, args.faults, args.json),
        _ => Err(Failure::input(format!("there is no {}; give a recipe, a folder or a data file", what.display()))),
    }
}

/// A JSON object from a file.
fn read_object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::input(format!("{} is not a JSON object: {error}", path.display())))
}
