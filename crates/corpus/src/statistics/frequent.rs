//! The most frequent of many texts, counted in bounded memory.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::letters::KeyHasher;

/// So many texts have a counter each; when twice as many do, the rarest go.
const COUNTERS: usize = 1 << 18;

/// Characters of a text that are kept to show it.
const SHOWN: usize = 200;

/// How often each text came, by the summary of Misra and Gries with its counters pruned together (Agarwal et al. 2012, "Mergeable summaries"):
/// a text that came `n` times is counted from `n - error` to `n` times, and the error is 0 until there are too many different texts.
#[derive(Debug, Clone)]
pub struct Frequent {
    counters: HashMap<u64, Counter, BuildHasherDefault<KeyHasher>>,
    most: usize,
    error: u64,
    total: u64,
}

/// Most texts come once, so that only the second time brings the text.
#[derive(Debug, Clone)]
struct Counter {
    count: u64,
    text: Option<Box<str>>,
}

/// A text that came several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Often {
    /// Its beginning.
    pub text: String,
    /// How often it came, at least.
    pub count: u64,
}

impl Default for Frequent {
    fn default() -> Self {
        Frequent::with_counters(COUNTERS)
    }
}

impl Frequent {
    /// At most twice so many counters.
    #[must_use]
    pub fn with_counters(most: usize) -> Self {
        Frequent { counters: HashMap::default(), most, error: 0, total: 0 }
    }

    /// Adds a text under the hash of it.
    pub fn add(&mut self, key: u64, text: &str) {
        self.total += 1;
        match self.counters.get_mut(&key) {
            Some(counter) => {
                counter.count += 1;
                counter.text.get_or_insert_with(|| beginning(text).into());
            }
            None => {
                if self.counters.len() >= 2 * self.most {
                    self.prune();
                }
                self.counters.insert(key, Counter { count: 1, text: None });
            }
        }
    }

    /// Takes from every counter what the first that goes has.
    fn prune(&mut self) {
        let mut counts: Vec<u64> = self.counters.values().map(|counter| counter.count).collect();
        let (_, taken, _) = counts.select_nth_unstable_by(self.most, |a, b| b.cmp(a));
        let taken = *taken;
        self.error += taken;
        self.counters.retain(|_, counter| {
            counter.count = counter.count.saturating_sub(taken);
            counter.count > 0
        });
    }

    /// How many texts came.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// By how much a count may be too small; 0 where all are exact.
    #[must_use]
    pub fn error(&self) -> u64 {
        self.error
    }

    /// How many different texts came; `None` where that is no longer known.
    #[must_use]
    pub fn different(&self) -> Option<u64> {
        (self.error == 0).then_some(self.counters.len() as u64)
    }

    /// The most frequent texts that came more than once, most frequent first, and by their text where counts are equal.
    #[must_use]
    pub fn most(&self, wanted: usize) -> Vec<Often> {
        let shown = self.counters.values().filter_map(|counter| Some((counter.count, counter.text.as_deref()?)));
        let mut often: Vec<(u64, &str)> = shown.filter(|(count, _)| count + self.error > 1).collect();
        often.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        often.truncate(wanted);
        often.into_iter().map(|(count, text)| Often { text: text.to_owned(), count }).collect()
    }
}

/// The beginning of a text, with an ellipsis where more follows.
fn beginning(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;

    #[test]
    fn few_texts_are_counted_exactly() {
        let mut frequent = Frequent::default();
        for text in ["a", "b", "a", "c", "a", "b"] {
            frequent.add(u64::from(text.as_bytes()[0]), text);
        }
        let often = |text: &str, count| Often { text: text.to_owned(), count };
        assert_eq!(frequent.most(9), [often("a", 3), often("b", 2)]);
        assert_eq!(frequent.most(1), [often("a", 3)]);
        assert_eq!((frequent.total(), frequent.error(), frequent.different()), (6, 0, Some(3)));
    }

    #[test]
    fn of_many_texts_the_frequent_ones_stay_and_counts_are_off_by_no_more_than_the_error() {
        let mut frequent = Frequent::with_counters(100);
        for i in 0..20_000u64 {
            frequent.add(mix(i), "rare");
            if i % 4 == 0 {
                frequent.add(1, "frequent");
            }
            if i % 10 == 0 {
                frequent.add(2, "less frequent");
            }
        }
        let found = frequent.most(2);
        let names: Vec<&str> = found.iter().map(|often| often.text.as_str()).collect();
        assert_eq!(names, ["frequent", "less frequent"]);
        for (often, came) in found.iter().zip([5000, 2000]) {
            assert!(often.count <= came && came <= often.count + frequent.error(), "{often:?} {}", frequent.error());
        }
        assert!(frequent.error() > 0 && frequent.error() <= 27_000 / 100, "{}", frequent.error());
        assert!(frequent.counters.len() <= 200);
        assert_eq!(frequent.different(), None);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut frequent = Frequent::default();
        (0..2).for_each(|_| frequent.add(1, &"文".repeat(500)));
        assert_eq!(frequent.most(1)[0].text.chars().count(), SHOWN + 1);
    }
}
