//! `luthier inspect`: what a recipe, model, adapter, run or data set holds, before anything is computed with it.

mod adapter;
pub(super) mod data;
mod facts;
pub(super) mod marks;
mod model;
pub(super) mod record;
mod rows;
mod run;

use std::path::{Path, PathBuf};

use luthier_corpus::statistics::DataSet;
use luthier_hub::{Found, Hub, RepoName, Want};
use serde_json::{Map, Value};

use super::Failure;
use crate::hub::{self, HubArgs};
use crate::open::find;
use crate::pocket;

/// Shows what a recipe, model, adapter, run or data set holds
///
/// A recipe (.toml): its first training rows exactly as training will see them, what is learnt of each set off from what is only read,
/// and the ledger: how every row of the data ends. With --json a line for each row: {"tokens": [...], "labelled": [true, ...],
/// "text": ...}. No weights are loaded and nothing is left behind.
///
/// A model: its parameters by kind, what it takes of memory however it is held and in LoRA training, context, vocabulary, special
/// tokens, template and generation settings, from its folder, its name on the Hub (ORG/NAME, of which no weights are fetched) or
/// `pocket`. An adapter, from its folder or its name: rank, targets and base. A run folder: what ran, how far, and its ledger.
///
/// Data: a file of any format that `luthier build` reads (JSON array, JSON Lines, CSV, TSV, Parquet, text, HTML, CoNLL-U, WARC, WET; also
/// as .gz, .zst or .bz2), a folder of such files, or a data set that it has made. Records by shape and file, every fault with its place, fields, lengths
/// with histograms, languages, script of the Chinese, rows that repeat others, prompts with several outputs, the most frequent instructions and outputs, and
/// some rows. With --model also tokens and the share of them that carry a label. Prompt is what comes before the last answer, output that answer, text what
/// rows without an answer say. Rows in a shape that training reads must be such as it takes; of any other shape `build` makes such rows. A file is read as a
/// stream, and memory holds 32 bytes of each row. Quantiles of lengths from 4,096 on are right to within 1 %; where there are more than half a
/// million different texts, how often the frequent ones came is told with the greatest error.
///
/// --json of data is one object: kind, path, name (of a data set that was built), bytes, records, rows, shapes, passed_over; faults: {count,
/// kinds, listed: [{file, line, message}]}; files: [{file, side, bytes, records, shapes, faults, passed_over}], beside: [file that is not read]; sides: {train, test, test_in_train} and
/// ledger of a data set that was built, else null; fields: [{name, filled, empty, characters, tokens}]; lengths: [{part, characters, tokens}], part
/// being prompt, output, text or turns; languages, scripts; repeats: {exact, repeated, first, near: {share, rows, first} or null,
/// prompts_with_several_outputs, rows_with_such_prompts, first_with_such_prompts}, each pair {row, earlier, differ}; instructions, outputs: {total, different,
/// error, most: [{text, count}]}; model: {model, row, tokens, labelled, labelled_share, max_length, longer, refused, why_refused, not_read}
/// or null; examples: [{place, texts: [{name, text}], tokens, labelled, pieces: [{labelled, text}]}]. Lengths are {count, min, median, mean, p95, max, histogram:
/// [{from, to, count}]}.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier inspect recipes/quickstart.toml --rows 2\n  \
    luthier inspect recipes/quickstart.toml --rows 100 --json\n  \
    luthier inspect pocket\n  \
    luthier inspect Qwen/Qwen2.5-0.5B-Instruct\n  \
    luthier inspect data/rows.jsonl --faults 100\n  \
    luthier inspect data/rows.jsonl --model Qwen/Qwen2.5-0.5B-Instruct --max-length 1024\n  \
    luthier inspect corpora/titles --near 0.15 --html titles.html\n\n\
    Colours need a terminal; elsewhere, or with NO_COLOR set, [[ ]] stand around what is learnt.")]
pub(crate) struct Args {
    /// Recipe (.toml), model or adapter (folder or name on the Hub), run folder, data (file or folder), or `pocket`
    #[arg(value_name = "WHAT")]
    what: PathBuf,
    /// How many rows to show: the first training rows of a recipe, rows of data drawn by --seed
    #[arg(long, value_name = "N", default_value_t = 3)]
    rows: usize,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    data: data::DataArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (what, hub) = (args.what.as_path(), args.hub.hub());
    if is_data(what) {
        return data::show(what, args.rows, &args.data, &hub, args.json);
    }
    if let Some(flag) = args.data.given()
        && what.exists()
    {
        return Err(Failure::input(format!("{flag} is for data; {} holds none", what.display())));
    }
    if what.is_dir() || what == Path::new(pocket::NAME) {
        return show_folder(&find(what, &hub, Want::Description)?, args.json);
    }
    match what.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => rows::show(what, args.rows, &hub, args.json),
        _ => show_named(what, &hub, args.json),
    }
}

/// Whether it is a file that is no recipe, or a folder that holds data and is no model, adapter or run.
fn is_data(what: &Path) -> bool {
    if what == Path::new(pocket::NAME) || FOLDERS.iter().any(|(file, _)| what.join(file).is_file()) {
        return false;
    }
    what.extension().is_none_or(|extension| extension != "toml") && DataSet::is_at(what)
}

/// The file by which a folder is known, and what it is then.
const FOLDERS: [(&str, &str); 3] =
    [("config.json", "a model"), ("adapter_config.json", "an adapter"), ("manifest.json", "a run")];

fn show_named(what: &Path, hub: &Hub, json: bool) -> Result<(), Failure> {
    match RepoName::unless_path(&what.to_string_lossy(), what).map_err(hub::failure)? {
        Some(_) => show_folder(&find(what, hub, Want::Description)?, json),
        None => Err(Failure::input(format!(
            "there is no {}; give a recipe, a folder, data or the name of a model on the Hub, ORG/NAME",
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
        dir => {
            let [model, adapter, run] = FOLDERS.map(|(file, what)| format!("{file} ({what})"));
            Err(Failure::input(format!(
                "{} holds none of {model}, {adapter} and {run}, and no file of rows in a known format",
                dir.display()
            )))
        }
    }
}

/// A JSON object from a file.
fn read_object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::input(format!("{} is not a JSON object: {error}", path.display())))
}
