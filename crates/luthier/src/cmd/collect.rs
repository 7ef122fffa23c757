//! `luthier collect`: pages of the web, before they become documents.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use luthier_corpus::CorpusError;
use luthier_train::recipe::read_web;

use super::{Failure, print};

/// Collects pages: from the web, politely
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Web(WebArgs),
}

/// Crawls from the start pages of a recipe through links inside its hosts
///
/// One request at a time, as robots.txt and the recipe allow. The pages land in DIR/pages.warc.gz, a standard WARC, which a recipe can name
/// as a source. A crawl that was stopped goes on when the same command is given again, and asks for no page that it has.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier collect web poems.toml --out crawl\n\n\
    The recipe needs a section [collect.web] with start = [\"https://...\"]; `luthier recipe` lists its keys.")]
struct WebArgs {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// The folder of the archive
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Prints the totals as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let From::Web(args) = &args.from;
    let web = read_web(&args.recipe).map_err(Failure::input)?;
    let archive = args.out.join("pages.warc.gz");
    let mut watch = |done: u64, next: &str| eprintln!("{done}: {next}");
    let ledger = web.crawl(&archive, &mut watch).map_err(|error| match error {
        CorpusError::Setting { .. } => Failure::input(format!("[collect.web] {error}")),
        _ => Failure::run(error),
    })?;
    let totals = serde_json::to_string_pretty(&ledger).expect("numbers") + "\n";
    let file = args.out.join("ledger.json");
    std::fs::write(&file, &totals)
        .map_err(|error| Failure::run(format!("cannot write {}: {error}", file.display())))?;
    if args.json {
        return print(&totals);
    }
    print(&format!(
        "{} addresses found: {} pages, {} others, {} redirects, {} errors, {} without an answer, {} forbidden, {} left\n{}\n",
        ledger.found,
        ledger.pages,
        ledger.other,
        ledger.redirects,
        ledger.errors,
        ledger.failed,
        ledger.forbidden,
        ledger.beyond_pages,
        archive.display()
    ))
}
