//! `luthier collect`: pages of the web, before they become documents.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args as ClapArgs, Subcommand};
use luthier_corpus::CorpusError;
use luthier_corpus::collect::{CommonCrawlLedger, Fate, Stage};
use luthier_train::recipe::{read_common_crawl, read_web};
use serde::Serialize;

use super::{Failure, print};

/// Collects pages: from the web, or out of Common Crawl, politely
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Web(WebArgs),
    CommonCrawl(CommonCrawlArgs),
}

/// Crawls from the start pages of a recipe through links inside its hosts
///
/// One request at a time, as robots.txt and the recipe allow. The pages land in DIR/pages.warc.gz, a standard WARC, which a recipe can name
/// as a source. A crawl that was stopped goes on when the same command is given again, and asks for no page that it has; addresses that had
/// no answer are asked for once more.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier collect web poems.toml --out crawl\n\n\
    The recipe needs a section [collect.web] with start = [\"https://...\"]; `luthier recipe` lists its keys.")]
struct WebArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Reads the records of addresses out of Common Crawl's archives
///
/// The addresses are looked up in Common Crawl's index, and just their records are read, one request at a time. They land as they are in
/// DIR/pages.warc.gz, a standard WARC, which a recipe can name as a source. A collection that was stopped goes on when the same command is
/// given again: what the index said is kept in DIR/index, and no record that is there is asked for again.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  luthier collect common-crawl poems.toml --out captures\n\n\
    The recipe needs a section [collect.common-crawl] with urls = [\"example.com/path/*\", \"*.gov.tw\"];\n\
    `luthier recipe` lists its keys. The folder afterwards:\n  \
    pages.warc.gz  the records              ledger.jsonl  what became of every capture\n  \
    index/         what the index said      ledger.json   the totals")]
struct CommonCrawlArgs {
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, ClapArgs)]
struct CommonArgs {
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
    match &args.from {
        From::Web(args) => web(&args.common),
        From::CommonCrawl(args) => common_crawl(&args.common),
    }
}

fn web(args: &CommonArgs) -> Result<(), Failure> {
    let web = read_web(&args.recipe).map_err(Failure::input)?;
    let archive = args.out.join("pages.warc.gz");
    let mut watch = |done: u64, next: &str| eprintln!("{done}: {next}");
    let ledger = web.crawl(&archive, &mut watch).map_err(|error| failure("collect.web", error))?;
    let totals = json(&ledger);
    let file = args.out.join("ledger.json");
    luthier_files::write_atomically(&file, |file| file.write_all(totals.as_bytes()))
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

fn common_crawl(args: &CommonArgs) -> Result<(), Failure> {
    let common_crawl = read_common_crawl(&args.recipe).map_err(Failure::input)?;
    let ledger =
        common_crawl.collect(&args.out, &mut progress()).map_err(|error| failure("collect.common-crawl", error))?;
    notes(&ledger, args);
    if args.json {
        print(&json(&ledger))?;
    } else {
        print(&format!(
            "{} captures in {}: {} records read, {} there already, {} filtered, {} duplicates, {} beyond the limit, {} failed, {} left\n{}\n",
            ledger.captures,
            ledger.crawls.join(", "),
            ledger.count(Fate::Fetched),
            ledger.count(Fate::Known),
            ledger.count(Fate::Filtered),
            ledger.count(Fate::Duplicate),
            ledger.count(Fate::BeyondLimit),
            ledger.count(Fate::Failed),
            ledger.count(Fate::Left),
            args.out.join("pages.warc.gz").display()
        ))?;
    }
    match ledger.count(Fate::Left) {
        0 => Ok(()),
        left => Err(Failure::run(format!(
            "{} gives no records, so {left} more were not asked for; the same command goes on there later",
            common_crawl.data
        ))),
    }
}

/// How often a line about the progress is written.
const EVERY: Duration = Duration::from_secs(5);

fn progress() -> impl FnMut(Stage<'_>) {
    let mut last: Option<Instant> = None;
    move |stage| {
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        last = Some(Instant::now());
        match stage {
            Stage::Index { crawl, pattern, page, pages } => {
                eprintln!("index of {crawl}: page {page} of {pages} for {pattern}");
            }
            Stage::Record { number, records, url } => eprintln!("record {number} of {records}: {url}"),
        }
    }
}

fn notes(ledger: &CommonCrawlLedger, args: &CommonArgs) {
    let failed = ledger.count(Fate::Failed);
    if failed > 0 {
        let why = ledger.why.get(&Fate::Failed).into_iter().flatten();
        let why: Vec<String> = why.map(|(why, count)| format!("{count} {why}")).collect();
        let file = args.out.join("ledger.jsonl");
        eprintln!("note: {failed} records could not be had ({}); {} names each", why.join(", "), file.display());
    }
    if ledger.captures == 0 {
        eprintln!("note: the index of {} has no such capture", ledger.crawls.join(", "));
    }
}

fn json(ledger: &impl Serialize) -> String {
    serde_json::to_string_pretty(ledger).expect("names and numbers") + "\n"
}

/// Settings are the user's; what happens on the way is not.
fn failure(section: &str, error: CorpusError) -> Failure {
    match error {
        CorpusError::Setting { .. } => Failure::input(format!("[{section}] {error}")),
        _ => Failure::run(error),
    }
}
