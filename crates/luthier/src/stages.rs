//! The stages of a run, as `run`, `train` and `evaluate` use them.

use std::fs::File;
use std::path::{Path, PathBuf};

use luthier_corpus::CorpusError;
use luthier_engine::Device;
use luthier_evaluate::{EvaluateError, Plan, Strategy};
use luthier_hub::Want;
use luthier_model::ModelError;
use luthier_text::{TestRow, TextError};
use luthier_train::recipe::{Base, Language, ModelSource, Source, System, Template};
use luthier_train::{Recipe, ResolvedRecipe, RunFolder, Setup, TrainError, Tuned, find_models, set_up, train_stage};

use crate::cmd::Failure;
use crate::hub::HubArgs;
use crate::pocket;
use crate::profile::{self, Profiling};
use crate::progress::{EvaluationBar, TrainingBar, counter};

/// Resamples of the bootstrap behind every interval.
const RESAMPLES: usize = 1000;

/// A run that is open: its recipe, its folder, and what it starts from.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) written: Recipe,
    pub(crate) recipe: ResolvedRecipe,
    pub(crate) folder: RunFolder,
    pub(crate) setup: Setup,
    /// Held until the job ends.
    _lock: Option<File>,
}

/// What `run` and `train` are told.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// The run folder; runs/NAME by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Removes the run that is in the folder and starts anew
    #[arg(long)]
    overwrite: bool,
    /// Times every kernel of training: a table on stderr, all rows in profile.json
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    hub: HubArgs,
}

impl RunArgs {
    /// Prepares the run.
    pub(crate) fn open(&self) -> Result<Job, Failure> {
        let cpu = Device::cpu();
        let device = if self.profile { Device::profiled(&cpu) } else { cpu };
        open_on(&device, &self.recipe, self.out.as_deref(), self.overwrite, self.hub)
    }
}

/// Reads a recipe and prepares its run in `out`, by default `runs/NAME`.
pub(crate) fn open(path: &Path, out: Option<&Path>, hub: HubArgs) -> Result<Job, Failure> {
    open_on(&Device::cpu(), path, out, false, hub)
}

fn open_on(device: &Device, path: &Path, out: Option<&Path>, overwrite: bool, hub: HubArgs) -> Result<Job, Failure> {
    let written = Recipe::read(path).map_err(Failure::input)?;
    let mut recipe = written.resolve();
    let dir = out.map_or_else(|| PathBuf::from("runs").join(&recipe.name), Path::to_owned);
    let folder = RunFolder::open(&dir, overwrite).map_err(failure)?;
    // A folder that is there is locked before anything in it changes; a new one as soon as it is there.
    let early = folder.lock().map_err(failure)?;
    let notices = find_models(&mut recipe, &folder, &hub.hub(), Want::Model);
    for notice in notices.map_err(|error| refusal(error, &written, &recipe))? {
        eprintln!("warning: {notice}");
    }
    let pocket = pocket_for(&recipe)?;
    let setup = set_up(&recipe, &folder, &pocket, device, &counter("rows"))
        .map_err(|error| refusal(error, &written, &recipe))?;
    eprintln!("rows: {}", setup.prepared.ledger.summary());
    for notice in &setup.notices {
        eprintln!("note: {notice}");
    }
    let _lock = match early {
        Some(lock) => Some(lock),
        None => folder.lock().map_err(failure)?,
    };
    Ok(Job { written, recipe, folder, setup, _lock })
}

/// The folder of the built-in model, for a recipe that begins with it.
pub(crate) fn pocket_for(recipe: &ResolvedRecipe) -> Result<PathBuf, Failure> {
    match recipe.model.source {
        ModelSource::Base(Base::Pocket) => pocket::folder(),
        _ => Ok(PathBuf::new()),
    }
}

impl Job {
    /// Trains, or finds that this was done.
    pub(crate) fn train(&mut self) -> Result<Tuned, Failure> {
        let mut watch = Profiling::new(TrainingBar::default(), self.setup.model.device());
        let tuned = train_stage(&self.recipe, &mut self.setup, &self.folder, &mut watch).map_err(failure)?;
        if let Some((profile, steps)) = watch.steps() {
            eprint!("{}", profile::table(&profile, steps));
            profile::write(&self.folder.path("profile.json"), &profile, steps)?;
        }
        eprintln!("tuned: {}", tuned.dir().display());
        Ok(tuned)
    }

    /// Loads what was trained, if anything was.
    pub(crate) fn load_tuned(&mut self) -> Result<bool, Failure> {
        let tuned = Tuned::of(&self.recipe, &self.folder);
        let there = tuned.dir().is_dir();
        if there {
            self.setup.load(&tuned).map_err(Failure::input)?;
        }
        Ok(there)
    }

    /// Writes the page of what there is so far.
    pub(crate) fn report(&self) -> Result<PathBuf, Failure> {
        let language = match self.recipe.report.language {
            Language::En => luthier_report::Language::English,
            Language::ZhHant => luthier_report::Language::TraditionalChinese,
        };
        luthier_report::write_report(self.folder.dir(), language).map_err(Failure::run)
    }
}

/// What a key of the recipe asks for and cannot be had is told with the key's place.
fn refusal(error: TrainError, written: &Recipe, recipe: &ResolvedRecipe) -> Failure {
    let refuse = |key: &str, why: String| Failure::input(written.refuse(key, why));
    match error {
        TrainError::Memory { key, why } => refuse(key, why),
        TrainError::Hub { key, source } => {
            let is_input = source.is_input();
            let refused = written.refuse(key, format!("cannot be had: {source}"));
            if is_input { Failure::input(refused) } else { Failure::run(refused) }
        }
        TrainError::Adapter { key, source } => refuse(key, format!("does not fit the model: {source}")),
        TrainError::Text(TextError::Read { path, cause }) => match key_of(&path, recipe) {
            Some(key) => refuse(&key, format!("cannot be read: {}: {cause}", path.display())),
            None => failure(TextError::Read { path, cause }.into()),
        },
        error => failure(error),
    }
}

/// The key that names this file.
fn key_of(path: &Path, recipe: &ResolvedRecipe) -> Option<String> {
    let is_it = |source: &Source| matches!(source, Source::File { path: file, .. } if file.full() == path);
    let source = recipe.data.sources.iter().position(is_it).map(|at| format!("data.sources[{at}].path"));
    let template = matches!(&recipe.data.template, Template::File(file) if file.full() == path);
    source.or_else(|| template.then(|| "data.template".to_owned()))
}

/// What the user can mend by changing input exits with 2, what broke on the way with 1.
pub(crate) fn failure(error: TrainError) -> Failure {
    let is_mishap = match &error {
        TrainError::Hub { source, .. } => !source.is_input(),
        TrainError::Write { .. }
        | TrainError::NotFinite { .. }
        | TrainError::Checkpoint { .. }
        | TrainError::Text(TextError::Write { .. } | TextError::Unbalanced { .. })
        | TrainError::Corpus(CorpusError::Write { .. })
        | TrainError::Model(ModelError::Write { .. }) => true,
        _ => false,
    };
    if is_mishap { Failure::run(error) } else { Failure::input(error) }
}

/// The evaluation of a job, checked before anything long begins.
#[derive(Debug)]
pub(crate) struct Evaluation {
    metrics: Vec<String>,
    systems: Vec<&'static str>,
    strategies: Vec<Strategy>,
}

impl Job {
    /// Checks the strategies of the recipe against the model.
    pub(crate) fn evaluation(&self) -> Result<Evaluation, Failure> {
        let evaluate = &self.recipe.evaluate;
        let rows = self.setup.prepared.train.iter().take(1000);
        let ends = luthier_evaluate::turn_ends(&self.setup.tokenizer, rows);
        let check = |strategy: &luthier_train::recipe::Strategy| {
            let (model, tokenizer) = (&self.setup.model, &self.setup.tokenizer);
            let name = &strategy.name;
            luthier_evaluate::strategy(name, &strategy.parameters, model, tokenizer, evaluate.max_new_tokens, &ends)
                .map_err(|error| self.refuse_strategy(name, &error))
        };
        Ok(Evaluation {
            metrics: evaluate.metrics.iter().map(ToString::to_string).collect(),
            systems: evaluate.systems.iter().map(|system| system.as_str()).collect(),
            strategies: evaluate.strategies.iter().map(check).collect::<Result<_, _>>()?,
        })
    }

    fn refuse_strategy(&self, name: &str, error: &EvaluateError) -> Failure {
        let key = match error {
            EvaluateError::Strategy { key: Some(key), .. } => format!("evaluate.strategies.{name}.{key}"),
            _ => format!("evaluate.strategies.{name}"),
        };
        let key = if self.written.place(&key).is_some() { key } else { format!("evaluate.strategies.{name}") };
        Failure::input(self.written.refuse(&key, error.to_string()))
    }

    /// Whether the recipe asks for answers of this system.
    pub(crate) fn compares(&self, system: System) -> bool {
        self.recipe.evaluate.systems.contains(&system) && !self.rows().is_empty()
    }

    fn rows(&self) -> &[TestRow] {
        let rows = &self.setup.prepared.test;
        &rows[..rows.len().min(self.recipe.evaluate.rows)]
    }

    /// Lets the model that is loaded now answer the held-out rows as `system`.
    pub(crate) fn answer(&self, evaluation: &Evaluation, system: System) -> Result<(), Failure> {
        let fingerprint = format!("{system} {}", self.setup.training_hash);
        luthier_evaluate::evaluate_system(
            self.folder.dir(),
            system.as_str(),
            &fingerprint,
            &self.setup.model,
            &self.setup.tokenizer,
            self.rows(),
            &self.plan(evaluation),
            &mut EvaluationBar::default(),
        )
        .map_err(Failure::run)
    }

    /// Scores the answers there are.
    pub(crate) fn score(&self, evaluation: &Evaluation) -> Result<(), Failure> {
        if self.rows().is_empty() {
            eprintln!("note: there are no held-out rows, so nothing is scored; data.split.test sets some aside");
            return Ok(());
        }
        luthier_evaluate::score_run(self.folder.dir(), &self.plan(evaluation), self.rows()).map_err(Failure::run)?;
        Ok(())
    }

    fn plan<'a>(&self, evaluation: &'a Evaluation) -> Plan<'a> {
        Plan {
            metrics: &evaluation.metrics,
            systems: &evaluation.systems,
            strategies: &evaluation.strategies,
            batch: self.recipe.evaluate.batch,
            seed: self.recipe.seed,
            resamples: RESAMPLES,
        }
    }

    /// A table of base and tuned for the terminal, from `scores.json`.
    pub(crate) fn table(&self) -> Result<String, Failure> {
        crate::table::of_scores(&self.folder.path("scores.json"))
    }
}
