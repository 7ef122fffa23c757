//! Archives of the web: as many records as warcio 1.7.5 reads where it reads them, and no panic where it gives up.

use std::path::Path;

use luthier_corpus::source::{Archives, Bounds, HttpResponse, RecordKind};
use luthier_corpus::{Document, Source, SourceFault};
use luthier_fixtures::shared;

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
        ("warcio-test/example-space-in-url.arc", "warcinfo response"),
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
    for (file, at_least, words) in [
        ("example-trunc.warc", "warcinfo warcinfo request", "Content-Length"),
        ("bad.arc", "warcinfo", "no number of bytes"),
        ("example-bad-non-chunked.warc.gz", "warcinfo", ""),
        ("example-bad.warc.gz.bad", "warcinfo", ""),
        ("example-wrong-chunks.warc.gz", "response", ""),
    ] {
        let (kinds, faults) = read(&data.join(file));
        println!("{file}: {kinds:?} {faults:#?}");
        for kind in at_least.split(' ') {
            assert!(kinds.contains(&kind), "{file}: {kinds:?}");
        }
        assert!(words.is_empty() || faults.iter().any(|fault| fault.contains(words)), "{file}: {faults:?}");
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
    const URL: &str = "https://an.wikipedia.org/wiki/Escopete";
    for end in ["", ".gz"] {
        let file = |name: &str| folder.join(format!("whirlwind.warc{name}{end}"));
        let (page, text, metadata) = (documents(&file("")), documents(&file(".wet")), documents(&file(".wat")));
        for documents in [&page, &text, &metadata] {
            assert_eq!(documents.len(), 1, "{end:?}");
            assert_eq!(documents[0].provenance.url.as_deref(), Some(URL));
        }
        let (page, text, metadata) = (&page[0], &text[0], &metadata[0]);
        assert_eq!(page.text("date"), text.text("date"));
        assert_eq!(metadata.text("status"), "200");
        let title = metadata.text("title");
        assert!(!title.is_empty() && page.text("html").contains(&format!("<title>{title}</title>")), "{title}");
        assert!(text.text("text").starts_with(title), "{title}");
        for link in metadata.text("links").lines().filter(|link| link.starts_with("/wiki/")).take(20) {
            assert!(page.text("html").contains(&format!("\"{}\"", link.replace('&', "&amp;"))), "{link}");
        }
        // Each line of the WET stands on the page, markup aside.
        let bare: String = page.text("html").split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
        let bare = bare.replace("&#39;", "'").replace("&#160;", "\u{A0}").replace("&amp;", "&");
        let lines: Vec<&str> = text.text("text").lines().map(str::trim).filter(|line| line.len() > 60).collect();
        let found = lines.iter().filter(|line| bare.contains(**line)).count();
        println!("{found} of {} long lines of the WET stand on the page", lines.len());
        assert!(lines.len() > 5 && 10 * found >= 8 * lines.len(), "{found} of {}", lines.len());
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
        let records: Vec<_> = Archives::open(&folder.join(file), Bounds::default()).expect("it opens").flatten().collect();
        let record = records.iter().find(|record| record.kind == kind).expect("one of its kind");
        assert_eq!(record.offset, offset, "{file}");
        if kind == RecordKind::Response {
            let response = HttpResponse::parse(&record.block, 1 << 24).expect("an answer of HTTP");
            assert_eq!((response.status, response.content_type().0.as_str()), (200, "text/html"));
        }
    }
}
