//! `qwen2`: Qwen 2 and 2.5. Biases on q, k and v, none on o.

use super::FamilyInfo;
use crate::error::ModelError;
use crate::fields::Fields;

pub(super) const INFO: FamilyInfo = FamilyInfo {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    examples: &["Qwen2.5-0.5B", "Qwen2-1.5B", "Qwen2.5-Coder-7B"],
    positions: "rotary (linear, llama3)",
    attention: "grouped heads, bias on q, k, v",
    mlp: "SwiGLU",
    trains: &["full", "lora"],
};
pub(super) const TIES_BY_DEFAULT: bool = false;
pub(super) const QKV_BIAS: bool = true;
pub(super) const OUTPUT_BIAS: bool = false;

pub(super) fn check(fields: &Fields<'_>) -> Result<(), ModelError> {
    fields.refuse(
        "use_sliding_window",
        "sliding windows are not supported yet; set it to false if your texts are shorter",
    )
}
