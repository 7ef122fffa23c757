//! `luthier report`: writes the report of a run folder anew.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use luthier_report::Language;

use super::{Failure, print};

/// Writes report.html of a run folder, from what the run has left there so far
///
/// The page is one self-contained file: no network, no scripts. `luthier run` writes it at the end by itself.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The run folder, such as runs/quickstart
    run: PathBuf,
    /// Language of the page: en or zh-Hant
    #[arg(long, default_value = "en", value_parser = parse_language)]
    language: Language,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !args.run.is_dir() {
        return Err(Failure::input(format!("{} is not a folder; give a run folder", args.run.display())));
    }
    let path = luthier_report::write_report(&args.run, args.language).map_err(Failure::run)?;
    print(&format!("{}\n", path.display()))
}

pub(crate) fn parse_language(name: &str) -> Result<Language, String> {
    match name {
        "en" => Ok(Language::English),
        "zh-Hant" => Ok(Language::TraditionalChinese),
        _ => Err(format!("\"{name}\" is not known; choose en or zh-Hant")),
    }
}
