//! Running text about devices of the training side: words and syntax, never the task.

use super::combination::{Device, Side, combinations};
use super::description::describe;
use super::lexicon::Value;
use super::row::language_of;
use super::{Language, chinese, english, purpose};
use crate::random::Stream;

/// A place in a title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Feature,
    Form,
    Energy,
    Object,
    Function,
}

/// What a dialogue may ask about.
pub(super) enum Trait {
    /// One word of the title.
    Value(Part, &'static Value),
    /// Object and function together.
    Task,
}

/// Names that running text may use: at most three of the five words, so never a title.
const NAMES: &[&[Part]] = {
    use Part::{Energy, Feature, Form, Function, Object};
    &[
        &[Feature],
        &[Form],
        &[Energy],
        &[Object, Function],
        &[Feature, Form],
        &[Form, Energy],
        &[Feature, Energy],
        &[Feature, Form, Energy],
        &[Energy, Function],
        &[Form, Function],
        &[Energy, Object, Function],
        &[Form, Object, Function],
        &[Feature, Object, Function],
    ]
};

/// The first `documents` documents of running text: descriptions (some with a remark that comes back to the device by
/// part of its name), catalog entries, dialogues, comparisons and explanations of words.
///
/// Document `i` depends on `seed` and `i` alone. Only combinations of [`Side::Train`] are drawn.
pub fn pretraining_text(seed: u64, documents: usize) -> impl Iterator<Item = String> {
    (0..documents as u64).map(move |index| {
        let mut stream = Stream::new(seed, purpose::DOCUMENT, index);
        let language = language_of(&mut stream);
        document(language, &mut stream)
    })
}

fn document(language: Language, stream: &mut Stream) -> String {
    let device = draw(stream);
    match stream.below(100) {
        0..20 => describe(device, language, stream),
        20..45 => remarked(device, language, stream),
        45..60 => match language {
            Language::Chinese => chinese::catalog_entry(device, stream),
            Language::English => english::catalog_entry(device, stream),
        },
        60..72 => {
            let traits = traits(device, stream);
            match language {
                Language::Chinese => chinese::dialogue(device, &traits, stream),
                Language::English => english::dialogue(device, &traits, stream),
            }
        }
        72..82 => {
            let part = stream.pick(&[Part::Feature, Part::Form, Part::Energy]);
            let pair = [device, draw_unlike(device, part, stream)];
            match language {
                Language::Chinese => chinese::comparison(pair, part, stream),
                Language::English => english::comparison(pair, part, stream),
            }
        }
        _ => glossary(language, stream),
    }
}

/// A combination of the training side.
fn draw(stream: &mut Stream) -> Device {
    loop {
        let device = Device::from_number(stream.below(combinations() as usize) as u64);
        if device.side() == Side::Train {
            return device;
        }
    }
}

/// Another device, which differs in this part of its title.
fn draw_unlike(device: Device, part: Part, stream: &mut Stream) -> Device {
    let word = |device: Device| device.words()[part as usize].title.of(Language::English);
    loop {
        let other = draw(stream);
        if word(other) != word(device) {
            return other;
        }
    }
}

/// A description, and one or two remarks that name the device in part.
fn remarked(device: Device, language: Language, stream: &mut Stream) -> String {
    let mut texts = vec![describe(device, language, stream)];
    for _ in 0..stream.between(1, 2) {
        let parts = stream.pick(NAMES);
        texts.push(match language {
            Language::Chinese => chinese::remark(device, parts, stream),
            Language::English => english::remark(device, parts, stream),
        });
    }
    texts.join(between_sentences(language))
}

/// Two or three attributes to ask about, in any order.
fn traits(device: Device, stream: &mut Stream) -> Vec<Trait> {
    let [feature, form, energy, _, _] = device.words();
    let mut traits = vec![
        Trait::Value(Part::Feature, feature),
        Trait::Value(Part::Form, form),
        Trait::Value(Part::Energy, energy),
        Trait::Task,
    ];
    stream.shuffle(&mut traits);
    traits.truncate(stream.between(2, 3));
    traits
}

/// Three to five sentences that explain words, of as many devices.
fn glossary(language: Language, stream: &mut Stream) -> String {
    let sentences: Vec<String> = (0..stream.between(3, 5))
        .map(|_| {
            let device = draw(stream);
            let alone = stream.below(6);
            match (alone, language) {
                (0..3, Language::Chinese) => chinese::explained(device.words()[alone], stream),
                (0..3, Language::English) => english::explained(device.words()[alone], stream),
                (_, Language::Chinese) => chinese::composed(device, stream.pick(NAMES), stream),
                (_, Language::English) => english::composed(device, stream.pick(NAMES), stream),
            }
        })
        .collect();
    sentences.join(between_sentences(language))
}

fn between_sentences(language: Language) -> &'static str {
    match language {
        Language::Chinese => "",
        Language::English => " ",
    }
}
