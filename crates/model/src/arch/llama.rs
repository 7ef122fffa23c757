//! `llama`: Llama 1, 2 and 3, and what follows them (TAIDE, Taiwan-LLM, SmolLM).

use super::FamilyInfo;
use crate::error::ModelError;
use crate::fields::Fields;

pub(super) const INFO: FamilyInfo = FamilyInfo {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    examples: &["SmolLM2-135M", "TinyLlama-1.1B", "Llama-3.2-1B", "TAIDE-LX-7B", "Llama-2-7B"],
    positions: "rotary (linear, llama3)",
    attention: "grouped heads, bias if asked",
    mlp: "SwiGLU",
    trains: &["full", "lora"],
};
pub(super) const TIES_BY_DEFAULT: bool = false;

/// One switch for q, k, v and o.
pub(super) fn attention_bias(fields: &Fields<'_>) -> Result<bool, ModelError> {
    fields.flag_or("attention_bias", false)
}
