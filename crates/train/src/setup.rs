//! From a resolved recipe to a model, a tokenizer and rows of tokens: everything a run needs before its first step.

use std::path::{Path, PathBuf};

use luthier_engine::Device;
use luthier_model::{Config, LoraOptions, Model, Opening, Store, Trained};
use luthier_text::{self as text, NewToken, Prepared, Template, Tokenizer};
use serde_json::{Map, Value, json};

use crate::batch::TrainingRow;
use crate::error::TrainError;
use crate::estimate::MemoryEstimate;
use crate::fit::check_room;
use crate::folder::{HUB, RunFolder};
use crate::recipe::{self, Base, CreateModel, Method, ModelSource, ResolvedRecipe, Targets, TrainTokenizer};
use crate::rehearsal::Base as PlannedBase;
use crate::rows::{self, RenderedRows};
use crate::run::Task;
use crate::stage::Tuned;

/// What a run starts from.
#[derive(Debug)]
pub struct Setup {
    /// The folder of the base model.
    pub base_dir: PathBuf,
    /// The base model; nothing attached yet.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How conversations are written out.
    pub template: Template,
    /// The rows and their ledger.
    pub prepared: Prepared,
    /// What decides the trained weights: recipe, data and base model.
    pub training_hash: String,
    /// What the reader of the run should know.
    pub notices: Vec<String>,
    /// What the training will take of memory; none where it is done already.
    pub memory: Option<MemoryEstimate>,
}

/// Reads a recipe's model and rows; writes the ledger, the resolved recipe and the manifest. [`crate::find_models`] comes before it.
/// `pocket` is the folder of the built-in model; the model lies on `device`. `progress` hears of rows rendered so far, of all.
///
/// # Errors
/// See [`TrainError`]. The ledger is written before a run is refused for what it says.
pub fn set_up(
    recipe: &ResolvedRecipe,
    folder: &RunFolder,
    pocket: &Path,
    device: &Device,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Setup, TrainError> {
    let recipe_sha256 = recipe.training_hash();
    if makes_its_input(recipe) {
        folder.begin(&recipe_sha256)?;
    }
    let sources = rows::data_files(&recipe.data.sources, folder)?;
    let base_dir = base_folder(recipe, folder, pocket)?;
    // What is wrong with the folder is told before what it may lack of a tokenizer.
    Config::read(&base_dir)?;
    let tokenizer = base_tokenizer(recipe, &base_dir)?;
    let opening = opening(&recipe.train.method, recipe.model.store.into());
    let opening = Opening { vocabulary: vocabulary(recipe, &tokenizer), ..opening };
    let mut model = Model::open(&base_dir, device, &opening)?;
    // Tried before anything long begins, and undone.
    make_trainable(&mut model, &recipe.train.method, recipe.seed)?;
    let (_, trainable) = model.params.count();
    model.detach_adapter();
    let rows = rows::render(recipe, sources, &base_dir, &model.config, tokenizer, progress)?;
    let data = rows.options.sources.iter().map(|source| hash_of_file(&source.path)).collect::<Result<Vec<_>, _>>()?;
    let training_hash = training_hash(recipe, &data, &base_dir)?;
    let RenderedRows { tokenizer, template, prepared, options, notices, .. } = rows;
    let mut setup = Setup { base_dir, model, tokenizer, template, prepared, training_hash, notices, memory: None };
    folder.check_claim(&setup.training_hash)?;
    folder.begin(&recipe_sha256)?;
    folder.write("recipe.toml", &recipe.to_toml())?;
    folder.write("ledger.md", &setup.prepared.ledger.to_markdown())?;
    setup.prepared.ledger.write_jsonl(folder.path("ledger.jsonl"))?;
    setup.prepared.check(&options)?;
    if !Tuned::of(recipe, folder).dir().exists() {
        let (weights, rows) = (setup.model.device().memory().current, setup.training_rows());
        setup.memory =
            Some(check_room(PlannedBase::of(&setup.model), &Task::of(recipe, &setup.model.config, &rows), weights)?);
    }
    folder.claim(setup.manifest(recipe, trainable, &hash_of(&data)))?;
    Ok(setup)
}

impl Setup {
    /// Makes the model trainable as the recipe asks: everything, or an adapter.
    ///
    /// # Errors
    /// When a target names no map, or the adapter to start from does not fit.
    pub fn make_trainable(&mut self, recipe: &ResolvedRecipe) -> Result<(), TrainError> {
        make_trainable(&mut self.model, &recipe.train.method, recipe.seed)
    }

    /// The training rows as tokens and labels.
    pub fn training_rows(&self) -> Vec<TrainingRow> {
        self.prepared.train.iter().map(TrainingRow::from).collect()
    }

    /// The held-out rows as tokens and labels, those without any label left out.
    pub fn held_out_rows(&self) -> Vec<TrainingRow> {
        let rows = self.prepared.test.iter().map(|row| TrainingRow::from(&row.example));
        rows.filter(|row| row.labels() > 0).collect()
    }

    fn manifest(&self, recipe: &ResolvedRecipe, trainable: usize, data_sha256: &str) -> Map<String, Value> {
        let (parameters, _) = self.model.params.count();
        let method = match &recipe.train.method {
            Method::Full => "full",
            Method::Lora(_) => "lora",
        };
        let created = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let manifest = json!({
            "name": recipe.name,
            "created_unix": created.map_or(0, |elapsed| elapsed.as_secs()),
            "luthier_version": env!("CARGO_PKG_VERSION"),
            "machine": {
                "cpu": crate::meter::cpu_name(),
                "threads": luthier_engine::threads::parallelism(),
                "memory_bytes": crate::meter::memory_bytes(),
            },
            "base_model": {
                "path": self.base_dir,
                "architecture": self.model.config.family.architecture(),
                "parameters": parameters,
            },
            "recipe_sha256": recipe.training_hash(),
            "data_sha256": data_sha256,
            "training_hash": self.training_hash,
            "method": method,
            "trainable_parameters": trainable,
            "template": self.template.name(),
            "notices": self.notices,
        });
        let Value::Object(mut manifest) = manifest else { unreachable!("the literal above is an object") };
        let commits = recipe.commits();
        if !commits.is_empty() {
            manifest.insert(HUB.to_owned(), commits.into());
        }
        manifest
    }
}

/// Whether rows or base model are written into the run folder before they are used.
fn makes_its_input(recipe: &ResolvedRecipe) -> bool {
    let generated = |source: &recipe::Source| matches!(source, recipe::Source::Generated { .. });
    matches!(recipe.model.source, ModelSource::Create(_)) || recipe.data.sources.iter().any(generated)
}

/// How the base model is opened for a method.
pub(crate) fn opening(method: &Method, store: Store) -> Opening {
    let trained = match method {
        Method::Full => Trained::All,
        Method::Lora(lora) if lora.modules_to_save.as_ref().is_some_and(|modules| !modules.is_empty()) => {
            Trained::Tables
        }
        Method::Lora(_) => Trained::None,
    };
    Opening { store, trained, vocabulary: 0 }
}

pub(crate) fn make_trainable(model: &mut Model, method: &Method, seed: u64) -> Result<(), TrainError> {
    let Method::Lora(lora) = method else {
        model.train_everything();
        return Ok(());
    };
    let refused = |key: &'static str| move |source| TrainError::Adapter { key, source };
    let targets = lora.targets.as_ref().map(|targets| match targets {
        Targets::AllLinear => luthier_model::Targets::AllLinear,
        Targets::Named(names) => luthier_model::Targets::Named(names.clone()),
    });
    if let Some(dir) = &lora.init {
        model.load_adapter(dir.full()).map_err(refused("train.lora.init"))?;
        model.check_adapter_trains().map_err(refused("train.lora.init"))?;
        check_said(model, lora, targets.as_ref(), dir)?;
        model.set_adapter_dropout(lora.dropout);
        return Ok(());
    }
    let written = "the recipe fills what no adapter says";
    let options = LoraOptions {
        rank: lora.rank.expect(written),
        alpha: lora.alpha.expect(written),
        dropout: lora.dropout,
        rslora: lora.rslora.expect(written),
        targets: targets.expect(written),
        modules_to_save: lora.modules_to_save.clone().expect(written),
    };
    model.attach_lora(&options, seed).map_err(refused("train.lora"))
}

/// What the recipe says of the adapter it starts from must be so. Dropout is no part of an adapter: the recipe decides it.
fn check_said(
    model: &mut Model,
    lora: &recipe::Lora,
    targets: Option<&luthier_model::Targets>,
    init: &recipe::RecipePath,
) -> Result<(), TrainError> {
    let differs = |key: &'static str, said: String, found: String| {
        Err(TrainError::AdapterSays { key, said, found, dir: init.full().to_owned() })
    };
    if let Some(targets) = targets
        && !model.adapter_sits_on(targets)
    {
        let said = match targets {
            luthier_model::Targets::AllLinear => String::from("\"all-linear\""),
            luthier_model::Targets::Named(names) => format!("{names:?}"),
        };
        return differs("train.lora.targets", said, String::from("sits on other layers"));
    }
    let adapter = model.adapter_options().expect("it was just loaded");
    match lora {
        recipe::Lora { rank: Some(rank), .. } if *rank != adapter.rank => {
            differs("train.lora.rank", rank.to_string(), format!("has rank {}", adapter.rank))
        }
        recipe::Lora { alpha: Some(alpha), .. } if *alpha != adapter.alpha => {
            differs("train.lora.alpha", alpha.to_string(), format!("has alpha {}", adapter.alpha))
        }
        recipe::Lora { rslora: Some(rslora), .. } if *rslora != adapter.rslora => {
            differs("train.lora.rslora", rslora.to_string(), format!("has {}", adapter.rslora))
        }
        _ => Ok(()),
    }
}

impl From<recipe::Store> for luthier_model::Store {
    fn from(store: recipe::Store) -> Self {
        match store {
            recipe::Store::F32 => Self::F32,
            recipe::Store::Bf16 => Self::Bf16,
            recipe::Store::Int8 => Self::Int8,
            recipe::Store::Nf4 => Self::Nf4,
        }
    }
}

impl From<&text::Example> for TrainingRow {
    fn from(example: &text::Example) -> Self {
        Self { tokens: example.tokens.clone(), labelled: example.labelled.clone() }
    }
}

/// Where the base model lies: a folder, the built-in one, or a new one made in the run folder.
pub(crate) fn base_folder(recipe: &ResolvedRecipe, folder: &RunFolder, pocket: &Path) -> Result<PathBuf, TrainError> {
    match &recipe.model.source {
        ModelSource::Base(Base::Pocket) => Ok(pocket.to_owned()),
        ModelSource::Base(Base::Named(path)) => Ok(path.full().to_owned()),
        ModelSource::Create(create) => {
            let dir = folder.path("base");
            if !dir.exists() {
                let tokenizer = new_tokenizer(recipe, folder)?;
                let json = create_config(create, &tokenizer);
                let model = Model::create(json, &dir.join("config.json"), recipe.seed, &Device::cpu())?;
                luthier_files::write_folder_aside(&dir, |aside| {
                    tokenizer.save(aside, None).map_err(std::io::Error::other)?;
                    model.save(aside, luthier_model::SaveDtype::F32).map_err(std::io::Error::other)
                })
                .map_err(|source| TrainError::Write { path: dir.clone(), source })?;
            }
            Ok(dir)
        }
    }
}

/// The base model's tokenizer with the tokens that the recipe adds.
pub(crate) fn base_tokenizer(recipe: &ResolvedRecipe, base_dir: &Path) -> Result<Tokenizer, TrainError> {
    let mut tokenizer = Tokenizer::from_model(base_dir)?;
    let added: Vec<NewToken> = recipe.model.add_tokens.iter().map(NewToken::ordinary).collect();
    if !added.is_empty() {
        tokenizer.add_tokens(&added)?;
    }
    Ok(tokenizer)
}

/// Rows that embedding and head must have for the tokens that the recipe adds; 0 where it adds none.
pub(crate) fn vocabulary(recipe: &ResolvedRecipe, tokenizer: &Tokenizer) -> usize {
    if recipe.model.add_tokens.is_empty() { 0 } else { tokenizer.vocab_size() }
}

pub(crate) fn new_tokenizer(recipe: &ResolvedRecipe, folder: &RunFolder) -> Result<Tokenizer, TrainError> {
    match &recipe.tokenizer {
        Some(recipe::Tokenizer::Folder(path)) => Ok(Tokenizer::from_model(path.full())?),
        Some(recipe::Tokenizer::Train(options)) => train_tokenizer(options, folder),
        None => unreachable!("the recipe's check asks for a tokenizer with model.create"),
    }
}

fn train_tokenizer(options: &TrainTokenizer, folder: &RunFolder) -> Result<Tokenizer, TrainError> {
    let files = rows::data_files(&options.sources, folder)?;
    let rows = text::read_all(&files, None)?;
    let texts = rows.into_iter().flatten().flat_map(|row| match row.content {
        text::Content::Text(text) => vec![text],
        text::Content::Conversation(messages) => messages.into_iter().map(|message| message.content).collect(),
    });
    Ok(Tokenizer::train_byte_level(texts, options.vocab_size, &options.special_tokens)?)
}

/// `config.json` of a new model. The vocabulary is the tokenizer's.
pub(crate) fn create_config(create: &CreateModel, tokenizer: &Tokenizer) -> Map<String, Value> {
    let mut json = json!({
        "model_type": create.architecture.as_str(),
        "hidden_act": "silu",
        "hidden_size": create.hidden_size,
        "intermediate_size": create.intermediate_size,
        "num_hidden_layers": create.num_hidden_layers,
        "num_attention_heads": create.num_attention_heads,
        "num_key_value_heads": create.num_key_value_heads,
        "max_position_embeddings": create.max_position_embeddings,
        "rope_theta": create.rope_theta,
        "rms_norm_eps": create.rms_norm_eps,
        "tie_word_embeddings": create.tie_word_embeddings,
        "initializer_range": create.initializer_range,
        "vocab_size": tokenizer.vocab_size(),
    });
    if create.head_dim * create.num_attention_heads != create.hidden_size {
        json["head_dim"] = create.head_dim.into();
    }
    for (field, token) in
        [("bos_token_id", tokenizer.bos()), ("eos_token_id", tokenizer.eos()), ("pad_token_id", tokenizer.pad())]
    {
        if let Some(token) = token {
            json[field] = token.id.into();
        }
    }
    match json {
        Value::Object(map) => map,
        _ => unreachable!("the literal above is an object"),
    }
}

/// SHA-256 over the recipe's own hash and the bytes of the data files and of the base model's files; the commit stands for the files
/// of a model of the Hub.
fn training_hash(recipe: &ResolvedRecipe, data: &[String], base: &Path) -> Result<String, TrainError> {
    let mut parts = vec![recipe.training_hash()];
    parts.extend_from_slice(data);
    if let recipe::Template::File(path) = &recipe.data.template {
        parts.push(hash_of_file(path.full())?);
    }
    if let Method::Lora(recipe::Lora { init: Some(dir), .. }) = &recipe.train.method {
        match (dir.origin(), luthier_model::adapter::weights_file(dir.full())) {
            (Some(origin), _) => parts.push(origin.to_string()),
            (None, Some(weights)) => parts.push(hash_of_file(&weights)?),
            // Without weights there is nothing to hash, and opening the adapter says so.
            (None, None) => {}
        }
    }
    if let Some(origin) = recipe.base_origin() {
        parts.push(origin.to_string());
        return Ok(hash_of(&parts));
    }
    if base.is_file() {
        parts.push(hash_of_file(base)?);
        return Ok(hash_of(&parts));
    }
    let entries = std::fs::read_dir(base).map_err(|source| TrainError::Read { path: base.to_owned(), source })?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.sort();
    for file in files {
        let kind = file.extension().and_then(|extension| extension.to_str());
        if matches!(kind, Some("safetensors" | "bin" | "json" | "jinja" | "txt" | "model")) {
            parts.push(hash_of_file(&file)?);
        }
    }
    Ok(hash_of(&parts))
}

fn hash_of_file(path: &Path) -> Result<String, TrainError> {
    luthier_files::sha256_of_file(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })
}

/// One hash over several.
fn hash_of(hashes: &[String]) -> String {
    luthier_files::sha256(hashes.join("\n").as_bytes())
}
