//! What rows say as numbers: equal rows, rows that answer the same prompt otherwise, and rows that stand on both sides of a split.

use rayon::prelude::*;

use crate::devices::Side;

/// What is remembered of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowKey {
    /// A hash of all that it says; white space does not count.
    pub(crate) identity: u64,
    /// A hash of its prompt; 0 where it has none. Two rows with one prompt are versions of each other.
    pub(crate) prompt: u64,
    /// A hash of its own id; 0 where it has none.
    pub(crate) id: u64,
    place: u64,
}

const IN_TEST: u64 = 1;

impl RowKey {
    pub(crate) fn new(identity: u64, prompt: u64, id: u64, side: Option<Side>, number: u64) -> Self {
        let in_test = if side == Some(Side::Test) { IN_TEST } else { 0 };
        RowKey { identity, prompt, id, place: number << 1 | in_test }
    }

    /// Its number in the data set, from 0.
    pub(crate) fn number(self) -> u64 {
        self.place >> 1
    }

    pub(crate) fn in_test(self) -> bool {
        self.place & IN_TEST != 0
    }
}

/// Two rows by their numbers, the earlier one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The later row.
    pub later: u64,
    /// The earlier row.
    pub earlier: u64,
}

/// Rows that say what an earlier row says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeats {
    /// How many rows repeat an earlier one.
    pub rows: u64,
    /// How many different rows are repeated.
    pub repeated: u64,
    /// Test rows that stand on the training side too.
    pub across_sides: u64,
    /// The first of them.
    pub first: Vec<Pair>,
}

/// Prompts with several different outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// How many prompts.
    pub prompts: u64,
    /// How many rows have one of these prompts.
    pub rows: u64,
    /// Of the first of them two rows each.
    pub first: Vec<Pair>,
}

/// Finds equal rows among all keys, and puts the keys in order of their identity. `wanted` pairs are named.
pub(super) fn repeats(keys: &mut [RowKey], wanted: usize) -> Repeats {
    keys.par_sort_unstable_by_key(|key| (key.identity, key.place));
    let mut found = Repeats::default();
    for equal in keys.chunk_by(|a, b| a.identity == b.identity).filter(|equal| equal.len() > 1) {
        found.rows += equal.len() as u64 - 1;
        found.repeated += 1;
        if equal.iter().any(|key| !key.in_test()) {
            found.across_sides += equal.iter().filter(|key| key.in_test()).count() as u64;
        }
        found.first.push(Pair { later: equal[1].number(), earlier: equal[0].number() });
        keep_first(&mut found.first, wanted);
    }
    found.first.sort_unstable();
    found.first.truncate(wanted);
    found
}

/// Finds prompts with several outputs, and puts the keys in order of their prompts.
pub(super) fn conflicts(keys: &mut [RowKey], wanted: usize) -> Conflicts {
    keys.par_sort_unstable_by_key(|key| (key.prompt, key.place));
    let mut found = Conflicts::default();
    for group in keys.chunk_by(|a, b| a.prompt == b.prompt).filter(|group| group.len() > 1 && group[0].prompt != 0) {
        let Some(other) = group.iter().find(|key| key.identity != group[0].identity) else { continue };
        found.prompts += 1;
        found.rows += group.len() as u64;
        found.first.push(Pair { later: other.number(), earlier: group[0].number() });
        keep_first(&mut found.first, wanted);
    }
    found.first.sort_unstable();
    found.first.truncate(wanted);
    found
}

/// Groups come in the order of their hashes; of all the first by place are kept, and the list stays short.
fn keep_first(pairs: &mut Vec<Pair>, wanted: usize) {
    if pairs.len() > 64 + 2 * wanted {
        pairs.sort_unstable();
        pairs.truncate(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(identity: u64, prompt: u64, number: u64) -> RowKey {
        RowKey::new(identity, prompt, 0, (number >= 6).then_some(Side::Test), number)
    }

    #[test]
    fn repeats_are_counted_and_the_first_of_them_named() {
        let mut keys = [5, 3, 5, 9, 3, 5, 5, 1].iter().zip(0..).map(|(id, at)| key(*id, 0, at)).collect::<Vec<_>>();
        let found = repeats(&mut keys, 1);
        assert_eq!((found.rows, found.repeated, found.across_sides), (4, 2, 1));
        assert_eq!(found.first, [Pair { later: 2, earlier: 0 }]);
        assert_eq!(repeats(&mut keys, 5).first, [Pair { later: 2, earlier: 0 }, Pair { later: 4, earlier: 1 }]);
    }

    #[test]
    fn the_same_prompt_with_the_same_output_is_no_conflict() {
        let mut keys =
            vec![key(1, 7, 0), key(1, 7, 1), key(2, 8, 2), key(3, 8, 3), key(3, 8, 4), key(4, 0, 5), key(5, 0, 6)];
        let found = conflicts(&mut keys, 3);
        assert_eq!((found.prompts, found.rows), (1, 3));
        assert_eq!(found.first, [Pair { later: 3, earlier: 2 }]);
    }

    #[test]
    fn of_very_many_repeats_the_first_by_place_are_named() {
        let mut keys: Vec<RowKey> = (0..5000u64).map(|at| key(crate::random::mix(at % 2500), 0, at)).collect();
        let found = repeats(&mut keys, 2);
        assert_eq!((found.rows, found.repeated), (2500, 2500));
        assert_eq!(found.first, [Pair { later: 2500, earlier: 0 }, Pair { later: 2501, earlier: 1 }]);
    }
}
