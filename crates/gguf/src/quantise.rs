//! f32 numbers as they are stored: plain, in half the bits, or as 8-bit numbers with a scale for every 32.

use half::{bf16, f16};

use crate::error::GgufError;
use crate::tensor_type::TensorType;

/// Appends numbers as bytes of that type: F32, F16 and BF16 (rounded to the nearest, ties to even) or Q8_0.
///
/// # Errors
/// When the type is another, the numbers are no whole number of its blocks, or one of them is not finite or too large
/// for the type; what was appended until then stays.
pub fn quantise(kind: TensorType, numbers: &[f32], to: &mut Vec<u8>) -> Result<(), GgufError> {
    let block = kind.block_len();
    if !numbers.len().is_multiple_of(block) {
        return Err(GgufError::Blocks { kind, found: numbers.len(), what: "numbers", block });
    }
    if let Some(&number) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(GgufError::OutOfRange { kind, number, hint: ": it is no finite number" });
    }
    match kind {
        TensorType::F32 => to.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        TensorType::BF16 => {
            for &number in numbers {
                let stored = bf16::from_f32(number);
                check(kind, number, stored.is_finite())?;
                to.extend(stored.to_le_bytes());
            }
        }
        TensorType::F16 => {
            for &number in numbers {
                let stored = f16::from_f32(number);
                check(kind, number, stored.is_finite())?;
                to.extend(stored.to_le_bytes());
            }
        }
        TensorType::Q8_0 => {
            for block in numbers.as_chunks::<32>().0 {
                q8_0(block, to)?;
            }
        }
        _ => return Err(GgufError::UnwritableType(kind)),
    }
    Ok(())
}

/// The scale d is the largest number over 127, and each number becomes the nearest multiple of it, ties away from zero
/// (`quantize_row_q8_0_ref`).
fn q8_0(block: &[f32; 32], to: &mut Vec<u8>) -> Result<(), GgufError> {
    let largest = block.iter().fold(0f32, |largest, number| largest.max(number.abs()));
    let d = largest / 127.0;
    let stored = f16::from_f32(d);
    check(TensorType::Q8_0, largest, stored.is_finite())?;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    to.extend(stored.to_le_bytes());
    to.extend(block.iter().map(|number| ((number * inverse).round() as i8).cast_unsigned()));
    Ok(())
}

fn check(kind: TensorType, number: f32, fits: bool) -> Result<(), GgufError> {
    let hint = ", whose numbers end before; store the tensor as F32 or BF16";
    if fits { Ok(()) } else { Err(GgufError::OutOfRange { kind, number, hint }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_type_cannot_hold_are_refused() {
        let error = |kind, number| quantise(kind, &[number; 32], &mut Vec::new()).unwrap_err().to_string();
        assert!(error(TensorType::F16, 70_000.0).contains("70000 cannot be stored as F16, whose numbers end before"));
        assert!(error(TensorType::Q8_0, 1e7).contains("10000000 cannot be stored as Q8_0"));
        assert!(error(TensorType::BF16, f32::MAX).contains("cannot be stored as BF16"));
        assert!(error(TensorType::F32, f32::NAN).contains("NaN cannot be stored as F32: it is no finite number"));
        assert!(error(TensorType::Q4_0, 1.0).contains("cannot be stored as Q4_0; supported are"));
        let part = quantise(TensorType::Q8_0, &[0.0; 31], &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(part, "31 numbers are no whole number of Q8_0 blocks of 32");
    }

    #[test]
    fn zeros_and_the_smallest_numbers_are_stored_as_zeros() {
        for number in [0.0, 1e-45, -1e-42] {
            let mut bytes = Vec::new();
            quantise(TensorType::Q8_0, &[number; 32], &mut bytes).unwrap();
            assert_eq!(bytes[..2], [0, 0], "the scale");
        }
    }
}
