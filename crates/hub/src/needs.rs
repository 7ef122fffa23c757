//! Which files of a repository are needed, the same rules for one that is listed and one that is cached.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use serde_json::Value;

use crate::error::HubError;

/// What a model is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To compute with it: configuration, tokenizer, template and weights.
    Model,
    /// To know it: the same without weights; of an adapter, all of it.
    Description,
    /// To put it on a model: an adapter's two files, with the tokenizer and template that it may carry.
    Adapter,
    /// To tokenise with it.
    Tokenizer,
}

const CONFIG: &str = "config.json";
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Beside the configuration.
const GENERATION: &str = "generation_config.json";

/// One of these holds a tokenizer's vocabulary; where `tokenizer.json` is, the others say nothing more.
const VOCABULARIES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
];

/// What else belongs to a tokenizer, and the chat template.
const TEXT: [&str; 5] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Where weights may be, the best place first; an index names the files that hold them.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
const ADAPTER_WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

impl Want {
    /// The small files to have, of those that are there.
    pub(crate) fn small_files(self, is_there: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Model => &[CONFIG, GENERATION],
            Self::Description => &[CONFIG, GENERATION, ADAPTER_CONFIG],
            Self::Adapter => &[ADAPTER_CONFIG],
            // The ids of special tokens may stand in the model's configuration alone.
            Self::Tokenizer => &[CONFIG],
        };
        let vocabularies = if is_there(VOCABULARIES[0]) { &VOCABULARIES[..1] } else { &VOCABULARIES[1..] };
        own.iter().chain(vocabularies).chain(&TEXT).copied().filter(|file| is_there(file)).collect()
    }

    /// Where the weights are that are wanted: a file of them, or an index. None where none are wanted.
    ///
    /// # Errors
    /// Naming what is missing, in words that go on after "does not hold".
    pub(crate) fn weights(self, is_there: &dyn Fn(&str) -> bool) -> Result<Option<&'static str>, &'static str> {
        let first = |files: &[&'static str]| files.iter().copied().find(|file| is_there(file));
        match self {
            Self::Model if !is_there(CONFIG) => Err("config.json"),
            Self::Model => first(&WEIGHTS).map(Some).ok_or("weights (model.safetensors or pytorch_model.bin)"),
            Self::Description if is_there(CONFIG) => Ok(None),
            Self::Description | Self::Adapter if !is_there(ADAPTER_CONFIG) => Err(match self {
                Self::Adapter => "adapter_config.json",
                _ => "config.json",
            }),
            Self::Description | Self::Adapter => {
                first(&ADAPTER_WEIGHTS).map(Some).ok_or("weights (adapter_model.safetensors)")
            }
            Self::Tokenizer if has_vocabulary(is_there) => Ok(None),
            Self::Tokenizer => Err("a tokenizer"),
        }
    }

    /// What to do about a repository that holds something else.
    pub(crate) fn remedy(self, is_there: &dyn Fn(&str) -> bool) -> &'static str {
        match self {
            Self::Model | Self::Description if is_there(ADAPTER_CONFIG) => {
                "; it holds an adapter: give that as the adapter, and its base model as the model"
            }
            Self::Adapter if is_there(CONFIG) => "; it holds a whole model: give it as the model",
            _ => "",
        }
    }
}

/// The file of a model's weights or their index, as [`Want::weights`] finds it.
pub(crate) fn model_weights(is_there: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    WEIGHTS.iter().copied().find(|file| is_there(file))
}

/// Whether there is a vocabulary of some kind.
pub(crate) fn has_vocabulary(is_there: &dyn Fn(&str) -> bool) -> bool {
    VOCABULARIES.iter().any(|file| is_there(file))
}

/// The files that an index places tensors in; each must lie beside it.
pub(crate) fn shards(index: &Path) -> Result<Vec<String>, HubError> {
    let bytes = std::fs::read(index).map_err(HubError::read(index))?;
    let wrong = |why| HubError::Index { path: index.to_owned(), why };
    let json: Value = serde_json::from_slice(&bytes).map_err(|_| wrong("is no JSON"))?;
    let map = json.get("weight_map").and_then(Value::as_object).ok_or_else(|| wrong("has no weight_map"))?;
    let shards: Option<BTreeSet<&str>> = map.values().map(|file| file.as_str().filter(|file| is_plain(file))).collect();
    let shards = shards.ok_or_else(|| wrong("places a tensor in what is no file beside it"))?;
    Ok(shards.into_iter().map(str::to_owned).collect())
}

/// Whether a name is that of a file in the folder itself.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> impl Fn(&str) -> bool {
        move |file| files.contains(&file)
    }

    #[test]
    fn safetensors_are_taken_before_pickled_weights_and_a_whole_file_before_shards() {
        let weights = |files: &[&str]| Want::Model.weights(&of(files)).map(Option::unwrap);
        assert_eq!(weights(&["config.json", "pytorch_model.bin", "model.safetensors"]), Ok("model.safetensors"));
        let both = ["config.json", "model.safetensors.index.json", "model.safetensors"];
        assert_eq!(weights(&both), Ok("model.safetensors"));
        let sharded = ["config.json", "pytorch_model.bin", "model.safetensors.index.json"];
        assert_eq!(weights(&sharded), Ok("model.safetensors.index.json"));
        assert_eq!(weights(&["config.json", "pytorch_model.bin.index.json"]), Ok("pytorch_model.bin.index.json"));
        assert!(weights(&["config.json", "tf_model.h5"]).is_err());
        assert_eq!(weights(&["model.safetensors"]), Err("config.json"));
    }

    #[test]
    fn only_what_is_needed_is_taken() {
        let files = [
            "README.md",
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer.model",
            "vocab.json",
            "merges.txt",
            "tokenizer_config.json",
            "model.safetensors",
            "onnx/model.onnx",
            "training_args.bin",
        ];
        let small = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
        assert_eq!(Want::Model.small_files(&of(&files)), small);
        assert_eq!(Want::Description.small_files(&of(&files)), small);
        let old = ["config.json", "vocab.json", "merges.txt"];
        assert_eq!(Want::Model.small_files(&of(&old)), old);
        let adapter = ["adapter_config.json", "adapter_model.safetensors", "config.json", "chat_template.jinja"];
        assert_eq!(Want::Adapter.small_files(&of(&adapter)), ["adapter_config.json", "chat_template.jinja"]);
        assert_eq!(Want::Adapter.weights(&of(&adapter)), Ok(Some("adapter_model.safetensors")));
    }

    #[test]
    fn to_know_a_model_takes_no_weights_and_to_know_an_adapter_takes_its_own() {
        assert_eq!(Want::Description.weights(&of(&["config.json", "model.safetensors"])), Ok(None));
        let adapter = ["adapter_config.json", "adapter_model.bin"];
        assert_eq!(Want::Description.weights(&of(&adapter)), Ok(Some("adapter_model.bin")));
        assert_eq!(Want::Model.weights(&of(&adapter)), Err("config.json"));
        assert!(Want::Model.remedy(&of(&adapter)).contains("adapter"));
    }

    #[test]
    fn an_index_that_points_out_of_its_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("model.safetensors.index.json");
        let read = |json: &str| {
            std::fs::write(&index, json).unwrap();
            shards(&index)
        };
        let two = r#"{"weight_map": {"b": "m-2.safetensors", "a": "m-1.safetensors", "c": "m-1.safetensors"}}"#;
        assert_eq!(read(two).unwrap(), ["m-1.safetensors", "m-2.safetensors"]);
        for file in ["\"../m\"", "\"/m\"", "\"a/m\"", "\"..\"", "\"\"", "3", "\"a\\\\b\"", "\"a?b\""] {
            let told = read(&format!("{{\"weight_map\": {{\"a\": {file}}}}}")).unwrap_err().to_string();
            assert!(told.contains("index.json") && told.contains("no file beside it"), "{file}: {told}");
        }
        assert!(read("{}").is_err() && read("nothing").is_err());
    }
}
