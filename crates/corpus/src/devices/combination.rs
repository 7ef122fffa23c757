//! A device is a combination of five attributes; here the combinations are numbered, split and shuffled.

use std::fmt;
use std::str::FromStr;

use super::Language;
use super::lexicon::{LEXICON, Value};
use crate::error::CorpusError;
use crate::random::{key, mix};

/// One combination of attributes: indices into the lexicon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    /// What is special about it.
    pub feature: usize,
    /// How it is built, placed or moved.
    pub form: usize,
    /// Where its power comes from.
    pub energy: usize,
    /// What it works on.
    pub object: usize,
    /// What it does.
    pub function: usize,
}

/// The side of the split that a combination is on, for ever and whatever the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nine combinations in ten: training rows and pretraining text.
    Train,
    /// One in ten: nothing but test rows.
    Test,
}

impl FromStr for Side {
    type Err = CorpusError;

    fn from_str(name: &str) -> Result<Self, CorpusError> {
        match name {
            "train" => Ok(Self::Train),
            "test" => Ok(Self::Test),
            _ => Err(CorpusError::UnknownPart { name: name.to_owned() }),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// How many combinations there are on both sides together.
#[must_use]
pub fn combinations() -> u64 {
    radices().iter().map(|&radix| radix as u64).product()
}

fn radices() -> [usize; 5] {
    let words = &*LEXICON;
    [&words.feature, &words.form, &words.energy, &words.object, &words.function].map(Vec::len)
}

impl Device {
    /// The combination with this number, below [`combinations`]: digits in the mixed radix of the attributes.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let mut rest = number;
        let [feature, form, energy, object, function] = radices().map(|radix| {
            let digit = rest % radix as u64;
            rest /= radix as u64;
            digit as usize
        });
        Self { feature, form, energy, object, function }
    }

    /// The number of this combination.
    #[must_use]
    pub fn number(self) -> u64 {
        let digits = [self.feature, self.form, self.energy, self.object, self.function];
        let places = digits.into_iter().zip(radices()).rev();
        places.fold(0, |number, (digit, radix)| number * radix as u64 + digit as u64)
    }

    /// The side of the split: a hash of the combination, so that no seed can move it.
    #[must_use]
    pub fn side(self) -> Side {
        const SPLIT: u64 = 0x5EED_51DE;
        if key(&[SPLIT, self.number()]).is_multiple_of(10) { Side::Test } else { Side::Train }
    }

    /// The one title of this device.
    #[must_use]
    pub fn title(self, language: Language) -> String {
        let words = self.words().map(|value| value.title.of(language));
        match language {
            Language::Chinese => words.concat(),
            Language::English => capitalised(&words.join(" ")),
        }
    }

    /// The values in the order of a title: feature, form, energy, object, function.
    pub(crate) fn words(self) -> [&'static Value; 5] {
        let words = &*LEXICON;
        [
            &words.feature[self.feature],
            &words.form[self.form],
            &words.energy[self.energy],
            &words.object[self.object],
            &words.function[self.function],
        ]
    }
}

/// The same words with a capital at the front.
pub(crate) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// All combinations in an order that the seed decides, each once: a Feistel network on the numbers below
/// the next power of four, walked until it lands on a combination (format-preserving by cycle walking,
/// Black and Rogaway 2002).
pub(crate) struct Shuffled {
    seed: u64,
    half_bits: u32,
    next: u64,
}

impl Shuffled {
    pub(crate) fn new(seed: u64) -> Self {
        let bits = u64::BITS - (combinations() - 1).leading_zeros();
        Self { seed, half_bits: bits.div_ceil(2), next: 0 }
    }

    fn permuted(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for round in 0..4 {
            let bent = left ^ (mix(key(&[self.seed, round, right])) & mask);
            (left, right) = (right, bent);
        }
        (left << self.half_bits) | right
    }
}

impl Iterator for Shuffled {
    type Item = Device;

    fn next(&mut self) -> Option<Device> {
        let total = combinations();
        if self.next == total {
            return None;
        }
        let mut number = self.permuted(self.next);
        while number >= total {
            number = self.permuted(number);
        }
        self.next += 1;
        Some(Device::from_number(number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_combinations_are_the_same_thing() {
        for number in (0..combinations()).step_by(9_973) {
            assert_eq!(Device::from_number(number).number(), number);
        }
    }

    #[test]
    fn the_shuffle_gives_every_combination_once() {
        let mut seen = vec![false; combinations() as usize];
        for device in Shuffled::new(11) {
            let place = &mut seen[device.number() as usize];
            assert!(!*place, "{device:?} came twice");
            *place = true;
        }
        assert!(seen.into_iter().all(|seen| seen));
    }

    #[test]
    fn seeds_give_different_orders() {
        let first = |seed| Shuffled::new(seed).take(50).collect::<HashSet<_>>();
        assert!(first(1).intersection(&first(2)).count() < 3);
    }

    #[test]
    fn one_combination_in_ten_is_on_the_test_side() {
        let test = Shuffled::new(3).take(50_000).filter(|device| device.side() == Side::Test);
        assert!((4_700..5_300).contains(&test.count()));
    }
}
