//! The part of a recipe that makes a data set: `[collect]` and `[build]`, read without a model or a training.

use std::path::{Path, PathBuf};

use luthier_corpus::build::{Apart, Build, Choice, Collected, Cut, Duplicates, Phrasing, Pipeline, Sides};
use luthier_corpus::clean::Over;
use luthier_corpus::duplicates::NearOptions;
use luthier_corpus::source::{TextBy, Within, XmlPaths};
use luthier_corpus::{CorpusError, FileFormat, Mapping, Widths};
use luthier_hub::{DataSet, Hub, HubError, Pick, RepoName};

use super::error::RecipeError;
use super::fill::absolute;
use super::resolved::RecipePath;
use super::written::{Purpose, Written};
use super::{Recipe, steps};

/// A recipe that says how to build a data set; every key checked.
///
/// ```
/// use luthier_hub::{Hub, Settings};
/// use luthier_train::recipe::BuildRecipe;
/// let text = r#"
/// name = "titles"
/// [collect]
/// sources = [{ path = "poems.jsonl", licence = "MIT" }]
/// [build]
/// split = { test = 0.1, by = "author" }
/// phrasings = [{ instruction = "Give this poem a title.", input = "{{ paragraphs }}", output = "{{ title }}" }]
/// "#;
/// let recipe = BuildRecipe::parse(text, "titles.toml").unwrap();
/// let (pipeline, notices) = recipe.pipeline(&Hub::new(Settings::from_env())).unwrap();
/// assert_eq!((pipeline.phrasings.len(), notices.len()), (1, 0));
///
/// let error = BuildRecipe::parse(&text.replace("split", "splt"), "titles.toml").unwrap_err();
/// assert!(error.to_string().contains("build.splt at titles.toml:6:1 is not a key of a recipe; did you mean split?"));
/// ```
#[derive(Clone, Debug)]
pub struct BuildRecipe {
    recipe: Recipe,
    text: String,
}

impl BuildRecipe {
    /// Reads a recipe from a file.
    ///
    /// # Errors
    /// As [`BuildRecipe::parse`]; also when the file cannot be read or is not UTF-8.
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
    /// Every problem found, as [`Recipe::parse`]; the sections `[data]` and `[model]` may be missing, `[collect]` and `[build]` not.
    pub fn parse(text: &str, path: impl Into<PathBuf>) -> Result<Self, RecipeError> {
        let recipe = Recipe::parse_for(text, path.into(), Purpose::Build)?;
        Ok(BuildRecipe { recipe, text: text.to_owned() })
    }

    /// The name of the data set.
    ///
    /// # Panics
    /// Never: `parse` has seen to it.
    pub fn name(&self) -> String {
        self.recipe.written.text("name").expect("the name is required")
    }

    /// All that makes the data set; data sets of the Hub that it names are fetched. Gives what the reader should know of them as well.
    ///
    /// # Errors
    /// With the key's place, for what only shows when the parts are made: templates and selectors that do not parse, codes of no
    /// language, tables that cannot be read, data sets that cannot be had.
    pub fn pipeline(&self, hub: &Hub) -> Result<(Pipeline, Vec<String>), RecipeError> {
        let written = &self.recipe.written;
        let here = self.recipe.file().parent().unwrap_or(Path::new(""));
        let folder = absolute(&written.text("folder").map_or(here.to_owned(), |folder| here.join(folder)));
        let seed = written.count("seed").unwrap_or(0) as u64;
        let refuse = |key: &str| {
            let key = key.to_owned();
            move |error: CorpusError| self.recipe.refuse(&key, format!("cannot be used: {error}"))
        };
        let step = |i: usize| {
            let at = format!("build.clean[{i}]");
            steps::step(written, &at, &folder).map_err(|(option, message)| {
                self.recipe.refuse(&format!("{at}.{option}"), format!("cannot be used: {message}"))
            })
        };
        let phrasings: Vec<Phrasing> =
            (0..written.length_of("build.phrasings")).map(|i| phrasing(written, i)).collect();
        let cuts = (0..written.length_of("build.cut")).map(|i| cut(written, i)).collect();
        Build::new(&phrasings, Vec::new(), seed).map_err(|error| {
            let key = match &error {
                CorpusError::Template { field, phrasing, .. } => format!("build.phrasings[{}].{field}", phrasing - 1),
                _ => "build.phrasings".to_owned(),
            };
            refuse(&key)(error)
        })?;
        let steps = (0..written.length_of("build.clean")).map(step).collect::<Result<_, _>>()?;
        let mut sources = Sources { recipe: &self.recipe, folder: &folder, hub, notices: Vec::new() };
        let test = if written.has("build.split") { written.number("build.split.test").unwrap_or(0.0) } else { 0.0 };
        let pipeline = Pipeline {
            name: self.name(),
            about: written.text("build.about"),
            sources: sources.collected("collect.sources")?,
            steps,
            duplicates: Duplicates {
                exact: written.flag("build.duplicates.exact"),
                near: written
                    .number("build.duplicates.near")
                    .map(|edited| NearOptions { edited, ..NearOptions::default() }),
                over: over(written, "build.duplicates.over"),
            },
            sides: Sides::new(test, written.text("build.split.by"), seed).map_err(refuse("build.split.test"))?,
            apart: match written.has("build.contamination") {
                true => Some(Apart { against: sources.collected("build.contamination.against")?, ..apart(written) }),
                false => None,
            },
            phrasings,
            cuts,
            choice: choice(written, seed),
            seed,
            recipe: Some(self.text.clone()),
        };
        Ok((pipeline, sources.notices))
    }
}

/// Sources of documents, as recipes name them.
struct Sources<'r> {
    recipe: &'r Recipe,
    folder: &'r Path,
    hub: &'r Hub,
    notices: Vec<String>,
}

impl Sources<'_> {
    fn collected(&mut self, list: &str) -> Result<Vec<Collected>, RecipeError> {
        (0..self.recipe.written.length_of(list)).map(|i| self.one(&format!("{list}[{i}]"))).collect()
    }

    fn one(&mut self, at: &str) -> Result<Collected, RecipeError> {
        let text = |name: &str| self.recipe.written.text(&format!("{at}.{name}"));
        let (licence, about) = (text("licence"), text("about"));
        if let Some(name) = text("dataset") {
            let key = format!("{at}.dataset");
            let found = self.data_set(&name, &format!("{at}.files")).map_err(|error| self.refuse(&key, &error))?;
            self.notices.extend(found.notice);
            let only = Some(found.files.into_iter().map(PathBuf::from).collect());
            let source = luthier_corpus::Source { only, ..self.source(at, &found.dir)? };
            let licence = licence.or(found.licence);
            return Ok(Collected { source, name, commit: Some(found.origin.commit), licence, about });
        }
        let path = RecipePath::new(self.folder, text("path").expect("a source has a path or a data set"));
        let source = self.source(at, path.full())?;
        Ok(Collected { source, name: path.written().to_owned(), commit: None, licence, about })
    }

    fn data_set(&self, name: &str, files: &str) -> Result<DataSet, HubError> {
        let patterns = self.recipe.written.texts(files);
        let pick = patterns.as_deref().map_or(Pick::Each(&FileFormat::holds_rows), Pick::Matching);
        self.hub.data_set(&RepoName::data_set(name)?, pick)
    }

    fn refuse(&self, key: &str, error: &HubError) -> RecipeError {
        match self.recipe.refuse(key, format!("cannot be had: {error}")) {
            RecipeError::Wrong(problem) => RecipeError::Hub { problem, is_input: error.is_input() },
            other => other,
        }
    }

    /// How the files at a path are read.
    fn source(&self, at: &str, path: &Path) -> Result<luthier_corpus::Source, RecipeError> {
        let written = &self.recipe.written;
        let key = |name: &str| format!("{at}.{name}");
        let refuse =
            |name: &str, error: CorpusError| self.recipe.refuse(&key(name), format!("cannot be used: {error}"));
        let mut source = luthier_corpus::Source::new(path);
        if let Some(format) = written.text(&key("format")) {
            source.format = format.parse::<FileFormat>().map_err(|error| refuse("format", error))?;
        }
        if let Some(columns) = written.pairs(&key("columns")) {
            source.columns = Mapping::new(borrowed(&columns)).map_err(|error| refuse("columns", error))?;
        }
        source.within = match written.text(&key("within")) {
            None => Within::Anywhere,
            Some(all) if all == "*" => Within::Members,
            Some(member) => Within::Member(member),
        };
        source.text_by = match written.text(&key("text_by")).as_deref() {
            Some("line") => TextBy::Line,
            Some("file") => TextBy::File,
            _ => TextBy::Paragraph,
        };
        source.header = written.texts(&key("header"));
        source.encoding = written.text(&key("encoding"));
        if let (Some(record), Some(fields)) = (written.text(&key("xml.record")), written.pairs(&key("xml.fields"))) {
            source.xml = Some(XmlPaths::new(&record, borrowed(&fields)).map_err(|error| refuse("xml", error))?);
        }
        Ok(source)
    }
}

fn apart(written: &Written) -> Apart {
    let width = |name: &str| written.count(&format!("build.contamination.{name}")).expect("it has a default");
    Apart {
        widths: Widths { han: width("han"), other: width("other") },
        over: over(written, "build.contamination.over"),
        against: Vec::new(),
    }
}

fn borrowed(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, text)| (name.as_str(), text.as_str()))
}

fn over(written: &Written, key: &str) -> Over {
    written.texts(key).map_or(Over::AllText, Over::These)
}

fn phrasing(written: &Written, i: usize) -> Phrasing {
    let text = |name: &str| written.text(&format!("build.phrasings[{i}].{name}")).unwrap_or_default();
    Phrasing {
        system: text("system"),
        instruction: text("instruction"),
        input: text("input"),
        output: text("output"),
        weight: written
            .count(&format!("build.phrasings[{i}].weight"))
            .and_then(|weight| u32::try_from(weight).ok())
            .unwrap_or(1),
    }
}

fn cut(written: &Written, i: usize) -> Cut {
    let key = |name: &str| format!("build.cut[{i}].{name}");
    let field = written.text(&key("field")).expect("a cut has a field");
    Cut { field, characters: written.count(&key("characters")).expect("a cut has a length") }
}

fn choice(written: &Written, seed: u64) -> Option<Choice> {
    let most = written.count("build.sample");
    if most.is_none() && !written.has("build.balance") {
        return None;
    }
    let level = written.has("build.balance") && written.flag("build.balance.level");
    Some(Choice {
        most,
        by: written.text("build.balance.by"),
        most_each: written.count("build.balance.most"),
        level,
        seed,
    })
}
