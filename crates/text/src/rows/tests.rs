use super::*;
use crate::options::Source;

fn read_with(bytes: &[u8], name: &str, format: Format) -> Vec<Result<Row, RowFault>> {
    let source = Source { path: name.into(), format, part: None };
    // One byte at a time: no answer may depend on where the reader's pieces end.
    struct Drip<'b>(&'b [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    let dripped = read_from(Drip(bytes), &source, 0, None).unwrap();
    assert_eq!(dripped, read_from(bytes, &source, 0, None).unwrap());
    dripped
}

fn read(text: &str) -> Vec<Result<Row, RowFault>> {
    read_with(text.as_bytes(), "rows.json", Format::Auto)
}

fn lines(rows: &[Result<Row, RowFault>]) -> (Vec<usize>, Vec<usize>) {
    let good = rows.iter().filter_map(|r| r.as_ref().ok()).map(|r| r.line).collect();
    let bad = rows.iter().filter_map(|r| r.as_ref().err()).map(|f| f.line).collect();
    (good, bad)
}

fn fault(text: &str) -> String {
    let rows = read(text);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].as_ref().unwrap_err().to_string()
}

fn pair(prompt: &str, answer: &str) -> Content {
    Content::Conversation(vec![Message::user(prompt), Message::assistant(answer)])
}

const GOOD: &str = r#"{"instruction": "a", "input": "", "output": "b"}"#;

#[test]
fn an_array_and_lines_are_told_apart_by_content() {
    let array = read(&format!("\u{feff} \r\n[{GOOD},\r\n {GOOD}]\r\n"));
    let lined = read(&format!("\u{feff}{GOOD}\r\n\r\n{GOOD}"));
    assert_eq!(lines(&array), (vec![1, 2], vec![]), "rows of an array count by position");
    assert_eq!(lines(&lined), (vec![1, 3], vec![]), "rows of JSON Lines count by line");
    assert_eq!(array[0].as_ref().unwrap().content, lined[1].as_ref().unwrap().content);
    assert!(read("").is_empty() && read(" \n\n").is_empty() && read("[]").is_empty());
}

#[test]
fn a_list_among_json_lines_is_a_fault_of_its_line_even_when_it_comes_first() {
    assert_eq!(lines(&read(&format!("[\"a\", 1]\n{GOOD}\n{GOOD}\n"))), (vec![2, 3], vec![1]));
    assert_eq!(lines(&read("[\"a\", 1]\n")), (vec![], vec![1, 2]), "alone it is an array");
}

#[test]
fn every_shape_is_recognised() {
    for (text, content) in [
        (GOOD, pair("a", "b")),
        (r#"{"output": "b", "instruction": "a", "id": 3}"#, pair("a", "b")),
        (r#"{"prompt": "a", "completion": "b"}"#, pair("a", "b")),
        (r#"{"input": "a", "target": "b"}"#, pair("a", "b")),
        (r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#, pair("a", "b")),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": "b"}]}"#,
            pair("a", "b"),
        ),
        (r#"{"text": "the lamp"}"#, Content::Text("the lamp".into())),
    ] {
        assert_eq!(read(text)[0].as_ref().unwrap().content, content, "{text}");
    }
    let rows = read(r#"{"instruction": "譯", "input": "燈", "output": "b"}"#);
    let Content::Conversation(messages) = &rows[0].as_ref().unwrap().content else {
        panic!("a conversation was expected")
    };
    assert_eq!(messages[0].content, "譯\n燈");
    assert_eq!(messages[0].instruction_and_input, Some(("譯".into(), "燈".into())));
}

#[test]
fn each_fault_is_named_with_file_line_and_field() {
    for (text, expected) in [
        (r#"{"instruction": "a""#, "rows.json:1: not JSON"),
        ("3", "this one is the number"),
        (r#"{"instruction": "a", "ouput": "b"}"#, "field `output` is missing; the nearest field present is `ouput`"),
        (r#"{"instruction": "a", "output": 5}"#, "field `output` must be text, but holds the number 5"),
        (r#"{"instruction": "a", "output": null}"#, "field `output` must be text, but holds null"),
        (r#"{"instruction": "a", "output": " "}"#, "field `output` is an empty answer"),
        (r#"{"instruction": "", "input": "", "output": "b"}"#, "field `instruction` is empty"),
        (r#"{"instruction": "a", "output": "b\u0000"}"#, "field `output` contains a NUL"),
        (r#"{"question": "a"}"#, "no known row shape has the fields `question`"),
        (r#"{"messages": []}"#, "no message from the assistant"),
        (r#"{"messages": {}}"#, "field `messages` must be a list, but holds an object"),
        (r#"{"messages": [{"role": "user", "content": "a"}]}"#, "no message from the assistant"),
        (
            r#"{"messages": [{"role": "assistant", "content": "a"}]}"#,
            "field `messages[0].role` breaks the order of roles: assistant where user is due",
        ),
        (
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}"#,
            "field `messages[2].role` breaks the order of roles: the last message is from user",
        ),
        (r#"{"messages": [{"role": "bot", "content": "a"}]}"#, "field `messages[0].role` is \"bot\""),
        (
            r#"{"messages": [{"role": "user", "content": 1}, {"role": "assistant", "content": "b"}]}"#,
            "field `messages[0].content` must be text",
        ),
        (r#"{"text": ""}"#, "field `text` is an empty"),
    ] {
        let message = fault(text);
        assert!(message.starts_with("rows.json:1: ") && message.contains(expected), "{text}\n{message}");
    }
}

#[test]
fn a_stated_format_overrides_recognition() {
    let rows = read_with(GOOD.as_bytes(), "rows.json", Format::PromptCompletion);
    assert!(rows[0].as_ref().unwrap_err().to_string().contains("`prompt` is missing"));
    assert!("alpacca".parse::<Format>().unwrap_err().contains("alpaca"));
    assert_eq!("input-target".parse::<Format>().unwrap().name(), "input-target");
}

#[test]
fn bytes_that_are_not_utf8_cost_their_row_only() {
    let mut bytes = format!("{GOOD}\n").into_bytes();
    bytes.extend(b"{\"instruction\": \"\xB0\xA1\", \"output\": \"b\"}\n");
    bytes.extend(GOOD.as_bytes());
    let rows = read_with(&bytes, "rows.json", Format::Auto);
    assert_eq!(lines(&rows), (vec![1, 3], vec![2]));
    assert!(rows[1].as_ref().unwrap_err().to_string().contains("not UTF-8 at byte 17"));
    let utf16: Vec<u8> = "\u{feff}[".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = read_from(&utf16[..], &Source::new("rows.json"), 0, None).unwrap_err().to_string();
    assert!(error.contains("UTF-16"), "{error}");
}

#[test]
fn a_broken_element_of_an_array_costs_itself_only() {
    for broken in [
        r#"{"instruction": "a" "output": "b"}"#,
        r#"{"instruction": "a", "output": b}"#,
        r#"{"instruction": "a", "output": "b""#,
        r#"{"instruction": "a", "output": "b}"#,
        r#"{"instruction": "a, "output": "b"}"#,
        r#"{"instruction": "a", "output": "b"]"#,
        r#""instruction": "a", "output": "b"}"#,
        r#"{"instruction": "a", "output": "\x"}"#,
        r#"{"messages": [{"role": "user", "content": "a}, {"role": "assistant", "content": "b"}]}"#,
        r#"garbage"#,
    ] {
        let compact = format!("[{GOOD}, {GOOD}, {broken}, {GOOD}, {GOOD}]");
        let lined = format!("[\n{GOOD},\n{GOOD},\n{broken},\n{GOOD},\n{GOOD}\n]\n");
        for text in [compact, lined] {
            let rows = read(&text);
            let (good, bad) = lines(&rows);
            assert_eq!(good.len(), 4, "{text}\n{rows:?}");
            assert_eq!(bad.len(), 1, "{text}\n{rows:?}");
            assert_eq!(bad[0], 3, "{text}");
        }
    }
}

#[test]
fn a_pretty_printed_array_recovers_behind_a_missing_brace() {
    let row = |answer: &str| format!("  {{\n    \"instruction\": \"a\",\n    \"output\": \"{answer}\"\n  }}");
    let broken = "  {\n    \"instruction\": \"a\",\n    \"output\": \"no brace\"\n";
    let rows = read(&format!("[\n{},\n{broken},\n{}\n]\n", row("b"), row("c")));
    assert_eq!(lines(&rows), (vec![1, 3], vec![2]), "{rows:?}");
}

#[test]
fn a_truncated_array_keeps_the_rows_before_and_names_the_fault() {
    let rows = read(&format!("[{GOOD}, {GOOD}, {{\"instruction\": \"a\", \"out"));
    assert_eq!(lines(&rows), (vec![1, 2], vec![3]));
    assert!(rows[2].as_ref().unwrap_err().to_string().contains("the file ends inside"));
    let rows = read(&format!("[{GOOD}, {GOOD}"));
    assert_eq!(lines(&rows), (vec![1, 2], vec![3]));
    assert!(rows[2].as_ref().unwrap_err().to_string().contains("without the closing ]"));
    let rows = read(&format!("[{GOOD}] {GOOD}"));
    assert_eq!(lines(&rows), (vec![1], vec![2]));
    assert!(rows[1].as_ref().unwrap_err().to_string().contains("after the array's closing ]"));
}

#[test]
fn deep_nesting_is_a_fault_and_no_overflow() {
    let text = format!("[{}{}, {GOOD}]", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(lines(&read_from(text.as_bytes(), &Source::new("deep.json"), 0, None).unwrap()), (vec![2], vec![1]));
}

#[test]
fn plain_text_is_read_by_paragraphs() {
    let text = "\r\n第一行\r\n第二行\r\n\r\n\r\n[注] 第二段\n";
    for rows in
        [read_with(text.as_bytes(), "poems.txt", Format::Auto), read_with(text.as_bytes(), "poems", Format::Text)]
    {
        assert_eq!(lines(&rows), (vec![2, 6], vec![]));
        assert_eq!(rows[0].as_ref().unwrap().content, Content::Text("第一行\n第二行".into()));
        assert_eq!(rows[1].as_ref().unwrap().content, Content::Text("[注] 第二段".into()));
    }
    let rows = read_with(b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n", "rows.txt", Format::Text);
    assert_eq!(lines(&rows), (vec![1, 2], vec![]), "JSON Lines are recognised under any name");
}

#[test]
fn the_limit_counts_over_all_sources() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, format!("{GOOD}\n{GOOD}\n{GOOD}\n")).unwrap();
    let sources = [Source::new(&path), Source::new(&path)];
    assert_eq!(read_all(&sources, Some(4)).unwrap().len(), 4);
    assert_eq!(read_all(&sources, None).unwrap().len(), 6);
    let error = read_all(&[Source::new("no/such.jsonl")], None).unwrap_err().to_string();
    assert!(error.contains("no/such.jsonl"), "{error}");
    assert!(read_all(&[Source::new(folder.path())], None).is_err(), "a folder is no file of rows");
}
