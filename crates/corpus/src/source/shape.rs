//! The shapes of rows that are known by their fields, and how each becomes a document.
//!
//! A question with its answer becomes `instruction`, `input` (where there is one) and `output`; running text becomes `text`, with a
//! `title` where there is one; a conversation becomes `messages`, as JSON, and also `instruction` and `output` from its first question
//! and last answer. All other fields of a row stay under their own names. What the data sets hold is documented in their own
//! repositories; `brightmart/nlp_chinese_corpus`, `LianjiaTech/BELLE`, `yangjianxin1/Firefly` and so on.

mod conversation;
mod question;

use luthier_text::{Fault, FaultKind};
use serde_json::{Map, Value};

use crate::document::Fields;

/// The shape of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Shape {
    /// `instruction`, perhaps `input`, `output`: also BELLE's single turns.
    Alpaca,
    /// `prompt`, `completion`.
    PromptCompletion,
    /// `input`, `target`: also BELLE's first release.
    InputTarget,
    /// BELLE's conversations: the history inside `instruction`, as `Human:` and `Assistant:`.
    BelleMultiTurn,
    /// BELLE's evaluation set: `question`, `std_answer`, `class`.
    BelleEvaluation,
    /// `conversations` of `from` and `value`.
    ShareGpt,
    /// `messages` of `role` and `content`.
    Messages,
    /// `instruction`, `context`, `response`, `category`.
    Dolly,
    /// `kind`, `input`, `target`.
    Firefly,
    /// `question`, `human_answers`, `chatgpt_answers`.
    Hc3,
    /// Self-instruct's seed tasks: `instruction` and `instances` of `input` and `output`.
    SeedTasks,
    /// `id`, `url`, `title`, `text`.
    Wiki2019zh,
    /// `news_id`, `title`, `content`, `desc`, ...
    News2016zh,
    /// `qid`, `category`, `title`, `desc`, `answer`.
    Baike2018qa,
    /// `qid`, `title`, `desc`, `topic`, `content`, ...
    Webtext2019zh,
    /// `english`, `chinese`.
    Translation2019zh,
    /// SQuAD and DRCD: articles of paragraphs of questions, one document a question.
    Squad,
    /// `text`, or a plain text.
    Text,
    /// A page of HTML, from a file or an archive.
    Page,
    /// What a WAT says of a page.
    PageMetadata,
    /// A sentence with its comments.
    Sentence,
    /// A record of an XML file.
    Xml,
    /// The columns that the recipe maps.
    Mapped,
    /// None of these: the row's fields under their own names.
    Columns,
}

impl Shape {
    const NAMED: [(&'static str, Shape); 24] = [
        ("alpaca", Shape::Alpaca),
        ("prompt-completion", Shape::PromptCompletion),
        ("input-target", Shape::InputTarget),
        ("belle-multi-turn", Shape::BelleMultiTurn),
        ("belle-evaluation", Shape::BelleEvaluation),
        ("sharegpt", Shape::ShareGpt),
        ("messages", Shape::Messages),
        ("dolly", Shape::Dolly),
        ("firefly", Shape::Firefly),
        ("hc3", Shape::Hc3),
        ("seed-tasks", Shape::SeedTasks),
        ("wiki2019zh", Shape::Wiki2019zh),
        ("news2016zh", Shape::News2016zh),
        ("baike2018qa", Shape::Baike2018qa),
        ("webtext2019zh", Shape::Webtext2019zh),
        ("translation2019zh", Shape::Translation2019zh),
        ("squad", Shape::Squad),
        ("text", Shape::Text),
        ("page", Shape::Page),
        ("page-metadata", Shape::PageMetadata),
        ("sentence", Shape::Sentence),
        ("xml", Shape::Xml),
        ("mapped", Shape::Mapped),
        ("columns", Shape::Columns),
    ];

    /// Its name in ledgers.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, shape)| *shape == self).map_or("columns", |(name, _)| name)
    }

    /// The shape of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape)
    }

    /// The shape that a row's fields show.
    #[must_use]
    pub fn of(row: &Map<String, Value>) -> Self {
        let has = |names: &[&str]| names.iter().all(|name| row.contains_key(*name));
        let is_list = |name: &str| row.get(name).is_some_and(Value::is_array);
        if is_list("messages") {
            Shape::Messages
        } else if is_list("conversations") {
            Shape::ShareGpt
        } else if is_list("paragraphs") && question::is_article(row) || question::is_set(row) {
            Shape::Squad
        } else if has(&["instruction", "context", "response"]) {
            Shape::Dolly
        } else if has(&["instruction"]) && is_list("instances") {
            Shape::SeedTasks
        } else if has(&["instruction", "output"]) {
            let instruction = row.get("instruction").and_then(Value::as_str).unwrap_or_default();
            if conversation::is_belle(instruction) { Shape::BelleMultiTurn } else { Shape::Alpaca }
        } else if has(&["kind", "input", "target"]) {
            Shape::Firefly
        } else if has(&["prompt", "completion"]) {
            Shape::PromptCompletion
        } else if has(&["input", "target"]) {
            Shape::InputTarget
        } else if has(&["question", "human_answers", "chatgpt_answers"]) {
            Shape::Hc3
        } else if has(&["question", "std_answer"]) {
            Shape::BelleEvaluation
        } else if has(&["english", "chinese"]) {
            Shape::Translation2019zh
        } else if has(&["news_id", "title", "content"]) {
            Shape::News2016zh
        } else if has(&["qid", "title", "answer"]) {
            Shape::Baike2018qa
        } else if has(&["qid", "title", "content"]) {
            Shape::Webtext2019zh
        } else if has(&["url", "title", "text"]) {
            Shape::Wiki2019zh
        } else if has(&["text"]) {
            Shape::Text
        } else {
            Shape::Columns
        }
    }

    /// Whether rows of this shape are known by their fields.
    pub(super) fn is_recognised(self) -> bool {
        !matches!(self, Shape::Columns | Shape::Text | Shape::Mapped)
    }

    /// Whether rows of this shape are such as training reads as they stand.
    pub(super) fn is_trained(self) -> bool {
        matches!(self, Shape::Alpaca | Shape::PromptCompletion | Shape::InputTarget | Shape::Messages | Shape::Text)
    }

    /// The documents of a row, each with its own id where it has one.
    pub(super) fn documents(self, row: Map<String, Value>) -> Result<Vec<Parsed>, Fault> {
        let one = |parsed: Result<Parsed, Fault>| parsed.map(|parsed| vec![parsed]);
        match self {
            Shape::Messages => one(conversation::messages(row)),
            Shape::ShareGpt => one(conversation::sharegpt(row)),
            Shape::BelleMultiTurn => one(conversation::belle(row)),
            Shape::Squad => question::squad(&row),
            Shape::Hc3 => one(question::hc3(row)),
            Shape::SeedTasks => question::seed_tasks(row),
            Shape::Baike2018qa => one(question::with_description(row, "answer")),
            Shape::Webtext2019zh => one(question::with_description(row, "content")),
            Shape::Alpaca => one(renamed(row, &[], &["output"])),
            Shape::PromptCompletion => {
                one(renamed(row, &[("prompt", "instruction"), ("completion", "output")], &["output"]))
            }
            Shape::InputTarget => one(renamed(row, &[("input", "instruction"), ("target", "output")], &["output"])),
            Shape::Firefly => {
                let names = [("kind", "category"), ("input", "instruction"), ("target", "output")];
                one(renamed(row, &names, &["output"]))
            }
            Shape::Dolly => one(renamed(row, &[("context", "input"), ("response", "output")], &["output"])),
            Shape::BelleEvaluation => {
                let names = [("question", "instruction"), ("std_answer", "output"), ("class", "category")];
                one(renamed(row, &names, &["instruction"]))
            }
            Shape::News2016zh => one(renamed(row, &[("news_id", "id"), ("content", "text")], &["text"])),
            Shape::Wiki2019zh | Shape::Text => one(renamed(row, &[], &["text"])),
            Shape::Translation2019zh => one(renamed(row, &[], &["english", "chinese"])),
            Shape::Page | Shape::PageMetadata | Shape::Sentence | Shape::Xml | Shape::Mapped | Shape::Columns => {
                one(renamed(row, &[], &[]))
            }
        }
    }
}

/// The fields of one document, and its id where the row has one.
pub(super) struct Parsed {
    pub(super) id: Option<String>,
    pub(super) url: Option<String>,
    pub(super) fields: Fields,
}

/// The names under which rows carry an id.
const IDS: [&str; 5] = ["id", "qid", "news_id", "uuid", "sent_id"];

/// All fields of a row, some under other names; `needed` ones must be there and say something. An empty `input` is left out.
fn renamed(row: Map<String, Value>, names: &[(&str, &str)], needed: &[&str]) -> Result<Parsed, Fault> {
    let old_name =
        |new: &str| names.iter().find(|(_, to)| *to == new).map_or(new.to_owned(), |(from, _)| (*from).to_owned());
    for needed in needed {
        let name = old_name(needed);
        match row.get(&name) {
            None => return Err(Fault { field: Some(name), kind: FaultKind::MissingField(None) }),
            Some(value) => match text_of(value) {
                Some(text) if !text.trim().is_empty() => {}
                _ => return Err(Fault { field: Some(name), kind: FaultKind::EmptyOutput }),
            },
        }
    }
    let id = IDS.iter().find_map(|name| row.get(*name)).and_then(text_of);
    let url = row.get("url").and_then(Value::as_str).map(str::to_owned);
    let mut fields = Fields::new();
    for (name, value) in row {
        let new = names.iter().find(|(from, _)| *from == name).map_or(name.as_str(), |(_, to)| *to);
        match text_of(&value) {
            Some(text) if new == "input" && text.trim().is_empty() => drop(text),
            Some(text) => fields.set(new, text),
            None => {}
        }
    }
    Ok(Parsed { id, url, fields })
}

/// A JSON value as a field's text: texts as they are, numbers and truth values in digits and words, a list of texts one a line,
/// anything else as JSON; nothing for null.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"))
        }
        Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}
