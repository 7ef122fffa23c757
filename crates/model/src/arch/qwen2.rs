//! `qwen2`: Qwen 2 and 2.5. Biases on q, k and v, none on o.

use crate::error::ModelError;
use crate::fields::Fields;

pub(super) const MODEL_TYPE: &str = "qwen2";
pub(super) const ARCHITECTURE: &str = "Qwen2ForCausalLM";
pub(super) const TIES_BY_DEFAULT: bool = false;
pub(super) const QKV_BIAS: bool = true;
pub(super) const OUTPUT_BIAS: bool = false;

pub(super) fn check(fields: &Fields<'_>) -> Result<(), ModelError> {
    fields.refuse(
        "use_sliding_window",
        "sliding windows are not supported yet; set it to false if your texts are shorter",
    )
}
