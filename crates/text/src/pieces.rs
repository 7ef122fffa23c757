//! Files cut into pieces: the elements of a JSON array, the lines of a JSON Lines file, the paragraphs of a plain text.

mod array;
mod window;

use std::io::{self, Read};

use serde_json::Value;

use crate::rows::{Fault, FaultKind};
use array::ArrayPieces;
use window::Window;

/// One piece: where it stands, and what it holds or why that cannot be read.
pub(crate) struct Piece {
    pub(crate) line: usize,
    pub(crate) body: Result<Body, Fault>,
}

/// What a piece holds.
pub(crate) enum Body {
    Json(Value),
    Paragraph(String),
}

/// Why a file cannot be cut into pieces.
pub(crate) enum OpenError {
    Io(io::Error),
    Encoding(&'static str),
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        OpenError::Io(e)
    }
}

/// The pieces of one file.
pub(crate) enum Pieces<R> {
    Array(ArrayPieces<R>),
    Lines(LinePieces<R>),
    Paragraphs(LinePieces<R>),
}

impl<R: Read> Pieces<R> {
    /// Looks at the first bytes and chooses. `plain` allows paragraphs, where the file does not begin as JSON.
    pub(crate) fn open(reader: R, plain: bool) -> Result<Self, OpenError> {
        let mut window = Window::new(reader);
        let first = [window.at(0)?, window.at(1)?, window.at(2)?];
        match first {
            [Some(0xEF), Some(0xBB), Some(0xBF)] => window.consume(3),
            [Some(0xFF), Some(0xFE), _] | [Some(0xFE), Some(0xFF), _] => return Err(OpenError::Encoding("UTF-16")),
            [Some(0x1F), Some(0x8B), _] => return Err(OpenError::Encoding("gzip (decompress it first)")),
            _ => {}
        }
        let mut i = 0;
        while window.at(i)?.is_some_and(|b| b.is_ascii_whitespace()) {
            i += 1;
        }
        let opening = window.at(i)?;
        if plain && !begins_as_json(&mut window, i)? {
            return Ok(Pieces::Paragraphs(LinePieces { window, line: 0 }));
        }
        if opening == Some(b'[') && !is_first_of_lines(&mut window, i)? {
            window.consume(i + 1);
            return Ok(Pieces::Array(ArrayPieces::new(window)));
        }
        Ok(Pieces::Lines(LinePieces { window, line: 0 }))
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Piece>> {
        match self {
            Pieces::Array(pieces) => pieces.next(),
            Pieces::Lines(pieces) => pieces.next_line(),
            Pieces::Paragraphs(pieces) => pieces.next_paragraph(),
        }
    }
}

/// `{"` or `[{`, white space aside: prose hardly begins so.
fn begins_as_json<R: Read>(window: &mut Window<R>, mut i: usize) -> io::Result<bool> {
    let second = match window.at(i)? {
        Some(b'{') => b'"',
        Some(b'[') => b'{',
        _ => return Ok(false),
    };
    i += 1;
    while window.at(i)?.is_some_and(|b| b.is_ascii_whitespace()) {
        i += 1;
    }
    Ok(window.at(i)? == Some(second))
}

/// Whether the bracket at `i` opens not the file's array but a line that is a list by mistake, in a file of JSON Lines: a list
/// without objects that ends with its line, and more lines after it.
fn is_first_of_lines<R: Read>(window: &mut Window<R>, i: usize) -> io::Result<bool> {
    const LONGEST: usize = 1 << 16;
    let mut end = i + 1;
    while end < LONGEST && window.at(end)?.is_some_and(|b| b != b'\n' && b != b'{') {
        end += 1;
    }
    if window.at(end)? != Some(b'\n') || serde_json::from_slice::<Vec<Value>>(&window.slice(end)[i..]).is_err() {
        return Ok(false);
    }
    while window.at(end)?.is_some_and(|b| b.is_ascii_whitespace()) {
        end += 1;
    }
    Ok(window.at(end)?.is_some())
}

/// Reads lines; empty ones count as lines, but are no rows.
pub(crate) struct LinePieces<R> {
    window: Window<R>,
    line: usize,
}

impl<R: Read> LinePieces<R> {
    fn take_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.window.at(0)?.is_none() {
            return Ok(None);
        }
        let length = self.window.find(b'\n')?;
        let mut line = self.window.slice(length).to_vec();
        self.window.consume(length + 1);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.line += 1;
        Ok(Some(line))
    }

    fn next_line(&mut self) -> io::Result<Option<Piece>> {
        while let Some(bytes) = self.take_line()? {
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Piece { line: self.line, body: parse(&bytes).map(Body::Json) }));
            }
        }
        Ok(None)
    }

    fn next_paragraph(&mut self) -> io::Result<Option<Piece>> {
        let mut text = Vec::new();
        let mut first = 0;
        while let Some(bytes) = self.take_line()? {
            let empty = bytes.iter().all(u8::is_ascii_whitespace);
            match (empty, text.is_empty()) {
                (true, true) => {}
                (true, false) => break,
                (false, _) => {
                    if text.is_empty() {
                        first = self.line;
                    } else {
                        text.push(b'\n');
                    }
                    text.extend(bytes);
                }
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        let body = String::from_utf8(text).map(Body::Paragraph);
        Ok(Some(Piece {
            line: first,
            body: body.map_err(|e| Fault::of(FaultKind::NotUtf8(e.utf8_error().valid_up_to()))),
        }))
    }
}

/// Parses the bytes of one row.
fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    if let Err(e) = std::str::from_utf8(bytes) {
        return Err(Fault::of(FaultKind::NotUtf8(e.valid_up_to())));
    }
    serde_json::from_slice(bytes).map_err(|e| {
        // The parser counts lines inside the row; the row's own line stands before the message already.
        let message = e.to_string().replace(" at line 1 column ", " at column ");
        Fault::of(FaultKind::NotJson(message))
    })
}
