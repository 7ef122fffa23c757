//! The crawl: a queue of addresses, first in first out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use super::fetch::{Client, Fetched};
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
    /// The pause between two requests to a host; robots.txt may ask for a longer one.
    pub delay: Duration,
    /// How long an answer may take, its body included.
    pub timeout: Duration,
    /// How often a request is sent again that failed or was put off.
    pub retries: u32,
    /// The longest wait before that, whatever the server asks.
    pub patience: Duration,
    /// The most bytes of a page.
    pub page_bytes: u64,
    /// How the crawler calls itself; robots.txt is read for its first word.
    pub user_agent: String,
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
            delay: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            retries: 3,
            patience: Duration::from_secs(60),
            page_bytes: 8 << 20,
            user_agent: concat!("luthier/", env!("CARGO_PKG_VERSION")).to_owned(),
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
    /// Requests that were sent, robots.txt and repetitions included.
    pub requests: u64,
}

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
            store: Store::open(archive, &self.user_agent, bounds)?,
            client: Client::new(self),
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
            let delay = robots.delay.map(|delay| delay.max(self.web.delay));
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
        match self.client.fetch(url, delay) {
            Fetched::Response(block) => self.store.response(url, &block, self.web.page_bytes),
            Fetched::Failed(why) => self.store.failure(url, &why),
        }
    }

    /// The rules of a host: everything where it has none, nothing where it cannot say.
    fn robots_of(&mut self, url: &Url) -> Result<Robots, CorpusError> {
        let origin = url.origin().ascii_serialization();
        if let Some(robots) = self.robots.get(&origin) {
            return Ok(robots.clone());
        }
        let agent = self.web.user_agent.split(['/', ' ']).next().unwrap_or_default().to_owned();
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
