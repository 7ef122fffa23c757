//! The heads of records: WARC's version line and headers, ARC's one line.

use std::io::{self, BufRead};

use super::stream::Stream;

/// How much of a line is looked at to see whether a record begins there: more than any ARC line.
pub(super) const LOOK: usize = 1 << 12;

/// The longest line of a head, and the most lines of one.
const LONGEST_LINE: usize = 1 << 16;
const MOST_LINES: usize = 1 << 10;

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// About the archive itself; the head of an ARC file too.
    Warcinfo,
    /// An answer of a server: HTTP head and body.
    Response,
    /// A body without its HTTP head.
    Resource,
    /// What was asked.
    Request,
    /// About another record; in a WAT its links and title, as JSON.
    Metadata,
    /// The text of a page, as in a WET.
    Conversion,
    /// A page that had not changed since an earlier visit.
    Revisit,
    /// A part of a record that was split.
    Continuation,
    /// Anything else.
    Other,
}

impl RecordKind {
    fn of(name: &str) -> Self {
        match name {
            "warcinfo" => RecordKind::Warcinfo,
            "response" => RecordKind::Response,
            "resource" => RecordKind::Resource,
            "request" => RecordKind::Request,
            "metadata" => RecordKind::Metadata,
            "conversion" => RecordKind::Conversion,
            "revisit" => RecordKind::Revisit,
            "continuation" => RecordKind::Continuation,
            _ => RecordKind::Other,
        }
    }

    /// The name WARC gives it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            RecordKind::Warcinfo => "warcinfo",
            RecordKind::Response => "response",
            RecordKind::Resource => "resource",
            RecordKind::Request => "request",
            RecordKind::Metadata => "metadata",
            RecordKind::Conversion => "conversion",
            RecordKind::Revisit => "revisit",
            RecordKind::Continuation => "continuation",
            RecordKind::Other => "other",
        }
    }
}

/// Names and values, as heads of records and of HTTP messages hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of a name, whose case does not matter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match line.split_once(':') {
            // A line that begins with white space goes on where the last one ended.
            _ if line.starts_with([' ', '\t']) => {
                if let Some((_, value)) = self.0.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
            Some((name, value)) => self.0.push((name.trim().to_owned(), value.trim().to_owned())),
            None => {}
        }
    }
}

/// The head of a record.
pub(super) struct Head {
    pub(super) kind: RecordKind,
    pub(super) headers: Headers,
    /// The length of its block, or why that is not known.
    pub(super) length: Result<u64, String>,
    /// Whether its lines end otherwise than WARC's do: then somebody converted the line ends, and lengths no longer hold.
    pub(super) converted: bool,
}

/// What stands where a record is due.
pub(super) enum Opening {
    Record(Head),
    /// The beginning of something else.
    Other(String),
    /// The end.
    Nothing,
}

/// Reads the head of the record that begins here.
pub(super) fn read(reader: &mut Stream) -> io::Result<Opening> {
    let begin = reader.peek(LOOK)?;
    if !opens_record(begin) {
        let begin = String::from_utf8_lossy(&begin[..begin.len().min(40)]).into_owned();
        return Ok(if begin.is_empty() { Opening::Nothing } else { Opening::Other(begin) });
    }
    let converted = memchr::memchr(b'\n', begin).is_some_and(|end| begin[..end].last() != Some(&b'\r'));
    let first = line(reader)?;
    if !first.starts_with(b"WARC/") {
        return Ok(arc_head(&first));
    }
    Ok(Opening::Record(warc_head(reader, converted)?))
}

/// The rest of a WARC record's head, behind its first line.
fn warc_head(reader: &mut impl BufRead, converted: bool) -> io::Result<Head> {
    let mut headers = Headers::default();
    for _ in 0..MOST_LINES {
        let next = line(reader)?;
        if next.is_empty() {
            break;
        }
        headers.push(&next);
    }
    let length = match headers.get("Content-Length") {
        None => Err("it has no Content-Length".to_owned()),
        Some(text) => text.parse().map_err(|_| format!("its Content-Length {text:?} is no number of bytes")),
    };
    let kind = RecordKind::of(headers.get("WARC-Type").unwrap_or_default());
    Ok(Head { kind, headers, length, converted })
}

/// Reads the head that these bytes begin with, if it is that of a WARC record, and leaves what is behind it.
pub(super) fn of_bytes(bytes: &mut &[u8]) -> Option<Head> {
    let is_warc = line(bytes).is_ok_and(|first| first.starts_with(b"WARC/"));
    is_warc.then(|| warc_head(bytes, false).ok()).flatten()
}

/// `URL IP-address Archive-date Content-type Archive-length`; the address may hold spaces.
fn arc_head(line: &[u8]) -> Opening {
    let text = String::from_utf8_lossy(line);
    let mut from_right = text.trim_end().rsplitn(5, ' ');
    let mut part = || from_right.next().unwrap_or_default().to_owned();
    let (length, content_type, date, ip, url) = (part(), part(), part(), part(), part());
    let kind = if url.starts_with("filedesc://") { RecordKind::Warcinfo } else { RecordKind::Response };
    let pairs = [
        ("WARC-Target-URI", url),
        ("WARC-IP-Address", ip),
        ("WARC-Date", date),
        ("ARC-Content-Type", content_type),
        ("Content-Length", length.clone()),
    ];
    let headers = Headers(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let length = length.parse().map_err(|_| format!("its length {length:?} is no number of bytes"));
    Opening::Record(Head { kind, headers, length, converted: false })
}

/// Whether bytes that begin a line begin a record.
pub(super) fn opens_record(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"WARC/") {
        return bytes.get(5).is_none_or(u8::is_ascii_digit);
    }
    // An ARC line is an address and four more words, the second of them a date.
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = &bytes[..end];
    let address =
        memchr::memmem::find(line, b"://").is_some_and(|at| at > 0 && line[..at].iter().all(u8::is_ascii_lowercase));
    if !address {
        return false;
    }
    let date = line.trim_ascii_end().rsplit(|b| *b == b' ').nth(2);
    let is_date = |word: &[u8]| word.len() >= 8 && word.iter().all(u8::is_ascii_digit);
    // What is seen of a member's beginning may break off inside the line.
    line.starts_with(b"filedesc://") || date.is_some_and(is_date) || (end == bytes.len() && end >= 64)
}

/// Where in a block the next record begins, if it does.
pub(super) fn next_record_in(block: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(block, b"\nWARC/")
        .map(|at| at + 1)
        .find(|at| block[*at..].starts_with(b"WARC/1.") || block[*at..].starts_with(b"WARC/0."))
}

/// A line without its end; what is longer than any head's line is cut.
fn line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let buffered = reader.fill_buf()?;
        if buffered.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', buffered).map_or(buffered.len(), |i| i + 1);
        let room = LONGEST_LINE.saturating_sub(line.len());
        line.extend_from_slice(&buffered[..end.min(room)]);
        let complete = buffered[end - 1] == b'\n';
        reader.consume(end);
        if complete {
            break;
        }
    }
    let content = line.strip_suffix(b"\n").unwrap_or(&line);
    let length = content.strip_suffix(b"\r").unwrap_or(content).len();
    line.truncate(length);
    Ok(line)
}

/// Passes a line, of which the first `room` bytes are kept; how many it has.
pub(super) fn pass_line(reader: &mut impl BufRead, kept: &mut Vec<u8>, room: usize) -> io::Result<u64> {
    let mut skipped = 0;
    let most = kept.len() + room;
    loop {
        let buffered = reader.fill_buf()?;
        if buffered.is_empty() {
            return Ok(skipped);
        }
        let end = memchr::memchr(b'\n', buffered).map_or(buffered.len(), |i| i + 1);
        let complete = buffered[end - 1] == b'\n';
        kept.extend_from_slice(&buffered[..end.min(most - kept.len())]);
        reader.consume(end);
        skipped += end as u64;
        if complete {
            return Ok(skipped);
        }
    }
}
