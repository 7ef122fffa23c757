//! A real record of Common Crawl, read by its place in its archive.

use std::path::Path;
use std::time::Duration;

use luthier_corpus::Source;
use luthier_corpus::collect::{CommonCrawl, Fate, Manners};
use luthier_corpus::source::{Archives, Bounds, RecordKind};
use luthier_fixtures::{CommonCrawlSite, PageServer, shared};
use serde_json::json;

/// Where the response lies in the archive.
const OFFSET: usize = 1023;

#[test]
fn a_real_record_is_read_by_its_place_as_it_lies_there() {
    let Some(folder) = shared("data/commoncrawl-whirlwind") else { return };
    let file = folder.join("whirlwind.warc.gz");
    let bytes = std::fs::read(&file).expect("it is there");
    let records: Vec<_> = Archives::open(&file, Bounds::default()).expect("it opens").flatten().collect();
    let at = records.iter().position(|record| record.kind == RecordKind::Response).expect("a response");
    let (response, next) = (&records[at], records[at + 1].offset);
    let length = usize::try_from(next).expect("small") - OFFSET;
    let url = response.url().expect("an address").to_owned();
    let timestamp: String =
        response.headers.get("WARC-Date").expect("a date").chars().filter(char::is_ascii_digit).collect();

    let name = "crawl-data/CC-MAIN-2024-22/segments/1/warc/whirlwind.warc.gz";
    let line = json!({
        "url": url, "timestamp": timestamp, "mime": "text/html", "mime-detected": "text/html", "status": "200", "languages": "spa",
        "filename": name, "offset": OFFSET.to_string(), "length": length.to_string(),
    });
    let member = bytes[OFFSET..OFFSET + length].to_vec();
    let mut site = CommonCrawlSite::new(10);
    site.put_archive("CC-MAIN-2024-22", name, bytes, line);
    let server = PageServer::start(move |asked| site.answer(asked));
    let settings = CommonCrawl {
        urls: vec!["*.wikipedia.org".to_owned()],
        index: server.url("/index"),
        data: server.url("/data"),
        manners: Manners { delay: Duration::ZERO, ..Manners::default() },
        ..CommonCrawl::default()
    };
    let out = tempfile::tempdir().expect("a temporary folder");
    let ledger = settings.collect(out.path(), &mut |_| ()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((ledger.captures, ledger.count(Fate::Fetched)), (1, 1), "{ledger:?}");
    let range = server.asked().into_iter().find_map(|asked| asked.range);
    assert_eq!(range, Some(format!("bytes={OFFSET}-{}", OFFSET + length - 1)));
    let archive = std::fs::read(out.path().join("pages.warc.gz")).expect("read");
    assert!(archive.ends_with(&member), "byte for byte");
    // The page is the one that the whole archive gives.
    let page = |path: &Path| {
        let mut pages = Source::new(path).documents().expect("it opens");
        let page = pages.next().expect("a page").expect("good");
        assert!(pages.next().is_none());
        (page.id, page.fields, page.provenance.url)
    };
    assert_eq!(page(&out.path().join("pages.warc.gz")), page(&file));
}
