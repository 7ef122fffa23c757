//! What a crawl knows: the answers that lie in its archive.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use url::Url;

use super::archive::Archive;
use super::client::{Failure, PASSING};
use super::links::{address, links};
use crate::charset;
use crate::error::CorpusError;
use crate::source::{ArchiveRecord, Bounds, HttpResponse, RecordKind};

/// What came of asking for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A page, and where it links to.
    Page(Vec<Url>),
    /// Somewhere else.
    Redirect(Option<Url>),
    /// An error of the server's or of the address; a success has none.
    Status(u16),
    /// The text of a robots.txt.
    Robots(Vec<u8>),
    /// A success that is no page.
    Other,
    /// No answer that could be taken.
    Failed,
}

/// The archive, and the answers that lie in it; of several to an address the last.
pub(super) struct Store {
    archive: Archive,
    answers: HashMap<String, Known>,
}

struct Known {
    answer: Answer,
    /// Whether it came in an earlier crawl, and might be another today.
    stale: bool,
}

impl Store {
    /// Opens the archive of a crawl or begins one.
    pub(super) fn open(path: &Path, software: &str, bounds: Bounds) -> Result<Self, CorpusError> {
        let about = format!("software: {software}\r\nformat: WARC File Format 1.1\r\nrobots: classic\r\n");
        let mut answers = HashMap::new();
        let archive = Archive::open(path, &about, bounds, &mut |record| {
            if let Some((url, known)) = known(&record, bounds.record) {
                answers.insert(url, known);
            }
        })?;
        Ok(Store { archive, answers })
    }

    /// The answer that is there for an address, unless that was none at all, or one that may pass, and came in an earlier crawl.
    pub(super) fn get(&self, url: &Url) -> Option<&Answer> {
        self.answers.get(url.as_str()).filter(|known| !known.stale).map(|known| &known.answer)
    }

    /// Whether an earlier crawl asked for an address in vain.
    pub(super) fn was_in_vain(&self, url: &Url) -> bool {
        self.answers.get(url.as_str()).is_some_and(|known| known.stale)
    }

    /// Appends an answer: the head and the body of a response of HTTP.
    pub(super) fn response(&mut self, url: &Url, block: &[u8], limit: u64) -> Result<Answer, CorpusError> {
        let answer = answer(url, block, limit);
        if !self.is_old(url, &answer) {
            self.archive.append("response", Some(url.as_str()), "application/http; msgtype=response", block)?;
        }
        self.answers.insert(url.to_string(), Known { answer: answer.clone(), stale: false });
        Ok(answer)
    }

    /// Appends why there is no answer.
    pub(super) fn failure(&mut self, url: &Url, failure: &Failure) -> Result<Answer, CorpusError> {
        if !self.is_old(url, &Answer::Failed) {
            let block = serde_json::json!({ "failed": failure.why, "passing": failure.passing }).to_string();
            self.archive.append("metadata", Some(url.as_str()), "application/json", block.as_bytes())?;
        }
        self.answers.insert(url.to_string(), Known { answer: Answer::Failed, stale: false });
        Ok(Answer::Failed)
    }

    /// Whether the archive says so already: a server that stays away does not let it grow.
    fn is_old(&self, url: &Url, answer: &Answer) -> bool {
        let passing = matches!(answer, Answer::Failed | Answer::Status(_));
        passing && self.answers.get(url.as_str()).is_some_and(|known| known.answer == *answer)
    }
}

fn known(record: &ArchiveRecord, limit: u64) -> Option<(String, Known)> {
    let url = record.url().and_then(|url| address(None, url))?;
    let known = match record.kind {
        RecordKind::Response => {
            let answer = answer(&url, &record.block, limit);
            let stale = matches!(answer, Answer::Status(status) if PASSING.contains(&status));
            Known { answer, stale }
        }
        RecordKind::Metadata => {
            let said: Value = serde_json::from_slice(&record.block).unwrap_or_default();
            Known { answer: Answer::Failed, stale: said["passing"] != false }
        }
        _ => return None,
    };
    Some((url.into(), known))
}

/// What the block of a response says.
fn answer(url: &Url, block: &[u8], limit: u64) -> Answer {
    let Ok(response) = HttpResponse::parse(block, limit) else { return Answer::Failed };
    let (media, charset) = response.content_type();
    match response.status {
        300..400 => Answer::Redirect(response.headers.get("Location").and_then(|to| address(Some(url), to))),
        200..300 if url.path() == "/robots.txt" => Answer::Robots(response.body),
        200..300 if matches!(media.as_str(), "text/html" | "application/xhtml+xml") => {
            let html = charset::decode(&response.body, charset.as_deref()).text;
            Answer::Page(links(url, &html))
        }
        200..300 => Answer::Other,
        status => Answer::Status(status),
    }
}
