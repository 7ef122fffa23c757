//! What a model is called on both sides: llama.cpp's names for tensors and settings, and those of Hugging Face.
//!
//! [`config`] turns a file's metadata into a `config.json`, [`metadata`] a `config.json` into metadata; [`Mapping`] says which
//! tensor is which parameter and what happens to its numbers on the way ([`Conversion`]); [`rope_tensors`] are the few
//! tensors that Hugging Face keeps in `config.json`. The facts are those of llama.cpp's `convert_hf_to_gguf.py` and of the
//! Python package gguf (`tensor_mapping.py`, `constants.py`).

mod conversion;
mod fields;
mod mapping;
mod reading;
mod rope;
mod storing;
mod writing;

use serde_json::{Map, Value};

use crate::error::GgufError;
use crate::gguf::Gguf;

pub use conversion::Conversion;
pub use mapping::{Mapping, Source, Target};
pub use reading::config;
pub use storing::stored_as;
pub use writing::{metadata, rope_tensors};

/// An architecture of llama.cpp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `llama`, with experts `mixtral`; `mistral` too.
    Llama,
    /// `qwen2`, and 2.5.
    Qwen2,
    /// `qwen3`.
    Qwen3,
    /// `qwen3_moe`.
    Qwen3Moe,
    /// `gemma`.
    Gemma,
    /// `gemma2`.
    Gemma2,
    /// `gemma3_text`: of Gemma 3 the part that reads text.
    Gemma3,
    /// `phi3`, and Phi 3.5 and 4.
    Phi3,
    /// `gpt2`.
    Gpt2,
    /// `gpt_neox`: Pythia and others.
    GptNeox,
    /// `bloom`.
    Bloom,
    /// `olmo2`.
    Olmo2,
    /// `granite`: the dense ones.
    Granite,
}

use Architecture as A;

/// Architecture, its name in llama.cpp, the `model_type` and class of transformers.
const ARCHITECTURES: [(Architecture, &str, &str, &str); 13] = [
    (A::Llama, "llama", "llama", "LlamaForCausalLM"),
    (A::Qwen2, "qwen2", "qwen2", "Qwen2ForCausalLM"),
    (A::Qwen3, "qwen3", "qwen3", "Qwen3ForCausalLM"),
    (A::Qwen3Moe, "qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"),
    (A::Gemma, "gemma", "gemma", "GemmaForCausalLM"),
    (A::Gemma2, "gemma2", "gemma2", "Gemma2ForCausalLM"),
    (A::Gemma3, "gemma3", "gemma3_text", "Gemma3ForCausalLM"),
    (A::Phi3, "phi3", "phi3", "Phi3ForCausalLM"),
    (A::Gpt2, "gpt2", "gpt2", "GPT2LMHeadModel"),
    (A::GptNeox, "gptneox", "gpt_neox", "GPTNeoXForCausalLM"),
    (A::Bloom, "bloom", "bloom", "BloomForCausalLM"),
    (A::Olmo2, "olmo2", "olmo2", "Olmo2ForCausalLM"),
    (A::Granite, "granite", "granite", "GraniteForCausalLM"),
];

impl Architecture {
    /// The architecture of a file.
    ///
    /// # Errors
    /// When the file does not say, or it is none of these.
    pub fn of_gguf(file: &Gguf) -> Result<Self, GgufError> {
        let value = file.get("general.architecture");
        let Some(name) = value.as_ref().and_then(crate::Value::as_text) else {
            let why = "must be a text; is this a whole model?".to_owned();
            return Err(GgufError::Metadata {
                path: file.path().to_owned(),
                key: "general.architecture".to_owned(),
                why,
            });
        };
        let found = ARCHITECTURES.iter().find(|(_, gguf, ..)| *gguf == name);
        found.map(|entry| entry.0).ok_or_else(|| GgufError::Architecture {
            found: name.to_owned(),
            supported: ARCHITECTURES.map(|(_, gguf, ..)| gguf).join(", "),
        })
    }

    /// The architecture of a `config.json`.
    ///
    /// # Errors
    /// When it has no `model_type`, or it is none of these.
    pub fn of_config(config: &Map<String, Value>) -> Result<Self, GgufError> {
        let Some(model_type) = config.get("model_type").and_then(Value::as_str) else {
            return Err(GgufError::Config("field \"model_type\" is missing".to_owned()));
        };
        if let "mistral" | "mixtral" = model_type {
            return Ok(Self::Llama);
        }
        let found = ARCHITECTURES.iter().find(|(_, _, name, _)| *name == model_type);
        found.map(|entry| entry.0).ok_or_else(|| {
            let known = ARCHITECTURES.map(|(_, _, name, _)| name).join(", ");
            GgufError::Architecture { found: model_type.to_owned(), supported: format!("{known}, mistral, mixtral") }
        })
    }

    /// Its name in llama.cpp.
    pub fn gguf_name(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str, &'static str) {
        ARCHITECTURES.iter().find(|entry| entry.0 == self).expect("every architecture is in the table")
    }
}
