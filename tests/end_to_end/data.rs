//! `luthier data diff`: what changed from one data set to another, and how that is told.

use serde_json::{Value, json};

use crate::command::{Folder, luthier};

const OLD: &str = concat!(
    "{\"instruction\": \"翻成英文\", \"input\": \"紅傘\", \"output\": \"a red umbrella\"}\n",
    "{\"instruction\": \"翻成英文\", \"input\": \"藍傘\", \"output\": \"a blue umbrella\"}\n",
    "{\"instruction\": \"翻成英文\", \"input\": \"綠傘\", \"output\": \"a green umbrella\"}\n",
);

const NEW: &str = concat!(
    "{\"instruction\": \"翻成英文\", \"input\": \"綠傘\", \"output\": \"a green umbrella\"}\n",
    "{\"instruction\": \"翻成英文\", \"input\": \"紅傘\", \"output\": \"a scarlet umbrella\"}\n",
    "{\"instruction\": \"翻成英文\", \"input\": \"白傘\", \"output\": \"a white umbrella\"}\n",
    "{\"instruction\": \"翻成英文\"}\n",
);

#[test]
fn rows_are_told_by_what_became_of_them_and_changes_by_their_characters() {
    let folder = Folder::new();
    let (old, new) = (folder.write("old.jsonl", OLD), folder.write("new.jsonl", NEW));
    let changes = &luthier(&["data", "diff", &old, &new, "--json"]).succeeds().json_lines()[0];
    let counts = ["both", "changed", "only_a", "only_b"].map(|kind| changes[kind].as_u64().expect("a count"));
    assert_eq!((counts, &changes["rows"], &changes["faults"]), ([1, 1, 1, 1], &json!([3, 3]), &json!([0, 1])));
    assert_eq!(changes["sides"], Value::Null);
    let changed = &changes["first_changed"][0];
    assert_eq!(changed["same"], "翻成英文\n紅傘");
    let text = |side: &str| -> String {
        let spans = changed[side].as_array().expect("spans").iter();
        spans.map(|span| span["text"].as_str().expect("a text")).collect()
    };
    assert_eq!((text("before").as_str(), text("after").as_str()), ("a red umbrella", "a scarlet umbrella"));
    let screen = luthier(&["data", "diff", &old, &new]).succeeds().stdout;
    for part in
        ["- old.jsonl:2", "+ new.jsonl:3", "old.jsonl:1 -> new.jsonl:2", "+ a {+scarlet+} umbrella", "only in A"]
    {
        assert!(screen.contains(part), "{part:?} is not in:\n{screen}");
    }
}

#[test]
fn the_exit_code_tells_of_differences_only_when_it_is_asked() {
    let folder = Folder::new();
    let (old, new) = (folder.write("old.jsonl", OLD), folder.write("new.jsonl", NEW));
    let reversed =
        folder.write("reversed.jsonl", &OLD.lines().rev().map(|line| format!("{line}\n")).collect::<String>());
    let code = |a: &str, b: &str| luthier(&["data", "diff", a, b, "--exit-code"]).code;
    assert_eq!((code(&old, &new), code(&old, &reversed)), (Some(1), Some(0)));
    let same = luthier(&["data", "diff", &old, &reversed]).succeeds().stdout;
    assert!(same.contains("the same 3 rows, in whatever order"), "{same}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = Folder::new();
    let (old, empty) = (folder.write("old.jsonl", OLD), folder.write("empty.jsonl", ""));
    luthier(&["data", "diff", &old, &old]).refuses(&["are the same; give two"]);
    luthier(&["data", "diff", &old, &folder.path("none.jsonl")]).refuses(&["cannot read", "none.jsonl"]);
    luthier(&["data", "diff", &old, &empty]).refuses(&["empty.jsonl holds no records"]);
    let unknown = folder.write("rows.data", "a,b\n");
    luthier(&["data", "diff", &old, &unknown]).refuses(&["rows.data: neither content nor name"]);
}
