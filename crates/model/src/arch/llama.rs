//! `llama`: Llama 1, 2 and 3, and what follows them (TAIDE, Taiwan-LLM, SmolLM).

use crate::error::ModelError;
use crate::fields::Fields;

pub(super) const MODEL_TYPE: &str = "llama";
pub(super) const ARCHITECTURE: &str = "LlamaForCausalLM";
pub(super) const TIES_BY_DEFAULT: bool = false;

/// One switch for q, k, v and o.
pub(super) fn attention_bias(fields: &Fields<'_>) -> Result<bool, ModelError> {
    fields.flag_or("attention_bias", false)
}
