//! The elements of a JSON array, one by one, so that a broken one costs itself and not the file.
//!
//! An element is cut out by counting brackets outside strings and then parsed alone. Where the counting itself fails (a missing
//! quote or brace), the next whole row behind the break is looked for: an object that opens after a comma or at a line's start,
//! begins with a field that rows begin with, and parses. What lies between is one fault.

use std::collections::HashSet;
use std::io::{self, Read};

use serde_json::Value;

use super::window::Window;
use super::{Body, LONGEST_PIECE, Piece, parse, relaxed};
use crate::rows::{Fault, FaultKind};

/// Fields that a row may begin with, before any good row has been seen.
const ROW_FIELDS: [&str; 9] =
    ["instruction", "output", "prompt", "completion", "input", "target", "messages", "text", "id"];

/// How much of a broken stretch is held while the next whole row is looked for.
const BROKEN_STRETCH: usize = 1 << 20;

/// Pieces of the array whose `[` has been consumed.
pub(super) struct ArrayPieces<R> {
    window: Window<R>,
    row: usize,
    first_fields: HashSet<String>,
    finished: bool,
    nested: bool,
}

/// Where a value ends.
pub(super) enum End {
    At(usize),
    Broken(&'static str),
}

impl<R: Read> ArrayPieces<R> {
    /// `nested`: what stands behind the closing bracket belongs to somebody else.
    pub(super) fn new(window: Window<R>, nested: bool) -> Self {
        let first_fields = ROW_FIELDS.iter().map(ToString::to_string).collect();
        ArrayPieces { window, row: 0, first_fields, finished: false, nested }
    }

    /// The window, at the byte behind the last piece.
    pub(super) fn into_window(self) -> Window<R> {
        self.window
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        if self.finished {
            return Ok(None);
        }
        self.skip_blank(true)?;
        match self.window.at(0)? {
            None => {
                self.finished = true;
                self.fault("the file ends without the closing ]; it may have been cut short")
            }
            Some(b']') => {
                self.finished = true;
                self.window.consume(1);
                if self.nested {
                    return Ok(None);
                }
                self.skip_blank(false)?;
                match self.window.at(0)? {
                    None => Ok(None),
                    Some(_) => self.fault("text follows after the array's closing ]"),
                }
            }
            Some(_) => self.element().map(Some),
        }
    }

    fn element(&mut self) -> io::Result<Piece> {
        match scan(&mut self.window, 0)? {
            End::At(end) => match parse(self.window.slice(end)) {
                Ok(value) if !value.is_object() && self.after(end)? == Some(b':') => self.recover(
                    None,
                    Fault::of(FaultKind::BrokenArray("fields stand outside an object; is a { missing?".into())),
                ),
                Ok(value) => {
                    self.window.consume(end);
                    self.row += 1;
                    if let Some(field) = first_field(&value) {
                        self.first_fields.insert(field.to_string());
                    }
                    Ok(Piece { line: self.row, body: Ok(Body::Json(value)) })
                }
                Err(fault) => self.recover(Some(end), fault),
            },
            End::Broken(why) => self.recover(None, Fault::of(FaultKind::BrokenArray(why.into()))),
        }
    }

    /// Moves to the next whole row behind a break, at most to `bound`; all before it is one fault.
    fn recover(&mut self, mut bound: Option<usize>, fault: Fault) -> io::Result<Piece> {
        let mut length = bound;
        let mut separated = false;
        let mut i = 1;
        while bound.is_none_or(|bound| i < bound) {
            let Some(byte) = self.window.at(i)? else { break };
            match byte {
                b',' | b'\n' => separated = true,
                b'{' if separated => {
                    if self.is_row(i, bound)? {
                        length = Some(i);
                        break;
                    }
                    separated = false;
                }
                b if b.is_ascii_whitespace() => {}
                _ => separated = false,
            }
            i += 1;
            if i >= BROKEN_STRETCH {
                self.window.consume(i);
                (bound, length) = (bound.map(|b| b - i), length.map(|l| l - i));
                i = 0;
            }
        }
        self.finished = length.is_none();
        self.window.consume(length.unwrap_or(i).max(1));
        self.row += 1;
        Ok(Piece { line: self.row, body: Err(fault) })
    }

    fn is_row(&mut self, start: usize, bound: Option<usize>) -> io::Result<bool> {
        let End::At(end) = scan(&mut self.window, start)? else { return Ok(false) };
        if bound.is_some_and(|bound| end > bound) {
            return Ok(false);
        }
        let value = parse(&self.window.slice(end)[start..]);
        Ok(value.is_ok_and(|value| first_field(&value).is_some_and(|field| self.first_fields.contains(field))))
    }

    /// The first byte behind `end` that is not white space.
    fn after(&mut self, end: usize) -> io::Result<Option<u8>> {
        let i = relaxed::skip_blank(&mut self.window, end)?;
        self.window.at(i)
    }

    fn fault(&mut self, why: &str) -> io::Result<Option<Piece>> {
        self.row += 1;
        Ok(Some(Piece { line: self.row, body: Err(Fault::of(FaultKind::BrokenArray(why.into()))) }))
    }

    fn skip_blank(&mut self, commas: bool) -> io::Result<()> {
        loop {
            let end = relaxed::skip_blank(&mut self.window, 0)?;
            self.window.consume(end);
            if !(commas && self.window.at(0)? == Some(b',')) {
                return Ok(());
            }
            self.window.consume(1);
        }
    }
}

fn first_field(value: &Value) -> Option<&str> {
    value.as_object()?.keys().next().map(String::as_str)
}

/// The end of the value that begins at `start`.
pub(super) fn scan<R: Read>(window: &mut Window<R>, start: usize) -> io::Result<End> {
    let mut open: Vec<u8> = Vec::new();
    let mut i = start;
    loop {
        let Some(byte) = window.at(i)? else {
            let why = if open.is_empty() { "the file ends inside a value" } else { "the file ends inside this row" };
            return Ok(End::Broken(why));
        };
        if i - start > LONGEST_PIECE {
            return Ok(End::Broken("this row does not end within 64 MiB"));
        }
        match byte {
            b'"' => match scan_string(window, i)? {
                End::At(end) => i = end - 1,
                broken @ End::Broken(_) => return Ok(broken),
            },
            b'/' => {
                if let Some(end) = relaxed::skip_comment(window, i)? {
                    i = end - 1;
                }
            }
            b'{' | b'[' => open.push(byte),
            b'}' | b']' => match open.pop() {
                Some(b'{') if byte == b'}' => {}
                Some(b'[') if byte == b']' => {}
                Some(_) => return Ok(End::Broken("brackets do not match")),
                None if i == start => return Ok(End::Broken("a closing bracket without an opening one")),
                None => return Ok(End::At(i)),
            },
            b',' | b':' if open.is_empty() => return Ok(End::At(i.max(start + 1))),
            _ => {}
        }
        i += 1;
        if open.is_empty() && matches!(byte, b'}' | b']' | b'"') {
            return Ok(End::At(i));
        }
    }
}

/// The end of the string whose quote stands at `start`. JSON strings hold no raw line break, so one is the sign of a lost quote.
fn scan_string<R: Read>(window: &mut Window<R>, start: usize) -> io::Result<End> {
    let mut i = start + 1;
    loop {
        match window.at(i)? {
            None => return Ok(End::Broken("the file ends inside a text")),
            Some(b'\n') => return Ok(End::Broken("a line ends inside a text; is a quote missing?")),
            Some(_) if i - start > LONGEST_PIECE => return Ok(End::Broken("this row does not end within 64 MiB")),
            Some(b'\\') => i += 2,
            Some(b'"') => return Ok(End::At(i + 1)),
            Some(_) => i += 1,
        }
    }
}
