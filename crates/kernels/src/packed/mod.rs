//! Frozen weights in fewer bytes: stored as bf16, int8 or nf4, widened to single precision inside the product.
//!
//! A weight `[rows, cols] = [out, in]` lies row by row, as checkpoints store it. Its codes and its scales are two plain
//! buffers ([`Packing::sizes`]); a [`PackedView`] reads them. What a code stands for is the same everywhere, bit for bit:
//! [`unpack_rows`] gives the numbers with which [`matmul`] multiplies.

pub(crate) mod codec;
mod pack;
pub mod plain;
mod product;
mod unpack;

use crate::few_rows;

pub use pack::pack;
pub use product::matmul;
pub use unpack::{embed, unpack_rows};

/// How a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packing {
    /// The upper half of single precision: two bytes, little-endian, as files hold it. No scales.
    Bf16,
    /// A signed byte times a scale, which 128 columns of a row share. The greatest magnitude of a group becomes 127.
    Int8,
    /// One of sixteen levels, the quantiles of a normal distribution (QLoRA, arXiv 2305.14314, appendix E), times the
    /// greatest magnitude of 64 columns of a row. Half a byte: byte `i` of a block of 32 columns holds column `i` in its
    /// lower half and column `i + 16` in its upper. In the last block of a row, of `w` columns, the halves lie `w / 2`
    /// apart, rounded up.
    Nf4,
}

/// The levels of nf4, as bitsandbytes has them.
const NF4_LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

impl Packing {
    /// Bytes of codes and number of scales of a weight.
    #[must_use]
    pub fn sizes(self, rows: usize, cols: usize) -> (usize, usize) {
        (rows * self.row_bytes(cols), rows * self.row_scales(cols))
    }

    /// Columns that share a scale; for bf16, which has none, a length that suits the loops.
    fn group(self) -> usize {
        match self {
            Self::Bf16 | Self::Int8 => 128,
            Self::Nf4 => 64,
        }
    }

    /// Bytes of codes of a row.
    fn row_bytes(self, cols: usize) -> usize {
        codec::bytes(self as usize, cols)
    }

    /// Scales of a row.
    fn row_scales(self, cols: usize) -> usize {
        match self {
            Self::Bf16 => 0,
            Self::Int8 | Self::Nf4 => cols.div_ceil(self.group()),
        }
    }
}

/// A packed weight to be read.
#[derive(Debug, Clone, Copy)]
pub struct PackedView<'a> {
    packing: Packing,
    rows: usize,
    cols: usize,
    codes: &'a [u8],
    scales: &'a [f32],
}

impl<'a> PackedView<'a> {
    /// A weight `[rows, cols]` of which `codes` and `scales` have the lengths of [`Packing::sizes`]. Codes need no
    /// alignment.
    #[must_use]
    pub fn new(packing: Packing, rows: usize, cols: usize, codes: &'a [u8], scales: &'a [f32]) -> Self {
        let sizes = packing.sizes(rows, cols);
        assert_eq!((codes.len(), scales.len()), sizes, "packed: code bytes and scales of {packing:?} [{rows}, {cols}]");
        Self { packing, rows, cols, codes, scales }
    }

    /// How it is stored.
    #[must_use]
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Rows: outputs of a layer.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: inputs of a layer.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// As it is read by products of a few rows.
    fn few_rows(&self) -> few_rows::Weight<'a> {
        let scales = self.packing.row_scales(self.cols);
        few_rows::Weight {
            codes: self.codes,
            row_bytes: self.packing.row_bytes(self.cols),
            scales: self.scales,
            row_scales: scales,
        }
    }

    /// Codes and scales of one row.
    fn row(&self, row: usize) -> (&'a [u8], &'a [f32]) {
        let (bytes, scales) = (self.packing.row_bytes(self.cols), self.packing.row_scales(self.cols));
        (&self.codes[row * bytes..][..bytes], &self.scales[row * scales..][..scales])
    }
}
