//! Drawing and balancing: which of the documents are taken.

use std::collections::HashMap;

use super::phrasing::hash;
use crate::document::Document;
use crate::error::CorpusError;
use crate::random::key;

/// The purpose of the numbers drawn here.
const DRAW_ROW: u64 = 0x726F_77;

/// How many documents are taken, drawn by the seed and their ids: the same documents are drawn in whatever order they come.
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

/// The choice being made: some 40 bytes a document.
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
    /// Looks at the next document.
    pub fn see(&mut self, document: &Document) {
        let group = self.choice.by.as_deref().map_or("", |by| document.text(by));
        let group = match self.groups.get(group) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                self.groups.insert(group.to_owned(), number);
                number
            }
        };
        self.rows.push((group, key(&[self.choice.seed, DRAW_ROW, hash(&document.id)])));
    }

    /// For each document that was seen, whether it is taken: those with the smallest numbers drawn, of each value and then altogether.
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
