//! Drawing and balancing: which of the rows are taken.

use std::collections::HashMap;

use super::phrasing::hash;
use crate::error::CorpusError;
use crate::random::key;

/// The purpose of the numbers drawn here.
const DRAW_ROW: u64 = 0x0072_6F77;

/// How many rows are taken, drawn by the seed and their ids: the same rows are drawn in whatever order they come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// At most so many altogether.
    pub most: Option<usize>,
    /// The field by whose values they are balanced.
    pub by: Option<String>,
    /// At most so many of each value.
    pub most_each: Option<usize>,
    /// Whether every value gets as many as the rarest one.
    pub level: bool,
    /// The seed.
    pub seed: u64,
}

/// The choice being made: some 16 bytes a row.
pub struct Chosen {
    choice: Choice,
    groups: HashMap<String, u32>,
    rows: Vec<(u32, u64)>,
}

impl Choice {
    /// Begins to choose.
    ///
    /// # Errors
    /// When values are to be balanced and no field says by what.
    pub fn begin(self) -> Result<Chosen, CorpusError> {
        if self.by.is_none() && (self.most_each.is_some() || self.level) {
            return Err(CorpusError::setting("balance.by", "say by which field"));
        }
        Ok(Chosen { choice: self, groups: HashMap::new(), rows: Vec::new() })
    }
}

impl Chosen {
    /// Looks at the next row: its id, and the value of the field by which rows are balanced.
    pub fn see(&mut self, id: &str, group: &str) {
        let group = if self.choice.by.is_some() { group } else { "" };
        let group = match self.groups.get(group) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                self.groups.insert(group.to_owned(), number);
                number
            }
        };
        self.rows.push((group, key(&[self.choice.seed, DRAW_ROW, hash(id)])));
    }

    /// For each row that was seen, whether it is taken: those with the smallest numbers drawn, of each value and then altogether.
    #[must_use]
    pub fn finish(self) -> Vec<bool> {
        let Chosen { choice, groups, rows } = self;
        let mut order: Vec<u32> = (0..).take(rows.len()).collect();
        order.sort_unstable_by_key(|row| (rows[*row as usize].1, *row));
        let mut each = choice.most_each.unwrap_or(usize::MAX);
        if choice.level {
            let mut counts = vec![0usize; groups.len()];
            rows.iter().for_each(|(group, _)| counts[*group as usize] += 1);
            each = each.min(counts.into_iter().min().unwrap_or(0));
        }
        let mut taken = vec![false; rows.len()];
        let mut counts = vec![0usize; groups.len()];
        let mut all = 0;
        for row in order {
            let group = rows[row as usize].0 as usize;
            if all < choice.most.unwrap_or(usize::MAX) && counts[group] < each {
                counts[group] += 1;
                all += 1;
                taken[row as usize] = true;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(choice: Choice, rows: &[(&str, &str)]) -> Vec<String> {
        let mut chosen = choice.begin().unwrap();
        rows.iter().for_each(|(id, group)| chosen.see(id, group));
        let taken = chosen.finish();
        let mut ids: Vec<String> =
            rows.iter().zip(taken).filter(|(_, taken)| *taken).map(|((id, _), _)| (*id).to_owned()).collect();
        ids.sort();
        ids
    }

    fn rows(ids: &[String]) -> Vec<(&str, &str)> {
        ids.iter().map(|id| (id.as_str(), if id.len() == 1 { "rare" } else { "frequent" })).collect()
    }

    #[test]
    fn the_same_rows_are_drawn_in_whatever_order_they_come() {
        let ids: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let forwards = rows(&ids);
        let backwards: Vec<_> = forwards.iter().rev().copied().collect();
        let choice = Choice { most: Some(30), seed: 7, ..Choice::default() };
        let one = drawn(choice.clone(), &forwards);
        assert_eq!(one.len(), 30);
        assert_eq!(one, drawn(choice.clone(), &backwards));
        assert_ne!(one, drawn(Choice { seed: 8, ..choice }, &forwards));
    }

    #[test]
    fn values_are_balanced_by_a_bound_or_by_the_rarest() {
        let ids: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let rows = rows(&ids);
        let rare = |ids: &[String]| ids.iter().filter(|id| id.len() == 1).count();
        let by = Some("kind".to_owned());
        let bounded = drawn(Choice { by: by.clone(), most_each: Some(20), ..Choice::default() }, &rows);
        assert_eq!((rare(&bounded), bounded.len()), (10, 30));
        let level = drawn(Choice { by, level: true, ..Choice::default() }, &rows);
        assert_eq!((rare(&level), level.len()), (10, 20));
        assert!(Choice { level: true, ..Choice::default() }.begin().is_err());
    }
}
