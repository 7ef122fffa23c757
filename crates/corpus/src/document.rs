//! A document: what one record of a source says, and where it came from.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::source::Shape;

/// One document: named texts and their provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name in its source: the record's own id where it has one, else file and position.
    pub id: String,
    /// The shape it was recognised by.
    pub shape: Shape,
    /// What it says.
    pub fields: Fields,
    /// Where it came from.
    pub provenance: Provenance,
}

impl Document {
    /// A field's text, `""` where the document has no such field.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).unwrap_or_default()
    }
}

/// Named texts in the order of the source. Documents have a handful, so a list is searched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// No fields yet.
    #[must_use]
    pub fn new() -> Self {
        Fields::default()
    }

    /// The text of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }

    /// The text of a field, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut String> {
        self.0.iter_mut().find(|(key, _)| key == name).map(|(_, text)| text)
    }

    /// Sets a field; a new one stands last.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        let (name, text) = (name.into(), text.into());
        match self.get_mut(&name) {
            Some(present) => *present = text,
            None => self.0.push((name, text)),
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// Names and texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Names and texts in order, to change the texts.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut String)> {
        self.0.iter_mut().map(|(name, text)| (name.as_str(), text))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(pairs: I) -> Self {
        let mut fields = Fields::new();
        pairs.into_iter().for_each(|(name, text)| fields.set(name, text));
        fields
    }
}

impl Serialize for Fields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in &self.0 {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

/// Where a document came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The file it was read from.
    pub file: Arc<Path>,
    /// Its place in the file.
    pub position: Position,
    /// The address it was published under, where the source knows it.
    pub url: Option<String>,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.file.display(), self.position)?;
        match &self.url {
            Some(url) => write!(f, " ({url})"),
            None => Ok(()),
        }
    }
}

impl Serialize for Provenance {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &self.file.to_string_lossy())?;
        if let Some((unit, at)) = self.position.unit() {
            map.serialize_entry(unit, &at)?;
        }
        if let Some(url) = &self.url {
            map.serialize_entry("url", url)?;
        }
        map.end()
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// The file as a whole.
    Whole,
    /// A line, from 1.
    Line(u64),
    /// A row of an array, a table or a list of rows, from 1.
    Row(u64),
    /// A byte, from 0; in an archive with one compressed member a record, a byte of the compressed file.
    Offset(u64),
}

impl Position {
    /// The word for its unit and the number; `None` for a whole file.
    #[must_use]
    pub fn unit(self) -> Option<(&'static str, u64)> {
        match self {
            Position::Whole => None,
            Position::Line(line) => Some(("line", line)),
            Position::Row(row) => Some(("row", row)),
            Position::Offset(offset) => Some(("offset", offset)),
        }
    }

    /// The place that [`Position::unit`] names so.
    #[must_use]
    pub fn from_unit(unit: &str, at: u64) -> Option<Self> {
        match unit {
            "line" => Some(Position::Line(at)),
            "row" => Some(Position::Row(at)),
            "offset" => Some(Position::Offset(at)),
            _ => None,
        }
    }
}

impl fmt::Display for Position {
    /// What is appended to a file's name: `:12` for a line, `, row 12`, `, byte 12`, nothing for the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Whole => Ok(()),
            Position::Line(line) => write!(f, ":{line}"),
            Position::Row(row) => write!(f, ", row {row}"),
            Position::Offset(offset) => write!(f, ", byte {offset}"),
        }
    }
}
