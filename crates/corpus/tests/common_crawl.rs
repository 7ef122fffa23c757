//! Records out of a small Common Crawl on loopback: what is asked, what lies in the archive afterwards, a stop at any moment, and servers
//! that do not do what they should.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use luthier_corpus::CorpusError;
use luthier_corpus::Source;
use luthier_corpus::collect::{Captures, CommonCrawl, CommonCrawlLedger, Fate, Manners, Stage};
use luthier_corpus::source::{Archives, Bounds, RecordKind};
use luthier_fixtures::{Asked, Captured, CommonCrawlSite, PageServer, Reply, gzip};
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

#[test]
fn a_record_that_does_not_come_as_it_should_is_counted_with_its_place_and_the_others_come() {
    let good = site().member("https://poems.tw/b").to_vec();
    let text = |kind: &str, url: &str| {
        format!(
            "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-05-18T00:00:06Z\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
        )
    };
    let bomb = gzip(&[text("response", "https://poems.tw/b").into_bytes(), vec![0; 2 << 20]].concat());
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xFF;
    let two = [good.clone(), good.clone()].concat();
    for (member, label, words) in [
        (gzip(text("response", "https://elsewhere.tw/").as_bytes()), "other record", "https://elsewhere.tw/"),
        (gzip(text("revisit", "https://poems.tw/b").as_bytes()), "other record", "\"revisit\""),
        (
            gzip(text("response", "https://poems.tw/b").replace("00:06", "00:09").as_bytes()),
            "other record",
            "20240518000009",
        ),
        (gzip(b"no record of any kind"), "broken record", "no WARC record"),
        (gzip(text("response", "https://poems.tw/b").replace("h: 0", "h: 9999").as_bytes()), "broken record", "9999"),
        (b"<html>not compressed at all</html>".to_vec(), "broken record", "no whole gzip member"),
        (flipped, "broken record", "no whole gzip member"),
        (good[..good.len() - 9].to_vec(), "broken record", "no whole gzip member"),
        (two, "broken record", "follow the gzip member"),
        (bomb, "too long", "1048576"),
    ] {
        let mut crawl = CommonCrawlSite::new(10);
        crawl.put_member(CRAWL, "crawl-data/x.warc.gz", &page("https://poems.tw/b", "20240518000006"), &member);
        crawl.put(CRAWL, &[page("https://poems.tw/after", "20240518000009")]);
        let server = start(crawl);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = CommonCrawl { record_bytes: 1 << 20, ..settings(&server) };
        let ledger = collect(&settings, folder.path());
        assert_eq!(fates(&ledger), [(Fate::Fetched, 1), (Fate::Failed, 1)], "{label}: {ledger:?}");
        assert_eq!(ledger.why[&Fate::Failed], BTreeMap::from([(label, 1)]), "{words}");
        assert_eq!(urls(folder.path()), ["https://poems.tw/after"]);
        let line = lines(folder.path()).into_iter().find(|line| line["fate"] == "failed").expect("a line");
        assert!(line["why"].as_str().is_some_and(|why| why.contains(words)), "{label}: {line}");
        assert_eq!(
            (line["url"].as_str(), line["file"].as_str()),
            (Some("https://poems.tw/b"), Some("crawl-data/x.warc.gz"))
        );
        assert!(line["offset"].as_u64().is_some_and(|offset| offset > 0) && line["length"] == member.len());
        assert_eq!(of_data(&server).len(), 2, "what lasts is not tried again: {label}");
    }
}

/// Lets the first request for a record be answered otherwise.
fn faulty(site: CommonCrawlSite, times: usize, fault: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> PageServer {
    let faults = Arc::new(AtomicUsize::new(times));
    PageServer::start(move |asked| {
        let usual = site.answer(asked);
        let is_due =
            asked.path.starts_with("/data/") && faults.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_due { fault(usual) } else { usual }
    })
}

#[test]
fn what_may_pass_is_asked_for_again_and_what_will_not_is_counted() {
    let replaced =
        |status: &'static str, headers: &'static str| move |_: Reply| Reply::new(status, headers, "SlowDown");
    let run = |server: &PageServer| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = collect(&settings(server), folder.path());
        (ledger.count(Fate::Fetched), ledger.why.get(&Fate::Failed).cloned().unwrap_or_default(), of_data(server).len())
    };
    let none = BTreeMap::new();
    // Twice in vain, and the third try brings it.
    assert_eq!(run(&faulty(site(), 2, replaced("503 Slow Down", ""))), (4, none.clone(), 6));
    assert_eq!(run(&faulty(site(), 1, replaced("429 Too Many Requests", "Retry-After: 1\r\n"))), (4, none.clone(), 5));
    assert_eq!(run(&faulty(site(), 1, |_| Reply::Bytes(Vec::new()))), (4, none.clone(), 5));
    assert_eq!(run(&faulty(site(), 1, |reply| reply.without_last(30))), (4, none.clone(), 5));
    assert_eq!(run(&faulty(site(), 1, |_| Reply::Silence(Duration::from_secs(3)))), (4, none, 5));
    // Three times in vain; asked to stay away longer than there is patience.
    assert_eq!(run(&faulty(site(), 3, replaced("503 Slow Down", ""))), (3, BTreeMap::from([("put off", 1)]), 6));
    let long = replaced("503 Slow Down", "Retry-After: 3600\r\n");
    assert_eq!(run(&faulty(site(), 1, long)), (3, BTreeMap::from([("put off", 1)]), 4));
    // For good.
    assert_eq!(run(&faulty(site(), 1, replaced("404 Not Found", ""))), (3, BTreeMap::from([("status", 1)]), 4));
    assert_eq!(
        run(&faulty(site(), 1, replaced("206 Partial Content", "Content-Range: bytes 0-7/100\r\n"))),
        (3, BTreeMap::from([("other part", 1)]), 4)
    );
    let longer = |reply: Reply| match reply {
        Reply::Bytes(bytes) => {
            let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
            Reply::new("206 Partial Content", "", [&bytes[at..], b"and more"].concat())
        }
        other => other,
    };
    assert_eq!(run(&faulty(site(), 1, longer)), (3, BTreeMap::from([("other length", 1)]), 4));
    let shorter = |_: Reply| Reply::new("206 Partial Content", "", "short");
    assert_eq!(run(&faulty(site(), 3, shorter)), (3, BTreeMap::from([("other length", 1)]), 6));
    // A whole archive without end, of which nothing is read.
    let endless = |_: Reply| Reply::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec());
    assert_eq!(run(&faulty(site(), 1, endless)), (3, BTreeMap::from([("whole file", 1)]), 4));
}

#[test]
fn failures_are_asked_for_again_at_the_next_start() {
    let server = faulty(site(), 1, |_| Reply::new("404 Not Found", "", ""));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = collect(&settings(&server), folder.path());
    assert_eq!((first.count(Fate::Fetched), first.count(Fate::Failed)), (3, 1));
    server.forget();
    let second = collect(&settings(&server), folder.path());
    assert_eq!((second.count(Fate::Known), second.count(Fate::Fetched), second.count(Fate::Failed)), (3, 1, 0));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_server_that_gives_no_records_any_more_is_left_alone() {
    let mut site = CommonCrawlSite::new(100);
    let captures: Vec<Captured> = (0..30).map(|i| page(&format!("https://poems.tw/{i}"), "20240518000000")).collect();
    site.put(CRAWL, &captures);
    let replies = ["200 OK", "403 Forbidden", "503 Slow Down"].map(|status| Reply::new(status, "", "no record"));
    for reply in replies.into_iter().chain([Reply::Bytes(Vec::new())]) {
        let server = faulty(site.clone(), usize::MAX, move |_| reply.clone());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let hasty = settings(&server);
        let hasty = CommonCrawl { manners: Manners { retries: 0, ..hasty.manners.clone() }, ..hasty };
        let ledger = collect(&hasty, folder.path());
        assert_eq!(fates(&ledger), [(Fate::Failed, 10), (Fate::Left, 20)]);
        assert_eq!(of_data(&server).len(), 10);
    }
}

#[test]
fn an_index_that_answers_garbage_or_not_at_all_ends_the_collection_and_what_it_had_said_is_kept() {
    let html = "<html>We are sorry</html>";
    let line = "{\"url\": \"https://poems.tw/a\", \"timestamp\": \"2024";
    for (part, reply, words, tries) in [
        ("collinfo", Reply::new("200 OK", "", html), "no list of crawls", 1),
        ("collinfo", Reply::new("403 Forbidden", "", "blocked"), "403", 1),
        ("showNumPages", Reply::new("200 OK", "", html), "no number of pages", 3),
        ("showNumPages", Reply::new("504 Gateway Time-out", "", html), "504", 3),
        ("page=1", Reply::new("200 OK", "", html), "line 1 is", 3),
        ("page=1", Reply::new("200 OK", "", line), "line 1 is", 3),
        ("page=1", Reply::new("200 OK", "", "{\"error\": \"out of order\"}"), "out of order", 3),
        ("page=1", Reply::new("200 OK", "", [0xFF, 0xFE]), "UTF-8", 3),
        ("page=1", Reply::new("400 Bad Request", "", "Page 1 invalid"), "Page 1 invalid", 1),
        ("page=1", Reply::new("301 Moved Permanently", "Location: /there\r\n", ""), "301", 1),
        ("page=1", Reply::Bytes(Vec::new()), "page=1", 3),
        ("page=1", Reply::new("200 OK", "", "{}\n".repeat(20)).without_last(30), "breaks off", 3),
    ] {
        let site = site();
        let server =
            PageServer::start(move |asked| if asked.path.contains(part) { reply.clone() } else { site.answer(asked) });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = settings(&server).collect(folder.path(), &mut |_| ()).expect_err(words);
        assert!(matches!(error, CorpusError::Server { .. }) && error.to_string().contains(words), "{part}: {error}");
        assert_eq!(server.asked().iter().filter(|asked| asked.path.contains(part)).count(), tries, "{words}");
        assert!(of_data(&server).is_empty() && !folder.path().join("ledger.jsonl").exists());
        // Another start asks only for what was not said.
        let before = server.asked().len();
        settings(&server).collect(folder.path(), &mut |_| ()).expect_err(words);
        assert!(server.asked()[before..].iter().all(|asked| asked.path.contains(part)), "{part}");
    }
}

#[test]
fn an_index_that_is_asked_too_much_is_waited_for() {
    let site = site();
    let server = PageServer::start(move |asked| match asked.time {
        1 if asked.path.starts_with("/index/") => {
            Reply::new("503 Service Unavailable", "", "please reduce your request rate")
        }
        _ => site.answer(asked),
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = collect(&settings(&server), folder.path());
    assert_eq!((ledger.count(Fate::Fetched), ledger.requests), (4, 14));
}

#[test]
fn lines_of_the_index_that_name_no_record_are_counted_and_the_others_serve() {
    let site = site();
    let server = PageServer::start(move |asked| match site.answer(asked) {
        Reply::Bytes(bytes) if asked.path.contains("page=0") => {
            let text = String::from_utf8(bytes).expect("JSON");
            let (_, body) = text.split_once("\r\n\r\n").expect("a head");
            let line = |file: &str| {
                format!(
                    "{{\"url\": \"https://poems.tw/x\", \"timestamp\": \"20240518000000\", \"filename\": \"{file}\", \"offset\": \"0\", \"length\": \"9\"}}\n"
                )
            };
            Reply::new("200 OK", "", format!("{}{body}", line("../../etc/passwd")))
        }
        reply => reply,
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = collect(&settings(&server), folder.path());
    assert_eq!(
        (ledger.count(Fate::Fetched), ledger.why[&Fate::Failed].clone()),
        (4, BTreeMap::from([("line of the index", 1)]))
    );
    let line = lines(folder.path()).into_iter().find(|line| line["fate"] == "failed").expect("a line");
    assert!(line["index"].as_str().is_some_and(|index| index.ends_with(".0.jsonl:1")), "{line}");
    assert!(!server.counts().keys().any(|path| path.contains("passwd")));
}
