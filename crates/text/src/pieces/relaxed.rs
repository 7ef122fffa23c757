//! JSON as people write it by hand: `//` and `/* */` comments, and commas before a closing bracket.

use std::io::{self, Read};

use serde_json::Value;

use super::window::Window;

/// The place behind white space and comments from `i` on.
pub(super) fn skip_blank<R: Read>(window: &mut Window<R>, mut i: usize) -> io::Result<usize> {
    loop {
        match window.at(i)? {
            Some(b) if b.is_ascii_whitespace() => i += 1,
            Some(b'/') => match skip_comment(window, i)? {
                Some(end) => i = end,
                None => return Ok(i),
            },
            _ => return Ok(i),
        }
    }
}

/// The place behind the comment that begins at `i`, if one does. No JSON outside a string holds a slash.
pub(super) fn skip_comment<R: Read>(window: &mut Window<R>, i: usize) -> io::Result<Option<usize>> {
    let mut end = i + 2;
    match window.at(i + 1)? {
        Some(b'/') => {
            while window.at(end)?.is_some_and(|b| b != b'\n') {
                end += 1;
            }
        }
        Some(b'*') => {
            while window.at(end)?.is_some_and(|b| b != b'*') || window.at(end + 1)?.is_some_and(|b| b != b'/') {
                end += 1;
            }
            end += 2;
        }
        _ => return Ok(None),
    }
    Ok(Some(end))
}

/// Whether a line is a comment and nothing else.
pub(super) fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"//")
}

/// Parses a value that has comments or trailing commas; `None` when it has neither, or is broken otherwise.
pub(super) fn parse(bytes: &[u8]) -> Option<Value> {
    let strict = without_comments(bytes)?;
    serde_json::from_slice(&strict).ok()
}

/// The same JSON with blanks in place of comments and trailing commas; `None` when it has none.
pub(super) fn without_comments(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    let mut changed = false;
    let mut comma = None;
    let mut i = 0;
    while i < out.len() {
        match out[i] {
            b'"' => {
                comma = None;
                i = behind_string(&out, i);
                continue;
            }
            b'/' => {
                let end = behind_comment(&out, i)?;
                blank(&mut out[i..end]);
                changed = true;
                i = end;
                continue;
            }
            b',' => comma = Some(i),
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    out[at] = b' ';
                    changed = true;
                }
            }
            b if b.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        i += 1;
    }
    changed.then_some(out)
}

fn behind_string(bytes: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    bytes.len()
}

fn behind_comment(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start + 1..];
    match rest.first()? {
        b'/' => Some(memchr::memchr(b'\n', rest).map_or(bytes.len(), |i| start + 1 + i)),
        b'*' => rest[1..].windows(2).position(|pair| pair == b"*/").map(|i| start + 2 + i + 2),
        _ => None,
    }
}

/// Line breaks stay, so that the parser counts lines as they stand.
fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
}
