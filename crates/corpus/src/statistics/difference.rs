//! What changed from one data set to another, whatever the order of their rows.
//!
//! Rows that say the same are matched first, as often as they stand in both. Of what is left, rows with the same prompt are versions of
//! each other with another output; of what is left then, rows with the same id are versions of each other that say something else. The
//! rest is in one of the two alone.

use std::collections::{BTreeMap, BTreeSet};

use super::data_set::DataSet;
use super::keys::RowKey;
use super::survey::{Options, Statistics};
use crate::document::Document;
use crate::error::CorpusError;

use rayon::prelude::*;

/// Two data sets and what became of their rows.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The first.
    pub a: Statistics,
    /// The second.
    pub b: Statistics,
    /// Rows that are in both.
    pub both: u64,
    /// Of these, rows that went from the training side to the test side.
    pub to_test: u64,
    /// Of these, rows that went from the test side to the training side.
    pub to_train: u64,
    /// Rows of which the second has the prompt with another output.
    pub changed: u64,
    /// Rows of which the second has the id, and other words.
    pub rewritten: u64,
    /// Rows of the first alone.
    pub only_a: u64,
    /// Rows of the second alone.
    pub only_b: u64,
    /// The first rows of each kind.
    pub examples: Differing,
}

/// Rows that differ, to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differing {
    /// Rows of the first alone.
    pub only_a: Vec<Document>,
    /// Rows of the second alone.
    pub only_b: Vec<Document>,
    /// A row of the first and the same prompt with its output in the second.
    pub changed: Vec<(Document, Document)>,
    /// A row of the first and what stands under its id in the second.
    pub rewritten: Vec<(Document, Document)>,
    /// Rows that stand on another side in the second, as they stand in the first and in the second.
    pub moved: Vec<(Document, Document)>,
}

impl Difference {
    /// Reads both through and compares them; `examples` rows of each kind are read again to be shown.
    ///
    /// # Errors
    /// As [`Statistics::of`] for either.
    pub fn of(
        a: &DataSet,
        b: &DataSet,
        examples: usize,
        watch: &mut dyn FnMut(u64, &str),
    ) -> Result<Self, CorpusError> {
        let options = Options::default();
        let [mut first, mut second] = [Statistics::of(a, &options, watch)?, Statistics::of(b, &options, watch)?];
        let both_sides = a.built.is_some() && b.built.is_some();
        let matched = Matched::of(&std::mem::take(&mut first.keys), &std::mem::take(&mut second.keys), both_sides);
        let numbers = matched.first(examples);
        let wanted = |in_a: bool| -> BTreeSet<u64> {
            let (only, at) = if in_a { (&numbers.only_a, 0) } else { (&numbers.only_b, 1) };
            let pairs = numbers.changed.iter().chain(&numbers.rewritten).chain(&numbers.moved).map(|pair| pair[at]);
            only.iter().copied().chain(pairs).collect()
        };
        let (rows_a, rows_b) = (a.rows_at(&wanted(true))?, b.rows_at(&wanted(false))?);
        let row = |rows: &BTreeMap<u64, Document>, number: &u64| rows.get(number).cloned();
        let pair = |pair: &[u64; 2]| Some((row(&rows_a, &pair[0])?, row(&rows_b, &pair[1])?));
        Ok(Difference {
            a: first,
            b: second,
            both: matched.both,
            to_test: matched.to_test,
            to_train: matched.to_train,
            changed: matched.changed.len() as u64,
            rewritten: matched.rewritten.len() as u64,
            only_a: matched.only_a.len() as u64,
            only_b: matched.only_b.len() as u64,
            examples: Differing {
                only_a: numbers.only_a.iter().filter_map(|number| row(&rows_a, number)).collect(),
                only_b: numbers.only_b.iter().filter_map(|number| row(&rows_b, number)).collect(),
                changed: numbers.changed.iter().filter_map(pair).collect(),
                rewritten: numbers.rewritten.iter().filter_map(pair).collect(),
                moved: numbers.moved.iter().filter_map(pair).collect(),
            },
        })
    }

    /// Whether the two hold the same rows as often, on the same sides.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.changed + self.rewritten + self.only_a + self.only_b + self.to_test + self.to_train == 0
    }
}

/// Rows by their numbers, matched.
#[derive(Debug, Default)]
struct Matched {
    both: u64,
    to_test: u64,
    to_train: u64,
    only_a: Vec<u64>,
    only_b: Vec<u64>,
    /// A row of the first, a row of the second.
    changed: Vec<[u64; 2]>,
    rewritten: Vec<[u64; 2]>,
    /// Those that moved.
    moved: Vec<[u64; 2]>,
}

impl Matched {
    /// Matches keys, each list in the order of identity and place.
    fn of(a: &[RowKey], b: &[RowKey], with_sides: bool) -> Self {
        let mut matched = Matched::default();
        let (mut left_a, mut left_b) = (Vec::new(), Vec::new());
        join(
            a,
            b,
            |key| key.identity,
            |in_a, in_b| {
                let common = in_a.len().min(in_b.len());
                matched.both += common as u64;
                if with_sides {
                    matched.sides(in_a, in_b);
                }
                left_a.extend_from_slice(&in_a[common..]);
                left_b.extend_from_slice(&in_b[common..]);
            },
        );
        matched.changed = versions(&mut left_a, &mut left_b, |key| key.prompt);
        matched.rewritten = versions(&mut left_a, &mut left_b, |key| key.id);
        matched.only_a = left_a.iter().map(|key| key.number()).collect();
        matched.only_b = left_b.iter().map(|key| key.number()).collect();
        matched
    }

    /// Equal rows of both: those that are on one side in both stay, the others have moved.
    fn sides(&mut self, in_a: &[RowKey], in_b: &[RowKey]) {
        let on = |keys: &[RowKey], test: bool| -> Vec<u64> {
            keys.iter().filter(|key| key.in_test() == test).map(|key| key.number()).collect()
        };
        let [train_a, train_b, test_a, test_b] = [on(in_a, false), on(in_b, false), on(in_a, true), on(in_b, true)];
        let (stay, stay_out) = (train_a.len().min(train_b.len()), test_a.len().min(test_b.len()));
        let to_test: Vec<[u64; 2]> = train_a[stay..].iter().zip(&test_b[stay_out..]).map(|(a, b)| [*a, *b]).collect();
        let to_train: Vec<[u64; 2]> = test_a[stay_out..].iter().zip(&train_b[stay..]).map(|(a, b)| [*a, *b]).collect();
        self.to_test += to_test.len() as u64;
        self.to_train += to_train.len() as u64;
        self.moved.extend(to_test);
        self.moved.extend(to_train);
    }

    /// The first so many of each kind, in the order of the data sets.
    fn first(&self, wanted: usize) -> Matched {
        fn least<T: Ord + Copy>(all: &[T], wanted: usize) -> Vec<T> {
            let mut all = all.to_vec();
            all.sort_unstable();
            all.truncate(wanted);
            all
        }
        Matched {
            only_a: least(&self.only_a, wanted),
            only_b: least(&self.only_b, wanted),
            changed: least(&self.changed, wanted),
            rewritten: least(&self.rewritten, wanted),
            moved: least(&self.moved, wanted),
            ..Matched::default()
        }
    }
}

/// Takes rows of both that agree in `by` out of what is left, in pairs; 0 agrees with nothing.
fn versions(a: &mut Vec<RowKey>, b: &mut Vec<RowKey>, by: fn(&RowKey) -> u64) -> Vec<[u64; 2]> {
    for left in [&mut *a, &mut *b] {
        left.par_sort_unstable_by_key(|key| (by(key), key.number()));
    }
    let (mut pairs, mut rest_a, mut rest_b) = (Vec::new(), Vec::new(), Vec::new());
    join(a, b, by, |in_a, in_b| {
        let agrees = in_a.iter().chain(in_b).any(|key| by(key) != 0);
        let common = if agrees { in_a.len().min(in_b.len()) } else { 0 };
        pairs.extend(in_a[..common].iter().zip(in_b).map(|(old, new)| [old.number(), new.number()]));
        rest_a.extend_from_slice(&in_a[common..]);
        rest_b.extend_from_slice(&in_b[common..]);
    });
    (*a, *b) = (rest_a, rest_b);
    pairs
}

/// Goes through two ordered lists side by side, and hands on the stretches of each value.
fn join<'k>(
    a: &'k [RowKey],
    b: &'k [RowKey],
    by: impl Fn(&RowKey) -> u64,
    mut each: impl FnMut(&'k [RowKey], &'k [RowKey]),
) {
    let (mut a, mut b) = (a, b);
    while let Some(value) = a.first().into_iter().chain(b.first()).map(&by).min() {
        let stretch = |keys: &'k [RowKey]| keys.iter().take_while(|key| by(key) == value).count();
        let (in_a, rest_a) = a.split_at(stretch(a));
        let (in_b, rest_b) = b.split_at(stretch(b));
        each(in_a, in_b);
        (a, b) = (rest_a, rest_b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Side;

    /// Rows as (identity, prompt, id), those from `test` on held out.
    fn keys(rows: &[(u64, u64, u64)], test: usize) -> Vec<RowKey> {
        let side = |at| if at >= test { Side::Test } else { Side::Train };
        let mut keys: Vec<RowKey> = (rows.iter().enumerate())
            .map(|(at, (identity, prompt, id))| RowKey::new(*identity, *prompt, *id, Some(side(at)), at as u64))
            .collect();
        keys.sort_by_key(|key| (key.identity, key.number()));
        keys
    }

    fn matched(a: &[(u64, u64, u64)], b: &[(u64, u64, u64)]) -> Matched {
        let mut matched = Matched::of(&keys(a, 9), &keys(b, 9), false);
        matched.only_a.sort_unstable();
        matched.only_b.sort_unstable();
        matched
    }

    #[test]
    fn order_makes_no_difference_and_equal_rows_are_matched_as_often_as_they_stand_in_both() {
        let (one, two, three) = ((1, 10, 0), (2, 20, 0), (3, 30, 0));
        let same = matched(&[one, two, three], &[three, one, two]);
        assert_eq!((same.both, same.only_a.len(), same.only_b.len(), same.changed.len()), (3, 0, 0, 0));
        let found = matched(&[one, two, one, one], &[one, two, two]);
        assert_eq!((found.both, found.only_a, found.only_b), (2, vec![2, 3], vec![2]));
    }

    #[test]
    fn rows_with_one_prompt_and_another_output_are_changed_and_the_rest_is_in_one_alone() {
        let found = matched(&[(1, 10, 0), (2, 20, 0), (3, 30, 0)], &[(4, 20, 0), (5, 20, 0), (3, 30, 0), (6, 60, 0)]);
        assert_eq!((found.both, found.only_a, found.only_b, found.changed), (1, vec![0], vec![1, 3], vec![[1, 0]]));
        let nothing_in_common = matched(&[(1, 0, 0), (2, 0, 0)], &[(3, 0, 0)]);
        assert_eq!((nothing_in_common.only_a, nothing_in_common.only_b), (vec![0, 1], vec![0]));
    }

    #[test]
    fn rows_with_one_id_are_versions_of_each_other_where_neither_words_nor_prompt_agree() {
        let found = matched(&[(1, 10, 7), (2, 20, 8), (3, 0, 9)], &[(4, 40, 7), (2, 20, 9), (5, 0, 9)]);
        assert_eq!((found.both, found.changed.len(), found.rewritten), (1, 0, vec![[0, 0], [2, 2]]));
        assert_eq!(found.only_a.len() + found.only_b.len(), 0);
    }

    #[test]
    fn rows_that_change_sides_are_counted_by_where_they_went() {
        let rows = [(1, 10, 0), (2, 20, 0), (3, 30, 0), (3, 30, 0)];
        // The last row is held out in the first, the last three in the second.
        let moved = Matched::of(&keys(&rows, 3), &keys(&rows, 1), true);
        assert_eq!((moved.both, moved.to_test, moved.to_train), (4, 2, 0));
        assert_eq!(moved.moved.len(), 2);
        let back = Matched::of(&keys(&rows, 1), &keys(&rows, 3), true);
        assert_eq!((back.to_test, back.to_train), (0, 2));
    }
}
