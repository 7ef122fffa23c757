//! Models by their names, from a Hub on loopback: wherever a folder could stand, offline afterwards, and what is told when it fails.

use std::path::Path;
use std::process::Command;

use luthier_fixtures::{HubServer, repository};
use serde_json::{Value, json};

use crate::command::{Folder, Outcome, QWEN, command, luthier, run};
use crate::task::{Recipe, json_file, rows, stage, steps};

const ADAPTER: &str = "fixtures/training/qwen2-bias-tied/lora_qv/final";

/// A Hub with a model and an adapter for it, and a cache of its own.
struct World {
    server: HubServer,
    folder: Folder,
}

impl World {
    fn new() -> Self {
        let world = Self { server: HubServer::start(), folder: Folder::new() };
        world.server.put_folder("org/small", &HubServer::commit(1), &repository().join(QWEN));
        world.server.put_folder("org/adapter", &HubServer::commit(9), &repository().join(ADAPTER));
        world
    }

    fn command<A: AsRef<str>>(&self, arguments: &[A]) -> Command {
        let mut command = command(arguments);
        command.env("HF_ENDPOINT", self.server.endpoint()).env("HF_HOME", self.folder.path("hf"));
        command.env_remove("HF_HUB_OFFLINE");
        command
    }

    fn luthier<A: AsRef<str>>(&self, arguments: &[A]) -> Outcome {
        run(self.command(arguments), "")
    }

    /// A command while the variable says that the network is off.
    fn offline<A: AsRef<str>>(&self, arguments: &[A]) -> Outcome {
        let mut command = self.command(arguments);
        command.env("HF_HUB_OFFLINE", "1");
        run(command, "")
    }

    fn weights_were_asked_for(&self) -> bool {
        self.server.requests().iter().any(|request| request.path.contains("/model.safetensors"))
    }

    fn recipe(&self, model: &str) -> Recipe {
        Recipe { model: model.to_owned(), ..Recipe::lora(&rows(&self.folder)) }
    }
}

fn generate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["generate", "--prompt", "天地", "--max-new-tokens", "6", "--do-sample=false", "--json"];
    [&fixed, more].concat()
}

#[test]
fn a_model_and_an_adapter_are_used_by_name_and_afterwards_without_a_network() {
    let world = World::new();
    let by_folder = luthier(&generate(&["--model", QWEN, "--adapter", ADAPTER])).succeeds().stdout;
    let by_name = generate(&["--model", "org/small", "--adapter", "org/adapter@main"]);
    world.offline(&by_name).refuses(&["no folder org/small", "the model org/small", "HF_HUB_OFFLINE"]);
    assert_eq!(world.server.connections(), 0);

    let first = world.luthier(&by_name).succeeds();
    assert_eq!(first.stdout, by_folder);
    assert!(first.stderr.contains("org/small: ") && first.stderr.contains("MB"), "{}", first.stderr);
    let again = world.luthier(&by_name).succeeds();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), (by_folder.as_str(), ""));

    let connections = world.server.connections();
    assert_eq!(world.offline(&by_name).succeeds().stdout, by_folder);
    assert_eq!(world.luthier(&[&by_name[..], &["--offline"]].concat()).succeeds().stdout, by_folder);
    let pinned = format!("org/small@{}", HubServer::commit(1));
    let adapter = format!("org/adapter@{}", HubServer::commit(9));
    let at_commits = generate(&["--model", &pinned, "--adapter", &adapter]);
    assert_eq!(world.luthier(&at_commits).succeeds().stdout, by_folder);
    assert_eq!(world.server.connections(), connections, "no connection was opened");
}

#[test]
fn a_run_records_its_commits_and_goes_on_with_them_when_the_branch_moves_on() {
    let world = World::new();
    let recipe = Recipe {
        train: "steps = 3\nlora = { init = \"org/adapter\" }".to_owned(),
        ..world.recipe("base = \"org/small\"")
    };
    let (recipe, out) = (recipe.write(&world.folder), world.folder.path("out"));
    let train = ["train", &recipe, "--out", &out];
    world.luthier(&train).succeeds();
    let commits = || json_file(&format!("{out}/manifest.json"))["hub"].clone();
    let expected = json!({
        "model.base": {"repo": "org/small", "revision": "main", "commit": HubServer::commit(1)},
        "train.lora.init": {"repo": "org/adapter", "revision": "main", "commit": HubServer::commit(9)},
    });
    assert_eq!(commits(), expected);
    let config = json_file(&format!("{out}/adapter/adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], "org/small");
    assert_eq!(config["revision"], HubServer::commit(1));
    assert!(std::fs::read_to_string(format!("{out}/recipe.toml")).unwrap().contains("base = \"org/small\""));

    // Another commit with the same files: the run keeps to its own, and asks nobody.
    world.server.put_folder("org/small", &HubServer::commit(2), &repository().join(QWEN));
    std::fs::remove_dir_all(format!("{out}/adapter")).unwrap();
    let connections = world.server.connections();
    world.luthier(&train).succeeds();
    assert_eq!((commits(), world.server.connections()), (expected, connections));
    world.luthier(&["evaluate", &recipe, "--out", &out]).succeeds();
    let page = std::fs::read_to_string(format!("{out}/report.html")).unwrap();
    assert!(page.contains(&format!("small@{}", HubServer::commit(1))), "{page}");

    world.luthier(&[&train[..], &["--overwrite"]].concat()).succeeds();
    assert_eq!(commits()["model.base"]["commit"], HubServer::commit(2));
}

#[test]
fn a_model_by_name_trains_the_same_weights_as_its_folder() {
    let world = World::new();
    let train = "steps = 3\nlora = { rank = 2 }";
    let by_name = Recipe { train: train.to_owned(), ..world.recipe("base = \"org/small@main\"") };
    let by_folder = Recipe { name: "folder", train: train.to_owned(), ..Recipe::lora(&rows(&world.folder)) };
    let outs = ["name", "folder"].map(|name| world.folder.path(name));
    world.luthier(&["train", &by_name.write(&world.folder), "--out", &outs[0]]).succeeds();
    stage("train", &by_folder.write(&world.folder), &outs[1], &[]).succeeds();
    let losses = outs.map(|out| steps(&out).iter().map(|step| step["loss"].clone()).collect::<Vec<Value>>());
    assert_eq!(losses[0], losses[1]);
}

#[test]
fn to_inspect_and_to_plan_no_weights_are_fetched() {
    let world = World::new();
    let by_folder = &luthier(&["inspect", QWEN, "--json"]).succeeds().json_lines()[0];
    let facts = &world.luthier(&["inspect", "org/small", "--json"]).succeeds().json_lines()[0];
    assert_eq!(facts["hub"], format!("org/small@{}", HubServer::commit(1)));
    let bytes = std::fs::metadata(repository().join(QWEN).join("model.safetensors")).unwrap().len();
    assert_eq!(facts["weights"], json!({"stored_as": "float32", "bytes": bytes, "here": false}));
    for field in ["parameters_by_kind", "memory_bytes", "lora_training", "tokenizer"] {
        assert_eq!(facts[field], by_folder[field], "{field}");
    }
    let screen = world.luthier(&["inspect", "org/small"]).succeeds().stdout;
    assert!(screen.contains("org/small@") && screen.contains("the weights are not here yet"), "{screen}");
    let recipe = world.recipe("base = \"org/small\"").write(&world.folder);
    let plan = world.luthier(&["plan", &recipe]).succeeds();
    assert!(
        plan.stdout.contains("peak memory") && plan.stderr.contains("org/small holds no weights yet"),
        "{}",
        plan.stderr
    );
    let shown = world.luthier(&["inspect", &recipe, "--rows", "1"]).succeeds().stdout;
    assert!(shown.contains("| trained |"), "{shown}");
    assert!(!world.weights_were_asked_for());

    let adapter = &world.luthier(&["inspect", "org/adapter", "--json"]).succeeds().json_lines()[0];
    assert_eq!((&adapter["kind"], &adapter["type"]), (&json!("adapter"), &json!("LORA")));
    assert_eq!(adapter["hub"], format!("org/adapter@{}", HubServer::commit(9)));
}

#[test]
fn a_folder_that_exists_wins_and_one_behind_a_dot_is_never_looked_for_on_the_hub() {
    let world = World::new();
    let at = world.folder.path("here/org/small");
    std::fs::create_dir_all(&at).unwrap();
    let inside = |model: &str| {
        let mut command = world.command(&generate(&["--model", model]));
        command.current_dir(world.folder.path("here"));
        run(command, "")
    };
    inside("org/small").refuses(&["org/small is not a model folder", "config.json"]);
    inside("./org/other").refuses(&["./org/other is not a model folder"]);
    // In a recipe the folder is looked for beside it.
    world.folder.write("org/small/readme.txt", "no model");
    let recipe = world.recipe("base = \"org/small\"").write(&world.folder);
    world
        .luthier(&["train", &recipe, "--out", &world.folder.path("out")])
        .refuses(&["org/small is not a model folder"]);
    assert_eq!(world.server.connections(), 0);
    std::fs::remove_dir(&at).unwrap();
    inside("org/small").succeeds();
}

#[test]
fn what_cannot_be_had_is_told_with_what_to_do() {
    let world = World::new();
    world.server.put_folder("org/gated", &HubServer::commit(3), &repository().join(QWEN));
    world.server.gate("org/gated");
    let page = format!("{}/org/gated", world.server.endpoint());
    let with = |model: &str| world.luthier(&generate(&["--model", model]));
    with("org/gated").refuses(&["is gated", "needs a token", "HF_TOKEN", "accept its licence", &page]);
    with("org/none").refuses(&["neither a folder org/none", "nor a model of that name", &world.server.endpoint()]);
    with("org/small@v7").refuses(&["org/small has no revision \"v7\""]);
    with("org/adapter").refuses(&["org/adapter", "config.json", "it holds an adapter"]);
    with("org/small@").refuses(&["org/small@", "revision"]);
    world.luthier(&generate(&["--model", QWEN, "--adapter", "org/small"])).refuses(&["it holds a whole model"]);
    let mut allowed = world.command(&generate(&["--model", "org/gated"]));
    allowed.env("HF_TOKEN", "hf_reader");
    run(allowed, "").succeeds();

    let recipe = world.recipe("base = \"org/none\"").write(&world.folder);
    let out = world.folder.path("out");
    for command in ["run", "train", "evaluate"] {
        let refused = world.luthier(&[command, &recipe, "--out", &out]);
        refused.refuses(&["model.base at ", "names.toml:10:", "neither a folder org/none"]);
        assert!(!Path::new(&out).exists());
    }
    for command in ["plan", "inspect"] {
        world.luthier(&[command, &recipe]).refuses(&["model.base", "neither a folder org/none"]);
    }
}

#[test]
fn a_hub_that_cannot_be_reached_is_a_mishap_unless_the_cache_serves() {
    let world = World::new();
    let asked = generate(&["--model", "org/small"]);
    let unreachable = || {
        let mut command = world.command(&asked);
        command.env("HF_ENDPOINT", "http://127.0.0.1:9");
        run(command, "")
    };
    let failed = unreachable();
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("127.0.0.1:9 cannot be asked for a model"), "{}", failed.stderr);
    let first = world.luthier(&asked).succeeds();
    let served = unreachable().succeeds();
    assert_eq!(served.stdout, first.stdout);
    assert!(served.stderr.starts_with("warning: 127.0.0.1:9 cannot be asked"), "{}", served.stderr);
    assert!(served.stderr.contains(&HubServer::commit(1)), "{}", served.stderr);
}

#[test]
#[cfg(unix)]
fn a_disk_that_fills_up_keeps_what_arrived_and_the_same_command_goes_on() {
    let world = World::new();
    // XFSZ would end the process; ignored, the write fails as on a full disk. In blocks of 512 bytes.
    let script = "trap '' XFSZ; ulimit -f 120; exec \"$0\" \"$@\"";
    let asked = generate(&["--model", "org/small"]);
    let whole = world.command(&asked);
    let mut limited = Command::new("sh");
    limited.args(["-c", script]).arg(whole.get_program()).args(whole.get_args()).current_dir(repository());
    for (name, value) in whole.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let failed = run(limited, "");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    for part in ["no room for", "blobs", "make room", "HF_HOME", "run the same command again"] {
        assert!(failed.stderr.contains(part), "{part:?} is not in: {}", failed.stderr);
    }
    world.luthier(&asked).succeeds();
    let ranges: Vec<Option<String>> =
        world.server.requests().into_iter().filter(|request| request.of_files).map(|request| request.range).collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert!(ranges[1].as_ref().is_some_and(|range| range.starts_with("bytes=")), "{ranges:?}");
}
