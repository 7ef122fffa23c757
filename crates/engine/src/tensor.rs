//! A tensor: rows and columns of numbers on a device, always contiguous.

use std::sync::Arc;

use luthier_kernels::packed::Packing;

use crate::device::{Buffer, Device, View, ViewMut};
use crate::storage::Numbers;

/// `[rows, cols]` numbers, row-major and contiguous. Clones share the numbers; writing to a shared or mapped one
/// copies first.
#[derive(Clone, Debug)]
pub struct Tensor {
    rows: usize,
    cols: usize,
    buffer: Arc<Buffer>,
    device: Device,
}

impl Tensor {
    /// Numbers with unspecified contents, for a kernel to fill.
    pub fn empty(device: &Device, rows: usize, cols: usize) -> Self {
        let buffer = Arc::new(device.allocate(rows * cols));
        Self { rows, cols, buffer, device: device.clone() }
    }

    /// Zeros.
    pub fn zeros(device: &Device, rows: usize, cols: usize) -> Self {
        let mut tensor = Self::empty(device, rows, cols);
        device.fill(0.0, tensor.view_mut());
        tensor
    }

    /// Numbers from main memory.
    ///
    /// # Panics
    /// If `data` does not hold `rows * cols` numbers.
    pub fn from_slice(device: &Device, rows: usize, cols: usize, data: &[f32]) -> Self {
        assert_eq!(data.len(), rows * cols, "{} numbers for [{rows}, {cols}]", data.len());
        Self { rows, cols, buffer: Arc::new(device.upload(data)), device: device.clone() }
    }

    /// Numbers that are there already, without a copy where the device can use them where they are.
    ///
    /// # Panics
    /// If they are not `rows * cols`.
    pub fn of(device: &Device, rows: usize, cols: usize, numbers: Numbers) -> Self {
        let buffer = Arc::new(device.adopt(numbers));
        assert_eq!(buffer.len(), rows * cols, "{} numbers for [{rows}, {cols}]", buffer.len());
        Self { rows, cols, buffer, device: device.clone() }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of memory that its numbers take, those of a mapped file among them.
    pub fn bytes(&self) -> usize {
        self.buffer.bytes()
    }

    /// How its numbers are packed; none for f32.
    pub fn packing(&self) -> Option<Packing> {
        self.buffer.packing()
    }

    /// The device that holds it.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All numbers, to read.
    pub fn view(&self) -> View<'_> {
        self.buffer.all()
    }

    /// Some rows, to read.
    pub fn view_rows(&self, rows: std::ops::Range<usize>) -> View<'_> {
        self.buffer.view(rows.start * self.cols..rows.end * self.cols)
    }

    /// All numbers, to write; copies them first when another tensor shares them, or when they lie in a file.
    ///
    /// # Panics
    /// If they are packed: such a weight is frozen.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        if Arc::get_mut(&mut self.buffer).is_none_or(|buffer| buffer.is_read_only()) {
            assert_eq!(self.packing(), None, "a packed weight cannot be written: it is frozen");
            let mut own = self.device.allocate(self.buffer.len());
            self.device.copy(self.buffer.all(), own.all_mut());
            self.buffer = Arc::new(own);
        }
        Arc::get_mut(&mut self.buffer).expect("just made unique").all_mut()
    }

    /// Some rows, to write; copies first when shared.
    pub fn view_rows_mut(&mut self, rows: std::ops::Range<usize>) -> ViewMut<'_> {
        let range = rows.start * self.cols..rows.end * self.cols;
        let view = self.view_mut();
        assert!(range.end <= view.range.end, "rows {rows:?} of {}", view.range.end);
        ViewMut { buffer: view.buffer, range }
    }

    /// A copy of the numbers in main memory, unpacked if they are packed.
    pub fn to_vec(&self) -> Vec<f32> {
        self.device.download(self.view())
    }
}
