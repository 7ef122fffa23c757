//! The counting device: runs a model on shapes alone and counts bytes and operations, in the code that trains.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{AttentionShape, Segment};
use luthier_kernels::matmul::MatMul;
use luthier_kernels::packed::Packing;

use crate::device::{AttentionForward, Backend, Buffer, Memory, View, ViewMut, Work};
use crate::storage::Numbers;

/// Bytes in use and operations asked for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    memory: Arc<Tally>,
    products: AtomicU64,
    row_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Tally {
    current: AtomicUsize,
    peak: AtomicUsize,
}

/// A buffer without numbers: its count, given back when it is dropped.
#[derive(Debug)]
pub struct Counted {
    len: usize,
    bytes: usize,
    packing: Option<Packing>,
    read_only: bool,
    tally: Arc<Tally>,
}

impl Counted {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn packing(&self) -> Option<Packing> {
        self.packing
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.current.fetch_sub(self.bytes, Relaxed);
    }
}

impl Plan {
    fn count(&self, len: usize, bytes: usize, packing: Option<Packing>, read_only: bool) -> Buffer {
        let now = self.memory.current.fetch_add(bytes, Relaxed) + bytes;
        self.memory.peak.fetch_max(now, Relaxed);
        Buffer::Counted(Counted { len, bytes, packing, read_only, tally: Arc::clone(&self.memory) })
    }

    fn rows(&self, numbers: usize) {
        self.row_bytes.fetch_add(numbers as u64 * 4, Relaxed);
    }

    fn product(&self, m: usize, n: usize, k: usize) {
        self.products.fetch_add(2 * m as u64 * n as u64 * k as u64, Relaxed);
    }

    /// Score and value products of causal attention, `products` of them, per visible pair of query and key.
    fn attention_products(&self, products: u64, shape: &AttentionShape, segments: &[Segment]) {
        for segment in segments {
            let queries = segment.queries.len() as u64;
            let keys: u64 = segment.keys.iter().map(|range| range.len() as u64).sum();
            let visible = queries * (keys - queries) + queries * (queries + 1) / 2;
            let operations = products * 2 * visible * (shape.heads * shape.head_size) as u64;
            self.products.fetch_add(operations, Relaxed);
        }
    }
}

impl Backend for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    fn allocate(&self, len: usize) -> Buffer {
        self.count(len, len * 4, None, false)
    }

    fn upload(&self, data: &[f32]) -> Buffer {
        self.allocate(data.len())
    }

    fn adopt(&self, numbers: Numbers) -> Buffer {
        let (len, bytes) = (numbers.len(), numbers.bytes());
        match numbers {
            Numbers::Owned(_) => self.count(len, bytes, None, false),
            Numbers::Mapped(_) => self.count(len, bytes, None, true),
            Numbers::Packed(packed) => self.count(len, bytes, Some(packed.packing()), true),
        }
    }

    fn download(&self, from: View<'_>) -> Vec<f32> {
        vec![0.0; from.len()]
    }

    fn memory(&self) -> Memory {
        Memory { current: self.memory.current.load(Relaxed), peak: self.memory.peak.load(Relaxed) }
    }

    fn work(&self) -> Work {
        Work { product_operations: self.products.load(Relaxed), row_kernel_bytes: self.row_bytes.load(Relaxed) }
    }

    fn fill(&self, _: f32, to: ViewMut<'_>) {
        self.rows(to.len());
    }

    fn copy(&self, from: View<'_>, _: ViewMut<'_>) {
        self.rows(2 * from.len());
    }

    fn copy_to_rows(&self, from: View<'_>, _: usize, _: &[u32], _: ViewMut<'_>) {
        self.rows(2 * from.len());
    }

    fn matmul(&self, spec: &MatMul, _: View<'_>, _: View<'_>, _: ViewMut<'_>) {
        self.product(spec.m, spec.n, spec.k);
    }

    fn add_bias(&self, x: ViewMut<'_>, _: View<'_>) {
        self.rows(2 * x.len());
    }

    fn column_sums(&self, x: View<'_>, _: usize, _: ViewMut<'_>) {
        self.rows(x.len());
    }

    fn add(&self, x: View<'_>, _: View<'_>, _: ViewMut<'_>) {
        self.rows(3 * x.len());
    }

    fn add_assign(&self, acc: ViewMut<'_>, _: View<'_>) {
        self.rows(3 * acc.len());
    }

    fn scale(&self, x: ViewMut<'_>, _: f32) {
        self.rows(2 * x.len());
    }

    fn sum_of_squares(&self, x: View<'_>) -> f64 {
        self.rows(x.len());
        0.0
    }

    fn rms_norm(&self, x: View<'_>, _: View<'_>, _: f32, _: ViewMut<'_>, _: ViewMut<'_>) {
        self.rows(2 * x.len());
    }

    fn add_rms_norm(
        &self,
        x: View<'_>,
        _: View<'_>,
        _: View<'_>,
        _: f32,
        _: ViewMut<'_>,
        _: ViewMut<'_>,
        _: ViewMut<'_>,
    ) {
        self.rows(4 * x.len());
    }

    fn rms_norm_backward(
        &self,
        x: View<'_>,
        _: View<'_>,
        _: View<'_>,
        _: View<'_>,
        _: ViewMut<'_>,
        dx_beta: f32,
        _: Option<ViewMut<'_>>,
    ) {
        self.rows(if dx_beta == 0.0 { 3 } else { 4 } * x.len());
    }

    fn rope(&self, x: View<'_>, _: ViewMut<'_>, _: usize, _: usize, _: View<'_>, _: bool) {
        self.rows(2 * x.len());
    }

    fn swiglu(&self, gate: View<'_>, _: View<'_>, _: ViewMut<'_>) {
        self.rows(3 * gate.len());
    }

    fn swiglu_backward(&self, gate: View<'_>, _: View<'_>, _: View<'_>, _: ViewMut<'_>, _: ViewMut<'_>) {
        self.rows(5 * gate.len());
    }

    fn embed(&self, _: View<'_>, _: usize, _: &[u32], out: ViewMut<'_>) {
        self.rows(2 * out.len());
    }

    fn embed_backward(&self, _: &[u32], _: usize, dy: View<'_>, _: ViewMut<'_>) {
        self.rows(3 * dy.len());
    }

    fn gather_rows(&self, _: View<'_>, _: usize, _: &[u32], out: ViewMut<'_>) {
        self.rows(2 * out.len());
    }

    fn scatter_add_rows(&self, dy: View<'_>, _: usize, _: &[u32], _: ViewMut<'_>) {
        self.rows(3 * dy.len());
    }

    fn dropout(&self, x: View<'_>, _: ViewMut<'_>, _: f32, _: u64) {
        self.rows(2 * x.len());
    }

    fn cross_entropy(&self, logits: ViewMut<'_>, _: usize, labels: &[u32], grad_scale: Option<f32>) -> Vec<f32> {
        self.rows(if grad_scale.is_some() { 2 } else { 1 } * logits.len());
        vec![0.0; labels.len()]
    }

    fn attention(
        &self,
        q: View<'_>,
        _: View<'_>,
        _: View<'_>,
        shape: &AttentionShape,
        segments: &[Segment],
        _: ViewMut<'_>,
        _: ViewMut<'_>,
    ) {
        self.attention_products(2, shape, segments);
        self.rows(2 * q.len());
    }

    fn attention_backward(
        &self,
        forward: AttentionForward<'_>,
        _: View<'_>,
        shape: &AttentionShape,
        segments: &[Segment],
        _: ViewMut<'_>,
        _: ViewMut<'_>,
        _: ViewMut<'_>,
    ) {
        self.attention_products(5, shape, segments);
        self.rows(4 * forward.q.len());
    }

    fn adamw(&self, w: ViewMut<'_>, _: View<'_>, _: ViewMut<'_>, _: ViewMut<'_>, _: &AdamW) {
        self.rows(7 * w.len());
    }
}
