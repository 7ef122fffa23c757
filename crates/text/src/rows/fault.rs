//! What can be wrong with one row.

use std::fmt;
use std::path::PathBuf;

/// A row that cannot be used: where it stands and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The file.
    pub file: PathBuf,
    /// Position of the source in the recipe.
    pub source: usize,
    /// Line, or position in a JSON array, from 1.
    pub line: usize,
    /// The field, where one can be named.
    pub field: Option<String>,
    /// What is wrong.
    pub kind: FaultKind,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message())
    }
}

impl std::error::Error for RowFault {}

impl RowFault {
    /// Field and fault, without file and line.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.field {
            Some(field) => format!("field `{field}` {}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

/// The kinds of fault.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The row is not JSON; the parser's message.
    NotJson(String),
    /// The array's structure breaks inside this row; what follows up to the next whole row is part of it.
    BrokenArray(String),
    /// The structure of the document that holds the rows breaks; what follows is not read.
    BrokenDocument(String),
    /// The piece is longer than so many bytes.
    TooLong(usize),
    /// The row is JSON, but not an object: what it is.
    NotAnObject(&'static str),
    /// None of the known shapes fits: the fields that are there.
    UnknownShape(Vec<String>),
    /// A field is missing: the present field with the nearest name.
    MissingField(Option<String>),
    /// Text is due, something else is there.
    NotText(String),
    /// A list is due, something else is there.
    NotAList(String),
    /// The answer is empty.
    EmptyOutput,
    /// The prompt is empty.
    EmptyPrompt,
    /// A role that conversations here do not have.
    UnknownRole(String),
    /// Roles in an order that no template writes: what was expected.
    RoleOrder(String),
    /// A conversation without an answer.
    NoAssistant,
    /// Bytes that are not UTF-8: offset of the first in the row.
    NotUtf8(usize),
    /// A NUL character inside text.
    NulCharacter,
}

impl FaultKind {
    /// A short name, the same for all rows with this kind of fault.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            FaultKind::NotJson(_) => "not JSON",
            FaultKind::BrokenArray(_) => "broken array",
            FaultKind::BrokenDocument(_) => "broken document",
            FaultKind::TooLong(_) => "too long",
            FaultKind::NotAnObject(_) => "not an object",
            FaultKind::UnknownShape(_) => "unknown shape",
            FaultKind::MissingField(_) => "missing field",
            FaultKind::NotText(_) => "not text",
            FaultKind::NotAList(_) => "not a list",
            FaultKind::EmptyOutput => "empty answer",
            FaultKind::EmptyPrompt => "empty prompt",
            FaultKind::UnknownRole(_) => "unknown role",
            FaultKind::RoleOrder(_) => "role order",
            FaultKind::NoAssistant => "no answer",
            FaultKind::NotUtf8(_) => "not UTF-8",
            FaultKind::NulCharacter => "NUL character",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::NotJson(why) => write!(f, "not JSON: {why}"),
            FaultKind::BrokenArray(why) => write!(f, "the array breaks in this row: {why}"),
            FaultKind::BrokenDocument(why) => write!(f, "the document breaks here: {why}"),
            FaultKind::TooLong(limit) => write!(f, "does not end within {} MiB; is a line break missing?", limit >> 20),
            FaultKind::NotAnObject(found) => write!(f, "a row must be a JSON object, this one is {found}"),
            FaultKind::UnknownShape(fields) => write!(
                f,
                "no known row shape has the fields {}; expected instruction/input/output, prompt/completion, input/target, messages or text",
                list(fields)
            ),
            FaultKind::MissingField(Some(nearest)) => write!(f, "is missing; the nearest field present is `{nearest}`"),
            FaultKind::MissingField(None) => write!(f, "is missing"),
            FaultKind::NotText(found) => write!(f, "must be text, but holds {found}"),
            FaultKind::NotAList(found) => write!(f, "must be a list, but holds {found}"),
            FaultKind::EmptyOutput => write!(f, "is an empty answer: nothing to learn"),
            FaultKind::EmptyPrompt => write!(f, "is empty: there is no prompt"),
            FaultKind::UnknownRole(role) => write!(f, "is {role:?}; known roles are system, user and assistant"),
            FaultKind::RoleOrder(expected) => write!(f, "breaks the order of roles: {expected}"),
            FaultKind::NoAssistant => write!(f, "has no message from the assistant: nothing to learn"),
            FaultKind::NotUtf8(offset) => write!(f, "not UTF-8 at byte {offset} of the row; save the file as UTF-8"),
            FaultKind::NulCharacter => write!(f, "contains a NUL character"),
        }
    }
}

fn list(fields: &[String]) -> String {
    if fields.is_empty() {
        return "(none)".into();
    }
    fields.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ")
}

/// A fault before its file and line are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, where one can be named, such as `messages[2].content`.
    pub field: Option<String>,
    /// What is wrong.
    pub kind: FaultKind,
}

impl Fault {
    pub(crate) fn of(kind: FaultKind) -> Self {
        Fault { field: None, kind }
    }

    pub(crate) fn at(field: impl Into<String>, kind: FaultKind) -> Self {
        Fault { field: Some(field.into()), kind }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field `{field}` {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}
