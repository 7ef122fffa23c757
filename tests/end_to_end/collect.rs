//! `luthier collect web`: a crawl that is killed goes on and asks for nothing twice, and what is built of it is the same again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::command::{Folder, luthier};

const PAGES: usize = 30;

/// A server of thirty pages in a chain, which counts what it is asked for.
fn serve() -> (String, Arc<Mutex<BTreeMap<String, usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let counted = counts.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            *counted.lock().expect("no thread panicked").entry(path.clone()).or_insert(0) += 1;
            let number = if path == "/" { Some(0) } else { path.trim_start_matches("/p").parse::<usize>().ok() };
            let (status, body) = match number.filter(|number| *number < PAGES) {
                Some(number) => ("200 OK", page(number)),
                None => ("404 Not Found", String::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that was killed does not read on.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    (address, counts)
}

fn page(number: usize) -> String {
    let letters: Vec<char> = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏".chars().collect();
    let text: String = (0..300).map(|k| letters[(number * 7 + k * (number + 3) + k * k) % letters.len()]).collect();
    format!(
        "<html><head><title>第{number}篇</title></head><body><article><h1>第{number}篇</h1><p>{text}。</p></article>\
         <a href='/p{}'>next</a> <a href='/p{}'>after</a></body></html>",
        number + 1,
        number + 2
    )
}

#[test]
fn a_crawl_that_is_killed_goes_on_without_a_second_request_for_a_page_it_has() {
    let (address, counts) = serve();
    let folder = Folder::new();
    let recipe = format!(
        "name = \"chain\"\n[collect]\nsources = [{{ path = \"crawl/pages.warc.gz\", licence = \"none\" }}]\n\
         [collect.web]\nstart = [\"http://{address}/\"]\ndepth = 100\ndelay = 0.02\nretries = 0\n\
         [build]\nclean = [{{ step = \"main-text\", least = 50 }}]\n\
         phrasings = [{{ instruction = \"擬題：\", input = \"{{{{ text }}}}\", output = \"{{{{ title }}}}\" }}]\n"
    );
    let recipe = folder.write("chain.toml", &recipe);
    let crawl = folder.path("crawl");
    let mut child = Command::new(env!("CARGO_BIN_EXE_luthier"))
        .args(["collect", "web", &recipe, "--out", &crawl])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let begin = Instant::now();
    while counts.lock().expect("no thread panicked").len() < PAGES / 3 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the crawl does not get on");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it runs still");
    child.wait().expect("it ends");
    let before = counts.lock().expect("no thread panicked").clone();
    assert!(before.len() < PAGES, "it was killed on its way");
    let done = luthier(&["collect", "web", &recipe, "--out", &crawl]).succeeds();
    // The chain's last two links lead nowhere.
    assert!(
        done.stdout
            .starts_with(&format!("{} addresses found: {PAGES} pages, 0 others, 0 redirects, 2 errors", PAGES + 2)),
        "{}",
        done.stdout
    );
    let after = counts.lock().expect("no thread panicked").clone();
    let twice: Vec<_> = after.iter().filter(|(_, count)| **count > 1).collect();
    // The request that was under way when the crawl was killed had no answer yet.
    assert!(twice.len() <= 1 && after.values().all(|count| *count <= 2), "{after:?}");
    luthier(&["collect", "web", &recipe, "--out", &crawl]).succeeds();
    assert_eq!(*counts.lock().expect("no thread panicked"), after, "everything is there");

    for out in ["one", "two"] {
        let built = luthier(&["build", &recipe, "--out", &folder.path(out)]).succeeds();
        assert!(built.stdout.contains(&format!("{PAGES} train")), "{}", built.stdout);
    }
    for name in ["train.jsonl", "ledger.jsonl", "ledger.json", "card.md"] {
        let read = |out: &str| std::fs::read(Path::new(&folder.path(out)).join(name)).expect(name);
        assert!(read("one") == read("two"), "{name}");
    }
}

#[test]
fn a_recipe_without_start_pages_is_refused() {
    let folder = Folder::new();
    let recipe = folder.write("none.toml", "name = \"none\"\n[collect.web]\ndepth = 2\n");
    luthier(&["collect", "web", &recipe, "--out", &folder.path("crawl")]).refuses(&["collect.web.start", "is missing"]);
    let recipe = folder.write("wrong.toml", "name = \"none\"\n[collect.web]\nstart = [\"example.org\"]\n");
    luthier(&["collect", "web", &recipe, "--out", &folder.path("crawl")])
        .refuses(&["[collect.web] start", "example.org"]);
}
