//! From checked values to the typed recipe: what is not written gets its default.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::keys::{self, Absent};
use super::resolved::*;
use super::value;
use super::written::{Value, Written};

/// Values by key path: as written, else the default of the declaration.
impl Written {
    /// Asking for a key that is not declared is a fault of this crate.
    fn value(&self, path: &str) -> Option<Value> {
        let spec = keys::spec(path).unwrap_or_else(|| panic!("the key {path} is not declared"));
        let default = || match spec.default {
            Absent::Value(toml) => {
                let default = DeValue::parse(toml).expect("declared defaults are TOML");
                Some(value::check(spec.kind, default.get_ref()).expect("declared defaults are allowed"))
            }
            _ => None,
        };
        self.values.get(path).cloned().or_else(default)
    }

    /// Whether the key stands in the file, with a right value or a wrong one.
    pub(super) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.value(path)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn count(&self, path: &str) -> Option<usize> {
        match self.value(path)? {
            Value::Integer(count) => usize::try_from(count).ok(),
            _ => None,
        }
    }

    pub(super) fn length_of(&self, path: &str) -> usize {
        match self.values.get(path) {
            Some(Value::Tables(length)) => *length,
            _ => 0,
        }
    }

    pub(super) fn number(&self, path: &str) -> Option<f64> {
        match self.value(path)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.value(path) == Some(Value::Boolean(true))
    }

    pub(super) fn texts(&self, path: &str) -> Option<Vec<String>> {
        match self.value(path)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    pub(super) fn pairs(&self, path: &str) -> Option<Vec<(String, String)>> {
        match self.value(path)? {
            Value::Pairs(pairs) => Some(pairs),
            _ => None,
        }
    }

    fn amount(&self, path: &str) -> Option<Amount> {
        match self.value(path)? {
            Value::Integer(_) => self.count(path).map(Amount::Count),
            Value::Number(fraction) => Some(Amount::Fraction(fraction)),
            _ => None,
        }
    }

    /// A key that `parse` has seen to, or that has a default.
    fn sure<T>(path: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| panic!("the key {path} is required or has a default, and was checked"))
    }
}

/// Reads the value of a key that is written or has a default.
macro_rules! get {
    ($written:ident . $read:ident($path:expr)) => {
        Written::sure($path, $written.$read($path))
    };
    ($written:ident as $choice:ident, $path:expr) => {
        Written::sure($path, choice($written, $path, $choice::from_name))
    };
}

fn choice<T>(written: &Written, path: &str, from_name: impl Fn(&str) -> Option<T>) -> Option<T> {
    from_name(&written.text(path)?)
}

fn choices<T>(written: &Written, path: &str, from_name: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    written.texts(path)?.iter().map(|name| from_name(name)).collect()
}

/// `here` is the folder that the recipe lies in.
pub(super) fn resolve(written: &Written, here: &Path) -> ResolvedRecipe {
    let folder = absolute(&written.text("folder").map_or(here.to_owned(), |folder| here.join(folder)));
    let seed = get!(written.count("seed")) as u64;
    let data = data(written, &folder, seed);
    ResolvedRecipe {
        name: get!(written.text("name")),
        seed,
        model: model(written, &folder, &data),
        tokenizer: tokenizer(written, &folder, seed, &data),
        train: train(written, &folder),
        evaluate: evaluate(written),
        report: Report {
            language: get!(written as Language, "report.language"),
            examples: get!(written.count("report.examples")),
        },
        data,
        folder,
    }
}

/// An empty path means the working folder, which `std::path::absolute` does not take.
pub(super) fn absolute(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn data(written: &Written, folder: &Path, seed: u64) -> Data {
    let sources = sources(written, "data.sources", folder, seed);
    let holds_test = sources.iter().any(|source| match source {
        Source::File { part, .. } => *part == Some(Part::Test),
        Source::Generated { part, .. } => *part == Part::Test,
    });
    let usual_split = if holds_test { Amount::Count(0) } else { Amount::Fraction(0.05) };
    let template = match get!(written.text("data.template")) {
        name if name == "model" => Template::Model,
        name if name == "alpaca" => Template::Alpaca,
        path => Template::File(RecipePath::new(folder, path)),
    };
    Data {
        sources,
        template,
        train_on: get!(written as TrainOn, "data.train_on"),
        max_length: get!(written.count("data.max_length")),
        shuffle: written.flag("data.shuffle"),
        overlong: get!(written as Overlong, "data.overlong"),
        max_answer_loss: get!(written.number("data.max_answer_loss")),
        split: Split {
            test: written.amount("data.split.test").unwrap_or(usual_split),
            by: get!(written as SplitBy, "data.split.by"),
        },
        dedup: get!(written as Dedup, "data.dedup"),
        limit: written.count("data.limit"),
    }
}

fn sources(written: &Written, list: &str, folder: &Path, seed: u64) -> Vec<Source> {
    let one = |i: usize| {
        let key = |name: &str| format!("{list}[{i}].{name}");
        let part = choice(written, &key("part"), Part::from_name);
        match choice(written, &key("generate"), Generator::from_name) {
            Some(generate) => Source::Generated {
                generate,
                rows: get!(written.count(&key("rows"))),
                seed: written.count(&key("seed")).map_or(seed, |seed| seed as u64),
                part: part.unwrap_or(Part::Train),
            },
            None => Source::File {
                path: RecipePath::new(folder, get!(written.text(&key("path")))),
                format: get!(written as RowFormat, &key("format")),
                part,
            },
        }
    };
    (0..written.length_of(list)).map(one).collect()
}

fn model(written: &Written, folder: &Path, data: &Data) -> Model {
    let source = match written.text("model.base") {
        Some(base) if base == "pocket" => ModelSource::Base(Base::Pocket),
        Some(base) => ModelSource::Base(Base::Named(RecipePath::new(folder, base))),
        None => ModelSource::Create(create_model(written, data)),
    };
    let is_full = method_name(written) == MethodName::Full;
    let usual_dtype = match source {
        ModelSource::Base(_) if is_full => SaveDtype::Base,
        _ => SaveDtype::F32,
    };
    Model {
        source,
        store: get!(written as Store, "model.store"),
        add_tokens: written.texts("model.add_tokens").unwrap_or_default(),
        save_dtype: choice(written, "model.save_dtype", SaveDtype::from_name).unwrap_or(usual_dtype),
    }
}

fn create_model(written: &Written, data: &Data) -> CreateModel {
    let hidden_size = get!(written.count("model.create.hidden_size"));
    let num_attention_heads = get!(written.count("model.create.num_attention_heads"));
    let or = |path: &str, usual: usize| written.count(path).unwrap_or(usual);
    CreateModel {
        architecture: get!(written as Architecture, "model.create.architecture"),
        hidden_size,
        intermediate_size: get!(written.count("model.create.intermediate_size")),
        num_hidden_layers: get!(written.count("model.create.num_hidden_layers")),
        num_attention_heads,
        num_key_value_heads: or("model.create.num_key_value_heads", num_attention_heads),
        head_dim: or("model.create.head_dim", hidden_size / num_attention_heads),
        max_position_embeddings: or("model.create.max_position_embeddings", data.max_length),
        rope_theta: get!(written.number("model.create.rope_theta")),
        tie_word_embeddings: written.flag("model.create.tie_word_embeddings"),
        rms_norm_eps: get!(written.number("model.create.rms_norm_eps")),
        initializer_range: get!(written.number("model.create.initializer_range")),
    }
}

fn tokenizer(written: &Written, folder: &Path, seed: u64, data: &Data) -> Option<Tokenizer> {
    if let Some(path) = written.text("tokenizer.path") {
        return Some(Tokenizer::Folder(RecipePath::new(folder, path)));
    }
    if !written.has("tokenizer.train") {
        return None;
    }
    let own = sources(written, "tokenizer.train.sources", folder, seed);
    Some(Tokenizer::Train(TrainTokenizer {
        vocab_size: get!(written.count("tokenizer.train.vocab_size")),
        special_tokens: get!(written.texts("tokenizer.train.special_tokens")),
        sources: if own.is_empty() { data.sources.clone() } else { own },
    }))
}

/// The method as written; without one, a new model is trained whole and a trained one gets an adapter.
pub(super) fn method_name(written: &Written) -> MethodName {
    let usual = match written.has("model.create") {
        true => MethodName::Full,
        false => MethodName::Lora,
    };
    choice(written, "train.method", MethodName::from_name).unwrap_or(usual)
}

fn train(written: &Written, folder: &Path) -> Train {
    let method = match method_name(written) {
        MethodName::Full => Method::Full,
        MethodName::Lora => Method::Lora(lora(written, folder)),
    };
    let usual_rate = match method {
        Method::Full => 5e-5,
        Method::Lora(_) => 2e-4,
    };
    Train {
        method,
        length: match written.count("train.steps") {
            Some(steps) => Length::Steps(steps),
            None => Length::Epochs(written.number("train.epochs").unwrap_or(3.0)),
        },
        step_size: match written.count("train.tokens_per_step") {
            Some(tokens) => StepSize::Tokens(tokens),
            None => StepSize::Rows(written.count("train.rows_per_step").unwrap_or(32)),
        },
        micro_batch_tokens: get!(written.count("train.micro_batch_tokens")),
        recompute: get!(written as RecomputeName, "train.recompute"),
        learning_rate: written.number("train.learning_rate").unwrap_or(usual_rate),
        weight_decay: get!(written.number("train.weight_decay")),
        adam: Adam {
            beta1: get!(written.number("train.adam.beta1")),
            beta2: get!(written.number("train.adam.beta2")),
            eps: get!(written.number("train.adam.eps")),
            state: get!(written as AdamState, "train.adam.state"),
        },
        max_grad_norm: get!(written.number("train.max_grad_norm")),
        schedule: ScheduleRecipe {
            kind: get!(written as ScheduleKind, "train.schedule.kind"),
            warmup: get!(written.amount("train.schedule.warmup")),
        },
        checkpoint: Checkpoint {
            every: get!(written.count("train.checkpoint.every")),
            keep: get!(written.count("train.checkpoint.keep")),
        },
        evaluate: TrainEvaluate {
            every: get!(written.count("train.evaluate.every")),
            rows: get!(written.count("train.evaluate.rows")),
        },
    }
}

impl Lora {
    /// The adapter of a recipe that says no more than `train.method = "lora"`.
    pub(crate) fn of_defaults() -> Self {
        lora(&Written::default(), Path::new(""))
    }
}

fn lora(written: &Written, folder: &Path) -> Lora {
    let named = written.texts("train.lora.targets").map(Targets::Named);
    // An adapter to start from has its own; what is written beside it is compared with that.
    let said = |name: &str| !written.has("train.lora.init") || written.has(&format!("train.lora.{name}"));
    Lora {
        rank: said("rank").then(|| get!(written.count("train.lora.rank"))),
        alpha: said("alpha").then(|| get!(written.number("train.lora.alpha"))),
        dropout: get!(written.number("train.lora.dropout")),
        targets: said("targets").then(|| named.unwrap_or(Targets::AllLinear)),
        rslora: said("rslora").then(|| written.flag("train.lora.rslora")),
        modules_to_save: said("modules_to_save")
            .then(|| written.texts("train.lora.modules_to_save").unwrap_or_default()),
        init: written.text("train.lora.init").map(|path| RecipePath::new(folder, path)),
    }
}

fn evaluate(written: &Written) -> Evaluate {
    let usual_systems = match written.has("model.create") {
        true => vec![System::Tuned],
        false => vec![System::Base, System::Tuned],
    };
    let strategies = match written.values.get("evaluate.strategies") {
        Some(Value::Named(named)) => named.clone(),
        _ => vec![(String::from("greedy"), serde_json::Map::new())],
    };
    Evaluate {
        metrics: Written::sure("evaluate.metrics", choices(written, "evaluate.metrics", Metric::from_name)),
        strategies: strategies.into_iter().map(|(name, parameters)| Strategy { name, parameters }).collect(),
        systems: choices(written, "evaluate.systems", System::from_name).unwrap_or(usual_systems),
        rows: get!(written.count("evaluate.rows")),
        max_new_tokens: get!(written.count("evaluate.max_new_tokens")),
        batch: get!(written.count("evaluate.batch")),
    }
}
