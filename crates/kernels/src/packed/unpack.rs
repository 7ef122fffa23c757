//! From codes and scales to single precision.

use std::ops::Range;

use super::codec::{self, BF16, BLOCK, INT8, NF4};
use super::{PackedView, Packing};
use crate::simd::{LANES, Vector, vectorised};
use crate::threads::{self, row_chunk, rows_of};

/// The numbers of some rows: `out: [rows.len(), cols]`.
pub fn unpack_rows(view: &PackedView<'_>, rows: Range<usize>, out: &mut [f32]) {
    assert!(rows.start <= rows.end && rows.end <= view.rows, "unpack_rows: rows {rows:?} of {}", view.rows);
    assert_eq!(out.len(), rows.len() * view.cols, "unpack_rows: length of out");
    let (first, cols) = (rows.start, view.cols);
    threads::rows(rows.len(), row_chunk(cols), rows_of(out, cols), |r, out| {
        unpack_part(view, first + r.start..first + r.end, 0..cols, out.data, cols);
    });
}

/// `out[i] = table[ids[i]]`: `out: [ids.len(), cols]`.
pub fn embed(table: &PackedView<'_>, ids: &[u32], out: &mut [f32]) {
    assert_eq!(out.len(), ids.len() * table.cols, "embed: elements for {} rows of {}", ids.len(), table.cols);
    if let Some(id) = ids.iter().find(|&&id| id as usize >= table.rows) {
        panic!("embed: row {id} of a table of {} rows", table.rows);
    }
    let cols = table.cols;
    threads::rows(ids.len(), row_chunk(cols), rows_of(out, cols), |r, out| {
        for (i, &id) in ids[r].iter().enumerate() {
            let row = id as usize;
            unpack_part(table, row..row + 1, 0..cols, &mut out.data[i * cols..], cols);
        }
    });
}

/// Some columns of some rows, on this thread: `out: [rows.len(), cols.len()]`, its rows `stride` apart. `cols` begins at a
/// multiple of [`BLOCK`].
pub(super) fn unpack_part(
    view: &PackedView<'_>,
    rows: Range<usize>,
    cols: Range<usize>,
    out: &mut [f32],
    stride: usize,
) {
    debug_assert!(cols.start.is_multiple_of(BLOCK) && cols.end <= view.cols);
    let (packing, first) = (view.packing, cols.start / BLOCK);
    let bytes = packing.row_bytes(cols.start)..packing.row_bytes(cols.end);
    for (i, row) in rows.enumerate() {
        let (codes, scales) = view.row(row);
        let (codes, out) = (&codes[bytes.clone()], &mut out[i * stride..][..cols.len()]);
        match packing {
            Packing::Bf16 => bf16_row(codes, scales, first, out),
            Packing::Int8 => int8_row(codes, scales, first, out),
            Packing::Nf4 => nf4_row(codes, scales, first, out),
        }
    }
}

vectorised! {
    fn bf16_row(codes: &[u8], scales: &[f32], first: usize, out: &mut [f32]) {
        unpack_row::<V, BF16, 64>(codes, scales, first, out);
    }

    fn int8_row(codes: &[u8], scales: &[f32], first: usize, out: &mut [f32]) {
        unpack_row::<V, INT8, 32>(codes, scales, first, out);
    }

    fn nf4_row(codes: &[u8], scales: &[f32], first: usize, out: &mut [f32]) {
        unpack_row::<V, NF4, 16>(codes, scales, first, out);
    }
}

/// A row, or a part of it that begins at block `first`; `scales` are those of the whole row. `B`: bytes of a block of the
/// packing `P`.
#[inline(always)]
fn unpack_row<V: Vector, const P: usize, const B: usize>(codes: &[u8], scales: &[f32], first: usize, out: &mut [f32]) {
    let key = |block: usize| codec::key::<V, P>(scales, (first + block) / codec::group_blocks(P));
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let (code_blocks, code_rest) = codes.split_at(blocks.len() * B);
    for (at, (out, codes)) in blocks.iter_mut().zip(code_blocks.as_chunks::<B>().0).enumerate() {
        unpack_block::<V, P>(codes, key(at), out);
    }
    if !rest.is_empty() {
        let (mut codes, mut numbers) = ([0; B], [0.0; BLOCK]);
        codes[..code_rest.len()].copy_from_slice(code_rest);
        unpack_block::<V, P>(&codes, key(blocks.len()), &mut numbers);
        // The second vector begins where the columns of the first end.
        let cut = codec::cut(P, rest.len());
        let (low, high) = rest.split_at_mut(cut);
        low.copy_from_slice(&numbers[..cut]);
        high.copy_from_slice(&numbers[LANES..LANES + high.len()]);
    }
}

#[inline(always)]
fn unpack_block<V: Vector, const P: usize>(codes: &[u8], key: V, out: &mut [f32; BLOCK]) {
    let (low, high) = codec::widen::<V, P>(codes, key);
    let (halves, _) = out.as_chunks_mut::<LANES>();
    low.store(&mut halves[0]);
    high.store(&mut halves[1]);
}
