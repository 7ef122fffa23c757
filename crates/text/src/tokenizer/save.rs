//! A tokenizer written as transformers reads it.

use std::io::Write;
use std::path::Path;

use serde_json::Map;

use super::Tokenizer;
use crate::error::TextError;

impl Tokenizer {
    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into `dir`, as transformers reads them.
    /// With `chat_template`, the Jinja source that the model was trained with travels in `tokenizer_config.json`.
    ///
    /// # Errors
    /// When a file cannot be written; each file appears whole or not at all.
    pub fn save(&self, dir: impl AsRef<Path>, chat_template: Option<&str>) -> Result<(), TextError> {
        let dir = dir.as_ref();
        let path = dir.join("tokenizer.json");
        let json = self
            .inner
            .to_string(true)
            .map_err(|e| TextError::TokenizerFile { path: path.clone(), cause: e.to_string() })?;
        luthier_files::write_atomically(&path, |file| file.write_all(json.as_bytes()))
            .map_err(TextError::write(&path))?;
        let mut config = self.config.clone();
        config.entry("tokenizer_class").or_insert_with(|| "PreTrainedTokenizerFast".into());
        let mut special_map = Map::new();
        for (key, token) in self.named.listed() {
            if let Some(token) = token {
                config.insert(key.into(), token.text.clone().into());
                special_map.insert(key.into(), token.text.clone().into());
            }
        }
        if let Some(template) = chat_template {
            config.insert("chat_template".into(), template.into());
        }
        for (name, object) in [("tokenizer_config.json", config), ("special_tokens_map.json", special_map)] {
            let path = dir.join(name);
            luthier_files::write_atomically(&path, |file| {
                serde_json::to_writer_pretty(&mut *file, &object)?;
                file.write_all(b"\n")
            })
            .map_err(TextError::write(&path))?;
        }
        Ok(())
    }
}
