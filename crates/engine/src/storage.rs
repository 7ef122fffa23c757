//! Numbers that are there already, for a device to take over: in memory, in a mapped file, or packed into fewer bytes.

use luthier_files::{MappedBytes, MappedNumbers};
use luthier_kernels::packed::{self, PackedView, Packing};

/// Where numbers lie before a device has them.
#[derive(Debug)]
pub enum Numbers {
    /// In memory that the device may keep.
    Owned(Vec<f32>),
    /// In a file, where they stay.
    Mapped(MappedNumbers),
    /// In fewer bytes than f32, in which they stay too.
    Packed(Packed),
    /// Nowhere: how many they would be, for a device that only counts.
    Absent {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// How they would be packed; none for f32.
        packing: Option<Packing>,
    },
}

impl Numbers {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Owned(data) => data.len(),
            Self::Mapped(numbers) => numbers.as_slice().len(),
            Self::Packed(packed) => packed.len(),
            Self::Absent { rows, cols, .. } => rows * cols,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.bytes(),
            Self::Absent { rows, cols, packing: Some(packing) } => {
                let (codes, scales) = packing.sizes(*rows, *cols);
                codes + scales * size_of::<f32>()
            }
            _ => self.len() * size_of::<f32>(),
        }
    }

    /// How they are packed; none for f32.
    pub(crate) fn packing(&self) -> Option<Packing> {
        match self {
            Self::Packed(packed) => Some(packed.packing()),
            Self::Absent { packing, .. } => *packing,
            Self::Owned(_) | Self::Mapped(_) => None,
        }
    }
}

/// A frozen weight `[rows, cols]` as bf16, int8 or nf4. Products and embeddings take it as it is; nothing else does.
#[derive(Debug)]
pub struct Packed {
    packing: Packing,
    rows: usize,
    cols: usize,
    codes: Codes,
    scales: Vec<f32>,
}

#[derive(Debug)]
enum Codes {
    Owned(Vec<u8>),
    Mapped(MappedBytes),
}

impl Packed {
    /// Packs numbers that come row by row, some rows at a time; [`Packed::push_rows`] until all are there.
    pub fn with_capacity(packing: Packing, rows: usize, cols: usize) -> Self {
        let (bytes, scales) = packing.sizes(rows, cols);
        let codes = Codes::Owned(Vec::with_capacity(bytes));
        Self { packing, rows: 0, cols, codes, scales: Vec::with_capacity(scales) }
    }

    /// Packs whole rows behind those that are there.
    ///
    /// # Panics
    /// If `data` is not whole rows, or the codes lie in a file.
    pub fn push_rows(&mut self, data: &[f32]) {
        let rows = data.len() / self.cols.max(1);
        let (codes, scales) = packed::pack(self.packing, rows, self.cols, data);
        match &mut self.codes {
            Codes::Owned(all) => all.extend_from_slice(&codes),
            Codes::Mapped(_) => panic!("rows are added to a weight that lies in a file"),
        }
        self.scales.extend_from_slice(&scales);
        self.rows += rows;
    }

    /// bf16 as it lies in a file: two bytes for each number, little end first.
    ///
    /// # Panics
    /// If there are not `2 * rows * cols` bytes.
    pub fn mapped_bf16(rows: usize, cols: usize, bytes: MappedBytes) -> Self {
        assert_eq!(bytes.as_slice().len(), 2 * rows * cols, "bytes of bf16 [{rows}, {cols}]");
        Self { packing: Packing::Bf16, rows, cols, codes: Codes::Mapped(bytes), scales: Vec::new() }
    }

    /// How it is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// How many numbers it stands for.
    pub(crate) fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// How many bytes it takes, those of a mapped file among them.
    pub fn bytes(&self) -> usize {
        let (codes, scales) = self.packing.sizes(self.rows, self.cols);
        codes + scales * size_of::<f32>()
    }

    /// For the kernels.
    pub(crate) fn view(&self) -> PackedView<'_> {
        let codes = match &self.codes {
            Codes::Owned(codes) => codes,
            Codes::Mapped(codes) => codes.as_slice(),
        };
        PackedView::new(self.packing, self.rows, self.cols, codes, &self.scales)
    }

    /// The numbers it stands for, row by row.
    pub fn unpack(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.rows * self.cols];
        packed::unpack_rows(&self.view(), 0..self.rows, &mut numbers);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_packed_in_parts_are_the_rows_packed_at_once() {
        let (rows, cols) = (7, 200);
        let numbers: Vec<f32> = (0..rows * cols).map(|i| (i as f32 * 0.37).sin()).collect();
        for packing in [Packing::Bf16, Packing::Int8, Packing::Nf4] {
            let mut whole = Packed::with_capacity(packing, rows, cols);
            whole.push_rows(&numbers);
            let mut parts = Packed::with_capacity(packing, rows, cols);
            for part in numbers.chunks(3 * cols) {
                parts.push_rows(part);
            }
            assert_eq!(parts.bytes(), whole.bytes());
            assert_eq!(parts.unpack(), whole.unpack(), "{packing:?}");
            let error = numbers.iter().zip(whole.unpack()).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(error < 0.2, "{packing:?}: {error}");
        }
    }
}
