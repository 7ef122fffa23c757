//! Addresses: which of them belong to a crawl, and which a page links to.

use std::collections::HashSet;

use dom_query::Document as Page;
use regex::Regex;
use url::Url;

use crate::clean::PageBounds;
use crate::error::CorpusError;

/// The longest address that is asked for.
const LONGEST: usize = 2000;

/// The most parts of a path, and how often one of them may come again: pages that link ever deeper into themselves are traps.
const MOST_PARTS: usize = 24;
const MOST_REPEATED: usize = 3;

/// Which addresses belong to a crawl.
#[derive(Debug)]
pub(super) struct Scope {
    hosts: HashSet<String>,
    allow: Vec<Regex>,
    deny: Vec<Regex>,
}

impl Scope {
    pub(super) fn new(hosts: HashSet<String>, allow: &[String], deny: &[String]) -> Result<Self, CorpusError> {
        let patterns = |setting: &'static str, patterns: &[String]| -> Result<Vec<Regex>, CorpusError> {
            let one = |pattern: &String| {
                Regex::new(pattern).map_err(|error| CorpusError::setting(setting, format!("{pattern:?}: {error}")))
            };
            patterns.iter().map(one).collect()
        };
        Ok(Scope { hosts, allow: patterns("allow", allow)?, deny: patterns("deny", deny)? })
    }

    /// Whether the host is one of those that the crawl was given.
    pub(super) fn has_host(&self, url: &Url) -> bool {
        self.hosts.contains(&host(url))
    }

    /// Whether the patterns let an address through.
    pub(super) fn lets_through(&self, url: &Url) -> bool {
        let text = url.as_str();
        let fits = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(text));
        !fits(&self.deny) && (self.allow.is_empty() || fits(&self.allow)) && !is_trap(url)
    }
}

fn is_trap(url: &Url) -> bool {
    let parts: Vec<&str> =
        url.path_segments().map(|parts| parts.filter(|part| !part.is_empty()).collect()).unwrap_or_default();
    let repeated = |part: &&str| parts.iter().filter(|other| *other == part).count() > MOST_REPEATED;
    parts.len() > MOST_PARTS || parts.iter().any(repeated)
}

/// Host and port, where the port is not the usual one.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address as it is asked for: of the web, without fragment and credentials, not too long.
pub(super) fn address(base: Option<&Url>, text: &str) -> Option<Url> {
    let mut url = match base {
        Some(base) => base.join(text.trim()).ok()?,
        None => Url::parse(text.trim()).ok()?,
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !url.username().is_empty() {
        return None;
    }
    url.set_fragment(None);
    (url.as_str().len() <= LONGEST).then_some(url)
}

/// The addresses that a page links to, each once, in order; none where the page asks not to be followed or is out of bounds.
pub(super) fn links(url: &Url, html: &str) -> Vec<Url> {
    if PageBounds::default().check(html).is_err() {
        return Vec::new();
    }
    let page = Page::from(html);
    let says =
        |selector: &str, attribute: &str| page.select(selector).attr(attribute).map(|value| value.to_ascii_lowercase());
    if says("meta[name='robots' i]", "content")
        .is_some_and(|content| content.contains("nofollow") || content.contains("none"))
    {
        return Vec::new();
    }
    let base = page.select("base[href]").attr("href").and_then(|base| address(Some(url), &base));
    let base = base.as_ref().unwrap_or(url);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for element in page.select("a[href], area[href]").nodes() {
        let follows = element.attr("rel").is_none_or(|rel| !rel.to_ascii_lowercase().contains("nofollow"));
        let link = element.attr("href").and_then(|href| address(Some(base), &href));
        found.extend(link.filter(|link| follows && seen.insert(link.to_string())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn links_are_resolved_and_come_once() {
        let html = "<base href='/b/'><a href='x#top'>1</a><a href='x'>2</a><a href='../c?d=1'>3</a><a href='mailto:a@b.c'>4</a>\
                    <a href='y' rel='external NOFOLLOW'>5</a><area href='//other.org/z'><a href='http://u:p@h/'>6</a>";
        let found: Vec<String> = links(&url("http://h.org/a/"), html).into_iter().map(String::from).collect();
        assert_eq!(found, ["http://h.org/b/x", "http://h.org/c?d=1", "http://other.org/z"]);
        let closed = format!("<meta name='ROBOTS' content='NoFollow'>{html}");
        assert_eq!(links(&url("http://h.org/a/"), &closed), []);
    }

    #[test]
    fn traps_and_other_hosts_are_out_of_scope() {
        let scope = Scope::new(["h.org:81".to_owned()].into(), &["/poems/".into()], &["print=1".into()]).unwrap();
        assert!(scope.has_host(&url("http://h.org:81/")) && !scope.has_host(&url("http://h.org/")));
        for (address, through) in [
            ("http://h.org:81/poems/1", true),
            ("http://h.org:81/other", false),
            ("http://h.org:81/poems/1?print=1", false),
            ("http://h.org:81/poems/a/a/a/a/1", false),
        ] {
            assert_eq!(scope.lets_through(&url(address)), through, "{address}");
        }
        assert!(Scope::new(HashSet::new(), &["(".into()], &[]).is_err());
    }
}
