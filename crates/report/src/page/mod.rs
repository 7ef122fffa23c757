//! What the page says: the run's numbers formatted, its phrases in the reader's language, its examples chosen.
//!
//! Everything here is plain data for the templates, which decide only how it looks.

mod curves;
mod examples;
mod facts;
mod ledger;
mod scores;
pub(crate) mod texts;
mod verdict;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Language, Manifest, Run};

/// Everything the template shows. A part the run does not hold yet is `None`.
#[derive(Serialize)]
pub(crate) struct Page {
    language: &'static str,
    t: BTreeMap<&'static str, &'static str>,
    title: String,
    created: Option<String>,
    verdict: verdict::Verdict,
    tiles: Vec<verdict::Tile>,
    notices: Vec<String>,
    missing: Missing,
    task: Vec<facts::Fact>,
    model: Vec<facts::Fact>,
    training: Vec<facts::Fact>,
    ledger: Option<ledger::LedgerView>,
    curves: Option<curves::Curves>,
    scores: Option<scores::ScoreTable>,
    strategies: Option<scores::Strategies>,
    examples: Option<examples::Examples>,
    recipe: Option<texts::Text>,
    manifest: Option<texts::Text>,
}

/// The sentence that stands in place of a part, naming the file that will bring it.
#[derive(Serialize)]
struct Missing {
    task: String,
    ledger: String,
    curves: String,
    scores: String,
    examples: String,
    recipe: String,
    manifest: String,
}

impl Page {
    pub(crate) fn of(run: &Run, language: Language) -> Self {
        let missing = |file: &str| language.fill("missing", &[("file", file)]);
        let scale = run.scores.as_ref().map(|scores| scores::measures(scores, language)).unwrap_or_default();
        let manifest = run.manifest.as_ref();
        Self {
            language: language.tag(),
            t: language.table(),
            title: facts::name(run),
            created: manifest.and_then(|manifest| manifest.created_unix).map(crate::figures::date),
            verdict: verdict::verdict(run, &scale, language),
            tiles: verdict::tiles(run, &scale, language),
            notices: manifest.map(notices).unwrap_or_default(),
            missing: Missing {
                task: missing("recipe.toml, manifest.json"),
                ledger: missing("ledger.jsonl"),
                curves: missing("metrics.jsonl"),
                scores: missing("scores.json"),
                examples: missing("predictions/*.jsonl"),
                recipe: missing("recipe.toml"),
                manifest: missing("manifest.json"),
            },
            task: facts::task(run, language),
            model: facts::model(run, language),
            training: facts::training(run, language),
            ledger: run.ledger.as_ref().map(|ledger| ledger::view(ledger, language)),
            curves: run.training.as_ref().map(|training| curves::curves(training, language)),
            scores: run.scores.as_ref().map(|scores| scores::table(scores, &scale, language)),
            strategies: run.scores.as_ref().map(|scores| scores::strategies(scores, &scale, language)),
            examples: run.predictions.as_ref().map(|predictions| examples::choose(predictions, &scale, language)),
            recipe: run.recipe.as_ref().map(|recipe| texts::Text::file(&recipe.text, language)),
            manifest: manifest.map(|manifest| texts::Text::file(&manifest.text, language)),
        }
    }
}

/// The first notices, each at a length one would read.
fn notices(manifest: &Manifest) -> Vec<String> {
    manifest.notices.iter().take(40).map(|notice| notice.chars().take(600).collect()).collect()
}
