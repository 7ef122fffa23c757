//! Run folders of every kind, and what their pages say.

mod data;
mod explain;
mod folder;
mod markup;

use std::fs;

use folder::{RunFolder, device_rows};
use luthier_report::{Language, ReportError, Run, write_report};

fn page(folder: &RunFolder, language: Language) -> String {
    let path = write_report(folder.path(), language).expect("the page is written");
    assert_eq!(path, folder.path().join("report.html"));
    let html = fs::read_to_string(&path).expect("the page is UTF-8");
    markup::assert_sound(&html);
    html
}

#[test]
fn a_whole_run_is_told_from_recipe_to_examples() {
    let folder = RunFolder::whole(40);
    let html = page(&folder, Language::English);
    for wanted in [
        "Fine-tuning helped.",
        "With beam4, the best of 3 decoding strategies, exact match went from 2.5\u{A0}% to 87.5\u{A0}% on 40 held-out rows: \
         a difference of +85.0 points (95\u{A0}% interval +75.0 to +92.5).",
        "The books balance: 30 + 1 + 40 + 2 + 1 + 3 = 77 rows, each counted once.",
        "longer than max_length",
        "lora (alpha = 16, rank = 8)",
        "cosine, warmup = 0.03",
        "num_beams = 4",
        "exact-match|version:luthier-0.1.0",
        "Most improved",
        "Still wrong",
        "equal to the reference",
        "p &lt; 0.001",
        "[train]",
        "data&#x2f;devices.jsonl (alpaca), devices (rows = 70, seed = 3)",
        "the same as row …",
        "7 tokens cut",
        "−500.00 to −350.50",
        "&quot;trainable_parameters&quot;: 4399104",
        "2×10⁻⁴",
    ] {
        assert!(html.contains(wanted), "not on the page: {wanted}");
    }
    assert!(!html.contains("Not there yet"));
}

#[test]
fn the_same_run_is_told_in_traditional_chinese_without_an_english_phrase_left() {
    let folder = RunFolder::whole(40);
    let html = page(&folder, Language::TraditionalChinese);
    assert!(html.contains("<html lang=\"zh-Hant\">"));
    assert!(html.contains("微調有效。") && html.contains("帳目相符") && html.contains("進步最多"));
    assert!(html.contains("以 3 種解碼策略中表現最好的 beam4 計，完全相符率由 2.5\u{A0}% 變為 87.5\u{A0}%"), "{html}");
    for english in ["Fine-tuning", "held-out", "Rows", "Strategy", "Reference", "higher is better", "tokens/s", "steps"]
    {
        assert!(!html.contains(english), "an English phrase is left: {english}");
    }
}

#[test]
fn every_part_that_is_missing_is_named_with_the_file_that_brings_it() {
    let folder = RunFolder::empty();
    let html = page(&folder, Language::English);
    for file in ["recipe.toml", "manifest.json", "ledger.jsonl", "metrics.jsonl", "scores.json", "predictions/*.jsonl"]
    {
        assert!(html.contains(&format!("{}.", file.replace('/', "&#x2f;"))), "{file} is not named");
    }
    assert!(html.contains("Just begun."));
}

#[test]
fn a_run_that_only_trained_so_far_shows_its_curves() {
    let folder = RunFolder::empty();
    folder.write("metrics.jsonl", "{\"step\":1,\"loss\":2.5,\"learning_rate\":0.001}\n");
    let html = page(&folder, Language::English);
    assert!(html.contains("After 1 step the training loss is 2.5"));
    assert!(html.contains("<circle class=\"dot train\""), "a single step is drawn as a dot");
    assert!(html.contains("No finite value to draw."), "grad_norm was never measured");
}

#[test]
fn no_part_alone_makes_the_page_fail() {
    for left_out in RunFolder::FILES {
        let folder = RunFolder::whole(4);
        folder.remove(left_out);
        page(&folder, Language::TraditionalChinese);
    }
    for only in RunFolder::FILES {
        let folder = RunFolder::whole(4);
        RunFolder::FILES.iter().filter(|file| **file != only).for_each(|file| folder.remove(file));
        page(&folder, Language::English);
    }
}

#[test]
fn empty_files_are_parts_without_rows() {
    let folder = RunFolder::empty();
    for file in ["ledger.jsonl", "metrics.jsonl", "predictions/base.greedy.jsonl", "predictions/tuned.greedy.jsonl"] {
        folder.write(file, "");
    }
    folder.write("scores.json", "{}");
    folder.write("recipe.toml", "");
    folder.write("manifest.json", "{}");
    let html = page(&folder, Language::English);
    assert!(html.contains("The ledger holds no rows.") && html.contains("The prediction files hold no rows."));
}

#[test]
fn a_broken_line_is_an_error_that_names_file_and_line() {
    for (file, whole, fault) in [
        ("ledger.jsonl", r#"{"source":"a","line":1,"outcome":"trained"}"#, r#"{"source":"a","line":"2"}"#),
        ("metrics.jsonl", r#"{"step":1,"loss":2.0}"#, r#"{"step":2,"loss":"low"}"#),
        ("predictions/tuned.greedy.jsonl", r#"{"row":0,"prompt":"p","output":"o"}"#, r#"{"row":1,"prompt":"p","outp"#),
    ] {
        let folder = RunFolder::whole(4);
        folder.write(file, &format!("{whole}\n\n{fault}\n"));
        let error = write_report(folder.path(), Language::English).unwrap_err();
        assert!(matches!(error, ReportError::Broken { line: 3, .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("{file}:3: column ")), "{error}");
        assert!(!folder.path().join("report.html").exists(), "no page of a broken run");
    }
}

#[test]
fn broken_whole_files_are_errors_that_name_their_line() {
    for (file, content) in [
        ("recipe.toml", "name = \"a\"\nseed = = 3\n"),
        ("manifest.json", "{\n\"trainable_parameters\": \"many\"}"),
        ("scores.json", "{\n\"rows\": [}"),
    ] {
        let folder = RunFolder::whole(4);
        folder.write(file, content);
        let error = write_report(folder.path(), Language::English).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}:2: ")), "{error}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_with_their_line() {
    let folder = RunFolder::whole(4);
    let good = br#"{"row":0,"prompt":"p","output":"o"}"#;
    let bytes = [good.as_slice(), b"\n{\"row\":1,\"prompt\":\"\xff\",\"output\":\"o\"}\n"].concat();
    fs::write(folder.path().join("predictions/base.greedy.jsonl"), bytes).unwrap();
    let error = write_report(folder.path(), Language::English).unwrap_err().to_string();
    assert!(error.contains("base.greedy.jsonl:2: "), "{error}");
}

#[test]
fn a_path_that_is_no_folder_is_an_error_that_says_what_to_give() {
    let folder = RunFolder::whole(1);
    for path in [folder.path().join("nowhere"), folder.path().join("recipe.toml")] {
        let error = Run::read(&path).unwrap_err();
        assert!(matches!(error, ReportError::NotAFolder { .. }));
        assert!(error.to_string().contains("not a folder"), "{error}");
    }
}

#[test]
fn hostile_texts_stay_texts() {
    let folder = RunFolder::hostile();
    for language in [Language::English, Language::TraditionalChinese] {
        let html = page(&folder, language);
        assert!(!html.contains("<script") && !html.contains("<img"));
        assert!(html.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;&#x2f;script&gt;"));
        assert!(html.contains("[U+0000]") && html.contains("[U+202E]"), "control characters are made visible");
        assert!(html.contains("שלום"));
        assert!(!html.contains('\0') && !html.contains('\u{202E}'));
    }
}

#[test]
fn numbers_that_could_not_be_computed_are_left_out_and_never_invented() {
    let folder = RunFolder::whole(4);
    folder.write(
        "scores.json",
        r#"{"rows":4,"metrics":[{"name":"chrf","label":"chrF","signature":null,"higher_is_better":true}],
            "strategies":[{"name":"greedy","options":{}}],
            "systems":{"base":{"greedy":{"chrf":{"value":null,"interval":[null,1]}}},"tuned":{"greedy":{"chrf":{"value":41.25}}}},
            "comparisons":{"greedy":{"chrf":{"difference":null,"interval":null,"p_value":null}}},
            "perplexity":{"base":null,"tuned":null}}"#,
    );
    folder.write(
        "metrics.jsonl",
        "{\"step\":1,\"loss\":null}\n{\"step\":1,\"eval_loss\":null}\n{\"step\":2,\"loss\":1.0}\n",
    );
    let html = page(&folder, Language::English);
    assert!(html.contains("chrF is 41.2 for the tuned model on 4 held-out rows."), "{html}");
    assert!(html.contains("1 step has no finite loss.") && html.contains("not scored"));
    assert!(!html.contains("NaN") && !html.contains("inf<"));
}

#[test]
fn a_run_whose_tuned_model_is_worse_or_no_different_says_so() {
    let scores = |low: f64, high: f64, difference: f64, higher: bool| {
        format!(
            r#"{{"rows":9,"metrics":[{{"name":"m","label":"M","higher_is_better":{higher}}}],"strategies":[{{"name":"greedy"}}],
            "systems":{{"base":{{"greedy":{{"m":{{"value":50}}}}}},"tuned":{{"greedy":{{"m":{{"value":{}}}}}}}}},
            "comparisons":{{"greedy":{{"m":{{"difference":{difference},"interval":[{low},{high}],"p_value":0.3}}}}}}}}"#,
            50.0 + difference
        )
    };
    for (scores, verdict) in [
        (scores(-12.0, -3.0, -7.0, true), "Fine-tuning made it worse."),
        (scores(-12.0, -3.0, -7.0, false), "Fine-tuning helped."),
        (scores(-1.0, 4.0, 2.0, true), "No clear difference."),
    ] {
        let folder = RunFolder::whole(4);
        folder.write("scores.json", &scores);
        assert!(page(&folder, Language::English).contains(verdict), "{verdict}");
    }
}

#[test]
fn a_row_that_stands_twice_in_the_ledger_unbalances_the_books() {
    let folder = RunFolder::empty();
    let row = "{\"source\":\"a.jsonl\",\"line\":1,\"outcome\":\"trained\",\"tokens\":3}\n";
    folder.write("ledger.jsonl", &row.repeat(2));
    assert!(page(&folder, Language::English).contains("do not balance: 1 row stands in the ledger more than once"));
}

#[test]
fn a_thousand_long_predictions_and_twenty_thousand_steps_stay_below_a_megabyte() {
    let folder = RunFolder::whole(1_000);
    let long = "<&\"'>\u{7}".repeat(3_000);
    for system in ["base", "tuned"] {
        let rows: String = device_rows(1_000)
            .map(|(row, ..)| {
                let text = serde_json::to_string(&format!("{system} {row} {long}")).unwrap();
                let score = if system == "base" { 0.0 } else { f64::from(row % 3) };
                format!("{{\"row\":{row},\"prompt\":{text},\"reference\":{text},\"output\":{text},\"metrics\":{{\"exact-match\":{score}}}}}\n")
            })
            .collect();
        folder.write(&format!("predictions/{system}.greedy.jsonl"), &rows);
    }
    let steps: String =
        (0..20_000).map(|step| format!("{{\"step\":{step},\"loss\":{}}}\n", 1.0 + f64::from(step % 7))).collect();
    folder.write("metrics.jsonl", &steps);
    let html = page(&folder, Language::English);
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    assert!(html.contains("more characters in the run folder"));
}

#[test]
fn an_older_page_is_replaced_and_nothing_is_left_beside_it() {
    let folder = RunFolder::whole(4);
    folder.write("report.html", "old");
    let before = folder.names();
    assert!(page(&folder, Language::English).starts_with("<!doctype html>"));
    assert_eq!(folder.names(), before);
}

#[test]
fn a_page_that_cannot_be_put_in_place_is_an_error_and_leaves_no_part() {
    let folder = RunFolder::whole(4);
    fs::create_dir(folder.path().join("report.html")).unwrap();
    let before = folder.names();
    let error = write_report(folder.path(), Language::English).unwrap_err();
    assert!(matches!(error, ReportError::Write { .. }) && error.to_string().contains("report.html"), "{error}");
    assert_eq!(folder.names(), before);
}

#[test]
fn the_same_run_gives_the_same_page_byte_for_byte() {
    let folder = RunFolder::whole(30);
    assert_eq!(page(&folder, Language::English), page(&folder, Language::English));
}
