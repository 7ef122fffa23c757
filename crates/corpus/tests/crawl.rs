//! A crawl of a server on loopback: pages in Big5, redirects, traps, robots.txt, errors, and a stop at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luthier_corpus::clean::{MainText, Step, Verdict};
use luthier_corpus::collect::{Web, WebLedger};
use luthier_corpus::source::{Archives, Bounds, RecordKind};
use luthier_corpus::{Document, Source};

type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

/// What the server sends for a path, the how manieth request for it this is.
type Answers = fn(path: &str, time: usize) -> Vec<u8>;

struct Server {
    address: String,
    counts: Counts,
}

impl Server {
    fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let counts = Counts::default();
        let counted = counts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                std::thread::spawn(move || serve(stream, &counted, answers));
            }
        });
        Server { address, counts }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        self.counts.lock().expect("no thread panicked").clone()
    }

    fn web(&self) -> Web {
        Web {
            start: vec![self.url("/")],
            delay: Duration::from_millis(1),
            timeout: Duration::from_millis(1500),
            patience: Duration::from_millis(300),
            page_bytes: 1 << 20,
            ..Web::default()
        }
    }
}

/// Answers one request; whatever goes wrong, the client will see it.
fn serve(stream: TcpStream, counts: &Counts, answers: Answers) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let time = {
        let mut counts = counts.lock().ok()?;
        let count = counts.entry(path.clone()).or_insert(0);
        *count += 1;
        *count
    };
    let mut stream = stream;
    if path == "/endless" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n").ok()?;
        loop {
            stream.write_all(&[b'x'; 4096]).ok()?;
        }
    }
    if path == "/silent" {
        std::thread::sleep(Duration::from_secs(5));
        return None;
    }
    stream.write_all(&answers(&path, time)).ok()
}

fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn html(body: &str) -> Vec<u8> {
    answer("200 OK", "Content-Type: text/html; charset=utf-8\r\n", format!("<html><body>{body}</body></html>"))
}

const POEM: &str = "<article><h1>春曉</h1><p>春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。</p><p>這首詩寫的是春天早晨醒來時聽見的聲音，\
    詩人由鳥聲想到夜裡的風雨，又由風雨想到落花，短短二十個字裡有一整夜的時間。</p></article>";

fn site(path: &str, time: usize) -> Vec<u8> {
    match path {
        "/robots.txt" => {
            answer("200 OK", "Content-Type: text/plain\r\n", "User-agent: *\nDisallow: /secret\nDisallow: /*print=\n")
        }
        "/" => html(
            "<a href='/a'>a</a> <a href='/a#part'>a again</a> <a href='/big5'>b</a> <a href='/moved'>m</a> <a href='/loop1'>l</a>\
             <a href='/outside'>o</a> <a href='/secret/x'>s</a> <a href='/a?print=1'>p</a> <a href='/trap/'>t</a> <a href='/flaky'>f</a>\
             <a href='/busy'>b</a> <a href='/broken'>e</a> <a href='/missing'>m</a> <a href='/picture'>i</a> <a href='/endless'>n</a>\
             <a href='/silent'>w</a> <a href='http://elsewhere.invalid/'>x</a> <a href='/text'>x</a> <a href='/no' rel='nofollow'>n</a>",
        ),
        "/a" => html("<a href='/'>home</a><a href='/deep1'>deep</a>"),
        "/deep1" => html("<a href='/deep2'>deeper</a>"),
        "/deep2" => html("<a href='/deep3'>deeper</a>"),
        "/deep3" => html("<a href='/deep4'>deeper</a>"),
        "/big5" => {
            let page = format!("<html><head><title>春曉</title></head><body>{POEM}</body></html>");
            answer("200 OK", "Content-Type: text/html; charset=big5\r\n", encoding_rs::BIG5.encode(&page).0)
        }
        "/moved" => answer("301 Moved Permanently", "Location: /here\r\n", ""),
        "/here" => html("here"),
        "/loop1" => answer("302 Found", "Location: /loop2\r\n", ""),
        "/loop2" => answer("302 Found", "Location: /loop1\r\n", ""),
        "/outside" => answer("302 Found", "Location: http://elsewhere.invalid/away\r\n", ""),
        "/flaky" if time < 3 => answer("500 Internal Server Error", "", "try again"),
        "/flaky" => html("worked at last"),
        "/busy" if time < 2 => answer("429 Too Many Requests", "Retry-After: 1\r\n", ""),
        "/busy" => html("not busy any more"),
        "/broken" => answer("503 Service Unavailable", "", ""),
        "/picture" => answer("200 OK", "Content-Type: image/png\r\n", [0x89, b'P', b'N', b'G']),
        "/text" => answer("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", "一段純文字。"),
        trap if trap.starts_with("/trap/") => html("<a href='next/'>on and on</a>"),
        _ => answer("404 Not Found", "Content-Type: text/html\r\n", "<a href='/from-an-error'>no</a>"),
    }
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
    let server = Server::start(site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    let ledger = crawl(&server.web(), &archive);
    balances(&ledger);
    let mut expected: BTreeMap<String, usize> = [
        "/robots.txt",
        "/",
        "/a",
        "/big5",
        "/moved",
        "/here",
        "/loop1",
        "/loop2",
        "/outside",
        "/missing",
        "/picture",
        "/text",
        "/deep1",
        "/deep2",
        "/trap/",
        "/trap/next/",
        "/trap/next/next/",
    ]
    .map(|path| (path.to_owned(), 1))
    .into();
    // Retried: three times more at most.
    expected.extend(
        [("/flaky", 3), ("/busy", 2), ("/broken", 4), ("/endless", 1), ("/silent", 4)]
            .map(|(path, count)| (path.to_owned(), count)),
    );
    assert_eq!(server.counts(), expected, "{ledger:?}");
    assert_eq!((ledger.pages, ledger.other, ledger.redirects), (11, 2, 4), "{ledger:?}");
    assert_eq!((ledger.errors, ledger.failed, ledger.forbidden, ledger.too_deep), (2, 2, 2, 2), "{ledger:?}");
    assert_eq!(ledger.out_of_scope, 2, "{ledger:?}");
    assert_eq!(ledger.requests, expected.values().sum::<usize>() as u64);
}

#[test]
fn the_archive_is_a_warc_whose_pages_become_documents() {
    let server = Server::start(site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("pages.warc.gz");
    crawl(&server.web(), &archive);
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
    let quiet: Answers = |path, time| match path {
        "/" => html(
            "<a href='/a'>a</a> <a href='/big5'>b</a> <a href='/moved'>m</a> <a href='/text'>x</a> <a href='/missing'>m</a>",
        ),
        path => site(path, time),
    };
    let server = Server::start(quiet);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole.warc.gz");
    let web = server.web();
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
        server.counts.lock().expect("no thread panicked").clear();
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
    let server = Server::start(site);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let web = Web { pages: 2, ..server.web() };
    let ledger = crawl(&web, &folder.path().join("two.warc.gz"));
    balances(&ledger);
    assert_eq!(server.counts().values().sum::<usize>(), 3, "two pages and robots.txt");
    let web = Web { depth: 0, ..server.web() };
    assert_eq!(crawl(&web, &folder.path().join("start.warc.gz")).pages, 1);
    let web = Web { allow: vec!["/(a|deep[0-9])$".into()], deny: vec!["deep2".into()], ..server.web() };
    let ledger = crawl(&web, &folder.path().join("some.warc.gz"));
    assert_eq!((ledger.pages, ledger.found), (3, 3), "/, /a and /deep1: {ledger:?}");
    for (wrong, words) in [
        (Web { start: vec!["ftp://x/".into()], ..server.web() }, "no address"),
        (Web { start: Vec::new(), ..server.web() }, "where to begin"),
        (Web { hosts: vec!["other.org".into()], ..server.web() }, "none of the hosts"),
        (Web { allow: vec!["(".into()], ..server.web() }, "allow"),
    ] {
        let error = wrong.crawl(&folder.path().join("x"), &mut |_, _| ()).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_host_whose_robots_txt_fails_is_left_alone_and_one_without_is_not() {
    let failing: Answers = |path, time| match path {
        "/robots.txt" => answer("500 Internal Server Error", "", ""),
        path => site(path, time),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(failing);
    let web = Web { retries: 0, ..server.web() };
    let ledger = crawl(&web, &folder.path().join("closed.warc.gz"));
    assert_eq!((ledger.forbidden, ledger.pages, server.counts().len()), (1, 0, 1), "{ledger:?}");
    let missing: Answers = |path, _| match path {
        "/robots.txt" => answer("404 Not Found", "", ""),
        _ => html("alone"),
    };
    assert_eq!(crawl(&Server::start(missing).web(), &folder.path().join("open.warc.gz")).pages, 1);
}

#[test]
fn the_pause_that_robots_txt_asks_for_is_kept() {
    let slow: Answers = |path, time| match path {
        "/robots.txt" => answer("200 OK", "Content-Type: text/plain\r\n", "User-agent: *\nCrawl-delay: 0.3\n"),
        "/" => html("<a href='/here'>1</a><a href='/a'>2</a>"),
        "/a" => html("2"),
        path => site(path, time),
    };
    let server = Server::start(slow);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let begin = std::time::Instant::now();
    let ledger = crawl(&server.web(), &folder.path().join("slow.warc.gz"));
    assert_eq!(ledger.pages, 3);
    assert!(begin.elapsed() >= Duration::from_millis(600), "{:?}", begin.elapsed());
}
