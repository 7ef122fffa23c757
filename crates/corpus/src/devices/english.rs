//! English sentences about devices: frames in which the words of the lexicon stand.

use super::Language;
use super::combination::{Device, capitalised};
use super::description::{Clause, Decoy, Topic, clauses, clue, function_clause, object_noun};
use super::lexicon::{LEXICON, Value};
use super::pretraining::{Part, Trait};
use crate::random::Stream;

const EN: Language = Language::English;

/// Words for "device" that give nothing away.
const NOUNS: &[&str] = &["device", "machine", "apparatus", "unit", "appliance"];

/// The words with "a" or "an" before them. Every word of the lexicon sounds as its first letter says
/// except "unit", whose u is said "you".
pub(super) fn with_article(words: &str) -> String {
    let vowel = words.starts_with(['a', 'e', 'i', 'o', 'u']) && !words.starts_with("uni");
    format!("{} {words}", if vowel { "an" } else { "a" })
}

pub(super) fn description(device: Device, stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let a_noun = with_article(noun);
    let task = function_clause(device, EN, stream);
    let opening = match stream.below(6) {
        0 => format!("The present invention concerns {a_noun} that {task}."),
        1 => format!("Disclosed is {a_noun} that {task}."),
        2 => format!("This design provides {a_noun} which {task}."),
        3 => format!("The inventor proposes {a_noun} that {task}."),
        4 => format!("The task of this {noun} is simple: it {task}."),
        _ => format!("The {noun} of this application {task}."),
    };
    format!("{opening} {}", sentences(&clauses(device, EN, stream), noun, stream))
}

/// Clauses joined to sentences of one or two.
fn sentences(clauses: &[Clause], noun: &str, stream: &mut Stream) -> String {
    let mut sentences = Vec::new();
    for (number, group) in clauses.chunks(2).enumerate() {
        let opener = match number {
            0 => "",
            1 => stream.pick(&["", "In addition, "]),
            _ => stream.pick(&["", "Moreover, "]),
        };
        sentences.push(capitalised(&format!("{opener}{}.", sentence(group, noun, stream))));
    }
    sentences.join(" ")
}

fn sentence(clauses: &[Clause], noun: &str, stream: &mut Stream) -> String {
    let the_noun = format!("the {noun}");
    let subject = if stream.chance(50) { "it" } else { &the_noun };
    match clauses {
        [Clause::Predicate(first), Clause::Predicate(second)] => match stream.below(2) {
            0 => format!("{subject} {first} and {second}"),
            _ => format!("{subject} {first}, and it {second}"),
        },
        [Clause::Predicate(first), Clause::Detail(second)] => {
            format!("{subject} {first}, and {second}")
        }
        [Clause::Detail(first), Clause::Predicate(second)] => {
            format!("{first}, and {subject} {second}")
        }
        [Clause::Detail(first), Clause::Detail(second)] => format!("{first}, and {second}"),
        [Clause::Predicate(only)] => format!("{subject} {only}"),
        [Clause::Detail(only)] => only.clone(),
        _ => unreachable!("sentences are made of one or two clauses"),
    }
}

pub(super) fn detail(topic: Topic, stream: &mut Stream) -> String {
    match topic {
        Topic::Material => {
            let material = stream.pick(&LEXICON.materials).of(EN);
            stream.pick(&["the housing is made of {}", "the frame consists of {}"]).replace("{}", material)
        }
        Topic::Part => {
            let part = with_article(stream.pick(&LEXICON.parts).of(EN));
            stream.pick(&["{} is fitted on one side", "{} is found at the back"]).replace("{}", &part)
        }
        Topic::Place => {
            format!("the makers recommend it for {}", stream.pick(&LEXICON.places).of(EN))
        }
        Topic::Trial => {
            let place = stream.pick(&LEXICON.places).of(EN);
            format!("trials in {place} lasted {} days", stream.between(3, 90))
        }
        Topic::Weight => format!("the weight is about {} kilograms", stream.between(2, 80)),
        Topic::Pace => format!("one hour is enough for {} kilograms", stream.between(2, 90)),
        Topic::Price => format!("the price is {} dollars", stream.between(8, 95) * 10),
        Topic::Guarantee => format!("the guarantee lasts {} months", stream.between(6, 48)),
        Topic::Learning => {
            format!("new users learn to handle it in {} minutes", stream.between(5, 60))
        }
    }
}

/// A clause that names a word of another device.
pub(super) fn decoy(decoy: &Decoy, stream: &mut Stream) -> String {
    match decoy {
        Decoy::Feature(value) => format!("only the old model was {}", value.title.of(EN)),
        Decoy::Form(value) => {
            let named = with_article(value.title.of(EN));
            format!("the first prototype was {named} one")
        }
        Decoy::Energy(value) => {
            format!("the cost is below that of {} models", value.title.of(EN))
        }
        Decoy::Object(value) => {
            format!("early trials with {} were given up", object_noun(value, EN, stream))
        }
        Decoy::Function(value) => {
            format!("there is room for {} beside it", with_article(value.title.of(EN)))
        }
    }
}

/// A name made of some of the words, with a plain noun where the function is not among them.
pub(super) fn name(device: Device, parts: &[Part], noun: &str) -> String {
    let words = device.words();
    let mut name: Vec<&str> = parts.iter().map(|&part| words[part as usize].title.of(EN)).collect();
    if !parts.contains(&Part::Function) {
        name.push(noun);
    }
    name.join(" ")
}

/// A remark that comes back to a device by a part of its name.
pub(super) fn remark(device: Device, parts: &[Part], stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let name = name(device, parts, noun);
    let place = stream.pick(&LEXICON.places).of(EN);
    match stream.below(6) {
        0 => format!("This {name} is well liked in {place}."),
        1 => format!("{} of this kind was recently bought for {place}.", capitalised(&with_article(&name))),
        2 => format!("Those who have used the {name} find it handy."),
        3 => format!("Last year {} buyers ordered the {name}.", stream.between(20, 900)),
        4 => format!("For {place}, the {name} is a great help."),
        _ => format!("It took {} months to build the {name}.", stream.between(2, 30)),
    }
}

/// A catalog entry: the whole name first, then what is to be said about it.
pub(super) fn catalog_entry(device: Device, stream: &mut Stream) -> String {
    let title = device.title(EN);
    let noun = stream.pick(NOUNS);
    let number = stream.between(10, 999);
    let task = function_clause(device, EN, stream);
    let head = match stream.below(3) {
        0 => format!("Catalog number {number}: {title}. It {task}."),
        1 => format!("{title} (model {number}). Its purpose is clear: it {task}."),
        _ => format!("{title}, new in our shop, {task}."),
    };
    format!("{head} {}", sentences(&clauses(device, EN, stream), noun, stream))
}

/// Question and answer about some attributes.
pub(super) fn dialogue(device: Device, traits: &[Trait], stream: &mut Stream) -> String {
    const ASKERS: &[&str] = &["Mei", "Tom", "the customer", "the student", "the reporter"];
    const EXPERTS: &[&str] = &["the mechanic", "the teacher", "the engineer", "the inventor"];
    let (asker, expert) = (stream.pick(ASKERS), stream.pick(EXPERTS));
    let noun = stream.pick(NOUNS);
    let mut turns = Vec::new();
    for asked in traits {
        let (question, answer) = match asked {
            Trait::Value(part, value) => {
                let question = match part {
                    Part::Feature => format!("What is special about this {noun}?"),
                    Part::Form => format!("How is this {noun} built?"),
                    _ => format!("What drives this {noun}?"),
                };
                (question, clue(value, EN, stream).to_owned())
            }
            Trait::Task => (format!("What does this {noun} do?"), function_clause(device, EN, stream)),
        };
        let word = with_article(&trait_name(device, asked, noun));
        let reply = stream.pick(&["So it is", "Then it must be", "I see, it is"]);
        turns.push(format!("\"{question}\" asked {asker}. \"It {answer},\" said {expert}."));
        turns.push(format!("\"{reply} {word}.\""));
    }
    turns.join(" ")
}

fn trait_name(device: Device, asked: &Trait, noun: &str) -> String {
    match asked {
        Trait::Value(_, value) => format!("{} {noun}", value.title.of(EN)),
        Trait::Task => name(device, &[Part::Object, Part::Function], noun),
    }
}

/// Two devices side by side, told apart by one attribute and by their tasks.
pub(super) fn comparison(pair: [Device; 2], part: Part, stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let place = stream.pick(&LEXICON.places).of(EN);
    let [(word, says), (other_word, other_says)] = pair.map(|device| {
        let value = device.words()[part as usize];
        (with_article(&format!("{} {noun}", value.title.of(EN))), clue(value, EN, stream))
    });
    let [task, other_task] = pair.map(|device| function_clause(device, EN, stream));
    let [kind, other_kind] = pair.map(|device| with_article(&name(device, &[Part::Object, Part::Function], noun)));
    let first = match stream.below(2) {
        0 => format!("A fair for {place} shows {word} and {other_word}: the former {says}, the latter {other_says}."),
        _ => format!("{} {says}, while {other_word} {other_says}.", capitalised(&word)),
    };
    let second = match stream.below(2) {
        0 => format!("The former {task}, so it is {kind}; the latter {other_task}, so it is {other_kind}."),
        _ => format!("{} {task}, and {other_kind} {other_task}.", capitalised(&kind)),
    };
    format!("{first} {second}")
}

/// A sentence that explains one word.
pub(super) fn explained(value: &Value, stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let a_noun = with_article(noun);
    let named = with_article(&format!("{} {noun}", value.title.of(EN)));
    let says = clue(value, EN, stream);
    match stream.below(4) {
        0 => format!("{} {says}.", capitalised(&named)),
        1 => format!("{} that {says} is called {named}.", capitalised(&a_noun)),
        2 => format!("If {a_noun} {says}, it is {named}."),
        _ => format!("By {named} we mean one that {says}."),
    }
}

/// A sentence that puts a name of two or three words together from what they mean.
pub(super) fn composed(device: Device, parts: &[Part], stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let a_noun = with_article(noun);
    let words = device.words();
    let mut says: Vec<String> = parts
        .iter()
        .filter(|part| !matches!(part, Part::Object | Part::Function))
        .map(|&part| clue(words[part as usize], EN, stream).to_owned())
        .collect();
    if parts.contains(&Part::Function) {
        says.push(function_clause(device, EN, stream));
    }
    stream.shuffle(&mut says);
    let says = says.join(" and ");
    let name = with_article(&name(device, parts, noun));
    match stream.below(3) {
        0 => format!("{} that {says} is {name}.", capitalised(&a_noun)),
        1 => format!("If {a_noun} {says}, people call it {name}."),
        _ => format!("Because it {says}, this is {name}."),
    }
}
