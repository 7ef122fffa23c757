//! The counting device: runs a model on shapes alone and counts bytes and operations, in the code that trains.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use luthier_kernels::activation::Activation;
use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{self, AttentionShape, Segment};
use luthier_kernels::experts::{Router, Source};
use luthier_kernels::matmul::{MatMul, scratch_len};
use luthier_kernels::norm::NormKind;
use luthier_kernels::split::Columns;
use luthier_kernels::threads;

use crate::device::{AttentionForward, Backend, Buffer, Memory, View, ViewMut, Work};
use crate::pool::Books;
use crate::storage::Numbers;

/// Bytes in use and operations asked for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    books: Arc<Books>,
    products: AtomicU64,
    row_bytes: AtomicU64,
    product_scratch: AtomicUsize,
    attention_scratch: AtomicUsize,
    row_scratch: AtomicUsize,
}

impl Plan {
    fn rows(&self, numbers: usize) {
        self.row_bytes.fetch_add(numbers as u64 * 4, Relaxed);
    }

    fn product(&self, m: usize, n: usize, k: usize) {
        self.product_scratch.fetch_max(scratch_len(m, k), Relaxed);
        self.products.fetch_add(2 * m as u64 * n as u64 * k as u64, Relaxed);
    }

    /// Score and value products of causal attention, `products` of them, per visible pair of query and key.
    fn attention_products(&self, products: u64, shape: &AttentionShape, segments: &[Segment]) {
        let scratch = attention::scratch_len(shape, segments, threads::parallelism());
        self.attention_scratch.fetch_max(scratch, Relaxed);
        for segment in segments {
            let operations = products * 2 * shape.visible_pairs(segment) * (shape.heads * shape.head_size) as u64;
            self.products.fetch_add(operations, Relaxed);
        }
    }
}

impl Backend for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    fn allocate(&self, len: usize) -> Buffer {
        Buffer::Counted(self.books.take(len))
    }

    fn upload(&self, data: &[f32]) -> Buffer {
        self.allocate(data.len())
    }

    fn adopt(&self, numbers: Numbers) -> Buffer {
        Buffer::Counted(self.books.hold(&numbers))
    }

    fn download(&self, from: View<'_>) -> Vec<f32> {
        vec![0.0; from.len()]
    }

    fn reserve(&self, bytes: usize) -> std::io::Result<()> {
        self.books.reserve(bytes);
        Ok(())
    }

    fn release(&self) {}

    fn memory(&self) -> Memory {
        let kinds = [&self.product_scratch, &self.attention_scratch, &self.row_scratch];
        let scratch: usize = kinds.iter().map(|kind| kind.load(Relaxed)).sum();
        Memory { scratch: 4 * scratch, ..self.books.usage() }
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

    fn scaled(&self, x: View<'_>, _: f32, _: ViewMut<'_>) {
        self.rows(2 * x.len());
    }

    fn softcap(&self, x: ViewMut<'_>, _: f32) {
        self.rows(2 * x.len());
    }

    fn take_columns(&self, _: View<'_>, _: Columns, part: ViewMut<'_>) {
        self.rows(2 * part.len());
    }

    fn put_columns(&self, part: View<'_>, _: Columns, beta: f32, _: ViewMut<'_>) {
        self.rows(if beta == 0.0 { 2 } else { 3 } * part.len());
    }

    fn norm(&self, _: NormKind, x: View<'_>, _: View<'_>, _: Option<View<'_>>, _: f32, _: ViewMut<'_>, _: ViewMut<'_>) {
        self.rows(2 * x.len());
    }

    fn add_norm(
        &self,
        _: NormKind,
        x: View<'_>,
        _: View<'_>,
        _: View<'_>,
        _: Option<View<'_>>,
        _: f32,
        _: ViewMut<'_>,
        _: ViewMut<'_>,
        _: ViewMut<'_>,
    ) {
        self.rows(4 * x.len());
    }

    fn norm_backward(
        &self,
        _: NormKind,
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

    fn activate(&self, _: Activation, x: View<'_>, _: ViewMut<'_>) {
        self.rows(2 * x.len());
    }

    fn activate_backward(&self, _: Activation, x: View<'_>, _: View<'_>, _: ViewMut<'_>) {
        self.rows(3 * x.len());
    }

    fn gated(&self, _: Activation, gate: View<'_>, _: View<'_>, _: ViewMut<'_>) {
        self.rows(3 * gate.len());
    }

    fn gated_backward(&self, _: Activation, gate: View<'_>, _: View<'_>, _: View<'_>, _: ViewMut<'_>, _: ViewMut<'_>) {
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

    fn cross_entropy(
        &self,
        logits: ViewMut<'_>,
        v: usize,
        labels: &[u32],
        grad_scale: Option<f32>,
        cap: Option<f32>,
    ) -> Vec<f32> {
        self.rows(if grad_scale.is_some() || cap.is_some() { 2 } else { 1 } * logits.len());
        if grad_scale.is_some() && cap.is_some() {
            // Each thread keeps a row of capped logits.
            self.row_scratch.fetch_max(v * threads::parallelism(), Relaxed);
        }
        vec![0.0; labels.len()]
    }

    /// As if the rows were spread evenly over the experts.
    fn route(&self, router: Router, logits: View<'_>, weights: ViewMut<'_>) -> Vec<u32> {
        self.rows(logits.len() + weights.len());
        (0..weights.len()).map(|place| (place % router.experts) as u32).collect()
    }

    fn route_backward(&self, _: Router, logits: View<'_>, weights: View<'_>, _: &[u32], _: View<'_>, _: ViewMut<'_>) {
        self.rows(2 * (logits.len() + weights.len()));
    }

    fn mix(&self, _: &[View<'_>], c: usize, sources: &[Source], _: View<'_>, out: ViewMut<'_>) {
        self.rows(sources.len() * c + out.len());
    }

    fn mix_backward_weights(&self, _: &[View<'_>], c: usize, sources: &[Source], dout: View<'_>, _: ViewMut<'_>) {
        self.rows(sources.len() * c + dout.len());
    }

    fn mix_backward_part(&self, _: View<'_>, _: usize, _: View<'_>, _: &[u32], _: usize, dpart: ViewMut<'_>) {
        self.rows(2 * dpart.len());
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

    fn adamw_8bit(&self, w: ViewMut<'_>, _: View<'_>, codes: [ViewMut<'_>; 2], scales: [ViewMut<'_>; 2], _: &AdamW) {
        let state: usize = codes.iter().chain(&scales).map(ViewMut::len).sum();
        self.rows(3 * w.len() + 2 * state);
    }
}
