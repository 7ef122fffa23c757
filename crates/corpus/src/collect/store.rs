//! The archive of a crawl: a WARC (ISO 28500), a gzip member for each record, that is appended to and read again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use url::Url;

use super::links::{address, links};
use crate::charset;
use crate::document::Position;
use crate::error::CorpusError;
use crate::source::{Archives, Bounds, HttpResponse, RecordKind};

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

/// The archive, and the answers that lie in it.
pub(super) struct Store {
    path: PathBuf,
    file: File,
    answers: HashMap<String, Answer>,
}

impl Store {
    /// Opens an archive or begins one. What a killed crawl left half written at its end is cut off.
    pub(super) fn open(path: &Path, software: &str, bounds: Bounds) -> Result<Self, CorpusError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(CorpusError::write(folder))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(CorpusError::write(path))?;
        let mut store = Store { path: path.to_owned(), file, answers: HashMap::new() };
        let mut whole = 0;
        if std::fs::metadata(path).map_err(CorpusError::read(path))?.len() > 0 {
            for record in Archives::open(path, bounds)? {
                match record {
                    Ok(record) => {
                        whole += 1;
                        let Some(url) = record.url().and_then(|url| address(None, url)) else { continue };
                        let answer = match record.kind {
                            RecordKind::Response => answer(&url, &record.block, bounds.record),
                            RecordKind::Metadata => Answer::Failed,
                            _ => continue,
                        };
                        store.answers.insert(url.into(), answer);
                    }
                    Err(fault) => {
                        let Position::Offset(offset) = fault.position else { continue };
                        store.file.set_len(offset).map_err(CorpusError::write(path))?;
                        break;
                    }
                }
            }
        }
        if whole == 0 {
            store.file.set_len(0).map_err(CorpusError::write(path))?;
            let block = format!("software: {software}\r\nformat: WARC File Format 1.1\r\nrobots: classic\r\n");
            store.append("warcinfo", None, "application/warc-fields", block.as_bytes())?;
        }
        Ok(store)
    }

    /// What is in the archive of an address.
    pub(super) fn get(&self, url: &Url) -> Option<&Answer> {
        self.answers.get(url.as_str())
    }

    /// Appends an answer: the head and the body of a response of HTTP.
    pub(super) fn response(&mut self, url: &Url, block: &[u8], limit: u64) -> Result<Answer, CorpusError> {
        self.append("response", Some(url), "application/http; msgtype=response", block)?;
        let answer = answer(url, block, limit);
        self.answers.insert(url.to_string(), answer.clone());
        Ok(answer)
    }

    /// Appends why there is no answer.
    pub(super) fn failure(&mut self, url: &Url, why: &str) -> Result<Answer, CorpusError> {
        let block = serde_json::json!({ "failed": why }).to_string();
        self.append("metadata", Some(url), "application/json", block.as_bytes())?;
        self.answers.insert(url.to_string(), Answer::Failed);
        Ok(Answer::Failed)
    }

    /// One record, in one write, so that a crawl that is killed leaves at most its last one unfinished.
    fn append(&mut self, kind: &str, url: Option<&Url>, content: &str, block: &[u8]) -> Result<(), CorpusError> {
        let date = date(SystemTime::now());
        let digest = luthier_files::sha256(block);
        let id = luthier_files::sha256(format!("{kind} {} {date} {digest}", url.map_or("", Url::as_str)).as_bytes());
        let target = url.map_or(String::new(), |url| format!("WARC-Target-URI: {url}\r\n"));
        let head = format!(
            "WARC/1.1\r\nWARC-Type: {kind}\r\n{target}WARC-Date: {date}\r\nWARC-Record-ID: <urn:uuid:{}-{}-{}-{}-{}>\r\n\
             WARC-Block-Digest: sha256:{digest}\r\nContent-Type: {content}\r\nContent-Length: {}\r\n\r\n",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..32],
            block.len()
        );
        let member = || -> io::Result<Vec<u8>> {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(head.as_bytes())?;
            encoder.write_all(block)?;
            encoder.write_all(b"\r\n\r\n")?;
            encoder.finish()
        };
        let written = member().and_then(|member| self.file.write_all(&member));
        written.map_err(CorpusError::write(&self.path))
    }
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

/// A moment as WARC writes it: `2024-05-31T01:16:46Z`. Days to a date by Hinnant's algorithm.
fn date(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_written_as_warc_wants_them() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(1_717_118_206), "2024-05-31T01:16:46Z");
    }
}
