//! Files of `torch.save` against what torch reads from them, and models that are kept in such files.

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use fixture::{assert_says, bits, copy_of, folder, logits, refused, text};
use luthier_engine::{Device, Numbers, Packing};
use luthier_fixtures::{json, numbers, repository};
use luthier_model::weights::{self, Tensors};
use luthier_model::{LoraOptions, Model, SaveDtype, Store, Targets};
use serde_json::Value;

fn fixture_file(file: &str) -> PathBuf {
    repository().join("fixtures/torch").join(file)
}

fn golden() -> serde_json::Map<String, Value> {
    json(&fixture_file("tensors/golden.json")).as_object().unwrap().clone()
}

const FILES: [&str; 6] =
    ["zip.bin", "legacy.bin", "zip-protocol-4.bin", "zip-protocol-5.bin", "legacy-protocol-4.bin", "wrapped.bin"];

#[test]
fn every_tensor_has_the_shape_and_the_numbers_that_torch_reads() {
    for file in FILES {
        let tensors = Tensors::of_file(&fixture_file(&format!("tensors/{file}"))).unwrap();
        let golden = golden();
        assert_eq!(tensors.names().count(), golden.len(), "{file}: only tensors are listed");
        for (name, golden) in &golden {
            let shape: Vec<usize> = numbers(&golden["shape"]).iter().map(|&size| size as usize).collect();
            assert_eq!(tensors.shape(name), Some(shape.as_slice()), "{file} {name}");
            if golden["numbers"].is_null() {
                assert!(!tensors.is_readable(name), "{file} {name}");
                let error = tensors.read(name, &shape).unwrap_err();
                assert_says(&error, &[file, name, "stored as", "can be read"]);
                continue;
            }
            let expected: Vec<f32> = numbers(&golden["numbers"]).iter().map(|&x| x as f32).collect();
            assert_eq!(bits(&tensors.read(name, &shape).unwrap()), bits(&expected), "{file} {name}");
            assert_eq!(bits(&tensors.read_any(name).unwrap().1), bits(&expected), "{file} {name}");
            let as_it_lies = match tensors.map_or_read(name, &shape).unwrap() {
                Numbers::Mapped(numbers) => numbers.as_slice().to_vec(),
                Numbers::Owned(numbers) => numbers,
                other => panic!("{file} {name}: {other:?}"),
            };
            assert_eq!(bits(&as_it_lies), bits(&expected), "{file} {name}");
            if let [rows, cols] = shape[..] {
                // Numbers that are not bf16 are rounded; those that are come through as they are.
                let packed = tensors.pack(name, [rows, cols], Packing::Bf16).unwrap().unpack();
                let rounded: Vec<f32> = expected.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
                assert_eq!(bits(&packed), bits(&rounded), "{file} {name}");
            }
        }
        assert_eq!(tensors.stored_dtype(), SaveDtype::F32, "{file}");
    }
}

#[test]
fn numbers_in_the_new_container_are_used_where_they_lie() {
    let tensors = Tensors::of_file(&fixture_file("tensors/zip.bin")).unwrap();
    for (name, shape) in [("f32", &[3, 4][..]), ("offset", &[5]), ("tied.a", &[3, 2]), ("tied.b", &[3, 2])] {
        assert!(matches!(tensors.map_or_read(name, shape).unwrap(), Numbers::Mapped(_)), "{name}");
    }
    for (name, shape) in [("transposed", &[3, 4][..]), ("f16", &[2, 5]), ("f64", &[2, 3])] {
        assert!(matches!(tensors.map_or_read(name, shape).unwrap(), Numbers::Owned(_)), "{name}");
    }
}

/// The fixture model with its weights in the files of `fixtures/torch/models`.
fn pickled(name: &str) -> tempfile::TempDir {
    let copy = copy_of(&fixture_file(&format!("models/{name}")));
    fs::copy(folder(name).join("config.json"), copy.path().join("config.json")).unwrap();
    copy
}

#[test]
fn a_model_in_files_of_torch_is_the_model_in_safetensors() {
    for name in ["llama-gqa-tied-llama3-rope", "llama-linear-rope-headdim"] {
        let copy = pickled(name);
        let tokens = text(5, 33, 256);
        for store in [Store::F32, Store::Bf16, Store::Int8] {
            let ours = Model::load_as(copy.path(), &Device::cpu(), store).unwrap();
            let theirs = Model::load_as(&folder(name), &Device::cpu(), store).unwrap();
            assert_eq!(bits(&logits(&ours, &tokens)), bits(&logits(&theirs, &tokens)), "{name} {store}");
            assert_eq!(ours.stored_dtype, theirs.stored_dtype, "{name}");
        }
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Model::load(copy.path(), &Device::cpu()).unwrap().save(ours.path(), SaveDtype::F32).unwrap();
        fixture::model(name).save(theirs.path(), SaveDtype::F32).unwrap();
        let saved = |dir: &Path| fs::read(dir.join("model.safetensors")).unwrap();
        assert!(saved(ours.path()) == saved(theirs.path()), "{name}: what is saved of it");
    }
}

#[test]
fn safetensors_are_taken_where_both_lie() {
    let copy = pickled("llama-gqa-tied-llama3-rope");
    fs::copy(folder("llama-gqa-tied-llama3-rope").join("model.safetensors"), copy.path().join("model.safetensors"))
        .unwrap();
    fs::write(copy.path().join("pytorch_model.bin"), "broken").unwrap();
    Model::load(copy.path(), &Device::cpu()).unwrap();
    assert!(weights::are_there(copy.path()) && !weights::are_there(&repository().join("fixtures/metrics")));
}

#[test]
fn bad_shards_of_torch_are_refused() {
    let name = "llama-linear-rope-headdim";
    let copy = pickled(name);
    let (index, norm) = (copy.path().join("pytorch_model.bin.index.json"), "model.norm.weight");
    let (first, second) = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin");
    let whole = fs::read_to_string(&index).unwrap();
    let moved = |shard: &str| {
        let mut json = json(&index);
        json["weight_map"][norm] = shard.into();
        fs::write(&index, json.to_string()).unwrap();
    };
    moved(first);
    refused(copy.path(), &["pytorch_model.bin.index.json", norm, first, "where it is not"]);
    moved("../x.bin");
    refused(copy.path(), &["pytorch_model.bin.index.json", norm, "not the name of a file beside it"]);
    fs::write(&index, whole).unwrap();
    let bytes = fs::read(copy.path().join(second)).unwrap();
    fs::copy(copy.path().join(first), copy.path().join(second)).unwrap();
    refused(copy.path(), &[second, "already"]);
    fs::write(copy.path().join(second), &bytes[..bytes.len() - 1]).unwrap();
    refused(copy.path(), &[second, "tensor \"", "truncated"]);
    fs::remove_file(copy.path().join(second)).unwrap();
    refused(copy.path(), &["pytorch_model.bin.index.json", second, "not there"]);
}

#[test]
fn a_pickle_that_calls_the_system_is_refused_by_name() {
    let error = Tensors::of_file(&fixture_file("tensors/calls-system.bin")).unwrap_err();
    // Python names it by the module that it is made in.
    assert_says(&error, &["calls-system.bin", "refused", "calls posix.system", "nothing of the kind"]);
}

#[test]
fn a_file_of_torch_cut_off_anywhere_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.bin");
    for file in ["zip.bin", "legacy.bin"] {
        let whole = fs::read(fixture_file(&format!("tensors/{file}"))).unwrap();
        let mut cuts: Vec<usize> = (0..whole.len()).step_by(13).collect();
        cuts.extend([1, 2, 3, 4, whole.len() - 1]);
        for cut in cuts {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = Tensors::of_file(&path).expect_err("a part is missing");
            // Of a zip archive's beginning the first four bytes tell what it is, of a pickle's the first.
            let is_known = cut >= if file == "zip.bin" { 4 } else { 1 };
            assert_says(&error, &["cut.bin", if is_known { "truncated" } else { "no file that torch.save wrote" }]);
        }
    }
}

#[test]
fn an_adapter_in_a_file_of_torch_is_the_adapter_in_safetensors() {
    let name = "qwen2-bias-tied";
    let mut model = fixture::model(name);
    let options = LoraOptions::new(2, 4.0, Targets::AllLinear);
    model.attach_lora(&options, 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(dir.path(), "base", None).unwrap();
    let tensors = Tensors::of_file(&dir.path().join("adapter_model.safetensors")).unwrap();
    let all: Vec<_> = tensors.names().map(|name| (name.to_owned(), tensors.read_any(name).unwrap())).collect();
    fs::remove_file(dir.path().join("adapter_model.safetensors")).unwrap();
    fs::write(dir.path().join("adapter_model.bin"), fixture::torch::file_of(&all)).unwrap();
    let mut again = fixture::model(name);
    again.load_adapter(dir.path()).unwrap();
    let tokens = text(6, 12, again.config.vocab_size);
    assert_eq!(bits(&logits(&model, &tokens)), bits(&logits(&again, &tokens)));
}

#[test]
fn a_note_of_git_lfs_and_other_files_are_told_apart() {
    let copy = pickled("llama-gqa-tied-llama3-rope");
    let path = copy.path().join("pytorch_model.bin");
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n").unwrap();
    refused(copy.path(), &["pytorch_model.bin", "Git LFS", "git lfs pull"]);
    for bytes in [&b""[..], b"P", b"<html>", &[0; 100]] {
        fs::write(&path, bytes).unwrap();
        refused(copy.path(), &["pytorch_model.bin", "no file that torch.save wrote"]);
    }
    fs::copy(folder("llama-gqa-tied-llama3-rope").join("model.safetensors"), &path).unwrap();
    refused(copy.path(), &["pytorch_model.bin", "no file that torch.save wrote"]);
    fs::remove_file(&path).unwrap();
    refused(copy.path(), &["neither model.safetensors nor model.safetensors.index.json", "no pytorch_model.bin"]);
}
