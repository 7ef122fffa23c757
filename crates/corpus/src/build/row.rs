//! A row of an instruction data set.

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use crate::document::Provenance;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// An instruction, an input that may be empty, and the output; perhaps a system message.
    Task {
        /// For the whole conversation; empty for none.
        system: String,
        /// What is to be done.
        instruction: String,
        /// What it is to be done with; empty for nothing.
        input: String,
        /// What comes of it.
        output: String,
    },
    /// A conversation, as the JSON of its messages.
    Conversation(String),
}

/// A row, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// The document's id.
    pub id: String,
    /// What it says.
    pub said: Said,
    /// Which phrasing was drawn, from 0; of a conversation 0.
    pub phrasing: usize,
    /// Where the document came from.
    pub provenance: Provenance,
}

impl TaskRow {
    /// All that the row says, for finding duplicates and passages shared with a test side.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.said {
            Said::Task { system, instruction, input, output } => [system, instruction, input, output]
                .into_iter()
                .filter(|text| !text.is_empty())
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("\n"),
            Said::Conversation(messages) => messages.clone(),
        }
    }
}

impl Serialize for TaskRow {
    /// `{"id", "instruction", "input", "output", "source"}`, or `{"id", "messages", "source"}`; `source` holds file, place and address.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        match &self.said {
            Said::Task { system, instruction, input, output } => {
                if system.is_empty() {
                    map.serialize_entry("instruction", instruction)?;
                    map.serialize_entry("input", input)?;
                    map.serialize_entry("output", output)?;
                } else {
                    // Rows of instructions have no place for a system message; conversations do.
                    let user = if input.is_empty() { instruction.clone() } else { format!("{instruction}\n{input}") };
                    let messages =
                        [("system", system.as_str()), ("user", user.as_str()), ("assistant", output.as_str())];
                    let messages = messages.map(|(role, content)| Message { role, content });
                    map.serialize_entry("messages", &messages)?;
                }
            }
            Said::Conversation(messages) => {
                let messages = RawValue::from_string(messages.clone()).map_err(serde::ser::Error::custom)?;
                map.serialize_entry("messages", &messages)?;
            }
        }
        map.serialize_entry("source", &self.provenance)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Message<'m> {
    role: &'m str,
    content: &'m str,
}
