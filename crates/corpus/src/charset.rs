//! Which characters bytes stand for: UTF-8 where they are UTF-8, else what a header, a byte order mark or the page itself says,
//! else what the bytes look like.
//!
//! The encodings and their names are those of the Encoding Standard (WHATWG), through `encoding_rs`; the guess is that of
//! `chardetng`, the detector of Firefox, which tells Big5 from GB18030 by the frequency of their characters.

use std::io::{self, BufRead, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, Encoding, UTF_8};

/// How many bytes a guess is made from.
const LOOK: usize = 1 << 16;

/// Bytes as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text; characters that could not be read are U+FFFD.
    pub text: String,
    /// The encoding's name in the Encoding Standard.
    pub encoding: &'static str,
    /// Whether some bytes were not in it.
    pub damaged: bool,
}

/// An encoding by a name that headers and pages use for it, such as `big5`, `gb2312` or `utf-8`.
#[must_use]
pub(crate) fn by_name(name: &str) -> Option<&'static Encoding> {
    Encoding::for_label(name.trim().as_bytes())
}

/// Decodes a page. `stated` is the charset of its `Content-Type`, where it has one.
///
/// Valid UTF-8 with a character outside ASCII is UTF-8 whatever a header says: by chance other encodings hardly ever are, and
/// headers are often wrong.
#[must_use]
pub fn decode(bytes: &[u8], stated: Option<&str>) -> Decoded {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return decode_as(bytes, encoding);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && !(text.is_ascii() && bytes.contains(&0x1B))
    {
        return Decoded { text: text.to_owned(), encoding: UTF_8.name(), damaged: false };
    }
    let said = stated.and_then(by_name).or_else(|| stated_in_page(bytes)).filter(|encoding| *encoding != UTF_8);
    if let Some(encoding) = said {
        let decoded = decode_as(bytes, encoding);
        if !decoded.damaged {
            return decoded;
        }
        // A page that lies about its encoding is read by its bytes, where that reads better.
        let guessed = decode_as(bytes, guess(bytes, true));
        return if wrong_characters(&guessed.text) < wrong_characters(&decoded.text) { guessed } else { decoded };
    }
    if is_mostly_utf8(bytes) {
        return decode_as(bytes, UTF_8);
    }
    decode_as(bytes, guess(bytes, true))
}

fn decode_as(bytes: &[u8], encoding: &'static Encoding) -> Decoded {
    let (text, used, damaged) = encoding.decode(bytes);
    Decoded { text: text.into_owned(), encoding: used.name(), damaged }
}

fn wrong_characters(text: &str) -> usize {
    text.matches('\u{FFFD}').count()
}

fn guess(bytes: &[u8], whole: bool) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    let look = &bytes[..bytes.len().min(4 * LOOK)];
    detector.feed(look, whole && look.len() == bytes.len());
    detector.guess(None, Utf8Detection::Deny)
}

/// The charset that a page names in its first kilobyte: `<meta charset=...>`, `<meta http-equiv ... charset=...>` or
/// `<?xml ... encoding=...?>`.
fn stated_in_page(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(1024)].to_ascii_lowercase();
    if head.starts_with(b"<?xml")
        && let Some(label) = value_behind(&head, b"encoding")
    {
        return Encoding::for_label(label);
    }
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&head[from..], b"<meta") {
        let tag = &head[from + at..];
        let tag = &tag[..memchr::memchr(b'>', tag).unwrap_or(tag.len())];
        if let Some(label) = value_behind(tag, b"charset") {
            return Encoding::for_label(label);
        }
        from += at + 5;
    }
    None
}

/// The value behind `key=`, in quotes or not.
fn value_behind<'t>(tag: &'t [u8], key: &[u8]) -> Option<&'t [u8]> {
    let rest = tag[memchr::memmem::find(tag, key)? + key.len()..].trim_ascii_start().strip_prefix(b"=")?;
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let end = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || b"-_:.".contains(b))).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|label| !label.is_empty())
}

/// Whether characters of several bytes are UTF-8 at least ten times as often as not: a UTF-8 text with some broken bytes.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > 0 && good >= 10 * bad
}

/// The encoding of a file by its first bytes; a cut character at their end is no fault. `None` for UTF-8.
pub(crate) fn of_file(first: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(first) {
        return Some(encoding).filter(|encoding| *encoding != UTF_8);
    }
    match std::str::from_utf8(first) {
        Ok(_) => None,
        Err(error) if error.error_len().is_none() => None,
        Err(_) if is_mostly_utf8(first) => None,
        Err(_) => stated_in_page(first).filter(|said| *said != UTF_8).or_else(|| Some(guess(first, false))),
    }
}

/// The same bytes as UTF-8. `forced` overrides what the first bytes say; UTF-8 itself passes through as it is, broken bytes
/// included, so that each costs its own record.
///
/// # Errors
/// When the first bytes cannot be read.
pub(crate) fn as_utf8(
    mut reader: Box<dyn BufRead + Send>,
    forced: Option<&'static Encoding>,
) -> io::Result<(Box<dyn BufRead + Send>, &'static str)> {
    // One fill gives what is buffered; that is a few hundred kilobytes of a file.
    let first = reader.fill_buf()?;
    let first = &first[..first.len().min(4 * LOOK)];
    let encoding = match forced {
        Some(encoding) => Some(encoding).filter(|encoding| *encoding != UTF_8),
        None => of_file(first),
    };
    let Some(encoding) = encoding else { return Ok((reader, UTF_8.name())) };
    let transcoded =
        Transcoded { reader, decoder: encoding.new_decoder_with_bom_removal(), ended: false, rest: Vec::new() };
    Ok((Box::new(io::BufReader::with_capacity(LOOK, transcoded)), encoding.name()))
}

/// Reads UTF-8 from bytes in another encoding; what is not in it becomes U+FFFD.
struct Transcoded {
    reader: Box<dyn BufRead + Send>,
    decoder: Decoder,
    ended: bool,
    rest: Vec<u8>,
}

impl Read for Transcoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && !self.ended {
            self.rest.resize(LOOK, 0);
            let mut written = 0;
            while written == 0 && !self.ended {
                let bytes = self.reader.fill_buf()?;
                self.ended = bytes.is_empty();
                let (_, read, out, _) = self.decoder.decode_to_utf8(bytes, &mut self.rest, self.ended);
                self.reader.consume(read);
                written = out;
            }
            self.rest.truncate(written);
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}
