//! Rows that cannot be used, and a disk without room: each is told, and what is good stays good.

use std::path::Path;
use std::process::Command;

use luthier_fixtures::repository;
use serde_json::Value;

use crate::command::{Folder, luthier};
use crate::task::{
    Recipe, assert_whole, files, good_rows, json_file, json_lines, outcomes, rows, sha256, stage, steps,
};

/// Twelve rows that cannot be used as they stand, with a word of the reason each must be given.
fn twelve_faults() -> Vec<(Vec<u8>, &'static str)> {
    let long = format!("{{\"instruction\": \"翻成英文。\", \"output\": \"{}\"}}", "很長的答案".repeat(60));
    let mut not_utf8 = b"{\"instruction\": \"Translate\", \"output\": \"caf".to_vec();
    not_utf8.extend(b"\xE9\"}");
    let text = |row: &str| row.as_bytes().to_vec();
    vec![
        (text("this is not JSON"), ""),
        (text("[\"an\", \"array\"]"), "a list"),
        (text("{\"instruction\": \"翻成英文。\", \"input\": \"紅色的雨傘\"}"), "`output`"),
        (text("{\"instruction\": \"翻成英文。\", \"output\": 42}"), "the number 42"),
        (text("{\"instruction\": \"翻成英文。\", \"output\": \"  \"}"), "empty"),
        (text("{\"instruction\": \"\", \"input\": \"\", \"output\": \"red\"}"), "`instruction`"),
        (not_utf8, "not UTF-8 at byte 43"),
        (
            text(
                "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}, {\"role\": \"user\", \"content\": \"b\"}]}",
            ),
            "`messages[0].role`",
        ),
        (text("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}"), "assistant"),
        (text("{\"instruction\": \"翻成英文。\", \"input\": \"x\", \"output\": null}"), "null"),
        (long.into_bytes(), "max_length is 160"),
        (text("{\"instruction\": \"翻成英文。\", \"output\": \"cut o"), "not JSON"),
    ]
}

/// A fault after every third good row, the last of all at the end of the file; the places of the faults, from 1.
fn planted(faults: &[(Vec<u8>, &'static str)]) -> (Vec<Vec<u8>>, Vec<usize>) {
    let mut good = good_rows().into_iter().map(|row| row.to_string().into_bytes());
    let (mut pieces, mut places) = (Vec::new(), Vec::new());
    for (fault, _) in faults {
        pieces.extend(good.by_ref().take(3));
        pieces.push(fault.clone());
        places.push(pieces.len());
    }
    (pieces, places)
}

/// Every fault has its line and reason, the good rows are trained, and the totals balance.
fn all_are_reported(out: &str, faults: &[(Vec<u8>, &'static str)], places: &[usize]) {
    let ledger = json_lines(&format!("{out}/ledger.jsonl"));
    assert_eq!(ledger.len(), faults.len() * 4);
    for (at, entry) in ledger.iter().enumerate() {
        assert_eq!(entry["line"], at + 1);
        match places.iter().position(|place| *place == at + 1) {
            Some(fault) => {
                assert_eq!(entry["outcome"], "dropped", "line {}", at + 1);
                let reason = entry["reason"].as_str().unwrap();
                println!("line {}: {reason}", at + 1);
                assert!(reason.contains(faults[fault].1), "{:?} is not in: {reason}", faults[fault].1);
            }
            None => {
                assert_eq!(entry["outcome"], "trained", "line {}", at + 1);
                assert_eq!(entry["reason"], Value::Null);
            }
        }
    }
    let good = 3 * faults.len();
    assert_eq!(outcomes(out), [("dropped".to_owned(), faults.len()), ("trained".to_owned(), good)].into());
    assert_eq!(steps(out).len(), good.div_ceil(6), "one epoch of the good rows");
}

/// One epoch of all rows of a file, whatever of its answers is lost.
fn recipe_of(data: &str) -> Recipe {
    let recipe = Recipe::lora(data);
    Recipe {
        data: recipe.data.replace("test = 6", "test = 0") + "\nmax_answer_loss = 0.9",
        train: recipe.train.replace("steps = 30", "epochs = 1"),
        ..recipe
    }
}

#[test]
fn twelve_planted_faults_of_json_lines_are_all_reported_and_the_good_rows_trained() {
    let folder = Folder::new();
    let faults = twelve_faults();
    let (pieces, places) = planted(&faults);
    let data = folder.path("rows.jsonl");
    // No line break at the end: the last row is one that was cut off.
    std::fs::write(&data, pieces.join(&b'\n')).unwrap();
    let (recipe, out) = (recipe_of(&data).write(&folder), folder.path("out"));
    let done = stage("run", &recipe, &out, &[]).succeeds();
    assert!(done.stderr.contains("48 rows read: 36 trained, 12 dropped"), "{}", done.stderr);
    all_are_reported(&out, &faults, &places);
    let told = std::fs::read_to_string(format!("{out}/ledger.md")).unwrap();
    assert!(told.contains("rows.jsonl:4: not JSON"), "{told}");
}

#[test]
fn the_faults_of_a_json_array_are_reported_by_position() {
    let folder = Folder::new();
    // A text that is cut off takes the rest of an array with it; the next test is about that.
    let faults = &twelve_faults()[..11];
    let (pieces, places) = planted(faults);
    let data = folder.path("rows.json");
    std::fs::write(&data, [&b"[\n"[..], &pieces.join(&b",\n"[..]), b"\n]\n"].concat()).unwrap();
    let (recipe, out) = (recipe_of(&data).write(&folder), folder.path("out"));
    stage("train", &recipe, &out, &[]).succeeds();
    all_are_reported(&out, faults, &places);
}

#[test]
fn an_array_that_breaks_off_keeps_the_rows_before_and_says_where() {
    let folder = Folder::new();
    let good: Vec<String> = good_rows().iter().map(Value::to_string).collect();
    let data = folder.write("rows.json", &format!("[{},\n{{\"instruction\": \"翻成", good.join(",\n")));
    let (recipe, out) = (recipe_of(&data).write(&folder), folder.path("out"));
    stage("train", &recipe, &out, &[]).succeeds();
    assert_eq!(outcomes(&out), [("dropped".to_owned(), 1), ("trained".to_owned(), 40)].into());
    let ledger = json_lines(&format!("{out}/ledger.jsonl"));
    assert_eq!(ledger[40]["line"], 41);
    println!("{}", ledger[40]["reason"]);
    assert!(ledger[40]["reason"].as_str().unwrap().len() > 10);
}

#[test]
fn repeated_rows_and_rows_of_the_test_are_booked_as_such() {
    let folder = Folder::new();
    let mut all = good_rows();
    all.insert(1, all[0].clone());
    all.insert(2, all[41 - 1].clone());
    let lines: String = all.iter().map(|row| format!("{row}\n")).collect();
    let mut recipe = recipe_of(&folder.write("rows.jsonl", &lines));
    recipe.data = recipe.data.replace("test = 0", "test = 6");
    let (recipe, out) = (recipe.write(&folder), folder.path("out"));
    stage("train", &recipe, &out, &[]).succeeds();
    let ledger = json_lines(&format!("{out}/ledger.jsonl"));
    assert_eq!(ledger[1]["outcome"], "duplicate");
    assert!(ledger[1]["reason"].as_str().unwrap().ends_with("rows.jsonl:1"), "{}", ledger[1]);
    assert_eq!(ledger[2]["outcome"], "leaked");
    assert!(ledger[2]["reason"].as_str().unwrap().ends_with("rows.jsonl:42"), "{}", ledger[2]);
    assert_eq!(outcomes(&out).values().sum::<usize>(), 42);
}

#[test]
fn a_file_without_one_good_row_is_refused_and_the_ledger_says_why() {
    let folder = Folder::new();
    let data = folder.write("rows.jsonl", "nothing\n{\"instruction\": \"a\"}\n");
    let (recipe, out) = (recipe_of(&data).write(&folder), folder.path("out"));
    stage("run", &recipe, &out, &[]).refuses(&["no row is left to train on", "2 rows read: 2 dropped"]);
    assert_eq!(json_lines(&format!("{out}/ledger.jsonl")).len(), 2);
    // The same folder serves once the file is mended.
    rows(&folder);
    stage("train", &recipe, &out, &[]).succeeds();
    assert_eq!(outcomes(&out), [("trained".to_owned(), 40)].into());
}

#[test]
fn answers_lost_to_max_length_stop_a_run_until_the_recipe_allows_for_them() {
    let folder = Folder::new();
    let mut recipe = Recipe::lora(&rows(&folder));
    recipe.data = recipe.data.replace("160", "62");
    let out = folder.path("out");
    stage("run", &recipe.write(&folder), &out, &[]).refuses(&["max_length = 62", "% of the answers' tokens", "raise"]);
    assert!(outcomes(&out)["dropped"] > 0);
    recipe.data = recipe.data.replace("62", "160");
    stage("train", &recipe.write(&folder), &out, &[]).succeeds();
}

#[test]
fn a_refused_run_makes_way_for_the_mended_recipe_with_all_it_made() {
    let folder = Folder::new();
    let create = "[model.create]\nhidden_size = 16\nintermediate_size = 32\nnum_hidden_layers = 1\n\
                  num_attention_heads = 2\n[tokenizer.train]\nvocab_size = 300";
    let mut recipe = Recipe {
        data: "sources = [{ generate = \"devices\", rows = 30, part = \"pretraining\" }]\ntrain_on = \"all\"\n\
               max_length = 20"
            .to_owned(),
        model: create.to_owned(),
        train: "steps = 2".to_owned(),
        ..Recipe::lora("")
    };
    let out = folder.path("out");
    stage("run", &recipe.write(&folder), &out, &[]).refuses(&["max_length = 20", "answers' tokens"]);
    assert!(Path::new(&out).join("base/config.json").is_file());
    recipe.data = recipe.data.replace("max_length = 20", "max_length = 512");
    recipe.model = recipe.model.replace("hidden_size = 16", "hidden_size = 24");
    stage("train", &recipe.write(&folder), &out, &[]).succeeds();
    for config in ["base/config.json", "model/config.json"] {
        assert_eq!(json_file(&format!("{out}/{config}"))["hidden_size"], 24, "{config}");
    }
}

#[test]
fn inspect_lists_the_faults_of_a_file() {
    let folder = Folder::new();
    let faults = twelve_faults();
    let (pieces, _) = planted(&faults);
    let data = folder.path("rows.jsonl");
    std::fs::write(&data, pieces.join(&b'\n')).unwrap();
    let told = luthier(&["inspect", &data]);
    let told = format!("{}{}", told.stdout, told.stderr);
    // A row that is only too long is no fault of the file.
    for line in [4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48] {
        assert!(told.contains(&format!("rows.jsonl:{line}")), "line {line} is not in: {told}");
    }
}

/// The command under a limit of what one file may hold, as a disk that is full at that point.
fn with_room_for(kilobytes: usize, command: &str, recipe: &str, out: &str) -> (Option<i32>, String) {
    // XFSZ would end the process; ignored, the write fails as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2);
    let done = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_luthier"), command, recipe, "--out", out])
        .current_dir(repository())
        .output()
        .expect("sh starts");
    assert!(done.stdout.is_empty());
    (done.status.code(), String::from_utf8(done.stderr).expect("output is UTF-8"))
}

#[test]
#[cfg(unix)]
fn a_disk_that_fills_up_during_a_checkpoint_leaves_the_earlier_one_and_the_run_goes_on_with_room() {
    let folder = Folder::new();
    let recipe = Recipe::full(&rows(&folder));
    let (whole, out) = (folder.path("whole"), folder.path("out"));
    stage("train", &recipe.write(&folder), &whole, &[]).succeeds();

    // The weights (150 kB) fit, the moments (300 kB) do not.
    let (code, told) = with_room_for(200, "train", &recipe.write(&folder), &out);
    assert_eq!(code, Some(1), "{told}");
    for part in ["cannot write", "checkpoints/step-000005", "make room", "run the same command again"] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
    assert_whole(&out);
    assert!(!Path::new(&out).join("checkpoints/step-000005").exists() && !Path::new(&out).join("model").exists());

    // With a checkpoint there, the same happens at the next one.
    let first = format!("{out}/checkpoints");
    copy_folder(&format!("{whole}/checkpoints/step-000015"), &format!("{first}/step-000015"));
    let before = files(&first);
    let (code, told) = with_room_for(200, "train", &recipe.write(&folder), &out);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("step-000020"), "{told}");
    assert_eq!(files(&first), before, "the earlier checkpoint is untouched");

    stage("train", &recipe.write(&folder), &out, &[]).succeeds();
    let weights = "model/model.safetensors";
    assert_eq!(sha256(&format!("{out}/{weights}")), sha256(&format!("{whole}/{weights}")));
}

#[test]
#[cfg(unix)]
fn a_disk_that_is_full_from_the_start_is_named_too() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("out"));
    let (code, told) = with_room_for(1, "run", &recipe, &out);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("cannot write") && told.contains(&out) && !told.contains("panicked"), "{told}");
    assert_whole(&out);
    stage("run", &recipe, &out, &[]).succeeds();
}

fn copy_folder(from: &str, to: &str) {
    std::fs::create_dir_all(to).unwrap();
    for name in files(from).keys() {
        std::fs::copy(format!("{from}/{name}"), format!("{to}/{name}")).unwrap();
    }
}
