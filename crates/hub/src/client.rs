//! Requests to the Hub, and what its refusals mean.
//!
//! Redirections are followed here and not by the library: the token is shown to the Hub alone, never to the servers of files that it
//! points to, and the hash of a file stands in the answer that points there.

use std::net::IpAddr;
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::{Agent, Body, BodyReader};

use crate::error::HubError;
use crate::http;
use crate::listing::Listing;
use crate::name::{RepoKind, RepoName};
use crate::settings::{Settings, Token};

/// A server that takes longer to answer, or to send the next bytes, is not there.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The same for finding and greeting it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// As browsers and the Hub's own client have it.
const MOST_REDIRECTIONS: usize = 10;

/// Bytes of the longest list of files: a hundred thousand of them.
const LARGEST_LISTING: u64 = 64 << 20;

type Response = ureq::http::Response<Body>;

/// A connection to the Hub.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    own: Uri,
    token: Option<Token>,
}

/// A file on the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) file: String,
    url: String,
    /// Names its bytes in the cache: SHA-256 of large files, git's hash of small ones.
    pub(crate) etag: String,
    pub(crate) size: Option<u64>,
}

/// Bytes of a file from some place on.
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) body: BodyReader<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// What a file is, from the answer that knows its hash.
    Head,
    Get,
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Result<Self, HubError> {
        let own: Option<Uri> = settings.endpoint.parse().ok();
        let own = own.filter(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
        let own = own.ok_or_else(|| HubError::Setting {
            name: "HF_ENDPOINT",
            why: format!("\"{}\"; it must be an address such as https://huggingface.co", settings.endpoint),
        })?;
        if let Some(token) = &settings.token
            && !token.secret().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(HubError::Token { endpoint: settings.endpoint.clone() });
        }
        let config = http::agent(http::USER_AGENT, settings.certificates.as_deref())?
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_per_read(Some(TIMEOUT));
        let config = if is_loopback(&own) { config.proxy(None) } else { config };
        let agent = config.build().into();
        Ok(Self { agent, endpoint: settings.endpoint.clone(), own, token: settings.token.clone() })
    }

    /// The commit that a revision is now, and its files.
    pub(crate) fn listing(&self, repo: &RepoName) -> Result<Listing, HubError> {
        let url = self.api(repo.kind(), repo);
        let mut response = self.send(Method::Get, &url, 0)?;
        self.check(repo, &url, &response).map_err(|error| self.perhaps_of_other_kind(repo, error))?;
        let body = response.body_mut().with_config().limit(LARGEST_LISTING).read_to_vec();
        Listing::parse(&url, &body.map_err(|error| self.unreachable(&error))?)
    }

    fn api(&self, kind: RepoKind, repo: &RepoName) -> String {
        let (kind, id, revision) = (kind.plural(), repo.id(), repo.revision().replace('/', "%2F"));
        format!("{}/api/{kind}/{id}/revision/{revision}?blobs=true", self.endpoint)
    }

    /// A name that is not found may be one of the other kind; then that is the mistake.
    fn perhaps_of_other_kind(&self, repo: &RepoName, error: HubError) -> HubError {
        let kind = repo.kind();
        let is_other = || {
            let answer = self.send(Method::Get, &self.api(kind.other(), repo), 0);
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        match error {
            HubError::NotFound { repo, endpoint, .. } if is_other() => HubError::OtherKind { kind, repo, endpoint },
            error => error,
        }
    }

    /// What a file of a commit is.
    pub(crate) fn remote(&self, repo: &RepoName, commit: &str, file: &str) -> Result<Remote, HubError> {
        let url = format!("{}/{}{}/resolve/{commit}/{}", self.endpoint, repo.kind().prefix(), repo.id(), escaped(file));
        let response = self.send(Method::Head, &url, 0)?;
        if !response.status().is_redirection() {
            self.check(repo, &url, &response)?;
        }
        let headers = response.headers();
        let etag = etag(headers).ok_or_else(|| HubError::Answer {
            url: url.clone(),
            answer: "without a hash of the file; is HF_ENDPOINT a Hub?".to_owned(),
        })?;
        let size = match text(headers, "x-linked-size") {
            None if response.status().is_redirection() => None,
            None => text(headers, CONTENT_LENGTH.as_str()),
            linked => linked,
        };
        Ok(Remote { file: file.to_owned(), etag, size: size.and_then(|size| size.parse().ok()), url })
    }

    /// The file from byte `from` on, or from its beginning where the server cannot do that. None if it has no such byte.
    pub(crate) fn open(&self, repo: &RepoName, remote: &Remote, from: u64) -> Result<Option<Piece>, HubError> {
        let response = self.send(Method::Get, &remote.url, from)?;
        let start = match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(None),
            StatusCode::PARTIAL_CONTENT => start_of_range(response.headers()),
            _ => {
                self.check(repo, &remote.url, &response)?;
                Some(0)
            }
        };
        match start {
            Some(start) if start <= from => Ok(Some(Piece { start, body: response.into_body().into_reader() })),
            _ => Err(HubError::Answer {
                url: remote.url.clone(),
                answer: format!("with another part of the file than that from byte {from} on"),
            }),
        }
    }

    /// Sends a request and follows where it leads; the file's own server is not asked what the file is, for it knows less.
    fn send(&self, method: Method, url: &str, from: u64) -> Result<Response, HubError> {
        let wrong = |answer: &str| HubError::Answer { url: url.to_owned(), answer: answer.to_owned() };
        let mut uri: Uri = url.parse().map_err(|_| wrong("nothing, for it is no address"))?;
        for _ in 0..MOST_REDIRECTIONS {
            let response = self.send_once(method, &uri, from)?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let next = text(response.headers(), LOCATION.as_str()).and_then(|location| resolved(&uri, location));
            let next = next.ok_or_else(|| wrong("with a redirection that leads nowhere"))?;
            let leaves = !same_origin(&next, &uri);
            if method == Method::Head && leaves && etag(response.headers()).is_some() {
                return Ok(response);
            }
            uri = next;
        }
        Err(wrong("with too many redirections"))
    }

    fn send_once(&self, method: Method, uri: &Uri, from: u64) -> Result<Response, HubError> {
        let mut request = match method {
            Method::Head => self.agent.head(uri.clone()),
            Method::Get => self.agent.get(uri.clone()),
        };
        if let Some(token) = &self.token
            && same_origin(uri, &self.own)
        {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret()));
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| HubError::Unreachable { host: host(uri), why: error.to_string() })
    }

    /// What broke off while bytes of the Hub's own arrived.
    fn unreachable(&self, error: &ureq::Error) -> HubError {
        HubError::Unreachable { host: self.host(), why: error.to_string() }
    }

    /// The Hub's host.
    pub(crate) fn host(&self) -> String {
        host(&self.own)
    }

    /// Turns a refusal into what it means (`huggingface_hub`, `hf_raise_for_status`).
    fn check(&self, repo: &RepoName, url: &str, response: &Response) -> Result<(), HubError> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let headers = response.headers();
        let (code, message) = (text(headers, "x-error-code"), text(headers, "x-error-message").unwrap_or_default());
        let (kind, id) = (repo.kind(), repo.id().to_owned());
        let (endpoint, token) = (self.endpoint.clone(), self.token.is_some());
        let gated = status == StatusCode::FORBIDDEN && message.contains("gated");
        Err(match (code, status) {
            (Some("GatedRepo"), _) => HubError::Gated { kind, repo: id, endpoint, token },
            _ if gated => HubError::Gated { kind, repo: id, endpoint, token },
            (Some("RevisionNotFound"), _) => {
                HubError::NoRevision { kind, repo: id, revision: repo.revision().to_owned(), endpoint }
            }
            (_, StatusCode::UNAUTHORIZED) if token && message.contains("Invalid credentials") => {
                HubError::Token { endpoint }
            }
            (Some("RepoNotFound"), _) | (None, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND) => {
                HubError::NotFound { kind, repo: id, endpoint, token }
            }
            (_, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => self.busy(status),
            (_, status) if status.is_server_error() => self.busy(status),
            (_, status) => {
                let said = if message.is_empty() { String::new() } else { format!(": {message}") };
                HubError::Answer { url: url.to_owned(), answer: format!("{status}{said}") }
            }
        })
    }

    fn busy(&self, status: StatusCode) -> HubError {
        HubError::Unreachable { host: self.host(), why: format!("it answered {status}") }
    }
}

fn host(uri: &Uri) -> String {
    uri.authority().map_or_else(|| uri.to_string(), ToString::to_string)
}

fn same_origin(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && a.authority() == b.authority()
}

/// A Hub on this machine, a mirror or a test, is not reached through a proxy.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Where a redirection leads: an address, or a path on the same server.
fn resolved(from: &Uri, location: &str) -> Option<Uri> {
    let to: Uri = location.parse().ok()?;
    match (to.scheme(), to.host()) {
        (Some(_), Some(_)) => Some(to),
        (None, None) if location.starts_with('/') => {
            let mut parts = from.clone().into_parts();
            parts.path_and_query = to.into_parts().path_and_query;
            Uri::from_parts(parts).ok()
        }
        _ => None,
    }
}

/// A file's name as part of an address.
fn escaped(file: &str) -> String {
    file.bytes().fold(String::with_capacity(file.len()), |mut text, byte| {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The hash that names the bytes of a file, if it can name a file of the cache.
fn etag(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    ((1..=128).contains(&etag.len()) && etag.chars().all(plain)).then(|| etag.to_owned())
}

/// `bytes 100-199/200`: 100.
fn start_of_range(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ureq::http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_redirection_is_an_address_or_a_path_of_the_same_server() {
        let from = uri("https://hub:8443/a/b?x=1");
        assert_eq!(resolved(&from, "/c?y=2"), Some(uri("https://hub:8443/c?y=2")));
        assert_eq!(resolved(&from, "https://cdn/c"), Some(uri("https://cdn/c")));
        assert_eq!(resolved(&from, "c"), None);
        assert_eq!(resolved(&from, ""), None);
    }

    #[test]
    fn the_token_is_for_the_hubs_own_scheme_host_and_port() {
        let own = uri("https://hub/x");
        assert!(same_origin(&uri("https://hub/y"), &own));
        for other in ["http://hub/y", "https://cdn.hub/y", "https://hub:444/y"] {
            assert!(!same_origin(&uri(other), &own), "{other}");
        }
    }

    #[test]
    fn a_hash_that_could_leave_the_cache_is_none() {
        assert_eq!(etag(&headers("etag", "\"abc\"")).as_deref(), Some("abc"));
        assert_eq!(etag(&headers("etag", "W/\"abc\"")).as_deref(), Some("abc"));
        for wrong in ["\"\"", "\"../x\"", "\"a/b\"", "\".\"", &format!("\"{}\"", "a".repeat(129))] {
            assert_eq!(etag(&headers("etag", wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn names_of_files_become_parts_of_addresses() {
        assert_eq!(escaped("data/train-00000-of-00002.parquet"), "data/train-00000-of-00002.parquet");
        assert_eq!(escaped("詩 #1?.jsonl"), "%E8%A9%A9%20%231%3F.jsonl");
    }

    #[test]
    fn a_range_begins_where_its_header_says() {
        assert_eq!(start_of_range(&headers("content-range", "bytes 100-199/200")), Some(100));
        assert_eq!(start_of_range(&headers("content-range", "bytes */200")), None);
        assert_eq!(start_of_range(&HeaderMap::new()), None);
    }

    #[test]
    fn settings_that_no_request_can_be_made_with_are_named() {
        let with = |pairs: &[(&str, &str)]| {
            let find = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Client::new(&Settings::from_variables(find)).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(with(&[]), Ok(()));
        for endpoint in ["huggingface.co", "ftp://hub", "http://"] {
            assert!(with(&[("HF_ENDPOINT", endpoint)]).unwrap_err().contains("HF_ENDPOINT"), "{endpoint}");
        }
        assert!(with(&[("HF_TOKEN", "hf_a\u{7f}b")]).unwrap_err().contains("HF_TOKEN"));
        assert!(with(&[("SSL_CERT_FILE", "/no/such.pem")]).unwrap_err().contains("/no/such.pem"));
    }
}
