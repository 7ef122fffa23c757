//! Data on a screen, as JSON or as a page: how many rows of which kind, what is wrong with them, how long they are, what repeats.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use luthier_corpus::duplicates::NearOptions;
use luthier_corpus::statistics::{DataSet, NearSearch, Options, Rendering, Statistics};
use luthier_corpus::{CorpusError, FileFormat};
use luthier_hub::{Hub, Want};
use luthier_report::Language;
use luthier_report::data::{render_data, text};
use luthier_text::{Renderer, Template, Tokenizer};

use super::marks;
use super::record::Record;
use crate::cmd::report::parse_language;
use crate::cmd::{Failure, print};
use crate::open::find;

/// What is asked about data, and about nothing else.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
pub(super) struct DataArgs {
    /// Counts tokens and labels with the tokenizer and template of this model: a folder, a name on the Hub, or `pocket`. Loads no weights
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// With --model: how many rows are longer than so many tokens
    #[arg(long, value_name = "N", requires = "model")]
    max_length: Option<u64>,
    /// Finds rows that differ from an earlier one in at most this share of their letters, from 0 to 0.3. Takes about 450 bytes of memory a
    /// row, and the room of the rows in the folder for temporary files
    #[arg(long, value_name = "SHARE")]
    near: Option<f64>,
    /// What the files are, where content and names do not tell
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    #[arg(value_parser = PossibleValuesParser::new(FileFormat::NAMES).try_map(|name| name.parse::<FileFormat>()))]
    format: FileFormat,
    /// How many faults to name; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    faults: usize,
    /// How many frequent instructions and outputs, repeats and conflicts to show of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Decides which rows are shown
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    seed: u64,
    /// Writes a page with histograms: one file without scripts
    #[arg(long, value_name = "PAGE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// Language of the page: en or zh-Hant
    #[arg(long, default_value = "en", value_parser = parse_language)]
    language: Language,
}

impl DataArgs {
    /// The first flag that only data understands, where one was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--model", self.model.is_some()),
            ("--max-length", self.max_length.is_some()),
            ("--near", self.near.is_some()),
            ("--format", self.format != FileFormat::Auto),
            ("--html", self.html.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// A tokenizer and the template that goes with it.
struct Texts {
    name: String,
    tokenizer: Tokenizer,
    template: Template,
}

impl Texts {
    fn open(model: &Path, hub: &Hub) -> Result<Self, Failure> {
        let dir = find(model, hub, Want::Description)?.dir;
        if !dir.exists() {
            return Err(Failure::input(format!("--model: there is no {}", dir.display())));
        }
        let tokenizer = Tokenizer::from_model(&dir).map_err(Failure::input)?;
        let chosen = Template::choose("model", &dir, &tokenizer).map_err(Failure::input)?;
        if let Some(notice) = chosen.notice {
            eprintln!("note: {notice}");
        }
        Ok(Texts { name: model.display().to_string(), tokenizer, template: chosen.template })
    }
}

pub(super) fn show(path: &Path, rows: usize, args: &DataArgs, hub: &Hub, json: bool) -> Result<(), Failure> {
    let set = DataSet::open(path, args.format).map_err(failure)?;
    let texts = args.model.as_ref().map(|model| Texts::open(model, hub)).transpose()?;
    let rendering = texts.as_ref().map(|texts| Rendering {
        renderer: Renderer::new(&texts.tokenizer, &texts.template),
        max_length: args.max_length,
    });
    let scratch = args.near.map(|_| tempfile::tempdir()).transpose();
    let scratch = scratch.map_err(|error| Failure::run(format!("no temporary folder: {error}")))?;
    let near = args.near.zip(scratch.as_ref()).map(|(edited, scratch)| NearSearch {
        options: NearOptions { edited, ..NearOptions::default() },
        scratch: scratch.path().to_owned(),
    });
    let options = Options { examples: rows, seed: args.seed, faults: args.faults, pairs: args.top, near, rendering };
    let statistics = Statistics::of(&set, &options, &mut progress()).map_err(failure)?;
    let model = texts.as_ref().zip(rendering).map(|(texts, rendering)| (&*texts.name, &texts.tokenizer, rendering));
    let record = Record { set: &set, statistics: &statistics, model, near: args.near, most: args.top };
    let document = record.document()?;
    if let Some(page) = &args.html {
        let html = render_data(&document, args.language).map_err(Failure::run)?;
        let written = luthier_files::write_atomically(page, |file| file.write_all(html.as_bytes()));
        written.map_err(|error| Failure::run(format!("cannot write {}: {error}", page.display())))?;
        return print(&format!("{}\n", page.display()));
    }
    if json {
        let json = serde_json::to_string(&document).map_err(Failure::run)?;
        return print(&format!("{json}\n"));
    }
    print(&text(&document, marks::of_stdout(), marks::colours()))
}

/// Files and settings are the user's; a temporary file that cannot be written is not.
pub(crate) fn failure(error: CorpusError) -> Failure {
    match error {
        CorpusError::Write { .. } => Failure::run(error),
        CorpusError::Setting { setting: "near.edited", cause } => Failure::input(format!("--near: {cause}")),
        CorpusError::UnknownFormat { path } => Failure::input(format!(
            "{}: neither content nor name tell what it is; name it with --format: {}",
            path.display(),
            FileFormat::NAMES[1..].join(", ")
        )),
        _ => Failure::input(error),
    }
}

/// How often a line about the progress is written.
const EVERY: Duration = Duration::from_secs(15);

/// A line on stderr now and then, where reading takes long.
pub(crate) fn progress() -> impl FnMut(u64, &str) {
    let mut last = Instant::now();
    move |rows, file| {
        if last.elapsed() >= EVERY {
            eprintln!("read: {rows} rows, now {file}");
            last = Instant::now();
        }
    }
}
