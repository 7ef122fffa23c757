//! The steps of cleaning that a recipe names, and which options belong to which.

use luthier_corpus::CorpusError;
use luthier_corpus::clean::{
    CleanLines, ControlCharacters, Conversion, ConvertScript, KeepScript, Language, Languages, Length, MainText,
    Mojibake, NormalForm, Normalise, Over, Personal, Quality, Repetition, Script, Selectors, Step,
};

use super::choice::{NormalFormName, StepName};
use super::resolved::RecipePath;
use super::written::Written;

impl StepName {
    /// The options that belong to a step, the needed ones first; how many are needed.
    pub(super) fn options(self) -> (&'static [&'static str], usize) {
        match self {
            StepName::ControlCharacters | StepName::Repetition => (&["over"], 0),
            StepName::Normalise => (&["form", "over"], 0),
            StepName::Mojibake => (&["most_lost", "over"], 0),
            StepName::MainText => (&["least"], 0),
            StepName::Select => (&["select"], 1),
            StepName::Language => (&["keep", "confidence", "over"], 0),
            StepName::Script => (&["keep", "share", "keep_unknown", "over"], 1),
            StepName::Convert => (&["to", "tables", "over"], 1),
            StepName::Length => (&["least", "most", "over"], 0),
            StepName::Quality => (&["least_words", "stop_words", "over"], 0),
            StepName::CleanLines => (&["least_words", "ends_with_mark", "least_sentences", "over"], 0),
            StepName::Personal => (&["mask", "over"], 0),
        }
    }
}

/// A step could not be made: the option at fault, and why.
pub(super) type Refused = (&'static str, String);

/// The step that stands under the path `at`, such as `build.clean[2]`, whose options have been checked.
pub(super) fn step(written: &Written, at: &str, folder: &std::path::Path) -> Result<Box<dyn Step>, Refused> {
    let key = |name: &str| format!("{at}.{name}");
    let number = |name: &str, usual: f64| written.number(&key(name)).unwrap_or(usual);
    let count = |name: &str| written.count(&key(name));
    let over = written.texts(&key("over")).map_or(Over::AllText, Over::These);
    let flag = |name: &str, usual: bool| if written.has(&key(name)) { written.flag(&key(name)) } else { usual };
    let name = written.text(&key("step")).as_deref().and_then(StepName::from_name).expect("the step was checked");
    Ok(match name {
        StepName::ControlCharacters => Box::new(ControlCharacters { over }),
        StepName::Normalise => {
            let form = written.text(&key("form")).as_deref().and_then(NormalFormName::from_name);
            let form = match form.unwrap_or(NormalFormName::Nfc) {
                NormalFormName::Nfc => NormalForm::Nfc,
                NormalFormName::Nfkc => NormalForm::Nfkc,
                NormalFormName::NfkcButPunctuation => NormalForm::NfkcButPunctuation,
            };
            Box::new(Normalise { form, over })
        }
        StepName::Mojibake => {
            let usual = Mojibake::default();
            Box::new(Mojibake { most_lost: number("most_lost", usual.most_lost), over })
        }
        StepName::MainText => Box::new(MainText { least: count("least").unwrap_or(0), ..MainText::default() }),
        StepName::Select => {
            let pairs = written.pairs(&key("select")).unwrap_or_default();
            let pairs = pairs.iter().map(|(field, selector)| (field.as_str(), selector.as_str()));
            Box::new(Selectors::new(pairs).map_err(refused("select"))?)
        }
        StepName::Language => {
            let keep = written.texts(&key("keep")).unwrap_or_default();
            let unknown = |code: &str| {
                ("keep", format!("{code:?} is the code of no language that is told, such as \"zh\" or \"en\""))
            };
            let keep: Result<Vec<Language>, Refused> =
                keep.iter().map(|code| Language::by_code(code).ok_or_else(|| unknown(code))).collect();
            Box::new(Languages { keep: keep?, least_confidence: number("confidence", 0.0), over })
        }
        StepName::Script => {
            let keep = written.texts(&key("keep")).unwrap_or_default();
            let script = match keep.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["traditional"] => Script::Traditional,
                ["simplified"] => Script::Simplified,
                _ => return Err(("keep", "must be [\"traditional\"] or [\"simplified\"]".to_owned())),
            };
            Box::new(KeepScript { script, least: number("share", 0.9), keep_unknown: flag("keep_unknown", true), over })
        }
        StepName::Convert => {
            let to = written.text(&key("to"));
            let to = to.as_deref().and_then(Conversion::by_name).expect("the conversion was checked");
            let step = match written.text(&key("tables")) {
                None => ConvertScript::new(to),
                Some(tables) => ConvertScript::with_tables(to, RecipePath::new(folder, tables).full()),
            };
            let mut step = step.map_err(refused("tables"))?;
            step.over = over;
            Box::new(step)
        }
        StepName::Length => {
            Box::new(Length { least: count("least").unwrap_or(0), most: count("most").unwrap_or(usize::MAX), over })
        }
        StepName::Quality => {
            let usual = Quality::default();
            let least_words = number("least_words", usual.least_words);
            let stop_words = count("stop_words").unwrap_or(usual.stop_words);
            Box::new(Quality { least_words, stop_words, over, ..usual })
        }
        StepName::Repetition => Box::new(Repetition { over, ..Repetition::default() }),
        StepName::CleanLines => {
            let usual = CleanLines::default();
            Box::new(CleanLines {
                least_words: number("least_words", usual.least_words as f64).ceil() as usize,
                ends_with_mark: flag("ends_with_mark", usual.ends_with_mark),
                least_sentences: count("least_sentences").unwrap_or(usual.least_sentences),
                over: if written.has(&key("over")) { over } else { usual.over.clone() },
                ..usual
            })
        }
        StepName::Personal => {
            let mask = written.texts(&key("mask"));
            let masks = |what: &str| mask.as_ref().is_none_or(|mask| mask.iter().any(|known| known == what));
            let usual = Personal { over, ..Personal::default() };
            Box::new(Personal {
                email: usual.email.clone().filter(|_| masks("email")),
                phone: usual.phone.clone().filter(|_| masks("phone")),
                identity: usual.identity.clone().filter(|_| masks("id")),
                ..usual
            })
        }
    })
}

fn refused(option: &'static str) -> impl FnOnce(CorpusError) -> Refused {
    move |error| (option, error.to_string())
}
