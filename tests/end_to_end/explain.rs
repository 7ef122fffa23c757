//! `luthier explain` shows the decoding that `luthier generate` does.

use serde_json::Value;

use crate::command::{Folder, luthier};

fn explain(flags: &str) -> Value {
    let arguments = format!("explain --model pocket --json --prompt A␣lamp␣that {flags}");
    let arguments: Vec<String> = arguments.split(' ').map(|word| word.replace('␣', " ")).collect();
    let lines = luthier(&arguments).succeeds().json_lines();
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

fn generate(flags: &str) -> Value {
    let arguments = format!("generate --model pocket --json --prompt A␣lamp␣that {flags}");
    let arguments: Vec<String> = arguments.split(' ').map(|word| word.replace('␣', " ")).collect();
    luthier(&arguments).succeeds().json_lines()[0].clone()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} of {value}"))
}

#[test]
fn every_search_gives_the_tokens_that_generate_gives() {
    for (flags, search) in [
        ("--max-new-tokens 6", "greedy decoding"),
        ("--max-new-tokens 6 --do-sample --top-k 20 --top-p 0.9 --seed 3 --num-return-sequences 2", "sampling"),
        ("--max-new-tokens 6 --num-beams 3 --num-return-sequences 3", "beam search"),
        ("--max-new-tokens 5 --num-beams 3 --do-sample --temperature 1.3 --seed 3", "beam sampling"),
        ("--max-new-tokens 5 --num-beams 4 --num-beam-groups 2 --diversity-penalty 0.5", "diverse beam search"),
    ] {
        let (explained, generated) = (explain(flags), generate(flags));
        assert_eq!(explained["search"], search);
        let (outputs, expected) = (list(&explained, "outputs"), list(&generated, "outputs"));
        assert_eq!(outputs.len(), expected.len());
        for (output, expected) in outputs.iter().zip(expected) {
            let ids: Vec<&Value> = list(output, "tokens").iter().map(|token| &token["id"]).collect();
            assert_eq!(ids, expected["tokens"].as_array().unwrap().iter().collect::<Vec<_>>(), "{flags}");
            assert_eq!((&output["text"], &output["score"]), (&expected["text"], &expected["score"]));
        }
    }
}

#[test]
fn a_step_of_sampling_holds_its_candidates_behind_every_warper() {
    let explained = explain("--max-new-tokens 4 --do-sample --temperature 0.7 --top-k 12 --top-p 0.9 --candidates 5");
    let steps = list(&explained, "steps");
    assert_eq!(steps.len(), 4);
    for step in steps {
        let names: Vec<&str> = list(step, "stages").iter().map(|stage| stage["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["temperature", "top_k", "top_p"]);
        let kept: Vec<u64> = list(step, "stages").iter().map(|stage| stage["kept"].as_u64().unwrap()).collect();
        assert!(kept[0] > 100 && kept[1] == 12 && (1..=12).contains(&kept[2]), "{kept:?}");
        let candidates = list(step, "candidates");
        assert!((5..=6).contains(&candidates.len()));
        let taken: Vec<&Value> = candidates.iter().filter(|candidate| candidate["taken"] == true).collect();
        assert_eq!(taken.len(), 1);
        assert_eq!((&taken[0]["id"], &taken[0]["text"]), (&step["taken"]["id"], &step["taken"]["text"]));
        assert!(taken[0]["after"][2].as_f64().unwrap() > 0.0);
        assert!((0.0..1.0).contains(&step["uniform"].as_f64().unwrap()));
    }
}

#[test]
fn the_tree_of_the_beams_leads_to_the_best_output() {
    let explained = explain("--max-new-tokens 5 --num-beams 3");
    let group = &explained["groups"][0];
    let mut path = Vec::new();
    for step in list(group, "steps") {
        let on_path: Vec<&Value> = list(step, "continuations").iter().filter(|one| one["on_path"] == true).collect();
        path.extend(on_path.iter().map(|one| &one["id"]));
    }
    let best: Vec<&Value> = list(&explained["outputs"][0], "tokens").iter().map(|token| &token["id"]).collect();
    assert_eq!(path, best);
    let places: Vec<&Value> = list(group, "hypotheses").iter().filter(|one| one["place"] == 1).collect();
    assert_eq!((places.len(), &places[0]["score"]), (1, &explained["outputs"][0]["score"]));
}

#[test]
fn the_terminal_gets_80_columns_without_colours_and_a_file_a_page() {
    let ask = ["explain", "--model", "pocket", "--chat", "A lamp", "--max-new-tokens", "3"];
    let drawn = luthier(&ask).succeeds().stdout;
    assert!(drawn.contains("step 3: ") && drawn.contains("entropy, nats") && !drawn.contains('\u{1b}'), "{drawn}");
    let tree = luthier(&[&ask[..], &["--num-beams", "3", "--length-penalty", "0.5"]].concat()).succeeds().stdout;
    for line in drawn.lines().chain(tree.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let folder = Folder::new();
    let path = folder.path("page.html");
    let written =
        luthier(&[&ask[..], &["--num-beams", "2", "--html", &path, "--language", "zh-Hant"]].concat()).succeeds();
    assert_eq!(written.stdout, format!("{path}\n"));
    let html = std::fs::read_to_string(&path).unwrap();
    assert!(
        html.starts_with("<!doctype html>") && html.contains("<g class=\"node path\">") && !html.contains("<script")
    );
}

#[test]
fn what_cannot_be_explained_is_refused_by_name() {
    let refused = |flags: &[&str], parts: &[&str]| {
        luthier(&[&["explain", "--model", "pocket"], flags].concat()).refuses(parts);
    };
    refused(&["--prompt", "A", "--penalty-alpha", "0.6", "--top-k", "4"], &["contrastive search", "penalty_alpha"]);
    refused(&["--prompt", "A", "--candidates", "0"], &["--candidates must be at least 1"]);
    refused(&["--prompt", "A", "--chat", "B"], &["cannot be used with"]);
    refused(&["--max-new-tokens", "3"], &["--prompt"]);
    refused(&["--prompt", "A", "--json", "--html", "x.html"], &["cannot be used with"]);
    refused(&["--prompt", "A", "--num-beams", "2", "--num-return-sequences", "3"], &["num_return_sequences is 3"]);
    refused(&["--prompt", "A", "--dola-layers", "low"], &["dola_layers"]);
}
