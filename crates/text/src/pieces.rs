//! Files cut into pieces: the elements of a JSON array, the members of a JSON document, the lines of a JSON Lines file, the
//! paragraphs of a plain text.
//!
//! A file is read through a window, so that only the piece being read is held, and a piece may have at most [`LONGEST_PIECE`] bytes.
//! A broken piece is a [`Fault`] with its place; the pieces after it go on. Comments and trailing commas, which JSON forbids and
//! people write, are read past.

mod array;
mod document;
mod relaxed;
mod window;

use std::io::{self, Read};

use serde_json::Value;

use crate::rows::{Fault, FaultKind};
use array::ArrayPieces;
use document::DocumentPieces;
use window::Window;

/// The longest piece that is read, in bytes; a longer one is a fault, so that no file can fill the memory.
pub const LONGEST_PIECE: usize = 1 << 26;

/// How far a file is looked into to tell JSON Lines from one JSON document.
const LONGEST_LOOK: usize = 1 << 20;

/// One piece: where it stands, and what it holds or why that cannot be read.
#[derive(Debug)]
pub struct Piece {
    /// Its line, from 1; for an element of an array or a member of a document, its position.
    pub line: usize,
    /// What it holds.
    pub body: Result<Body, Fault>,
}

/// What a piece holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A JSON value.
    Json(Value),
    /// A paragraph of plain text.
    Paragraph(String),
}

/// A piece that may still have to be parsed, so that a caller can do it on several threads.
#[derive(Debug)]
pub enum Unparsed {
    /// The bytes of a line of JSON.
    Line {
        /// Its line, from 1.
        line: usize,
        /// The line without its end.
        bytes: Vec<u8>,
    },
    /// A piece that had to be parsed to be found.
    Whole(Piece),
}

impl Unparsed {
    /// Parses what is left to parse.
    #[must_use]
    pub fn parse(self) -> Piece {
        match self {
            Unparsed::Line { line, bytes } => Piece { line, body: parse(&bytes).map(Body::Json) },
            Unparsed::Whole(piece) => piece,
        }
    }
}

/// Where the pieces of a JSON document lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Within {
    /// Seen from the file: the elements of its array, its lines, or the elements of the first member that is a list of objects.
    #[default]
    Anywhere,
    /// The elements of the list that this member of the document holds.
    Member(String),
    /// The members themselves, each an object with its name, such as `{"name": ..., "value": ...}`.
    Members,
}

/// Why a file cannot be cut into pieces.
#[derive(Debug)]
pub enum OpenError {
    /// It cannot be read.
    Io(io::Error),
    /// It is in another encoding than UTF-8, or compressed.
    Encoding(&'static str),
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        OpenError::Io(e)
    }
}

/// The pieces of one file.
pub struct Pieces<R>(Kind<R>);

enum Kind<R> {
    Array(ArrayPieces<R>),
    Document(Box<DocumentPieces<R>>),
    Lines(LinePieces<R>),
    Paragraphs(LinePieces<R>),
}

impl<R: Read> Pieces<R> {
    /// Looks at the first bytes and chooses. `plain` allows paragraphs, where the file does not begin as JSON.
    ///
    /// # Errors
    /// When the file cannot be read or is not UTF-8 by its first bytes.
    pub fn open(reader: R, plain: bool) -> Result<Self, OpenError> {
        Self::open_within(reader, plain, Within::Anywhere)
    }

    /// The same with the place of the pieces said.
    ///
    /// # Errors
    /// As [`Pieces::open`].
    pub fn open_within(reader: R, plain: bool, within: Within) -> Result<Self, OpenError> {
        let mut window = Window::new(reader);
        let first = [window.at(0)?, window.at(1)?, window.at(2)?];
        match first {
            [Some(0xEF), Some(0xBB), Some(0xBF)] => window.consume(3),
            [Some(0xFF), Some(0xFE), _] | [Some(0xFE), Some(0xFF), _] => return Err(OpenError::Encoding("UTF-16")),
            [Some(0x1F), Some(0x8B), _] => return Err(OpenError::Encoding("gzip (decompress it first)")),
            _ => {}
        }
        let i = relaxed::skip_blank(&mut window, 0)?;
        let opening = window.at(i)?;
        if plain && !begins_as_json(&mut window, i)? {
            return Ok(Pieces(Kind::Paragraphs(LinePieces { window, line: 0 })));
        }
        if opening == Some(b'[') && !is_first_of_lines(&mut window, i)? {
            window.consume(i + 1);
            return Ok(Pieces(Kind::Array(ArrayPieces::new(window, false))));
        }
        if opening == Some(b'{') && (within != Within::Anywhere || is_one_document(&mut window, i)?) {
            window.consume(i + 1);
            return Ok(Pieces(Kind::Document(Box::new(DocumentPieces::new(window, within)))));
        }
        Ok(Pieces(Kind::Lines(LinePieces { window, line: 0 })))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read on.
    #[allow(clippy::should_implement_trait, reason = "an iterator's item would be two results in one another")]
    pub fn next(&mut self) -> io::Result<Option<Piece>> {
        Ok(self.next_unparsed()?.map(Unparsed::parse))
    }

    /// The next piece, not parsed where it need not be.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub fn next_unparsed(&mut self) -> io::Result<Option<Unparsed>> {
        match &mut self.0 {
            Kind::Array(pieces) => Ok(pieces.next()?.map(Unparsed::Whole)),
            Kind::Document(pieces) => Ok(pieces.next()?.map(Unparsed::Whole)),
            Kind::Lines(pieces) => pieces.next_line(),
            Kind::Paragraphs(pieces) => Ok(pieces.next_paragraph()?.map(Unparsed::Whole)),
        }
    }
}

/// `{"` or `[{`, white space aside: prose hardly begins so.
fn begins_as_json<R: Read>(window: &mut Window<R>, i: usize) -> io::Result<bool> {
    let second = match window.at(i)? {
        Some(b'{') => b'"',
        Some(b'[') => b'{',
        _ => return Ok(false),
    };
    let i = relaxed::skip_blank(window, i + 1)?;
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

/// Whether the brace at `i` opens the file's one document and not the first of many lines: its line goes on where a value must
/// follow, or it is longer than any look.
fn is_one_document<R: Read>(window: &mut Window<R>, i: usize) -> io::Result<bool> {
    let Some(end) = window.find(b'\n', LONGEST_LOOK)? else { return Ok(true) };
    if end <= i {
        return Ok(true);
    }
    let line = &window.slice(end)[i..];
    let without_comments = line.contains(&b'/').then(|| relaxed::without_comments(line)).flatten();
    let line = without_comments.as_deref().unwrap_or(line).trim_ascii_end();
    let last = line.last().copied();
    if !matches!(last, Some(b'{' | b'[' | b',')) {
        return Ok(false);
    }
    // A row cut short may end so too, but no name of a member follows it.
    let next = relaxed::skip_blank(window, end)?;
    Ok(last == Some(b'[') || matches!(window.at(next)?, Some(b'"' | b'}')))
}

/// Reads lines; empty ones count as lines, but are no rows.
struct LinePieces<R> {
    window: Window<R>,
    line: usize,
}

impl<R: Read> LinePieces<R> {
    /// A line, or the fault of one that is too long to be held.
    fn take_line(&mut self) -> io::Result<Option<Result<Vec<u8>, Fault>>> {
        if self.window.at(0)?.is_none() {
            return Ok(None);
        }
        self.line += 1;
        let Some(length) = self.window.find(b'\n', LONGEST_PIECE)? else {
            self.window.skip_to(b'\n')?;
            self.window.consume(1);
            return Ok(Some(Err(Fault::of(FaultKind::TooLong(LONGEST_PIECE)))));
        };
        let mut line = self.window.slice(length).to_vec();
        self.window.consume(length + 1);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(Ok(line)))
    }

    fn next_line(&mut self) -> io::Result<Option<Unparsed>> {
        while let Some(line) = self.take_line()? {
            match line {
                Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {}
                Ok(bytes) if relaxed::is_comment(&bytes) => {}
                Ok(bytes) => return Ok(Some(Unparsed::Line { line: self.line, bytes })),
                Err(fault) => return Ok(Some(Unparsed::Whole(Piece { line: self.line, body: Err(fault) }))),
            }
        }
        Ok(None)
    }

    fn next_paragraph(&mut self) -> io::Result<Option<Piece>> {
        let mut text = Vec::new();
        let mut first = 0;
        while let Some(line) = self.take_line()? {
            let bytes = match line {
                Ok(bytes) => bytes,
                Err(fault) => return Ok(Some(Piece { line: self.line, body: Err(fault) })),
            };
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
                    if text.len() > LONGEST_PIECE {
                        break;
                    }
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
    serde_json::from_slice(bytes).or_else(|e| {
        if let Some(value) = relaxed::parse(bytes) {
            return Ok(value);
        }
        // The parser counts lines inside the row; the row's own line stands before the message already.
        let message = e.to_string().replace(" at line 1 column ", " at column ");
        Err(Fault::of(FaultKind::NotJson(message)))
    })
}
