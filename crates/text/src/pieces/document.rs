//! One JSON document whose rows lie inside it, as in SQuAD: `{"version": ..., "data": [ROW, ROW, ...]}`.
//!
//! The members of the outer object are read one after another. A list of objects is streamed row by row; other members are kept
//! aside, so that a document without such a list is one row itself.

use std::io::{self, Read};

use serde_json::{Map, Value, json};

use super::array::{ArrayPieces, End, scan};
use super::window::Window;
use super::{Body, LONGEST_PIECE, Piece, Within, parse, relaxed};
use crate::rows::{Fault, FaultKind};

/// Pieces of the document whose `{` has been consumed.
pub(super) struct DocumentPieces<R> {
    state: State<R>,
    within: Within,
    position: usize,
    aside: Map<String, Value>,
    aside_bytes: usize,
    streamed: bool,
}

enum State<R> {
    Members(Window<R>),
    Rows(ArrayPieces<R>),
    Finished,
}

/// What the next member of the document is.
enum Member {
    End,
    Rows,
    Value(String, Value),
    Broken(Fault),
}

impl<R: Read> DocumentPieces<R> {
    pub(super) fn new(window: Window<R>, within: Within) -> Self {
        DocumentPieces {
            state: State::Members(window),
            within,
            position: 0,
            aside: Map::new(),
            aside_bytes: 0,
            streamed: false,
        }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            match std::mem::replace(&mut self.state, State::Finished) {
                State::Finished => return Ok(None),
                State::Rows(mut rows) => match rows.next()? {
                    Some(piece) => {
                        self.state = State::Rows(rows);
                        self.position += 1;
                        return Ok(Some(Piece { line: self.position, ..piece }));
                    }
                    None => self.state = State::Members(rows.into_window()),
                },
                State::Members(mut window) => match self.member(&mut window)? {
                    Member::Rows => {
                        self.streamed = true;
                        self.aside.clear();
                        self.state = State::Rows(ArrayPieces::new(window, true));
                    }
                    Member::Value(name, value) => {
                        self.state = State::Members(window);
                        if self.within == Within::Members {
                            self.position += 1;
                            let row = json!({"name": name, "value": value});
                            return Ok(Some(Piece { line: self.position, body: Ok(Body::Json(row)) }));
                        }
                        if !self.streamed {
                            self.aside.insert(name, value);
                        }
                    }
                    Member::Broken(fault) => return Ok(Some(self.piece(Err(fault)))),
                    Member::End => return self.end(&mut window),
                },
            }
        }
    }

    fn member(&mut self, window: &mut Window<R>) -> io::Result<Member> {
        let broken = |why: &str| Ok(Member::Broken(Fault::of(FaultKind::BrokenDocument(why.into()))));
        loop {
            let blank = relaxed::skip_blank(window, 0)?;
            window.consume(blank);
            match window.at(0)? {
                Some(b',') => window.consume(1),
                Some(b'}') => {
                    window.consume(1);
                    return Ok(Member::End);
                }
                Some(b'"') => break,
                Some(_) => return broken("a member must begin with its name in quotes"),
                None => return broken("the file ends without the closing }; it may have been cut short"),
            }
        }
        let End::At(end) = scan(window, 0)? else { return broken("the name of a member does not end") };
        let Ok(Value::String(name)) = parse(window.slice(end)) else {
            return broken("the name of a member is no text");
        };
        let colon = relaxed::skip_blank(window, end)?;
        if window.at(colon)? != Some(b':') {
            return broken(&format!("no colon follows the member \"{name}\""));
        }
        let value = relaxed::skip_blank(window, colon + 1)?;
        window.consume(value);
        if self.holds_rows(window, &name)? {
            window.consume(1);
            return Ok(Member::Rows);
        }
        match scan(window, 0)? {
            End::Broken(why) => broken(&format!("in the member \"{name}\": {why}")),
            End::At(end) => match parse(window.slice(end)) {
                Err(fault) => Ok(Member::Broken(fault)),
                Ok(value) => {
                    window.consume(end);
                    self.aside_bytes += end;
                    if self.aside_bytes > LONGEST_PIECE && self.within != Within::Members {
                        return broken("it holds no list of rows, and is longer than 64 MiB");
                    }
                    Ok(Member::Value(name, value))
                }
            },
        }
    }

    /// Whether the value at the window's start is the list whose elements are rows.
    fn holds_rows(&self, window: &mut Window<R>, name: &str) -> io::Result<bool> {
        if window.at(0)? != Some(b'[') {
            return Ok(false);
        }
        match &self.within {
            Within::Members => Ok(false),
            Within::Member(wanted) => Ok(wanted == name),
            Within::Anywhere => {
                let first = relaxed::skip_blank(window, 1)?;
                Ok(!self.streamed && window.at(first)? == Some(b'{'))
            }
        }
    }

    fn end(&mut self, window: &mut Window<R>) -> io::Result<Option<Piece>> {
        let blank = relaxed::skip_blank(window, 0)?;
        window.consume(blank);
        if window.at(0)?.is_some() {
            return Ok(Some(self.piece(Err(Fault::of(FaultKind::BrokenDocument(
                "text follows after the document's closing }".into(),
            ))))));
        }
        if let (Within::Member(wanted), false) = (&self.within, self.streamed) {
            let fault = Fault::at(wanted.clone(), FaultKind::MissingField(None));
            return Ok(Some(self.piece(Err(fault))));
        }
        if self.streamed || self.within == Within::Members {
            return Ok(None);
        }
        let whole = Value::Object(std::mem::take(&mut self.aside));
        Ok(Some(self.piece(Ok(Body::Json(whole)))))
    }

    fn piece(&mut self, body: Result<Body, Fault>) -> Piece {
        self.position += 1;
        Piece { line: self.position, body }
    }
}
