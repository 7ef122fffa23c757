//! The parts of a recipe that say which pages to collect: `[collect.web]` and `[collect.common-crawl]`; the other sections may be missing.

use std::path::PathBuf;
use std::time::Duration;

use luthier_corpus::collect::{Captures, CommonCrawl, Manners, Web};

use super::Recipe;
use super::error::RecipeError;
use super::written::{Purpose, Written};

/// Reads what to crawl.
///
/// # Errors
/// As [`super::BuildRecipe::read`].
pub fn read_web(path: impl Into<PathBuf>) -> Result<Web, RecipeError> {
    let recipe = read(path.into(), Purpose::Crawl)?;
    let section = Section { written: &recipe.written, path: "collect.web" };
    Ok(Web {
        start: section.texts("start"),
        hosts: section.texts("hosts"),
        allow: section.texts("allow"),
        deny: section.texts("deny"),
        depth: u32::try_from(section.count("depth")).unwrap_or(u32::MAX),
        pages: section.count("pages"),
        page_bytes: section.count("page_bytes"),
        manners: section.manners(Web::default().manners),
    })
}

/// Reads what to take out of Common Crawl.
///
/// # Errors
/// As [`super::BuildRecipe::read`].
pub fn read_common_crawl(path: impl Into<PathBuf>) -> Result<CommonCrawl, RecipeError> {
    let recipe = read(path.into(), Purpose::CommonCrawl)?;
    let section = Section { written: &recipe.written, path: "collect.common-crawl" };
    let text = |name: &str| section.text(name).expect("it has a default");
    // Dates may be written with hyphens.
    let moment = |name: &str| section.text(name).map(|moment| moment.replace('-', ""));
    Ok(CommonCrawl {
        crawls: section.texts("crawls"),
        urls: section.texts("urls"),
        languages: section.texts("languages"),
        mime: section.texts("mime"),
        status: u16::try_from(section.count("status")).expect("it is checked to be below 600"),
        from: moment("from"),
        to: moment("to"),
        captures: if text("captures") == "all" { Captures::All } else { Captures::Newest },
        truncated: section.written.flag(&section.key("truncated")),
        limit: section.written.count(&section.key("limit")).map(|limit| limit as u64),
        record_bytes: section.count("record_bytes"),
        manners: section.manners(CommonCrawl::default().manners),
        index: text("index"),
        data: text("data"),
    })
}

fn read(path: PathBuf, purpose: Purpose) -> Result<Recipe, RecipeError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Recipe::parse_for(&text, path, purpose),
        Err(source) => Err(RecipeError::Unreadable { path, source }),
    }
}

/// A section of a recipe, whose keys are called without it.
struct Section<'w> {
    written: &'w Written,
    path: &'static str,
}

impl Section<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.written.text(&self.key(name))
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.written.texts(&self.key(name)).unwrap_or_default()
    }

    fn count(&self, name: &str) -> u64 {
        self.written.count(&self.key(name)).expect("it has a default") as u64
    }

    fn seconds(&self, name: &str) -> Duration {
        // A year is as good as any longer time.
        Duration::from_secs_f64(self.written.number(&self.key(name)).expect("it has a default").min(3.2e7))
    }

    fn manners(&self, usual: Manners) -> Manners {
        Manners {
            delay: self.seconds("delay"),
            timeout: self.seconds("timeout"),
            retries: u32::try_from(self.count("retries")).unwrap_or(u32::MAX),
            patience: self.seconds("patience"),
            user_agent: self.text("user_agent").unwrap_or(usual.user_agent),
        }
    }
}
