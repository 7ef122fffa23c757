//! Recipes that collect and build: every key, and what becomes of it.

use std::path::PathBuf;
use std::time::Duration;

use luthier_corpus::build::{Outcome, Pipeline};
use luthier_corpus::clean::Over;
use luthier_corpus::collect::{Captures, CommonCrawl, Manners, Web};
use luthier_corpus::source::{TextBy, Within};
use luthier_hub::{Hub, Settings};

use super::*;

/// Every key of [collect] and [build].
const BUILDING: &str = r#"
name = "all"
seed = 9
folder = "/data"
[collect.web]
start = ["https://example.org/"]
hosts = ["example.org", "www.example.org"]
allow = ["/poems/"]
deny = ["print="]
depth = 2
pages = 50
delay = 0.5
timeout = 10
retries = 1
patience = 5
page_bytes = 100000
user_agent = "tester/1"
[collect.common-crawl]
urls = ["*.gov.tw", "example.org/poems/*"]
crawls = ["CC-MAIN-2024-22"]
languages = ["zho"]
mime = ["text/html"]
status = 404
from = "2024-05"
to = "20240531"
captures = "all"
truncated = true
limit = 10
delay = 0.25
timeout = 20
retries = 2
patience = 40
record_bytes = 200000
user_agent = "tester/2"
index = "http://localhost:1/index"
data = "http://localhost:2"
[[collect.sources]]
path = "rows.json"
format = "json"
columns = { body = "text", title = "meta.title?" }
within = "data"
licence = "CC BY"
about = "rows"
[[collect.sources]]
path = "prose.txt"
text_by = "line"
encoding = "big5"
[[collect.sources]]
path = "table.tsv"
header = ["a", "b"]
[[collect.sources]]
path = "grants.xml"
xml = { record = "grant", fields = { title = "title" } }
[[collect.sources]]
dataset = "org/poems"
files = ["data/train-*.parquet"]
[build]
about = "all keys"
duplicates = { exact = false, near = 0.1, over = ["body"] }
split = { test = 0.2, by = "poet" }
cut = [{ field = "body", characters = 200 }]
sample = 100
balance = { by = "kind", most = 10, level = true }
phrasings = [{ system = "s", instruction = "i", input = "{{ body }}", output = "{{ title }}", weight = 3 }]
clean = [
  { step = "control-characters", over = ["body"] },
  { step = "normalise", form = "nfkc-but-punctuation" },
  { step = "mojibake", most_lost = 0.01 },
  { step = "main-text", least = 100 },
  { step = "select", select = { title = "h1" } },
  { step = "language", keep = ["zh"], confidence = 0.5 },
  { step = "script", keep = ["traditional"], share = 0.8, keep_unknown = false },
  { step = "convert", to = "s2twp", tables = "/" },
  { step = "length", least = 5, most = 100 },
  { step = "quality", least_words = 20, stop_words = 1 },
  { step = "repetition" },
  { step = "clean-lines", least_words = 2, ends_with_mark = false, least_sentences = 1 },
  { step = "personal", mask = ["email"] },
]
[build.contamination]
han = 12
other = 40
over = ["body"]
against = [{ path = "test.jsonl" }]
"#;

#[test]
fn every_key_of_building_is_read() {
    let (written, problems) = written::read(BUILDING, Purpose::Build);
    assert_eq!(problems, []);
    for declared in KEYS.iter().filter(|declared| ["collect", "build"].iter().any(|top| declared.path.starts_with(top)))
    {
        assert!(written.values.keys().any(|key| spec(key) == Some(declared)), "{} is never written", declared.path);
    }
    let made = made(BUILDING, "/recipes/all.toml");
    let names: Vec<&str> = made.steps.iter().map(|step| step.name()).collect();
    let expected = "control-characters normalise mojibake main-text select language script s2twp length quality repetition clean-lines personal";
    assert_eq!(names.join(" "), expected);
    let paths: Vec<String> = made.sources.iter().map(|source| source.source.path.display().to_string()).collect();
    assert_eq!(paths[..4], ["/data/rows.json", "/data/prose.txt", "/data/table.tsv", "/data/grants.xml"]);
    let poems = &made.sources[4];
    assert_eq!(poems.source.only.as_deref(), Some(&[PathBuf::from("data/train-0.parquet")][..]));
    let (name, licence, commit) = (poems.name.as_str(), poems.licence.as_deref(), poems.commit.as_deref());
    assert_eq!((name, licence, commit), ("org/poems", Some("odc-by"), Some("a".repeat(40).as_str())));
    assert_eq!((made.sources[0].name.as_str(), made.sources[0].licence.as_deref()), ("rows.json", Some("CC BY")));
    assert_eq!(made.sources[0].source.within, Within::Member("data".into()));
    assert_eq!(
        (made.sources[1].source.text_by, made.sources[1].source.encoding.as_deref()),
        (TextBy::Line, Some("big5"))
    );
    assert!(made.sources[2].source.header.is_some() && made.sources[3].source.xml.is_some());
    assert!(!made.duplicates.exact && made.duplicates.near.is_some_and(|near| near.edited == 0.1));
    assert_eq!(made.duplicates.over, Over::fields(["body"]));
    let apart = made.apart.expect("it is written");
    assert_eq!((apart.widths.han, apart.widths.other, apart.against.len()), (12, 40, 1));
    let choice = made.choice.expect("rows are drawn");
    assert_eq!(
        (choice.most, choice.most_each, choice.level, choice.by.as_deref()),
        (Some(100), Some(10), true, Some("kind"))
    );
    assert_eq!((made.phrasings[0].weight, made.phrasings[0].system.as_str(), made.cuts[0].characters), (3, "s", 200));
    assert_eq!((made.seed, made.recipe.as_deref()), (9, Some(BUILDING)));
    assert!(made.sides.holds_out());
}

#[test]
fn a_recipe_that_says_little_builds_with_the_usual_settings() {
    let text = "name = \"few\"\ncollect = { sources = [{ path = \"rows.jsonl\" }] }\nbuild = {}\n";
    let made = made(text, "few.toml");
    assert!(made.steps.is_empty() && made.choice.is_none() && made.apart.is_none() && !made.sides.holds_out());
    assert!(made.duplicates.exact && made.duplicates.near.is_none() && made.phrasings.is_empty());
    assert_eq!((made.seed, Outcome::ALL.len()), (42, 9));
}

#[test]
fn what_to_crawl_is_read_without_the_rest() {
    let folder = std::env::temp_dir().join(format!("luthier-web-{}.toml", std::process::id()));
    std::fs::write(&folder, BUILDING).unwrap();
    let web = read_web(&folder).unwrap();
    assert_eq!((web.depth, web.pages, web.page_bytes), (2, 50, 100_000));
    assert_eq!(web.manners, manners(500, 10, 1, 5, "tester/1"));
    assert_eq!(
        (web.hosts.len(), web.allow.as_slice(), web.deny.as_slice()),
        (2, &["/poems/".to_owned()][..], &["print=".to_owned()][..])
    );
    let common_crawl = read_common_crawl(&folder).unwrap();
    let expected = CommonCrawl {
        crawls: vec!["CC-MAIN-2024-22".to_owned()],
        urls: vec!["*.gov.tw".to_owned(), "example.org/poems/*".to_owned()],
        languages: vec!["zho".to_owned()],
        mime: vec!["text/html".to_owned()],
        status: 404,
        from: Some("202405".to_owned()),
        to: Some("20240531".to_owned()),
        captures: Captures::All,
        truncated: true,
        limit: Some(10),
        record_bytes: 200_000,
        manners: manners(250, 20, 2, 40, "tester/2"),
        index: "http://localhost:1/index".to_owned(),
        data: "http://localhost:2".to_owned(),
    };
    assert_eq!(common_crawl, expected);

    std::fs::write(&folder, "name = \"x\"\n[collect]\ncommon-crawl = { urls = [\"a.tw\"] }\n").unwrap();
    let usual = CommonCrawl { urls: vec!["a.tw".to_owned()], ..CommonCrawl::default() };
    assert_eq!(read_common_crawl(&folder).unwrap(), usual, "the recipe's defaults are the library's");
    let error = read_web(&folder).unwrap_err().to_string();
    assert!(error.contains("collect.web") && error.contains("is missing"), "{error}");
    std::fs::write(&folder, "name = \"x\"\n[collect]\nweb = { start = [\"http://a.tw/\"] }\n").unwrap();
    let usual = Web { start: vec!["http://a.tw/".to_owned()], ..Web::default() };
    assert_eq!(read_web(&folder).unwrap(), usual, "the recipe's defaults are the library's");
    let error = read_common_crawl(&folder).unwrap_err().to_string();
    std::fs::remove_file(&folder).unwrap();
    assert!(error.contains("collect.common-crawl") && error.contains("is missing"), "{error}");
}

/// What a recipe makes with a Hub whose one data set lies in the cache.
fn made(text: &str, path: &str) -> Pipeline {
    let cache = tempfile::tempdir().unwrap();
    let commit = "a".repeat(40);
    let repo = cache.path().join("datasets--org--poems");
    for (file, text) in [
        ("refs/main", commit.as_str()),
        (&format!("snapshots/{commit}/data/train-0.parquet"), "PAR1"),
        (&format!("snapshots/{commit}/data/test-0.parquet"), "PAR1"),
        (&format!("snapshots/{commit}/README.md"), "---\nlicense: odc-by\n---\n"),
    ] {
        std::fs::create_dir_all(repo.join(file).parent().unwrap()).unwrap();
        std::fs::write(repo.join(file), text).unwrap();
    }
    let cache = cache.path().to_owned();
    let hub = Hub::new(Settings { cache, offline: true, ..Settings::from_variables(|_| None) });
    BuildRecipe::parse(text, path).unwrap().pipeline(&hub).unwrap_or_else(|error| panic!("{error}")).0
}

#[test]
fn a_source_is_a_path_or_a_data_set() {
    let recipe = |source: &str| format!("name = \"x\"\nbuild = {{}}\n[collect]\nsources = [{{ {source} }}]\n");
    for (source, words) in [
        (
            "about = \"x\"",
            "collect.sources[0].path at x.toml:4:12 is missing; write path = a file or folder, or dataset",
        ),
        (
            "path = \"a\", dataset = \"b/c\"",
            "collect.sources[0].dataset at x.toml:4:26 cannot stand beside collect.sources[0].path",
        ),
        (
            "path = \"a\", files = [\"b\"]",
            "collect.sources[0].files at x.toml:4:26 cannot stand beside collect.sources[0].path",
        ),
        ("data_set = \"b/c\"", "did you mean dataset?"),
    ] {
        let error = BuildRecipe::parse(&recipe(source), "x.toml").unwrap_err().to_string();
        assert!(error.contains(words), "{source}: {error}");
    }
    let hub = Hub::new(Settings { offline: true, ..Settings::from_variables(|_| None) });
    let refused =
        BuildRecipe::parse(&recipe("dataset = \"poems\""), "x.toml").unwrap().pipeline(&hub).map(drop).unwrap_err();
    let words =
        "collect.sources[0].dataset at x.toml:4:14 cannot be had: \"poems\" is no name of a data set on the Hub";
    assert!(refused.is_input() && refused.to_string().contains(words), "{refused}");
}

fn manners(delay_ms: u64, timeout: u64, retries: u32, patience: u64, user_agent: &str) -> Manners {
    Manners {
        delay: Duration::from_millis(delay_ms),
        timeout: Duration::from_secs(timeout),
        retries,
        patience: Duration::from_secs(patience),
        user_agent: user_agent.to_owned(),
    }
}
