//! Fetching from a Hub on loopback: what is asked, what lies in the cache afterwards, and what goes wrong.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luthier_fixtures::{Fault, HubServer};
use luthier_hub::{Found, Hub, HubError, RepoName, Settings, Token, Want};
use tempfile::TempDir;

/// A Hub with one model, and a cache of its own.
struct World {
    server: HubServer,
    cache: TempDir,
}

const REPO: &str = "org/small";
const WEIGHTS: &[u8] = &[42; 300_000];

impl World {
    fn new() -> Self {
        let world = Self { server: HubServer::start(), cache: tempfile::tempdir().unwrap() };
        world.put(1, WEIGHTS);
        world
    }

    fn put(&self, commit: u64, weights: &[u8]) {
        let files: [(&str, &[u8]); 7] = [
            ("README.md", b"# Small"),
            ("config.json", b"{\"model_type\": \"llama\"}"),
            ("generation_config.json", b"{}"),
            ("tokenizer.json", b"{\"version\": \"1.0\"}"),
            ("tokenizer_config.json", b""),
            ("model.safetensors", weights),
            ("optimizer.bin", b"not needed"),
        ];
        self.server.put(REPO, &HubServer::commit(commit), &files);
    }

    fn settings(&self) -> Settings {
        let settings = Settings::from_variables(self.server.variables(self.cache.path()));
        Settings { patience: Duration::from_millis(1), ..settings }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.settings())
    }

    fn offline(&self) -> Hub {
        Hub::new(Settings { offline: true, ..self.settings() })
    }

    fn fetch(&self, want: Want) -> Result<Found, HubError> {
        self.hub().fetch(&RepoName::parse(REPO).unwrap(), want)
    }

    fn dir(&self, inside: &str) -> PathBuf {
        self.cache.path().join("hub/models--org--small").join(inside)
    }

    /// Paths asked of the Hub and of the server of files, since so many requests.
    fn asked(&self, since: usize) -> Vec<String> {
        self.server.requests()[since..].iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    fn count(&self) -> usize {
        self.server.requests().len()
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn commit_of(found: &Found) -> String {
    found.origin.as_ref().unwrap().commit.clone()
}

#[test]
fn a_model_lies_in_the_layout_of_the_hubs_own_cache_with_what_is_needed_and_no_more() {
    let world = World::new();
    let found = world.fetch(Want::Model).unwrap();
    assert_eq!((commit_of(&found), &found.notice), (HubServer::commit(1), &None));
    assert_eq!(found.dir, world.dir("snapshots").join(HubServer::commit(1)));
    let needed =
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(names(&found.dir), needed.map(str::to_owned).into());
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), WEIGHTS);
    assert_eq!(fs::read_to_string(world.dir("refs/main")).unwrap(), HubServer::commit(1));
    let blobs = names(&world.dir("blobs"));
    assert!(blobs.contains(&luthier_files::sha256(WEIGHTS)), "{blobs:?}");
    assert_eq!(blobs.len(), 5, "nothing is left beside them: {blobs:?}");
    #[cfg(unix)]
    {
        let link = fs::read_link(found.dir.join("model.safetensors")).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(luthier_files::sha256(WEIGHTS)));
    }
    assert!(!world.asked(0).iter().any(|asked| asked.contains("README") || asked.contains("optimizer")));
}

#[test]
fn a_branch_is_asked_for_once_and_a_commit_that_is_there_not_at_all() {
    let world = World::new();
    world.fetch(Want::Model).unwrap();
    let before = world.count();
    world.fetch(Want::Model).unwrap();
    assert_eq!(world.asked(before), ["GET /api/models/org/small/revision/main?blobs=true"]);
    let (connections, commit) = (world.server.connections(), HubServer::commit(1));
    let found = world.hub().fetch(&RepoName::parse(&format!("{REPO}@{commit}")).unwrap(), Want::Model).unwrap();
    assert_eq!(commit_of(&found), commit);
    assert_eq!(world.server.connections(), connections);
}

#[test]
fn a_branch_that_moved_on_is_followed_and_bytes_that_stay_are_not_fetched_again() {
    let world = World::new();
    world.fetch(Want::Model).unwrap();
    world.put(2, WEIGHTS);
    let before = world.count();
    let found = world.fetch(Want::Model).unwrap();
    assert_eq!(commit_of(&found), HubServer::commit(2));
    assert!(world.server.requests()[before..].iter().all(|request| !request.of_files));
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), WEIGHTS);
    assert_eq!(names(&world.dir("snapshots")).len(), 2);
}

#[test]
fn offline_no_socket_is_opened_and_the_cache_serves() {
    let world = World::new();
    let repo = RepoName::parse(REPO).unwrap();
    let told = world.offline().fetch(&repo, Want::Model).unwrap_err();
    assert!(matches!(told, HubError::NotCached { .. }) && told.is_input(), "{told}");
    assert!(told.to_string().contains("org/small") && told.to_string().contains("revision main"), "{told}");
    assert_eq!(world.server.connections(), 0);

    world.fetch(Want::Description).unwrap();
    let connections = world.server.connections();
    assert!(connections > 0, "what is counted counts");
    world.offline().fetch(&repo, Want::Description).unwrap();
    let told = world.offline().fetch(&repo, Want::Model).unwrap_err().to_string();
    assert!(told.contains("weights"), "{told}");
    assert_eq!(world.server.connections(), connections);

    world.fetch(Want::Model).unwrap();
    let connections = world.server.connections();
    let found = world.offline().fetch(&repo, Want::Model).unwrap();
    assert_eq!((commit_of(&found), found.notice), (HubServer::commit(1), None));
    assert_eq!(world.server.connections(), connections);
}

#[test]
fn without_a_network_the_commit_of_last_time_serves_and_that_is_told() {
    let world = World::new();
    world.fetch(Want::Model).unwrap();
    // A port that nobody listens on any more.
    let endpoint = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let hub = Hub::new(Settings { endpoint, ..world.settings() });
    let found = hub.fetch(&RepoName::parse(REPO).unwrap(), Want::Model).unwrap();
    let notice = found.notice.clone().unwrap();
    assert!(notice.contains("cannot be asked") && notice.contains(&HubServer::commit(1)), "{notice}");
    assert_eq!(commit_of(&found), HubServer::commit(1));
    let told = hub.fetch(&RepoName::parse("org/other").unwrap(), Want::Model).unwrap_err();
    assert!(matches!(told, HubError::NoNetwork { .. }) && !told.is_input(), "{told}");
    assert!(told.to_string().contains("no folder org/other"), "{told}");

    world.server.put_fault(Fault::Busy);
    let found = world.fetch(Want::Model).unwrap();
    assert!(found.notice.unwrap().contains("503"));
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let world = World::new();
    world.server.put_fault(Fault::BreakOff(100_000));
    world.server.put_fault(Fault::BreakOff(50_000));
    let found = world.fetch(Want::Model).unwrap();
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), WEIGHTS);
    let of_files = world.server.requests().into_iter().filter(|request| request.of_files && request.method == "GET");
    let ranges: Vec<Option<String>> = of_files.map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned()), Some("bytes=150000-".to_owned())]);
}

#[test]
fn what_an_earlier_process_left_is_gone_on_with_and_checked_whole() {
    let hash = luthier_files::sha256(WEIGHTS);
    let begin = |world: &World, bytes: &[u8]| {
        fs::create_dir_all(world.dir("blobs")).unwrap();
        fs::write(world.dir("blobs").join(format!("{hash}.incomplete")), bytes).unwrap();
    };
    let fetched = |world: &World| -> Vec<Option<String>> {
        let found = world.fetch(Want::Model).unwrap();
        assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), WEIGHTS);
        assert_eq!(names(&world.dir("blobs")).len(), 5);
        let requests = world.server.requests().into_iter();
        requests.filter(|request| request.of_files).map(|request| request.range).collect()
    };
    let world = World::new();
    begin(&world, &WEIGHTS[..200_000]);
    assert_eq!(fetched(&world), [Some("bytes=200000-".to_owned())]);

    let world = World::new();
    begin(&world, WEIGHTS);
    assert!(fetched(&world).is_empty(), "all bytes were there already");

    // Bytes of something else: found out at the end, and fetched anew.
    let world = World::new();
    begin(&world, &[1; 200_000]);
    assert_eq!(fetched(&world), [Some("bytes=200000-".to_owned()), None]);

    // More than the whole file.
    let world = World::new();
    begin(&world, &[42; 400_000]);
    assert_eq!(fetched(&world), [None]);

    // A server that knows no ranges sends the beginning again.
    let world = World::new();
    begin(&world, &WEIGHTS[..200_000]);
    world.server.put_fault(Fault::WholeFile);
    assert_eq!(fetched(&world), [Some("bytes=200000-".to_owned())]);
}

#[test]
fn a_file_that_arrives_damaged_is_refused_and_nothing_of_it_stays() {
    let world = World::new();
    world.server.put_fault(Fault::Damage);
    let told = world.fetch(Want::Model).unwrap_err();
    assert!(matches!(&told, HubError::Damaged { file, .. } if file == "model.safetensors"), "{told}");
    assert!(told.to_string().contains("SHA-256"), "{told}");
    assert!(!names(&world.dir("blobs")).iter().any(|name| name.contains("incomplete")));
    assert!(!world.dir("refs/main").exists(), "a branch is noted when all of it is there");
    world.fetch(Want::Model).unwrap();
}

#[test]
fn a_server_that_never_sends_the_rest_is_given_up_and_what_came_stays() {
    let world = World::new();
    (0..20).for_each(|_| world.server.put_fault(Fault::BreakOff(0)));
    let told = world.fetch(Want::Model).unwrap_err();
    assert!(matches!(told, HubError::Unreachable { .. }), "{told}");
    assert!(told.to_string().contains("model.safetensors"), "{told}");
    let tries = world.server.requests().iter().filter(|request| request.of_files).count();
    assert_eq!(tries, 5);
}

#[test]
fn shards_are_those_of_the_index() {
    let world = World::new();
    let index = br#"{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    let files: [(&str, &[u8]); 6] = [
        ("config.json", b"{}"),
        ("tokenizer.model", b"pieces"),
        ("model.safetensors.index.json", index),
        ("model-00001-of-00002.safetensors", b"one"),
        ("model-00002-of-00002.safetensors", b"three"),
        ("pytorch_model.bin", b"not needed"),
    ];
    world.server.put("org/large", &HubServer::commit(7), &files);
    let found = world.hub().fetch(&RepoName::parse("org/large").unwrap(), Want::Model).unwrap();
    assert_eq!(found.origin.as_ref().unwrap().weights, Some(8));
    assert_eq!(fs::read(found.dir.join("model-00002-of-00002.safetensors")).unwrap(), b"three");
    assert!(!names(&found.dir).contains("pytorch_model.bin"));
    let description = world.hub().fetch(&RepoName::parse("org/large").unwrap(), Want::Description).unwrap();
    assert_eq!(description.origin.unwrap().weights, Some(8));
}

#[test]
fn the_token_is_shown_to_the_hub_and_to_nobody_it_points_to() {
    let world = World::new();
    world.server.gate(REPO);
    let hub = Hub::new(Settings { token: Token::new("hf_reader"), ..world.settings() });
    hub.fetch(&RepoName::parse(REPO).unwrap(), Want::Model).unwrap();
    let requests = world.server.requests();
    assert!(requests.iter().any(|request| request.of_files) && requests.iter().any(|request| !request.of_files));
    for request in requests {
        let expected = if request.of_files { None } else { Some("Bearer hf_reader".to_owned()) };
        assert_eq!(request.authorization, expected, "{}", request.path);
    }
}

#[test]
fn a_gated_model_says_where_to_accept_its_licence() {
    let world = World::new();
    world.server.gate(REPO);
    let told = world.fetch(Want::Model).unwrap_err();
    assert!(matches!(told, HubError::Gated { token: false, .. }) && told.is_input(), "{told}");
    let page = format!("{}/{REPO}", world.server.endpoint());
    for part in ["needs a token", "HF_TOKEN", "accept its licence", &page] {
        assert!(told.to_string().contains(part), "{part}: {told}");
    }
    let stranger = Hub::new(Settings { token: Token::new("hf_stranger"), ..world.settings() });
    let told = stranger.fetch(&RepoName::parse(REPO).unwrap(), Want::Model).unwrap_err();
    assert!(matches!(told, HubError::Gated { token: true, .. }) && told.to_string().contains(&page), "{told}");
}

#[test]
fn what_is_not_there_is_told_apart() {
    let world = World::new();
    let fetch = |name: &str| world.hub().fetch(&RepoName::parse(name).unwrap(), Want::Model).unwrap_err();
    for name in ["org/none", "private/none"] {
        let told = fetch(name);
        assert!(matches!(told, HubError::NotFound { token: false, .. }) && told.is_input(), "{told}");
        assert!(told.to_string().contains(name) && told.to_string().contains("HF_TOKEN"), "{told}");
    }
    let told = fetch("org/small@v9");
    assert!(matches!(&told, HubError::NoRevision { revision, .. } if revision == "v9"), "{told}");
    let with = |token| Hub::new(Settings { token: Token::new(token), ..world.settings() });
    let told = with("hf_wrong").fetch(&RepoName::parse(REPO).unwrap(), Want::Model).unwrap_err();
    assert!(matches!(told, HubError::Token { .. }), "{told}");
    let told = with("hf_reader").fetch(&RepoName::parse("org/none").unwrap(), Want::Model).unwrap_err();
    assert!(matches!(told, HubError::NotFound { token: true, .. }), "{told}");
}

#[test]
fn a_repository_of_another_kind_says_what_it_lacks_and_what_to_do() {
    let world = World::new();
    let adapter: [(&str, &[u8]); 3] =
        [("adapter_config.json", b"{}"), ("adapter_model.safetensors", b"ab"), ("README.md", b"")];
    world.server.put("org/adapter", &HubServer::commit(3), &adapter);
    world.server.put("org/pictures", &HubServer::commit(4), &[("a.png", b"png"), ("config.json", b"{}")]);
    let fetch = |name: &str, want| world.hub().fetch(&RepoName::parse(name).unwrap(), want);
    let found = fetch("org/adapter", Want::Adapter).unwrap();
    assert_eq!(names(&found.dir).len(), 2);
    assert_eq!(names(&fetch("org/adapter", Want::Description).unwrap().dir).len(), 2);
    let told = fetch("org/adapter", Want::Model).unwrap_err();
    assert!(matches!(told, HubError::Lacks { .. }) && told.to_string().contains("holds an adapter"), "{told}");
    assert!(fetch(REPO, Want::Adapter).unwrap_err().to_string().contains("holds a whole model"));
    let told = fetch("org/pictures", Want::Model).unwrap_err().to_string();
    assert!(told.contains("model.safetensors") && told.contains("org/pictures"), "{told}");
}

#[test]
fn a_renamed_model_is_found_under_its_old_name_and_branches_may_have_slashes() {
    let world = World::new();
    world.server.rename("old/name", REPO);
    world.server.point(REPO, "refs/pr/1", &HubServer::commit(1));
    for name in ["old/name", "org/small@refs/pr/1"] {
        let found = world.hub().fetch(&RepoName::parse(name).unwrap(), Want::Model).unwrap();
        assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), WEIGHTS, "{name}");
    }
    assert_eq!(fs::read_to_string(world.dir("refs/refs/pr/1")).unwrap(), HubServer::commit(1));
}

#[test]
fn progress_counts_the_bytes_of_all_files_together_up_to_their_sum() {
    let world = World::new();
    world.server.put_fault(Fault::BreakOff(150_000));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let hub = world.hub().watched(move |progress| {
        ears.lock().unwrap().push((progress.file.to_owned(), progress.done, progress.total));
    });
    hub.fetch(&RepoName::parse(REPO).unwrap(), Want::Model).unwrap();
    let heard = heard.lock().unwrap();
    let of_weights: Vec<_> = heard.iter().filter(|(file, ..)| file == "model.safetensors").collect();
    assert!(of_weights.is_sorted_by_key(|(_, done, _)| *done) && of_weights.len() > 2);
    assert_eq!(of_weights.last().map(|(_, done, total)| (*done, *total)), Some((300_000, 300_000)));
    let small: Vec<_> = heard.iter().filter(|(file, ..)| file != "model.safetensors").collect();
    assert_eq!(small.last().map(|(_, done, total)| done == total), Some(true));
}

#[test]
fn a_folder_that_exists_is_the_folder() {
    let world = World::new();
    let path = world.cache.path().join(REPO);
    fs::create_dir_all(&path).unwrap();
    let found = world.hub().find(REPO, &path, Want::Model).unwrap();
    assert_eq!((found.dir, found.origin), (path, None));
    let missing = Path::new("./org/small");
    assert_eq!(world.hub().find("./org/small", missing, Want::Model).unwrap().dir, missing);
    assert_eq!(world.server.connections(), 0);
    let found = world.hub().find(REPO, Path::new("/nowhere/org/small"), Want::Model).unwrap();
    assert_eq!(commit_of(&found), HubServer::commit(1));
}

#[test]
fn two_at_once_fetch_the_bytes_once() {
    let world = World::new();
    std::thread::scope(|scope| {
        let fetches = [(); 2].map(|()| scope.spawn(|| world.fetch(Want::Model).unwrap()));
        let [one, other] = fetches.map(|fetch| fetch.join().unwrap());
        assert_eq!(one.dir, other.dir);
        assert_eq!(fs::read(one.dir.join("model.safetensors")).unwrap(), WEIGHTS);
    });
    assert_eq!(world.server.requests().iter().filter(|request| request.of_files).count(), 1);
}
