//! The CPU device: every kernel is the one of `luthier_kernels`, on slices.

use std::sync::Arc;

use luthier_kernels as kernels;
use luthier_kernels::adamw::AdamW;
use luthier_kernels::attention::{AttentionShape, Segment};
use luthier_kernels::matmul::MatMul;

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

    fn rms_norm(&self, x: View<'_>, w: View<'_>, eps: f32, y: ViewMut<'_>, inv_rms: ViewMut<'_>) {
        kernels::norm::rms_norm(read(&x), read(&w), eps, write(y), write(inv_rms));
    }

    fn add_rms_norm(
        &self,
        x: View<'_>,
        delta: View<'_>,
        w: View<'_>,
        eps: f32,
        sum: ViewMut<'_>,
        y: ViewMut<'_>,
        inv_rms: ViewMut<'_>,
    ) {
        kernels::norm::add_rms_norm(read(&x), read(&delta), read(&w), eps, write(sum), write(y), write(inv_rms));
    }

    fn rms_norm_backward(
        &self,
        x: View<'_>,
        w: View<'_>,
        inv_rms: View<'_>,
        dy: View<'_>,
        dx: ViewMut<'_>,
        dx_beta: f32,
        dw: Option<ViewMut<'_>>,
    ) {
        kernels::norm::rms_norm_backward(
            read(&x),
            read(&w),
            read(&inv_rms),
            read(&dy),
            write(dx),
            dx_beta,
            dw.map(write),
        );
    }

    fn rope(&self, x: View<'_>, y: ViewMut<'_>, heads: usize, head_size: usize, cos_sin: View<'_>, inverse: bool) {
        kernels::rope::rope(read(&x), write(y), heads, head_size, read(&cos_sin), inverse);
    }

    fn swiglu(&self, gate: View<'_>, up: View<'_>, y: ViewMut<'_>) {
        kernels::swiglu::swiglu(read(&gate), read(&up), write(y));
    }

    fn swiglu_backward(&self, gate: View<'_>, up: View<'_>, dy: View<'_>, dgate: ViewMut<'_>, dup: ViewMut<'_>) {
        kernels::swiglu::swiglu_backward(read(&gate), read(&up), read(&dy), write(dgate), write(dup));
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

    fn cross_entropy(&self, logits: ViewMut<'_>, v: usize, labels: &[u32], grad_scale: Option<f32>) -> Vec<f32> {
        let mut nll = vec![0.0; labels.len()];
        kernels::cross_entropy::cross_entropy(write(logits), v, labels, &mut nll, grad_scale);
        nll
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
