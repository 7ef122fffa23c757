//! As what type a tensor is stored in a file that is mostly of one type.

use crate::tensor_type::TensorType;

/// The type for a tensor of that name and shape in a file of `wanted`: what llama.cpp's converter would store it as, and
/// llama.cpp can load. Norms, biases, positions and routers stay F32; rows that are no whole blocks become F16.
pub fn stored_as(name: &str, shape: &[usize], wanted: TensorType) -> TensorType {
    let stem = name.strip_suffix(".weight");
    let stays = ["_norm", "ffn_gate_inp", "position_embd"];
    match stem {
        Some(stem) if shape.len() > 1 && !stays.iter().any(|end| stem.ends_with(end)) => {}
        _ => return TensorType::F32,
    }
    let row = shape.last().copied().unwrap_or(1);
    if row.is_multiple_of(wanted.block_len()) { wanted } else { TensorType::F16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_matrices_are_stored_in_fewer_bits() {
        let stored = |name, shape: &[usize]| stored_as(name, shape, TensorType::Q8_0);
        assert_eq!(stored("blk.0.attn_q.weight", &[64, 64]), TensorType::Q8_0);
        assert_eq!(stored("blk.0.ffn_down_exps.weight", &[4, 64, 96]), TensorType::Q8_0);
        assert_eq!(stored("blk.0.ffn_down.weight", &[64, 72]), TensorType::F16);
        assert_eq!(stored("blk.0.attn_q.bias", &[64]), TensorType::F32);
        assert_eq!(stored("blk.0.attn_norm.weight", &[64]), TensorType::F32);
        assert_eq!(stored("blk.0.ffn_gate_inp.weight", &[4, 64]), TensorType::F32);
        assert_eq!(stored("position_embd.weight", &[128, 64]), TensorType::F32);
        assert_eq!(stored("rope_freqs.weight", &[64]), TensorType::F32);
        assert_eq!(stored_as("output.weight", &[300, 40], TensorType::BF16), TensorType::BF16);
    }
}
