//! Captures as the index names them, and patterns of addresses as it is asked for them.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::CommonCrawl;
use crate::error::CorpusError;

/// A record of an address at a moment, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capture {
    pub(super) url: String,
    /// `YYYYMMDDhhmmss`.
    pub(super) timestamp: String,
    /// The archive, below the address of the data.
    pub(super) file: Arc<str>,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Capture {
    /// Its bytes in the archive.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }
}

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) capture: Capture,
    mime: String,
    detected: String,
    status: String,
    languages: String,
    truncated: String,
}

/// The fields that a line has, as the index is asked for them.
pub(super) const FIELDS: &str =
    "url,timestamp,mime,mime-detected,status,digest,length,offset,filename,languages,charset,truncated,redirect";

impl Entry {
    /// Reads a line. What it says will be part of an address and of a request, so it is checked.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let members: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("it is no JSON object: {error}"))?;
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let number =
            |name: &str| text(name).parse::<u64>().map_err(|_| format!("its {name} {:?} is no number", text(name)));
        let (url, timestamp, file) = (text("url"), text("timestamp"), text("filename"));
        if url.is_empty() || url.contains(char::is_control) {
            return Err(format!("its url {url:?} is none"));
        }
        if timestamp.len() != 14 || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("its timestamp {timestamp:?} is not YYYYMMDDhhmmss"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=+".contains(c);
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
        if !file.split('/').all(part) {
            return Err(format!("its filename {file:?} is no path below the data"));
        }
        let (offset, length) = (number("offset")?, number("length")?);
        if length == 0 || offset.checked_add(length).is_none() {
            return Err(format!("{length} bytes from byte {offset} on are no record"));
        }
        let capture = Capture { url, timestamp, file: file.into(), offset, length };
        let [mime, detected, status, languages, truncated] =
            ["mime", "mime-detected", "status", "languages", "truncated"].map(text);
        Ok(Entry { capture, mime, detected, status, languages, truncated })
    }

    /// Why the settings do not take this capture, in a word or two.
    pub(super) fn refused_by(&self, settings: &CommonCrawl) -> Option<&'static str> {
        let is = |wanted: &[String], found: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(found));
        let media = |wanted: &[String]| wanted.is_empty() || is(wanted, &self.mime) || is(wanted, &self.detected);
        let spoken = || self.languages.split(',').any(|language| is(&settings.languages, language));
        let within = |bound: &Option<String>, later: bool| {
            bound.as_ref().is_none_or(|bound| {
                let moment = &self.capture.timestamp[..bound.len().min(14)];
                if later { moment >= bound.as_str() } else { moment <= bound.as_str() }
            })
        };
        if self.mime == "warc/revisit" {
            // Such a record says that the page is still what it was, and holds nothing of it.
            Some("revisit")
        } else if self.status != settings.status.to_string() {
            Some("status")
        } else if !media(&settings.mime) {
            Some("media type")
        } else if !settings.languages.is_empty() && !spoken() {
            Some("language")
        } else if !within(&settings.from, true) || !within(&settings.to, false) {
            Some("time")
        } else if !settings.truncated && !self.truncated.is_empty() {
            Some("truncated")
        } else if self.capture.length > settings.record_bytes {
            Some("too long")
        } else {
            None
        }
    }
}

/// Addresses that are looked up together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    /// The address without its star, and how the index is to compare it (pywb's `matchType`).
    pub(super) url: String,
    pub(super) match_type: &'static str,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, CorpusError> {
        let text = text.trim();
        let wrong = |why: &str| Err(CorpusError::setting("urls", format!("{text:?}: {why}")));
        let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        let (url, match_type) = match (bare.strip_prefix("*."), bare.strip_suffix('*')) {
            (Some(domain), None) => (domain, "domain"),
            (Some(domain), Some(_)) => (domain.trim_end_matches('*').trim_end_matches('/'), "domain"),
            (None, Some(begin)) => match begin.split_once('/') {
                Some((host, "")) => (host, "host"),
                Some(_) => (begin, "prefix"),
                None => {
                    return wrong(
                        "a star stands behind a slash, as in example.com/*, or before a point, as in *.example.com",
                    );
                }
            },
            (None, None) => (bare, "exact"),
        };
        if url.is_empty() || url.starts_with(['/', '.']) || url.contains(char::is_whitespace) {
            return wrong(
                "it is no address, such as example.com/page, example.com/path/*, example.com/* or *.example.com",
            );
        }
        if url.contains('*') {
            return wrong("a star can only stand at the end of an address, or for the hosts of a domain");
        }
        if match_type == "domain" && url.contains('/') {
            return wrong("the index cannot look up a path on all hosts of a domain; write *.example.com");
        }
        Ok(Pattern { text: text.to_owned(), url: url.to_owned(), match_type })
    }

    /// As it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"url": "https://example.tw/", "timestamp": "20240518015810", "mime": "text/html", "mime-detected": "text/html",
        "status": "200", "length": "17423", "offset": "1023", "filename": "crawl-data/CC-MAIN-2024-22/a.warc.gz", "languages": "zho,eng"}"#;

    fn entry(change: &[(&str, &str)]) -> Result<Entry, String> {
        let mut line = LINE.to_owned();
        for (from, to) in change {
            assert!(line.contains(from), "{from}");
            line = line.replace(from, to);
        }
        Entry::parse(&line)
    }

    #[test]
    fn patterns_are_asked_for_as_the_index_compares_them() {
        for (text, url, match_type) in [
            ("example.com", "example.com", "exact"),
            ("https://example.com/a?b=c", "example.com/a?b=c", "exact"),
            ("example.com/*", "example.com", "host"),
            ("example.com/path/*", "example.com/path/", "prefix"),
            ("http://example.com/pa*", "example.com/pa", "prefix"),
            ("*.gov.tw", "gov.tw", "domain"),
            ("*.gov.tw/*", "gov.tw", "domain"),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!((pattern.url.as_str(), pattern.match_type, pattern.text()), (url, match_type, text));
        }
        for wrong in
            ["", "*", "*.", "/path", "exam*ple.com", "example*", "*.example.com/path/*", "a b.com", "a.com/*/b"]
        {
            let error = Pattern::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("urls: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_line_that_could_lead_elsewhere_is_refused() {
        let Capture { offset, length, .. } = entry(&[]).unwrap().capture;
        assert_eq!((offset, length), (1023, 17423));
        assert_eq!(entry(&[("\"1023\"", "1023")]).unwrap().capture.range(), 1023..18446);
        for (from, to, words) in [
            ("crawl-data", "..", "filename"),
            ("crawl-data/", "/", "filename"),
            ("crawl-data", "http://elsewhere", "filename"),
            ("a.warc.gz", "a.warc.gz?x", "filename"),
            ("\"1023\"", "\"-1\"", "offset"),
            ("\"17423\"", "\"0\"", "no record"),
            ("\"17423\"", "\"18446744073709551615\"", "no record"),
            ("20240518015810", "2024", "timestamp"),
            ("https://example.tw/", "", "url"),
            ("{\"url\"", "[\"url\"", "JSON"),
        ] {
            let why = entry(&[(from, to)]).unwrap_err();
            assert!(why.contains(words), "{to}: {why}");
        }
    }

    #[test]
    fn captures_that_the_settings_do_not_take_say_why() {
        let settings = CommonCrawl {
            languages: vec!["zho".to_owned()],
            from: Some("2024".to_owned()),
            to: Some("20240518".to_owned()),
            ..CommonCrawl::default()
        };
        let why = |change: &[(&str, &str)]| entry(change).unwrap().refused_by(&settings);
        assert_eq!(why(&[]), None);
        assert_eq!(
            why(&[("\"mime\": \"text/html\"", "\"mime\": \"unk\"")]),
            None,
            "one of the two media types is enough"
        );
        for (from, to, expected) in [
            ("\"200\"", "\"301\"", "status"),
            ("text/html", "image/png", "media type"),
            ("\"mime\": \"text/html\"", "\"mime\": \"warc/revisit\"", "revisit"),
            ("zho,eng", "eng", "language"),
            ("20240518015810", "20231231235959", "time"),
            ("20240518015810", "20240519000000", "time"),
            ("zho,eng", "zho\", \"truncated\": \"length", "truncated"),
            ("\"17423\"", "\"17000000\"", "too long"),
        ] {
            assert_eq!(why(&[(from, to)]), Some(expected), "{to}");
        }
    }
}
