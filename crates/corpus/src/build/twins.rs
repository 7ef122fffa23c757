//! Duplicates of both kinds, while documents come and once all have come.

use std::io;

use rayon::prelude::*;

use super::pipeline::Duplicates;
use super::spool::Spool;
use crate::clean::Over;
use crate::document::Document;
use crate::duplicates::{Exact, Near, NearOf};
use crate::error::CorpusError;

/// What was found of all documents; empty where it was not looked for.
pub(crate) struct Found {
    /// Of each document the earlier one that says the same.
    pub(crate) same_as: Vec<Option<usize>>,
    /// Of each document the earlier one that says nearly the same.
    pub(crate) near: Vec<Option<NearOf>>,
}

/// Duplicates while documents come.
pub(crate) struct Twins {
    over: Over,
    exact: Option<Exact>,
    near: Option<Near>,
    same_as: Vec<Option<usize>>,
    /// The numbers of the documents that went on to the search for near duplicates.
    compared: Vec<usize>,
}

impl Twins {
    pub(crate) fn new(duplicates: &Duplicates) -> Result<Self, CorpusError> {
        Ok(Twins {
            over: duplicates.over.clone(),
            exact: duplicates.exact.then(Exact::new),
            near: duplicates.near.map(Near::new).transpose()?,
            same_as: Vec::new(),
            compared: Vec::new(),
        })
    }

    /// Takes the next documents, of which the first has this number.
    pub(crate) fn add(&mut self, documents: &[Document], first: usize) {
        if self.exact.is_none() && self.near.is_none() {
            return;
        }
        let texts: Vec<_> = documents.iter().map(|document| self.over.joined(&document.fields)).collect();
        let mut fresh = Vec::with_capacity(texts.len());
        match &mut self.exact {
            None => fresh.extend(0..texts.len()),
            Some(exact) => {
                let keys: Vec<u128> = texts.par_iter().map(|text| Exact::key(text)).collect();
                for (i, key) in keys.into_iter().enumerate() {
                    // A document without any of the fields says nothing that could be said twice.
                    let said = !texts[i].is_empty();
                    let same = said.then(|| exact.first_with(key, (first + i) as u64)).flatten();
                    self.same_as.push(same.map(|number| number as usize));
                    if same.is_none() {
                        fresh.push(i);
                    }
                }
            }
        }
        if let Some(near) = &mut self.near {
            let texts: Vec<&str> = fresh.iter().map(|i| texts[*i].as_ref()).collect();
            near.add(&texts);
            self.compared.extend(fresh.into_iter().map(|i| first + i));
        }
    }

    pub(crate) fn finish(self, spool: &Spool, over: &Over) -> io::Result<Found> {
        let Twins { near, same_as, compared, .. } = self;
        let Some(near) = near else { return Ok(Found { same_as, near: Vec::new() }) };
        let text_of = |number: usize| -> io::Result<String> {
            Ok(over.joined(&spool.get(compared[number])?.fields).into_owned())
        };
        let mut verdicts = vec![None; spool.len()];
        for (number, found) in near.finish(text_of)?.into_iter().enumerate() {
            verdicts[compared[number]] = found.map(|NearOf { of, edited }| NearOf { of: compared[of], edited });
        }
        Ok(Found { same_as, near: verdicts })
    }
}
