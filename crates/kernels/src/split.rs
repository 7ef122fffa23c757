//! Parts of the columns of rows: what one product computed together, taken apart.
//!
//! A row is `groups` groups of `group_width` columns; a part has of each group the same `width` columns. With one group
//! these are the queries, keys and values of phi3's `qkv_proj`; with a group for each head those of gpt_neox's and bloom's
//! `query_key_value`.

use crate::elementwise::add_assign_here;
use crate::threads::{self, row_chunk, rows_of};

/// Which columns of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Groups of a row.
    pub groups: usize,
    /// Columns of a group.
    pub group_width: usize,
    /// The first column of the part in each group.
    pub start: usize,
    /// Columns of the part in each group.
    pub width: usize,
}

impl Columns {
    /// Checks sizes; the lengths of a row and of its part.
    fn check(&self, what: &str, x: usize, part: usize) -> (usize, usize) {
        let (row, part_row) = (self.groups * self.group_width, self.groups * self.width);
        assert!(part_row > 0 && self.start + self.width <= self.group_width, "{what}: {self:?}");
        assert!(x.is_multiple_of(row) && part == x / row * part_row, "{what}: {part} of {x} elements, {self:?}");
        (row, part_row)
    }
}

/// `x: [N, groups * group_width] -> part: [N, groups * width]`.
pub fn take_columns(x: &[f32], columns: &Columns, part: &mut [f32]) {
    let (row, part_row) = columns.check("take_columns", x.len(), part.len());
    let &Columns { group_width, start, width, .. } = columns;
    threads::rows(x.len() / row, row_chunk(part_row), rows_of(part, part_row), |r, part| {
        let groups = x[r.start * row..r.end * row].chunks_exact(group_width);
        for (group, part) in groups.zip(part.data.chunks_exact_mut(width)) {
            part.copy_from_slice(&group[start..start + width]);
        }
    });
}

/// The way back: these columns of `x` become `part + beta` times what they hold; `beta` is 0 (overwrite, whatever they
/// hold) or 1. The others stay.
pub fn put_columns(part: &[f32], columns: &Columns, beta: f32, x: &mut [f32]) {
    let (row, part_row) = columns.check("put_columns", x.len(), part.len());
    let &Columns { group_width, start, width, .. } = columns;
    threads::rows(x.len() / row, row_chunk(part_row), rows_of(x, row), |r, x| {
        let parts = part[r.start * part_row..r.end * part_row].chunks_exact(width);
        for (group, part) in x.data.chunks_exact_mut(group_width).zip(parts) {
            let group = &mut group[start..start + width];
            if beta == 0.0 {
                group.copy_from_slice(part);
            } else {
                add_assign_here(group, part);
            }
        }
    });
}

/// The same in double precision, without tricks.
pub mod plain {
    use super::Columns;

    /// As [`take_columns`](super::take_columns()).
    #[must_use]
    pub fn take_columns(x: &[f64], columns: &Columns) -> Vec<f64> {
        let Columns { groups, group_width, start, width } = *columns;
        let mut part = Vec::new();
        for row in 0..x.len() / (groups * group_width) {
            for group in 0..groups {
                for i in 0..width {
                    part.push(x[row * groups * group_width + group * group_width + start + i]);
                }
            }
        }
        part
    }
}
