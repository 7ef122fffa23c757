//! Columns that become fields, for rows of no known shape.

use luthier_text::{Fault, FaultKind};
use serde_json::{Map, Value};

use super::shape::text_of;
use crate::document::Fields;
use crate::error::CorpusError;
use crate::fault::SourceFaultKind;

/// Which columns become which fields. A column is named by its path: `title`, `question.stem`, `question.choices.*.text` (every
/// element of a list, one a line); with a `?` behind it, it may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping(Vec<Column>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    field: String,
    path: String,
    optional: bool,
}

impl Mapping {
    /// A mapping from pairs of field and column path.
    ///
    /// # Errors
    /// When a field is named twice, or a path is empty.
    pub fn new<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, CorpusError> {
        let mut columns: Vec<Column> = Vec::new();
        for (field, path) in pairs {
            let (path, optional) = path.strip_suffix('?').map_or((path, false), |path| (path, true));
            if field.is_empty() || path.split('.').any(str::is_empty) {
                return Err(CorpusError::setting("columns", format!("{field:?} = {path:?} names nothing")));
            }
            if columns.iter().any(|column| column.field == field) {
                return Err(CorpusError::setting("columns", format!("the field {field:?} stands twice")));
            }
            columns.push(Column { field: field.to_owned(), path: path.to_owned(), optional });
        }
        Ok(Mapping(columns))
    }

    /// Whether nothing is mapped, so that shapes are recognised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields of a row.
    pub(super) fn fields(&self, row: &Map<String, Value>) -> Result<Fields, SourceFaultKind> {
        let mut fields = Fields::new();
        for column in &self.0 {
            let mut texts = Vec::new();
            let mut steps = column.path.split('.');
            let first = steps.next().unwrap_or_default();
            if let Some(value) = row.get(first) {
                let rest: Vec<&str> = steps.collect();
                walk(value, &rest, &mut texts);
            }
            if texts.is_empty() {
                if column.optional {
                    continue;
                }
                let nearest = row
                    .keys()
                    .map(|present| (strsim::jaro_winkler(first, present), present))
                    .filter(|(likeness, present)| *likeness > 0.6 && *present != first)
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .map(|(_, present)| present.clone());
                return Err(SourceFaultKind::MissingColumn { column: column.path.clone(), nearest });
            }
            fields.set(column.field.clone(), texts.join("\n"));
        }
        if fields.iter().all(|(_, text)| text.trim().is_empty()) {
            return Err(SourceFaultKind::Empty);
        }
        Ok(fields)
    }
}

fn walk(value: &Value, path: &[&str], texts: &mut Vec<String>) {
    match (path.split_first(), value) {
        (None, value) => texts.extend(text_of(value)),
        (Some((&"*", rest)), Value::Array(items)) => items.iter().for_each(|item| walk(item, rest, texts)),
        (Some((&"*", rest)), Value::Object(members)) => members.values().for_each(|item| walk(item, rest, texts)),
        (Some((step, rest)), Value::Object(members)) => {
            if let Some(value) = members.get(*step) {
                walk(value, rest, texts);
            }
        }
        (Some((step, rest)), Value::Array(items)) => {
            if let Some(item) = step.parse::<usize>().ok().and_then(|at| items.get(at)) {
                walk(item, rest, texts);
            }
        }
        _ => {}
    }
}

/// The fault of a row that is no object.
pub(super) fn no_object(value: &Value) -> SourceFaultKind {
    let what = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    SourceFaultKind::Row(Fault { field: None, kind: FaultKind::NotAnObject(what) })
}
