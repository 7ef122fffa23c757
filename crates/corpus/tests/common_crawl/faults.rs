//! Servers that do not do what they should, and records that are not what was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use luthier_corpus::CorpusError;
use luthier_corpus::collect::{CommonCrawl, Fate, Manners};
use luthier_corpus::source::ArchiveRecord;
use luthier_fixtures::{Captured, CommonCrawlSite, PageServer, Reply, gzip};

use super::{CRAWL, collect, fates, lines, of_data, page, settings, site, start, urls};

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
        ("page=1", Reply::new("503 Slow Down", "Retry-After: 3600\r\n", ""), "left alone for 3600 seconds", 1),
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

#[test]
fn a_member_that_is_cut_anywhere_or_changed_is_no_record_and_no_panic() {
    let good = site().member("https://poems.tw/b").to_vec();
    let whole = ArchiveRecord::of_member(&good, 1 << 20).expect("a record");
    for at in 0..good.len() {
        assert!(ArchiveRecord::of_member(&good[..at], 1 << 20).is_err(), "cut at {at}");
        let mut changed = good.clone();
        changed[at] ^= 0x41;
        // Only what gzip says of itself, such as the time, may be another.
        assert!(ArchiveRecord::of_member(&changed, 1 << 20).map_or(true, |record| record == whole), "changed at {at}");
    }
    let length = whole.block.len() as u64;
    assert!(ArchiveRecord::of_member(&good, length).is_err(), "a bound is for head and block together");
}
