//! The device seam: what a device must be able to do, and nothing about how.
//!
//! A [`Backend`] allocates [`Buffer`]s and runs about forty kernels on [`View`]s of them. Sizes are checked by the
//! kernels; a wrong size is a bug of ours and panics with both numbers.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use luthier_files::MappedNumbers;
use luthier_kernels::activation::Activation;
use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{AttentionShape, Segment};
use luthier_kernels::experts::{Router, Source};
use luthier_kernels::matmul::MatMul;
use luthier_kernels::norm::NormKind;
use luthier_kernels::packed::Packing;
use luthier_kernels::split::Columns;

use crate::cpu::Cpu;
use crate::plan::Plan;
use crate::pool::{Block, Held};
use crate::profile::{Profile, Profiled};
use crate::storage::{Numbers, Packed};

/// Numbers on a device.
#[derive(Debug)]
pub enum Buffer {
    /// f32 numbers in main memory.
    #[doc(hidden)]
    Cpu(CpuBlock),
    /// f32 numbers in a mapped file, which cannot be written.
    #[doc(hidden)]
    Mapped(MappedBlock),
    /// A weight in fewer bytes than f32, for products and embeddings.
    #[doc(hidden)]
    Packed(PackedBlock),
    /// Only the count of the numbers, on the `plan` device.
    #[doc(hidden)]
    Counted(crate::pool::Counted),
}

/// Main memory of the CPU device.
#[derive(Debug)]
pub struct CpuBlock(pub(crate) Block);

/// A part of a mapped file, on the CPU device's account.
#[derive(Debug)]
pub struct MappedBlock {
    pub(crate) numbers: MappedNumbers,
    pub(crate) _held: Held,
}

/// A packed weight, on the CPU device's account.
#[derive(Debug)]
pub struct PackedBlock {
    pub(crate) packed: Packed,
    pub(crate) _held: Held,
}

/// A part of a [`Buffer`], to read.
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub(crate) buffer: &'a Buffer,
    pub(crate) range: Range<usize>,
}

/// A part of a [`Buffer`], to write.
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) range: Range<usize>,
}

impl Buffer {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Cpu(block) => block.0.as_slice().len(),
            Self::Mapped(block) => block.numbers.as_slice().len(),
            Self::Packed(block) => block.packed.len(),
            Self::Counted(counted) => counted.len(),
        }
    }

    /// How many bytes of memory it takes, those of a mapped file among them.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Cpu(_) | Self::Mapped(_) => self.len() * size_of::<f32>(),
            Self::Packed(block) => block.packed.bytes(),
            Self::Counted(counted) => counted.bytes(),
        }
    }

    /// How its numbers are packed; none for f32.
    pub fn packing(&self) -> Option<Packing> {
        match self {
            Self::Cpu(_) | Self::Mapped(_) => None,
            Self::Packed(block) => Some(block.packed.packing()),
            Self::Counted(counted) => counted.packing(),
        }
    }

    /// Whether its numbers cannot be written; those of a file can be copied, those of a packed weight only unpacked.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Cpu(_) => false,
            Self::Mapped(_) | Self::Packed(_) => true,
            Self::Counted(counted) => counted.is_read_only(),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers in `range`, to read.
    pub fn view(&self, range: Range<usize>) -> View<'_> {
        assert!(range.end <= self.len(), "view {range:?} of a buffer of {}", self.len());
        View { buffer: self, range }
    }

    /// The numbers in `range`, to write.
    pub fn view_mut(&mut self, range: Range<usize>) -> ViewMut<'_> {
        assert!(range.end <= self.len(), "view {range:?} of a buffer of {}", self.len());
        ViewMut { buffer: self, range }
    }

    /// All numbers, to read.
    pub fn all(&self) -> View<'_> {
        self.view(0..self.len())
    }

    /// All numbers, to write.
    pub fn all_mut(&mut self) -> ViewMut<'_> {
        self.view_mut(0..self.len())
    }
}

impl View<'_> {
    /// How many numbers it shows.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        match self.buffer.packing() {
            None => self.len() * size_of::<f32>(),
            // Packed weights are shown whole.
            Some(_) => self.buffer.bytes(),
        }
    }

    /// Whether it shows nothing.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl ViewMut<'_> {
    /// How many numbers it shows.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it shows nothing.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The same numbers for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        ViewMut { buffer: self.buffer, range: self.range.clone() }
    }

    /// The same numbers, to read.
    pub fn as_view(&self) -> View<'_> {
        View { buffer: self.buffer, range: self.range.clone() }
    }
}

/// Bytes of a device in use now, and the most there ever were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes in use now.
    pub current: usize,
    /// The most bytes that were ever in use.
    pub peak: usize,
    /// Bytes that the system had to give for that: those in use, and free ones between and behind them that are kept.
    pub held: usize,
    /// The most bytes that kernels take besides, of what they pack and hold meanwhile; 0 on devices that do not count.
    pub scratch: usize,
}

/// Arithmetic asked of a device so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiplications and additions of matrix products (two for each pair).
    pub product_operations: u64,
    /// Bytes read and written by the kernels that are not products.
    pub row_kernel_bytes: u64,
}

/// What a device can do. The mathematics of each kernel stands in `luthier_kernels` under the same name.
#[allow(missing_docs, reason = "one line each would only repeat the kernels' own documentation")]
pub trait Backend: fmt::Debug + Send + Sync {
    /// Name for people: `cpu`, `plan`.
    fn name(&self) -> &'static str;
    /// Numbers with unspecified contents.
    fn allocate(&self, len: usize) -> Buffer;
    fn upload(&self, data: &[f32]) -> Buffer;
    /// Takes numbers over, without a copy where it can use them where they are.
    fn adopt(&self, numbers: Numbers) -> Buffer;
    fn download(&self, from: View<'_>) -> Vec<f32>;
    /// Takes so many bytes from the system at once for numbers to come; a device that only counts begins to count them here.
    ///
    /// # Errors
    /// When the system does not have so much.
    fn reserve(&self, bytes: usize) -> std::io::Result<()>;
    /// Gives memory that is free back to the system, before something else than training needs it.
    fn release(&self);
    fn memory(&self) -> Memory;
    /// What was asked so far; zero on devices that do not count.
    fn work(&self) -> Work;
    /// Where the time went; `None` on devices that do not time their kernels.
    fn profile(&self) -> Option<Profile> {
        None
    }

    fn fill(&self, value: f32, to: ViewMut<'_>);
    fn copy(&self, from: View<'_>, to: ViewMut<'_>);
    /// Row `i` of `from` goes to row `rows[i]` of `to`; rows of `c` numbers.
    fn copy_to_rows(&self, from: View<'_>, c: usize, rows: &[u32], to: ViewMut<'_>);

    /// `b` may be packed: then it is a whole weight, as it lies in [`MatMul::nt`] or [`MatMul::nn`].
    fn matmul(&self, spec: &MatMul, a: View<'_>, b: View<'_>, c: ViewMut<'_>);
    fn add_bias(&self, x: ViewMut<'_>, bias: View<'_>);
    fn column_sums(&self, x: View<'_>, c: usize, out: ViewMut<'_>);
    fn add(&self, x: View<'_>, y: View<'_>, out: ViewMut<'_>);
    fn add_assign(&self, acc: ViewMut<'_>, x: View<'_>);
    fn scale(&self, x: ViewMut<'_>, factor: f32);
    fn sum_of_squares(&self, x: View<'_>) -> f64;

    /// `y = factor * x`.
    fn scaled(&self, x: View<'_>, factor: f32, y: ViewMut<'_>);
    fn softcap(&self, x: ViewMut<'_>, cap: f32);
    fn take_columns(&self, x: View<'_>, columns: Columns, part: ViewMut<'_>);
    fn put_columns(&self, part: View<'_>, columns: Columns, beta: f32, x: ViewMut<'_>);

    /// Rows are those of `w`'s length.
    fn norm(
        &self,
        kind: NormKind,
        x: View<'_>,
        w: View<'_>,
        bias: Option<View<'_>>,
        eps: f32,
        y: ViewMut<'_>,
        statistics: ViewMut<'_>,
    );
    fn add_norm(
        &self,
        kind: NormKind,
        x: View<'_>,
        delta: View<'_>,
        w: View<'_>,
        bias: Option<View<'_>>,
        eps: f32,
        sum: ViewMut<'_>,
        y: ViewMut<'_>,
        statistics: ViewMut<'_>,
    );
    fn norm_backward(
        &self,
        kind: NormKind,
        x: View<'_>,
        w: View<'_>,
        statistics: View<'_>,
        dy: View<'_>,
        dx: ViewMut<'_>,
        dx_beta: f32,
        dw: Option<ViewMut<'_>>,
    );
    fn rope(&self, x: View<'_>, y: ViewMut<'_>, heads: usize, head_size: usize, cos_sin: View<'_>, inverse: bool);
    fn activate(&self, activation: Activation, x: View<'_>, y: ViewMut<'_>);
    fn activate_backward(&self, activation: Activation, x: View<'_>, dy: View<'_>, dx: ViewMut<'_>);
    fn gated(&self, activation: Activation, gate: View<'_>, up: View<'_>, y: ViewMut<'_>);
    fn gated_backward(
        &self,
        activation: Activation,
        gate: View<'_>,
        up: View<'_>,
        dy: View<'_>,
        dgate: ViewMut<'_>,
        dup: ViewMut<'_>,
    );
    /// `table` may be packed.
    fn embed(&self, table: View<'_>, c: usize, ids: &[u32], out: ViewMut<'_>);
    fn embed_backward(&self, ids: &[u32], c: usize, dy: View<'_>, dtable: ViewMut<'_>);
    fn gather_rows(&self, x: View<'_>, c: usize, rows: &[u32], out: ViewMut<'_>);
    fn scatter_add_rows(&self, dy: View<'_>, c: usize, rows: &[u32], dx: ViewMut<'_>);
    fn dropout(&self, x: View<'_>, y: ViewMut<'_>, p: f32, key: u64);
    /// Returns the negative log-likelihood of each row's label; see the kernel for what becomes of `logits`.
    fn cross_entropy(
        &self,
        logits: ViewMut<'_>,
        v: usize,
        labels: &[u32],
        grad_scale: Option<f32>,
        cap: Option<f32>,
    ) -> Vec<f32>;
    /// Returns the expert of each slot of each row.
    fn route(&self, router: Router, logits: View<'_>, weights: ViewMut<'_>) -> Vec<u32>;
    fn route_backward(
        &self,
        router: Router,
        logits: View<'_>,
        weights: View<'_>,
        chosen: &[u32],
        dweights: View<'_>,
        dlogits: ViewMut<'_>,
    );
    fn mix(&self, parts: &[View<'_>], c: usize, sources: &[Source], weights: View<'_>, out: ViewMut<'_>);
    fn mix_backward_weights(
        &self,
        parts: &[View<'_>],
        c: usize,
        sources: &[Source],
        dout: View<'_>,
        dweights: ViewMut<'_>,
    );
    fn mix_backward_part(
        &self,
        dout: View<'_>,
        c: usize,
        weights: View<'_>,
        places: &[u32],
        k: usize,
        dpart: ViewMut<'_>,
    );
    fn attention(
        &self,
        q: View<'_>,
        k: View<'_>,
        v: View<'_>,
        shape: &AttentionShape,
        segments: &[Segment],
        out: ViewMut<'_>,
        lse: ViewMut<'_>,
    );
    fn attention_backward(
        &self,
        forward: AttentionForward<'_>,
        dout: View<'_>,
        shape: &AttentionShape,
        segments: &[Segment],
        dq: ViewMut<'_>,
        dk: ViewMut<'_>,
        dv: ViewMut<'_>,
    );
    fn adamw(&self, w: ViewMut<'_>, g: View<'_>, m: ViewMut<'_>, v: ViewMut<'_>, options: &AdamW);
    /// Codes and scales of first and second moment, of the lengths that the kernel's `lengths` gives.
    fn adamw_8bit(
        &self,
        w: ViewMut<'_>,
        g: View<'_>,
        codes: [ViewMut<'_>; 2],
        scales: [ViewMut<'_>; 2],
        options: &AdamW,
    );
}

/// What the forward of attention leaves for its backward.
#[derive(Clone, Debug)]
pub struct AttentionForward<'a> {
    /// Queries `[N, H*D]`.
    pub q: View<'a>,
    /// Keys `[M, K*D]`.
    pub k: View<'a>,
    /// Values `[M, K*D]`.
    pub v: View<'a>,
    /// The forward's result `[N, H*D]`.
    pub out: View<'a>,
    /// Log of the sum of exponentials of each query's scores `[N, H]`.
    pub lse: View<'a>,
}

/// A handle to a device; cheap to clone.
#[derive(Clone, Debug)]
pub struct Device(Arc<dyn Backend>);

impl Device {
    /// The CPU: f32, all threads of the global pool.
    pub fn cpu() -> Self {
        Self(Arc::new(Cpu::default()))
    }

    /// The counting device: no numbers, only bytes and operations.
    pub fn plan() -> Self {
        Self(Arc::new(Plan::default()))
    }

    /// `inner`, with every kernel timed: see [`Backend::profile`].
    pub fn profiled(inner: &Self) -> Self {
        Self(Arc::new(Profiled::new(inner)))
    }

    /// A device of your own.
    pub fn of(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }
}

impl std::ops::Deref for Device {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
