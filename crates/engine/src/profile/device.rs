//! The device itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use luthier_kernels::activation::Activation;
use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{AttentionShape, Segment};
use luthier_kernels::experts::{Router, Source};
use luthier_kernels::matmul::MatMul;
use luthier_kernels::norm::NormKind;
use luthier_kernels::split::Columns;

use super::{ProductShape, Profile, ProfileRow, Spent};
use crate::device::{AttentionForward, Backend, Buffer, Device, Memory, View, ViewMut, Work};
use crate::plan::Plan;
use crate::storage::Numbers;

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
    Option<View<'a>> => Option<View<'s>>, view => view.clone();
    Option<ViewMut<'a>> => Option<ViewMut<'s>>, view => view.as_mut().map(ViewMut::reborrow);
    [ViewMut<'a>; 2] => [ViewMut<'s>; 2], views => views.each_mut().map(|view| view.reborrow());
    AttentionForward<'a> => AttentionForward<'s>, forward => forward.clone();
    &'a [Source] => &'s [Source], slice => slice;
    &'a [u32] => &'s [u32], slice => slice;
    &'a [Segment] => &'s [Segment], slice => slice;
    &'a AttentionShape => &'s AttentionShape, shape => shape;
    &'a AdamW => &'s AdamW, options => options;
}

impl<'b> Again for &[View<'b>] {
    type Again<'s>
        = &'s [View<'b>]
    where
        Self: 's;
    fn again(&mut self) -> &[View<'b>] {
        self
    }
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

again_by_copy!(f32, usize, u64, bool, Option<f32>, Activation, Columns, NormKind, Router);

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
        fn scaled(x: View<'_>, factor: f32, y: ViewMut<'_>);
        fn softcap(x: ViewMut<'_>, cap: f32);
        fn take_columns(x: View<'_>, columns: Columns, part: ViewMut<'_>);
        fn put_columns(part: View<'_>, columns: Columns, beta: f32, x: ViewMut<'_>);
        fn norm(
            kind: NormKind,
            x: View<'_>,
            w: View<'_>,
            bias: Option<View<'_>>,
            eps: f32,
            y: ViewMut<'_>,
            statistics: ViewMut<'_>,
        );
        fn add_norm(
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
            kind: NormKind,
            x: View<'_>,
            w: View<'_>,
            statistics: View<'_>,
            dy: View<'_>,
            dx: ViewMut<'_>,
            dx_beta: f32,
            dw: Option<ViewMut<'_>>,
        );
        fn rope(x: View<'_>, y: ViewMut<'_>, heads: usize, head_size: usize, cos_sin: View<'_>, inverse: bool);
        fn activate(activation: Activation, x: View<'_>, y: ViewMut<'_>);
        fn activate_backward(activation: Activation, x: View<'_>, dy: View<'_>, dx: ViewMut<'_>);
        fn gated(activation: Activation, gate: View<'_>, up: View<'_>, y: ViewMut<'_>);
        fn gated_backward(
            activation: Activation,
            gate: View<'_>,
            up: View<'_>,
            dy: View<'_>,
            dgate: ViewMut<'_>,
            dup: ViewMut<'_>,
        );
        fn embed(table: View<'_>, c: usize, ids: &[u32], out: ViewMut<'_>);
        fn embed_backward(ids: &[u32], c: usize, dy: View<'_>, dtable: ViewMut<'_>);
        fn gather_rows(x: View<'_>, c: usize, rows: &[u32], out: ViewMut<'_>);
        fn scatter_add_rows(dy: View<'_>, c: usize, rows: &[u32], dx: ViewMut<'_>);
        fn dropout(x: View<'_>, y: ViewMut<'_>, p: f32, key: u64);
        fn cross_entropy(
            logits: ViewMut<'_>,
            v: usize,
            labels: &[u32],
            grad_scale: Option<f32>,
            cap: Option<f32>,
        ) -> Vec<f32>;
        fn route(router: Router, logits: View<'_>, weights: ViewMut<'_>) -> Vec<u32>;
        fn route_backward(
            router: Router,
            logits: View<'_>,
            weights: View<'_>,
            chosen: &[u32],
            dweights: View<'_>,
            dlogits: ViewMut<'_>,
        );
        fn mix(parts: &[View<'_>], c: usize, sources: &[Source], weights: View<'_>, out: ViewMut<'_>);
        fn mix_backward_weights(
            parts: &[View<'_>],
            c: usize,
            sources: &[Source],
            dout: View<'_>,
            dweights: ViewMut<'_>,
        );
        fn mix_backward_part(
            dout: View<'_>,
            c: usize,
            weights: View<'_>,
            places: &[u32],
            k: usize,
            dpart: ViewMut<'_>,
        );
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
