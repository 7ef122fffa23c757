//! Invented devices: a small language in which a description determines a title.
//!
//! A device is a combination of five attributes (feature, form, energy, object, function). Its title names all
//! five: 「靜音可攜式太陽能茶葉乾燥機」, "Quiet portable solar-powered tea dryer". Its description tells them in
//! other words ("fits into a shopping bag"), in any order, among details that do not enter the title and
//! decoys that name the word of some *other* value ("only the older model was of the waterproof type"). So the title is
//! never found in the description, yet follows from it.
//!
//! Every combination lies on one [`Side`] of a split that no seed moves. [`pretraining_text`] and the
//! training rows draw from one side, the test rows from the other. The pretraining text teaches words and
//! syntax: it may name a device in passing by at most three of its five words, and a catalog entry begins with the
//! whole name; the order of the task, a description and then its title, never occurs, nor do the instructions.

mod chinese;
mod combination;
mod description;
mod english;
mod lexicon;
mod pretraining;
mod row;
#[cfg(test)]
mod script;

/// The language of a row or document: six in ten are Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Traditional Chinese as written in Taiwan.
    Chinese,
    /// English.
    English,
}

pub use combination::{Device, Side, combinations};
pub use pretraining::pretraining_text;
pub use row::{DeviceRow, combinations_of, readme_examples, rows};

/// What a random stream is for, so that no two uses share numbers.
mod purpose {
    pub(super) const ROW: u64 = 1;
    pub(super) const DOCUMENT: u64 = 2;
    pub(super) const ORDER: u64 = 3;
}
