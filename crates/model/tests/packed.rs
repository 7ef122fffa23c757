//! Models whose frozen weights are held as bf16, int8 or nf4: each is the f32 model with the numbers they stand for.

#![allow(clippy::print_stdout, reason = "says how near the two are")]

mod fixture;

use fixture::{Stored, bits, copy_of, edit_tensors, folder, largest_difference, logits, text};
use half::bf16;
use luthier_engine::{Device, Grads, Layout, Numbers, Packed, Packing, Tape, Tensor};
use luthier_model::{Feed, LoraOptions, Model, SaveDtype, Session, Store, Targets};

const STORES: [Store; 3] = [Store::Bf16, Store::Int8, Store::Nf4];

fn packed(name: &str, store: Store) -> Model {
    Model::load_as(&folder(name), &Device::cpu(), store).unwrap()
}

/// The f32 model whose weights are those that `model`'s stand for.
fn unpacked(name: &str, model: &Model) -> Model {
    let mut plain = fixture::model(name);
    for (id, param) in model.params.iter() {
        let (rows, cols) = (param.tensor.rows(), param.tensor.cols());
        plain.params.get_mut(id).tensor = Tensor::from_slice(&Device::cpu(), rows, cols, &param.tensor.to_vec());
    }
    plain
}

/// How far the first is from the second, of the second's largest number.
fn apart(ours: &[f32], theirs: &[f32]) -> f32 {
    largest_difference(ours, theirs) / theirs.iter().fold(1e-20, |largest, x| x.abs().max(largest))
}

#[test]
fn weights_are_packed_as_they_are_read_and_norms_and_biases_stay_f32() {
    for name in fixture::MODELS {
        for store in STORES {
            let (model, plain) = (packed(name, store), fixture::model(name));
            assert_eq!(model.opening().store, store);
            let mut bytes = 0;
            for ((_, param), (_, read)) in model.params.iter().zip(plain.params.iter()) {
                let is_table = param.name == "model.embed_tokens.weight" || param.name == "lm_head.weight";
                let expected = match store {
                    _ if param.shape.len() == 1 => None,
                    Store::Bf16 => Some(Packing::Bf16),
                    Store::Nf4 if !is_table => Some(Packing::Nf4),
                    _ => Some(Packing::Int8),
                };
                assert_eq!(param.tensor.packing(), expected, "{name} {store} {}", param.name);
                let mut numbers = read.tensor.to_vec();
                if let Some(packing) = expected {
                    let (rows, cols) = (read.tensor.rows(), read.tensor.cols());
                    let mut whole = Packed::with_capacity(packing, rows, cols);
                    whole.push_rows(&numbers);
                    assert_eq!(param.tensor.bytes(), whole.bytes());
                    numbers = whole.unpack();
                }
                assert_eq!(bits(&param.tensor.to_vec()), bits(&numbers), "{name} {store} {}", param.name);
                bytes += param.tensor.bytes();
            }
            assert_eq!(model.device().memory().current, bytes, "{name} {store}: all bytes are on the device's account");
        }
    }
}

#[test]
fn bf16_files_are_used_as_they_lie() {
    for name in fixture::MODELS {
        let dir = tempfile::tempdir().unwrap();
        fixture::model(name).save(dir.path(), SaveDtype::Bf16).unwrap();
        let as_it_lies = Model::load_as(dir.path(), &Device::cpu(), Store::Bf16).unwrap();
        let read = Model::load(dir.path(), &Device::cpu()).unwrap();
        let tokens = text(4, 21, read.config.vocab_size);
        for ((_, ours), (_, theirs)) in as_it_lies.params.iter().zip(read.params.iter()) {
            assert_eq!(bits(&ours.tensor.to_vec()), bits(&theirs.tensor.to_vec()), "{name} {}", ours.name);
        }
        let difference = apart(&logits(&as_it_lies, &tokens), &logits(&read, &tokens));
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
fn a_packed_model_s_logits_are_those_of_the_numbers_it_stands_for() {
    for name in fixture::MODELS {
        for store in STORES {
            let model = packed(name, store);
            let plain = unpacked(name, &model);
            let tokens = text(1, 33, model.config.vocab_size);
            let whole = apart(&logits(&model, &tokens), &logits(&plain, &tokens));
            // One token at a time, products have one row and go another way.
            let (mut ours, mut theirs) = (Session::new(&model), Session::new(&plain));
            let (a, b) = (ours.start(), theirs.start());
            let mut stepped = 0.0f32;
            for token in &tokens {
                let feed = |sequence| [Feed { sequence, tokens: std::slice::from_ref(token) }];
                let (x, y) = (ours.step(&feed(a)).unwrap(), theirs.step(&feed(b)).unwrap());
                stepped = stepped.max(apart(&x, &y));
            }
            println!("{name} {store}: {whole:.1e}, token by token {stepped:.1e}");
            assert!(whole < 1e-4 && stepped < 1e-4, "{name} {store}: {whole} {stepped}");
        }
    }
}

#[test]
fn an_adapter_s_loss_and_gradients_on_packed_weights_are_those_on_the_numbers_they_stand_for() {
    for name in fixture::MODELS {
        for store in STORES {
            let mut model = packed(name, store);
            let mut plain = unpacked(name, &model);
            let (loss, grads) = adapter_step(&mut model);
            let (expected, expected_grads) = adapter_step(&mut plain);
            let gradients = apart(&grads, &expected_grads);
            println!("{name} {store}: loss {loss} {expected}, gradients {gradients:.1e}");
            assert!((loss - expected).abs() < 1e-4 * expected, "{name} {store}: {loss} {expected}");
            assert!(gradients < 1e-4, "{name} {store}: {gradients}");
            assert!(grads.iter().any(|&g| g != 0.0));
        }
    }
}

/// Loss and gradients of a fresh adapter whose B is not zero, so that gradients reach A too.
fn adapter_step(model: &mut Model) -> (f32, Vec<f32>) {
    let options = LoraOptions::new(3, 6.0, Targets::AllLinear);
    model.attach_lora(&options, 7).unwrap();
    let ids: Vec<_> = model.params.trainable().map(|(id, _)| id).collect();
    for id in ids {
        let tensor = &mut model.params.get_mut(id).tensor;
        let numbers: Vec<f32> = (0..tensor.rows() * tensor.cols()).map(|i| (i as f32 * 0.7).sin() * 0.05).collect();
        *tensor = Tensor::from_slice(&Device::cpu(), tensor.rows(), tensor.cols(), &numbers);
    }
    let tokens = text(9, 41, model.config.vocab_size);
    let mut grads = Grads::zeros(model.device(), &model.params);
    let mut tape = Tape::training(model.device(), &model.params);
    let rows: Vec<u32> = (10..40).collect();
    let labels: Vec<u32> = rows.iter().map(|&row| tokens[row as usize + 1]).collect();
    let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&[tokens.len()]), Some(&rows)).unwrap();
    let nll = tape.backward_head_loss(&hidden, model.head(), &labels, 1.0 / rows.len() as f32, &mut grads);
    (nll.iter().sum::<f32>() / rows.len() as f32, model.device().download(grads.flat()))
}

#[test]
fn what_would_pass_on_rounded_weights_as_the_model_is_refused() {
    let mut model = packed("qwen2-bias-tied", Store::Int8);
    let dir = tempfile::tempdir().unwrap();
    let error = model.save(dir.path(), SaveDtype::F32).unwrap_err();
    fixture::assert_says(&error, &["int8", "saved", "open it as f32"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    adapter_step(&mut model);
    fixture::assert_says(&model.merge_adapter().unwrap_err(), &["int8", "merged", "open it as f32"]);
    assert!(model.has_adapter(), "it stays as it was");
    model.save_adapter(dir.path(), "base", None).unwrap();
    let mut again = packed("qwen2-bias-tied", Store::Int8);
    again.load_adapter(dir.path()).unwrap();
    let tokens = text(6, 12, again.config.vocab_size);
    assert_eq!(bits(&logits(&model, &tokens)), bits(&logits(&again, &tokens)));
}

#[test]
#[should_panic(expected = "packed weights cannot be trained")]
fn packed_weights_are_never_trained() {
    packed("qwen2-bias-tied", Store::Bf16).train_everything();
}

#[test]
#[should_panic(expected = "was given where f32 is read")]
fn an_op_that_cannot_take_packed_numbers_says_so() {
    let device = Device::cpu();
    let mut weight = Packed::with_capacity(Packing::Int8, 2, 4);
    weight.push_rows(&[1.0; 8]);
    let weight = Tensor::of(&device, 2, 4, Numbers::Packed(weight));
    device.sum_of_squares(weight.view());
}

#[test]
fn numbers_that_are_not_finite_are_found_before_they_are_packed() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    let path = copy.path().join("model.safetensors");
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        edit_tensors(&path, |tensors| {
            let tensor = tensors.get_mut("model.layers.1.mlp.up_proj.weight").unwrap();
            let last = tensor.bytes.len() - 4;
            tensor.bytes[last..].copy_from_slice(&bad.to_le_bytes());
        });
        let refused = || {
            for store in STORES {
                let error = Model::load_as(copy.path(), &Device::cpu(), store).expect_err("it holds a NaN");
                fixture::assert_says(&error, &["model.safetensors", "layers.1.mlp.up_proj.weight", "NaN or infinite"]);
            }
        };
        refused();
        // The same in bf16, which is not read but mapped.
        let whole = std::fs::read(&path).unwrap();
        edit_tensors(&path, |tensors| {
            for tensor in tensors.values_mut() {
                let numbers = tensor.bytes.as_chunks().0.iter().map(|&x| bf16::from_f32(f32::from_le_bytes(x)));
                let bytes = numbers.flat_map(bf16::to_le_bytes).collect();
                *tensor = Stored { dtype: safetensors::Dtype::BF16, shape: tensor.shape.clone(), bytes };
            }
        });
        refused();
        std::fs::write(&path, whole).unwrap();
    }
}
