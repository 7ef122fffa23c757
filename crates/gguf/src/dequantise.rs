//! Stored numbers as f32: plain ones, blocks of 32 with a scale, and super-blocks of 256 whose scales are stored in bits too.
//!
//! What comes out is, bit for bit, what the Python package gguf computes (`quants.py`).

mod k_quants;
mod small_blocks;

use half::{bf16, f16};

use crate::error::GgufError;
use crate::tensor_type::TensorType;

/// Appends the numbers of whole blocks.
///
/// # Errors
/// When the type cannot be read, or the bytes are no whole number of its blocks; then nothing is appended.
pub fn dequantise(kind: TensorType, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), GgufError> {
    let block = kind.block_bytes();
    if !bytes.len().is_multiple_of(block) {
        return Err(GgufError::Blocks { kind, found: bytes.len(), what: "bytes", block });
    }
    match kind {
        TensorType::F32 => out.extend(bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number))),
        TensorType::F16 => out.extend(bytes.as_chunks().0.iter().map(|&number| f16::from_le_bytes(number).to_f32())),
        TensorType::BF16 => out.extend(bytes.as_chunks().0.iter().map(|&number| bf16::from_le_bytes(number).to_f32())),
        TensorType::F64 => out.extend(bytes.as_chunks().0.iter().map(|&number| f64::from_le_bytes(number) as f32)),
        TensorType::Q8_0 => blocks(bytes, out, small_blocks::q8_0),
        TensorType::Q4_0 => blocks(bytes, out, small_blocks::q4_0),
        TensorType::Q4_1 => blocks(bytes, out, small_blocks::q4_1),
        TensorType::Q5_0 => blocks(bytes, out, small_blocks::q5_0),
        TensorType::Q5_1 => blocks(bytes, out, small_blocks::q5_1),
        TensorType::IQ4_NL => blocks(bytes, out, small_blocks::iq4_nl),
        TensorType::Q2_K => blocks(bytes, out, k_quants::q2),
        TensorType::Q3_K => blocks(bytes, out, k_quants::q3),
        TensorType::Q4_K => blocks(bytes, out, k_quants::q4),
        TensorType::Q5_K => blocks(bytes, out, k_quants::q5),
        TensorType::Q6_K => blocks(bytes, out, k_quants::q6),
        TensorType::IQ4_XS => blocks(bytes, out, k_quants::iq4_xs),
        _ => return Err(GgufError::UnreadableType(kind)),
    }
    Ok(())
}

fn blocks<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut Vec<f32>,
    decode: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    let blocks = bytes.as_chunks::<BYTES>().0;
    let start = out.len();
    out.resize(start + blocks.len() * LEN, 0.0);
    for (block, numbers) in blocks.iter().zip(out[start..].as_chunks_mut::<LEN>().0) {
        decode(block, numbers);
    }
}

/// The f16 that stands at a place of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The 16 values that IQ4_NL and IQ4_XS choose from (`kvalues_iq4nl`).
const IQ4_VALUES: [f32; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];
