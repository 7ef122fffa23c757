//! A crawl of a server on loopback: pages in Big5, redirects, traps, robots.txt, errors, and a stop at any moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use luthier_corpus::clean::{MainText, Step, Verdict};
use luthier_corpus::collect::{Manners, Web, WebLedger};
use luthier_corpus::source::{Archives, Bounds, RecordKind};
use luthier_corpus::{Document, Source};
use luthier_fixtures::{ASKED_AGAIN, ASKED_ONCE, Asked, ENDLESS, PageServer, Reply, crawl_site};

fn web_of(server: &PageServer) -> Web {
    Web {
        start: vec![server.url("/")],
        page_bytes: 1 << 20,
        manners: Manners {
            delay: Duration::from_millis(1),
            timeout: Duration::from_millis(1500),
            patience: Duration::from_millis(1200),
            ..Manners::default()
        },
        ..Web::default()
    }
}

/// The same without a second try.
fn hasty(server: &PageServer) -> Web {
    let web = web_of(server);
    Web { manners: Manners { retries: 0, ..web.manners }, ..web }
}

fn crawl(web: &Web, archive: &Path) -> WebLedger {
    web.crawl(archive, &mut |_, _| ()).unwrap_or_else(|error| panic!("{error}"))
}

fn balances(ledger: &WebLedger) {
    let WebLedger { found, pages, other, redirects, errors, failed, forbidden, beyond_pages, .. } = ledger;
    assert_eq!(*found, pages + other + redirects + errors + failed + forbidden + beyond_pages, "{ledger:?}");
}

#[test]
fn the_allowed_pages_are_asked_for_once_and_nothing_else_is() {
    let server = PageServer::start(crawl_site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    let ledger = crawl(&web_of(&server), &archive);
    balances(&ledger);
    let mut expected: BTreeMap<String, usize> = ASKED_ONCE.map(|path| (path.to_owned(), 1)).into();
    // Retried: three times more at most.
    expected.extend(ASKED_AGAIN.map(|(path, count)| (path.to_owned(), count)));
    expected.insert(ENDLESS.to_owned(), 1);
    assert_eq!(server.counts(), expected, "{ledger:?}");
    assert_eq!((ledger.pages, ledger.other, ledger.redirects), (11, 2, 4), "{ledger:?}");
    assert_eq!((ledger.errors, ledger.failed, ledger.forbidden, ledger.too_deep), (2, 2, 2, 2), "{ledger:?}");
    assert_eq!(ledger.out_of_scope, 2, "{ledger:?}");
    assert_eq!(ledger.requests, expected.values().sum::<usize>() as u64);
}

#[test]
fn the_archive_is_a_warc_whose_pages_become_documents() {
    let server = PageServer::start(crawl_site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    crawl(&web_of(&server), &archive);
    let kinds: Vec<RecordKind> = Archives::open(&archive, Bounds::default())
        .expect("it opens")
        .map(|record| record.expect("whole").kind)
        .collect();
    assert_eq!(kinds[0], RecordKind::Warcinfo);
    assert_eq!(
        kinds.iter().filter(|kind| **kind == RecordKind::Metadata).count(),
        2,
        "the endless page and the silent one"
    );
    let mut documents: Vec<Document> =
        Source::new(&archive).documents().expect("it opens").map(|page| page.expect("good")).collect();
    let poem = documents
        .iter_mut()
        .find(|page| page.provenance.url.as_deref() == Some(&server.url("/big5")))
        .expect("the page");
    assert_eq!(MainText { least: 60, ..MainText::default() }.apply(poem), Verdict::Changed("main text"));
    assert!(poem.text("text").contains("春眠不覺曉"), "{poem:?}");
    let text =
        documents.iter().find(|page| page.provenance.url.as_deref() == Some(&server.url("/text"))).expect("the text");
    assert_eq!(text.text("text"), "一段純文字。");
}

#[test]
fn a_crawl_that_is_stopped_anywhere_goes_on_and_asks_for_nothing_twice() {
    let quiet = |asked: &Asked| match asked.path.as_str() {
        "/" => Reply::html(
            "<a href='/a'>a</a> <a href='/big5'>b</a> <a href='/moved'>m</a> <a href='/text'>x</a> <a href='/missing'>m</a>",
        ),
        _ => crawl_site(asked),
    };
    let server = PageServer::start(quiet);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole.warc.gz");
    let web = web_of(&server);
    let ledger = crawl(&web, &whole);
    let all = server.counts();
    assert!(all.values().all(|count| *count == 1), "{all:?}");
    let again = crawl(&web, &whole);
    assert_eq!((again.requests, again.known), (0, ledger.found - ledger.forbidden), "{again:?}");
    assert_eq!(server.counts(), all);
    // Cut anywhere, as kill -9 may leave it, what is whole is kept, and the rest is asked for.
    let bytes = std::fs::read(&whole).expect("read");
    let urls = |path: &Path| -> Vec<String> {
        let records = Archives::open(path, Bounds::default()).expect("it opens").flatten();
        records.filter_map(|record| record.url().map(str::to_owned)).collect()
    };
    for cut in (0..bytes.len()).step_by(bytes.len() / 23) {
        let path = folder.path().join("cut.warc.gz");
        std::fs::write(&path, &bytes[..cut]).expect("written");
        let kept = if cut == 0 { Vec::new() } else { urls(&path) };
        server.forget();
        let resumed = crawl(&web, &path);
        balances(&resumed);
        assert_eq!((resumed.pages, resumed.found), (ledger.pages, ledger.found), "cut at {cut}");
        for url in kept {
            let path = url.strip_prefix(&server.url("")).expect("of this server").to_owned();
            assert!(!server.counts().contains_key(&path), "{path} was asked for again, cut at {cut}");
        }
        assert_eq!(urls(&path), urls(&whole), "cut at {cut}");
    }
}

#[test]
fn pages_depth_and_patterns_bound_a_crawl() {
    let server = PageServer::start(crawl_site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let web = Web { pages: 2, ..web_of(&server) };
    let ledger = crawl(&web, &folder.path().join("two.warc.gz"));
    balances(&ledger);
    assert_eq!(server.counts().values().sum::<usize>(), 3, "two pages and robots.txt");
    let web = Web { depth: 0, ..web_of(&server) };
    assert_eq!(crawl(&web, &folder.path().join("start.warc.gz")).pages, 1);
    let web = Web { allow: vec!["/(a|deep[0-9])$".into()], deny: vec!["deep2".into()], ..web_of(&server) };
    let ledger = crawl(&web, &folder.path().join("some.warc.gz"));
    assert_eq!((ledger.pages, ledger.found), (3, 3), "/, /a and /deep1: {ledger:?}");
    for (wrong, words) in [
        (Web { start: vec!["ftp://x/".into()], ..web_of(&server) }, "no address"),
        (Web { start: Vec::new(), ..web_of(&server) }, "where to begin"),
        (Web { hosts: vec!["other.org".into()], ..web_of(&server) }, "none of the hosts"),
        (Web { allow: vec!["(".into()], ..web_of(&server) }, "allow"),
    ] {
        let error = wrong.crawl(&folder.path().join("x"), &mut |_, _| ()).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_host_whose_robots_txt_fails_is_left_alone_and_one_without_is_not() {
    let failing = |asked: &Asked| match asked.path.as_str() {
        "/robots.txt" => Reply::new("500 Internal Server Error", "", ""),
        _ => crawl_site(asked),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = PageServer::start(failing);
    let ledger = crawl(&hasty(&server), &folder.path().join("closed.warc.gz"));
    assert_eq!((ledger.forbidden, ledger.pages, server.counts().len()), (1, 0, 1), "{ledger:?}");
    let missing = |asked: &Asked| match asked.path.as_str() {
        "/robots.txt" => Reply::new("404 Not Found", "", ""),
        _ => Reply::html("alone"),
    };
    assert_eq!(crawl(&web_of(&PageServer::start(missing)), &folder.path().join("open.warc.gz")).pages, 1);
}

#[test]
fn the_pause_that_robots_txt_asks_for_is_kept() {
    let slow = |asked: &Asked| match asked.path.as_str() {
        "/robots.txt" => Reply::new("200 OK", "Content-Type: text/plain\r\n", "User-agent: *\nCrawl-delay: 0.3\n"),
        "/" => Reply::html("<a href='/here'>1</a><a href='/a'>2</a>"),
        "/a" => Reply::html("2"),
        _ => crawl_site(asked),
    };
    let server = PageServer::start(slow);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let begin = std::time::Instant::now();
    let ledger = crawl(&web_of(&server), &folder.path().join("slow.warc.gz"));
    assert_eq!(ledger.pages, 3);
    assert!(begin.elapsed() >= Duration::from_millis(600), "{:?}", begin.elapsed());
}

#[test]
fn addresses_without_an_answer_are_asked_for_once_more_at_each_start_and_no_other_is() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let server = PageServer::start(move |asked| match asked.path.as_str() {
        "/" => Reply::html(
            "<a href='/page'>1</a><a href='/closed'>2</a><a href='/half'>3</a><a href='/busy'>4</a><a href='/missing'>5</a>\
             <a href='/endless'>6</a><a href='/broken'>7</a>",
        ),
        "/page" => Reply::html("a page"),
        "/closed" | "/half" | "/busy" if is_well.load(SeqCst) => Reply::html("<a href='/behind'>there again</a>"),
        "/closed" => Reply::Bytes(Vec::new()),
        "/half" => Reply::html("a page that does not end").without_last(20),
        "/busy" => Reply::new("503 Service Unavailable", "", ""),
        "/behind" => Reply::html("found later"),
        "/robots.txt" => Reply::new("404 Not Found", "", ""),
        _ => crawl_site(asked),
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    let web = hasty(&server);
    let count = |ledger: &WebLedger| (ledger.pages, ledger.errors, ledger.failed, ledger.known, ledger.asked_again);
    let asked = || server.counts().into_keys().collect::<Vec<String>>();

    let first = crawl(&web, &archive);
    balances(&first);
    assert_eq!(count(&first), (2, 3, 3, 0, 0), "{first:?}");
    let bytes = std::fs::read(&archive).expect("read");
    server.forget();
    let second = crawl(&web, &archive);
    balances(&second);
    // Neither the page, nor the one that is too long, nor what is missing for good.
    assert_eq!(asked(), ["/broken", "/busy", "/closed", "/half"]);
    assert_eq!((count(&second), second.requests), ((2, 3, 3, 4, 4), 4), "{second:?}");
    assert_eq!(std::fs::read(&archive).expect("read"), bytes, "what is said already is not said again");

    well.store(true, SeqCst);
    server.forget();
    let third = crawl(&web, &archive);
    balances(&third);
    assert_eq!(asked(), ["/behind", "/broken", "/busy", "/closed", "/half"]);
    assert_eq!(count(&third), (6, 2, 1, 4, 4), "{third:?}");
    assert_eq!(third.found, first.found + 1);
    server.forget();
    let fourth = crawl(&web, &archive);
    assert_eq!((asked(), count(&fourth)), (vec!["/broken".to_owned()], (6, 2, 1, 8, 1)), "{fourth:?}");
    let documents: Vec<_> =
        Source::new(&archive).documents().expect("it opens").map(|page| page.expect("good")).collect();
    assert_eq!(documents.len(), 6, "each page stands in the archive once");
}

#[test]
fn a_host_that_could_not_say_what_it_wants_is_asked_again_at_the_next_start() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let server = PageServer::start(move |asked| match asked.path.as_str() {
        "/robots.txt" if !is_well.load(SeqCst) => Reply::Bytes(Vec::new()),
        "/robots.txt" => Reply::new("404 Not Found", "", ""),
        _ => Reply::html("a page"),
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    let first = crawl(&hasty(&server), &archive);
    assert_eq!((first.pages, first.forbidden), (0, 1), "{first:?}");
    well.store(true, SeqCst);
    let second = crawl(&hasty(&server), &archive);
    assert_eq!((second.pages, second.forbidden, second.asked_again), (1, 0, 1), "{second:?}");
}

#[test]
fn a_server_that_asks_for_a_longer_pause_than_patience_is_left_alone() {
    let server = PageServer::start(|asked| match asked.path.as_str() {
        "/robots.txt" => Reply::new("404 Not Found", "", ""),
        _ => Reply::new("429 Too Many Requests", "Retry-After: 86400\r\n", ""),
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = crawl(&web_of(&server), &folder.path().join("pages.warc.gz"));
    assert_eq!((ledger.errors, server.counts()["/"]), (1, 1), "{ledger:?}");
}

#[test]
fn damage_inside_an_archive_costs_its_record_and_not_those_behind_it() {
    let server = PageServer::start(|asked| match asked.path.as_str() {
        "/" => Reply::html("<a href='/1'>1</a><a href='/2'>2</a><a href='/3'>3</a>"),
        _ => Reply::html("a page"),
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    crawl(&web_of(&server), &archive);
    let records: Vec<_> = Archives::open(&archive, Bounds::default()).expect("it opens").flatten().collect();
    let damaged = records.iter().find(|record| record.url() == Some(&server.url("/1"))).expect("it was asked for");
    let mut bytes = std::fs::read(&archive).expect("read");
    let (at, length) = (usize::try_from(damaged.offset).expect("small"), bytes.len());
    bytes[at + 60] ^= 0xFF;
    std::fs::write(&archive, &bytes).expect("written");
    server.forget();
    let ledger = crawl(&web_of(&server), &archive);
    balances(&ledger);
    assert_eq!(server.counts().into_keys().collect::<Vec<_>>(), ["/1"], "{ledger:?}");
    assert!(std::fs::read(&archive).expect("read").len() > length, "nothing was cut off");
}

#[test]
fn an_archive_is_collected_into_by_one_process_at_a_time() {
    let server = PageServer::start(|_| Reply::html("a page"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    let mut other = None;
    let web = web_of(&server);
    web.crawl(&archive, &mut |_, _| other = Some(web.crawl(&archive, &mut |_, _| ()).map(drop))).expect("it goes on");
    let error = other.expect("it was told of a page").expect_err("it is taken").to_string();
    assert!(error.contains("another process is collecting into it"), "{error}");
}
