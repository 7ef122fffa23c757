//! Which side of the split a row falls on.

use std::collections::HashSet;

use super::Booked;
use crate::error::TextError;
use crate::options::{DataOptions, Part, SplitBy, TestSize};
use crate::rows::Message;

/// The identity of what a row says, white space and template aside: the first 128 bits of a SHA-256 over roles and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    pub(super) fn of(messages: &[Message], answer: &str) -> Self {
        let mut said = String::new();
        let parts = messages.iter().map(|m| (m.role.name(), m.content.as_str())).chain([("answer", answer)]);
        for (role, text) in parts {
            said.push_str(role);
            for word in text.split_whitespace() {
                said.push(' ');
                said.push_str(word);
            }
            // No text holds a NUL, so parts cannot run into each other.
            said.push('\0');
        }
        let digits = luthier_files::sha256(said.as_bytes());
        Fingerprint(u128::from_str_radix(&digits[..32], 16).expect("a hash is written in hexadecimal digits"))
    }

    /// A number in [0, 1) that depends on the text alone.
    fn fraction(self) -> f64 {
        // 53 bits fit a double exactly.
        (self.0 >> (128 - 53)) as f64 / (1u64 << 53) as f64
    }
}

pub(super) fn check(options: &DataOptions) -> Result<(), TextError> {
    let wrong = |field, cause: String| Err(TextError::Setting { field, cause });
    if let TestSize::Fraction(fraction) = options.split.test
        && !(0.0..1.0).contains(&fraction)
    {
        return wrong(
            "split.test",
            format!("{fraction} is no share of the rows; give a number from 0 to below 1, or a number of rows"),
        );
    }
    if options.max_length < 2 {
        return wrong(
            "max_length",
            format!("{} leaves no token to predict; it must be at least 2", options.max_length),
        );
    }
    if !(0.0..=1.0).contains(&options.max_answer_loss) {
        return wrong("max_answer_loss", format!("{} is no share; give a number from 0 to 1", options.max_answer_loss));
    }
    Ok(())
}

/// Gives every open row its side: its source's, or the split's.
pub(super) fn assign(options: &DataOptions, booked: &mut [Booked]) {
    let free: Vec<(usize, Fingerprint)> = booked
        .iter()
        .enumerate()
        .filter(|(_, row)| row.source_part.is_none())
        .filter_map(|(i, row)| Some((i, row.open()?.prompt)))
        .collect();
    let test: HashSet<usize> = match options.split.by {
        SplitBy::Order => last_rows(&free, options.split.test),
        SplitBy::Hash => by_hash(&free, options.split.test),
    };
    for (i, row) in booked.iter_mut().enumerate() {
        let stated = row.source_part;
        if let Some(rendered) = row.open_mut() {
            rendered.part = stated.unwrap_or(if test.contains(&i) { Part::Test } else { Part::Train });
        }
    }
}

fn last_rows(free: &[(usize, Fingerprint)], size: TestSize) -> HashSet<usize> {
    let count = match size {
        TestSize::Fraction(fraction) => (free.len() as f64 * fraction).round() as usize,
        TestSize::Rows(rows) => rows.min(free.len()),
    };
    free[free.len() - count..].iter().map(|(i, _)| *i).collect()
}

fn by_hash(free: &[(usize, Fingerprint)], size: TestSize) -> HashSet<usize> {
    match size {
        TestSize::Fraction(fraction) => {
            free.iter().filter(|(_, prompt)| prompt.fraction() < fraction).map(|(i, _)| *i).collect()
        }
        TestSize::Rows(rows) => {
            // The prompts with the smallest hashes, whole groups of equal prompts at a time.
            let mut sorted = free.to_vec();
            sorted.sort_by_key(|(i, prompt)| (*prompt, *i));
            let last = rows
                .checked_sub(1)
                .and_then(|r| sorted.get(r.min(sorted.len().saturating_sub(1))))
                .map(|(_, prompt)| *prompt);
            sorted.into_iter().filter(|(_, prompt)| last.is_some_and(|last| *prompt <= last)).map(|(i, _)| i).collect()
        }
    }
}
