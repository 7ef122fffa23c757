//! The HTTP answer inside a response record.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::Headers;

/// An answer of a server, its body put together and decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Such as 200.
    pub status: u16,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Reads the block of a response record. A body whose chunks are wrong is taken as it stands: crawlers that wrote bodies already
    /// put together kept the header that says otherwise. At most `limit` bytes of a body are inflated.
    ///
    /// # Errors
    /// What is wrong, when the block is no HTTP answer or its body cannot be inflated.
    pub fn parse(block: &[u8], limit: u64) -> Result<Self, String> {
        let mut rest = block;
        let mut line = || {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            rest = after;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        };
        let first = String::from_utf8_lossy(line()).into_owned();
        let status = first
            .strip_prefix("HTTP/")
            .and_then(|rest| rest.split_whitespace().nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| {
                let begin: String = first.chars().take(40).collect();
                format!("no HTTP answer begins with {begin:?}")
            })?;
        let mut headers = Headers::default();
        loop {
            let line = line();
            if line.is_empty() {
                break;
            }
            headers.push(line);
        }
        let body = if headers.get("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            unchunked(rest).unwrap_or_else(|| rest.to_vec())
        } else {
            rest.to_vec()
        };
        let body = inflated(body, headers.get("Content-Encoding"), limit)?;
        Ok(HttpResponse { status, headers, body })
    }

    /// The media type, in small letters, and the charset of `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> (String, Option<String>) {
        media_type(self.headers.get("Content-Type").unwrap_or_default())
    }
}

/// Media type and charset of a `Content-Type`.
pub(super) fn media_type(value: &str) -> (String, Option<String>) {
    let mut parts = value.split(';');
    let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    (media, charset)
}

/// The body of chunks: each a length in hexadecimal digits, a line end, so many bytes, a line end; the last has length 0.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let end = memchr::memchr(b'\n', rest)?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 1..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..length)?);
        rest = &rest[length..];
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
    }
}

fn inflated(body: Vec<u8>, encoding: Option<&str>, limit: u64) -> Result<Vec<u8>, String> {
    let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    let mut out = Vec::new();
    let read = match encoding.as_str() {
        "gzip" | "x-gzip" if body.starts_with(&[0x1F, 0x8B]) => {
            MultiGzDecoder::new(&body[..]).take(limit + 1).read_to_end(&mut out)
        }
        // Servers send the bare stream as well as the wrapped one.
        "deflate" if body.first().is_some_and(|first| first & 0x0F == 8) => {
            ZlibDecoder::new(&body[..]).take(limit + 1).read_to_end(&mut out)
        }
        "deflate" => DeflateDecoder::new(&body[..]).take(limit + 1).read_to_end(&mut out),
        "" | "identity" | "gzip" | "x-gzip" | "utf-8" => return Ok(body),
        other => return Err(format!("its body is compressed as {other:?}, which is not read")),
    };
    match read {
        _ if out.len() as u64 > limit => Err(format!("its body inflates to more than {limit} bytes")),
        Ok(_) => Ok(out),
        Err(error) => Err(format!("its {encoding} body does not inflate: {error}")),
    }
}
