//! Tokens, scores and kept sets against transformers 4.46.3 on a formula model (`tools/make_decoding_goldens.py`).

mod toy;

use luthier_fixtures::ids;
use luthier_generate::{Chain, GenerationOptions, Generator};
use serde_json::Value;
use toy::{Toy, logit};

fn golden() -> Value {
    serde_json::from_str(include_str!("fixtures/toy_golden.json")).unwrap()
}

fn number(case: &Value, key: &str) -> u32 {
    case[key].as_u64().unwrap() as u32
}

fn options(case: &Value) -> GenerationOptions {
    GenerationOptions::from_table(case["args"].as_object().unwrap()).unwrap()
}

#[test]
fn the_formula_is_the_same_here_and_in_the_reference() {
    for line in golden()["logit"].as_array().unwrap() {
        let [seed, before, last, token, levels] = [0, 1, 2, 3, 4].map(|i| line[i].as_u64().unwrap() as u32);
        assert_eq!(logit(seed, before, last, token, levels), line[5].as_f64().unwrap() as f32);
    }
}

/// Runs every case of a kind of search and says how many there are.
fn compare(kind: &str) -> usize {
    let golden = golden();
    let cases = golden[kind].as_array().unwrap();
    let mut wrong = Vec::new();
    for (number_of_case, case) in cases.iter().enumerate() {
        let mut model = Toy::new(number(case, "seed"), number(case, "vocab") as usize);
        let resolved = options(case).resolve().unwrap();
        let completions = Generator::new(&resolved).generate(&mut model, &[ids(&case["prompt"])]).unwrap();
        let rows = completions[0].sequences(&resolved);
        let expected: Vec<Vec<u32>> = case["sequences"].as_array().unwrap().iter().map(ids).collect();
        let scores_agree = case["scores"].as_array().is_none_or(|scores| {
            let pairs = scores.iter().zip(&completions[0].outputs);
            pairs.into_iter().all(|(a, b)| {
                let a = a.as_f64().unwrap();
                (a - b.score).abs() <= 1e-5 * (1.0 + a.abs())
            })
        });
        if rows != expected || !scores_agree {
            wrong.push(format!(
                "{number_of_case}: {case}\n   got {rows:?} {:?}",
                completions[0].outputs.iter().map(|o| o.score).collect::<Vec<_>>()
            ));
        }
        assert_eq!(model.sequences.len(), 0, "every sequence is freed");
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    cases.len()
}

#[test]
fn greedy_and_beams_give_the_tokens_and_scores_of_transformers() {
    assert!(compare("search") > 300);
}

#[test]
fn groups_of_beams_give_the_tokens_and_scores_of_transformers() {
    assert!(compare("groups") > 150);
}

#[test]
fn contrastive_search_gives_the_tokens_of_transformers() {
    assert_eq!(compare("contrastive"), 100);
}

#[test]
fn biases_prompt_penalties_and_decaying_lengths_give_the_tokens_and_scores_of_transformers() {
    assert_eq!(compare("bias"), 160);
}

#[test]
fn classifier_free_guidance_gives_the_tokens_of_transformers_with_drafts_and_without() {
    assert_eq!(compare("guidance"), 60);
    for case in golden()["guidance"].as_array().unwrap() {
        let mut options = options(case);
        let mut generate = |lookup| {
            options.prompt_lookup_num_tokens = lookup;
            let mut model = Toy::new(number(case, "seed"), number(case, "vocab") as usize);
            Generator::new(&options.resolve().unwrap()).generate(&mut model, &[ids(&case["prompt"])]).unwrap()
        };
        assert_eq!(generate(Some(5)), generate(None), "{case}");
    }
}

#[test]
fn processors_and_warpers_keep_what_transformers_keeps() {
    let golden = golden();
    let cases = golden["chain"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let mut model = Toy::new(number(case, "seed"), number(case, "vocab") as usize);
        model.levels = number(case, "levels");
        let history = ids(&case["history"]);
        let mut options = options(case);
        options.do_sample = Some(true);
        let resolved = options.resolve().unwrap();
        let limits = resolved.limits(0, number(case, "prompt_len") as usize, 64).unwrap();
        let mut scores = model.row(&history);
        Chain::new(&resolved, &limits).apply(&history, &mut scores);
        let kept: Vec<u32> = (0..scores.len() as u32).filter(|&t| scores[t as usize] > f32::NEG_INFINITY).collect();
        let close = |(&id, expected): (&u32, &Value)| {
            (f64::from(scores[id as usize]) - expected.as_f64().unwrap()).abs() < 1e-5
        };
        if kept != ids(&case["kept"]) || !kept.iter().zip(case["scores"].as_array().unwrap()).all(close) {
            wrong.push(format!("{case}\n   got {kept:?}"));
        }
    }
    assert_eq!(cases.len(), 300);
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_same_prompts_in_one_batch_give_the_same_rows() {
    // Cases that share vocabulary and seed do not exist; so each case's prompt runs beside four others of its own.
    let golden = golden();
    let searches = ["search", "groups", "contrastive", "bias", "guidance"].map(|kind| golden[kind].as_array().unwrap());
    for case in searches.into_iter().flatten().step_by(7) {
        let vocab = number(case, "vocab");
        let resolved = options(case).resolve().unwrap();
        let prompt = ids(&case["prompt"]);
        let others: Vec<Vec<u32>> = (1..5).map(|n| (0..n).map(|i| (i * 3 + n) % vocab).collect()).collect();
        let batch: Vec<Vec<u32>> = others[..2].iter().chain([&prompt]).chain(&others[2..]).cloned().collect();
        for max_batch in [1, 7, 64] {
            let mut model = Toy::new(number(case, "seed"), vocab as usize);
            let together = Generator::new(&resolved).max_batch(max_batch).generate(&mut model, &batch).unwrap();
            let mut model = Toy::new(number(case, "seed"), vocab as usize);
            let alone = Generator::new(&resolved).generate(&mut model, std::slice::from_ref(&prompt)).unwrap();
            assert_eq!(together[2], alone[0]);
        }
    }
}
