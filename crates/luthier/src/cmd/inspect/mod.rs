//! `luthier inspect`: what a recipe, model, adapter, run or data file holds, before anything is computed with it.

mod adapter;
mod data;
mod facts;
mod model;
mod rows;
mod run;

use std::path::{Path, PathBuf};

use luthier_hub::{Found, Hub, RepoName, Want};
use serde_json::{Map, Value};

use super::Failure;
use crate::hub::{self, HubArgs};
use crate::open::find;
use crate::pocket;

/// Shows what a recipe, model, adapter, run or data file holds
///
/// A recipe (.toml): its first training rows exactly as training will see them, what is learnt of each set off from what is only read,
/// and the ledger: how every row of the data ends. With --json a line for each row: {"tokens": [...], "labelled": [true, ...],
/// "text": ...}. No weights are loaded and nothing is left behind.
///
/// A model: its parameters by kind, what it takes of memory however it is held and in LoRA training, context, vocabulary, special
/// tokens, template and generation settings, from its folder, its name on the Hub (ORG/NAME, of which no weights are fetched) or
/// `pocket`. An adapter, from its folder or its name: rank, targets and base. A run folder: what ran, how far, and its ledger. A data file: its rows and their fields, every fault with
/// its line, and how long the texts are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier inspect recipes/quickstart.toml --rows 2\n  \
    luthier inspect recipes/quickstart.toml --rows 100 --json\n  \
    luthier inspect pocket\n  \
    luthier inspect Qwen/Qwen2.5-0.5B-Instruct\n  \
    luthier inspect data/rows.jsonl --faults 100\n\n\
    Colours need a terminal; elsewhere, or with NO_COLOR set, [[ ]] stand around what is learnt.")]
pub(crate) struct Args {
    /// Recipe (.toml), model or adapter (folder or name on the Hub), run folder, data file, or `pocket`
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
    #[command(flatten)]
    hub: HubArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (what, hub) = (args.what.as_path(), args.hub.hub());
    if what.is_dir() || what == Path::new(pocket::NAME) {
        return show_folder(&find(what, &hub, Want::Description)?, args.json);
    }
    match what.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => rows::show(what, args.rows, &hub, args.json),
        _ if what.is_file() => data::show(what, args.faults, args.json),
        _ => show_named(what, &hub, args.json),
    }
}

fn show_named(what: &Path, hub: &Hub, json: bool) -> Result<(), Failure> {
    match RepoName::unless_path(&what.to_string_lossy(), what).map_err(hub::failure)? {
        Some(_) => show_folder(&find(what, hub, Want::Description)?, json),
        None => Err(Failure::input(format!(
            "there is no {}; give a recipe, a folder, a data file or the name of a model on the Hub, ORG/NAME",
            what.display()
        ))),
    }
}

fn show_folder(found: &Found, json: bool) -> Result<(), Failure> {
    let holds = |file: &str| found.dir.join(file).is_file();
    match found.dir.as_path() {
        _ if holds("config.json") => model::show(found, json),
        _ if holds("adapter_config.json") => adapter::show(found, json),
        dir if holds("manifest.json") => run::show(dir, json),
        dir => Err(Failure::input(format!(
            "{} holds none of config.json (a model), adapter_config.json (an adapter) and manifest.json (a run)",
            dir.display()
        ))),
    }
}

/// A JSON object from a file.
fn read_object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::input(format!("{} is not a JSON object: {error}", path.display())))
}
