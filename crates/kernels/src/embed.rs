//! Rows by index: looking them up, and adding gradients back into them.

use crate::elementwise::add_assign_here;
use crate::threads::{self, row_chunk, rows_of};

/// `table: [V, C], ids: [N] -> out: [N, C]`.
pub fn embed(table: &[f32], c: usize, ids: &[u32], out: &mut [f32]) {
    gather_rows(table, c, ids, out);
}

/// `dtable[ids[i]] += dy[i]`; rows that meet in one place are added in order of `i`.
pub fn embed_backward(ids: &[u32], c: usize, dy: &[f32], dtable: &mut [f32]) {
    scatter_add_rows(dy, c, ids, dtable);
}

/// `out[i] = x[rows[i]]` for rows of `c` elements.
pub fn gather_rows(x: &[f32], c: usize, rows: &[u32], out: &mut [f32]) {
    check("gather_rows", x.len(), c, rows, out.len());
    threads::rows(rows.len(), row_chunk(c), rows_of(out, c), |r, out| {
        for (out, &row) in out.data.chunks_exact_mut(c).zip(&rows[r]) {
            out.copy_from_slice(&x[row as usize * c..][..c]);
        }
    });
}

/// `dx[rows[i]] += dy[i]`: the gradient of [`gather_rows`]; rows that meet in one place are added in order of `i`.
pub fn scatter_add_rows(dy: &[f32], c: usize, rows: &[u32], dx: &mut [f32]) {
    check("scatter_add_rows", dx.len(), c, rows, dy.len());
    let mut order: Vec<(u32, u32)> = rows.iter().enumerate().map(|(i, &row)| (row, i as u32)).collect();
    order.sort_unstable();
    let chunk = if threads::parallelism() == 1 { usize::MAX } else { row_chunk(c) };
    scatter(&order, c, dy, 0, dx, chunk);
}

/// Adds the rows of `order` (target, source; sorted) into `dx`, whose first row is number `first`. Targets are cut between
/// threads, so every target has one owner and one order.
fn scatter(order: &[(u32, u32)], c: usize, dy: &[f32], first: usize, dx: &mut [f32], chunk: usize) {
    let middle = order.len() / 2;
    // Rows with the target of the middle stay together, on the right.
    let cut = order.get(middle).map_or(0, |&(target, _)| order.partition_point(|&(t, _)| t < target));
    if order.len() <= chunk || cut == 0 {
        for &(target, source) in order {
            add_assign_here(&mut dx[(target as usize - first) * c..][..c], &dy[source as usize * c..][..c]);
        }
        return;
    }
    let target = order[cut].0 as usize;
    let (left, right) = dx.split_at_mut((target - first) * c);
    rayon::join(
        || scatter(&order[..cut], c, dy, first, left, chunk),
        || scatter(&order[cut..], c, dy, target, right, chunk),
    );
}

fn check(what: &str, table: usize, c: usize, rows: &[u32], picked: usize) {
    assert!(c > 0 && table.is_multiple_of(c), "{what}: {table} elements do not make rows of {c}");
    assert_eq!(picked, rows.len() * c, "{what}: elements for {} rows of {c}", rows.len());
    if let Some(row) = rows.iter().find(|&&row| row as usize >= table / c) {
        panic!("{what}: row {row} of a table of {} rows", table / c);
    }
}
