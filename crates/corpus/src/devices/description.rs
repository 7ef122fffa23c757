//! What a description says: the five attributes in other words, details, and sometimes a decoy.

use super::combination::Device;
use super::lexicon::{LEXICON, Value};
use super::{Language, chinese, english};
use crate::random::Stream;

/// One statement of a description.
pub(super) enum Clause {
    /// A predicate of the device ("can be carried in one hand"); it needs a subject.
    Predicate(&'static str),
    /// A clause that brings its own subject ("the housing is made of brass").
    Detail(String),
}

/// A description in the style of a patent abstract, its wording drawn from `stream`.
pub(super) fn describe(device: Device, language: Language, stream: &mut Stream) -> String {
    match language {
        Language::Chinese => chinese::description(device, stream),
        Language::English => english::description(device, stream),
    }
}

/// The three predicates of a device and one to four details, one of them perhaps a decoy, in any order.
pub(super) fn clauses(device: Device, language: Language, stream: &mut Stream) -> Vec<Clause> {
    const DECOY_PERCENT: usize = 60;
    let [feature, form, energy, _, _] = device.words();
    let mut clauses: Vec<Clause> =
        [feature, form, energy].map(|value| Clause::Predicate(clue(value, language, stream))).into();
    // A Chinese clause is short; one more detail brings both languages to a like number of tokens.
    let (fewest, most) = match language {
        Language::Chinese => (2, 3),
        Language::English => (1, 2),
    };
    let mut topics = Topic::ALL;
    stream.shuffle(&mut topics);
    let details = stream.between(fewest, most);
    clauses.extend(topics[..details].iter().map(|&topic| Clause::Detail(detail(topic, language, stream))));
    if stream.chance(DECOY_PERCENT) {
        clauses.push(Clause::Detail(decoy(device, language, stream)));
    }
    stream.shuffle(&mut clauses);
    clauses
}

/// What a detail is about; a description treats each topic once at most.
#[derive(Debug, Clone, Copy)]
pub(super) enum Topic {
    Material,
    Part,
    Place,
    Trial,
    Weight,
    Pace,
    Price,
    Guarantee,
    Learning,
}

impl Topic {
    const ALL: [Self; 9] = [
        Self::Material,
        Self::Part,
        Self::Place,
        Self::Trial,
        Self::Weight,
        Self::Pace,
        Self::Price,
        Self::Guarantee,
        Self::Learning,
    ];
}

fn detail(topic: Topic, language: Language, stream: &mut Stream) -> String {
    match language {
        Language::Chinese => chinese::detail(topic, stream),
        Language::English => english::detail(topic, stream),
    }
}

/// One of the phrases that say this value.
pub(super) fn clue(value: &Value, language: Language, stream: &mut Stream) -> &'static str {
    stream.pick(&value.clues).of(language)
}

/// The object as a noun phrase: its plain name, or more rarely its paraphrase.
pub(super) fn object_noun(value: &Value, language: Language, stream: &mut Stream) -> &'static str {
    const NAME_PERCENT: usize = 60;
    let index = if stream.chance(NAME_PERCENT) { 0 } else { 1 };
    value.clues[index].of(language)
}

/// What the device does to its object, as a predicate.
pub(super) fn function_clause(device: Device, language: Language, stream: &mut Stream) -> String {
    let [_, _, _, object, function] = device.words();
    let noun = object_noun(object, language, stream);
    clue(function, language, stream).replace("{}", noun)
}

/// A value of the same attribute that is not the device's own.
fn other(values: &'static [Value], own: usize, stream: &mut Stream) -> &'static Value {
    &values[(own + 1 + stream.below(values.len() - 1)) % values.len()]
}

/// An attribute about which a decoy misleads, and the wrong value.
pub(super) enum Decoy {
    Feature(&'static Value),
    Form(&'static Value),
    Energy(&'static Value),
    Object(&'static Value),
    Function(&'static Value),
}

fn decoy(device: Device, language: Language, stream: &mut Stream) -> String {
    let words = &*LEXICON;
    let decoy = match stream.below(5) {
        0 => Decoy::Feature(other(&words.feature, device.feature, stream)),
        1 => Decoy::Form(other(&words.form, device.form, stream)),
        2 => Decoy::Energy(other(&words.energy, device.energy, stream)),
        3 => Decoy::Object(other(&words.object, device.object, stream)),
        _ => Decoy::Function(other(&words.function, device.function, stream)),
    };
    match language {
        Language::Chinese => chinese::decoy(&decoy, stream),
        Language::English => english::decoy(&decoy, stream),
    }
}

#[cfg(test)]
mod tests;
