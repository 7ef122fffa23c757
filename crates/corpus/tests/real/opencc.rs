//! Conversion between the scripts, against OpenCC's own cases.

use std::path::Path;

use luthier_corpus::Source;
use luthier_corpus::clean::{Conversion, ConvertScript, Script, script_share};
use luthier_fixtures::{announce, shared};
use serde_json::Value;

/// The cases of a conversion: their number, and those that come out otherwise.
fn wrong(file: &Path, name: &str, converter: &ConvertScript) -> (usize, Vec<String>) {
    let (mut count, mut wrong) = (0, Vec::new());
    for case in Source::new(file).documents().expect("it opens") {
        let case = case.expect("a case");
        let expected: Value = serde_json::from_str(case.text("expected")).expect("an object");
        let Some(expected) = expected.get(name).and_then(Value::as_str) else { continue };
        count += 1;
        let found = converter.convert(case.text("input"));
        if found != expected {
            wrong.push(format!("{name} {}: {} gives {found}, not {expected}", case.id, case.text("input")));
        }
    }
    (count, wrong)
}

/// Cases that need tables that do not lie beside them: they come out by the older ones inside the program.
const WITHOUT_THEIR_TABLE: [&str; 1] = ["s2tw case_057_s2x"];

#[test]
fn every_case_of_the_four_conversions_comes_out_as_opencc_has_it_with_the_tables_of_its_day() {
    let Some(folder) = shared("data/opencc") else { return };
    let mut all_wrong = Vec::new();
    for (name, conversion) in Conversion::NAMED {
        let converter = ConvertScript::with_tables(conversion, &folder).expect("the tables are there");
        let (count, wrong) = wrong(&folder.join("testcases.json"), name, &converter);
        announce(&format!("OpenCC {name}: {} of {count} cases with its own tables", count - wrong.len()));
        assert!(count > 50, "{name}: {count}");
        all_wrong.extend(wrong);
    }
    let excused = |wrong: &String| WITHOUT_THEIR_TABLE.iter().any(|case| wrong.starts_with(&format!("{case}:")));
    assert_eq!(all_wrong.iter().filter(|wrong| excused(wrong)).count(), WITHOUT_THEIR_TABLE.len());
    all_wrong.retain(|wrong| !excused(wrong));
    assert!(all_wrong.is_empty(), "{} wrong:\n{}", all_wrong.len(), all_wrong.join("\n"));
}

/// The tables inside the program are some months older than the cases: words that were added since come out otherwise.
#[test]
fn most_cases_come_out_as_opencc_has_them_with_the_older_tables_inside() {
    let Some(file) = shared("data/opencc/testcases.json") else { return };
    let (mut all, mut right) = (0, 0);
    for (name, conversion) in Conversion::NAMED {
        let converter = ConvertScript::new(conversion).expect("its tables are inside the program");
        let (count, wrong) = wrong(&file, name, &converter);
        announce(&format!("OpenCC {name}: {} of {count} cases with the tables inside", count - wrong.len()));
        println!("{}", wrong.join("\n"));
        (all, right) = (all + count, right + count - wrong.len());
    }
    assert!(all == 300 && right >= 267, "{right} of {all}");
}

#[test]
fn the_script_of_real_texts_is_told() {
    let Some(data) = shared("data") else { return };
    for (file, script) in [
        ("tang-poems-trad/tang.jsonl", Script::Traditional),
        ("drcd/DRCD_dev.json", Script::Traditional),
        ("alpaca-zh-hans/llamafactory_alpaca_zh_demo.json", Script::Simplified),
        ("belle/eval_set.json", Script::Simplified),
    ] {
        let (mut right, mut telling) = (0u32, 0u32);
        for document in Source::new(data.join(file)).documents().expect("it opens").flatten().take(3000) {
            let text: String = document.fields.iter().map(|(_, text)| text).collect();
            if let Some(found) = script_share(&text).script() {
                telling += 1;
                right += u32::from(found == script);
            }
        }
        println!("{file}: {right} of {telling}");
        assert!(telling > 500 && f64::from(right) > 0.99 * f64::from(telling), "{file}: {right} of {telling}");
    }
}
