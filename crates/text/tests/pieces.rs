//! Files cut into pieces.

use luthier_text::pieces::{Body, Piece, Pieces, Within};
use serde_json::{Value, json};

fn pieces(text: &str, within: Within) -> Vec<Piece> {
    let mut pieces = Pieces::open_within(text.as_bytes(), false, within).unwrap();
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().unwrap() {
        all.push(piece);
    }
    all
}

fn values(text: &str, within: Within) -> Vec<Value> {
    let body = |piece: Piece| match piece.body {
        Ok(Body::Json(value)) => value,
        other => panic!("{other:?} in {text}"),
    };
    pieces(text, within).into_iter().map(body).collect()
}

#[test]
fn rows_inside_a_document_are_streamed_from_its_list() {
    let text = "{\n \"version\": \"1.3\",\n \"data\": [\n  {\"a\": 1},\n  {\"a\": 2}\n ],\n \"more\": [1, 2]\n}\n";
    assert_eq!(values(text, Within::Anywhere), [json!({"a": 1}), json!({"a": 2})]);
    assert_eq!(values(&text.replace('\n', ""), Within::Member("data".into())), [json!({"a": 1}), json!({"a": 2})]);
    assert_eq!(values(text, Within::Member("more".into())), [json!(1), json!(2)]);
    let missing = pieces(text, Within::Member("rows".into()));
    assert!(missing.iter().any(|piece| piece.body.as_ref().is_err_and(|fault| fault.to_string().contains("`rows`"))));
}

#[test]
fn a_document_without_a_list_of_rows_is_one_row_and_its_members_are_rows_where_that_is_asked() {
    let text = "{\n \"x\": {\"q\": 1},\n \"y\": {\"q\": 2}\n}";
    assert_eq!(values(text, Within::Anywhere), [json!({"x": {"q": 1}, "y": {"q": 2}})]);
    let members = [json!({"name": "x", "value": {"q": 1}}), json!({"name": "y", "value": {"q": 2}})];
    assert_eq!(values(text, Within::Members), members);
}

#[test]
fn lines_are_told_from_a_document() {
    for text in ["{\"a\": [{\"b\": 1}]}\n{\"a\": 2}\n", "{\"a\": 1, \n[1]\n{\"a\": 2}", "{\"a\": 1}"] {
        let lines: Vec<usize> = pieces(text, Within::Anywhere).iter().map(|piece| piece.line).collect();
        assert_eq!(lines, (1..=text.lines().count()).collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn comments_and_trailing_commas_are_read_past() {
    let text = "// cases\n[ /* first: don't { */\n {\"a\": \"// no comment\", // one\n  \"b\": [1, 2,],\n },\n {\"a\": \"/* nor this */\"},\n]";
    let expected = [json!({"a": "// no comment", "b": [1, 2]}), json!({"a": "/* nor this */"})];
    assert_eq!(values(text, Within::Anywhere), expected);
    let document = "{ // outer\n \"cases\": [\n  {\"a\": 1,},\n ],\n}";
    assert_eq!(values(document, Within::Anywhere), [json!({"a": 1})]);
    assert_eq!(values("{\"a\": 1}\n// between\n{\"a\": 2,}\n", Within::Anywhere), [json!({"a": 1}), json!({"a": 2})]);
}

#[test]
fn a_broken_document_keeps_the_rows_before_the_break() {
    for text in [
        "{\"v\": 1,\n\"data\": [{\"a\": 1}, {\"a\": 2",
        "{\n\"data\": [{\"a\": 1}],\n oops}",
        "{\n\"data\": [{\"a\": 1}]} tail",
    ] {
        let all = pieces(text, Within::Anywhere);
        assert_eq!(all[0].body.as_ref().ok(), Some(&Body::Json(json!({"a": 1}))), "{text}: {all:?}");
        assert!(all.last().unwrap().body.is_err(), "{text}: {all:?}");
    }
}

/// Gives some bytes, then fails, as a truncated compressed file does.
struct Failing<'b>(&'b [u8]);

impl std::io::Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Err(std::io::Error::other("it breaks off"));
        }
        let count = self.0.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn rows_before_a_failing_read_are_given_first() {
    for text in ["{\"a\": 1}\n{\"a\": 2}\n{\"a\"", "[{\"a\": 1}, {\"a\": 2}, {\"a\""] {
        let mut pieces = Pieces::open(Failing(text.as_bytes()), false).unwrap();
        let mut rows = 0;
        let error = loop {
            match pieces.next() {
                Ok(Some(piece)) => rows += usize::from(piece.body.is_ok()),
                Ok(None) => panic!("the failure must be seen"),
                Err(error) => break error,
            }
        };
        assert_eq!((rows, error.to_string().as_str()), (2, "it breaks off"), "{text}");
    }
}
