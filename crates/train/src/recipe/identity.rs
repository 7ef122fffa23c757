//! A resolved recipe as a file of its own, and as the hashes that tell one run from another.

use serde::Serialize;

use super::resolved::{AdamState, ResolvedRecipe};

impl ResolvedRecipe {
    /// The recipe as a TOML file with every default written out; parsing it gives the same recipe, wherever it is put.
    pub fn to_toml(&self) -> String {
        let body = toml::to_string(self).expect("a resolved recipe holds only what TOML can hold");
        format!("# The recipe of this run as resolved: every default is written out.\n{body}")
    }

    /// SHA-256 (hexadecimal) over what decides the trained weights: seed, data, model, tokenizer and `[train]` without
    /// checkpoints, evaluation and what changes memory alone. Paths count as written, so a folder may be moved; the bytes of the
    /// files they name do not count and have to be hashed beside it.
    pub fn training_hash(&self) -> String {
        sha256(&self.training_text())
    }

    /// SHA-256 (hexadecimal) over what decides predictions and scores: the training hash and `[evaluate]`.
    pub fn evaluation_hash(&self) -> String {
        sha256(&(self.training_text(), &self.evaluate))
    }

    fn training_text(&self) -> serde_json::Value {
        let mut train = serde_json::to_value(&self.train).expect("names and numbers");
        if let Some(train) = train.as_object_mut() {
            train.shift_remove("checkpoint");
            train.shift_remove("evaluate");
            train.shift_remove("recompute");
            // The only one there was: runs that began then go on.
            if self.train.adam.state == AdamState::F32
                && let Some(adam) = train["adam"].as_object_mut()
            {
                adam.shift_remove("state");
            }
        }
        serde_json::json!({
            "seed": self.seed,
            "data": self.data,
            "model": self.model,
            "tokenizer": self.tokenizer,
            "train": train,
        })
    }
}

fn sha256(parts: &impl Serialize) -> String {
    let text = serde_json::to_string(parts).expect("names and numbers");
    luthier_files::sha256(text.as_bytes())
}
