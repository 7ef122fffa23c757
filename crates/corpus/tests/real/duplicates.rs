//! Near duplicates among real texts: copies with a tenth of their characters edited are planted and looked for.

use std::convert::Infallible;

use luthier_corpus::Source;
use luthier_corpus::clean::Over;
use luthier_corpus::duplicates::{Near, NearOptions};
use luthier_fixtures::shared;

/// Numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// The text with a tenth of its letters changed, taken out or followed by another one, at random places.
fn edited(text: &str, alphabet: &[char], numbers: &mut Numbers) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let letters: Vec<usize> = (0..characters.len()).filter(|at| characters[*at].is_alphanumeric()).collect();
    let mut places: Vec<usize> = letters.clone();
    for i in 0..places.len() {
        let j = i + numbers.below(places.len() - i);
        places.swap(i, j);
    }
    places.truncate((letters.len() / 10).max(1));
    // From behind, so that places before stay where they are.
    places.sort_unstable_by(|a, b| b.cmp(a));
    for at in places {
        let other = alphabet[numbers.below(alphabet.len())];
        match numbers.below(3) {
            0 => characters[at] = other,
            1 => drop(characters.remove(at)),
            _ => characters.insert(at, other),
        }
    }
    characters.into_iter().collect()
}

fn texts(source: &Source, over: &Over) -> Vec<String> {
    let documents = source.documents().expect("it opens").flatten();
    documents.map(|document| over.joined(&document.fields).into_owned()).collect()
}

fn twins(texts: &[String], share: f64) -> Vec<Option<usize>> {
    let mut near = Near::new(NearOptions { edited: share, ..NearOptions::default() }).expect("a share");
    texts.chunks(1000).for_each(|batch| near.add(batch));
    let found = near.finish(|i| Ok::<_, Infallible>(texts[i].as_str())).expect("texts are here");
    found.into_iter().map(|found| found.map(|near| near.of)).collect()
}

/// Plants a copy of every tenth text behind all texts, and measures what is found of the copies, and how much of what is found is one.
fn measure(name: &str, texts: Vec<String>) {
    // Natural twins are no copies that were planted: of texts that are alike within 30 % one is taken.
    let alone = twins(&texts, 0.3);
    let long = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count() >= 10;
    let mut texts: Vec<String> = texts
        .into_iter()
        .zip(alone)
        .filter(|(text, twin)| twin.is_none() && long(text))
        .map(|(text, _)| text)
        .collect();
    let mut alphabet: Vec<char> =
        texts.iter().take(500).flat_map(|text| text.chars()).filter(|c| c.is_alphanumeric()).collect();
    alphabet.dedup();
    let mut numbers = Numbers(11);
    let originals = texts.len();
    let copied: Vec<usize> = (0..originals).step_by(10).collect();
    for of in &copied {
        let copy = edited(&texts[*of], &alphabet, &mut numbers);
        texts.push(copy);
    }
    let found = twins(&texts, NearOptions::default().edited);
    let reported = found.iter().flatten().count();
    let right = copied.iter().enumerate().filter(|(i, of)| found[originals + i] == Some(**of)).count();
    let recall = right as f64 / copied.len() as f64;
    let precision = right as f64 / reported as f64;
    println!(
        "{name}: {originals} texts, {} copies planted, {reported} reported, {right} of them right: recall {:.2} %, precision {:.2} %",
        copied.len(),
        100.0 * recall,
        100.0 * precision
    );
    luthier_fixtures::announce(&format!("near duplicates, {name}: recall {recall:.4}, precision {precision:.4}"));
    assert!(recall > 0.95 && precision > 0.99, "{name}: recall {recall}, precision {precision}");
}

#[test]
fn copies_with_a_tenth_of_their_characters_edited_are_found_in_both_languages() {
    let Some(folder) = shared("data/ud-pud-zh-en") else { return };
    for (file, language) in
        [("zh_pud-ud-test.conllu", "Chinese sentences"), ("en_pud-ud-test.conllu", "English sentences")]
    {
        measure(language, texts(&Source::new(folder.join(file)), &Over::fields(["text"])));
    }
}

#[test]
fn copies_with_a_tenth_of_their_characters_edited_are_found_among_instructions() {
    let Some(file) = shared("data/stanford-alpaca/alpaca_data.json") else { return };
    measure("alpaca", texts(&Source::new(file), &Over::fields(["instruction", "input", "output"])));
}
