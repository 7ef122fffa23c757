//! Rows laid out so that what several of them begin with stands once.
//!
//! Rows of one micro-batch often share a system prompt, an instruction or the template around them. The layout is a
//! prefix tree: what rows have in common is a segment that each of them attends to before its own tokens. Positions and
//! visible keys of every token are those of its row alone, so losses and gradients are too; only the sums' order differs.

use std::ops::Range;
use std::sync::Arc;

use luthier_engine::{Layout, Segment};

/// Shorter common beginnings are not worth a segment of their own: each row keeps its copy.
const SHORTEST: usize = 8;

/// Rows in one pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    /// N tokens.
    pub(crate) tokens: Vec<u32>,
    /// Their positions and what each sees.
    pub(crate) layout: Layout,
    /// For each row, in the order given, where in the pass each of its tokens stands.
    pub(crate) places: Vec<Vec<u32>>,
}

/// How many tokens the rows are in one pass: [`crate::Batch::pack`] places them together where that saves a sixteenth of them.
pub(crate) fn placed_tokens(rows: &[&[u32]]) -> usize {
    let all = rows.iter().map(|row| row.len()).sum();
    let mut sorted = rows.to_vec();
    sorted.sort_unstable();
    let shared = tree_tokens(&sorted, 0);
    if is_worth_sharing(all, shared) { shared } else { all }
}

/// Whether computing what rows have in common once is worth its segments.
pub(crate) fn is_worth_sharing(all: usize, shared: usize) -> bool {
    (all - shared) * 16 >= all
}

/// As [`Tree::place`], counted alone.
fn tree_tokens(rows: &[&[u32]], from: usize) -> usize {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return 0 };
    let common = common_length(first, last);
    let shares = rows.len() == 1 || common - from >= SHORTEST;
    let own = if shares { common - from } else { 0 };
    let from = if shares { common } else { from };
    let parts = rows.chunk_by(|a, b| a.get(common) == b.get(common));
    let below = parts.map(|part| if part[0].len() > common { tree_tokens(part, from) } else { common - from });
    own + below.sum::<usize>()
}

/// Lays out rows; equal beginnings of at least [`SHORTEST`] tokens are placed once.
pub(crate) fn lay_out(rows: &[&[u32]]) -> Placed {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row]);
    let places = rows.iter().map(|row| Vec::with_capacity(row.len())).collect();
    let mut tree = Tree { rows, placed: Placed { places, ..Placed::default() }, segments: Vec::new() };
    tree.place(&order, 0, &[]);
    tree.placed.layout.segments = Arc::new(tree.segments);
    tree.placed
}

struct Tree<'a> {
    rows: &'a [&'a [u32]],
    placed: Placed,
    segments: Vec<Segment>,
}

impl Tree<'_> {
    /// Places what is left of sorted rows, whose first `from` tokens stand in `before` already.
    fn place(&mut self, rows: &[usize], from: usize, before: &[Range<usize>]) {
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return };
        let common = common_length(self.rows[first], self.rows[last]);
        if rows.len() == 1 || common - from >= SHORTEST {
            let own = self.segment(rows, from..common, before);
            let before: Vec<Range<usize>> = before.iter().cloned().chain(own).collect();
            self.branch(rows, common, common, &before);
        } else {
            self.branch(rows, from, common, before);
        }
    }

    /// Divides sorted rows by the token at `at`, where they differ or end, and places each part from `from` on.
    fn branch(&mut self, rows: &[usize], from: usize, at: usize, before: &[Range<usize>]) {
        for part in rows.chunk_by(|&a, &b| self.rows[a].get(at) == self.rows[b].get(at)) {
            if self.rows[part[0]].len() > at {
                self.place(part, from, before);
            } else if from < at {
                // Rows that end here, whose tokens since `from` are too few to share with longer ones.
                self.segment(part, from..at, before);
            }
        }
    }

    /// One segment for tokens `range` of rows that are alike there; `None` when it would be empty.
    fn segment(&mut self, rows: &[usize], range: Range<usize>, before: &[Range<usize>]) -> Option<Range<usize>> {
        if range.is_empty() {
            return None;
        }
        let start = self.placed.tokens.len();
        self.placed.tokens.extend(&self.rows[rows[0]][range.clone()]);
        let own = start..self.placed.tokens.len();
        self.placed.layout.positions.extend(range.map(|position| position as u32));
        for &row in rows {
            self.placed.places[row].extend(own.clone().map(|place| place as u32));
        }
        let keys = before.iter().cloned().chain([own.clone()]).collect();
        self.segments.push(Segment { queries: own.clone(), keys });
        Some(own)
    }
}

fn common_length(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each token of each row sees, read back from the layout.
    fn assert_whole(rows: &[&[u32]], placed: &Placed) {
        for (row, places) in rows.iter().zip(&placed.places) {
            let tokens: Vec<u32> = places.iter().map(|&place| placed.tokens[place as usize]).collect();
            assert_eq!(tokens, *row);
            for (position, &place) in places.iter().enumerate() {
                assert_eq!(placed.layout.positions[place as usize], position as u32);
                let holds = |segment: &&Segment| segment.queries.contains(&(place as usize));
                let segment = placed.layout.segments.iter().find(holds).unwrap();
                let keys: Vec<u32> = segment.keys.iter().cloned().flatten().map(|key| key as u32).collect();
                assert_eq!(keys[..=position], places[..=position], "{position} of {row:?}");
            }
        }
    }

    #[test]
    fn rows_that_begin_alike_share_their_beginning_at_every_level() {
        let system: Vec<u32> = (0..20).collect();
        let row = |tail: &[u32]| system.iter().chain(tail).copied().collect::<Vec<u32>>();
        let instruction: Vec<u32> = (100..110).collect();
        let rows = [
            row(&[&instruction[..], &[1, 2, 3]].concat()),
            row(&[7, 8]),
            row(&[&instruction[..], &[1, 2, 9, 9]].concat()),
            row(&[]),
            row(&[&instruction[..], &[1, 2, 3]].concat()),
            vec![50, 51],
        ];
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let placed = lay_out(&rows);
        assert_whole(&rows, &placed);
        // 20 of the system prompt, 10 + 2 of the instruction and what is common behind it, 1 + 2, 2, 2.
        let (whole, total) = (placed.tokens.len(), rows.iter().map(|row| row.len()).sum::<usize>());
        assert!(whole <= 20 + 10 + 3 + 4 + 2 + 2 && whole < total / 2, "{whole} of {total}");
    }

    #[test]
    fn short_common_beginnings_stay_with_their_rows() {
        let rows: [&[u32]; 3] = [&[1, 2, 3, 4], &[1, 2, 9], &[1, 2]];
        let placed = lay_out(&rows);
        assert_whole(&rows, &placed);
        assert_eq!(placed.tokens.len(), 9);
        assert!(placed.layout.segments.iter().all(|segment| segment.keys.len() == 1));
    }

    #[test]
    fn any_rows_are_placed_whole() {
        let mut state = 1u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let rows: Vec<Vec<u32>> = (0..draw(7) + 1)
                .map(|_| (0..draw(40) + 1).map(|i| if draw(12) == 0 { draw(3) as u32 } else { i as u32 }).collect())
                .collect();
            let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
            let placed = lay_out(&rows);
            assert_whole(&rows, &placed);
            let all = rows.iter().map(|row| row.len()).sum();
            let counted = if is_worth_sharing(all, placed.tokens.len()) { placed.tokens.len() } else { all };
            assert_eq!(placed_tokens(&rows), counted);
        }
    }
}
