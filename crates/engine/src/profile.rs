//! The profiling device: another device's kernels, each timed by name; products also by shape.
//!
//! What a kernel computes and moves is asked of the counting device, so that a profile and a plan agree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{AttentionShape, Segment};
use luthier_kernels::matmul::MatMul;

use crate::device::{AttentionForward, Backend, Buffer, Device, Memory, View, ViewMut, Work};
use crate::plan::Plan;
use crate::storage::Numbers;

/// What a device did since it was made, kernel by kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Time since the device was made, or between two profiles.
    pub elapsed: Duration,
    /// One for each kernel and shape of product, in order of their names.
    pub rows: Vec<ProfileRow>,
}

/// The calls of one kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProfileRow {
    /// The kernel's name in [`Backend`].
    pub op: &'static str,
    /// Of a matrix product: its shape.
    pub product: Option<ProductShape>,
    /// What its calls took and did together.
    pub spent: Spent,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How many there were.
    pub calls: u64,
    /// Time inside them.
    pub time: Duration,
    /// Multiplications and additions of products, those of attention too.
    pub product_operations: u64,
    /// Bytes of their operands and results, each read or written once.
    pub bytes: u64,
}

/// A class of matrix products, `c[m, n] = a[m, k] b[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProductShape {
    /// How the operands lie.
    pub kind: ProductKind,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
}

/// How the operands of a product lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProductKind {
    /// `b` stored `[n, k]`: activations by a weight, in the forward.
    Nt,
    /// Both as they stand: the gradient of activations.
    Nn,
    /// `a` stored `[k, m]`: the gradient of a weight.
    Tn,
    /// Some other way.
    Strided,
}

impl fmt::Display for ProductKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nt => "nt",
            Self::Nn => "nn",
            Self::Tn => "tn",
            Self::Strided => "strided",
        })
    }
}

impl ProductShape {
    fn of(spec: &MatMul) -> Self {
        let &MatMul { m, n, k, a_strides, b_strides, .. } = spec;
        let kind = match (a_strides, b_strides) {
            (a, b) if a == (k, 1) && b == (1, k) => ProductKind::Nt,
            (a, b) if a == (k, 1) && b == (n, 1) => ProductKind::Nn,
            (a, b) if a == (1, m) && b == (n, 1) => ProductKind::Tn,
            _ => ProductKind::Strided,
        };
        Self { kind, m, n, k }
    }
}

impl Profile {
    /// What came between `earlier` and this, two profiles of one device.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |row: &ProfileRow| {
            earlier.rows.iter().find(|other| (other.op, other.product) == (row.op, row.product)).map(|row| row.spent)
        };
        let rows = self.rows.iter().filter_map(|row| {
            let spent = row.spent.minus(&before(row).unwrap_or_default());
            (spent.calls > 0).then_some(ProfileRow { spent, ..*row })
        });
        Self { elapsed: self.elapsed.saturating_sub(earlier.elapsed), rows: rows.collect() }
    }

    /// Time inside the device's kernels.
    pub fn in_kernels(&self) -> Duration {
        self.rows.iter().map(|row| row.spent.time).sum()
    }

    /// Time outside of them.
    pub fn elsewhere(&self) -> Duration {
        self.elapsed.saturating_sub(self.in_kernels())
    }
}

impl Spent {
    fn minus(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            time: self.time.saturating_sub(earlier.time),
            product_operations: self.product_operations - earlier.product_operations,
            bytes: self.bytes - earlier.bytes,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            time: self.time + other.time,
            product_operations: self.product_operations + other.product_operations,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// A device whose kernels are timed.
#[derive(Debug)]
pub(crate) struct Profiled {
    inner: Device,
    spent: Mutex<BTreeMap<(&'static str, Option<ProductShape>), Spent>>,
    since: Instant,
}

impl Profiled {
    pub(crate) fn new(inner: &Device) -> Self {
        Self { inner: inner.clone(), spent: Mutex::default(), since: Instant::now() }
    }

    /// Runs a kernel; `work` is what the counting device made of the same call.
    fn time<T>(
        &self,
        op: &'static str,
        product: Option<ProductShape>,
        work: Work,
        kernel: impl FnOnce(&Device) -> T,
    ) -> T {
        let started = Instant::now();
        let result = kernel(&self.inner);
        let call = Spent {
            calls: 1,
            time: started.elapsed(),
            product_operations: work.product_operations,
            bytes: work.row_kernel_bytes,
        };
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = spent.entry((op, product)).or_default();
        *sum = sum.plus(&call);
        result
    }
}

/// The bytes of so many numbers.
fn moved(numbers: usize) -> Work {
    Work { product_operations: 0, row_kernel_bytes: numbers as u64 * 4 }
}

/// An argument that two devices are given, one after the other.
trait Again {
    type Again<'s>
    where
        Self: 's;
    fn again(&mut self) -> Self::Again<'_>;
}

macro_rules! again {
    ($($ty:ty => $again:ty, $this:ident => $value:expr;)+) => {$(
        impl<'a> Again for $ty {
            type Again<'s> = $again where Self: 's;
            fn again(&mut self) -> Self::Again<'_> {
                let $this = self;
                $value
            }
        }
    )+};
}

again! {
    View<'a> => View<'s>, view => view.clone();
    ViewMut<'a> => ViewMut<'s>, view => view.reborrow();
    Option<ViewMut<'a>> => Option<ViewMut<'s>>, view => view.as_mut().map(ViewMut::reborrow);
    [ViewMut<'a>; 2] => [ViewMut<'s>; 2], views => views.each_mut().map(|view| view.reborrow());
    AttentionForward<'a> => AttentionForward<'s>, forward => forward.clone();
    &'a [u32] => &'s [u32], slice => slice;
    &'a [Segment] => &'s [Segment], slice => slice;
    &'a AttentionShape => &'s AttentionShape, shape => shape;
    &'a AdamW => &'s AdamW, options => options;
}

macro_rules! again_by_copy {
    ($($ty:ty),+) => {$(
        impl Again for $ty {
            type Again<'s> = Self;
            fn again(&mut self) -> Self {
                *self
            }
        }
    )+};
}

again_by_copy!(f32, usize, u64, bool, Option<f32>);

/// Kernels that are known by their names alone.
macro_rules! timed {
    ($(fn $name:ident($($arg:ident: $ty:ty),+ $(,)?) $(-> $ret:ty)?;)+) => {$(
        fn $name(&self, $(mut $arg: $ty),+) $(-> $ret)? {
            let counter = Plan::default();
            counter.$name($($arg.again()),+);
            self.time(stringify!($name), None, counter.work(), |inner| inner.$name($($arg),+))
        }
    )+};
}

impl Backend for Profiled {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn reserve(&self, bytes: usize) -> std::io::Result<()> {
        self.inner.reserve(bytes)
    }

    fn release(&self) {
        self.inner.release();
    }

    fn memory(&self) -> Memory {
        self.inner.memory()
    }

    fn work(&self) -> Work {
        self.inner.work()
    }

    fn profile(&self) -> Option<Profile> {
        let elapsed = self.since.elapsed();
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = spent.iter().map(|(&(op, product), &spent)| ProfileRow { op, product, spent });
        Some(Profile { elapsed, rows: rows.collect() })
    }

    fn allocate(&self, len: usize) -> Buffer {
        self.time("allocate", None, moved(0), |inner| inner.allocate(len))
    }

    fn upload(&self, data: &[f32]) -> Buffer {
        self.time("upload", None, moved(data.len()), |inner| inner.upload(data))
    }

    fn adopt(&self, numbers: Numbers) -> Buffer {
        self.time("adopt", None, moved(0), |inner| inner.adopt(numbers))
    }

    fn download(&self, from: View<'_>) -> Vec<f32> {
        self.time("download", None, moved(from.len()), |inner| inner.download(from))
    }

    fn matmul(&self, spec: &MatMul, a: View<'_>, b: View<'_>, c: ViewMut<'_>) {
        let counter = Plan::default();
        let mut c = c;
        counter.matmul(spec, a.clone(), b.clone(), c.reborrow());
        let written = if spec.beta == 0.0 { 1 } else { 2 } * spec.m * spec.n;
        let bytes = (a.len() + written) * 4 + b.bytes();
        let work = Work { row_kernel_bytes: bytes as u64, ..counter.work() };
        self.time("matmul", Some(ProductShape::of(spec)), work, |inner| inner.matmul(spec, a, b, c));
    }

    timed! {
        fn fill(value: f32, to: ViewMut<'_>);
        fn copy(from: View<'_>, to: ViewMut<'_>);
        fn copy_to_rows(from: View<'_>, c: usize, rows: &[u32], to: ViewMut<'_>);
        fn add_bias(x: ViewMut<'_>, bias: View<'_>);
        fn column_sums(x: View<'_>, c: usize, out: ViewMut<'_>);
        fn add(x: View<'_>, y: View<'_>, out: ViewMut<'_>);
        fn add_assign(acc: ViewMut<'_>, x: View<'_>);
        fn scale(x: ViewMut<'_>, factor: f32);
        fn sum_of_squares(x: View<'_>) -> f64;
        fn rms_norm(x: View<'_>, w: View<'_>, eps: f32, y: ViewMut<'_>, inv_rms: ViewMut<'_>);
        fn add_rms_norm(
            x: View<'_>,
            delta: View<'_>,
            w: View<'_>,
            eps: f32,
            sum: ViewMut<'_>,
            y: ViewMut<'_>,
            inv_rms: ViewMut<'_>,
        );
        fn rms_norm_backward(
            x: View<'_>,
            w: View<'_>,
            inv_rms: View<'_>,
            dy: View<'_>,
            dx: ViewMut<'_>,
            dx_beta: f32,
            dw: Option<ViewMut<'_>>,
        );
        fn rope(x: View<'_>, y: ViewMut<'_>, heads: usize, head_size: usize, cos_sin: View<'_>, inverse: bool);
        fn swiglu(gate: View<'_>, up: View<'_>, y: ViewMut<'_>);
        fn swiglu_backward(gate: View<'_>, up: View<'_>, dy: View<'_>, dgate: ViewMut<'_>, dup: ViewMut<'_>);
        fn embed(table: View<'_>, c: usize, ids: &[u32], out: ViewMut<'_>);
        fn embed_backward(ids: &[u32], c: usize, dy: View<'_>, dtable: ViewMut<'_>);
        fn gather_rows(x: View<'_>, c: usize, rows: &[u32], out: ViewMut<'_>);
        fn scatter_add_rows(dy: View<'_>, c: usize, rows: &[u32], dx: ViewMut<'_>);
        fn dropout(x: View<'_>, y: ViewMut<'_>, p: f32, key: u64);
        fn cross_entropy(logits: ViewMut<'_>, v: usize, labels: &[u32], grad_scale: Option<f32>) -> Vec<f32>;
        fn attention(
            q: View<'_>,
            k: View<'_>,
            v: View<'_>,
            shape: &AttentionShape,
            segments: &[Segment],
            out: ViewMut<'_>,
            lse: ViewMut<'_>,
        );
        fn attention_backward(
            forward: AttentionForward<'_>,
            dout: View<'_>,
            shape: &AttentionShape,
            segments: &[Segment],
            dq: ViewMut<'_>,
            dk: ViewMut<'_>,
            dv: ViewMut<'_>,
        );
        fn adamw(w: ViewMut<'_>, g: View<'_>, m: ViewMut<'_>, v: ViewMut<'_>, options: &AdamW);
        fn adamw_8bit(
            w: ViewMut<'_>,
            g: View<'_>,
            codes: [ViewMut<'_>; 2],
            scales: [ViewMut<'_>; 2],
            options: &AdamW,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::{Grads, Linear, Tape, Tensor, Var};

    /// Two norms and a map of one input: the gradients, end to end.
    fn gradients(device: &Device) -> Vec<f32> {
        let check = Check::new().param("w", 6, 10).param("norm", 1, 10);
        let params = check.params();
        let (w, norm) = (params.find("w").unwrap(), params.find("norm").unwrap());
        let mut tape = Tape::training(device, params);
        let numbers: Vec<f32> = (0..50).map(|i| (i as f32).sin()).collect();
        let x = Var::constant(Tensor::from_slice(device, 5, 10, &numbers));
        let x = tape.rms_norm(&x, norm, 1e-5);
        let x = tape.rms_norm(&x, norm, 1e-5);
        let y = tape.linear(&x, &Linear { weight: w, bias: None, low_rank: None });
        let mut grads = Grads::zeros(device, params);
        let seed = y.tensor.clone();
        tape.backward(&y, seed, &mut grads);
        device.download(grads.flat())
    }

    #[test]
    fn a_profiled_device_computes_the_same_bits_and_its_times_add_up() {
        let plain = Device::cpu();
        assert_eq!(plain.profile(), None);
        let device = Device::profiled(&plain);
        assert_eq!(gradients(&device), gradients(&plain));
        assert_eq!(device.memory(), plain.memory());

        let profile = device.profile().unwrap();
        let calls = |op: &str| profile.rows.iter().filter(|row| row.op == op).map(|row| row.spent.calls).sum::<u64>();
        assert_eq!((calls("rms_norm"), calls("rms_norm_backward"), calls("matmul")), (2, 2, 3));
        assert!(profile.in_kernels() > Duration::ZERO && profile.in_kernels() <= profile.elapsed);
        assert_eq!(profile.in_kernels() + profile.elsewhere(), profile.elapsed);
    }

    #[test]
    fn products_are_told_apart_by_shape_and_counted_as_the_counting_device_counts_them() {
        let device = Device::profiled(&Device::plan());
        gradients(&device);
        let profile = device.profile().unwrap();
        let product = |kind, m, n, k| {
            let shape = Some(ProductShape { kind, m, n, k });
            profile.rows.iter().find(|row| row.product == shape).expect("that product was computed").spent
        };
        for spent in
            [product(ProductKind::Nt, 5, 6, 10), product(ProductKind::Nn, 5, 10, 6), product(ProductKind::Tn, 6, 10, 5)]
        {
            assert_eq!((spent.calls, spent.product_operations), (1, 600));
        }
        let operations: u64 = profile.rows.iter().map(|row| row.spent.product_operations).sum();
        let products = |row: &&ProfileRow| row.product.is_some();
        let bytes: u64 = profile.rows.iter().filter(|row| !products(row)).map(|row| row.spent.bytes).sum();
        assert_eq!(operations, device.work().product_operations);
        // Uploads and downloads are no kernels: the counting device does not count them.
        let transfers = 4 * (50 + 70);
        assert_eq!(bytes, device.work().row_kernel_bytes + transfers);
    }

    #[test]
    fn the_difference_of_two_profiles_holds_only_what_came_between() {
        let device = Device::profiled(&Device::plan());
        gradients(&device);
        let before = device.profile().unwrap();
        let zeros = Tensor::zeros(&device, 2, 2);
        let between = device.profile().unwrap().since(&before);
        let ops: Vec<&str> = between.rows.iter().map(|row| row.op).collect();
        assert_eq!(ops, ["allocate", "fill"]);
        assert!(between.rows.iter().all(|row| row.spent.calls == 1));
        drop(zeros);
    }
}
