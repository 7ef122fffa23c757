//! Vocabularies that grow, and embedding and head that are trained and saved beside an adapter.

mod fixture;
mod reference;

use std::path::Path;

use fixture::{MODELS, folder, model};
use luthier_engine::{Device, Grads, Layout, Tape};
use luthier_model::{LoraOptions, Model, Opening, SaveDtype, Store, Targets, Trained};
use reference::logits;

const ADDED: usize = 5;

fn grown(name: &str, trained: Trained) -> Model {
    let vocabulary = model(name).config.vocab_size + ADDED;
    let opening = Opening { vocabulary, trained, ..Opening::default() };
    Model::open(&folder(name), &Device::cpu(), &opening).unwrap()
}

fn bits(logits: &[Vec<f32>]) -> Vec<u32> {
    logits.iter().flatten().map(|x| x.to_bits()).collect()
}

fn options(model: &Model, modules: &[&str]) -> LoraOptions {
    let modules_to_save = modules.iter().map(|&module| module.to_owned()).collect();
    assert!(model.config.hidden_size > 2);
    LoraOptions { modules_to_save, ..LoraOptions::new(2, 4.0, Targets::AllLinear) }
}

/// A step along the gradient of a text with the last token of the vocabulary in it.
fn train(model: &mut Model) {
    let last = model.config.vocab_size as u32 - 1;
    let tokens = [1, last, 7, last];
    let mut grads = Grads::zeros(model.device(), &model.params);
    for _ in 0..2 {
        grads.set_zero();
        let mut tape = Tape::training(model.device(), &model.params);
        let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&[4]), Some(&[0, 1, 2])).unwrap();
        tape.backward_head_loss(&hidden, model.head(), &[last, 7, last], 1.0 / 3.0, &mut grads);
        let ids: Vec<_> = model.params.trainable().map(|(id, _)| id).collect();
        for id in ids {
            let gradient = model.device().download(grads.view(&model.params, id).unwrap());
            let numbers: Vec<f32> =
                model.params.get(id).tensor.to_vec().iter().zip(&gradient).map(|(w, g)| w - 0.5 * g).collect();
            let tensor = &model.params.get(id).tensor;
            let stepped = luthier_engine::Tensor::from_slice(model.device(), tensor.rows(), tensor.cols(), &numbers);
            model.params.get_mut(id).tensor = stepped;
        }
    }
}

fn load(name: &str, adapter: &Path, store: Store) -> Model {
    let mut model = Model::load_as(&folder(name), &Device::cpu(), store).unwrap();
    model.load_adapter(adapter).unwrap();
    model
}

#[test]
fn new_rows_are_the_mean_of_the_others_and_the_old_tokens_keep_their_logits() {
    for name in MODELS {
        let (before, after) = (model(name), grown(name, Trained::All));
        let v = before.config.vocab_size;
        assert_eq!(
            (after.config.vocab_size, after.config.json["vocab_size"].as_u64()),
            (v + ADDED, Some((v + ADDED) as u64))
        );
        let table = |model: &Model| {
            let (_, table) = model.params.iter().find(|(_, param)| param.name.contains("embed_tokens")).unwrap();
            (table.shape.clone(), table.tensor.to_vec())
        };
        let ((_, old), (shape, new)) = (table(&before), table(&after));
        assert_eq!(shape[0], v + ADDED);
        let c = shape[1];
        assert_eq!(new[..v * c], old[..]);
        for col in 0..c {
            let mean = (0..v).map(|row| f64::from(old[row * c + col])).sum::<f64>() / v as f64;
            for row in v..v + ADDED {
                assert!((f64::from(new[row * c + col]) - mean).abs() < 1e-6, "{name} row {row}");
            }
        }
        let (ours, theirs) = (logits(&after, &[1, 2, 3, 9]), logits(&before, &[1, 2, 3, 9]));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(ours[..v].iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        }
    }
}

#[test]
fn tables_travel_with_the_adapter_and_cannot_mismatch() {
    for name in MODELS {
        for modules in [&["embed_tokens", "lm_head"][..], &[]] {
            let mut ours = grown(name, if modules.is_empty() { Trained::None } else { Trained::Tables });
            let options = options(&ours, modules);
            ours.attach_lora(&options, 3).unwrap();
            train(&mut ours);
            let text = [1, ours.config.vocab_size as u32 - 1, 4, 2];
            let expected = bits(&logits(&ours, &text));
            let dir = tempfile::tempdir().unwrap();
            ours.save_adapter(dir.path(), "base", None).unwrap();
            // On the base as it is on the Hub, which has fewer rows.
            let mut loaded = load(name, dir.path(), Store::F32);
            assert_eq!(loaded.config.vocab_size, ours.config.vocab_size);
            assert_eq!(bits(&logits(&loaded, &text)), expected, "{name} {modules:?}");
            // Merged and saved, it is a model of the longer vocabulary.
            loaded.merge_adapter().unwrap();
            let merged = tempfile::tempdir().unwrap();
            loaded.save(merged.path(), SaveDtype::F32).unwrap();
            let again = Model::load(merged.path(), &Device::cpu()).unwrap();
            assert_eq!(bits(&logits(&again, &text)), bits(&logits(&loaded, &text)), "{name} {modules:?}");
            assert_eq!(again.config.vocab_size, ours.config.vocab_size);
            // Packed, the tables are packed too.
            let packed = load(name, dir.path(), Store::Int8);
            assert!(packed.log_probabilities(&[&text]).unwrap()[0].iter().all(|x| x.is_finite()));
            // Taken off, the base is what it was.
            let mut off = load(name, dir.path(), Store::F32);
            off.detach_adapter();
            assert_eq!(bits(&logits(&off, &[1, 2])), bits(&logits(&model(name), &[1, 2])), "{name}");
            assert_eq!(off.config.vocab_size, model(name).config.vocab_size);
        }
    }
}

#[test]
fn what_cannot_be_trained_whole_is_refused_by_name() {
    let attach = |model: &mut Model, modules: &[&str]| {
        let options = options(model, modules);
        model.attach_lora(&options, 1).unwrap_err().to_string()
    };
    let mut plain = model("qwen2-bias-tied");
    let error = attach(&mut plain, &["up_proj"]);
    assert!(error.contains("\"up_proj\"") && error.contains("embed_tokens, lm_head"), "{error}");
    let mut packed = Model::load_as(&folder("qwen2-bias-tied"), &Device::cpu(), Store::Int8).unwrap();
    let error = attach(&mut packed, &["embed_tokens"]);
    assert!(error.contains("held as int8 and cannot be trained"), "{error}");
}

#[test]
fn an_adapter_whose_tables_are_missing_or_of_another_width_is_refused() {
    let mut ours = grown("qwen2-untied-odd", Trained::Tables);
    let options = options(&ours, &["embed_tokens"]);
    ours.attach_lora(&options, 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    ours.save_adapter(dir.path(), "base", None).unwrap();
    let path = dir.path().join("adapter_model.safetensors");
    let refused = || {
        let mut model = model("qwen2-untied-odd");
        let error = model.load_adapter(dir.path()).unwrap_err().to_string();
        assert!(!model.has_adapter());
        assert_eq!(bits(&logits(&model, &[1, 2])), bits(&logits(&fixture::model("qwen2-untied-odd"), &[1, 2])));
        error
    };
    let key = "base_model.model.model.embed_tokens.weight";
    fixture::edit_tensors(&path, |tensors| {
        let table = tensors.remove(key).unwrap();
        tensors.insert("kept".to_owned(), table);
    });
    let error = refused();
    assert!(error.contains("modules_to_save names embed_tokens, but no tensor of it is here"), "{error}");
    fixture::edit_tensors(&path, |tensors| {
        let mut table = tensors.remove("kept").unwrap();
        table.shape = vec![table.shape[0] * table.shape[1], 1];
        tensors.insert(key.to_owned(), table);
    });
    let error = refused();
    assert!(error.contains(key) && error.contains("was it trained on another model?"), "{error}");
}
