//! Data sets of a Hub on loopback: which files come, what lies in the cache afterwards, offline, and names that are none.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use luthier_fixtures::{Fault, HubServer};
use luthier_hub::{DataSet, Hub, HubError, Pick, RepoName, Settings, Token};
use tempfile::TempDir;

const README: &[u8] = b"---\nlanguage: zh\nlicense: cc-by-4.0\n---\n# Poems";
const TRAIN: &[u8] = &[42; 200_000];

/// A Hub with one data set, and a cache of its own.
struct World {
    server: HubServer,
    cache: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { server: HubServer::start(), cache: tempfile::tempdir().unwrap() };
        world.put(1);
        world
    }

    fn put(&self, commit: u64) {
        let files: [(&str, &[u8]); 6] = [
            ("README.md", README),
            (".gitattributes", b"x"),
            ("data/train-00000-of-00002.parquet", TRAIN),
            ("data/train-00001-of-00002.parquet", b"the second part"),
            ("data/test-00000-of-00001.parquet", b"the test"),
            ("raw/詩 1.jsonl", b"{}\n"),
        ];
        self.server.put("datasets/org/poems", &HubServer::commit(commit), &files);
    }

    fn settings(&self) -> Settings {
        let settings = Settings::from_variables(self.server.variables(self.cache.path()));
        Settings { patience: Duration::from_millis(1), ..settings }
    }

    fn fetch(&self, name: &str, patterns: &[&str]) -> Result<DataSet, HubError> {
        fetch(&Hub::new(self.settings()), name, patterns)
    }

    fn offline(&self, name: &str, patterns: &[&str]) -> Result<DataSet, HubError> {
        fetch(&Hub::new(Settings { offline: true, ..self.settings() }), name, patterns)
    }

    fn dir(&self, inside: &str) -> PathBuf {
        self.cache.path().join("hub/datasets--org--poems").join(inside)
    }

    /// Paths asked of the Hub and of the server of files, since so many requests.
    fn asked(&self, since: usize) -> Vec<String> {
        self.server.requests()[since..].iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn fetch(hub: &Hub, name: &str, patterns: &[&str]) -> Result<DataSet, HubError> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let pick = if patterns.is_empty() { Pick::Each(&|name| !name.ends_with(".md")) } else { Pick::Matching(&patterns) };
    hub.data_set(&RepoName::data_set(name)?, pick)
}

#[test]
fn the_files_that_fit_come_into_the_ordinary_cache_with_the_licence_of_the_readme() {
    let world = World::new();
    let found = world.fetch("org/poems", &["data/train-*.parquet"]).unwrap();
    assert_eq!(found.files, ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]);
    assert_eq!(fs::read(found.dir.join(&found.files[0])).unwrap(), TRAIN);
    assert_eq!((found.origin.commit, found.origin.revision.as_str()), (HubServer::commit(1), "main"));
    assert_eq!((found.licence.as_deref(), found.notice), (Some("cc-by-4.0"), None));
    assert_eq!(found.dir, world.dir("snapshots").join(HubServer::commit(1)));
    assert_eq!(fs::read_to_string(world.dir("refs/main")).unwrap(), HubServer::commit(1));
    #[cfg(unix)]
    {
        let link = fs::read_link(found.dir.join("data/train-00000-of-00002.parquet")).unwrap();
        assert_eq!(link, PathBuf::from("../../../blobs").join(luthier_files::sha256(TRAIN)));
    }
    assert!(!found.dir.join("data/test-00000-of-00001.parquet").exists() && !found.dir.join("raw").exists());
    let asked = world.asked(0);
    assert_eq!(asked[0], "GET /api/datasets/org/poems/revision/main?blobs=true");
    assert!(asked.iter().any(|path| path.starts_with("HEAD /datasets/org/poems/resolve/")), "{asked:?}");
    assert!(asked.iter().all(|path| !path.contains("test-00000")), "{asked:?}");
    // Names that no address may hold as they are.
    let all = world.fetch("org/poems", &[]).unwrap();
    assert!(all.files.contains(&"raw/詩 1.jsonl".to_owned()) && all.dir.join("raw/詩 1.jsonl").is_file(), "{all:?}");
}

#[test]
fn what_is_there_is_not_fetched_again_and_a_commit_not_even_asked_for() {
    let world = World::new();
    world.fetch("org/poems", &["data/*"]).unwrap();
    let before = world.server.requests().len();
    world.fetch("org/poems", &["data/train-*"]).unwrap();
    assert_eq!(world.asked(before), ["GET /api/datasets/org/poems/revision/main?blobs=true"]);
    let connections = world.server.connections();
    let pinned = format!("org/poems@{}", HubServer::commit(1));
    assert_eq!(world.fetch(&pinned, &["data/*"]).unwrap().files.len(), 3);
    assert_eq!(world.server.connections(), connections);
    // Another pattern needs more of the same commit.
    assert_eq!(world.fetch(&pinned, &["raw/"]).unwrap().files, ["raw/詩 1.jsonl"]);
    world.put(2);
    assert_eq!(world.fetch("org/poems", &["raw/*"]).unwrap().origin.commit, HubServer::commit(2));
    assert_eq!(world.fetch(&pinned, &["raw/*"]).unwrap().origin.commit, HubServer::commit(1));
}

#[test]
fn offline_the_cache_serves_when_all_that_is_wanted_is_in_it() {
    let world = World::new();
    let told = world.offline("org/poems", &["data/*"]).unwrap_err();
    assert!(matches!(told, HubError::NotCached { .. }) && told.is_input(), "{told}");
    for part in ["the data set org/poems", "revision main", "HF_HUB_OFFLINE", "--offline"] {
        assert!(told.to_string().contains(part), "{part}: {told}");
    }
    assert_eq!(world.server.connections(), 0);
    world.fetch("org/poems", &["data/train-*"]).unwrap();
    let connections = world.server.connections();
    let found = world.offline("org/poems", &["data/train-*"]).unwrap();
    assert_eq!((found.files.len(), found.notice, found.licence.as_deref()), (2, None, Some("cc-by-4.0")));
    // One part of what is wanted is not there, although other files that fit are.
    let told = world.offline("org/poems", &["data/*"]).unwrap_err().to_string();
    assert!(told.contains("does not hold data/test-00000-of-00001.parquet"), "{told}");
    assert_eq!(world.server.connections(), connections);
}

#[test]
fn a_cache_that_others_filled_serves_offline_and_that_is_told() {
    let world = World::new();
    let commit = HubServer::commit(1);
    for (path, bytes) in [("refs/main", commit.as_bytes()), (&format!("snapshots/{commit}/data/a.csv"), b"a,b\n1,2\n")]
    {
        fs::create_dir_all(world.dir(path).parent().unwrap()).unwrap();
        fs::write(world.dir(path), bytes).unwrap();
    }
    let found = world.offline("org/poems", &["data/*"]).unwrap();
    assert_eq!((found.files.as_slice(), found.licence), (&["data/a.csv".to_owned()][..], None));
    assert!(found.notice.is_some_and(|notice| notice.contains("the 1 that the cache holds")));
    assert!(matches!(world.offline("org/poems", &["*.jsonl"]), Err(HubError::NotCached { .. })));
}

#[test]
fn without_a_network_the_commit_of_last_time_serves_and_that_is_told() {
    let world = World::new();
    world.fetch("org/poems", &["data/train-*"]).unwrap();
    let hub = Hub::new(Settings { endpoint: "http://127.0.0.1:9".to_owned(), ..world.settings() });
    let found = fetch(&hub, "org/poems", &["data/train-*"]).unwrap();
    assert!(found.notice.is_some_and(|notice| notice.contains("127.0.0.1:9 cannot be asked")));
    for (name, pattern) in [("org/other", "*"), ("org/poems", "data/test-*")] {
        let told = fetch(&hub, name, &[pattern]).unwrap_err();
        assert!(matches!(told, HubError::NoNetwork { .. }) && !told.is_input(), "{told}");
        assert!(told.to_string().contains(&format!("a data set of the name {name}")), "{told}");
    }
}

#[test]
fn a_download_that_breaks_off_goes_on_and_one_that_was_interrupted_is_not_taken_for_whole() {
    let world = World::new();
    world.server.put_fault(Fault::BreakOff(100_000));
    world.fetch("org/poems", &["data/train-00000*"]).unwrap();
    let ranges: Vec<_> =
        world.server.requests().into_iter().filter(|request| request.of_files).map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
    let world = World::new();
    (0..20).for_each(|_| world.server.put_fault(Fault::BreakOff(0)));
    assert!(matches!(world.fetch("org/poems", &["data/*"]), Err(HubError::Unreachable { .. })));
    assert!(world.offline("org/poems", &["data/*"]).is_err(), "a branch is noted when all of it is there");
}

#[test]
fn a_name_that_is_no_data_set_says_what_it_is_or_what_to_do() {
    let world = World::new();
    world.server.put("org/model", &HubServer::commit(5), &[("config.json", b"{}")]);
    let told = |name: &str| world.fetch(name, &["*"]).unwrap_err();
    let model = told("org/model");
    assert!(matches!(model, HubError::OtherKind { .. }) && model.is_input(), "{model}");
    assert!(
        model.to_string().contains("org/model is a model on") && model.to_string().contains("/datasets/"),
        "{model}"
    );
    let hub = Hub::new(world.settings());
    let data_set = hub.fetch(&RepoName::parse("org/poems").unwrap(), luthier_hub::Want::Model).unwrap_err();
    assert!(data_set.to_string().contains("org/poems is a data set on"), "{data_set}");
    assert!(data_set.to_string().contains("collect.sources"), "{data_set}");
    let typo = told("org/peoms");
    assert!(matches!(typo, HubError::NotFound { .. }), "{typo}");
    for part in ["no data set org/peoms", &world.server.endpoint(), "HF_TOKEN"] {
        assert!(typo.to_string().contains(part), "{part}: {typo}");
    }
    assert!(told("poems").to_string().contains("\"poems\" is no name of a data set on the Hub"));
    assert!(told("org/poems@v9").to_string().contains("/datasets/org/poems/tree/main"));
    let none = world.fetch("org/poems", &["train/*"]).unwrap_err().to_string();
    assert!(
        none.contains("no file of it fits \"train/*\"; it holds .gitattributes, README.md, data/test-00000"),
        "{none}"
    );
}

#[test]
fn a_gated_data_set_says_where_to_accept_its_licence() {
    let world = World::new();
    world.server.gate("datasets/org/poems");
    let told = world.fetch("org/poems", &["data/*"]).unwrap_err();
    assert!(matches!(told, HubError::Gated { token: false, .. }) && told.is_input(), "{told}");
    let page = format!("{}/datasets/org/poems", world.server.endpoint());
    for part in ["needs a token", "HF_TOKEN", "accept its licence", &page] {
        assert!(told.to_string().contains(part), "{part}: {told}");
    }
    let with = |token| Hub::new(Settings { token: Token::new(token), ..world.settings() });
    let told = fetch(&with("hf_stranger"), "org/poems", &["data/*"]).unwrap_err();
    assert!(matches!(told, HubError::Gated { token: true, .. }), "{told}");
    fetch(&with("hf_reader"), "org/poems", &["data/*"]).unwrap();
}
