//! A recipe against a fine-tuning script of the Python stack on the same rows: same tokens, same labels, the same loss at
//! every step, from the script's own adapter.

mod watch;

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::{json, repository};
use luthier_train::meter::StepMetrics;
use luthier_train::{Recipe, ResolvedRecipe, Run, RunFolder, Setup, Task, TrainError, set_up, train};
use watch::Steps;

/// A recipe that does what `tools/peers/sft.py` does; `method` is the rest of `[train]`.
fn recipe(method: &str) -> String {
    let (base, rows) = (luthier_fixtures::model("qwen2-bias-tied"), repository().join("fixtures/peer/rows.json"));
    format!(
        "name = \"peer\"\n\
         [data]\n\
         sources = [{{ path = {rows:?} }}]\n\
         train_on = \"completion\"\nshuffle = false\nsplit = {{ test = 0 }}\ndedup = \"none\"\n\
         [model]\nbase = {base:?}\n\
         [train]\n{method}\n\
         epochs = 1\nrows_per_step = 8\nlearning_rate = 1e-2\nschedule = {{ kind = \"constant\" }}\n"
    )
}

fn lora(keys: &str) -> String {
    let init = repository().join("fixtures/peer/init");
    format!("method = \"lora\"\nlora = {{ {keys}init = {init:?} }}")
}

fn set_up_in(dir: &Path, text: &str) -> Result<(ResolvedRecipe, Setup), TrainError> {
    let recipe = Recipe::parse(text, dir.join("recipe.toml")).unwrap().resolve();
    let folder = RunFolder::open(&dir.join("run"), false).unwrap();
    let mut setup = set_up(&recipe, &folder, Path::new("no pocket"), &Device::cpu(), &|_, _| {})?;
    setup.make_trainable(&recipe)?;
    Ok((recipe, setup))
}

fn steps_of(text: &str) -> Vec<StepMetrics> {
    let dir = tempfile::tempdir().unwrap();
    let (recipe, mut setup) = set_up_in(dir.path(), text).unwrap();
    let (rows, mut steps) = (setup.training_rows(), Steps::default());
    let run = Run {
        task: Task { options: &recipe.train, rows: &rows, seed: recipe.seed, shuffle: None, share: true },
        held_out: &[],
        dir: &dir.path().join("run"),
        training_hash: &setup.training_hash,
        passing: None,
    };
    train(&mut setup.model, &run, &mut steps).unwrap();
    steps.0
}

fn assert_like_the_peer(name: &str, steps: &[StepMetrics]) {
    let golden = &json(&repository().join("fixtures/peer/golden.json"))[name];
    let sum = |count: fn(&StepMetrics) -> usize| steps.iter().map(count).sum::<usize>() as u64;
    assert_eq!(sum(|step| step.tokens), golden["tokens"].as_u64().unwrap(), "{name}: tokens");
    assert_eq!(sum(|step| step.labelled_tokens), golden["labelled_tokens"].as_u64().unwrap(), "{name}: labels");
    let losses = golden["losses"].as_array().unwrap();
    assert_eq!(steps.len(), losses.len());
    for (step, loss) in steps.iter().zip(losses) {
        let loss = loss.as_f64().unwrap();
        assert!((step.loss - loss).abs() < 2e-5, "{name}, step {}: {}, the peer's {loss}", step.step, step.loss);
    }
}

#[test]
fn a_recipe_meets_the_losses_of_the_peer_from_its_adapter() {
    assert_like_the_peer("lora", &steps_of(&recipe(&lora(""))));
}

#[test]
fn a_recipe_meets_the_losses_of_the_peer_when_every_weight_is_trained() {
    assert_like_the_peer("full", &steps_of(&recipe("method = \"full\"")));
}

#[test]
fn what_a_recipe_says_of_the_adapter_it_starts_from_must_be_so() {
    let dir = tempfile::tempdir().unwrap();
    set_up_in(dir.path(), &recipe(&lora("rank = 8, alpha = 16, targets = \"all-linear\", rslora = false, "))).unwrap();
    let cases = [
        ("rank = 4, ", "train.lora.rank is 4, but the adapter of train.lora.init ("),
        ("alpha = 8, ", "train.lora.alpha is 8, but the adapter of train.lora.init ("),
        ("rslora = true, ", "train.lora.rslora is true, but the adapter of train.lora.init ("),
        ("targets = [\"q_proj\"], ", "train.lora.targets is [\"q_proj\"], but the adapter of train.lora.init ("),
    ];
    for (said, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let error = set_up_in(dir.path(), &recipe(&lora(said))).unwrap_err().to_string();
        assert!(error.starts_with(expected) && error.ends_with("take the key away or name another adapter"), "{error}");
    }
}

#[test]
fn the_dropout_of_a_continued_adapter_is_the_recipes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, setup) = set_up_in(dir.path(), &recipe(&lora("dropout = 0.25, "))).unwrap();
    let options = setup.model.adapter_options().unwrap();
    assert_eq!((options.dropout, options.rank, options.alpha), (0.25, 8, 16.0));
}
