//! Every file of the shared data is read by its shape, and as many documents come as its source says.

use std::collections::BTreeMap;

use luthier_corpus::{FileFormat, Mapping, Source, Tally};
use luthier_fixtures::shared;

fn tally(source: &Source) -> Tally {
    let mut documents = source.documents().unwrap_or_else(|error| panic!("{error}"));
    let faults: Vec<String> = documents.by_ref().filter_map(Result::err).map(|fault| fault.to_string()).collect();
    assert_eq!(faults.len() as u64, documents.tally().faults(), "{faults:?}");
    documents.tally().clone()
}

#[track_caller]
fn holds(source: &Source, shape: &'static str, count: u64) {
    reads(source, shape, count, 0);
}

/// So many rows, of which so many have an empty answer and are faults therefore.
#[track_caller]
fn reads(source: &Source, shape: &'static str, count: u64, empty: u64) {
    let tally = tally(source);
    let found: Vec<_> = tally.documents.iter().map(|(shape, count)| (*shape, *count)).collect();
    let faults: BTreeMap<&str, u64> = (empty > 0).then_some(("empty answer", empty)).into_iter().collect();
    assert_eq!((found, &tally.faults), (vec![(shape, count - empty)], &faults), "{}", source.path.display());
}

#[test]
fn every_file_is_read_by_its_shape_and_holds_what_its_source_says() {
    let Some(data) = shared("data") else { return };
    // Counts as the SOURCE.md beside each file states them.
    for (file, shape, count) in [
        ("alpaca-zh-hans/llamafactory_alpaca_zh_demo.json", "alpaca", 1000),
        ("alpaca-zh-hans/hikariming_alpaca_zh_12345-15323.json", "alpaca", 2978),
        ("belle/eval_set.json", "belle-evaluation", 1000),
        ("belle/eval_prompt.json", "columns", 11),
        ("belle/zh_seed_tasks.json", "seed-tasks", 175),
        ("commoncrawl-index-schema/cc-index-schema-flat.json", "columns", 32),
        ("drcd/DRCD_dev.json", "squad", 3524),
        ("drcd/DRCD_test.json", "squad", 3493),
        ("ntu-adl2023-hw3/train.json", "alpaca", 10_000),
        ("ntu-adl2023-hw3/public_test.json", "alpaca", 250),
        ("ntu-adl2023-hw3/prediction_neil.json", "columns", 250),
        ("ntu-adl2023-hw3/prediction_brian.json", "columns", 250),
        ("opencc/testcases.json", "columns", 232),
        ("stanford-alpaca/alpaca_data.json", "alpaca", 52_002),
        ("stanford-alpaca/seed_tasks.jsonl", "seed-tasks", 175),
        ("tang-poems-trad/tang.jsonl", "columns", 57_607),
        ("ud-pud-zh-en/zh_pud-ud-test.conllu", "sentence", 1000),
        ("ud-pud-zh-en/en_pud-ud-test.conllu", "sentence", 1000),
        ("cc_net-wet/sample.warc.txt", "text", 3),
    ] {
        let empty = match file {
            "alpaca-zh-hans/hikariming_alpaca_zh_12345-15323.json" => 2,
            "stanford-alpaca/alpaca_data.json" => 28,
            _ => 0,
        };
        reads(&Source::new(data.join(file)), shape, count, empty);
    }
}

#[test]
fn tables_without_a_header_need_the_names_of_their_columns_and_no_more() {
    let Some(data) = shared("data") else { return };
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let pairs = Source {
        header: names(&["path", "classical", "modern"]),
        ..Source::new(data.join("classical-modern-mit/pairs.tsv"))
    };
    holds(&pairs, "columns", 7230);
    let table = Source {
        header: names(&["key", "values"]),
        format: FileFormat::Tsv,
        ..Source::new(data.join("opencc/TWVariants.txt"))
    };
    let mut documents = table.documents().expect("it opens");
    let first = documents.by_ref().flatten().find(|document| document.text("key") == "僞");
    assert_eq!(first.map(|document| document.text("values").to_owned()).as_deref(), Some("偽"));
}

#[test]
fn the_fields_of_a_poem_and_of_a_question_are_there() {
    let Some(data) = shared("data") else { return };
    let first = |file: &str| {
        let mut documents = Source::new(data.join(file)).documents().expect("it opens");
        documents.next().expect("a document").expect("a good one")
    };
    let poem = first("tang-poems-trad/tang.jsonl");
    assert_eq!((poem.text("author"), poem.text("title")), ("太宗皇帝", "帝京篇十首 一"));
    assert!(poem.text("paragraphs").starts_with("秦川雄帝宅，函谷壯皇居。\n綺殿千尋起"));
    assert_eq!(poem.id, "3ad6d468-7ff1-4a7b-8b24-a27d70d00ed4");
    let question = first("drcd/DRCD_dev.json");
    assert!(question.text("context").contains(question.text("answer")) && !question.text("answer").is_empty());
    let sentence = first("ud-pud-zh-en/zh_pud-ud-test.conllu");
    assert!(sentence.text("text").contains('，') && sentence.text("text_en").contains(" the "));
}

#[test]
fn columns_are_mapped_by_their_paths() {
    let Some(file) = shared("data/papers/scienceqa/text_only_sample.jsonl") else { return };
    let columns = Mapping::new([("question", "question"), ("choices", "choices.*"), ("hint", "hint?")]).expect("paths");
    let source = Source::new(file).with_columns(columns);
    holds(&source, "mapped", 390);
    let first = source.documents().expect("it opens").next().expect("a row").expect("a good one");
    assert!(first.text("choices").lines().count() >= 2, "{first:?}");
}

#[test]
fn the_rows_of_the_papers_are_read_by_their_shape() {
    let Some(papers) = shared("data/papers") else { return };
    for (file, shape, count) in [
        ("beyond-labels/cose_dev_v1.0_processed.jsonl", "columns", 950),
        ("beyond-labels/csqa_v1.0_dev_rand_split.jsonl", "columns", 950),
        ("beyond-labels/esnli_dev_first1500.jsonl", "columns", 1500),
        ("ike/counterfact_flat_sample.jsonl", "columns", 2905),
        ("ike/relations.jsonl", "columns", 34),
        ("label-words/agnews_test_first500.jsonl", "columns", 500),
        ("label-words/sst2_dev.jsonl", "columns", 872),
        ("label-words/trec_train.jsonl", "columns", 5452),
        ("llm-adapters/AQuA_test_first300.json", "alpaca", 254),
        ("llm-adapters/SVAMP_test_first300.json", "alpaca", 300),
        ("llm-adapters/math_data_first800.json", "alpaca", 800),
        ("llm-adapters/openbookqa_test_first500.json", "alpaca", 500),
        ("llm-ie/demo_ner_fewnerd.json", "columns", 15),
        ("prontoqa/v1_examples.jsonl", "columns", 216),
        ("s3/imdb_additional_2_first300.jsonl", "text", 300),
        ("s3/rte_additional_1.jsonl", "columns", 883),
        ("scienceqa/text_only_sample.jsonl", "columns", 390),
        ("selective-context/self-info-phrase.csv", "columns", 15),
        ("vec/color.jsonl", "columns", 574),
        ("vec/hardness.jsonl", "columns", 1016),
        ("lora/e2e_test_first600.txt", "text", 600),
    ] {
        let mut source = Source::new(papers.join(file));
        if file.starts_with("lora") {
            source.text_by = luthier_corpus::source::TextBy::Line;
        }
        reads(&source, shape, count, u64::from(file.ends_with("math_data_first800.json")));
    }
}
