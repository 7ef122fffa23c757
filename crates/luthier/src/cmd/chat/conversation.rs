//! What was said.

use std::io::Write;
use std::path::{Path, PathBuf};

use luthier_text::Message;
use serde_json::json;

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) question: String,
    pub(super) answer: String,
    /// How many times it was answered anew: each time draws with another seed.
    pub(super) again: u64,
}

/// A system message, if there is one, and turns that all have an answer.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Option<String>,
    pub(super) turns: Vec<Turn>,
    /// Files that this conversation was written to, and may be again.
    saved: Vec<PathBuf>,
}

impl Conversation {
    /// The messages so far, and a question behind them.
    pub(super) fn messages(&self, question: Option<&str>) -> Vec<Message> {
        let system = self.system.iter().map(Message::system);
        let turns =
            self.turns.iter().flat_map(|turn| [Message::user(&turn.question), Message::assistant(&turn.answer)]);
        system.chain(turns).chain(question.map(Message::user)).collect()
    }

    /// Writes the messages as a row of JSON Lines. A file that was there before is not overwritten.
    pub(super) fn save(&mut self, path: &Path) -> Result<(), String> {
        let name = path.display();
        if self.turns.is_empty() {
            return Err("there is nothing to save yet".into());
        }
        let own = self.saved.iter().any(|saved| saved == path);
        if !own && path.exists() {
            return Err(format!("{name} is there already; save under another name"));
        }
        let row = json!({ "messages": self.messages(None) });
        luthier_files::write_atomically(path, |file| writeln!(file, "{row}"))
            .map_err(|error| format!("cannot write {name}: {error}"))?;
        if !own {
            self.saved.push(path.to_owned());
        }
        Ok(())
    }
}
