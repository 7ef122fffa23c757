//! Archives of the web: as many records as warcio 1.7.5 reads where it reads them, and no panic where it gives up.

use std::path::Path;

use luthier_corpus::clean::{MainText, Step, Verdict};
use luthier_corpus::source::{ArchiveRecord, Archives, Bounds, HttpResponse, RecordKind};
use luthier_corpus::{Document, Source, SourceFault};
use luthier_fixtures::shared;
use serde_json::Value;

/// The kinds of the records that can be read, and the faults.
fn read(file: &Path) -> (Vec<&'static str>, Vec<String>) {
    let (mut kinds, mut faults) = (Vec::new(), Vec::new());
    for record in Archives::open(file, Bounds::default()).unwrap_or_else(|error| panic!("{error}")) {
        match record {
            Ok(record) => kinds.push(record.kind.name()),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    (kinds, faults)
}

#[test]
fn records_are_those_that_warcio_reads() {
    let Some(data) = shared("data") else { return };
    for (file, expected) in [
        ("warcio-test/example-iana.org-chunked.warc", "warcinfo response request"),
        ("warcio-test/example-digest.warc", "request request request request"),
        ("warcio-test/example-resource.warc.gz", "warcinfo warcinfo resource"),
        ("warcio-test/example-space-in-target-uri.warc.gz", "warcinfo resource"),
        ("warcio-test/example-wget-bad-target-uri.warc.gz", "warcinfo request response metadata resource resource"),
        ("warcio-test/example.arc", "warcinfo response"),
        ("warcio-test/example.arc.gz", "warcinfo response"),
        ("warcio-test/example.warc", "warcinfo warcinfo response request revisit request"),
        ("warcio-test/example.warc.gz", "warcinfo warcinfo response request revisit request"),
        ("warcio-test/post-test.warc.gz", "response request response request response request"),
        ("commoncrawl-whirlwind/whirlwind.warc", "warcinfo request response metadata"),
        ("commoncrawl-whirlwind/whirlwind.warc.gz", "warcinfo request response metadata"),
        ("commoncrawl-whirlwind/whirlwind.warc.wet", "warcinfo conversion"),
        ("commoncrawl-whirlwind/whirlwind.warc.wet.gz", "warcinfo conversion"),
        ("commoncrawl-whirlwind/whirlwind.warc.wat", "warcinfo metadata"),
        ("commoncrawl-whirlwind/whirlwind.warc.wat.gz", "warcinfo metadata"),
    ] {
        let (kinds, faults) = read(&data.join(file));
        assert_eq!((kinds.join(" ").as_str(), faults), (expected, Vec::new()), "{file}");
    }
}

/// Files that warcio reads in part, with warnings, or not at all.
#[test]
fn broken_archives_give_what_is_whole_in_them_and_say_what_is_not() {
    let Some(data) = shared("data/warcio-test") else { return };
    // warcio reads 2, 4 and 4 records of the first three, whatever their lengths say, and gives the other three up after one.
    for (file, whole, wrong, words) in [
        ("example-space-in-url.arc", "warcinfo", 1, "only 1579 bytes follow"),
        ("example-trunc.warc", "warcinfo warcinfo request", 1, "goes on for 6 bytes behind its Content-Length 973"),
        ("bad.arc", "response", 3, "no number of bytes"),
        // One gzip member for all records: nothing is wrong with that here.
        ("example-bad-non-chunked.warc.gz", "warcinfo warcinfo response request revisit request", 0, ""),
        ("example-bad.warc.gz.bad", "warcinfo response request revisit request response", 0, ""),
        // Its first record is cut over two members.
        ("example-wrong-chunks.warc.gz", "request", 2, "byte"),
    ] {
        let (kinds, faults) = read(&data.join(file));
        println!("{file}: {kinds:?} {faults:#?}");
        assert_eq!((kinds.join(" ").as_str(), faults.len()), (whole, wrong), "{file}: {faults:?}");
        assert!(faults.iter().all(|fault| fault.contains(words)), "{file}: {faults:?}");
    }
}

#[test]
fn bytes_cut_anywhere_or_changed_give_faults_and_no_panic() {
    let Some(data) = shared("data") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cut.warc.gz");
    for file in ["warcio-test/example.warc.gz", "warcio-test/example.warc", "warcio-test/example.arc"] {
        let whole = std::fs::read(data.join(file)).expect("it is there");
        let all = read(&data.join(file)).0.len();
        for cut in (0..whole.len()).step_by(37) {
            std::fs::write(&path, &whole[..cut]).expect("written");
            assert!(read(&path).0.len() <= all);
            let mut changed = whole.clone();
            changed[cut] ^= 0x41;
            std::fs::write(&path, &changed).expect("written");
            let (kinds, faults) = read(&path);
            assert!(kinds.len() + faults.len() <= 3 * all, "{file} at {cut}: {kinds:?} {faults:?}");
        }
    }
}

fn documents(file: &Path) -> Vec<Document> {
    let read: Result<Vec<Document>, SourceFault> = Source::new(file).documents().expect("it opens").collect();
    read.unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn page_text_and_metadata_of_one_capture_agree() {
    let Some(folder) = shared("data/commoncrawl-whirlwind") else { return };
    for end in ["", ".gz"] {
        let file = |name: &str| folder.join(format!("whirlwind.warc{name}{end}"));
        let records: Vec<ArchiveRecord> = Archives::open(&file(""), Bounds::default())
            .expect("it opens")
            .map(|record| record.expect("whole"))
            .collect();
        let of_kind = |kind: RecordKind| records.iter().find(|record| record.kind == kind).expect("one of its kind");

        // The text of the page.
        let (page, text) = (documents(&file("")), documents(&file(".wet")));
        let ([page], [text]) = (page.as_slice(), text.as_slice()) else { panic!("one document each") };
        let url = of_kind(RecordKind::Response).url();
        assert!(url.is_some() && page.provenance.url.as_deref() == url && text.provenance.url.as_deref() == url);
        assert_eq!(page.text("date"), text.text("date"));
        let title = text.text("text").lines().next().expect("a line");
        assert!(page.text("html").contains(&format!("<title>{title}</title>")), "{title}");
        // The words of the text stand on the page, and the main text that cleaning finds there is part of the text.
        let words: Vec<&str> =
            text.text("text").split_whitespace().filter(|word| word.chars().all(char::is_alphabetic)).collect();
        let found = words.iter().filter(|word| page.text("html").contains(**word)).count();
        println!("{found} of {} words of the WET stand on the page", words.len());
        assert!(words.len() > 200 && found == words.len(), "{found} of {}", words.len());
        let mut main = page.clone();
        assert_eq!(MainText::default().apply(&mut main), Verdict::Changed("main text"));
        let words: Vec<&str> =
            main.text("text").split_whitespace().filter(|word| word.chars().all(char::is_alphabetic)).collect();
        let found = words.iter().filter(|word| text.text("text").contains(**word)).count();
        println!("{found} of {} words of the main text stand in the WET", words.len());
        assert!(words.len() > 50 && found == words.len(), "{found} of {}", words.len());

        // This WAT holds what is said of the request.
        let mut of_wat = Source::new(file(".wat")).documents().expect("it opens");
        assert_eq!(of_wat.by_ref().count(), 0);
        assert_eq!(of_wat.tally().passed_over["metadata of no page"], 1);
        let metadata = Archives::open(&file(".wat"), Bounds::default()).expect("it opens").flatten();
        let metadata = metadata.last().expect("a record");
        let said: Value = serde_json::from_slice(&metadata.block).expect("JSON");
        let said = &said["Envelope"]["WARC-Header-Metadata"];
        let request = of_kind(RecordKind::Request);
        for name in ["WARC-Record-ID", "WARC-Target-URI", "WARC-Date", "Content-Length", "WARC-Type"] {
            assert_eq!(said[name].as_str(), request.headers.get(name), "{name}");
        }
        assert_eq!(said["Content-Length"], request.block.len().to_string());
    }
}

#[test]
fn records_lie_where_their_source_says() {
    let Some(folder) = shared("data/commoncrawl-whirlwind") else { return };
    for (file, kind, offset) in [
        ("whirlwind.warc.gz", RecordKind::Response, 1023),
        ("whirlwind.warc.wet.gz", RecordKind::Conversion, 466),
        ("whirlwind.warc.wat.gz", RecordKind::Metadata, 443),
    ] {
        let records: Vec<_> =
            Archives::open(&folder.join(file), Bounds::default()).expect("it opens").flatten().collect();
        let record = records.iter().find(|record| record.kind == kind).expect("one of its kind");
        assert_eq!(record.offset, offset, "{file}");
        if kind == RecordKind::Response {
            let response = HttpResponse::parse(&record.block, 1 << 24).expect("an answer of HTTP");
            assert_eq!((response.status, response.content_type().0.as_str()), (200, "text/html"));
        }
    }
}
