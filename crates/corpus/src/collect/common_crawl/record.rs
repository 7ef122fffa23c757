//! A record, from the bytes that a server sends for its place: one gzip member, and in it the capture that was asked for.

use ureq::http::Response;
use url::Url;

use super::Capture;
use crate::collect::client::{Failure, PASSING, body};
use crate::error::CorpusError;
use crate::source::{ArchiveRecord, RecordKind};

/// How the failure is called of a server that sends a whole archive for a part of it.
pub(super) const WHOLE_FILE: &str = "whole file";

/// Whether the next record will likely fail for the same reason: the server is away, wants to be left alone, has no such archives, or
/// would send them whole. What is wrong with a record is not.
pub(super) fn is_the_servers(failure: &Failure) -> bool {
    matches!(failure.label, "no answer" | "put off" | "status" | WHOLE_FILE)
}

/// The address of a capture's archive.
pub(super) fn address(data: &Url, capture: &Capture) -> Result<Url, CorpusError> {
    let joined = data.join(&capture.file);
    joined.map_err(|error| CorpusError::setting("data", format!("{data}{} is no address: {error}", capture.file)))
}

/// The member that an answer brings, checked.
pub(super) fn member(answer: Response<ureq::Body>, capture: &Capture, most: u64) -> Result<Vec<u8>, Failure> {
    let (head, content) = answer.into_parts();
    let status = head.status.as_u16();
    match status {
        206 => {}
        200 => {
            let why = "the server answered with the whole archive, not with the part that was asked for";
            return Err(Failure::lasting(WHOLE_FILE, why));
        }
        _ if PASSING.contains(&status) => return Err(Failure::passing("put off", format!("answered {}", head.status))),
        _ => return Err(Failure::lasting("status", format!("answered {}", head.status))),
    }
    let (first, last) = (capture.offset, capture.offset + capture.length - 1);
    if let Some(part) = head.headers.get("content-range").and_then(|value| value.to_str().ok())
        && !part.starts_with(&format!("bytes {first}-{last}/"))
    {
        return Err(Failure::lasting("other part", format!("bytes {first}-{last} were asked for, {part:?} was sent")));
    }
    let length = capture.length;
    let bytes = match body(content, length) {
        Err(Failure { label: "too long", .. }) => {
            return Err(Failure::lasting(
                "other length",
                format!("more than the {length} bytes that were asked for were sent"),
            ));
        }
        read => read?,
    };
    if (bytes.len() as u64) < length {
        let why = format!("{} of the {length} bytes that were asked for were sent", bytes.len());
        return Err(Failure::passing("other length", why));
    }
    check(&bytes, capture, most)?;
    Ok(bytes)
}

fn check(member: &[u8], capture: &Capture, most: u64) -> Result<(), Failure> {
    let record = ArchiveRecord::of_member(member, most)
        .map_err(|kind| Failure::lasting(kind.label(), format!("its record cannot be read: {kind}")))?;
    let other = |why: String| Err(Failure::lasting("other record", why));
    if record.kind != RecordKind::Response {
        return other(format!("a record of the kind {:?} lies there, not a response", record.kind.name()));
    }
    match record.url() {
        Some(url) if url == capture.url => {}
        Some(url) => return other(format!("a record of {url} lies there")),
        None => return other("the record that lies there has no address".to_owned()),
    }
    let moment = moment(&record);
    if moment != capture.timestamp {
        return other(format!("the record that lies there was captured at {moment}"));
    }
    Ok(())
}

/// When a record was captured, as the index writes it.
pub(super) fn moment(record: &ArchiveRecord) -> String {
    let date = record.headers.get("WARC-Date").unwrap_or_default();
    date.chars().filter(char::is_ascii_digit).take(14).collect()
}
