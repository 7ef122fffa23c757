//! A model on one screen: what it is, what it takes, and what surrounds its texts. Weights are counted from config.json, not read.

mod screen;

use std::path::Path;

use luthier_engine::Device;
use luthier_hub::{Found, Origin};
use luthier_model::weights::Tensors;
use luthier_model::{Config, Model, ModelError, Opening, Store};
use luthier_text::{SpecialToken, Template, TextError, Tokenizer};
use luthier_train::{Base, Recipe, Task, TrainingRow, estimate_memory};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::cmd::{Failure, print};
use crate::stages;

/// The recipe whose memory is told: every setting at its default, one step.
const LORA: &str = "name = \"inspect\"\ndata = { sources = [{ path = \"rows\" }] }\nmodel = { base = \"pocket\" }\n\
                    train = { steps = 1 }\n";

/// The step's rows, as many tokens as a micro-batch holds by default.
const ROWS: usize = 8;
const ROW_TOKENS: usize = 256;

const STORES: [(&str, Store); 4] =
    [("f32", Store::F32), ("bf16", Store::Bf16), ("int8", Store::Int8), ("nf4", Store::Nf4)];

/// All that is said of a model.
#[derive(Debug, Serialize)]
struct Description {
    kind: &'static str,
    /// `ORG/NAME@COMMIT`
    hub: Option<String>,
    folder: String,
    architecture: &'static str,
    model_type: &'static str,
    parameters: usize,
    parameters_by_kind: Named<usize>,
    tied_head: bool,
    layers: usize,
    hidden_size: usize,
    intermediate_size: usize,
    attention_heads: usize,
    key_value_heads: usize,
    head_dim: usize,
    attention: &'static str,
    mlp: &'static str,
    weights: Weights,
    memory_bytes: Named<usize>,
    lora_training: LoraTraining,
    key_value_cache_bytes_per_token: usize,
    context: usize,
    rope: String,
    vocabulary: usize,
    tokenizer: Option<TokenizerFacts>,
    /// Why there is no tokenizer.
    no_tokenizer: Option<String>,
    eos_token_id: Vec<u32>,
    generation_config: Option<Map<String, Value>>,
}

/// Values under names, in this order; an object for programs.
#[derive(Debug)]
struct Named<T>(Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The files with the weights.
#[derive(Debug, Serialize)]
struct Weights {
    /// The number format of most of them; where they are not here, what config.json says.
    stored_as: Option<String>,
    bytes: Option<u64>,
    here: bool,
}

/// Training an adapter with the recipe's defaults.
#[derive(Debug, Serialize)]
struct LoraTraining {
    rank: usize,
    rows: usize,
    tokens_per_row: usize,
    memory_bytes: Named<usize>,
}

/// A tokenizer and what it puts around texts.
#[derive(Debug, Serialize)]
struct TokenizerFacts {
    tokens: usize,
    bos_before_every_text: bool,
    special_tokens: Named<Option<Special>>,
    template: TemplateFacts,
}

#[derive(Debug, Serialize)]
struct Special {
    text: String,
    id: u32,
}

/// How conversations are written.
#[derive(Debug, Serialize)]
struct TemplateFacts {
    /// The file it stands in, or `alpaca`, which serves a model without one.
    from: String,
    own: bool,
    source: Option<String>,
}

pub(super) fn show(found: &Found, json: bool) -> Result<(), Failure> {
    let description = describe(found)?;
    if json {
        let json = serde_json::to_string(&description).expect("names and numbers");
        print(&(json + "\n"))
    } else {
        print(&screen::screen(&description))
    }
}

fn describe(found: &Found) -> Result<Description, Failure> {
    let dir = found.dir.as_path();
    let config = Config::read(dir).map_err(Failure::input)?;
    let shape = |store| {
        let path = dir.join("config.json");
        let opening = Opening { store, ..Opening::default() };
        Model::of_shape(config.clone(), &path, &Device::plan(), opening).map_err(Failure::input)
    };
    let by_kind = by_kind(&shape(Store::F32)?);
    let bytes = |store| -> Result<usize, Failure> {
        Ok(shape(store)?.params.iter().map(|(_, param)| param.tensor.bytes()).sum())
    };
    let (tokenizer, no_tokenizer) = match Tokenizer::from_model(dir) {
        Ok(tokenizer) => (Some(tokenizer_facts(dir, &tokenizer)?), None),
        Err(error @ TextError::TokenizerMissing { .. }) => (None, Some(error.to_string())),
        Err(error) => return Err(Failure::input(error)),
    };
    let generation = dir.join("generation_config.json");
    let generation_config = if generation.is_file() { Some(super::read_object(&generation)?) } else { None };
    Ok(Description {
        kind: "model",
        hub: found.origin.as_ref().map(ToString::to_string),
        folder: dir.display().to_string(),
        architecture: config.family.architecture(),
        model_type: config.family.model_type(),
        parameters: by_kind.0.iter().map(|(_, count)| count).sum(),
        parameters_by_kind: by_kind,
        tied_head: config.tie_word_embeddings,
        layers: config.num_hidden_layers,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        attention_heads: config.num_attention_heads,
        key_value_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        attention: config.family.info().attention,
        mlp: config.family.info().mlp,
        weights: weights(dir, found.origin.as_ref(), &config)?,
        memory_bytes: for_each_store(bytes)?,
        lora_training: lora_training(&config)?,
        key_value_cache_bytes_per_token: 2 * config.num_hidden_layers * config.key_width() * 4,
        context: config.context(),
        rope: rope(&config),
        vocabulary: config.vocab_size,
        tokenizer,
        no_tokenizer,
        eos_token_id: config.eos_token_ids.clone(),
        generation_config,
    })
}

fn for_each_store(bytes: impl Fn(Store) -> Result<usize, Failure>) -> Result<Named<usize>, Failure> {
    let of_store = |(name, store)| Ok((name, bytes(store)?));
    STORES.into_iter().map(of_store).collect::<Result<_, _>>().map(Named)
}

/// Parameters by what they are for; kinds that a model has none of are left out.
fn by_kind(model: &Model) -> Named<usize> {
    let kinds = ["embedding", "attention", "mlp", "norms", "head", "other"];
    let has = |name: &str, parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let kind_of = |name: &str| match name {
        _ if has(name, &["norm", ".ln_"]) => "norms",
        _ if has(name, &["attn", "attention"]) => "attention",
        _ if has(name, &["mlp", "moe", ".fc1.", ".fc2."]) => "mlp",
        _ if has(name, &["lm_head", "embed_out"]) => "head",
        _ if has(name, &["embed", ".wte.", ".wpe."]) => "embedding",
        _ => "other",
    };
    let count = |kind: &str| -> usize {
        let params = model.params.iter().filter(|(_, param)| kind_of(&param.name) == kind);
        params.map(|(_, param)| param.shape.iter().product::<usize>()).sum()
    };
    Named(kinds.into_iter().map(|kind| (kind, count(kind))).filter(|(_, count)| *count > 0).collect())
}

/// What the weights' files say; where there are none, what is known without them.
fn weights(dir: &Path, origin: Option<&Origin>, config: &Config) -> Result<Weights, Failure> {
    match Tensors::of_model(dir) {
        Ok(tensors) => Ok(Weights {
            stored_as: Some(tensors.stored_dtype().torch_name().to_owned()),
            bytes: bytes_of_files(dir),
            here: true,
        }),
        Err(ModelError::NotAModel { .. }) => Ok(Weights {
            stored_as: ["torch_dtype", "dtype"]
                .iter()
                .find_map(|key| config.json.get(*key)?.as_str())
                .map(str::to_owned),
            bytes: origin.and_then(|origin| origin.weights),
            here: false,
        }),
        Err(error) => Err(Failure::input(error)),
    }
}

fn bytes_of_files(dir: &Path) -> Option<u64> {
    let is_weights =
        |path: &Path| path.extension().is_some_and(|extension| extension == "safetensors" || extension == "bin");
    let files = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| is_weights(path)).map(|path| Some(std::fs::metadata(path).ok()?.len())).sum()
}

/// What a training run with the recipe's defaults takes, rows of half prompt and half answer.
fn lora_training(config: &Config) -> Result<LoraTraining, Failure> {
    let recipe = Recipe::parse(LORA, "inspect").expect("the recipe above is one").resolve();
    let tokens_per_row = ROW_TOKENS.min(config.context()).max(2);
    let row = |number: usize| TrainingRow {
        // Rows that begin alike would be computed together.
        tokens: (0..tokens_per_row).map(|at| ((number + at) % config.vocab_size) as u32).collect(),
        labelled: (0..tokens_per_row).map(|at| at >= tokens_per_row / 2).collect(),
    };
    let rows: Vec<TrainingRow> = (0..ROWS).map(row).collect();
    let task = Task::of(&recipe, config, &rows);
    let bytes = |store| {
        let estimate = estimate_memory(Base { config, store }, &task).map_err(stages::failure)?;
        Ok(estimate.device.total())
    };
    let rank = match &recipe.train.method {
        luthier_train::recipe::Method::Lora(lora) => lora.rank.unwrap_or_default(),
        luthier_train::recipe::Method::Full => 0,
    };
    Ok(LoraTraining { rank, rows: ROWS, tokens_per_row, memory_bytes: for_each_store(bytes)? })
}

/// The first rotary table, or how places are told without one.
fn rope(config: &Config) -> String {
    config.rope().map_or_else(|| config.family.info().positions.to_owned(), ToString::to_string)
}

fn tokenizer_facts(dir: &Path, tokenizer: &Tokenizer) -> Result<TokenizerFacts, Failure> {
    let special = |token: Option<&SpecialToken>| token.map(|token| Special { text: token.text.clone(), id: token.id });
    let named =
        [("bos", tokenizer.bos()), ("eos", tokenizer.eos()), ("pad", tokenizer.pad()), ("unk", tokenizer.unk())];
    let template = match Template::of_model(dir, tokenizer).map_err(Failure::input)? {
        Some(template) => TemplateFacts {
            from: Path::new(template.name()).file_name().map_or_else(String::new, |name| name.display().to_string()),
            own: true,
            source: Some(template.source().to_owned()),
        },
        None => TemplateFacts { from: "alpaca".to_owned(), own: false, source: None },
    };
    Ok(TokenizerFacts {
        tokens: tokenizer.vocab_size(),
        bos_before_every_text: tokenizer.leading_bos().is_some(),
        special_tokens: Named(named.into_iter().map(|(name, token)| (name, special(token))).collect()),
        template,
    })
}
