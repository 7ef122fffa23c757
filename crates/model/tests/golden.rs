//! The decoder against transformers: logits, hidden states, losses and the gradient of every parameter.

#![allow(clippy::print_stdout, reason = "a failure shows which model it was")]

use std::path::Path;

use luthier_engine::{Device, Grads, Layout, Tape};
use luthier_fixtures::{ids, json, numbers, repository, shared};
use luthier_model::Model;
use serde_json::Value;

fn assert_close(what: &str, ours: &[f32], golden: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), golden.len(), "{what}");
    for (i, (&a, &b)) in ours.iter().zip(golden).enumerate() {
        assert!((f64::from(a) - b).abs() <= tolerance, "{what}[{i}]: {a}, golden {b}");
    }
}

/// Logits `[N, V]` of one text.
fn logits(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut tape = Tape::inference(model.device(), &model.params);
    let hidden = model.forward(&mut tape, tokens, &Layout::packed(&[tokens.len()]), None).unwrap();
    let flat = tape.logits(&hidden, model.head(), 0..tokens.len()).to_vec();
    flat.chunks(model.config.vocab_size).map(<[f32]>::to_vec).collect()
}

/// Mean loss over the labelled tokens of packed rows, and the gradients, as training computes them.
fn loss_and_gradients(model: &Model, rows: &[(Vec<u32>, Vec<i64>)]) -> (f64, usize, Grads) {
    let lengths: Vec<usize> = rows.iter().map(|(tokens, _)| tokens.len()).collect();
    let tokens: Vec<u32> = rows.iter().flat_map(|(tokens, _)| tokens.clone()).collect();
    let (mut wanted, mut labels, mut start) = (Vec::new(), Vec::new(), 0);
    for (tokens, row_labels) in rows {
        for (i, &label) in row_labels.iter().enumerate().skip(1) {
            if label >= 0 {
                wanted.push((start + i - 1) as u32);
                labels.push(label as u32);
            }
        }
        start += tokens.len();
    }
    let mut grads = Grads::zeros(model.device(), &model.params);
    let mut tape = Tape::training(model.device(), &model.params);
    let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&lengths), Some(&wanted)).unwrap();
    let scale = 1.0 / labels.len() as f32;
    let nll = tape.backward_head_loss(&hidden, model.head(), &labels, scale, &mut grads);
    let mean = nll.iter().map(|&loss| f64::from(loss)).sum::<f64>() / labels.len() as f64;
    (mean, labels.len(), grads)
}

fn norms(model: &Model, grads: &Grads) -> Vec<(String, f64, Vec<f32>)> {
    let device = model.device();
    let mut list = Vec::new();
    for (id, param) in model.params.trainable() {
        let norm = device.sum_of_squares(grads.view(&model.params, id).unwrap()).sqrt();
        let first = device.download(grads.view(&model.params, id).unwrap())[..8].to_vec();
        list.push((param.name.clone(), norm, first));
    }
    list
}

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
fn the_tiny_random_models_give_the_reference_logits_loss_and_gradient_norms() {
    let Some(root) = shared("models/tiny-random") else { return };
    for name in ["llama", "llama3-rope-scaled-gqa", "qwen2"] {
        let folder = root.join(name);
        let golden = json(&folder.join("golden.json"));
        let mut model = Model::load(&folder, &Device::cpu()).unwrap();
        let batch = golden["input_ids"].as_array().unwrap();
        let masks = golden["attention_mask_left_pad"].as_array().unwrap();
        for (r, (row, mask)) in batch.iter().zip(masks).enumerate() {
            let tokens: Vec<u32> =
                ids(row).into_iter().zip(ids(mask)).filter(|(_, kept)| *kept == 1).map(|(id, _)| id).collect();
            let ours = logits(&model, &tokens);
            let expected = numbers(&golden["logits_last_pos"][r]);
            assert_close(&format!("{name} row {r}"), ours.last().unwrap(), &expected, 1e-4);
        }
        let row0 = ids(&batch[0]);
        let ours = logits(&model, &row0);
        for (i, expected) in golden["row0_logits_all_pos_first8"].as_array().unwrap().iter().enumerate() {
            assert_close(&format!("{name} position {i}"), &ours[i][..8], &numbers(expected), 1e-4);
        }
        model.train_everything();
        let labels = row0.iter().enumerate().map(|(i, &id)| if i < 5 { -100 } else { i64::from(id) }).collect();
        let (loss, _, grads) = loss_and_gradients(&model, &[(row0, labels)]);
        let expected = golden["loss_row0_labels_first5_masked"].as_f64().unwrap();
        assert!((loss - expected).abs() < 1e-4, "{name}: loss {loss}, golden {expected}");
        for (parameter, norm, _) in norms(&model, &grads) {
            let expected = golden["grad_l2"][&parameter].as_f64().unwrap();
            assert!((norm - expected).abs() <= 1e-3 * expected, "{name} {parameter}: {norm}, golden {expected}");
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
