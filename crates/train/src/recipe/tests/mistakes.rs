//! Recipes that are wrong: every message, word for word.

use super::*;

/// The messages about a text, one for each problem.
fn complaints(text: &str) -> Vec<String> {
    let error = Recipe::parse(text, "recipe.toml").expect_err("something is wrong with it");
    error.problems().iter().map(|problem| problem.describe(std::path::Path::new("recipe.toml"))).collect()
}

/// The only message about the minimal recipe with more lines in a section.
fn complaint(section: &str, lines: &str) -> String {
    let header = format!("[{section}]\n");
    let text = match MINIMAL.contains(&header) {
        true => MINIMAL.replace(&header, &format!("{header}{lines}\n")),
        false => format!("{MINIMAL}{header}{lines}\n"),
    };
    let all = complaints(&text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].clone()
}

#[test]
fn each_kind_of_mistake_has_its_message() {
    let cases = [
        (
            ("train", "learning_rate = \"fast\""),
            "train.learning_rate at recipe.toml:8:1 must be a number such as 2e-4, found the string \"fast\"",
        ),
        (
            ("train", "learning_rate = \"2e-4\""),
            "train.learning_rate at recipe.toml:8:1 must be a number such as 2e-4, found the string \"2e-4\" (write it without quotes)",
        ),
        (
            ("train", "learning_rate = -0.1"),
            "train.learning_rate at recipe.toml:8:1 must be a number above 0 and at most 1, such as 2e-4, found the number -0.1",
        ),
        (
            ("train", "learning_rate = nan"),
            "train.learning_rate at recipe.toml:8:1 must be a number above 0 and at most 1, such as 2e-4, found the number nan",
        ),
        (
            ("train", "method = \"lorra\""),
            "train.method at recipe.toml:8:1 must be one of \"full\", \"lora\", found the string \"lorra\" (did you mean \"lora\"?)",
        ),
        (
            ("train", "method = \"prefix\""),
            "train.method at recipe.toml:8:1 \"prefix\" is not supported yet in this version; now: one of \"full\", \"lora\"",
        ),
        (
            ("train", "schedule = { kind = \"cosin\" }"),
            "train.schedule.kind at recipe.toml:8:14 must be one of \"constant\", \"linear\", \"cosine\", found the string \"cosin\" (did you mean \"cosine\"?)",
        ),
        (
            ("train", "schedule = { warmup = 1.5 }"),
            "train.schedule.warmup at recipe.toml:8:14 must be a fraction of at least 0 and below 1, or a whole number of steps, found the number 1.5",
        ),
        (
            ("train", "lora = { r = 8 }"),
            "train.lora.r at recipe.toml:8:10 is not a key of a recipe; did you mean rank? keys of [train.lora]: rank, alpha, dropout, targets, rslora, modules_to_save, init",
        ),
        (
            ("train", "epochs = 1\nsteps = 2"),
            "train.steps at recipe.toml:9:1 cannot stand beside train.epochs (line 8): both say how long training goes; keep one",
        ),
        (
            ("train", "tokens_per_step = 8192\nrows_per_step = 32"),
            "train.rows_per_step at recipe.toml:9:1 cannot stand beside train.tokens_per_step (line 8): both say how much one optimiser step sees; keep one",
        ),
        (
            ("train", "method = \"full\"\nlora = { rank = 8 }"),
            "train.lora at recipe.toml:9:1 cannot stand beside train.method = \"full\" (line 8): write method = \"lora\", or take lora away",
        ),
        (
            ("data", "max_lenght = 5"),
            "data.max_lenght at recipe.toml:4:1 is not a key of a recipe; did you mean max_length? keys of [data]: sources, template, train_on, max_length, shuffle, overlong, max_answer_loss, split, dedup, limit",
        ),
        (
            ("data", "max_length = 0"),
            "data.max_length at recipe.toml:4:1 must be a whole number from 1 to 1048576, found the number 0",
        ),
        (
            ("data", "max_length = 99999999999999999999"),
            "data.max_length at recipe.toml:4:1 must be a whole number from 1 to 1048576, found the number 99999999999999999999",
        ),
        (
            ("data", "shuffle = \"true\""),
            "data.shuffle at recipe.toml:4:1 must be true or false, found the string \"true\" (write it without quotes)",
        ),
        (
            ("report", "language = \"zh-hant\""),
            "report.language at recipe.toml:8:1 must be one of \"en\", \"zh-Hant\", found the string \"zh-hant\" (did you mean \"zh-Hant\"?)",
        ),
        (
            ("report", "learning_rate = 1.0"),
            "report.learning_rate at recipe.toml:8:1 is not a key of a recipe; did you mean train.learning_rate? keys of [report]: language, examples",
        ),
        (
            ("evaluate", "metrics = [\"rouge\"]"),
            "evaluate.metrics at recipe.toml:8:1 must be a list of \"exact-match\", \"rouge-1\", \"rouge-2\", \"rouge-l\", \"rouge-l-word\", \"bleu\", \"bleu-zh\", \"bleu-13a\", \"bleu-char\", \"chrf\", \"chrf++\", \"char-f1\", \"perplexity\", found the string \"rouge\" (did you mean \"rouge-l\"?)",
        ),
        (
            ("evaluate", "forgetting = \"general-zh\""),
            "evaluate.forgetting at recipe.toml:8:1 is not supported yet in this version; now: a second recipe whose test rows are that set",
        ),
        (
            ("evaluate", "strategies = { \"a/b\" = {} }"),
            "evaluate.strategies.a/b at recipe.toml:8:16 must be a name in quotes that can be part of a file name, found the string \"a/b\"",
        ),
        (
            ("evaluate", "strategies = { greedy = 1 }"),
            "evaluate.strategies.greedy at recipe.toml:8:16 must be a table, found the number 1",
        ),
        (
            ("tokenizer", "path = \"x\""),
            "tokenizer at recipe.toml:7:2 cannot stand beside model.base (line 6): a base model brings its own tokenizer; take the section [tokenizer] away",
        ),
    ];
    for ((section, lines), expected) in cases {
        assert_eq!(complaint(section, lines), expected);
    }
}

#[test]
fn columns_count_characters_not_bytes() {
    let text = format!("{MINIMAL}[evaluate]\nstrategies = {{ \"貪婪\" = {{}}, \"光束\" = 4 }}\n");
    let expected = "evaluate.strategies.光束 at recipe.toml:8:27 must be a table, found the number 4";
    assert_eq!(complaints(&text), [expected]);
}

#[test]
fn what_is_missing_is_named_with_what_to_write() {
    assert_eq!(
        complaints(""),
        [
            "name in recipe.toml is missing; write name = a name in quotes that can be part of a file name. Names the run and its folder under runs/.",
            "data in recipe.toml is missing; write a section [data]: The rows and how they become tokens.",
            "model in recipe.toml is missing; write a section [model]: The model to start from: base, or [model.create] for one from scratch.",
        ]
    );
    assert_eq!(
        complaints(&MINIMAL.replace("base = \"pocket\"", "")),
        [
            "model.base at recipe.toml:5:2 is missing; write base = a model folder, a name on the Hub or \"pocket\", or a section [model.create] for a new model"
        ]
    );
    assert_eq!(
        complaints(&MINIMAL.replace("[{ path = \"rows.jsonl\" }]", "[]")),
        ["data.sources at recipe.toml:4:1 is missing; the list is empty; write at least one table in it"]
    );
}

#[test]
fn a_source_is_a_file_or_a_generator_with_what_belongs_to_it() {
    let sources = |source: &str| complaints(&MINIMAL.replace("{ path = \"rows.jsonl\" }", source));
    let cases = [
        (
            "{ format = \"text\" }",
            "data.sources[0].path at recipe.toml:4:12 is missing; write path = a file of rows, or generate = \"devices\" with rows = their number",
        ),
        (
            "{ generate = \"devices\" }",
            "data.sources[0].rows at recipe.toml:4:12 is missing; write rows = the number of rows to generate",
        ),
        (
            "{ path = \"a\", rows = 3 }",
            "data.sources[0].rows at recipe.toml:4:26 cannot stand beside data.sources[0].path: it belongs to generators; data.limit takes only the first rows",
        ),
        (
            "{ path = \"a\" }, { path = \"b\", format = \"jsonl\" }",
            "data.sources[1].format at recipe.toml:4:42 must be one of \"auto\", \"alpaca\", \"prompt-completion\", \"input-target\", \"messages\", \"text\", found the string \"jsonl\"",
        ),
        (
            "{ path = \"a\", format = \"hub:org/rows\" }",
            "data.sources[0].format at recipe.toml:4:26 \"hub:org/rows\" is not supported yet in this version; now: one of \"auto\", \"alpaca\", \"prompt-completion\", \"input-target\", \"messages\", \"text\"",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(sources(source), [expected]);
    }
}

#[test]
fn a_new_model_needs_a_tokenizer_and_a_shape_that_fits() {
    let changed = |from: &str, to: &str| complaints(&FROM_SCRATCH.replace(from, to));
    assert_eq!(
        changed("num_key_value_heads = 2", "num_key_value_heads = 4"),
        ["model.create.num_key_value_heads at recipe.toml:12:1 must divide num_attention_heads = 6, found 4"]
    );
    assert_eq!(
        changed("max_position_embeddings = 2048", "max_position_embeddings = 8"),
        ["model.create.max_position_embeddings at recipe.toml:14:1 must be at least data.max_length = 1024, found 8"]
    );
    let without_tokenizer = &FROM_SCRATCH[..FROM_SCRATCH.find("[tokenizer").unwrap()];
    assert_eq!(
        complaints(without_tokenizer),
        [
            "tokenizer at recipe.toml:6:8 is missing; a new model needs one: write a section [tokenizer.train], or [tokenizer] with path = a folder"
        ]
    );
    assert_eq!(
        changed("epochs = 2", "epochs = 2\nmethod = \"lora\""),
        [
            "train.method at recipe.toml:25:1 cannot stand beside model.create: an adapter needs a trained model; write method = \"full\""
        ]
    );
}

#[test]
fn many_mistakes_are_all_reported_in_the_order_of_the_file() {
    let text = r#"nam = "x"
[data]
sources = [{ path = "a.json", format = "alpacka" }, { generate = "devices" }]
overlong = 3
split = { test = 1.0, by = "hsah" }
[modle]
base = "pocket"
[train]
lr = 1e-3
epochs = 0
rows_per_step = 8
tokens_per_step = 8
[evaluate]
metrics = "bleu"
"#;
    let error = Recipe::parse(text, "recipe.toml").unwrap_err();
    let found: Vec<(Option<usize>, &str)> =
        error.problems().iter().map(|problem| (problem.place.map(|place| place.line), problem.key.as_str())).collect();
    let expected = [
        (Some(1), "nam"),
        (Some(3), "data.sources[0].format"),
        (Some(3), "data.sources[1].rows"),
        (Some(4), "data.overlong"),
        (Some(5), "data.split.test"),
        (Some(5), "data.split.by"),
        (Some(6), "modle"),
        (Some(9), "train.lr"),
        (Some(10), "train.epochs"),
        (Some(12), "train.tokens_per_step"),
        (Some(14), "evaluate.metrics"),
        (None, "name"),
        (None, "model"),
    ];
    assert_eq!(found, expected);
    assert!(error.to_string().starts_with("recipe.toml has 13 problems:\n  nam at recipe.toml:1:1 is not a key"));
}

#[test]
fn a_slip_of_grammar_is_reported_with_the_other_mistakes() {
    let text = MINIMAL.replace("name = \"titles\"", "name = \"titles").replace("base =", "bas =");
    let found = complaints(&text);
    assert!(found[0].starts_with("recipe.toml:2:15 is not TOML: "), "{found:#?}");
    assert!(found[1].starts_with("model.bas at recipe.toml:6:1 is not a key of a recipe; did you mean base?"));
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_key_written_twice_is_reported() {
    let found = complaints(&MINIMAL.replace("[model]", "[model]\nbase = \"other\""));
    assert_eq!(found, ["recipe.toml:7:1 is not TOML: duplicate key"]);
}

#[test]
fn a_recipe_that_cannot_be_read_is_named() {
    let error = Recipe::read("/no/such/recipe.toml").unwrap_err();
    assert!(error.to_string().starts_with("cannot read the recipe /no/such/recipe.toml: "), "{error}");
}

#[test]
fn no_text_makes_the_parser_panic() {
    // Cut and damaged recipes, as a full disk or a slip of the hand leaves them.
    for text in [ADAPTER, FROM_SCRATCH] {
        for (cut, c) in text.char_indices() {
            let _ = Recipe::parse(&text[..cut], "recipe.toml").map(|recipe| recipe.resolve());
            let damaged = format!("{}\"{}", &text[..cut], &text[cut + c.len_utf8()..]);
            let _ = Recipe::parse(&damaged, "recipe.toml").map(|recipe| recipe.resolve());
        }
    }
}

#[test]
fn weights_that_are_trained_cannot_be_held_in_fewer_bytes() {
    let recipe = |store: &str| MINIMAL.replace("[model]\n", &format!("[model]\nstore = \"{store}\"\n"));
    let full = |store: &str| recipe(store) + "[train]\nmethod = \"full\"\n";
    let message = "frozen weights alone can be held in fewer bytes, and method = \"full\" trains every weight; take store \
                   away, or write method = \"lora\"";
    for store in ["bf16", "int8", "nf4"] {
        assert_eq!(complaints(&full(store)), [format!("model.store at recipe.toml:6:1 {message}")]);
        assert_eq!(resolve(&recipe(store)).model.store.as_str(), store);
    }
    assert_eq!(resolve(&full("f32")).model.store, Store::F32);
}

/// The example recipe of the design: of its keys only two hold what this version does not have.
#[test]
fn the_example_of_the_design_is_understood_but_for_what_comes_later() {
    let text = r#"
name  = "patent-title"
seed  = 42

[data]
sources   = [{ path = "data/patents.jsonl", format = "alpaca" }]   # alpaca | messages | sharegpt | belle | text | csv | parquet | hub:ORG/NAME
template  = "model"          # the model's own chat template | "alpaca" | a path to a Jinja file
train_on  = "answers"        # answers | last-answer | all
max_length = 1024
shuffle   = true
overlong  = "drop"           # drop | truncate-prompt | truncate-end | refuse   (counted in the ledger, whichever)
split     = { test = 0.05, by = "hash" }
dedup     = "near"           # none | exact | near ; rows of the test split never reach training

[model]
base  = "Qwen/Qwen2.5-0.5B-Instruct"    # a folder, or a Hub name fetched once
store = "bf16"               # f32 | bf16 | int8 | nf4 (frozen weights)

[train]
method = "lora"              # full | lora | series | parallel | prefix
lora   = { rank = 8, alpha = 16, dropout = 0.0, targets = "all-linear" }
epochs = 3
tokens_per_step = 8192       # or rows_per_step = 32
learning_rate = 2e-4
weight_decay = 0.0
max_grad_norm = 1.0
schedule = { kind = "cosine", warmup = 0.03 }
checkpoint = { every = 100, keep = 2 }

[evaluate]
metrics = ["exact-match", "rouge-l", "chrf", "perplexity"]
strategies = { greedy = {}, beam4 = { num_beams = 4 }, warm = { do_sample = true, temperature = 0.7, top_p = 0.9, top_k = 50 } }
forgetting = "general-zh"    # a set the model should not get worse on

[report]
language = "zh-Hant"         # or "en"
"#;
    assert_eq!(
        complaints(text),
        [
            "data.dedup at recipe.toml:13:1 \"near\" is not supported yet in this version; now: one of \"none\", \"exact\"",
            "evaluate.forgetting at recipe.toml:33:1 is not supported yet in this version; now: a second recipe whose test rows are that set",
        ]
    );
}
