//! Requests, with pauses between those to one host, and again after a failure that may pass.

use std::collections::HashMap;
use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderMap, Response};
use url::Url;

use super::links::host;
use super::web::Web;

/// What came of a request in the end.
pub(super) enum Fetched {
    /// Head and body of the answer, as an archive holds them.
    Response(Vec<u8>),
    /// Why there is none.
    Failed(String),
}

/// Answers that may be others a while later.
const PASSING: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// Media types whose bodies are read.
const READ: [&str; 3] = ["text/html", "application/xhtml+xml", "text/plain"];

/// Asks servers.
pub(super) struct Client {
    agent: Agent,
    page_bytes: u64,
    retries: u32,
    pause: Duration,
    patience: Duration,
    /// When each host may be asked again.
    ready: HashMap<String, Instant>,
    /// Requests that were sent.
    pub(super) requests: u64,
}

impl Client {
    pub(super) fn new(web: &Web) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(&web.user_agent)
            // What is sent is what is kept.
            .accept_encoding("identity")
            .accept("text/html,application/xhtml+xml,text/plain;q=0.8")
            .timeout_global(Some(web.timeout))
            .build();
        Client {
            agent: config.into(),
            page_bytes: web.page_bytes,
            retries: web.retries,
            pause: web.delay,
            patience: web.patience,
            ready: HashMap::new(),
            requests: 0,
        }
    }

    /// Asks for an address, `delay` after the last request to its host at the earliest.
    pub(super) fn fetch(&mut self, url: &Url, delay: Option<Duration>) -> Fetched {
        let mut attempt = 0;
        loop {
            if let Some(ready) = self.ready.get(&host(url)) {
                sleep(ready.saturating_duration_since(Instant::now()));
            }
            self.requests += 1;
            let answer = self.agent.get(url.as_str()).call();
            let pause = delay.unwrap_or(self.pause);
            self.ready.insert(host(url), Instant::now() + pause);
            // 1, 2, 4, ... times the pause, but a tenth of a second at least.
            let back_off = (pause.max(Duration::from_millis(100)) * 2u32.saturating_pow(attempt)).min(self.patience);
            let wait = match &answer {
                Err(_) => Some(back_off),
                Ok(answer) if PASSING.contains(&answer.status().as_u16()) => {
                    Some(retry_after(answer.headers()).unwrap_or(back_off).min(self.patience))
                }
                Ok(_) => None,
            };
            if let Some(wait) = wait
                && attempt < self.retries
            {
                self.ready.insert(host(url), Instant::now() + wait.max(pause));
                attempt += 1;
                continue;
            }
            return match answer {
                Err(error) => Fetched::Failed(error.to_string()),
                Ok(answer) => self.read(answer, url.path() == "/robots.txt"),
            };
        }
    }

    /// Reads a page, or with `any` whatever comes.
    fn read(&self, answer: Response<ureq::Body>, any: bool) -> Fetched {
        let (head, body) = answer.into_parts();
        let media = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut bytes = Vec::new();
        if head.status.is_success() && (any || READ.contains(&media.as_str())) {
            let read = body.into_reader().take(self.page_bytes + 1).read_to_end(&mut bytes);
            if let Err(error) = read {
                return Fetched::Failed(format!("its body breaks off: {error}"));
            }
            if bytes.len() as u64 > self.page_bytes {
                return Fetched::Failed(format!("its body has more than {} bytes", self.page_bytes));
            }
        }
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
        Fetched::Response(block)
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
