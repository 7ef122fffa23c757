//! Recipes that are right: what becomes of each key.

mod building;
mod mistakes;

use super::written::Purpose;
use super::*;

const MINIMAL: &str = r#"
name = "titles"
[data]
sources = [{ path = "rows.jsonl" }]
[model]
base = "pocket"
"#;

/// Every key that may stand beside a base model, none at its default.
const ADAPTER: &str = r#"
name = "專利標題"
seed = 7
folder = "/somewhere/else"
[data]
sources = [
  { path = "a.json", format = "alpaca", part = "train" },
  { generate = "devices", rows = 300, part = "test", seed = 3 },
]
template = "templates/專利.jinja"
train_on = "last-answer"
max_length = 512
shuffle = false
overlong = "truncate-prompt"
max_answer_loss = 0.5
split = { test = 20, by = "order" }
dedup = "none"
limit = 1000
[model]
base = "models/small"
save_dtype = "bf16"
add_tokens = ["<想>"]
[train]
method = "lora"
lora = { rank = 4, alpha = 32, dropout = 0.05, targets = ["q_proj", "v_proj"], rslora = true, modules_to_save = ["embed_tokens"], init = "old/adapter" }
steps = 60
tokens_per_step = 4096
micro_batch_tokens = 512
recompute = "block"
learning_rate = 1e-3
weight_decay = 0.01
adam = { beta1 = 0.8, beta2 = 0.99, eps = 1e-6, state = "8bit" }
max_grad_norm = 0.5
schedule = { kind = "cosine", warmup = 0.03 }
checkpoint = { every = 10, keep = 3 }
evaluate = { every = 5, rows = 20 }
[evaluate]
metrics = ["bleu", "rouge-l-word"]
systems = ["tuned"]
rows = 50
max_new_tokens = 64
batch = 4
[evaluate.strategies]
warm = { do_sample = true, temperature = 0.7, stop_strings = ["。", "\n"] }
beam4 = { num_beams = 4, early_stopping = "never" }
[report]
language = "zh-Hant"
examples = 3
"#;

/// The keys that only a new model has.
const FROM_SCRATCH: &str = r#"
name = "pocket"
[data]
sources = [{ generate = "devices", rows = 20000, part = "pretraining" }]
train_on = "all"
[model.create]
architecture = "qwen2"
hidden_size = 192
intermediate_size = 512
num_hidden_layers = 6
num_attention_heads = 6
num_key_value_heads = 2
head_dim = 16
max_position_embeddings = 2048
rope_theta = 500000
tie_word_embeddings = false
rms_norm_eps = 1e-5
initializer_range = 0.01
[tokenizer.train]
vocab_size = 4096
special_tokens = ["<s>", "</s>"]
sources = [{ path = "text.jsonl", format = "text" }]
[train]
epochs = 2
rows_per_step = 64
"#;

/// A new model with a tokenizer that is there already.
fn with_tokenizer_folder() -> String {
    let (before, after) = FROM_SCRATCH.split_once("[tokenizer.train]").unwrap();
    format!("{before}[tokenizer]\npath = \"models/qwen2\"\n{}", &after[after.find("[train]").unwrap()..])
}

fn resolve(text: &str) -> ResolvedRecipe {
    Recipe::parse(text, "/recipes/recipe.toml").unwrap_or_else(|error| panic!("{error}")).resolve()
}

#[test]
fn a_minimal_recipe_gets_every_default() {
    let recipe = resolve(MINIMAL);
    assert_eq!((recipe.seed, recipe.data.max_length, recipe.data.max_answer_loss), (42, 1024, 0.05));
    assert_eq!(recipe.data.split, Split { test: Amount::Fraction(0.05), by: SplitBy::Hash });
    assert_eq!(recipe.model.source, ModelSource::Base(Base::Pocket));
    assert_eq!(recipe.model.save_dtype, SaveDtype::F32);
    let Method::Lora(lora) = &recipe.train.method else { panic!("{:?}", recipe.train.method) };
    assert_eq!((lora.rank, lora.alpha, &lora.targets), (Some(8), Some(16.0), &Some(Targets::AllLinear)));
    assert_eq!((recipe.train.length, recipe.train.step_size), (Length::Epochs(3.0), StepSize::Rows(32)));
    assert_eq!((recipe.train.learning_rate, recipe.train.max_grad_norm), (2e-4, 1.0));
    assert_eq!(recipe.train.adam, Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, state: AdamState::F32 });
    assert_eq!(recipe.train.evaluate, TrainEvaluate { every: 0, rows: 200 });
    assert_eq!(recipe.evaluate.strategies[0].name, "greedy");
    assert_eq!(recipe.evaluate.systems, [System::Base, System::Tuned]);
}

#[test]
fn defaults_follow_from_the_method_and_the_model() {
    let full = resolve(&format!("{MINIMAL}[train]\nmethod = \"full\"\n"));
    assert_eq!((full.train.learning_rate, full.model.save_dtype), (5e-5, SaveDtype::Base));
    let new = resolve(FROM_SCRATCH);
    assert_eq!((&new.train.method, new.model.save_dtype), (&Method::Full, SaveDtype::F32));
    assert_eq!(new.evaluate.systems, [System::Tuned]);
    let test_part = resolve(&MINIMAL.replace("[{", "[{ path = \"t.json\", part = \"test\" }, {"));
    assert_eq!(test_part.data.split.test, Amount::Count(0));
}

#[test]
fn relative_paths_start_from_the_folder_of_the_recipe_or_from_its_key() {
    let full_path = |recipe: &ResolvedRecipe| match &recipe.data.sources[0] {
        Source::File { path, .. } => path.full().to_owned(),
        Source::Generated { .. } => panic!("a file stands first"),
    };
    assert_eq!(full_path(&resolve(MINIMAL)), Path::new("/recipes/rows.jsonl"));
    assert_eq!(full_path(&resolve(ADAPTER)), Path::new("/somewhere/else/a.json"));
    let beside = resolve(&format!("folder = \"data\"\n{MINIMAL}"));
    assert_eq!(full_path(&beside), Path::new("/recipes/data/rows.jsonl"));
    let here = Recipe::parse(MINIMAL, "recipe.toml").unwrap().resolve();
    assert_eq!(here.folder, std::env::current_dir().unwrap());
    assert_eq!(full_path(&here), std::env::current_dir().unwrap().join("rows.jsonl"));
}

#[test]
fn a_resolved_recipe_written_out_parses_back_to_itself_from_anywhere() {
    for text in [MINIMAL, ADAPTER, FROM_SCRATCH, &with_tokenizer_folder()] {
        let resolved = resolve(text);
        let again = Recipe::parse(&resolved.to_toml(), "runs/x/recipe.toml").unwrap().resolve();
        assert_eq!(again, resolved);
        assert_eq!(again.training_hash(), resolved.training_hash());
        assert_eq!(again.to_toml(), resolved.to_toml());
    }
}

#[test]
fn every_written_value_reaches_the_resolved_recipe() {
    for text in [ADAPTER, FROM_SCRATCH, &with_tokenizer_folder()] {
        let (given, problems) = written::read(text, Purpose::Train);
        assert_eq!(problems, []);
        let (resolved, _) = written::read(&resolve(text).to_toml(), Purpose::Train);
        for (key, value) in &given.values {
            assert_eq!(resolved.values.get(key), Some(value), "{key}");
        }
    }
}

#[test]
fn every_declared_key_is_written_out() {
    let texts = [ADAPTER, FROM_SCRATCH, &with_tokenizer_folder()].map(|text| resolve(text).to_toml());
    let written: Vec<String> =
        texts.iter().flat_map(|text| written::read(text, Purpose::Train).0.values.into_keys()).collect();
    let is_of_training = |declared: &&KeySpec| !["collect", "build"].iter().any(|top| declared.path.starts_with(top));
    for declared in KEYS.iter().filter(|declared| !matches!(declared.kind, Kind::Later { .. })).filter(is_of_training) {
        assert!(written.iter().any(|key| spec(key) == Some(declared)), "{} is never read", declared.path);
    }
}

#[test]
fn every_declared_default_is_allowed_and_every_section_is_declared() {
    for declared in KEYS {
        if let Absent::Value(toml) = declared.default {
            let default = toml::de::DeValue::parse(toml).unwrap();
            assert!(value::check(declared.kind, default.get_ref()).is_ok(), "{}", declared.path);
        }
        let section = declared.section();
        let is_declared = section.is_empty() || spec(section.trim_end_matches("[]")).is_some();
        assert!(is_declared, "{section}");
        assert_eq!(KEYS.iter().filter(|other| other.path == declared.path).count(), 1, "{}", declared.path);
    }
}

#[test]
fn the_reference_names_every_key_with_its_default_and_sentence() {
    let text = reference();
    for declared in KEYS {
        assert!(text.contains(declared.help) && text.contains(declared.name()), "{}", declared.path);
    }
    assert!(text.contains("\n[train.lora]  "), "{text}");
    assert!(text.contains("\n  max_length  (default 1024)\n"), "{text}");
    assert!(text.contains("\n  learning_rate  (default: 2e-4 for lora, 5e-5 for full)\n"), "{text}");
    assert!(text.contains("Holds one of \"full\", \"lora\".\n      Not yet: \"series\", \"parallel\", \"prefix\".\n"));
}

#[test]
fn strategies_keep_the_order_and_the_types_in_which_they_are_written() {
    let strategies = resolve(ADAPTER).evaluate.strategies;
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name.as_str()).collect();
    assert_eq!(names, ["warm", "beam4"]);
    let expected = serde_json::json!({ "do_sample": true, "temperature": 0.7, "stop_strings": ["。", "\n"] });
    assert_eq!(serde_json::Value::Object(strategies[0].parameters.clone()), expected);
}

#[test]
fn a_later_check_can_point_at_the_line_of_a_strategy() {
    let recipe = Recipe::parse(ADAPTER, "recipe.toml").unwrap();
    let error = recipe.refuse("evaluate.strategies.beam4.num_beams", "must be at least 1, found 0");
    let expected = "evaluate.strategies.beam4.num_beams at recipe.toml:45:11 must be at least 1, found 0";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_training_hash_changes_with_what_decides_the_weights_and_with_nothing_else() {
    let hashes = |text: &str| {
        let recipe = Recipe::parse(text, "/recipes/recipe.toml").unwrap().resolve();
        (recipe.training_hash(), recipe.evaluation_hash())
    };
    let base = hashes(ADAPTER);
    assert_eq!(base.0.len(), 64);
    for (from, to) in
        [("seed = 7", "seed = 8"), ("1e-3", "2e-3"), ("a.json", "b.json"), ("rank = 4", "rank = 5"), ("8bit", "f32")]
    {
        let other = hashes(&ADAPTER.replace(from, to));
        assert!(other.0 != base.0 && other.1 != base.1, "{to}");
    }
    for (from, to) in
        [("every = 10", "every = 11"), ("專利標題", "標題"), ("/somewhere/else", "/moved"), ("\"block\"", "\"cheap\"")]
    {
        assert_eq!(hashes(&ADAPTER.replace(from, to)), base, "{to}");
    }
    let other = hashes(&ADAPTER.replace("num_beams = 4", "num_beams = 5"));
    assert!(other.0 == base.0 && other.1 != base.1);
}
