//! `luthier build`: from documents to a data set, and what it refuses.

use std::path::Path;

use serde_json::Value;

use crate::command::{Folder, luthier};

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
