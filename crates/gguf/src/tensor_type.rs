//! How the numbers of a tensor are stored: plain, or in blocks that share a scale (`ggml.h`, `enum ggml_type`).

use std::fmt;

/// A type of tensor, by the name and number that ggml gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(non_camel_case_types, missing_docs, reason = "these are ggml's names")]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q8_1 = 9,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    Q8_K = 15,
    IQ2_XXS = 16,
    IQ2_XS = 17,
    IQ3_XXS = 18,
    IQ1_S = 19,
    IQ4_NL = 20,
    IQ3_S = 21,
    IQ2_S = 22,
    IQ4_XS = 23,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    IQ1_M = 29,
    BF16 = 30,
    TQ1_0 = 34,
    TQ2_0 = 35,
    MXFP4 = 39,
    NVFP4 = 40,
    Q1_0 = 41,
}

use TensorType as T;

/// Type, numbers of a block, bytes of a block (`GGML_QUANT_SIZES` of the Python package gguf).
const SIZES: [(TensorType, usize, usize); 34] = [
    (T::F32, 1, 4),
    (T::F16, 1, 2),
    (T::Q4_0, 32, 2 + 16),
    (T::Q4_1, 32, 2 + 2 + 16),
    (T::Q5_0, 32, 2 + 4 + 16),
    (T::Q5_1, 32, 2 + 2 + 4 + 16),
    (T::Q8_0, 32, 2 + 32),
    (T::Q8_1, 32, 4 + 4 + 32),
    (T::Q2_K, 256, 16 + 64 + 2 + 2),
    (T::Q3_K, 256, 32 + 64 + 12 + 2),
    (T::Q4_K, 256, 2 + 2 + 12 + 128),
    (T::Q5_K, 256, 2 + 2 + 12 + 32 + 128),
    (T::Q6_K, 256, 128 + 64 + 16 + 2),
    (T::Q8_K, 256, 4 + 256 + 32),
    (T::IQ2_XXS, 256, 2 + 64),
    (T::IQ2_XS, 256, 2 + 64 + 8),
    (T::IQ3_XXS, 256, 2 + 64 + 32),
    (T::IQ1_S, 256, 2 + 32 + 16),
    (T::IQ4_NL, 32, 2 + 16),
    (T::IQ3_S, 256, 2 + 64 + 32 + 8 + 4),
    (T::IQ2_S, 256, 2 + 64 + 16),
    (T::IQ4_XS, 256, 2 + 2 + 4 + 128),
    (T::I8, 1, 1),
    (T::I16, 1, 2),
    (T::I32, 1, 4),
    (T::I64, 1, 8),
    (T::F64, 1, 8),
    (T::IQ1_M, 256, 32 + 16 + 8),
    (T::BF16, 1, 2),
    (T::TQ1_0, 256, 2 + 52),
    (T::TQ2_0, 256, 2 + 64),
    (T::MXFP4, 32, 1 + 16),
    (T::NVFP4, 64, 4 + 32),
    (T::Q1_0, 128, 2 + 16),
];

/// Numbers that once meant a type.
const REMOVED: [(u32, &str); 8] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

/// Types that [`crate::dequantise`] reads.
const READABLE: [TensorType; 16] = [
    T::F32,
    T::F16,
    T::BF16,
    T::F64,
    T::Q8_0,
    T::Q4_0,
    T::Q4_1,
    T::Q5_0,
    T::Q5_1,
    T::Q2_K,
    T::Q3_K,
    T::Q4_K,
    T::Q5_K,
    T::Q6_K,
    T::IQ4_NL,
    T::IQ4_XS,
];

impl TensorType {
    /// The type of that number, or why there is none.
    pub(crate) fn from_number(number: u32) -> Result<Self, String> {
        if let Some((kind, ..)) = SIZES.iter().find(|(kind, ..)| *kind as u32 == number) {
            return Ok(*kind);
        }
        Err(match REMOVED.iter().find(|(removed, _)| *removed == number) {
            Some((_, name)) => {
                format!("type {number} ({name}), which llama.cpp has given up; quantise the original model again")
            }
            None => format!("type {number}, which this program does not know"),
        })
    }

    fn sizes(self) -> (usize, usize) {
        let (_, numbers, bytes) = SIZES.iter().find(|(kind, ..)| *kind == self).expect("every type has its sizes");
        (*numbers, *bytes)
    }

    /// Numbers in a block; 1 where there are no blocks.
    pub fn block_len(self) -> usize {
        self.sizes().0
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.sizes().1
    }

    /// Whether its numbers can be read.
    pub fn is_readable(self) -> bool {
        READABLE.contains(&self)
    }

    pub(crate) fn readable() -> String {
        READABLE.map(|kind| kind.to_string()).join(", ")
    }

    /// The number of the `llama_ftype` in which most tensors are of this type, for `general.file_type`.
    pub fn file_type(self) -> Option<u32> {
        Some(match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
            Self::BF16 => 32,
            _ => return None,
        })
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_sizes_and_its_number() {
        for (kind, numbers, bytes) in SIZES {
            assert_eq!(TensorType::from_number(kind as u32), Ok(kind));
            assert_eq!((kind.block_len(), kind.block_bytes()), (numbers, bytes));
        }
        assert!(TensorType::from_number(31).unwrap_err().contains("Q4_0_4_4"));
        assert!(TensorType::from_number(400).unwrap_err().contains("type 400"));
    }
}
