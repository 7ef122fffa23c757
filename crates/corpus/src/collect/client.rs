//! Requests, one at a time, with pauses between those to one host, and again after a failure that may pass.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use luthier_hub::{Settings, http};
use ureq::Agent;
use ureq::http::{HeaderMap, Response};
use url::Url;

use super::date;
use super::links::host;
use crate::error::CorpusError;

/// How politely servers are asked, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// The pause between two requests to a host.
    pub delay: Duration,
    /// How long an answer may take, its body included.
    pub timeout: Duration,
    /// How often a request is sent again that failed or was put off.
    pub retries: u32,
    /// The longest wait before that. A server that asks for a longer one is not asked again.
    pub patience: Duration,
    /// How this program calls itself.
    pub user_agent: String,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            delay: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            retries: 3,
            patience: Duration::from_secs(60),
            user_agent: http::USER_AGENT.to_owned(),
        }
    }
}

/// Answers that may be others a while later; 509 is how some say that they are asked too much.
pub(super) const PASSING: [u16; 7] = [408, 429, 500, 502, 503, 504, 509];

/// Why nothing came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In a word or two, for totals.
    pub(super) label: &'static str,
    /// In a sentence that goes on after the address.
    pub(super) why: String,
    /// Whether it may be otherwise a while later.
    pub(super) passing: bool,
}

impl Failure {
    pub(super) fn passing(label: &'static str, why: impl Into<String>) -> Self {
        Failure { label, why: why.into(), passing: true }
    }

    pub(super) fn lasting(label: &'static str, why: impl Into<String>) -> Self {
        Failure { label, why: why.into(), passing: false }
    }
}

/// Asks servers.
pub(super) struct Client {
    agent: Agent,
    manners: Manners,
    /// When each host may be asked again.
    ready: HashMap<String, Instant>,
    /// Requests that were sent.
    pub(super) requests: u64,
}

impl Client {
    /// A client that prefers these media types.
    pub(super) fn new(manners: &Manners, accept: &str) -> Result<Self, CorpusError> {
        let config = http::agent(&manners.user_agent, Settings::from_env().certificates.as_deref())
            .map_err(|error| CorpusError::setting("connection", error.to_string()))?;
        let agent = config.accept(accept).timeout_global(Some(manners.timeout)).build().into();
        Ok(Client { agent, manners: manners.clone(), ready: HashMap::new(), requests: 0 })
    }

    /// Asks for an address, or for some bytes of it, `delay` after the last request to its host at the earliest, and lets `read` make
    /// something of the answer. While there are retries left, `read` sees no answer that may pass, and what it calls passing itself is
    /// asked for again.
    pub(super) fn ask<T>(
        &mut self,
        url: &Url,
        bytes: Option<&Range<u64>>,
        delay: Option<Duration>,
        mut read: impl FnMut(Response<ureq::Body>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (pause, patience) = (delay.unwrap_or(self.manners.delay), self.manners.patience);
        let mut attempt = 0;
        loop {
            if let Some(ready) = self.ready.get(&host(url)) {
                sleep(ready.saturating_duration_since(Instant::now()));
            }
            self.requests += 1;
            let mut request = self.agent.get(url.as_str());
            if let Some(bytes) = bytes {
                request = request.header("range", format!("bytes={}-{}", bytes.start, bytes.end - 1));
            }
            let answer = request.call();
            // 1, 2, 4, ... times the pause, but a tenth of a second at least.
            let back_off = (pause.max(Duration::from_millis(100)) * 2u32.saturating_pow(attempt)).min(patience);
            let mut wait = Some(back_off).filter(|_| attempt < self.manners.retries);
            let asked = answer.as_ref().ok().and_then(|answer| retry_after(answer.headers()));
            let too_long = asked.filter(|asked| *asked > patience);
            if asked.is_some() {
                wait = wait.and(asked).filter(|_| too_long.is_none());
            }
            let is_passing = |answer: &Response<ureq::Body>| PASSING.contains(&answer.status().as_u16());
            let result = match (answer, wait) {
                (Err(error), _) => Err(Failure::passing("no answer", error.to_string())),
                (Ok(put_off), Some(_)) if is_passing(&put_off) => Err(Failure::passing("put off", "")),
                (Ok(answer), _) => read(answer),
            };
            self.ready.insert(host(url), Instant::now() + pause);
            match (result, wait) {
                (Err(Failure { passing: true, .. }), Some(wait)) => {
                    self.ready.insert(host(url), Instant::now() + wait.max(pause));
                    attempt += 1;
                }
                (result, _) => {
                    return result.map_err(|mut failure| {
                        if let Some(pause) = too_long {
                            failure.why += &format!("; it wants to be left alone for {} seconds", pause.as_secs());
                        }
                        failure
                    });
                }
            }
        }
    }
}

/// The body of an answer, of which more than `most` bytes are refused.
pub(super) fn body(answer: ureq::Body, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = answer.into_reader().take(most + 1).read_to_end(&mut bytes);
    if let Err(error) = read {
        return Err(Failure::passing("broke off", format!("its body breaks off: {error}")));
    }
    if bytes.len() as u64 > most {
        return Err(Failure::lasting("too long", format!("its body has more than {most} bytes")));
    }
    Ok(bytes)
}

/// How long the server wants to be left alone: seconds, or until a moment (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(date::of_http(text)?.duration_since(SystemTime::now()).unwrap_or_default()),
    }
}
