//! Records out of a small Common Crawl on loopback: what is asked, what lies in the archive afterwards, and a stop at any moment.

mod faults;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use luthier_corpus::collect::{Captures, CommonCrawl, CommonCrawlLedger, Fate, Manners, Stage};
use luthier_corpus::source::{Archives, Bounds, RecordKind};
use luthier_corpus::{CorpusError, Source};
use luthier_fixtures::{Asked, Captured, CommonCrawlSite, PageServer};
use serde_json::Value;

const CRAWL: &str = "CC-MAIN-2024-22";

fn body(text: &str) -> String {
    format!("<html><head><title>{text}</title></head><body><p>{text}。</p></body></html>")
}

fn page(url: &str, timestamp: &str) -> Captured {
    Captured::page(url, timestamp, &body(&format!("第{timestamp}篇")))
}

/// Nine captures that stand for all that an index holds, and an older crawl with one of its addresses.
fn site() -> CommonCrawlSite {
    let url = |path: &str| format!("https://poems.tw/{path}");
    let redirect = Captured { status: 301, ..page(&url("moved"), "20240518000001") };
    let picture = Captured { mime: "image/png".to_owned(), ..page(&url("picture"), "20240518000002") };
    let english = Captured { languages: "eng".to_owned(), ..page(&url("english"), "20240518000003") };
    let cut = Captured { truncated: "length".to_owned(), ..page(&url("cut"), "20240518000004") };
    let mut site = CommonCrawlSite::new(3);
    site.put("CC-MAIN-2020-05", &[page(&url("a"), "20200118000000")]);
    site.put(
        CRAWL,
        &[
            page("https://other.tw/", "20240518000000"),
            page(&url("a"), "20240518000005"),
            page(&url("a"), "20240520000000"),
            page(&url("b"), "20240518000006"),
            redirect,
            picture,
            english,
            cut,
            page("https://www.poems.tw/c?x=1&y=二", "20240518000007"),
        ],
    );
    site
}

fn start(site: CommonCrawlSite) -> PageServer {
    PageServer::start(move |asked| site.answer(asked))
}

fn settings(server: &PageServer) -> CommonCrawl {
    CommonCrawl {
        urls: vec!["*.poems.tw".to_owned()],
        index: server.url("/index"),
        data: server.url("/data/"),
        manners: Manners {
            delay: Duration::from_millis(1),
            timeout: Duration::from_millis(1500),
            retries: 2,
            patience: Duration::from_millis(1200),
            ..Manners::default()
        },
        ..CommonCrawl::default()
    }
}

fn collect(settings: &CommonCrawl, folder: &Path) -> CommonCrawlLedger {
    settings.collect(folder, &mut |_| ()).unwrap_or_else(|error| panic!("{error}"))
}

fn fates(ledger: &CommonCrawlLedger) -> Vec<(Fate, u64)> {
    assert_eq!(ledger.captures, ledger.fates.values().sum::<u64>(), "{ledger:?}");
    ledger.fates.iter().map(|(fate, count)| (*fate, *count)).collect()
}

fn urls(folder: &Path) -> Vec<String> {
    let records = Archives::open(&folder.join("pages.warc.gz"), Bounds::default()).expect("it opens");
    let records = records.map(|record| record.unwrap_or_else(|fault| panic!("{fault}")));
    records
        .filter(|record| record.kind == RecordKind::Response)
        .filter_map(|record| record.url().map(str::to_owned))
        .collect()
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("ledger.jsonl")).expect("a ledger");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn of_data(server: &PageServer) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.path.starts_with("/data/")).collect()
}

#[test]
fn the_newest_capture_of_each_address_is_read_as_it_lies_there_and_nothing_else_is() {
    let site = site();
    let members: Vec<Vec<u8>> = [site.member("https://poems.tw/b"), site.member("https://www.poems.tw/c?x=1&y=二")]
        .map(<[u8]>::to_vec)
        .to_vec();
    let server = start(site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut stages = Vec::new();
    let ledger = settings(&server)
        .collect(folder.path(), &mut |stage| match stage {
            Stage::Index { crawl, pattern, page, pages } => stages.push(format!("{crawl} {pattern} {page}/{pages}")),
            Stage::Record { number, records, .. } => stages.push(format!("{number}/{records}")),
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fates(&ledger), [(Fate::Fetched, 4), (Fate::Filtered, 2), (Fate::Duplicate, 1)]);
    assert_eq!(ledger.why[&Fate::Filtered], BTreeMap::from([("media type", 1), ("truncated", 1)]));
    assert_eq!((ledger.crawls.as_slice(), ledger.index_pages), (&[CRAWL.to_owned()][..], 3));
    let expected =
        ["https://poems.tw/a", "https://poems.tw/b", "https://poems.tw/english", "https://www.poems.tw/c?x=1&y=二"];
    assert_eq!(urls(folder.path()), expected);
    let archive = std::fs::read(folder.path().join("pages.warc.gz")).expect("read");
    for member in members {
        assert!(archive.windows(member.len()).any(|window| window == member), "byte for byte");
    }
    assert!(
        stages.starts_with(&["CC-MAIN-2024-22 *.poems.tw 1/3".to_owned()]) && stages.ends_with(&["4/4".to_owned()]),
        "{stages:?}"
    );
    // One request for the list of crawls, one for the number of pages, one for each page and record.
    assert_eq!((ledger.requests, server.asked().len()), (9, 9));
    assert!(server.asked().iter().any(|asked| asked.path.contains("filter=%3Dstatus%3A200")), "{:?}", server.asked());
    assert!(of_data(&server).iter().all(|asked| asked.range.is_some()));
    let newest = lines(folder.path()).into_iter().find(|line| line["fate"] == "duplicate").expect("a line");
    assert_eq!(
        (newest["url"].as_str(), newest["timestamp"].as_str()),
        (Some("https://poems.tw/a"), Some("20240518000005"))
    );
    assert!(newest["why"].as_str().is_some_and(|why| why.contains("20240520000000")), "{newest}");

    // The archive is a source.
    let mut source = Source::new(folder.path().join("pages.warc.gz")).documents().expect("it opens");
    let titles: Vec<bool> =
        source.by_ref().map(|page| page.expect("good").text("html").contains("<title>第2024")).collect();
    assert_eq!(titles, [true; 4]);

    // A second start asks for nothing.
    server.forget();
    let again = collect(&settings(&server), folder.path());
    assert_eq!(fates(&again), [(Fate::Known, 4), (Fate::Filtered, 2), (Fate::Duplicate, 1)]);
    assert_eq!((again.requests, server.asked().len()), (0, 0));
    assert_eq!(std::fs::read(folder.path().join("pages.warc.gz")).expect("read"), archive);
}

#[test]
fn patterns_crawls_languages_times_and_a_limit_choose() {
    let server = start(site());
    let usual = settings(&server);
    let chosen = |settings: &CommonCrawl| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = collect(settings, folder.path());
        let short: Vec<String> =
            urls(folder.path()).iter().map(|url| url.replace("https://", "").replace("poems.tw/", "")).collect();
        (short.join(" "), ledger)
    };
    let of = |urls: &[&str]| CommonCrawl { urls: urls.iter().map(|url| (*url).to_owned()).collect(), ..usual.clone() };
    assert_eq!(chosen(&of(&["poems.tw/a"])).0, "a");
    assert_eq!(chosen(&of(&["poems.tw/*"])).0, "a b english");
    assert_eq!(chosen(&of(&["https://poems.tw/e*", "poems.tw/b"])).0, "english b");
    let (overlapping, ledger) = chosen(&of(&["poems.tw/b", "poems.tw/*"]));
    assert_eq!((overlapping.as_str(), ledger.count(Fate::Duplicate)), ("b a english", 2));
    let (none, ledger) = chosen(&of(&["nothing.tw/*"]));
    assert_eq!((none.as_str(), ledger.captures), ("", 0));
    assert_eq!(chosen(&CommonCrawl { languages: vec!["zho".to_owned()], ..usual.clone() }).0, "a b www.c?x=1&y=二");
    assert_eq!(chosen(&CommonCrawl { truncated: true, ..usual.clone() }).1.count(Fate::Fetched), 5);
    let early = CommonCrawl { to: Some("20240519".to_owned()), ..usual.clone() };
    assert_eq!(chosen(&early).1.why[&Fate::Filtered]["time"], 1);
    let all = CommonCrawl {
        captures: Captures::All,
        crawls: vec![CRAWL.to_owned(), "CC-MAIN-2020-05".to_owned()],
        ..usual.clone()
    };
    assert_eq!(chosen(&all).0, "a a b english www.c?x=1&y=二 a");
    let both = CommonCrawl { captures: Captures::Newest, ..all };
    assert_eq!(chosen(&both).1.count(Fate::Duplicate), 2);
    server.forget();
    let (two, ledger) = chosen(&CommonCrawl { limit: Some(2), ..usual.clone() });
    assert_eq!((two.as_str(), ledger.count(Fate::BeyondLimit), ledger.index_pages), ("a b", 0, 1));
    assert!(ledger.index_cut_short && server.asked().len() == 5, "no more of the index is asked for than is needed");
    let (one, ledger) = chosen(&CommonCrawl { limit: Some(1), ..usual.clone() });
    assert_eq!((one.as_str(), ledger.count(Fate::BeyondLimit)), ("a", 1));

    for (wrong, words) in [
        (of(&[]), "which addresses"),
        (of(&["*"]), "urls"),
        (CommonCrawl { crawls: vec!["../x".to_owned()], ..usual.clone() }, "no name of a crawl"),
        (CommonCrawl { languages: vec!["zh".to_owned()], ..usual.clone() }, "ISO 639-3"),
        (CommonCrawl { from: Some("May".to_owned()), ..usual.clone() }, "no moment"),
        (CommonCrawl { index: "index.commoncrawl.org".to_owned(), ..usual.clone() }, "no address of the web"),
        (CommonCrawl { data: "ftp://data".to_owned(), ..usual.clone() }, "no address of the web"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = wrong.collect(folder.path(), &mut |_| ()).expect_err(words);
        assert!(matches!(error, CorpusError::Setting { .. }) && error.to_string().contains(words), "{error}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wrong = CommonCrawl { crawls: vec!["CC-MAIN-2099-01".to_owned()], ..usual };
    let error = wrong.collect(folder.path(), &mut |_| ()).expect_err("there is none").to_string();
    assert!(
        error.contains("CC-MAIN-2099-01-index") && error.contains("404") && error.contains("is there such a crawl?"),
        "{error}"
    );
}

#[test]
fn a_collection_that_is_stopped_anywhere_goes_on_and_asks_for_nothing_twice() {
    let server = start(site());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole");
    let settings = settings(&server);
    collect(&settings, &whole);
    let bytes = std::fs::read(whole.join("pages.warc.gz")).expect("read");
    for cut in (0..bytes.len()).step_by(bytes.len() / 29) {
        let path = folder.path().join(format!("cut-{cut}"));
        std::fs::create_dir_all(path.join("index")).expect("made");
        for entry in std::fs::read_dir(whole.join("index")).expect("kept").map(|entry| entry.expect("an entry")) {
            std::fs::copy(entry.path(), path.join("index").join(entry.file_name())).expect("copied");
        }
        // What a kill leaves besides: a ledger and a page of the index that were being written.
        std::fs::write(path.join("ledger.jsonl.tmp"), "{\"fate\": \"fet").expect("written");
        std::fs::write(path.join("index/page.jsonl.tmp"), "{\"url\": ").expect("written");
        std::fs::write(path.join("pages.warc.gz"), &bytes[..cut]).expect("written");
        let there: Vec<String> = match cut {
            0 => Vec::new(),
            _ => Archives::open(&path.join("pages.warc.gz"), Bounds::default())
                .expect("it opens")
                .flatten()
                .filter_map(|record| record.url().map(str::to_owned))
                .collect(),
        };
        server.forget();
        let ledger = collect(&settings, &path);
        assert_eq!(
            (ledger.count(Fate::Known), ledger.count(Fate::Fetched)),
            (there.len() as u64, 4 - there.len() as u64),
            "cut at {cut}"
        );
        assert_eq!(server.asked().len(), 4 - there.len(), "cut at {cut}: {:?}", server.asked());
        assert_eq!(urls(&path), urls(&whole), "cut at {cut}");
    }
    // A page of the index that is missing is the only one that is asked for.
    let page = std::fs::read_dir(whole.join("index")).expect("kept").map(|entry| entry.expect("an entry").path());
    let page = page.into_iter().find(|path| path.to_string_lossy().ends_with(".1.jsonl")).expect("the second page");
    std::fs::remove_file(page).expect("removed");
    server.forget();
    assert_eq!(collect(&settings, &whole).requests, 1);
    assert!(server.asked()[0].path.ends_with("page=1"), "{:?}", server.asked());
}
