//! What can be wrong with a recipe, each fault with its file, line, column and key.

use std::path::{Path, PathBuf};

use super::kind::Kind;

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file could not be read.
    #[error("cannot read the recipe {}: {source}; give the path of a TOML file in UTF-8", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file was read and something in it is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
    /// A data set of the Hub that it names cannot be had.
    #[error("{problem}")]
    Hub {
        /// The key and its place, and why.
        problem: Problems,
        /// Whether the user can mend it by writing something else.
        is_input: bool,
    },
}

impl RecipeError {
    /// The problems found, in the order of the file; none where it could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Wrong(problems) | Self::Hub { problem: problems, .. } => &problems.list,
        }
    }

    /// Whether the user can mend it by giving something else; others are mishaps on the way.
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Hub { is_input: false, .. })
    }
}

/// Everything wrong with one recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Problems {
    /// The recipe.
    pub file: PathBuf,
    /// In the order of the file; never empty.
    pub list: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [only] = self.list.as_slice() {
            return f.write_str(&only.describe(&self.file));
        }
        write!(f, "{} has {} problems:", self.file.display(), self.list.len())?;
        for problem in &self.list {
            write!(f, "\n  {}", problem.describe(&self.file))?;
        }
        Ok(())
    }
}

/// A place in the recipe, both counted from 1; the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The key's path, such as `train.learning_rate`; empty where the file is not TOML.
    pub key: String,
    /// Where it stands; none for what is missing from the file as a whole.
    pub place: Option<Place>,
    /// What is wrong and what is allowed.
    pub fault: Fault,
}

impl Problem {
    /// One sentence: key, file, line, column, fault.
    pub fn describe(&self, file: &Path) -> String {
        let file = file.display();
        let place = match self.place {
            Some(Place { line, column }) => format!("{file}:{line}:{column}"),
            None => file.to_string(),
        };
        match (self.key.is_empty(), self.place) {
            (true, _) => format!("{place} {}", self.fault),
            (false, Some(_)) => format!("{} at {place} {}", self.key, self.fault),
            (false, None) => format!("{} in {place} {}", self.key, self.fault),
        }
    }
}

/// The kinds of fault.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The text does not follow the grammar of TOML.
    #[error("is not TOML: {message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// No such key.
    #[error("is not a key of a recipe; {}keys of {section}: {}", did_you_mean(.nearest.as_deref()), .known.join(", "))]
    UnknownKey {
        /// The nearest known key.
        nearest: Option<String>,
        /// The section it stands in.
        section: String,
        /// The keys of that section.
        known: Vec<&'static str>,
    },
    /// A value of another type.
    #[error("must be {}, found {found}{}", type_of(.expected), .hint.as_deref().unwrap_or(""))]
    WrongType {
        /// What the key holds.
        expected: Kind,
        /// What was found.
        found: String,
        /// How to mend it, where that can be told.
        hint: Option<String>,
    },
    /// The right type, but outside what makes sense.
    #[error("must be {expected}, found {found}")]
    OutOfRange {
        /// What the key holds.
        expected: Kind,
        /// What was found.
        found: String,
    },
    /// A name that is not in the list.
    #[error("must be {expected}, found {found}{}", nearest_value(.nearest.as_deref()))]
    UnknownValue {
        /// What the key holds.
        expected: Kind,
        /// What was found.
        found: String,
        /// The nearest name of the list.
        nearest: Option<String>,
    },
    /// A part of the design that this version does not have.
    #[error("{what}is not supported yet in this version; {now}")]
    NotYet {
        /// The value, with a blank after it; empty where the key itself is meant.
        what: String,
        /// What works now.
        now: String,
    },
    /// A key or section that has to be there.
    #[error("is missing; {needed}")]
    Missing {
        /// What to write.
        needed: String,
    },
    /// Two keys that exclude each other.
    #[error("cannot stand beside {other}: {remedy}")]
    Conflict {
        /// The other key.
        other: String,
        /// What to do.
        remedy: String,
    },
    /// Refused by a later check, in that check's words.
    #[error("{message}")]
    Refused {
        /// A sentence that goes on after the key and its place.
        message: String,
    },
}

/// The type alone: the range would hide what is wrong.
fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Number { such_as, .. } => format!("a number such as {such_as}"),
        other => other.to_string(),
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |key| format!("did you mean {key}? "))
}

fn nearest_value(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |value| format!(" (did you mean \"{value}\"?)"))
}

/// Of `known`, the one most like `found`, if any is like it.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&found, &name.replace('-', "_")), name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
