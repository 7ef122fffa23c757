//! A data set and a difference, drawn for a terminal and as a page.

use luthier_report::Language;
use luthier_report::data::{
    Bin, Change, ChangedRow, Changes, Counts, DataSet, Fault, Faults, Field, File, Frequent, LengthChange, Lengths,
    Marks, Model, Near, Often, Pair, Part, Piece, Repeats, Row, SideChanges, Sides, Text, changes_text, render_data,
    text, word_spans,
};
use unicode_width::UnicodeWidthStr;

use crate::markup;

const PLAIN: Marks = Marks { learnt: ("[[", "]]"), read: ("", ""), legend: "[[ ]] stand around what is learnt" };

fn lengths(count: u64) -> Lengths {
    let histogram = vec![
        Bin { from: 0, to: 49, count: count - 3 },
        Bin { from: 50, to: 99, count: 2 },
        Bin { from: 100, to: 1_234_567, count: 1 },
    ];
    Lengths { count, min: 3, median: 17, mean: 20.25, p95: 60, max: 1_234_567, histogram }
}

fn row(place: &str, texts: &[(&str, &str)]) -> Row {
    let text = |(name, text): &(&str, &str)| Text { name: (*name).to_owned(), text: (*text).to_owned() };
    Row { place: place.to_owned(), texts: texts.iter().map(text).collect(), ..Row::default() }
}

const LONG: &str =
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。白日依山盡，黃河入海流。欲窮千里目，更上一層樓。千山鳥飛絕";

/// A data set of which every part is there.
fn whole() -> DataSet {
    let poem = |place: &str, output: &str| row(place, &[("instruction", LONG), ("output", output)]);
    let pair = |differ| Pair { row: poem("data/a.jsonl:9", "後"), earlier: poem("data/a.jsonl:2", "先"), differ };
    DataSet {
        kind: "data",
        path: "data/集".into(),
        name: Some("題目 <b>".into()),
        bytes: 123_456_789,
        records: 52_002,
        rows: 51_974,
        shapes: Counts::of([("alpaca", 51_900), ("messages", 74)]),
        passed_over: Counts::of([("request", 3)]),
        faults: Faults {
            count: 28,
            kinds: Counts::of([("empty answer", 28)]),
            listed: vec![Fault {
                file: "a".into(),
                line: Some(3),
                message: "a:3: field `output` is an empty answer".into(),
            }],
        },
        files: ["train.jsonl", "test.jsonl"]
            .map(|name| File {
                file: name.into(),
                side: None,
                bytes: 5,
                records: 9,
                shapes: Counts::of([("alpaca", 9)]),
                faults: 0,
                passed_over: 0,
            })
            .to_vec(),
        beside: vec!["README.md".into()],
        sides: Some(Sides { train: 50_000, test: 1_974, test_in_train: 2 }),
        ledger: Some(Counts::of([("train", 50_000), ("dropped", 7)])),
        fields: vec![Field {
            name: "一個很長很長的欄位名稱放不進去".into(),
            filled: 51_974,
            empty: 0,
            characters: Some(lengths(51_974)),
            tokens: Some(lengths(51_974)),
        }],
        other_fields: 0,
        lengths: vec![Part { part: "prompt", characters: lengths(51_974), tokens: Some(lengths(51_974)) }],
        languages: Counts::of([("zh", 51_000), ("none", 974)]),
        scripts: Counts::of([("traditional", 50_000), ("mixed", 1_974)]),
        repeats: Repeats {
            exact: 12,
            repeated: 10,
            first: vec![pair(None)],
            near: Some(Near { share: 0.15, rows: 4, first: vec![pair(Some(0.031))] }),
            prompts_with_several_outputs: 5,
            rows_with_such_prompts: 11,
            first_with_such_prompts: vec![pair(None)],
        },
        instructions: Frequent {
            total: 51_974,
            different: None,
            error: 3,
            most: vec![Often { text: format!("{LONG}\n{LONG}"), count: 77 }],
        },
        outputs: Frequent::default(),
        model: Some(Model {
            model: "pocket".into(),
            row: Some(lengths(51_974)),
            tokens: 1_000_000,
            labelled: 250_000,
            labelled_share: Some(0.25),
            max_length: Some(1024),
            longer: Some(17),
            refused: 1,
            why_refused: Some("the template refuses".into()),
            not_read: 2,
        }),
        examples: vec![Row {
            tokens: Some(20),
            labelled: Some(5),
            pieces: vec![
                Piece { labelled: false, text: "問：<script>\u{1b}[31m".into() },
                Piece { labelled: true, text: "答".into() },
            ],
            ..poem("data/a.jsonl:4", "答")
        }],
    }
}

/// The lines that are no text of the data itself.
fn drawn(screen: &str) -> impl Iterator<Item = &str> {
    screen.lines().filter(|line| !line.starts_with("問") && !line.starts_with("a:3"))
}

#[test]
fn a_data_set_fits_eighty_columns_and_nothing_of_it_is_left_out() {
    let screen = text(&whole(), PLAIN, false);
    for line in drawn(&screen) {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
    let unbroken = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "52,002 records: 51,974 rows (51,900 alpaca, 74 messages), 28 faults (28 empty answer), 3 passed over",
        "not read, since they tell of the data: README.md",
        "train 50,000, test 1,974; 2 test rows stand in train too",
        "built from 50,007 records: 50,000 train, 7 dropped",
        "... 27 more; --faults N names N",
        "一個很長很長的欄…",
        "Prompt, characters",
        "250,000 of 1,000,000 tokens in 51,974 rows carry a label: 25.0 %",
        "17 rows (0.033 %) are longer than 1,024 tokens",
        "1 rows cannot be rendered; the first: the template refuses",
        "12 rows say exactly what an earlier one says; 10 different ones are said again",
        "a.jsonl:9 is nearly a.jsonl:2: 3.1 % differ",
        "5 prompts have several different outputs, in 11 rows",
        "a count may be 3 too small",
        "--- data/a.jsonl:4: 20 tokens, 5 learnt",
        "問：<script>[31m[[答]]",
    ] {
        assert!(unbroken.contains(part), "{part:?} is not in:\n{screen}");
    }
    assert!(!screen.contains('\u{1b}'), "nothing steers the terminal");
    assert!(text(&whole(), PLAIN, true).contains("\u{1b}[1;32m"), "colours where they are wanted");
}

#[test]
fn bars_begin_in_one_column_whatever_script_their_names_are_in() {
    let mut data = whole();
    data.languages = Counts::of([("中文", 10), ("en", 5)]);
    let screen = text(&data, PLAIN, false);
    let starts: Vec<usize> = (screen.lines())
        .filter(|line| line.starts_with("中文") || line.starts_with("en "))
        .map(|line| line[..line.find('█').expect("a bar")].width())
        .collect();
    assert_eq!(starts, [38, 38], "{screen}");
}

#[test]
fn the_page_of_a_data_set_is_sound_in_both_languages() {
    for (language, parts) in [
        (Language::English, ["Near repeats", "50,000 + 1,974", "25.0\u{A0}%", "30"]),
        (Language::TraditionalChinese, ["近似重複", "50,000 + 1,974", "25.0\u{A0}%", "欄位（有內容者的字元）"]),
    ] {
        let html = render_data(&whole(), language).expect("the template holds");
        markup::assert_sound(&html);
        for part in parts {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(html.contains("<mark class=\"learnt\">答</mark>"));
        assert!(html.contains("題目 &lt;b&gt;") && html.contains("[U+001B]"), "texts of the data stay texts");
        assert_eq!(html.matches("class=\"bin tail\"").count(), 3, "a long tail is told apart");
    }
}

#[test]
fn a_data_set_with_nothing_but_rows_makes_a_page_and_a_screen() {
    let data = DataSet {
        name: None,
        passed_over: Counts::default(),
        faults: Faults::default(),
        files: Vec::new(),
        beside: Vec::new(),
        sides: None,
        ledger: None,
        fields: Vec::new(),
        lengths: Vec::new(),
        languages: Counts::default(),
        scripts: Counts::of([("none", 3)]),
        repeats: Repeats::default(),
        instructions: Frequent::default(),
        model: None,
        examples: Vec::new(),
        ..whole()
    };
    markup::assert_sound(&render_data(&data, Language::English).expect("the template holds"));
    let screen = text(&data, PLAIN, false);
    assert!(screen.contains("no row says exactly what an earlier one says"), "{screen}");
    assert!(!screen.contains("Script"), "no Chinese, no script");
}

#[test]
fn changes_are_told_by_kind_and_what_differs_is_set_off_by_characters() {
    let (before, after) = word_spans("十八年，奚、契丹犯塞。", "十八年，奚、契丹侵犯邊塞。");
    let changes = Changes {
        a: "one".into(),
        b: "two".into(),
        rows: [10, 12],
        faults: [0, 1],
        both: 8,
        changed: 1,
        rewritten: 0,
        only_a: 1,
        only_b: 3,
        sides: Some(SideChanges { train: [9, 10], test: [1, 2], to_test: 1, to_train: 0 }),
        shapes: vec![Change { name: "alpaca".into(), a: 10, b: 12 }],
        languages: vec![Change { name: "zh".into(), a: 10, b: 10 }],
        scripts: Vec::new(),
        lengths: vec![LengthChange { part: "output", a: Some(lengths(10)), b: None }],
        first_only_a: vec![row("x/one.jsonl:3", &[("instruction", LONG), ("output", "答")])],
        first_only_b: Vec::new(),
        first_changed: vec![ChangedRow {
            places: ["x/one.jsonl:7".into(), "y/two.jsonl:1".into()],
            same: LONG.into(),
            before,
            after,
        }],
        first_rewritten: Vec::new(),
        first_moved: vec![[row("one/train.jsonl:1", &[("text", "移")]), row("two/test.jsonl:2", &[("text", "移")])]],
    };
    let screen = changes_text(&changes, false);
    for line in screen.lines() {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
    for part in [
        "all                                 10            12            +2",
        "only in B                                    3",
        "moved from train to test",
        "- one.jsonl:3",
        "one.jsonl:7 -> two.jsonl:1",
        "- 十八年，奚、契丹犯塞。\n+ 十八年，奚、契丹{+侵+}犯{+邊+}塞。",
        "train.jsonl:1 -> test.jsonl:2",
    ] {
        assert!(screen.contains(part), "{part:?} is not in:\n{screen}");
    }
    assert!(!screen.contains("Language"), "what did not change is left out");
    let coloured = changes_text(&changes, true);
    assert!(coloured.contains("\u{1b}[32m侵\u{1b}[0m犯") && !coloured.contains("{+"), "{coloured}");
}

#[test]
fn long_stretches_that_are_the_same_are_passed_over() {
    let same = "同".repeat(500);
    let (before, after) = word_spans(&format!("{same}甲{same}"), &format!("{same}乙{same}"));
    let changed = ChangedRow { places: Default::default(), same: String::new(), before, after };
    let changes = Changes {
        a: "a".into(),
        b: "b".into(),
        rows: [1, 1],
        faults: [0, 0],
        both: 0,
        changed: 1,
        rewritten: 0,
        only_a: 0,
        only_b: 0,
        sides: None,
        shapes: Vec::new(),
        languages: Vec::new(),
        scripts: Vec::new(),
        lengths: Vec::new(),
        first_only_a: Vec::new(),
        first_only_b: Vec::new(),
        first_changed: vec![changed],
        first_rewritten: Vec::new(),
        first_moved: Vec::new(),
    };
    let screen = changes_text(&changes, false);
    let line = screen.lines().find(|line| line.contains("[-甲-]")).expect("the change is shown");
    assert_eq!(line, format!("- …{}[-甲-]{}…", "同".repeat(60), "同".repeat(60)));
    let (before, after) = word_spans(&same, &format!("新{same}"));
    let grown = Changes {
        first_changed: vec![ChangedRow { places: Default::default(), same: String::new(), before, after }],
        ..changes
    };
    assert!(
        changes_text(&grown, false).contains(&format!("- {}…\n+ {{+新+}}", "同".repeat(60))),
        "known by its beginning"
    );
}
