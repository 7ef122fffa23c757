//! The decoder against transformers on the models with whole goldens: logits, losses, the gradient of every parameter.
//! Every shape of every family is in `families.rs`.

#![allow(clippy::print_stdout, reason = "a failure shows which model it was")]

mod reference;

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::{ids, json, numbers, repository, shared};
use luthier_model::Model;
use reference::{assert_close, logits, loss_and_gradients, norms};
use serde_json::Value;

#[test]
fn every_fixture_model_gives_the_reference_logits_hidden_states_and_gradients() {
    let root = repository().join("fixtures/models");
    let mut folders: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 5, "{folders:?}");
    for folder in folders {
        println!("{}:", folder.file_name().unwrap().display());
        check_fixture(&folder);
    }
}

fn check_fixture(folder: &Path) {
    let golden = json(&folder.join("golden.json"));
    let mut model = Model::load(folder, &Device::cpu()).unwrap();
    let mut rows = Vec::new();
    for (r, row) in golden["rows"].as_array().unwrap().iter().enumerate() {
        let tokens = ids(&row["input_ids"]);
        let ours = logits(&model, &tokens);
        for (i, expected) in row["logits_first8"].as_array().unwrap().iter().enumerate() {
            assert_close(&format!("row {r} logits {i}"), &ours[i][..8], &numbers(expected), 1e-4);
        }
        assert_close("last logits", ours.last().unwrap(), &numbers(&row["logits_last"]), 1e-4);
        let expected: Vec<f64> = row["logprobs"].as_array().unwrap()[1..].iter().map(|x| x.as_f64().unwrap()).collect();
        assert_close("logprobs", &model.log_probabilities(&[&tokens]).unwrap()[0], &expected, 1e-4);
        rows.push((tokens, row["labels"].as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect::<Vec<_>>()));
    }
    model.train_everything();
    for (which, rows) in [("gradient_row0", &rows[..1]), ("gradient_all_rows", &rows[..])] {
        let golden = &golden[which];
        let (loss, labelled, grads) = loss_and_gradients(&model, rows);
        assert_eq!(labelled as u64, golden["labelled_tokens"].as_u64().unwrap());
        let expected = golden["loss"].as_f64().unwrap();
        assert!((loss - expected).abs() < 1e-5 * expected, "{which}: loss {loss}, golden {expected}");
        let expected = golden["grad_norm"].as_f64().unwrap();
        assert!((grads.norm() - expected).abs() < 1e-4 * expected, "{which}: norm {}, golden {expected}", grads.norm());
        for (name, norm, first) in norms(&model, &grads) {
            let golden = &golden["parameters"][&name];
            let expected = golden["l2"].as_f64().unwrap_or_else(|| panic!("{which}: no golden for {name}"));
            assert!((norm - expected).abs() <= 1e-3 * expected, "{which} {name}: {norm}, golden {expected}");
            assert_close(&format!("{which} {name}"), &first, &numbers(&golden["first8"]), 1e-3 * expected);
        }
    }
}

#[test]
fn stories260k_gives_the_reference_log_probabilities_and_first_gradients() {
    let Some(root) = shared("models/stories260K") else { return };
    let mut model = Model::load(&root.join("hf"), &Device::cpu()).unwrap();
    let generate = json(&root.join("golden/hf_generate.json"));
    for case in generate["forward_last_logits"].as_array().unwrap() {
        let ours = logits(&model, &ids(&case["ids"]));
        assert_close("last logits", ours.last().unwrap(), &numbers(&case["last_logits"]), 1e-4);
    }
    let nll = &generate["nll"];
    let ours = model.log_probabilities(&[&ids(&nll["ids"])]).unwrap().remove(0);
    assert_close("log-probabilities", &ours, &numbers(&nll["token_logprobs"]), 1e-4);
    let mean = -ours.iter().map(|&x| f64::from(x)).sum::<f64>() / ours.len() as f64;
    assert!((mean - nll["mean_nll"].as_f64().unwrap()).abs() < 1e-5);

    let train = json(&root.join("golden/hf_train.json"));
    let row = |example: &Value| {
        let labels = example["labels"].as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect::<Vec<_>>();
        (ids(&example["input_ids"]), labels)
    };
    let rows: Vec<_> = train["examples"].as_array().unwrap()[..8].iter().map(row).collect();
    for (row, expected) in rows.iter().zip(numbers(&train["loss_before_first8"])) {
        let (loss, ..) = loss_and_gradients(&model, std::slice::from_ref(row));
        assert!((loss - expected).abs() < 1e-4 * expected, "{loss}, golden {expected}");
    }
    model.train_everything();
    let (loss, _, grads) = loss_and_gradients(&model, &rows[..4]);
    let expected = train["first_batch4_loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < 1e-4 * expected, "{loss}, golden {expected}");
    for (parameter, norm, _) in norms(&model, &grads) {
        let expected = train["first_batch4_grad_l2_norms"][&parameter].as_f64().unwrap();
        assert!((norm - expected).abs() <= 1e-3 * expected, "{parameter}: {norm}, golden {expected}");
    }
}

#[test]
fn packed_rows_give_the_gradients_of_rows_one_by_one() {
    let mut model = Model::load(&luthier_fixtures::model("qwen2-bias-tied"), &Device::cpu()).unwrap();
    model.train_everything();
    let row = |seed: u32, length: u32| {
        let tokens: Vec<u32> = (0..length).map(|i| (seed * 7919 + i * 104_729) % 300).collect();
        let labels: Vec<i64> =
            tokens.iter().enumerate().map(|(i, &id)| if i < 3 { -100 } else { i64::from(id) }).collect();
        (tokens, labels)
    };
    let rows = [row(1, 9), row(2, 17), row(3, 4)];
    let (mean, count, packed) = loss_and_gradients(&model, &rows);
    let mut sum = vec![0.0; packed.flat().len()];
    let mut total = 0.0;
    for one in &rows {
        let (loss, labelled, grads) = loss_and_gradients(&model, std::slice::from_ref(one));
        total += loss * labelled as f64;
        let weight = labelled as f32 / count as f32;
        for (acc, g) in sum.iter_mut().zip(model.device().download(grads.flat())) {
            *acc += f64::from(g * weight);
        }
    }
    assert!((mean - total / count as f64).abs() < 1e-6, "{mean}");
    let packed = model.device().download(packed.flat());
    let largest = sum.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert_close("gradients", &packed, &sum, 1e-5 * largest);
}
