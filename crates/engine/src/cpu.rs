//! The CPU device: every kernel is the one of `luthier_kernels`, on slices.

use std::sync::Arc;

use luthier_kernels as kernels;
use luthier_kernels::activation::Activation;
use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{AttentionShape, Segment};
use luthier_kernels::experts::{Router, Source};
use luthier_kernels::matmul::MatMul;
use luthier_kernels::norm::NormKind;
use luthier_kernels::split::Columns;

use crate::device::{
    AttentionForward, Backend, Buffer, CpuBlock, MappedBlock, Memory, PackedBlock, View, ViewMut, Work,
};
use crate::pool::Pool;
use crate::storage::{Numbers, Packed};

/// f32 arithmetic on all threads of the global pool.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    pool: Arc<Pool>,
}

fn read<'a>(view: &View<'a>) -> &'a [f32] {
    match view.buffer {
        Buffer::Cpu(block) => &block.0.as_slice()[view.range.clone()],
        Buffer::Mapped(block) => &block.numbers.as_slice()[view.range.clone()],
        Buffer::Packed(block) => panic!(
            "a weight packed as {:?} was given where f32 is read; products take it as b, embeddings as table",
            block.packed.packing()
        ),
        Buffer::Counted(_) => panic!("a buffer of the plan device was given to the cpu device"),
    }
}

/// The packed weight that a view shows, if it is one.
fn packed<'a>(view: &View<'a>) -> Option<&'a Packed> {
    match view.buffer {
        Buffer::Packed(block) => {
            assert_eq!(view.range, 0..block.packed.len(), "a part of a packed weight was asked for");
            Some(&block.packed)
        }
        _ => None,
    }
}

fn write<'a>(view: ViewMut<'a>) -> &'a mut [f32] {
    match view.buffer {
        Buffer::Cpu(block) => &mut block.0.as_mut_slice()[view.range],
        Buffer::Mapped(_) => panic!("numbers of a mapped file cannot be written; `Tensor::view_mut` copies them first"),
        Buffer::Packed(_) => panic!("a packed weight cannot be written: it is frozen"),
        Buffer::Counted(_) => panic!("a buffer of the plan device was given to the cpu device"),
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn allocate(&self, len: usize) -> Buffer {
        Buffer::Cpu(CpuBlock(self.pool.take(len)))
    }

    fn upload(&self, data: &[f32]) -> Buffer {
        let mut buffer = self.allocate(data.len());
        write(buffer.all_mut()).copy_from_slice(data);
        buffer
    }

    fn adopt(&self, numbers: Numbers) -> Buffer {
        match numbers {
            Numbers::Owned(data) => Buffer::Cpu(CpuBlock(self.pool.adopt(data))),
            Numbers::Mapped(numbers) => {
                let _held = self.pool.hold(size_of_val(numbers.as_slice()));
                Buffer::Mapped(MappedBlock { numbers, _held })
            }
            Numbers::Packed(packed) => {
                let _held = self.pool.hold(packed.bytes());
                Buffer::Packed(PackedBlock { packed, _held })
            }
            Numbers::Absent { .. } => panic!("numbers that are nowhere were given to the cpu device"),
        }
    }

    fn download(&self, from: View<'_>) -> Vec<f32> {
        match packed(&from) {
            Some(packed) => packed.unpack(),
            None => read(&from).to_vec(),
        }
    }

    fn reserve(&self, bytes: usize) -> std::io::Result<()> {
        self.pool.reserve(bytes)
    }

    fn release(&self) {
        self.pool.release();
    }

    fn memory(&self) -> Memory {
        self.pool.usage()
    }

    fn work(&self) -> Work {
        Work::default()
    }

    fn fill(&self, value: f32, to: ViewMut<'_>) {
        write(to).fill(value);
    }

    fn copy(&self, from: View<'_>, to: ViewMut<'_>) {
        write(to).copy_from_slice(read(&from));
    }

    fn copy_to_rows(&self, from: View<'_>, c: usize, rows: &[u32], to: ViewMut<'_>) {
        let to = write(to);
        for (source, &row) in read(&from).chunks_exact(c).zip(rows) {
            to[row as usize * c..][..c].copy_from_slice(source);
        }
    }

    fn matmul(&self, spec: &MatMul, a: View<'_>, b: View<'_>, c: ViewMut<'_>) {
        match packed(&b) {
            Some(b) => kernels::packed::matmul(spec, read(&a), &b.view(), write(c)),
            None => kernels::matmul::matmul(spec, read(&a), read(&b), write(c)),
        }
    }

    fn add_bias(&self, x: ViewMut<'_>, bias: View<'_>) {
        kernels::elementwise::add_bias(write(x), read(&bias));
    }

    fn column_sums(&self, x: View<'_>, c: usize, out: ViewMut<'_>) {
        kernels::elementwise::column_sums(read(&x), c, write(out));
    }

    fn add(&self, x: View<'_>, y: View<'_>, out: ViewMut<'_>) {
        kernels::elementwise::add(read(&x), read(&y), write(out));
    }

    fn add_assign(&self, acc: ViewMut<'_>, x: View<'_>) {
        kernels::elementwise::add_assign(write(acc), read(&x));
    }

    fn scale(&self, x: ViewMut<'_>, factor: f32) {
        kernels::elementwise::scale(write(x), factor);
    }

    fn sum_of_squares(&self, x: View<'_>) -> f64 {
        kernels::elementwise::sum_of_squares(read(&x))
    }

    fn scaled(&self, x: View<'_>, factor: f32, y: ViewMut<'_>) {
        kernels::elementwise::scaled(read(&x), factor, write(y));
    }

    fn softcap(&self, x: ViewMut<'_>, cap: f32) {
        kernels::softcap::softcap(write(x), cap);
    }

    fn take_columns(&self, x: View<'_>, columns: Columns, part: ViewMut<'_>) {
        kernels::split::take_columns(read(&x), &columns, write(part));
    }

    fn put_columns(&self, part: View<'_>, columns: Columns, beta: f32, x: ViewMut<'_>) {
        kernels::split::put_columns(read(&part), &columns, beta, write(x));
    }

    fn norm(
        &self,
        kind: NormKind,
        x: View<'_>,
        w: View<'_>,
        bias: Option<View<'_>>,
        eps: f32,
        y: ViewMut<'_>,
        statistics: ViewMut<'_>,
    ) {
        let bias = bias.as_ref().map(read);
        kernels::norm::norm(kind, read(&x), read(&w), bias, eps, write(y), write(statistics));
    }

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
    ) {
        let bias = bias.as_ref().map(read);
        let (sum, y, statistics) = (write(sum), write(y), write(statistics));
        kernels::norm::add_norm(kind, read(&x), read(&delta), read(&w), bias, eps, sum, y, statistics);
    }

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
    ) {
        let (statistics, dw) = (read(&statistics), dw.map(write));
        kernels::norm::norm_backward(kind, read(&x), read(&w), statistics, read(&dy), write(dx), dx_beta, dw);
    }

    fn rope(&self, x: View<'_>, y: ViewMut<'_>, heads: usize, head_size: usize, cos_sin: View<'_>, inverse: bool) {
        kernels::rope::rope(read(&x), write(y), heads, head_size, read(&cos_sin), inverse);
    }

    fn activate(&self, activation: Activation, x: View<'_>, y: ViewMut<'_>) {
        kernels::activation::activate(activation, read(&x), write(y));
    }

    fn activate_backward(&self, activation: Activation, x: View<'_>, dy: View<'_>, dx: ViewMut<'_>) {
        kernels::activation::activate_backward(activation, read(&x), read(&dy), write(dx));
    }

    fn gated(&self, activation: Activation, gate: View<'_>, up: View<'_>, y: ViewMut<'_>) {
        kernels::activation::gated(activation, read(&gate), read(&up), write(y));
    }

    fn gated_backward(
        &self,
        activation: Activation,
        gate: View<'_>,
        up: View<'_>,
        dy: View<'_>,
        dgate: ViewMut<'_>,
        dup: ViewMut<'_>,
    ) {
        let (gate, up, dy) = (read(&gate), read(&up), read(&dy));
        kernels::activation::gated_backward(activation, gate, up, dy, write(dgate), write(dup));
    }

    fn embed(&self, table: View<'_>, c: usize, ids: &[u32], out: ViewMut<'_>) {
        match packed(&table) {
            Some(table) => kernels::packed::embed(&table.view(), ids, write(out)),
            None => kernels::embed::embed(read(&table), c, ids, write(out)),
        }
    }

    fn embed_backward(&self, ids: &[u32], c: usize, dy: View<'_>, dtable: ViewMut<'_>) {
        kernels::embed::embed_backward(ids, c, read(&dy), write(dtable));
    }

    fn gather_rows(&self, x: View<'_>, c: usize, rows: &[u32], out: ViewMut<'_>) {
        kernels::embed::gather_rows(read(&x), c, rows, write(out));
    }

    fn scatter_add_rows(&self, dy: View<'_>, c: usize, rows: &[u32], dx: ViewMut<'_>) {
        kernels::embed::scatter_add_rows(read(&dy), c, rows, write(dx));
    }

    fn dropout(&self, x: View<'_>, y: ViewMut<'_>, p: f32, key: u64) {
        kernels::dropout::dropout(read(&x), write(y), p, key);
    }

    fn cross_entropy(
        &self,
        logits: ViewMut<'_>,
        v: usize,
        labels: &[u32],
        grad_scale: Option<f32>,
        cap: Option<f32>,
    ) -> Vec<f32> {
        let mut nll = vec![0.0; labels.len()];
        kernels::cross_entropy::cross_entropy(write(logits), v, labels, &mut nll, grad_scale, cap);
        nll
    }

    fn route(&self, router: Router, logits: View<'_>, weights: ViewMut<'_>) -> Vec<u32> {
        let mut chosen = vec![0; weights.len()];
        kernels::experts::route(&router, read(&logits), write(weights), &mut chosen);
        chosen
    }

    fn route_backward(
        &self,
        router: Router,
        logits: View<'_>,
        weights: View<'_>,
        chosen: &[u32],
        dweights: View<'_>,
        dlogits: ViewMut<'_>,
    ) {
        let (logits, weights, dweights) = (read(&logits), read(&weights), read(&dweights));
        kernels::experts::route_backward(&router, logits, weights, chosen, dweights, write(dlogits));
    }

    fn mix(&self, parts: &[View<'_>], c: usize, sources: &[Source], weights: View<'_>, out: ViewMut<'_>) {
        let parts: Vec<&[f32]> = parts.iter().map(read).collect();
        kernels::experts::mix(&parts, c, sources, read(&weights), write(out));
    }

    fn mix_backward_weights(
        &self,
        parts: &[View<'_>],
        c: usize,
        sources: &[Source],
        dout: View<'_>,
        dweights: ViewMut<'_>,
    ) {
        let parts: Vec<&[f32]> = parts.iter().map(read).collect();
        kernels::experts::mix_backward_weights(&parts, c, sources, read(&dout), write(dweights));
    }

    fn mix_backward_part(
        &self,
        dout: View<'_>,
        c: usize,
        weights: View<'_>,
        places: &[u32],
        k: usize,
        dpart: ViewMut<'_>,
    ) {
        kernels::experts::mix_backward_part(read(&dout), c, read(&weights), places, k, write(dpart));
    }

    fn attention(
        &self,
        q: View<'_>,
        k: View<'_>,
        v: View<'_>,
        shape: &AttentionShape,
        segments: &[Segment],
        out: ViewMut<'_>,
        lse: ViewMut<'_>,
    ) {
        kernels::attention::attention(read(&q), read(&k), read(&v), shape, segments, write(out), write(lse));
    }

    fn attention_backward(
        &self,
        forward: AttentionForward<'_>,
        dout: View<'_>,
        shape: &AttentionShape,
        segments: &[Segment],
        dq: ViewMut<'_>,
        dk: ViewMut<'_>,
        dv: ViewMut<'_>,
    ) {
        kernels::attention::attention_backward(
            read(&forward.q),
            read(&forward.k),
            read(&forward.v),
            read(&forward.out),
            read(&forward.lse),
            read(&dout),
            shape,
            segments,
            write(dq),
            write(dk),
            write(dv),
        );
    }

    fn adamw(&self, w: ViewMut<'_>, g: View<'_>, m: ViewMut<'_>, v: ViewMut<'_>, options: &AdamW) {
        kernels::adamw::adamw(write(w), read(&g), write(m), write(v), options);
    }

    fn adamw_8bit(
        &self,
        w: ViewMut<'_>,
        g: View<'_>,
        codes: [ViewMut<'_>; 2],
        scales: [ViewMut<'_>; 2],
        options: &AdamW,
    ) {
        kernels::adamw_8bit(write(w), read(&g), codes.map(write), scales.map(write), options);
    }
}
