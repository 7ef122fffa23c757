//! What codes stand for, in double precision and without tricks.

use super::codec::BLOCK;
use super::{NF4_LEVELS, PackedView, Packing};

/// The element of `row` and `col`.
#[must_use]
pub fn element(view: &PackedView<'_>, row: usize, col: usize) -> f64 {
    let (codes, scales) = view.row(row);
    match view.packing {
        Packing::Bf16 => {
            let code = u16::from_le_bytes([codes[2 * col], codes[2 * col + 1]]);
            f64::from(f32::from_bits(u32::from(code) << 16))
        }
        Packing::Int8 => f64::from(codes[col] as i8) * f64::from(scales[col / 128]),
        Packing::Nf4 => {
            let (block, at) = (col / BLOCK, col % BLOCK);
            let half = (view.cols - block * BLOCK).min(BLOCK).div_ceil(2);
            let byte = codes[block * BLOCK / 2 + at % half];
            let code = if at < half { byte & 15 } else { byte >> 4 };
            f64::from(NF4_LEVELS[usize::from(code)]) * f64::from(scales[col / 64])
        }
    }
}

/// The whole weight, `[rows, cols]`.
#[must_use]
pub fn unpack(view: &PackedView<'_>) -> Vec<f64> {
    (0..view.rows).flat_map(|row| (0..view.cols).map(move |col| element(view, row, col))).collect()
}
