//! Recipes: one TOML file says which rows train which model how, and how the result is scored.
//!
//! `keys` declares every key once; `written` walks the file, checks each key against its declaration with `value`, and keeps
//! places; `together` checks what several keys say of each other; `fill` adds the defaults and makes the typed
//! [`ResolvedRecipe`], which `identity` writes out and hashes. Every problem is reported, not only the first.
//!
//! Relative paths start from the folder that the recipe lies in, or from its key `folder`.
//!
//! ```
//! use luthier_train::Recipe;
//! let text = r#"
//! name  = "titles"
//! data  = { sources = [{ path = "rows.jsonl" }] }
//! model = { base = "pocket" }
//! "#;
//! let recipe = Recipe::parse(text, "recipes/titles.toml").unwrap().resolve();
//! assert_eq!(recipe.train.learning_rate, 2e-4);
//!
//! let error = Recipe::parse(&text.replace("model =", "modle ="), "titles.toml").unwrap_err();
//! assert!(error.to_string().contains("modle at titles.toml:4:1 is not a key of a recipe; did you mean model?"));
//! ```

mod build;
mod choice;
mod collect;
mod error;
mod fill;
mod identity;
mod keys;
mod kind;
mod resolved;
mod steps;
mod together;
mod value;
mod written;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use build::BuildRecipe;
pub use collect::{read_common_crawl, read_web};
pub use error::{Fault, Place, Problem, Problems, RecipeError};
pub use keys::{Absent, KEYS, KeySpec, reference, spec};
pub use kind::{Interval, Kind};
pub use resolved::*;

use written::{Purpose, Written};

/// What stands in a recipe, every key checked; not yet with defaults (see [`Recipe::resolve`]).
#[derive(Clone, Debug)]
pub struct Recipe {
    file: PathBuf,
    written: Written,
}

impl Recipe {
    /// Reads a recipe from a file.
    ///
    /// # Errors
    /// As [`Recipe::parse`]; also when the file cannot be read or is not UTF-8.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, RecipeError> {
        let path = path.into();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, path),
            Err(source) => Err(RecipeError::Unreadable { path, source }),
        }
    }

    /// Reads a recipe from its text; `path` names it in messages, and its folder is where relative paths start.
    ///
    /// # Errors
    /// Every problem found: slips of grammar, unknown keys, wrong types, values out of range, missing or
    /// conflicting keys. No file that the recipe names is looked at.
    pub fn parse(text: &str, path: impl Into<PathBuf>) -> Result<Self, RecipeError> {
        Self::parse_for(text, path.into(), Purpose::Train)
    }

    fn parse_for(text: &str, file: PathBuf, purpose: Purpose) -> Result<Self, RecipeError> {
        let (written, mut problems) = written::read(text, purpose);
        let not_toml = |problem: &Problem| matches!(problem.fault, Fault::Syntax { .. });
        if !problems.iter().any(not_toml) {
            together::check(&written, &mut problems);
        }
        if problems.is_empty() {
            return Ok(Self { file, written });
        }
        problems.sort_by_key(|problem| (problem.place.is_none(), problem.place));
        Err(Problems { file, list: problems }.into())
    }

    /// The file, as it was named.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where a key stands, such as `train.epochs`, `data.sources[0].path` or `evaluate.strategies.beam4.num_beams`.
    pub fn place(&self, key: &str) -> Option<Place> {
        self.written.places.get(key).copied()
    }

    /// An error of a later check about a key, with its file and line. The message goes on after the
    /// place: `must be at least 1, found 0`.
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> RecipeError {
        let problem =
            Problem { key: key.to_owned(), place: self.place(key), fault: Fault::Refused { message: message.into() } };
        Problems { file: self.file.clone(), list: vec![problem] }.into()
    }

    /// Fills in every default.
    pub fn resolve(&self) -> ResolvedRecipe {
        let here = self.file.parent().unwrap_or(Path::new(""));
        fill::resolve(&self.written, here)
    }
}
