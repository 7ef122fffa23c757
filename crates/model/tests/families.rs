//! Every shape of every family against transformers: one test a check, each over all golden folders.
//!
//! `LUTHIER_SAVED=DIR` keeps the folders that the saving test writes, for `tools/check_saved.py --families DIR`.

#![allow(clippy::print_stdout, reason = "says how near each shape came")]

mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use luthier_engine::{Device, Layout, Tape};
use luthier_fixtures::{GoldenFamily, golden_families, json, numbers};
use luthier_model::{Model, SaveDtype};
use reference::{logits, loss_and_gradients, nearness, norms, packed_logits};
use safetensors::SafeTensors;
use serde_json::Value;

/// Runs a check on every golden folder and prints how near each came; all that fail are named together.
fn on_every_shape(check: impl Fn(&GoldenFamily, &mut Model) -> Result<f64, String>) {
    let families = golden_families();
    assert!(families.iter().any(|family| family.model_type == "llama"), "no shape runs");
    let mut wrong = Vec::new();
    for family in families {
        let model = Model::load_to_train(&family.folder, &Device::cpu());
        match model.map_err(|error| error.to_string()).and_then(|mut model| check(&family, &mut model)) {
            Ok(largest) => println!("{}: off by {largest:.1e} at most", family.name),
            Err(why) => wrong.push(format!("{}: {why}", family.name)),
        }
    }
    assert!(wrong.is_empty(), "{} shapes differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn list<'a>(family: &'a GoldenFamily, key: &str) -> &'a [Value] {
    family.golden[key].as_array().unwrap_or_else(|| panic!("{}: no list {key}", family.name))
}

/// The largest of what several comparisons found, or the first that fails.
fn largest(mut found: impl Iterator<Item = Result<f64, String>>) -> Result<f64, String> {
    found.try_fold(0.0, |largest, next| Ok(f64::max(largest, next?)))
}

#[test]
fn rows_packed_together_give_the_reference_logits_at_their_last_positions() {
    on_every_shape(|family, model| {
        let prompts = family.prompts();
        let ends = prompts.iter().scan(0, |end, prompt| {
            *end += prompt.len() as u32;
            Some(*end - 1)
        });
        let ours = packed_logits(model, &prompts, Some(&ends.collect::<Vec<_>>()));
        let golden = family.of_each_row("logits_last_pos", "logits_last_pos_alone");
        largest(
            golden
                .zip(&ours)
                .enumerate()
                .map(|(row, (golden, ours))| nearness(&format!("row {row}"), ours, &numbers(golden), 1e-4)),
        )
    });
}

#[test]
fn a_row_alone_gives_the_reference_logits_at_every_position() {
    on_every_shape(|family, model| {
        let ours = logits(model, &family.prompts()[0]);
        let golden = list(family, "row0_logits_all_pos_first8");
        assert_eq!(ours.len(), golden.len());
        largest(ours.iter().zip(golden).enumerate().map(|(position, (ours, golden))| {
            nearness(&format!("position {position}"), &ours[..8], &numbers(golden), 1e-4)
        }))
    });
}

#[test]
fn the_last_hidden_state_is_the_references() {
    on_every_shape(|family, model| {
        let tokens = &family.prompts()[0];
        let mut tape = Tape::inference(model.device(), &model.params);
        let wanted = [tokens.len() as u32 - 1];
        let hidden = model.forward(&mut tape, tokens, &Layout::packed(&[tokens.len()]), Some(&wanted)).unwrap();
        let ours = hidden.tensor.to_vec();
        let golden = list(family, "hidden_states_row0_last_pos_first8").last().expect("a state behind the last block");
        let first = nearness("first numbers", &ours[..8], &numbers(golden), 1e-4)?;
        let Some(golden) = family.golden.get("hidden_states_row0_last_pos_norm") else { return Ok(first) };
        let norm = ours.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let golden = numbers(golden).pop().expect("a state behind the last block");
        nearness("norm", &[norm as f32], &[golden], 1e-5 * golden).map(|_| first)
    });
}

/// Row 0, its first five labels masked, as the goldens of loss and gradients have it.
fn row_with_labels(family: &GoldenFamily) -> (Vec<u32>, Vec<i64>) {
    let tokens = family.prompts().swap_remove(0);
    let labels = tokens.iter().enumerate().map(|(i, &id)| if i < 5 { -100 } else { i64::from(id) }).collect();
    (tokens, labels)
}

#[test]
fn the_loss_of_a_row_whose_first_labels_are_masked_is_the_references() {
    on_every_shape(|family, model| {
        let (loss, ..) = loss_and_gradients(model, &[row_with_labels(family)]);
        let golden = family.golden["loss_row0_labels_first5_masked"].as_f64().expect("a loss");
        nearness("loss", &[loss as f32], &[golden], 1e-4)
    });
}

#[test]
fn every_parameter_has_a_gradient_as_long_as_the_references() {
    on_every_shape(|family, model| {
        model.train_everything();
        let (.., grads) = loss_and_gradients(model, &[row_with_labels(family)]);
        let ours: BTreeMap<String, f64> =
            norms(model, &grads).into_iter().map(|(name, norm, _)| (name, norm)).collect();
        let golden = family.golden["grad_l2"].as_object().expect("norms by name");
        if let Some(name) = golden.keys().find(|name| !ours.contains_key(*name)) {
            return Err(format!("{name} has no gradient"));
        }
        let number = |value: &Value| value.as_f64().expect("a norm");
        let all = golden.values().map(|norm| number(norm).powi(2)).sum::<f64>().sqrt();
        largest(ours.iter().map(|(name, norm)| {
            let golden = golden.get(name).map(number).ok_or_else(|| format!("no golden for {name}"))?;
            // Some are nothing but rounding: adding the same to all keys of a query moves no weight of attention.
            nearness(name, &[*norm as f32], &[golden], 1e-3 * golden + 1e-6 * all).map(|off| off / all)
        }))
    });
}

/// The tensors of a file: name, shape and bytes.
fn stored(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec()))).collect()
}

/// Where the saved folders go, and what removes them afterwards unless they are to stay.
fn place_to_save() -> (PathBuf, Option<tempfile::TempDir>) {
    if let Some(kept) = std::env::var_os("LUTHIER_SAVED") {
        return (PathBuf::from(kept), None);
    }
    let dir = tempfile::tempdir().unwrap();
    (dir.path().to_owned(), Some(dir))
}

#[test]
fn a_saved_model_has_the_tensors_and_the_configuration_of_the_folder_it_came_from() {
    let (root, _kept) = place_to_save();
    on_every_shape(|family, model| {
        let dir = root.join(&family.name);
        fs::create_dir_all(&dir).unwrap();
        model.save(&dir, SaveDtype::F32).map_err(|error| error.to_string())?;
        let (before, after) = (family.folder.join("model.safetensors"), dir.join("model.safetensors"));
        let (before, after) = (stored(&before), stored(&after));
        let names = |tensors: &BTreeMap<String, _>| tensors.keys().cloned().collect::<Vec<_>>();
        if names(&before) != names(&after) {
            return Err(format!("holds {:?}, not {:?}", names(&after), names(&before)));
        }
        if let Some(name) = before.keys().find(|name| before[*name] != after[*name]) {
            return Err(format!("{name} has changed"));
        }
        let config = |folder: &Path| {
            let mut config = json(&folder.join("config.json"));
            // Two names of one field in different versions.
            config.as_object_mut().expect("an object").remove("torch_dtype");
            config
        };
        if config(&family.folder) != config(&dir) {
            return Err(format!("config.json has become {}", config(&dir)));
        }
        Ok(0.0)
    });
}
