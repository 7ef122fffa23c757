//! `luthier collect`: what is killed goes on and asks for nothing twice, and what is built of it is the same again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use luthier_fixtures::{ASKED_ONCE, Captured, CommonCrawlSite, PageServer, crawl_site};
use serde_json::Value;

use crate::command::{Folder, luthier};
use crate::task::json_file;

/// Starts a collection and kills it (SIGKILL where there are signals) as soon as the server was asked for so many things.
fn killed_after(requests: usize, server: &PageServer, arguments: &[&str]) -> usize {
    let mut child = Command::new(env!("CARGO_BIN_EXE_luthier"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let begin = Instant::now();
    while server.asked().len() < requests {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it runs still");
    child.wait().expect("it ends");
    server.asked().len()
}

/// Builds a data set twice and gives its training rows.
fn built_twice(folder: &Folder, recipe: &str) -> Vec<Value> {
    for out in ["one", "two"] {
        luthier(&["build", recipe, "--out", &folder.path(out)]).succeeds();
    }
    for name in ["train.jsonl", "ledger.jsonl", "ledger.json", "card.md"] {
        let read = |out: &str| std::fs::read(Path::new(&folder.path(out)).join(name)).expect(name);
        assert!(read("one") == read("two"), "{name}");
    }
    let rows = std::fs::read_to_string(Path::new(&folder.path("one")).join("train.jsonl")).expect("rows");
    rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect()
}

/// Those asked for more than once.
fn twice(counts: &BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    counts.iter().filter(|(_, count)| **count > 1).map(|(path, count)| (path.as_str(), *count)).collect()
}

#[test]
fn a_crawl_that_is_killed_goes_on_without_a_second_request_for_a_page_it_has() {
    let server = PageServer::start(crawl_site);
    let folder = Folder::new();
    let recipe = format!(
        "name = \"site\"\n[collect]\nsources = [{{ path = \"crawl/pages.warc.gz\", licence = \"none\" }}]\n\
         [collect.web]\nstart = [\"{}\"]\ndelay = 0.02\ntimeout = 2\npatience = 1.2\npage_bytes = 1048576\n\
         [build]\nclean = [{{ step = \"main-text\", least = 60 }}]\n\
         phrasings = [{{ instruction = \"擬題：\", input = \"{{{{ text }}}}\", output = \"{{{{ title }}}}\" }}]\n",
        server.url("/")
    );
    let recipe = folder.write("site.toml", &recipe);
    let crawl = folder.path("crawl");
    let collect = ["collect", "web", &recipe, "--out", &crawl];
    // In the middle: pages in Big5 and redirects are there, errors, traps and what lies deeper are not.
    killed_after(7, &server, &collect);
    assert!(server.counts().len() < ASKED_ONCE.len(), "it was killed on its way");
    let done = luthier(&collect).succeeds();
    let found =
        "23 addresses found: 11 pages, 2 others, 4 redirects, 2 errors, 2 without an answer, 2 forbidden, 0 left";
    assert!(done.stdout.starts_with(found), "{}", done.stdout);
    let counts = server.counts();
    for path in ASKED_ONCE {
        assert!(counts.contains_key(path), "{path}");
    }
    assert!(
        !counts.keys().any(|path| path.contains("secret") || path.contains("print") || path == "/no"),
        "{counts:?}"
    );
    // The request that was under way when the crawl was killed had no answer yet; the others are the retries of pages that failed.
    let again: Vec<_> = twice(&counts).into_iter().filter(|(path, _)| ASKED_ONCE.contains(path)).collect();
    assert!(again.len() <= 1 && again.iter().all(|(_, count)| *count == 2), "{counts:?}");

    // Another start asks only for what had no answer.
    let archive = std::fs::read(Path::new(&crawl).join("pages.warc.gz")).expect("an archive");
    server.forget();
    luthier(&collect).succeeds();
    assert_eq!(server.counts().into_keys().collect::<Vec<_>>(), ["/broken", "/silent"]);
    let totals = json_file(&format!("{crawl}/ledger.json"));
    assert_eq!((&totals["asked_again"], &totals["pages"]), (&Value::from(2), &Value::from(11)));
    assert!(
        std::fs::read(Path::new(&crawl).join("pages.warc.gz")).expect("an archive") == archive,
        "nothing new was said"
    );

    let rows = built_twice(&folder, &recipe);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["output"], "春曉");
    assert!(rows[0]["input"].as_str().is_some_and(|input| input.contains("春眠不覺曉，處處聞啼鳥。")), "{rows:?}");
}

#[test]
fn a_collection_from_common_crawl_that_is_killed_goes_on_and_what_is_built_is_the_same_again() {
    const RECORDS: usize = 24;
    let letters: Vec<char> = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏".chars().collect();
    let page = |number: usize| {
        let text: String = (0..300).map(|k| letters[(number * 7 + k * (number + 3) + k * k) % letters.len()]).collect();
        let body = format!(
            "<html><head><title>第{number}篇</title></head><body><article><h1>第{number}篇</h1><p>{text}。</p></article></body></html>"
        );
        Captured::page(&format!("https://poems.tw/{number}"), "20240518000000", &body)
    };
    let mut site = CommonCrawlSite::new(10);
    site.put("CC-MAIN-2024-22", &(0..RECORDS).map(page).collect::<Vec<_>>());
    let server = PageServer::start(move |asked| site.answer(asked));
    let folder = Folder::new();
    let recipe = format!(
        "name = \"captures\"\n[collect]\nsources = [{{ path = \"captures/pages.warc.gz\" }}]\n\
         [collect.common-crawl]\nurls = [\"poems.tw/*\"]\nlanguages = [\"zho\"]\ndelay = 0.02\nindex = \"{}\"\ndata = \"{}\"\n\
         [build]\nclean = [{{ step = \"main-text\", least = 50 }}]\n\
         phrasings = [{{ instruction = \"擬題：\", input = \"{{{{ text }}}}\", output = \"{{{{ title }}}}\" }}]\n",
        server.url("/index"),
        server.url("/data")
    );
    let recipe = folder.write("captures.toml", &recipe);
    let out = folder.path("captures");
    let collect = ["collect", "common-crawl", &recipe, "--out", &out];
    // In the middle of the index, and in the middle of the records.
    killed_after(3, &server, &collect);
    let asked = killed_after(12, &server, &collect);
    assert!(asked < RECORDS, "it was killed on its way");
    let done = luthier(&collect).succeeds();
    assert!(done.stdout.starts_with("24 captures in CC-MAIN-2024-22: "), "{}", done.stdout);
    let totals = json_file(&format!("{out}/ledger.json"));
    let fate = |name: &str| totals["fates"][name].as_u64().unwrap_or(0);
    assert_eq!(fate("fetched") + fate("known"), 24, "{totals}");
    assert!(fate("known") >= 3 && fate("fetched") >= 1, "{totals}");
    let mut ranges: BTreeMap<String, usize> = BTreeMap::new();
    for asked in server.asked() {
        *ranges.entry(format!("{} {:?}", asked.path, asked.range)).or_default() += 1;
    }
    // What was under way when it was killed, twice.
    assert!(twice(&ranges).len() <= 2 && ranges.values().all(|count| *count <= 2), "{ranges:?}");
    server.forget();
    luthier(&collect).succeeds();
    assert_eq!(server.asked(), [], "everything is there");
    assert_eq!(std::fs::read_to_string(format!("{out}/ledger.jsonl")).expect("a ledger").lines().count(), RECORDS);

    assert_eq!(built_twice(&folder, &recipe).len(), RECORDS);
}

#[test]
fn a_server_that_gives_no_records_ends_the_collection_with_a_ledger_and_what_to_do() {
    let mut site = CommonCrawlSite::new(100);
    let captures: Vec<_> =
        (0..12).map(|i| Captured::page(&format!("https://poems.tw/{i}"), "20240518000000", "x")).collect();
    site.put("CC-MAIN-2024-22", &captures);
    let server = PageServer::start(move |asked| site.answer(asked));
    let folder = Folder::new();
    // Where nothing listens.
    let recipe = format!(
        "name = \"none\"\n[collect.common-crawl]\nurls = [\"poems.tw/*\"]\ndelay = 0\nretries = 0\nindex = \"{}\"\ndata = \"http://127.0.0.1:9\"\n",
        server.url("/index")
    );
    let recipe = folder.write("none.toml", &recipe);
    let out = folder.path("captures");
    let failed = luthier(&["collect", "common-crawl", &recipe, "--out", &out]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    for part in
        ["10 records could not be had (10 no answer)", "127.0.0.1:9 gives no records, so 2 more were not asked for"]
    {
        assert!(failed.stderr.contains(part), "{part:?} is not in: {}", failed.stderr);
    }
    let totals = json_file(&format!("{out}/ledger.json"));
    assert_eq!((&totals["fates"]["failed"], &totals["fates"]["left"]), (&Value::from(10), &Value::from(2)));
}

#[test]
fn a_recipe_that_does_not_say_what_to_collect_is_refused() {
    let folder = Folder::new();
    let out = folder.path("crawl");
    for (kind, text, parts) in [
        ("web", "[collect.web]\ndepth = 2\n", ["collect.web.start", "is missing"]),
        ("web", "[collect.web]\nstart = [\"example.org\"]\n", ["[collect.web] start", "example.org"]),
        ("common-crawl", "[collect.web]\nstart = [\"http://example.org\"]\n", ["collect.common-crawl", "is missing"]),
        (
            "common-crawl",
            "[collect.common-crawl]\ncrawls = [\"latest\"]\n",
            ["collect.common-crawl.urls", "is missing"],
        ),
        ("common-crawl", "[collect.common-crawl]\nurls = [\"*\"]\n", ["[collect.common-crawl] urls", "*.example.com"]),
        (
            "common-crawl",
            "[collect.common-crawl]\nurl = \"a.tw\"\n",
            ["collect.common-crawl.url", "did you mean urls?"],
        ),
    ] {
        let recipe = folder.write("none.toml", &format!("name = \"none\"\n{text}"));
        luthier(&["collect", kind, &recipe, "--out", &out]).refuses(&parts);
    }
}
