//! One document measured, on whatever thread.

use std::borrow::Cow;

use super::said::Said;
use super::tokens::{Rendering, RowTokens};
use crate::clean::{MainText, Over, Script, ScriptShare, Step, language_of, script_share};
use crate::document::Document;
use crate::duplicates::Exact;
use crate::random::key;

/// The script of a row's Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScriptOf {
    /// At least nine in ten of the characters that tell are Traditional.
    Traditional,
    /// At least nine in ten are Simplified.
    Simplified,
    /// Both are used.
    Mixed,
    /// No character tells.
    Neither,
}

/// The share of telling characters from which on a row is of one script: quotations and names in the other one are no mixture.
const ONE_SCRIPT: f64 = 0.9;

impl ScriptOf {
    /// All of them.
    pub const ALL: [ScriptOf; 4] = [ScriptOf::Traditional, ScriptOf::Simplified, ScriptOf::Mixed, ScriptOf::Neither];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ScriptOf::Traditional => Script::Traditional.name(),
            ScriptOf::Simplified => Script::Simplified.name(),
            ScriptOf::Mixed => "mixed",
            ScriptOf::Neither => "none",
        }
    }

    fn of(share: ScriptShare) -> Self {
        match share.share(Script::Traditional) {
            None => ScriptOf::Neither,
            Some(share) if share >= ONE_SCRIPT => ScriptOf::Traditional,
            Some(share) if 1.0 - share >= ONE_SCRIPT => ScriptOf::Simplified,
            Some(_) => ScriptOf::Mixed,
        }
    }
}

/// One of a document's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldMeasure {
    pub(super) characters: u64,
    /// Whether it holds more than white space.
    pub(super) says_something: bool,
    pub(super) tokens: Option<u64>,
}

/// What there is to know of one document.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// A hash of all it says; `None` where it says nothing.
    pub(super) identity: Option<u64>,
    /// A hash of its prompt; 0 where it has none.
    pub(super) prompt: u64,
    /// A hash of its own id; 0 where it has none.
    pub(super) id: u64,
    pub(super) instruction: u64,
    pub(super) output: u64,
    pub(super) prompt_characters: u64,
    pub(super) output_characters: u64,
    pub(super) turns: u64,
    /// In the order of the document's fields.
    pub(super) fields: Vec<FieldMeasure>,
    /// The characters of a page's HTML, of which the fields hold the main text.
    pub(super) html: Option<u64>,
    pub(super) language: Option<&'static str>,
    pub(super) script: ScriptOf,
    pub(super) tokens: Option<Result<Option<RowTokens>, String>>,
}

/// Purposes of hashes.
const OF_ROW: u64 = 1;
const OF_PROMPT: u64 = 2;
const OF_ID: u64 = 3;

/// The names under which rows carry an id of their own.
const IDS: [&str; 5] = ["id", "qid", "news_id", "uuid", "sent_id"];

impl Measured {
    /// Measures a document; of a page, its main text takes the place of its HTML.
    pub(super) fn of(document: &mut Document, rendering: Option<&Rendering<'_>>) -> Self {
        let html = document.fields.get("html").map(characters);
        as_text(document);
        let said = Said::of(document);
        let (prompt, output) = (said.prompt(), said.output());
        let [prompt_key, output_key] = [&prompt, output].map(Exact::key);
        let has_prompt = !prompt.is_empty();
        let own_id = || IDS.iter().find_map(|name| document.fields.get(name)).filter(|id| !id.is_empty());
        let key_of_prompt = || key(&[OF_PROMPT, low(prompt_key), high(prompt_key)]);
        let identity = [OF_ROW, low(prompt_key), high(prompt_key), low(output_key), high(output_key)];
        // What is noted beside a conversation is in whatever language its publisher speaks.
        let spoken = if has_prompt { format!("{prompt}\n{output}").into() } else { Cow::Borrowed(output) };
        let tokens = rendering.map(|rendering| match rendering.of(&said) {
            Ok(example) => Ok(example.as_ref().map(RowTokens::of)),
            Err(error) => Err(error.to_string()),
        });
        Measured {
            identity: (has_prompt || !output.trim().is_empty()).then(|| key(&identity)),
            prompt: if has_prompt { key_of_prompt() } else { 0 },
            id: own_id().map_or(0, |id| key(&[OF_ID, low(Exact::key(id))])),
            instruction: low(Exact::key(document.text("instruction"))),
            output: low(output_key),
            prompt_characters: characters(&prompt),
            output_characters: characters(output),
            turns: said.turns(),
            fields: document.fields.iter().map(|(name, text)| FieldMeasure::of(name, text, rendering)).collect(),
            html,
            language: language_of(&spoken).map(|found| found.language.code()),
            script: ScriptOf::of(script_share(&spoken)),
            tokens,
        }
    }
}

/// Puts a page's main text in the place of its HTML.
pub(super) fn as_text(document: &mut Document) {
    if document.fields.get("html").is_some() {
        // A page without a main text is one that says nothing.
        let _ = MainText::default().apply(document);
    }
}

impl FieldMeasure {
    fn of(name: &str, text: &str, rendering: Option<&Rendering<'_>>) -> Self {
        let rendering = rendering.filter(|_| Over::AllText.covers(name));
        FieldMeasure {
            characters: characters(text),
            says_something: !text.trim().is_empty(),
            tokens: rendering.map(|rendering| rendering.count(text)),
        }
    }
}

fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}

fn low(key: u128) -> u64 {
    key as u64
}

fn high(key: u128) -> u64 {
    (key >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_in_the_other_script_does_not_make_a_text_a_mixed_one() {
        let of = |text: &str| ScriptOf::of(script_share(text)).name();
        assert_eq!(of("處處聞啼鳥，夜來風雨聲"), "traditional");
        assert_eq!(of("处处闻啼鸟，夜来风雨声"), "simplified");
        assert_eq!(of("處處聞啼鳥，夜来风雨声"), "mixed");
        assert_eq!(of("人中文 only"), "none");
        assert_eq!(of(&format!("{}风", "處聞鳥來風聲".repeat(3))), "traditional");
    }
}
