//! Cleaning: steps that look at one document at a time and keep, change or drop it, and say why.
//!
//! A [`Cleaning`] runs its steps one after another over a batch of documents, on all threads, and keeps the batch in order; each step
//! counts what it did. What a step does depends on the document alone, so neither batches nor threads change the result. What needs
//! all documents at once (duplicates, contamination) lives in [`crate::duplicates`].

mod c4;
mod characters;
mod language;
mod opencc;
mod page;
mod personal;
mod quality;
mod repetition;
mod script;
mod sentences;

use std::collections::BTreeMap;

use luthier_text::Reason;
use rayon::prelude::*;
use serde::Serialize;

pub use c4::CleanLines;
pub use characters::{ControlCharacters, Mojibake, NormalForm, Normalise};
pub use language::{Language, LanguageOf, Languages, language_of};
pub use page::{MainText, PageBounds, Selectors};
pub use personal::{Personal, is_taiwan_id};
pub(crate) use quality::is_han_or_kana;
pub use quality::{Length, Quality};
pub use repetition::Repetition;
pub use script::{Conversion, ConvertScript, KeepScript, Script, ScriptShare, script_share};
pub use sentences::{cut_at_sentence, sentences};

use crate::document::{Document, Fields};

/// What a step did with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Kept as it was.
    Kept,
    /// Kept and changed; what was changed, in a word or two.
    Changed(&'static str),
    /// Dropped.
    Dropped(Reason),
}

impl Verdict {
    /// A document dropped for a reason with a short name and the details of this case.
    #[must_use]
    pub fn dropped(label: &'static str, detail: impl Into<String>) -> Self {
        Verdict::Dropped(Reason { label, detail: detail.into() })
    }
}

/// A step of cleaning.
pub trait Step: Send + Sync {
    /// Its name in ledgers and recipes.
    fn name(&self) -> &'static str;

    /// Looks at a document, and perhaps changes it. A dropped document may be left half changed.
    fn apply(&self, document: &mut Document) -> Verdict;
}

/// Which fields of a document a step looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Over {
    /// All of them but those that hold no running text: `id`, `url`, `date`, `html`, `messages`, `source`.
    #[default]
    AllText,
    /// These, where the document has them.
    These(Vec<String>),
}

/// Fields that hold no running text.
const NO_TEXT: [&str; 9] = ["id", "url", "date", "html", "messages", "links", "sent_id", "paragraph_id", "source"];

impl Over {
    /// The given fields.
    pub fn fields<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Over::These(names.into_iter().map(str::to_owned).collect())
    }

    /// Whether a field is looked at.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Over::AllText => !NO_TEXT.contains(&name),
            Over::These(names) => names.iter().any(|known| known == name),
        }
    }

    /// The texts that are looked at.
    pub fn texts<'f>(&'f self, fields: &'f Fields) -> impl Iterator<Item = &'f str> {
        fields.iter().filter(|(name, _)| self.covers(name)).map(|(_, text)| text)
    }

    /// All the texts in one, a line break between them; borrowed where there is one.
    #[must_use]
    pub fn joined<'f>(&'f self, fields: &'f Fields) -> std::borrow::Cow<'f, str> {
        let mut texts = self.texts(fields).filter(|text| !text.is_empty());
        let Some(first) = texts.next() else { return "".into() };
        let Some(second) = texts.next() else { return first.into() };
        let mut all = String::with_capacity(first.len() + second.len() + 1);
        for text in [first, second].into_iter().chain(texts) {
            if !all.is_empty() {
                all.push('\n');
            }
            all.push_str(text);
        }
        all.into()
    }

    /// Changes each text that is looked at through `change`, which gives `None` to leave it; whether any was changed.
    pub(crate) fn change(&self, fields: &mut Fields, mut change: impl FnMut(&str) -> Option<String>) -> bool {
        let mut changed = false;
        for (_, text) in fields.iter_mut().filter(|(name, _)| self.covers(name)) {
            if let Some(new) = change(text) {
                *text = new;
                changed = true;
            }
        }
        changed
    }
}

/// What one step did with all documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StepCount {
    /// The step.
    pub step: &'static str,
    /// Documents that came to it.
    pub seen: u64,
    /// Changed documents by what was changed.
    pub changed: BTreeMap<&'static str, u64>,
    /// Dropped documents by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl StepCount {
    /// Documents it dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}

/// A document that a step dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The document, as it was then.
    pub document: Document,
    /// The step.
    pub step: &'static str,
    /// Why.
    pub reason: Reason,
}

/// Steps in their order, and what they did.
pub struct Cleaning {
    steps: Vec<Box<dyn Step>>,
    counts: Vec<StepCount>,
}

impl Cleaning {
    /// Steps to be run in this order.
    #[must_use]
    pub fn new(steps: Vec<Box<dyn Step>>) -> Self {
        let counts = steps.iter().map(|step| StepCount { step: step.name(), ..StepCount::default() }).collect();
        Cleaning { steps, counts }
    }

    /// What each step did so far.
    #[must_use]
    pub fn counts(&self) -> &[StepCount] {
        &self.counts
    }

    /// Cleans a batch, on all threads and in order: of each document the cleaned one, or why it was dropped.
    pub fn clean(&mut self, batch: Vec<Document>) -> Vec<Result<Document, Box<Dropped>>> {
        let steps = &self.steps;
        let cleaned: Vec<_> = batch.into_par_iter().map(|document| clean_one(steps, document)).collect();
        cleaned
            .into_iter()
            .map(|(result, verdicts)| {
                for (count, verdict) in self.counts.iter_mut().zip(verdicts) {
                    count.seen += 1;
                    match verdict {
                        Seen::Kept => {}
                        Seen::Changed(what) => *count.changed.entry(what).or_default() += 1,
                        Seen::Dropped(why) => *count.dropped.entry(why).or_default() += 1,
                    }
                }
                result
            })
            .collect()
    }
}

/// A verdict without its details.
enum Seen {
    Kept,
    Changed(&'static str),
    Dropped(&'static str),
}

fn clean_one(steps: &[Box<dyn Step>], mut document: Document) -> (Result<Document, Box<Dropped>>, Vec<Seen>) {
    let mut seen = Vec::with_capacity(steps.len());
    for step in steps {
        match step.apply(&mut document) {
            Verdict::Kept => seen.push(Seen::Kept),
            Verdict::Changed(what) => seen.push(Seen::Changed(what)),
            Verdict::Dropped(reason) => {
                seen.push(Seen::Dropped(reason.label));
                return (Err(Box::new(Dropped { document, step: step.name(), reason })), seen);
            }
        }
    }
    (Ok(document), seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Position, Provenance};
    use crate::source::Shape;

    /// A document with these fields.
    pub(super) fn document(fields: &[(&str, &str)]) -> Document {
        Document {
            id: "a".into(),
            shape: Shape::Columns,
            fields: fields.iter().copied().collect(),
            provenance: Provenance {
                file: std::path::Path::new("a.jsonl").into(),
                position: Position::Line(1),
                url: None,
            },
        }
    }

    struct Shout;

    impl Step for Shout {
        fn name(&self) -> &'static str {
            "shout"
        }

        fn apply(&self, document: &mut Document) -> Verdict {
            match document.text("text") {
                "" => Verdict::dropped("silent", "it says nothing"),
                text if text.ends_with('!') => Verdict::Kept,
                text => {
                    let loud = format!("{text}!");
                    document.fields.set("text", loud);
                    Verdict::Changed("louder")
                }
            }
        }
    }

    #[test]
    fn a_batch_stays_in_order_and_every_document_is_counted() {
        let mut cleaning = Cleaning::new(vec![Box::new(Shout), Box::new(Shout)]);
        let texts = ["a", "", "b!", "c"];
        let cleaned = cleaning.clean(texts.iter().map(|text| document(&[("text", text)])).collect());
        let texts: Vec<_> =
            cleaned.iter().map(|result| result.as_ref().map(|d| d.text("text")).map_err(|d| d.reason.label)).collect();
        assert_eq!(texts, [Ok("a!"), Err("silent"), Ok("b!"), Ok("c!")]);
        let [first, second] = cleaning.counts() else { panic!("two steps") };
        assert_eq!((first.seen, first.changed["louder"], first.dropped["silent"]), (4, 2, 1));
        assert_eq!((second.seen, second.changed.len(), second.dropped()), (3, 0, 0));
    }
}
