//! The part of a recipe that makes a data set: `[collect]` and `[build]`, read without a model or a training.

use std::path::{Path, PathBuf};

use luthier_corpus::build::{Apart, Build, Choice, Collected, Cut, Duplicates, Phrasing, Pipeline, Sides};
use luthier_corpus::clean::Over;
use luthier_corpus::duplicates::NearOptions;
use luthier_corpus::source::{TextBy, Within, XmlPaths};
use luthier_corpus::{CorpusError, FileFormat, Mapping, Widths};

use super::error::RecipeError;
use super::fill::absolute;
use super::resolved::RecipePath;
use super::written::{Purpose, Written};
use super::{Recipe, steps};

/// A recipe that says how to build a data set; every key checked.
///
/// ```
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
/// assert_eq!(recipe.pipeline().unwrap().phrasings.len(), 1);
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

    /// All that makes the data set.
    ///
    /// # Errors
    /// With the key's place, for what only shows when the parts are made: templates and selectors that do not parse, codes of no
    /// language, tables that cannot be read.
    pub fn pipeline(&self) -> Result<Pipeline, RecipeError> {
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
        let test = if written.has("build.split") { written.number("build.split.test").unwrap_or(0.0) } else { 0.0 };
        Ok(Pipeline {
            name: self.name(),
            about: written.text("build.about"),
            sources: self.collected("collect.sources", &folder)?,
            steps: (0..written.length_of("build.clean")).map(step).collect::<Result<_, _>>()?,
            duplicates: Duplicates {
                exact: written.flag("build.duplicates.exact"),
                near: written
                    .number("build.duplicates.near")
                    .map(|edited| NearOptions { edited, ..NearOptions::default() }),
                over: over(written, "build.duplicates.over"),
            },
            sides: Sides::new(test, written.text("build.split.by"), seed).map_err(refuse("build.split.test"))?,
            apart: match written.has("build.contamination") {
                true => Some(self.apart(&folder)?),
                false => None,
            },
            phrasings,
            cuts,
            choice: choice(written, seed),
            seed,
            recipe: Some(self.text.clone()),
        })
    }

    fn apart(&self, folder: &Path) -> Result<Apart, RecipeError> {
        let written = &self.recipe.written;
        let width = |name: &str| written.count(&format!("build.contamination.{name}")).expect("it has a default");
        Ok(Apart {
            widths: Widths { han: width("han"), other: width("other") },
            over: over(written, "build.contamination.over"),
            against: self.collected("build.contamination.against", folder)?,
        })
    }

    fn collected(&self, list: &str, folder: &Path) -> Result<Vec<Collected>, RecipeError> {
        (0..self.recipe.written.length_of(list)).map(|i| self.source(&format!("{list}[{i}]"), folder)).collect()
    }

    fn source(&self, at: &str, folder: &Path) -> Result<Collected, RecipeError> {
        let written = &self.recipe.written;
        let key = |name: &str| format!("{at}.{name}");
        let refuse =
            |name: &str, error: CorpusError| self.recipe.refuse(&key(name), format!("cannot be used: {error}"));
        let path = RecipePath::new(folder, written.text(&key("path")).expect("a source has a path"));
        let mut source = luthier_corpus::Source::new(path.full());
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
        Ok(Collected {
            source,
            name: path.written().to_owned(),
            licence: written.text(&key("licence")),
            about: written.text(&key("about")),
        })
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
