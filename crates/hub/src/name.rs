//! `ORG/NAME@REVISION`: which texts are names of models and data sets on the Hub, and which are paths.

use std::fmt;
use std::path::Path;

use crate::error::HubError;

/// The branch that is meant where no revision is written.
const DEFAULT_REVISION: &str = "main";

/// Hexadecimal digits of a commit.
const COMMIT_LEN: usize = 40;

/// The longest name the Hub gives (`huggingface_hub`, `_validators.py`).
const LONGEST: usize = 96;

/// Ends of file names: what ends so and is not there is a missing file, no model of the Hub.
const FILE_ENDS: [&str; 14] = [
    ".bin",
    ".csv",
    ".gguf",
    ".gz",
    ".jinja",
    ".json",
    ".jsonl",
    ".parquet",
    ".pt",
    ".safetensors",
    ".toml",
    ".tsv",
    ".txt",
    ".zip",
];

/// What a repository of the Hub holds. Models and data sets have names of their own: one of each may be called alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepoKind {
    /// A model, or an adapter.
    Model,
    /// A data set.
    DataSet,
}

impl RepoKind {
    /// In a sentence.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::DataSet => "data set",
        }
    }

    /// In addresses of the API, and with a hyphen in the names of the cache.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::DataSet => "datasets",
        }
    }

    /// What stands before a name in the addresses of pages and files.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::DataSet => "datasets/",
        }
    }

    /// The other kind.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Model => Self::DataSet,
            Self::DataSet => Self::Model,
        }
    }
}

/// The name of a model or a data set on the Hub, and the revision of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoName {
    kind: RepoKind,
    id: String,
    revision: Option<String>,
}

impl RepoName {
    /// Reads the name of a model: `ORG/NAME` or `ORG/NAME@REVISION`, the revision a branch, a tag or a commit.
    ///
    /// # Errors
    /// [`HubError::Name`] for everything else.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        Self::of_kind(RepoKind::Model, text)
    }

    /// Reads the name of a data set, which looks alike.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn data_set(text: &str) -> Result<Self, HubError> {
        Self::of_kind(RepoKind::DataSet, text)
    }

    fn of_kind(kind: RepoKind, text: &str) -> Result<Self, HubError> {
        let wrong = |why: &str| HubError::Name { kind, name: text.to_owned(), why: why.to_owned() };
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let parts = id.split_once('/').ok_or_else(|| wrong("it must be ORG/NAME or ORG/NAME@REVISION"))?;
        for part in [parts.0, parts.1] {
            check_part(part).map_err(wrong)?;
        }
        if let Some(revision) = revision {
            check_revision(revision).map_err(wrong)?;
        }
        Ok(Self { kind, id: id.to_owned(), revision: revision.map(str::to_owned) })
    }

    /// The name that `given` is, unless it is a path: `path`, where a folder of that name would lie, wins if it exists. None for what
    /// can only be a path, such as `./x`, a name with two slashes, or that of a file.
    ///
    /// # Errors
    /// [`HubError::Name`] for a name with a revision that can be none.
    pub fn unless_path(given: &str, path: &Path) -> Result<Option<Self>, HubError> {
        if path.exists() || FILE_ENDS.iter().any(|end| given.ends_with(end)) {
            return Ok(None);
        }
        match (Self::parse(given), given.split_once('@')) {
            (Ok(name), _) => Ok(Some(name)),
            (Err(error), Some((id, _))) if Self::parse(id).is_ok() => Err(error),
            (Err(_), _) => Ok(None),
        }
    }

    /// Whether it is a model or a data set.
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// `ORG/NAME`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The revision, `main` where none is written.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// Whether the revision is a whole commit, which never changes.
    pub fn is_commit(&self) -> bool {
        is_commit(self.revision())
    }

    /// The same at this commit.
    ///
    /// # Errors
    /// [`HubError::Name`] where that can be no revision.
    pub fn at(&self, commit: &str) -> Result<Self, HubError> {
        Self::of_kind(self.kind, &format!("{}@{commit}", self.id))
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

/// Whether a text is a whole commit: it names a folder of the cache then.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The Hub's own rules for the names of organisations and models.
fn check_part(part: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| matches!(c, Some('-' | '.'));
    if part.is_empty() || part.len() > LONGEST || !part.chars().all(plain) {
        return Err("organisation and name are up to 96 letters, digits, -, _ and .");
    }
    if edge(part.chars().next()) || edge(part.chars().last()) {
        return Err("neither organisation nor name may begin or end with - or .");
    }
    if part.contains("--") || part.contains("..") {
        return Err("it may not hold -- or ..");
    }
    if part.ends_with(".git") {
        return Err("it may not end with .git");
    }
    Ok(())
}

/// A revision is part of an address and of a path in the cache.
fn check_revision(revision: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    if revision.len() <= 255 && revision.split('/').all(good) {
        Ok(())
    } else {
        Err("a revision is a branch, a tag or a commit: letters, digits, -, _, . and / between them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "7ae557604adf67be50417f59c2c2f167def9a775";

    #[test]
    fn a_name_has_an_organisation_and_may_have_a_revision() {
        let name = RepoName::parse("Qwen/Qwen2.5-0.5B").unwrap();
        assert_eq!((name.id(), name.revision(), name.is_commit()), ("Qwen/Qwen2.5-0.5B", "main", false));
        assert_eq!(name.to_string(), "Qwen/Qwen2.5-0.5B");
        let pinned = name.at(COMMIT).unwrap();
        assert_eq!((pinned.revision(), pinned.is_commit()), (COMMIT, true));
        assert_eq!(pinned.to_string(), format!("Qwen/Qwen2.5-0.5B@{COMMIT}"));
        assert!(!RepoName::parse("a/b@7ae5576").unwrap().is_commit(), "a short hash may come to mean another commit");
    }

    #[test]
    fn what_the_hub_would_not_take_is_no_name() {
        for text in [
            "", "gpt2", "/a", "a/", "a/b/c", "./a", "../a", "a/.b", "a/b.", "-a/b", "a/b--c", "a/b..c", "a/b.git",
            "a b/c", "模/型", "a\\b/c", "~/a", "a/b@", "a/b@../c", "a/b@/c", "a/b@c//d", "a/b@.c", "a/b@c d",
            "a/b@c@d", "C:/a",
        ] {
            assert!(matches!(RepoName::parse(text), Err(HubError::Name { .. })), "{text}");
        }
        assert!(RepoName::parse(&format!("a/{}", "b".repeat(97))).is_err());
    }

    #[test]
    fn a_path_that_exists_wins_and_what_can_only_be_a_path_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let look = |given: &str| RepoName::unless_path(given, &folder.path().join(given));
        assert_eq!(look("org/small").unwrap().unwrap().id(), "org/small");
        std::fs::create_dir_all(folder.path().join("org/small")).unwrap();
        assert_eq!(look("org/small").unwrap(), None);
        for path in ["./org/other", "models", "a/b/c", "/org/other", "data/rows.jsonl", "models/small.gguf", "~/m"] {
            assert_eq!(look(path).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn a_name_with_a_wrong_revision_is_told_and_not_taken_for_a_path() {
        let error = RepoName::unless_path("org/small@", Path::new("org/small@")).unwrap_err();
        assert!(error.to_string().contains("org/small@") && error.to_string().contains("revision"), "{error}");
        assert_eq!(RepoName::unless_path("me@home", Path::new("me@home")).unwrap(), None);
    }
}
