//! The task and the model in a few lines each, from recipe and manifest.

use serde::Serialize;

use crate::{Language, Manifest, Recipe, Run, figures};

/// A line of a definition list.
#[derive(Serialize)]
pub(crate) struct Fact {
    name: &'static str,
    value: String,
}

/// The run's name: as the manifest says, else the recipe, else the folder.
pub(super) fn name(run: &Run) -> String {
    let from_manifest = run.manifest.as_ref().and_then(|manifest| manifest.name.clone());
    let named = from_manifest.or_else(|| run.recipe.as_ref().and_then(|recipe| said(recipe, "name")));
    named.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| {
        let folder = run.dir.canonicalize().unwrap_or_else(|_| run.dir.clone());
        folder.file_name().map_or_else(|| "luthier".to_owned(), |name| name.to_string_lossy().into_owned())
    })
}

pub(super) fn task(run: &Run, language: Language) -> Vec<Fact> {
    let recipe = |key: &str| run.recipe.as_ref().and_then(|recipe| said(recipe, key));
    let template = run.manifest.as_ref().and_then(|manifest| manifest.template.clone());
    let longest = run.recipe.as_ref().and_then(|recipe| recipe.get("data.max_length")?.as_integer());
    let held_out = run.scores.as_ref().and_then(|scores| scores.rows);
    listed(
        language,
        [
            ("fact.name", (run.recipe.is_some() || run.manifest.is_some()).then(|| name(run))),
            ("fact.sources", run.recipe.as_ref().and_then(|recipe| sources(recipe, language))),
            ("fact.template", template.or_else(|| recipe("data.template"))),
            ("fact.train_on", recipe("data.train_on")),
            (
                "fact.max_length",
                longest.map(|n| language.fill("fact.max_length.value", &[("n", &figures::count(n.unsigned_abs()))])),
            ),
            ("fact.held_out", held_out.map(figures::count)),
        ],
    )
}

pub(super) fn model(run: &Run, language: Language) -> Vec<Fact> {
    let manifest = run.manifest.as_ref();
    let base = manifest.and_then(|manifest| manifest.base_model.as_ref());
    let in_recipe = || run.recipe.as_ref().and_then(|recipe| said(recipe, "model.base"));
    let of_hub = manifest.and_then(|manifest| manifest.hub.get("model.base"));
    let of_hub = of_hub.map(|model| format!("{}@{}", model.repo, model.commit));
    listed(
        language,
        [
            ("fact.base", of_hub.or_else(|| base.and_then(|model| model.path.clone())).or_else(in_recipe)),
            ("fact.architecture", base.and_then(|model| model.architecture.clone())),
            ("fact.parameters", base.and_then(|model| model.parameters).map(figures::parameters)),
            ("fact.machine", manifest.and_then(|manifest| machine(manifest, language))),
            (
                "fact.version",
                manifest.and_then(|manifest| manifest.luthier_version.as_ref()).map(|v| format!("luthier {v}")),
            ),
        ],
    )
}

pub(super) fn training(run: &Run, language: Language) -> Vec<Fact> {
    let recipe = run.recipe.as_ref();
    let manifest = run.manifest.as_ref();
    let in_recipe = |key: &str| recipe.and_then(|recipe| said(recipe, key));
    let method = manifest.and_then(|manifest| manifest.method.clone()).or_else(|| in_recipe("train.method"));
    // The settings of a method stand under its own name: `lora = { rank = 8, alpha = 16 }`.
    let with = method.as_deref().and_then(|method| settings(recipe?.get("train")?.get(method)?));
    listed(
        language,
        [
            (
                "fact.method",
                method.map(|method| match with {
                    Some(with) => format!("{method} ({with})"),
                    None => method,
                }),
            ),
            ("fact.trainable", manifest.and_then(trainable)),
            ("fact.epochs", in_recipe("train.epochs")),
            ("fact.learning_rate", recipe.and_then(|recipe| number(recipe, "train.learning_rate"))),
            ("fact.schedule", recipe.and_then(|recipe| settings(recipe.get("train.schedule")?))),
        ],
    )
}

fn listed<const N: usize>(language: Language, facts: [(&str, Option<String>); N]) -> Vec<Fact> {
    let there = facts.into_iter().filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)));
    there.map(|(key, value)| Fact { name: language.phrase(key), value }).collect()
}

/// The value under `key` as the recipe writes it, a string without its quotes.
fn said(recipe: &Recipe, key: &str) -> Option<String> {
    recipe.get(key).map(plain)
}

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(recipe: &Recipe, key: &str) -> Option<String> {
    let value = recipe.get(key)?;
    Some(value.as_float().map_or_else(|| plain(value), figures::general))
}

fn sources(recipe: &Recipe, language: Language) -> Option<String> {
    let sources = recipe.get("data.sources")?.as_array()?;
    let one = |source: &toml::Value| {
        let Some(table) = source.as_table() else { return plain(source) };
        let from = |(key, _): &(&String, &toml::Value)| matches!(key.as_str(), "path" | "generate");
        let named: Vec<String> = table.iter().filter(from).map(|(_, value)| plain(value)).collect();
        let others = table.iter().filter(|entry| !from(entry)).map(|(key, value)| match key.as_str() {
            "format" => plain(value),
            _ => format!("{key} = {}", plain(value)),
        });
        let others: Vec<String> = others.collect();
        match others.len() {
            0 => named.join(" "),
            _ => format!("{} ({})", named.join(" "), others.join(", ")),
        }
    };
    let mut shown: Vec<String> = sources.iter().take(12).map(one).collect();
    if sources.len() > 12 {
        shown.push("…".to_owned());
    }
    Some(shown.join(language.phrase("list")))
}

/// A table as `kind, rank = 8, alpha = 16`: its kind first, if it has one.
fn settings(value: &toml::Value) -> Option<String> {
    let Some(table) = value.as_table() else { return Some(plain(value)) };
    let kind = table.get("kind").map(plain);
    let others = table.iter().filter(|(key, _)| *key != "kind").map(|(key, value)| format!("{key} = {}", plain(value)));
    let all: Vec<String> = kind.into_iter().chain(others).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn trainable(manifest: &Manifest) -> Option<String> {
    let trained = manifest.trainable_parameters?;
    let all = manifest.base_model.as_ref().and_then(|model| model.parameters).filter(|all| *all > 0);
    let share = all.map_or_else(String::new, |all| format!(" ({})", figures::share(trained, all)));
    Some(figures::parameters(trained) + &share)
}

fn machine(manifest: &Manifest, language: Language) -> Option<String> {
    let machine = manifest.machine.as_ref()?;
    let parts = [
        machine.cpu.clone(),
        machine.threads.map(|threads| language.counted("fact.threads", threads)),
        machine.memory_bytes.map(figures::bytes),
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(language.phrase("list")))
}
