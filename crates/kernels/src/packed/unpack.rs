//! From codes and scales to single precision.

use std::ops::Range;

use super::{NF4_BLOCK, NF4_LEVELS, PackedView, Packing};
use crate::simd::vectorised;
use crate::threads::{self, row_chunk, rows_of};

/// The numbers of some rows: `out: [rows.len(), cols]`.
pub fn unpack_rows(view: &PackedView<'_>, rows: Range<usize>, out: &mut [f32]) {
    assert!(rows.start <= rows.end && rows.end <= view.rows, "unpack_rows: rows {rows:?} of {}", view.rows);
    assert_eq!(out.len(), rows.len() * view.cols, "unpack_rows: length of out");
    let (first, cols) = (rows.start, view.cols);
    threads::rows(rows.len(), row_chunk(cols), rows_of(out, cols), |r, out| {
        unpack_part(view, first + r.start..first + r.end, 0..cols, out.data);
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
            unpack_part(table, row..row + 1, 0..cols, &mut out.data[i * cols..][..cols]);
        }
    });
}

/// Columns at which a part of a weight may begin: groups of every packing begin there.
pub(super) const PART: usize = 128;

/// Some columns of some rows, on this thread: `out: [rows.len(), cols.len()]`. `cols` begins at a multiple of [`PART`].
pub(super) fn unpack_part(view: &PackedView<'_>, rows: Range<usize>, cols: Range<usize>, out: &mut [f32]) {
    debug_assert!(cols.start.is_multiple_of(PART) && cols.end <= view.cols);
    let (packing, width) = (view.packing, cols.len());
    let (bytes, groups) = match packing {
        Packing::Bf16 => (2 * cols.start..2 * cols.end, 0..0),
        Packing::Int8 => (cols.start..cols.end, cols.start / 128..cols.end.div_ceil(128)),
        Packing::Nf4 => (cols.start / 2..cols.end.div_ceil(2), cols.start / 64..cols.end.div_ceil(64)),
    };
    for (i, row) in rows.enumerate() {
        let (codes, scales) = view.row(row);
        let (codes, scales, out) = (&codes[bytes.clone()], &scales[groups.clone()], &mut out[i * width..][..width]);
        match packing {
            Packing::Bf16 => bf16_row(codes, out),
            Packing::Int8 => int8_row(codes, scales, out),
            Packing::Nf4 => nf4_row(codes, scales, out),
        }
    }
}

vectorised! {
    fn bf16_row(codes: &[u8], out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(codes.as_chunks::<2>().0) {
            *out = f32::from_bits(u32::from(u16::from_le_bytes(*code)) << 16);
        }
    }

    fn int8_row(codes: &[u8], scales: &[f32], out: &mut [f32]) {
        for ((out, codes), scale) in out.chunks_mut(128).zip(codes.chunks(128)).zip(scales) {
            for (out, code) in out.iter_mut().zip(codes) {
                *out = f32::from(*code as i8) * scale;
            }
        }
    }

    fn nf4_row(codes: &[u8], scales: &[f32], out: &mut [f32]) {
        for ((out, codes), scale) in out.chunks_mut(64).zip(codes.chunks(32)).zip(scales) {
            for (out, codes) in out.chunks_mut(NF4_BLOCK).zip(codes.chunks(NF4_BLOCK / 2)) {
                let (low, high) = out.split_at_mut(codes.len());
                for (out, code) in low.iter_mut().zip(codes) {
                    *out = NF4_LEVELS[usize::from(code & 15)] * scale;
                }
                for (out, code) in high.iter_mut().zip(codes) {
                    *out = NF4_LEVELS[usize::from(code >> 4)] * scale;
                }
            }
        }
    }
}
