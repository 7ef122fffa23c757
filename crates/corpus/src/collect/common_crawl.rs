//! Records out of Common Crawl: looked up in its index of addresses, read by their place in its archives.
//!
//! 1. [`index`] asks which captures there are of the addresses that are wanted, a page after the other, and keeps what was said in the
//!    folder, so that nothing is asked twice and a second start chooses from the same captures.
//! 2. [`selection`] chooses among them: a capture of each address, the newest.
//! 3. Each chosen record that the archive does not hold yet is read with a range of bytes, which is a gzip member of its own, checked
//!    ([`record`]), and appended as it is.

mod capture;
mod index;
mod ledger;
mod record;
mod selection;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use luthier_hub::http;
use url::Url;

use super::archive::Archive;
use super::client::{Client, Manners};
use crate::error::CorpusError;
use crate::source::{Bounds, RecordKind};
use capture::{Capture, Entry, Pattern};
use index::Index;
use ledger::Books;
pub use ledger::{CommonCrawlLedger, Fate};
use selection::Selection;

/// Which captures of an address are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captures {
    /// The newest one.
    Newest,
    /// Every one.
    All,
}

/// What is looked up in Common Crawl, and how politely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonCrawl {
    /// Crawls such as `CC-MAIN-2024-22`, in the order in which they are looked through; `latest` is the newest one there is.
    pub crawls: Vec<String>,
    /// Which addresses: `example.com/page` is one, `example.com/path/*` all that begin so, `example.com/*` a host, `*.example.com` a
    /// domain with all its hosts.
    pub urls: Vec<String>,
    /// Languages as the index names them (`zho`, `eng`), of which a page must be in one; empty for all.
    pub languages: Vec<String>,
    /// Media types, of which the stated or the recognised one must be one; empty for all.
    pub mime: Vec<String>,
    /// The status that the server answered.
    pub status: u16,
    /// The earliest and the latest moment of a capture, as many digits of `YYYYMMDDhhmmss` as matter.
    pub from: Option<String>,
    /// See `from`.
    pub to: Option<String>,
    /// Which captures of an address.
    pub captures: Captures,
    /// Whether captures are taken that the crawler cut short.
    pub truncated: bool,
    /// The most records.
    pub limit: Option<u64>,
    /// The most bytes of a record, inflated.
    pub record_bytes: u64,
    /// How it asks: the index and the archives alike.
    pub manners: Manners,
    /// The address of the index.
    pub index: String,
    /// The address under which the archives lie.
    pub data: String,
}

impl Default for CommonCrawl {
    fn default() -> Self {
        CommonCrawl {
            crawls: vec!["latest".to_owned()],
            urls: Vec::new(),
            languages: Vec::new(),
            mime: ["text/html", "application/xhtml+xml", "text/plain"].map(str::to_owned).to_vec(),
            status: 200,
            from: None,
            to: None,
            captures: Captures::Newest,
            truncated: false,
            limit: None,
            record_bytes: 16 << 20,
            manners: Manners {
                delay: Duration::from_secs(1),
                timeout: Duration::from_secs(120),
                // The index is asked more than it can answer, and says so with 503.
                retries: 5,
                patience: Duration::from_secs(120),
                user_agent: http::USER_AGENT.to_owned(),
            },
            index: "https://index.commoncrawl.org".to_owned(),
            data: "https://data.commoncrawl.org".to_owned(),
        }
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'s> {
    /// A page of the index, of so many, for a pattern in a crawl.
    Index {
        /// The crawl.
        crawl: &'s str,
        /// The pattern, as it was given.
        pattern: &'s str,
        /// The page, from 1.
        page: u64,
        /// How many there are.
        pages: u64,
    },
    /// A record, of so many that were chosen.
    Record {
        /// The record, from 1.
        number: u64,
        /// How many there are.
        records: u64,
        /// The address that was captured.
        url: &'s str,
    },
}

/// After so many records in a row that the server did not give, it is not asked for more.
const GIVE_UP: u32 = 10;

impl CommonCrawl {
    /// Collects into a folder, and goes on where a collection that was stopped has ended: `pages.warc.gz` with the records, `index` with
    /// what the index said, `ledger.jsonl` with the fate of every capture, and `ledger.json` with the totals. `watch` is told what comes
    /// next.
    ///
    /// # Errors
    /// When a setting makes no sense, the index does not answer or not with captures, or something cannot be written. Records that cannot
    /// be had are counted.
    pub fn collect(&self, folder: &Path, watch: &mut dyn FnMut(Stage<'_>)) -> Result<CommonCrawlLedger, CorpusError> {
        let patterns: Vec<Pattern> = self.urls.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
        if patterns.is_empty() {
            return Err(CorpusError::setting("urls", "say which addresses to look up"));
        }
        let data = endpoint("data", &self.data)?;
        let about = format!(
            "software: {}\r\nformat: WARC File Format 1.0\r\ndescription: records of Common Crawl, as they lie there\r\n",
            self.manners.user_agent
        );
        let bounds = Bounds { record: self.record_bytes, ..Bounds::default() };
        let mut known = HashSet::new();
        let archive = Archive::open(&folder.join("pages.warc.gz"), &about, bounds, &mut |record| {
            if record.kind == RecordKind::Response
                && let Some(url) = record.url()
            {
                known.insert((url.to_owned(), record::moment(&record)));
            }
        })?;
        let mut client = Client::new(&self.manners, "*/*")?;
        let index = Index::new(&endpoint("index", &self.index)?, folder.join("index"), self)?;
        let lines = folder.join("ledger.jsonl");
        let mut ended = None;
        let written = luthier_files::write_atomically(&lines, |file| {
            let collection = Collection { settings: self, archive, known, data, books: Books::new(file) };
            let result = collection.all(&mut client, &index, &patterns, watch);
            // The error itself is handed on below.
            let done = result.as_ref().map(|_| ()).map_err(|error| io::Error::other(error.to_string()));
            ended = Some(result);
            done
        });
        let mut ledger = match (ended, written) {
            (Some(Err(error)), _) => return Err(error),
            (Some(Ok(ledger)), Ok(())) => ledger,
            (_, written) => {
                let error = written.err().unwrap_or_else(|| io::Error::other("nothing was written"));
                return Err(CorpusError::write(&lines)(error));
            }
        };
        ledger.requests = client.requests;
        ledger.balance()?;
        let totals = serde_json::to_string_pretty(&ledger).expect("names and numbers") + "\n";
        let path = folder.join("ledger.json");
        luthier_files::write_atomically(&path, |file| io::Write::write_all(file, totals.as_bytes()))
            .map_err(CorpusError::write(&path))?;
        Ok(ledger)
    }
}

struct Collection<'c> {
    settings: &'c CommonCrawl,
    archive: Archive,
    /// Addresses and moments of the records that the archive holds.
    known: HashSet<(String, String)>,
    data: Url,
    books: Books<'c, BufWriter<File>>,
}

impl Collection<'_> {
    fn all(
        mut self,
        client: &mut Client,
        index: &Index<'_>,
        patterns: &[Pattern],
        watch: &mut dyn FnMut(Stage<'_>),
    ) -> Result<CommonCrawlLedger, CorpusError> {
        let chosen = self.choose(client, index, patterns, watch)?;
        self.fetch(client, &chosen, watch)?;
        Ok(self.books.ledger)
    }

    /// Looks through the index, as far as there is room for records.
    fn choose(
        &mut self,
        client: &mut Client,
        index: &Index<'_>,
        patterns: &[Pattern],
        watch: &mut dyn FnMut(Stage<'_>),
    ) -> Result<Vec<Capture>, CorpusError> {
        let mut selection = Selection::new(self.settings.captures, self.settings.limit);
        let crawls = index.crawls(client, &self.settings.crawls)?;
        self.books.ledger.crawls.clone_from(&crawls);
        for crawl in &crawls {
            for pattern in patterns {
                if selection.is_full() {
                    self.books.ledger.index_cut_short = true;
                    return Ok(selection.chosen());
                }
                let pages = index.pages(client, crawl, pattern)?;
                for page in 0..pages {
                    if selection.is_full() {
                        self.books.ledger.index_cut_short = true;
                        return Ok(selection.chosen());
                    }
                    watch(Stage::Index { crawl, pattern: pattern.text(), page: page + 1, pages });
                    let text = index.page(client, crawl, pattern, page)?;
                    self.books.ledger.index_pages += 1;
                    let name = index.page_name(crawl, pattern, page);
                    self.offer(&mut selection, &name, &text)?;
                }
            }
        }
        Ok(selection.chosen())
    }

    /// Offers the captures of a page of the index.
    fn offer(&mut self, selection: &mut Selection, page: &str, text: &str) -> Result<(), CorpusError> {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let entry = match Entry::parse(line) {
                Ok(entry) => entry,
                Err(why) => {
                    self.books.unusable(&format!("{page}:{number}"), line, &why)?;
                    continue;
                }
            };
            if let Some(why) = entry.refused_by(self.settings) {
                self.books.enter(Fate::Filtered, &entry.capture, why, "")?;
            } else if let Some((out, fate, why)) = selection.offer(entry.capture) {
                self.books.enter(fate, &out, "", &why)?;
            }
        }
        Ok(())
    }

    /// Reads the records that are not there yet.
    fn fetch(
        &mut self,
        client: &mut Client,
        chosen: &[Capture],
        watch: &mut dyn FnMut(Stage<'_>),
    ) -> Result<(), CorpusError> {
        let records = chosen.len() as u64;
        let mut in_vain = 0;
        for (number, capture) in (1..).zip(chosen) {
            if self.known.contains(&(capture.url.clone(), capture.timestamp.clone())) {
                self.books.enter(Fate::Known, capture, "", "")?;
                continue;
            }
            if in_vain == GIVE_UP {
                self.books.enter(Fate::Left, capture, "", "")?;
                continue;
            }
            watch(Stage::Record { number, records, url: &capture.url });
            let url = record::address(&self.data, capture)?;
            let most = self.settings.record_bytes;
            match client.ask(&url, Some(&capture.range()), None, |answer| record::member(answer, capture, most)) {
                Ok(member) => {
                    in_vain = 0;
                    self.archive.append_member(&member)?;
                    self.books.ledger.bytes += capture.length;
                    self.books.enter(Fate::Fetched, capture, "", "")?;
                }
                Err(failure) => {
                    in_vain = if record::is_the_servers(&failure) { in_vain + 1 } else { 0 };
                    self.books.enter(Fate::Failed, capture, failure.label, &failure.why)?;
                }
            }
        }
        Ok(())
    }
}

/// The address of a server, with a slash at its end.
fn endpoint(setting: &'static str, text: &str) -> Result<Url, CorpusError> {
    let wrong =
        || CorpusError::setting(setting, format!("{text:?} is no address of the web, such as https://example.org"));
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).map_err(|_| wrong())?;
    match matches!(url.scheme(), "http" | "https") && url.host_str().is_some() && url.query().is_none() {
        true => Ok(url),
        false => Err(wrong()),
    }
}
