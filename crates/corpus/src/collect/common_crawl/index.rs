//! Asking the index (pywb's CDX server): which crawls there are, how many pages a pattern has, and what stands on each.
//!
//! Every answer is kept in the folder, whole or not at all, and taken from there the next time. An index that does not answer ends the
//! collection: which captures are the newest cannot be known from a part of it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;
use ureq::http::Response;
use url::Url;

use super::CommonCrawl;
use super::capture::{FIELDS, Pattern};
use crate::collect::client::{Client, Failure, PASSING, body};
use crate::error::CorpusError;

/// Compressed blocks of a page, each of three thousand captures; what the index itself takes where nothing is said.
const PAGE_SIZE: &str = "5";

/// The most bytes of a page: fifteen thousand captures of four kilobytes.
const PAGE_BYTES: u64 = 64 << 20;

/// The most pages of a pattern: more than the whole index of a crawl has.
const MOST_PAGES: u64 = 1_000_000;

pub(super) struct Index<'i> {
    endpoint: Url,
    folder: PathBuf,
    settings: &'i CommonCrawl,
}

impl<'i> Index<'i> {
    /// The index at an address; `folder` keeps what it says.
    pub(super) fn new(endpoint: &Url, folder: PathBuf, settings: &'i CommonCrawl) -> Result<Self, CorpusError> {
        for (name, bound) in [("from", &settings.from), ("to", &settings.to)] {
            let digits =
                |bound: &String| (4..=14).contains(&bound.len()) && bound.bytes().all(|byte| byte.is_ascii_digit());
            if let Some(bound) = bound.as_ref().filter(|bound| !digits(bound)) {
                return Err(CorpusError::setting(name, format!("{bound:?} is no moment, such as 2024 or 20240531")));
            }
        }
        let word = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if let Some(wrong) = settings.languages.iter().find(|language| !word(language) || language.len() != 3) {
            let why =
                format!("{wrong:?} is no code of ISO 639-3, such as zho, eng or jpn, as the index names languages");
            return Err(CorpusError::setting("languages", why));
        }
        Ok(Index { endpoint: endpoint.clone(), folder, settings })
    }

    /// The crawls by their names. Which one is the latest is asked once, and stays so for this folder.
    pub(super) fn crawls(&self, client: &mut Client, wanted: &[String]) -> Result<Vec<String>, CorpusError> {
        let mut crawls: Vec<String> = Vec::new();
        for wanted in wanted {
            let crawl = match wanted.as_str() {
                "latest" => self.latest(client)?,
                name => name.to_owned(),
            };
            if !is_name(&crawl) {
                let why = format!("{crawl:?} is no name of a crawl, such as CC-MAIN-2024-22, and not \"latest\"");
                return Err(CorpusError::setting("crawls", why));
            }
            if !crawls.contains(&crawl) {
                crawls.push(crawl);
            }
        }
        Ok(crawls)
    }

    fn latest(&self, client: &mut Client) -> Result<String, CorpusError> {
        let url = self.address("collinfo.json", &[]);
        let text = self.kept("collinfo.json", || {
            ask(client, &url, |status, text| match (status, newest(&text)) {
                (200, Some(_)) => Ok(text),
                (200, None) => Err(Failure::lasting("garbage", "answered with what is no list of crawls")),
                _ => Err(other_status(status, &text)),
            })
        })?;
        newest(&text).ok_or_else(|| {
            let path = self.folder.join("collinfo.json");
            CorpusError::setting(
                "crawls",
                format!("{} is no list of crawls; remove it to ask for it again", path.display()),
            )
        })
    }

    /// How many pages there are of a pattern.
    pub(super) fn pages(&self, client: &mut Client, crawl: &str, pattern: &Pattern) -> Result<u64, CorpusError> {
        let query = self.query(pattern);
        let url =
            self.address(&format!("{crawl}-index"), &[&query[..], &[("showNumPages", "true".to_owned())]].concat());
        let name = format!("{}.pages.json", name(crawl, &query));
        let text = self.kept(&name, || {
            ask(client, &url, |status, text| match status {
                200 if pages_of(&text).is_some() => Ok(text),
                404 if is_nothing(&text) => Ok("{\"pages\": 0}".to_owned()),
                200 => Err(Failure::passing("garbage", format!("answered with no number of pages: {}", begin(&text)))),
                _ => Err(other_status(status, &text)),
            })
        })?;
        pages_of(&text).ok_or_else(|| self.spoilt(&name))
    }

    /// The lines of a page.
    pub(super) fn page(
        &self,
        client: &mut Client,
        crawl: &str,
        pattern: &Pattern,
        page: u64,
    ) -> Result<String, CorpusError> {
        let query = self.query(pattern);
        let url = self.address(&format!("{crawl}-index"), &[&query[..], &[("page", page.to_string())]].concat());
        self.kept(&self.page_name(crawl, pattern, page), || {
            ask(client, &url, |status, text| match (status, not_captures(&text)) {
                (200, None) => Ok(text),
                (200 | 404, _) if is_nothing(&text) => Ok(String::new()),
                (200, Some(why)) => {
                    Err(Failure::passing("garbage", format!("answered with what are no captures: {why}")))
                }
                _ => Err(other_status(status, &text)),
            })
        })
    }

    /// How the file of a page is called.
    pub(super) fn page_name(&self, crawl: &str, pattern: &Pattern, page: u64) -> String {
        format!("{}.{page}.jsonl", name(crawl, &self.query(pattern)))
    }

    fn query(&self, pattern: &Pattern) -> Vec<(&'static str, String)> {
        let settings = self.settings;
        let mut query = vec![
            ("url", pattern.url.clone()),
            ("matchType", pattern.match_type.to_owned()),
            ("output", "json".to_owned()),
            ("fl", FIELDS.to_owned()),
            ("pageSize", PAGE_SIZE.to_owned()),
            ("filter", format!("=status:{}", settings.status)),
        ];
        if !settings.languages.is_empty() {
            // A list such as `zho,eng`, compared from its beginning.
            query.push(("filter", format!("~languages:(.*,)?({})(,|$)", settings.languages.join("|"))));
        }
        for (name, bound) in [("from", &settings.from), ("to", &settings.to)] {
            query.extend(bound.as_ref().map(|bound| (name, bound.clone())));
        }
        query
    }

    fn address(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}{path}", self.endpoint.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// What a file of the folder says; it is made by asking.
    fn kept(&self, name: &str, ask: impl FnOnce() -> Result<String, CorpusError>) -> Result<String, CorpusError> {
        let path = self.folder.join(name);
        if path.exists() {
            return fs::read_to_string(&path).map_err(CorpusError::read(&path));
        }
        let text = ask()?;
        luthier_files::write_atomically(&path, |file| file.write_all(text.as_bytes()))
            .map_err(CorpusError::write(&path))?;
        Ok(text)
    }

    fn spoilt(&self, name: &str) -> CorpusError {
        let source = std::io::Error::other("it is not what the index had said; remove it to ask again");
        CorpusError::Read { path: self.folder.join(name), source }
    }
}

/// Asks the index; `read` is given the status and the text of its answer.
fn ask(
    client: &mut Client,
    url: &Url,
    read: impl Fn(u16, String) -> Result<String, Failure>,
) -> Result<String, CorpusError> {
    let answered = client.ask(url, None, None, |answer: Response<ureq::Body>| {
        let (head, content) = answer.into_parts();
        let bytes = body(content, PAGE_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::passing("garbage", "answered with what is no text in UTF-8"))?;
        read(head.status.as_u16(), text)
    });
    answered.map_err(|failure| CorpusError::Server { url: url.to_string(), why: failure.why })
}

/// A crawl and a query as the beginning of a file's name. Where the index is asked does not matter.
fn name(crawl: &str, query: &[(&'static str, String)]) -> String {
    let text: String = query.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    format!("{crawl}.{}", &luthier_files::sha256(text.as_bytes())[..16])
}

/// Names of crawls become parts of addresses and of files' names.
fn is_name(crawl: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    crawl.starts_with(|first: char| first.is_ascii_alphanumeric()) && crawl.bytes().all(plain) && crawl.len() < 100
}

/// The newest crawl of `collinfo.json`: its names hold year and week. The list has been in either order.
fn newest(text: &str) -> Option<String> {
    let crawls: Value = serde_json::from_str(text).ok()?;
    let names = crawls.as_array()?.iter().filter_map(|crawl| crawl["id"].as_str()).filter(|id| is_name(id));
    names.max_by_key(|id| (id.starts_with("CC-MAIN-"), *id)).map(str::to_owned)
}

/// The number of pages in `{"pages": 4, "pageSize": 5, "blocks": 17}`.
fn pages_of(text: &str) -> Option<u64> {
    let said: Value = serde_json::from_str(text).ok()?;
    said.get("pages")?.as_u64().filter(|pages| *pages <= MOST_PAGES)
}

/// Whether an answer says that there are no captures, in the index's words for it.
fn is_nothing(text: &str) -> bool {
    text.to_ascii_lowercase().contains("no captures found")
}

/// What is wrong with lines of which each should be a JSON object: a line that broke off, an error, a page of HTML.
fn not_captures(text: &str) -> Option<String> {
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(members)) if members.contains_key("url") => {}
            _ => return Some(format!("line {number} is {}", begin(line))),
        }
    }
    None
}

fn other_status(status: u16, text: &str) -> Failure {
    let why = format!("answered {status}: {}", begin(text));
    match status {
        _ if PASSING.contains(&status) => Failure::passing("put off", why),
        404 => Failure::lasting("status", format!("{why}; is there such a crawl? collinfo.json beside it lists them")),
        _ => Failure::lasting("status", why),
    }
}

/// The beginning of a text, to show.
fn begin(text: &str) -> String {
    let begin: String = text.trim().chars().take(120).collect();
    format!("{begin:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_pages_and_newest_crawls_are_read_and_garbage_is_not() {
        assert_eq!(pages_of("{\"pages\": 4, \"pageSize\": 5, \"blocks\": 17}"), Some(4));
        for garbage in ["", "4 pages", "<html>", "[]", "{\"pages\": -1}", "{\"pages\": 18446744073709551615}"] {
            assert_eq!(pages_of(garbage), None, "{garbage}");
        }
        let list = r#"[{"id": "CC-MAIN-2024-18"}, {"id": "CC-MAIN-2024-22"}, {"id": "CC-MAIN-2008-2009"}, {"id": "EOT-2020"}]"#;
        assert_eq!(newest(list).as_deref(), Some("CC-MAIN-2024-22"));
        for garbage in ["", "{}", "[]", "[{\"id\": \"../x\"}]", "[{\"name\": \"x\"}]"] {
            assert_eq!(newest(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn lines_that_are_no_captures_are_named() {
        assert_eq!(not_captures("{\"url\": \"http://a/\"}\n\n{\"url\": \"http://b/\"}\n"), None);
        for (garbage, words) in [
            ("{\"url\": \"http://a/\"}\n{\"url\": \"htt", "line 2"),
            ("<html>busy</html>", "line 1"),
            ("{\"error\": \"out of order\"}", "out of order"),
        ] {
            assert!(not_captures(garbage).is_some_and(|why| why.contains(words)), "{garbage}");
        }
        assert!(
            is_nothing("{\"message\": \"No Captures found for: x\"}")
                && !is_nothing("{\"message\": \"no such crawl\"}")
        );
    }
}
