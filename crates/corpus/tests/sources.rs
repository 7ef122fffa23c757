//! Sources of every format, good and bad: what can be read is read, the rest is a fault with its place, and the totals balance.

use std::io::Write;
use std::path::{Path, PathBuf};

use luthier_corpus::source::{Bounds, TextBy, Within, XmlPaths};
use luthier_corpus::{Document, FileFormat, Mapping, Source, Tally};
use serde_json::json;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder is made");
        std::fs::write(&path, bytes).expect("a file is written");
        path
    }
}

/// The documents, the faults in words without the folder, and the numbers.
fn read(source: &Source) -> (Vec<Document>, Vec<String>, Tally) {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    let mut documents = source.documents().unwrap_or_else(|error| panic!("{error}"));
    for document in documents.by_ref() {
        match document {
            Ok(document) => good.push(document),
            Err(fault) => {
                let words = fault.to_string();
                let folder = fault.file.parent().map_or(String::new(), |folder| format!("{}/", folder.display()));
                faults.push(words.replace(&folder, ""));
            }
        }
    }
    let tally = documents.tally().clone();
    let passed_over: u64 = tally.passed_over.values().sum();
    assert_eq!(tally.records, good.len() as u64 + faults.len() as u64 + passed_over);
    assert_eq!((tally.documents(), tally.faults()), (good.len() as u64, faults.len() as u64));
    (good, faults, tally)
}

fn texts(documents: &[Document], field: &str) -> Vec<String> {
    documents.iter().map(|document| document.text(field).to_owned()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_files_are_read_in_one_part_or_several() {
    let folder = Folder::new();
    let rows: String = (0..3000).map(|i| format!("{{\"text\": \"第{i}列\"}}\n")).collect();
    let (first, second) = rows.as_bytes().split_at(rows.len() / 2);
    for (name, compress) in
        [("a.jsonl.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.jsonl.bz2", bzip2), ("a.jsonl.zst", zstd)]
    {
        for parts in [vec![rows.as_bytes()], vec![first, second]] {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| compress(part)).collect();
            let (documents, faults, _) = read(&Source::new(folder.write(name, bytes)));
            assert_eq!((documents.len(), faults.len()), (3000, 0), "{name}: {faults:?}");
            assert_eq!(documents[2999].text("text"), "第2999列");
        }
    }
}

#[test]
fn a_compressed_file_that_breaks_off_gives_what_came_before() {
    let folder = Folder::new();
    let rows: String = (0..30_000).map(|i| format!("{{\"text\": \"row {} of many\"}}\n", i * 7919 % 30_011)).collect();
    for (name, bytes) in [
        ("a.jsonl.gz", gzip(rows.as_bytes())),
        ("a.jsonl.bz2", bzip2(rows.as_bytes())),
        ("a.jsonl.zst", zstd(rows.as_bytes())),
    ] {
        let path = folder.write(name, &bytes[..bytes.len() * 3 / 4]);
        let (documents, faults, tally) = read(&Source::new(path));
        assert!(!documents.is_empty() && documents.len() < 30_000, "{name}: {}", documents.len());
        assert!(tally.faults["breaks off"] == 1 && !faults.is_empty(), "{name}: {faults:?}");
    }
}

#[test]
fn a_small_file_that_inflates_without_end_is_stopped() {
    let folder = Folder::new();
    let bounds = Bounds { free: 1 << 20, inflation: 50, ..Bounds::default() };
    let path = folder.write("bomb.jsonl.gz", gzip("{\"text\": \"a\"}\n".repeat(300_000).as_bytes()));
    let (documents, faults, tally) = read(&Source { bounds, ..Source::new(path) });
    assert!(documents.len() < 150_000, "{}", documents.len());
    assert_eq!((faults.len(), tally.faults["inflates without end"]), (1, 1), "{faults:?}");
    // Beside other files it costs itself.
    folder.write("all/a.txt.gz", gzip(&vec![b' '; 40 << 20]));
    folder.write("all/b.txt", "文");
    let (documents, faults, _) = read(&Source { bounds, ..Source::new(folder.0.path().join("all")) });
    assert_eq!((texts(&documents, "text"), faults.len()), (vec!["文".to_owned()], 1), "{faults:?}");
}

#[test]
fn what_is_no_text_is_named_with_what_can_be_done() {
    let folder = Folder::new();
    for (bytes, part) in [
        (&b"%PDF-1.7\n%\xE2\xE3"[..], "paper.txt: this is a PDF, which is not read; save its text first"),
        (b"PK\x03\x04\x14\0", "paper.txt: this is a ZIP archive or an office document, which is not read; unpack it"),
    ] {
        let error = Source::new(folder.write("paper.txt", bytes)).documents().err().expect("it cannot be read");
        assert!(error.to_string().contains(part), "{error}");
    }
    // Among other files it is a fault.
    folder.write("all/a.pdf", "%PDF-1.7\n");
    folder.write("all/b.txt", "文");
    let (documents, faults, _) = read(&Source::new(folder.0.path().join("all")));
    assert_eq!((texts(&documents, "text"), faults.len()), (vec!["文".to_owned()], 1), "{faults:?}");
    assert!(faults[0].contains("this is a PDF"), "{faults:?}");
}

#[test]
fn rows_longer_than_the_bound_are_faults_and_the_next_ones_are_read() {
    let folder = Folder::new();
    let bounds = Bounds { record: 1000, ..Bounds::default() };
    let long = "長".repeat(2000);
    let path = folder.write("a.txt", format!("短\n\n{long}\n\n又短\n"));
    let (documents, faults, _) = read(&Source { bounds, ..Source::new(path) });
    assert_eq!(texts(&documents, "text"), ["短", "又短"]);
    assert!(faults.len() == 1 && faults[0].starts_with("a.txt:3: "), "{faults:?}");
    let path = folder.write("a.csv", format!("text\n短\n{long}\n又短\n"));
    let (documents, faults, _) = read(&Source { bounds, ..Source::new(path) });
    assert_eq!((texts(&documents, "text"), faults.len()), (vec!["短".to_owned(), "又短".to_owned()], 1), "{faults:?}");
}

#[test]
fn encodings_are_seen_from_the_bytes() {
    let folder = Folder::new();
    let text = "題目,內容\n春曉,春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。\n登鸛雀樓,白日依山盡，黃河入海流。欲窮千里目，更上一層樓。\n";
    let simplified = "题目,内容\n春晓,春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。\n登鹳雀楼,白日依山尽，黄河入海流。欲穷千里目，更上一层楼。\n";
    let utf16: Vec<u8> = std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (name, bytes, field, expected) in [
        ("utf8.csv", [b"\xEF\xBB\xBF", text.as_bytes()].concat(), "題目", "春曉"),
        ("big5.csv", encoding_rs::BIG5.encode(text).0.into_owned(), "題目", "春曉"),
        ("gb.csv", encoding_rs::GB18030.encode(simplified).0.into_owned(), "题目", "春晓"),
        ("utf16.csv", utf16, "題目", "春曉"),
    ] {
        let (documents, faults, _) = read(&Source::new(folder.write(name, bytes)));
        assert_eq!((documents.len(), faults.len()), (2, 0), "{name}: {faults:?}");
        assert_eq!(documents[0].text(field), expected, "{name}");
    }
    let path = folder.write("stated.txt", encoding_rs::BIG5.encode("一").0);
    let source = Source { encoding: Some("big5".into()), ..Source::new(path) };
    assert_eq!(texts(&read(&source).0, "text"), ["一"]);
    let wrong = Source { encoding: Some("big6".into()), ..source };
    assert!(wrong.documents().is_err_and(|error| error.to_string().contains("big6")));
}

#[test]
fn tables_may_have_line_breaks_in_quotes_and_a_quote_that_never_closes_costs_its_own_row() {
    let folder = Folder::new();
    let table = "a,b\n1,\"two\nlines, and \"\"quotes\"\"\"\n2,\"open\n3,x\n4\n5,y,z\n6,last";
    let (documents, faults, _) = read(&Source::new(folder.write("a.csv", table)));
    assert_eq!(documents[0].text("b"), "two\nlines, and \"quotes\"");
    assert_eq!(texts(&documents, "a").first().map(String::as_str), Some("1"));
    assert_eq!(texts(&documents, "a").last().map(String::as_str), Some("6"));
    assert!(
        faults.iter().any(|fault| fault.starts_with("a.csv:6:"))
            && faults.iter().any(|fault| fault.starts_with("a.csv:7:")),
        "{faults:?}"
    );
    assert!(texts(&documents, "a").contains(&"3".to_owned()), "{documents:?} {faults:?}");
    let (documents, faults, _) = read(&Source::new(folder.write("a.tsv", "a\tb\n\"1\tx\n")));
    assert_eq!((documents[0].text("a"), faults.len()), ("\"1", 0));
}

#[test]
fn rows_of_another_shape_among_good_ones_are_faults() {
    let folder = Folder::new();
    let rows = [
        json!({"instruction": "問", "output": "答"}).to_string(),
        json!({"title": "無關", "price": 3}).to_string(),
        "[1, 2]".to_owned(),
        json!({"instruction": "問", "output": ""}).to_string(),
        "{\"instruction\": \"問\", \"output\"".to_owned(),
        json!({"instruction": "又問", "input": "", "output": "又答"}).to_string(),
    ];
    let (documents, faults, tally) = read(&Source::new(folder.write("a.jsonl", rows.join("\n"))));
    assert_eq!(texts(&documents, "output"), ["答", "又答"]);
    assert_eq!(documents[1].fields.get("input"), None);
    let lines: Vec<&str> = faults.iter().filter_map(|fault| fault.split(": ").next()).collect();
    assert_eq!(lines, ["a.jsonl:2", "a.jsonl:3", "a.jsonl:4", "a.jsonl:5"]);
    assert_eq!((tally.records, tally.documents["alpaca"], tally.faults["other shape"]), (6, 2, 1));
    let array = format!("[{}]", [&rows[0], &rows[1], &rows[5]].map(String::as_str).join(",\n"));
    let (documents, faults, _) = read(&Source::new(folder.write("a.json", array)));
    assert_eq!((documents.len(), faults.len()), (2, 1));
    assert!(faults[0].starts_with("a.json, row 2: "), "{faults:?}");
}

#[test]
fn shapes_are_known_by_their_fields_and_become_instruction_and_output() {
    let folder = Folder::new();
    let turns = json!([{"role": "user", "content": "問"}, {"role": "assistant", "content": "答"}]);
    for (shape, row) in [
        ("alpaca", json!({"instruction": "問", "input": "", "output": "答"})),
        ("prompt-completion", json!({"prompt": "問", "completion": "答"})),
        ("input-target", json!({"input": "問", "target": "答"})),
        (
            "belle-multi-turn",
            json!({"instruction": "Human:問\nAssistant:不知\nHuman:再問\nAssistant:", "input": "", "output": "答"}),
        ),
        ("belle-evaluation", json!({"question": "問", "std_answer": "答", "class": "qa"})),
        (
            "sharegpt",
            json!({"id": "x", "conversations": [{"from": "human", "value": "問"}, {"from": "gpt", "value": "答"}]}),
        ),
        ("messages", json!({"messages": turns})),
        ("dolly", json!({"instruction": "問", "context": "", "response": "答", "category": "open_qa"})),
        ("firefly", json!({"kind": "NLI", "input": "問", "target": "答"})),
        ("hc3", json!({"question": "問", "human_answers": ["答"], "chatgpt_answers": ["機器的答"]})),
        ("seed-tasks", json!({"id": "s", "instruction": "問", "instances": [{"input": "", "output": "答"}]})),
        ("baike2018qa", json!({"qid": "1", "category": "c", "title": "問", "desc": "", "answer": "答"})),
        (
            "webtext2019zh",
            json!({"qid": 1, "title": "問", "desc": "問", "topic": "t", "star": 1, "content": "答", "answer_id": 2}),
        ),
        (
            "squad",
            json!({"title": "t", "paragraphs": [{"context": "文", "qas": [{"id": "q", "question": "問", "answers": [{"text": "答", "answer_start": 0}]}]}]}),
        ),
    ] {
        let path = folder.write(&format!("{shape}.jsonl"), row.to_string());
        let (documents, faults, tally) = read(&Source::new(path));
        assert_eq!((tally.documents.keys().copied().collect::<Vec<_>>(), faults.len()), (vec![shape], 0), "{faults:?}");
        assert_eq!(
            (documents[0].text("instruction"), documents[0].text("output")),
            ("問", "答"),
            "{shape}: {documents:?}"
        );
    }
    for (shape, row, field, expected) in [
        (
            "wiki2019zh",
            json!({"id": "1", "url": "https://zh.wikipedia.org/1", "title": "題", "text": "文"}),
            "text",
            "文",
        ),
        (
            "news2016zh",
            json!({"news_id": "1", "title": "題", "content": "文", "desc": "d", "source": "s", "time": "t", "keywords": "k"}),
            "text",
            "文",
        ),
        ("translation2019zh", json!({"english": "spring", "chinese": "春"}), "chinese", "春"),
        ("text", json!({"text": "文"}), "text", "文"),
    ] {
        let path = folder.write(&format!("{shape}.jsonl"), row.to_string());
        let (documents, _, tally) = read(&Source::new(path));
        assert_eq!(tally.documents.keys().copied().collect::<Vec<_>>(), [shape]);
        assert_eq!(documents[0].text(field), expected);
    }
}

#[test]
fn a_mapped_column_that_is_missing_is_named_with_the_nearest_one() {
    let folder = Folder::new();
    let path = folder.write(
        "a.jsonl",
        "{\"title\": \"題\", \"body\": {\"text\": [\"甲\", \"乙\"]}}\n{\"titel\": \"題\", \"body\": {}}\n",
    );
    let columns = Mapping::new([("title", "title"), ("text", "body.text.*"), ("note", "note?")]).expect("a mapping");
    let (documents, faults, _) = read(&Source::new(&path).with_columns(columns));
    assert_eq!(texts(&documents, "text"), ["甲\n乙"]);
    assert!(faults.len() == 1 && faults[0].contains("title") && faults[0].contains("titel"), "{faults:?}");
    assert!(Mapping::new([("a", "x"), ("a", "y")]).is_err() && Mapping::new([("a", "x..y")]).is_err());
}

#[test]
fn rows_inside_a_document_are_found_by_themselves_or_by_name() {
    let folder = Folder::new();
    let document = json!({"version": 1, "data": [{"text": "甲"}, {"text": "乙"}], "more": [{"text": "丙"}]});
    let path = folder.write("a.json", serde_json::to_string_pretty(&document).expect("JSON"));
    assert_eq!(texts(&read(&Source::new(&path)).0, "text"), ["甲", "乙"]);
    let more = Source { within: Within::Member("more".into()), ..Source::new(&path) };
    assert_eq!(texts(&read(&more).0, "text"), ["丙"]);
    let path = folder.write("b.json", "{\n \"one\": {\"text\": \"甲\"},\n \"two\": {\"text\": \"乙\"}\n}");
    let members = Source { within: Within::Members, ..Source::new(&path) };
    assert_eq!(texts(&read(&members).0, "name"), ["one", "two"]);
}

const GAZETTE: &str = "<?xml version=\"1.0\"?>\n<tw-patent-grants>\n<tw-patent-grant><doc id=\"I700001\"/><title><chinese-title>可調式茶壺</chinese-title></title>\
    <claims><claim>一種茶壺，包含&lt;壺身&gt;。</claim><claim>如請求項1之茶壺。</claim></claims></tw-patent-grant>\n\
    <tw-patent-grant><doc id=\"I700002\"/><title><chinese-title>壞掉的</title></tw-patent-grant>\n\
    <tw-patent-grant><doc id=\"I700003\"/><title><chinese-title>折疊椅</chinese-title></title><claims><claim>一種椅。</claim></claims></tw-patent-grant>\n\
    </tw-patent-grants>\n";

#[test]
fn patent_gazettes_are_read_by_field_paths_and_a_broken_record_costs_itself() {
    let folder = Folder::new();
    let paths = [("title", "title/chinese-title"), ("claims", "claims/claim"), ("number", "doc@id")];
    let xml = Some(XmlPaths::new("tw-patent-grant", paths).expect("paths"));
    let source = Source { xml, ..Source::new(folder.write("grants.xml", GAZETTE)) };
    let (documents, faults, _) = read(&source);
    assert_eq!(texts(&documents, "title"), ["可調式茶壺", "折疊椅"]);
    assert_eq!(documents[0].text("claims"), "一種茶壺，包含<壺身>。\n如請求項1之茶壺。");
    assert_eq!(documents[0].text("number"), "I700001");
    assert_eq!(faults.len(), 1, "{faults:?}");
    let without = Source::new(folder.write("other.xml", GAZETTE));
    assert!(without.documents().is_err_and(|error| error.to_string().contains("paths of their fields")));
}

#[test]
fn plain_texts_are_divided_as_asked_and_broken_bytes_cost_their_piece() {
    let folder = Folder::new();
    let path = folder.write("a.txt", "一\n二\n\n三\n");
    let by = |text_by| texts(&read(&Source { text_by, ..Source::new(&path) }).0, "text");
    assert_eq!(by(TextBy::Line), ["一", "二", "三"]);
    assert_eq!(by(TextBy::Paragraph), ["一\n二", "三"]);
    assert_eq!(by(TextBy::File), ["一\n二\n\n三"]);
    let mut bytes = "好的一行，後面還有很多行都是好的文字。\n".repeat(40).into_bytes();
    bytes.extend_from_slice(b"\xFF\xFE broken\n");
    bytes.extend_from_slice("最後一行。\n".as_bytes());
    let source = Source { text_by: TextBy::Line, ..Source::new(folder.write("b.txt", bytes)) };
    let (documents, faults, _) = read(&source);
    assert_eq!((documents.len(), faults.len()), (41, 1), "{faults:?}");
    assert!(faults[0].starts_with("b.txt:41: "), "{faults:?}");
}

#[test]
fn a_folder_is_read_in_the_order_of_its_names_and_a_bad_file_does_not_stop_the_next() {
    let folder = Folder::new();
    folder.write("data/b.jsonl", "{\"text\": \"二\"}\n");
    folder.write("data/a.csv", "text\n一\n");
    folder.write("data/0.unknown", [0u8, 159, 146, 150]);
    folder.write("data/c.unknown", [0u8, 159, 146, 150]);
    folder.write("data/d/e.html", "<html><body><p>三</p></body></html>");
    folder.write("data/.hidden", "{");
    let source = Source::new(folder.0.path().join("data"));
    let (documents, faults, tally) = read(&source);
    assert_eq!(texts(&documents[..2], "text"), ["一", "二"]);
    assert_eq!((documents[2].text("html").contains('三'), tally.documents["page"]), (true, 1));
    assert!(faults.len() == 2 && faults[0].contains("0.unknown") && faults[1].contains("c.unknown"), "{faults:?}");
    let missing = Source::new(folder.0.path().join("nothing"));
    assert!(missing.documents().is_err_and(|error| error.to_string().contains("nothing")));
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::sync::Arc;

    use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::*;

    fn written(path: &Path, count: i64) {
        let schema = "message rows { required int64 id; optional binary text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let file = std::fs::File::create(path).expect("a file");
        let mut writer =
            SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).expect("a writer");
        for group in 0..2 {
            let mut rows = writer.next_row_group().expect("a group");
            let ids: Vec<i64> = (group * count..(group + 1) * count).collect();
            let texts: Vec<ByteArray> = ids.iter().map(|id| ByteArray::from(format!("第{id}列").as_str())).collect();
            let mut column = rows.next_column().expect("a column").expect("the first");
            column.typed::<Int64Type>().write_batch(&ids, None, None).expect("written");
            column.close().expect("closed");
            let mut column = rows.next_column().expect("a column").expect("the second");
            // The first text of each group is null.
            let present: Vec<i16> = ids.iter().enumerate().map(|(i, _)| i16::from(i > 0)).collect();
            column.typed::<ByteArrayType>().write_batch(&texts[1..], Some(&present), None).expect("written");
            column.close().expect("closed");
            rows.close().expect("closed");
        }
        writer.close().expect("closed");
    }

    #[test]
    fn parquet_is_read_row_by_row_and_a_cut_file_is_an_error() {
        let folder = Folder::new();
        let path = folder.write("a.parquet", "");
        written(&path, 1500);
        let (documents, faults, _) = read(&Source::new(&path));
        // Rows without their text are faults.
        assert_eq!((documents.len(), faults.len()), (2998, 2), "{faults:?}");
        assert_eq!((documents[0].text("text"), documents[2997].text("text")), ("第1列", "第2999列"));
        assert_eq!(documents[0].id, "1");
        let bytes = std::fs::read(&path).expect("read");
        let cut = folder.write("cut.parquet", &bytes[..bytes.len() / 2]);
        assert!(Source::new(cut).documents().is_err_and(|error| error.to_string().contains("cut.parquet")));
        for at in (0..bytes.len()).step_by(bytes.len() / 40) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x55;
            let path = folder.write("changed.parquet", changed);
            // Whatever comes, nothing panics and the reading ends.
            if let Ok(documents) = Source::new(path).documents() {
                assert!(documents.count() <= 3001);
            }
        }
    }
}

#[test]
fn formats_are_named() {
    for name in FileFormat::NAMES {
        assert_eq!(name.parse::<FileFormat>().expect("it is named").name(), name);
    }
    assert!("docx".parse::<FileFormat>().is_err());
}
