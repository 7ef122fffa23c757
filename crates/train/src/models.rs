//! The models that a recipe names: folders of the user's stay what they are, names of the Hub become folders of its cache.

use luthier_hub::{Hub, HubError, Origin, RepoName, Want};
use serde_json::{Map, Value, json};

use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::recipe::{Base, Lora, Method, ModelSource, RecipePath, ResolvedRecipe, Tokenizer};

const BASE: &str = "model.base";
const INIT: &str = "train.lora.init";
const TOKENIZER: &str = "tokenizer.path";

/// Finds every model that the recipe names, and fetches what there is only on the Hub; `base` says how much of the base model is
/// wanted. A run that began in `folder` goes on with the commits it began with, whatever their branches are now. Gives what the reader
/// should know.
///
/// # Errors
/// [`TrainError::Hub`], with the key that names the model.
pub fn find_models(
    recipe: &mut ResolvedRecipe,
    folder: &RunFolder,
    hub: &Hub,
    base: Want,
) -> Result<Vec<String>, TrainError> {
    let commits = folder.commits(&recipe.training_hash())?;
    let mut notices = Vec::new();
    let mut find = |path: &mut RecipePath, key: &'static str, want: Want| -> Result<(), TrainError> {
        let before = commits.get(key).unwrap_or(&Value::Null);
        let notice = find_one(path, hub, want, before).map_err(|source| TrainError::Hub { key, source })?;
        notices.extend(notice);
        Ok(())
    };
    if let ModelSource::Base(Base::Named(path)) = &mut recipe.model.source {
        find(path, BASE, base)?;
    }
    if let Some(Tokenizer::Folder(path)) = &mut recipe.tokenizer {
        find(path, TOKENIZER, Want::Tokenizer)?;
    }
    if let Method::Lora(Lora { init: Some(path), .. }) = &mut recipe.train.method {
        find(path, INIT, Want::Adapter)?;
    }
    Ok(notices)
}

/// `before` is what [`ResolvedRecipe::commits`] said of the same key when the run began.
fn find_one(path: &mut RecipePath, hub: &Hub, want: Want, before: &Value) -> Result<Option<String>, HubError> {
    let Some(name) = RepoName::unless_path(path.written(), path.full())? else { return Ok(None) };
    let is_same = before["repo"] == name.id() && before["revision"] == name.revision();
    let mut found = match before["commit"].as_str().filter(|_| is_same) {
        Some(commit) => hub.fetch(&name.at(commit)?, want)?,
        None => hub.fetch(&name, want)?,
    };
    if let Some(origin) = &mut found.origin {
        name.revision().clone_into(&mut origin.revision);
    }
    let notice = found.notice.take();
    *path = path.found(found);
    Ok(notice)
}

impl ResolvedRecipe {
    /// Where the base model comes from, if it is one of the Hub and was found.
    pub fn base_origin(&self) -> Option<&Origin> {
        match &self.model.source {
            ModelSource::Base(Base::Named(path)) => path.origin(),
            _ => None,
        }
    }

    /// The commits of the models that were found on the Hub, by the keys that name them.
    pub(crate) fn commits(&self) -> Map<String, Value> {
        let tokenizer = match &self.tokenizer {
            Some(Tokenizer::Folder(path)) => path.origin(),
            _ => None,
        };
        let init = match &self.train.method {
            Method::Lora(Lora { init: Some(path), .. }) => path.origin(),
            _ => None,
        };
        let all = [(BASE, self.base_origin()), (TOKENIZER, tokenizer), (INIT, init)];
        let found = all.into_iter().filter_map(|(key, origin)| Some((key, origin?)));
        let entry =
            |origin: &Origin| json!({"repo": origin.repo, "revision": origin.revision, "commit": origin.commit});
        found.map(|(key, origin)| (key.to_owned(), entry(origin))).collect()
    }
}
