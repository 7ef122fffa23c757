//! `luthier build`: from documents to a data set, and what it refuses.

use std::path::Path;

use luthier_fixtures::HubServer;
use serde_json::Value;

use crate::command::{Folder, Outcome, command, luthier, run};
use crate::task::json_file;

const RECIPE: &str = r#"name = "titles"
seed = 7

[collect]
sources = [{ path = "poems.jsonl", columns = { body = "lines", title = "title", poet = "poet?" }, licence = "CC0" }]

[build]
about = "Poems and their titles."
split = { test = 0.3, by = "poet" }
duplicates = { near = 0.15, over = ["body"] }
phrasings = [
  { instruction = "擬題：", input = "{{ body }}", output = "{{ title }}" },
  { instruction = "這首詩的題目是？\n\n{{ body }}", output = "{{ title }}", weight = 2 },
]

[[build.clean]]
step = "convert"
to = "s2tw"

[[build.clean]]
step = "length"
over = ["body"]
least = 4
"#;

/// Twenty poems of ten poets, one poem without a title, one too short, one said twice.
fn poems(folder: &Folder) {
    let mut text = String::new();
    for i in 0..20 {
        let line = ["白日依山盡，黃河入海流。", "春眠不觉晓，处处闻啼鸟。", "千山鳥飛絕，萬徑人蹤滅。"][i % 3];
        text += &format!(
            "{{\"lines\": [\"{line}\", \"{}。\"], \"title\": \"題{i}\", \"poet\": \"{}\"}}\n",
            second_line(i),
            i % 10
        );
    }
    text += "{\"lines\": [\"沒有題目，也沒有作者的一首\"]}\n{\"lines\": [\"短\"], \"title\": \"題\"}\n";
    let again = second_line(0);
    text += &format!("{{\"lines\": [\"白日依山盡，黃河入海流。\", \"{again}！\"], \"title\": \"再題\"}}\n");
    folder.write("poems.jsonl", &text);
}

/// Fourteen characters that no other poem has in this order.
fn second_line(i: usize) -> String {
    let letters: Vec<char> = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏".chars().collect();
    (0..14).map(|k| letters[(i * 7 + k * (i + 3)) % letters.len()]).collect()
}

#[test]
fn a_recipe_becomes_rows_a_ledger_and_a_card_and_the_same_bytes_again() {
    let folder = Folder::new();
    poems(&folder);
    let recipe = folder.write("titles.toml", RECIPE);
    let (one, two) = (folder.path("one"), folder.path("two"));
    let built = luthier(&["build", &recipe, "--out", &one]).succeeds();
    assert!(built.stdout.starts_with("23 records read: "), "{}", built.stdout);
    assert!(built.stderr.contains("1 records could not be read (1 missing column)"), "{}", built.stderr);
    let totals = luthier(&["build", &recipe, "--out", &two, "--json", "--threads", "1"]).succeeds();
    let totals: Value = serde_json::from_str(&totals.stdout).expect("JSON");
    assert_eq!(
        (&totals["outcomes"]["duplicate"], &totals["outcomes"]["near-duplicate"]),
        (&Value::Null, &Value::from(1))
    );
    assert_eq!((&totals["outcomes"]["dropped"], &totals["outcomes"]["faulty"]), (&Value::from(1), &Value::from(1)));
    let read = |folder: &str, name: &str| std::fs::read_to_string(Path::new(folder).join(name)).expect(name);
    for name in ["train.jsonl", "test.jsonl", "ledger.jsonl", "ledger.json", "card.md", "recipe.toml"] {
        assert_eq!(read(&one, name), read(&two, name), "{name}");
    }
    assert_eq!(read(&one, "recipe.toml"), RECIPE);
    assert!(read(&one, "train.jsonl").contains("春眠不覺曉，處處聞啼鳥"));
    assert_eq!(read(&one, "ledger.jsonl").lines().count(), 23);
    // The rows are such as training reads, and the folder is known for what it is.
    let rows = |name: &str| read(&one, name).lines().count();
    let facts = &luthier(&["inspect", &one, "--json"]).succeeds().json_lines()[0];
    assert_eq!((&facts["name"], &facts["faults"]["count"]), (&Value::from("titles"), &Value::from(0)));
    assert_eq!(facts["sides"]["train"], rows("train.jsonl"));
    assert_eq!((&facts["sides"]["test"], &facts["sides"]["test_in_train"]), (&rows("test.jsonl").into(), &0.into()));
    assert_eq!(
        (&facts["ledger"]["dropped"], &facts["rows"]),
        (&1.into(), &(rows("train.jsonl") + rows("test.jsonl")).into())
    );
}

#[test]
fn a_data_set_is_replaced_only_when_that_is_said_and_nothing_else_ever_is() {
    let folder = Folder::new();
    poems(&folder);
    let recipe = folder.write("titles.toml", RECIPE);
    let out = folder.path("out");
    luthier(&["build", &recipe, "--out", &out]).succeeds();
    luthier(&["build", &recipe, "--out", &out]).refuses(&["a data set is there already", "--overwrite"]);
    let changed = folder.write("titles.toml", &RECIPE.replace("seed = 7", "seed = 8"));
    luthier(&["build", &changed, "--out", &out, "--overwrite"]).succeeds();
    assert!(std::fs::read_to_string(Path::new(&out).join("recipe.toml")).expect("there").contains("seed = 8"));
    let other = folder.path("other");
    std::fs::create_dir(&other).expect("made");
    luthier(&["build", &recipe, "--out", &other, "--overwrite"]).refuses(&["holds no data set of luthier's"]);
}

#[test]
fn mistakes_in_a_recipe_are_named_with_their_place() {
    let folder = Folder::new();
    poems(&folder);
    let out = folder.path("out");
    for (from, to, parts) in [
        ("split =", "splt =", ["build.splt at", "wrong.toml:9:1", "did you mean split?"]),
        (
            "step = \"length\"",
            "step = \"lenght\"",
            ["build.clean[1].step", "wrong.toml:21:1", "did you mean \"length\"?"],
        ),
        (
            "least = 4",
            "form = \"nfc\"",
            ["build.clean[1].form", "belongs to another step", "options of length: least, most, over"],
        ),
        ("to = \"s2tw\"", "", ["build.clean[0].to", "is missing", "the step convert needs it"]),
        (
            "{{ title }}\" },\n  {",
            "{{ title }\" },\n  {",
            ["build.phrasings[0].output", "wrong.toml:12:48", "cannot be used"],
        ),
        ("[build]", "[built]", ["built at", "did you mean build?", "is not a key"]),
        ("poems.jsonl", "poem.jsonl", ["cannot read", "poem.jsonl", "No such file"]),
    ] {
        assert!(RECIPE.contains(from), "{from}");
        let recipe = folder.write("wrong.toml", &RECIPE.replacen(from, to, 1));
        luthier(&["build", &recipe, "--out", &out]).refuses(&parts);
        assert!(!Path::new(&out).exists());
    }
    let recipe = folder.write("titles.toml", RECIPE);
    luthier(&["train", &recipe]).refuses(&["data", "is missing", "model"]);
}

/// A Hub with a data set of twenty poems in two files and a test file, and a recipe for the first two.
struct Poems {
    server: HubServer,
    folder: Folder,
}

impl Poems {
    fn new() -> Self {
        let poems = Self { server: HubServer::start(), folder: Folder::new() };
        poems.put(1, "詩");
        poems
    }

    fn put(&self, commit: u64, word: &str) {
        let rows = |from: usize, to: usize| -> Vec<u8> {
            let row = |i| format!("{{\"text\": \"{word}的正文：{}。\", \"title\": \"{word}{i}\"}}\n", second_line(i));
            (from..to).map(row).collect::<String>().into_bytes()
        };
        let (one, two, test) = (rows(0, 12), rows(12, 20), rows(20, 24));
        let readme = b"---\nlicense: cc-by-4.0\n---\n# Poems".to_vec();
        let files: [(&str, &[u8]); 4] = [
            ("README.md", &readme),
            ("data/train-0.jsonl", &one),
            ("data/train-1.jsonl", &two),
            ("data/test-0.jsonl", &test),
        ];
        self.server.put("datasets/org/poems", &HubServer::commit(commit), &files);
    }

    fn recipe(&self, source: &str) -> String {
        let text = format!(
            "name = \"poems\"\n[collect]\nsources = [{{ {source} }}]\n[build]\n\
             phrasings = [{{ instruction = \"擬題：\", input = \"{{{{ text }}}}\", output = \"{{{{ title }}}}\" }}]\n"
        );
        self.folder.write("poems.toml", &text)
    }

    fn build(&self, recipe: &str, out: &str, more: &[&str]) -> Outcome {
        let out = self.folder.path(out);
        let arguments = [&["build", recipe, "--out", &out][..], more].concat();
        let mut command = command(&arguments);
        command.env("HF_ENDPOINT", self.server.endpoint()).env("HF_HOME", self.folder.path("hf"));
        command.env_remove("HF_HUB_OFFLINE");
        run(command, "")
    }

    fn read(&self, out: &str, name: &str) -> String {
        std::fs::read_to_string(Path::new(&self.folder.path(out)).join(name)).expect(name)
    }
}

const FILES: [&str; 5] = ["train.jsonl", "ledger.jsonl", "ledger.json", "card.md", "recipe.toml"];

#[test]
fn a_data_set_of_the_hub_is_a_source_whose_commit_and_licence_are_noted() {
    let poems = Poems::new();
    let recipe = poems.recipe("dataset = \"org/poems\", files = [\"data/train-*\"]");
    poems.build(&recipe, "offline", &["--offline"]).refuses(&[
        "collect.sources[0].dataset at ",
        "the data set org/poems",
        "--offline",
    ]);
    assert_eq!(poems.server.connections(), 0);
    let built = poems.build(&recipe, "one", &[]).succeeds();
    assert!(built.stdout.starts_with("20 records read: 20 train"), "{}", built.stdout);
    let source = json_file(&format!("{}/ledger.json", poems.folder.path("one")))["sources"][0].clone();
    assert_eq!((&source["source"], &source["commit"]), (&"org/poems".into(), &Value::from(HubServer::commit(1))));
    let row: Value =
        serde_json::from_str(poems.read("one", "train.jsonl").lines().next().expect("a row")).expect("JSON");
    assert!(row.to_string().contains("org/poems/data/train-0.jsonl"), "{row}");
    let card = poems.read("one", "card.md");
    for part in [
        "| `org/poems` | cc-by-4.0 | 20 |",
        &format!("dataset = \"org/poems@{}\"", HubServer::commit(1)),
        "org/poems/data/train-1.jsonl",
    ] {
        assert!(card.contains(part), "{part:?} is not in: {card}");
    }

    // Without a network the same bytes.
    let connections = poems.server.connections();
    poems.build(&recipe, "two", &["--offline"]).succeeds();
    assert_eq!(poems.server.connections(), connections);
    for name in FILES {
        assert_eq!(poems.read("one", name), poems.read("two", name), "{name}");
    }
    // The branch moves on; the commit that the card names gives the rows of before.
    poems.put(2, "詞");
    poems.build(&recipe, "three", &[]).succeeds();
    assert!(
        poems.read("three", "card.md").contains(&HubServer::commit(2))
            && poems.read("three", "train.jsonl").contains("詞1")
    );
    let pinned = poems.recipe(&format!(
        "dataset = \"org/poems@{}\", files = [\"data/train-*\"], licence = \"mine\"",
        HubServer::commit(1)
    ));
    poems.build(&pinned, "four", &[]).succeeds();
    let outputs = |out: &str| -> Vec<Value> {
        let rows = poems.read(out, "train.jsonl");
        rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("JSON")["output"].clone()).collect()
    };
    assert_eq!(outputs("four"), outputs("one"));
    assert!(poems.read("four", "card.md").contains("| mine |"), "what the recipe states counts");
    // Of a test set that rows are only compared with, the commit is noted too.
    let recipe = poems.recipe("dataset = \"org/poems\", files = [\"data/train-*\"]");
    let text = std::fs::read_to_string(&recipe).expect("the recipe");
    let against =
        "[build.contamination]\nagainst = [{ dataset = \"org/poems@main\", files = [\"data/test-0.jsonl\"] }]\n";
    let compared = poems.folder.write("compared.toml", &(text + against));
    poems.build(&compared, "compared", &[]).succeeds();
    assert!(poems.read("compared", "card.md").contains("`org/poems@main` is a data set of the Hugging Face Hub"));
    // Without patterns every file of rows.
    let all = poems.build(&poems.recipe("dataset = \"org/poems\""), "five", &[]).succeeds();
    assert!(all.stdout.starts_with("24 records read"), "{}", all.stdout);
}

#[test]
fn a_data_set_that_cannot_be_had_is_told_with_its_key_and_what_to_do() {
    let poems = Poems::new();
    poems.server.put("org/model", &HubServer::commit(5), &[("config.json", b"{}")]);
    poems.server.put("datasets/org/gated", &HubServer::commit(6), &[("a.jsonl", b"{}")]);
    poems.server.gate("datasets/org/gated");
    for (source, parts) in [
        ("dataset = \"org/model\"", ["is a model on", "not a data set"]),
        ("dataset = \"org/peoms\"", ["there is no data set org/peoms", "HF_TOKEN"]),
        ("dataset = \"org/gated\"", ["is gated", "/datasets/org/gated"]),
        ("dataset = \"poems\"", ["no name of a data set", "ORG/NAME"]),
        (
            "dataset = \"org/poems\", files = [\"*.parquet\"]",
            ["no file of it fits \"*.parquet\"", "data/train-0.jsonl"],
        ),
    ] {
        let recipe = poems.recipe(source);
        poems
            .build(&recipe, "out", &[])
            .refuses(&[&["collect.sources[0].dataset at ", "poems.toml:3:14"][..], &parts].concat());
        assert!(!Path::new(&poems.folder.path("out")).exists());
    }
    let recipe = poems.recipe("dataset = \"org/poems\"");
    let mut unreachable = command(&["build", &recipe, "--out", &poems.folder.path("out")]);
    unreachable
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .env("HF_HOME", poems.folder.path("hf"))
        .env_remove("HF_HUB_OFFLINE");
    let failed = run(unreachable, "");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("127.0.0.1:9 cannot be asked for a data set"), "{}", failed.stderr);
}
