//! The crawl: a queue of addresses, first in first out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use ureq::http::Response;
use url::Url;

use super::client::{Client, Failure, Manners, body};
use super::links::{Scope, address, host};
use super::robots::Robots;
use super::store::{Answer, Store};
use crate::error::CorpusError;
use crate::source::Bounds;

/// What is crawled, and how politely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where the crawl begins.
    pub start: Vec<String>,
    /// Hosts it stays inside, with their port where that is not the usual one; empty for those of the start pages.
    pub hosts: Vec<String>,
    /// Regular expressions, of which an address must fit one, start pages aside; empty for all.
    pub allow: Vec<String>,
    /// Regular expressions, of which an address must fit none.
    pub deny: Vec<String>,
    /// How many links away from a start page.
    pub depth: u32,
    /// The most addresses that are asked for, robots.txt aside.
    pub pages: u64,
    /// The most bytes of a page.
    pub page_bytes: u64,
    /// How it asks. robots.txt may ask for longer pauses, and is read for the first word of the crawler's name.
    pub manners: Manners,
}

impl Default for Web {
    fn default() -> Self {
        Web {
            start: Vec::new(),
            hosts: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            depth: 3,
            pages: 1000,
            page_bytes: 8 << 20,
            manners: Manners::default(),
        }
    }
}

/// What became of the addresses of a crawl; each counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WebLedger {
    /// Addresses inside the scope that were found: the sum of all from `pages` to `beyond_pages`.
    pub found: u64,
    /// Pages of HTML.
    pub pages: u64,
    /// Successes that are no HTML, such as plain text.
    pub other: u64,
    /// Redirects.
    pub redirects: u64,
    /// Answers with an error, such as 404.
    pub errors: u64,
    /// No answer, or one that was too long or too slow.
    pub failed: u64,
    /// Forbidden by robots.txt.
    pub forbidden: u64,
    /// Left when the most pages were asked for.
    pub beyond_pages: u64,
    /// Links to other hosts, or against the patterns; each address once.
    pub out_of_scope: u64,
    /// Links deeper than the crawl goes; each address once.
    pub too_deep: u64,
    /// Answers that lay in the archive already.
    pub known: u64,
    /// Addresses that an earlier crawl had asked for in vain, and that were asked for again.
    pub asked_again: u64,
    /// Requests that were sent, robots.txt and repetitions included.
    pub requests: u64,
}

/// Media types whose bodies are read, and how servers are told of them.
const READ: [&str; 3] = ["text/html", "application/xhtml+xml", "text/plain"];
const ACCEPT: &str = "text/html,application/xhtml+xml,text/plain;q=0.8";

/// The most redirects that a robots.txt may take.
const ROBOTS_REDIRECTS: usize = 5;

struct Crawl<'w> {
    web: &'w Web,
    scope: Scope,
    store: Store,
    client: Client,
    robots: HashMap<String, Robots>,
    queue: VecDeque<(Url, u32)>,
    /// Addresses that were looked at, whatever came of them.
    seen: HashSet<String>,
    ledger: WebLedger,
}

impl Web {
    /// Crawls into an archive, and goes on where one that was stopped has ended. `watch` is told how many addresses are done and which
    /// comes next.
    ///
    /// # Errors
    /// When a setting makes no sense or the archive cannot be written; servers that fail are counted.
    pub fn crawl(&self, archive: &Path, watch: &mut dyn FnMut(u64, &str)) -> Result<WebLedger, CorpusError> {
        let start: Vec<Url> = self
            .start
            .iter()
            .map(|text| {
                address(None, text)
                    .ok_or_else(|| CorpusError::setting("start", format!("{text:?} is no address of the web")))
            })
            .collect::<Result<_, _>>()?;
        if start.is_empty() {
            return Err(CorpusError::setting("start", "say where to begin"));
        }
        let hosts =
            if self.hosts.is_empty() { start.iter().map(host).collect() } else { self.hosts.iter().cloned().collect() };
        let scope = Scope::new(hosts, &self.allow, &self.deny)?;
        if let Some(outside) = start.iter().find(|url| !scope.has_host(url)) {
            return Err(CorpusError::setting("start", format!("{outside} is on none of the hosts")));
        }
        let bounds = Bounds { record: self.page_bytes + (1 << 20), ..Bounds::default() };
        let mut crawl = Crawl {
            web: self,
            scope,
            store: Store::open(archive, &self.manners.user_agent, bounds)?,
            client: Client::new(&self.manners, ACCEPT)?,
            robots: HashMap::new(),
            queue: VecDeque::new(),
            seen: HashSet::new(),
            ledger: WebLedger::default(),
        };
        for url in start {
            crawl.enqueue(url, 0);
        }
        crawl.run(watch)?;
        crawl.ledger.requests = crawl.client.requests;
        Ok(crawl.ledger)
    }
}

impl Crawl<'_> {
    fn run(&mut self, watch: &mut dyn FnMut(u64, &str)) -> Result<(), CorpusError> {
        let mut asked = 0;
        while let Some((url, depth)) = self.queue.pop_front() {
            if asked == self.web.pages {
                self.ledger.beyond_pages = 1 + self.queue.len() as u64;
                return Ok(());
            }
            let robots = self.robots_of(&url)?;
            if !robots.allows(&url[url::Position::BeforePath..]) {
                self.ledger.forbidden += 1;
                continue;
            }
            let delay = robots.delay.map(|delay| delay.max(self.web.manners.delay));
            watch(asked, url.as_str());
            asked += 1;
            match self.answer(&url, delay)? {
                Answer::Page(links) => {
                    self.ledger.pages += 1;
                    links.into_iter().for_each(|link| self.link(link, depth + 1));
                }
                Answer::Redirect(to) => {
                    self.ledger.redirects += 1;
                    // A redirect is no step away: it is where the page is now.
                    to.into_iter().for_each(|to| self.link(to, depth));
                }
                Answer::Other | Answer::Robots(_) => self.ledger.other += 1,
                Answer::Status(_) => self.ledger.errors += 1,
                Answer::Failed => self.ledger.failed += 1,
            }
        }
        Ok(())
    }

    /// Looks at an address that a page links to, the first time it comes.
    fn link(&mut self, url: Url, depth: u32) {
        if self.seen.contains(url.as_str()) {
            return;
        }
        if !self.scope.has_host(&url) || !self.scope.lets_through(&url) {
            self.seen.insert(url.into());
            self.ledger.out_of_scope += 1;
        } else if depth > self.web.depth {
            // Another page may link to it from nearer, but the queue goes level by level: none will.
            self.seen.insert(url.into());
            self.ledger.too_deep += 1;
        } else {
            self.enqueue(url, depth);
        }
    }

    fn enqueue(&mut self, url: Url, depth: u32) {
        if self.seen.insert(url.to_string()) {
            self.ledger.found += 1;
            self.queue.push_back((url, depth));
        }
    }

    /// The answer of the archive, or else of the server.
    fn answer(&mut self, url: &Url, delay: Option<Duration>) -> Result<Answer, CorpusError> {
        if let Some(answer) = self.store.get(url) {
            self.ledger.known += 1;
            return Ok(answer.clone());
        }
        self.ledger.asked_again += u64::from(self.store.was_in_vain(url));
        let (any, most) = (url.path() == "/robots.txt", self.web.page_bytes);
        match self.client.ask(url, None, delay, |answer| block(answer, any, most)) {
            Ok(block) => self.store.response(url, &block, most),
            Err(failure) => self.store.failure(url, &failure),
        }
    }

    /// The rules of a host: everything where it has none, nothing where it cannot say.
    fn robots_of(&mut self, url: &Url) -> Result<Robots, CorpusError> {
        let origin = url.origin().ascii_serialization();
        if let Some(robots) = self.robots.get(&origin) {
            return Ok(robots.clone());
        }
        let agent = self.web.manners.user_agent.split(['/', ' ']).next().unwrap_or_default().to_owned();
        let mut at = address(Some(url), "/robots.txt");
        let mut robots = Robots::closed();
        for _ in 0..=ROBOTS_REDIRECTS {
            let Some(here) = at.take() else { break };
            let known = self.ledger.known;
            let answer = self.answer(&here, None)?;
            self.ledger.known = known;
            robots = match answer {
                Answer::Robots(text) => Robots::parse(&agent, &text),
                Answer::Status(400..500) | Answer::Page(_) | Answer::Other => Robots::open(),
                Answer::Redirect(to) => {
                    at = to.filter(|to| self.scope.has_host(to));
                    Robots::open()
                }
                Answer::Status(_) | Answer::Failed => Robots::closed(),
            };
        }
        self.robots.insert(origin, robots.clone());
        Ok(robots)
    }
}

/// Head and body of an answer as an archive holds them; the body of a page, or with `any` whatever comes.
fn block(answer: Response<ureq::Body>, any: bool, most: u64) -> Result<Vec<u8>, Failure> {
    let (head, content) = answer.into_parts();
    let media = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let bytes = match head.status.is_success() && (any || READ.contains(&media.as_str())) {
        true => body(content, most)?,
        false => Vec::new(),
    };
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut block = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        // The body is kept as it is once it is put together.
        if !matches!(name.as_str(), "transfer-encoding" | "content-length") {
            block.extend_from_slice(name.as_str().as_bytes());
            block.extend_from_slice(b": ");
            block.extend_from_slice(value.as_bytes());
            block.extend_from_slice(b"\r\n");
        }
    }
    block.extend_from_slice(format!("content-length: {}\r\n\r\n", bytes.len()).as_bytes());
    block.extend_from_slice(&bytes);
    Ok(block)
}
