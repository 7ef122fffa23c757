//! Choosing among captures: each record once, of each address the newest, and no more than are wanted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Capture, Captures, Fate};

/// The captures that are chosen so far.
pub(super) struct Selection {
    captures: Captures,
    limit: usize,
    chosen: Vec<Capture>,
    /// Where the capture of an address is; of an address and a moment, where all are taken.
    places: HashMap<(String, String), usize>,
}

impl Selection {
    pub(super) fn new(captures: Captures, limit: Option<u64>) -> Self {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Selection { captures, limit, chosen: Vec::new(), places: HashMap::new() }
    }

    /// Whether as many as are wanted are chosen.
    pub(super) fn is_full(&self) -> bool {
        self.chosen.len() >= self.limit
    }

    /// Takes a capture. Gives the one that is left out for it, itself or an earlier one, with its fate and why.
    pub(super) fn offer(&mut self, capture: Capture) -> Option<(Capture, Fate, String)> {
        let moment = match self.captures {
            Captures::Newest => String::new(),
            Captures::All => capture.timestamp.clone(),
        };
        let is_full = self.is_full();
        match self.places.entry((capture.url.clone(), moment)) {
            Entry::Vacant(_) if is_full => Some((capture, Fate::BeyondLimit, String::new())),
            Entry::Vacant(place) => {
                place.insert(self.chosen.len());
                self.chosen.push(capture);
                None
            }
            Entry::Occupied(place) => {
                let present = &mut self.chosen[*place.get()];
                let out =
                    if capture.timestamp > present.timestamp { std::mem::replace(present, capture) } else { capture };
                let why = format!("the address was captured at {}, which is taken", present.timestamp);
                Some((out, Fate::Duplicate, why))
            }
        }
    }

    /// All that were chosen, in the order in which their addresses came.
    pub(super) fn chosen(self) -> Vec<Capture> {
        self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(url: &str, day: u64) -> Capture {
        let timestamp = format!("202405{day:02}000000");
        Capture { url: url.to_owned(), timestamp, file: "a.warc.gz".into(), offset: day, length: 1 }
    }

    fn chosen(captures: Captures, limit: Option<u64>) -> (Vec<u64>, Vec<(Fate, u64)>) {
        let mut selection = Selection::new(captures, limit);
        let all = [("a", 3), ("b", 1), ("a", 5), ("a", 4), ("b", 1), ("c", 2), ("b", 7)];
        let out = all.into_iter().filter_map(|(url, day)| selection.offer(capture(url, day)));
        let out = out.map(|(capture, fate, _)| (fate, capture.offset)).collect();
        (selection.chosen().into_iter().map(|capture| capture.offset).collect(), out)
    }

    #[test]
    fn of_each_address_the_newest_capture_is_taken_where_its_first_one_stood() {
        use Fate::{BeyondLimit, Duplicate};
        let (days, out) = chosen(Captures::Newest, None);
        assert_eq!(days, [5, 7, 2]);
        assert_eq!(out, [(Duplicate, 3), (Duplicate, 4), (Duplicate, 1), (Duplicate, 1)]);
        let (days, out) = chosen(Captures::Newest, Some(2));
        assert_eq!(days, [5, 7]);
        assert_eq!(out, [(Duplicate, 3), (Duplicate, 4), (Duplicate, 1), (BeyondLimit, 2), (Duplicate, 1)]);
    }

    #[test]
    fn where_all_are_taken_each_still_comes_once() {
        let (days, out) = chosen(Captures::All, None);
        assert_eq!((days, out), (vec![3, 1, 5, 4, 2, 7], vec![(Fate::Duplicate, 1)]));
    }
}
