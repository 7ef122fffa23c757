//! Models in and out of GGUF files: the same logits, bit for bit where the numbers are kept.

mod reference;

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::{golden_families, model as fixture, repository};
use luthier_gguf::{TensorType, Vocabulary};
use luthier_model::{Model, Opening, Store, Trained};
use reference::logits;

/// Families that llama.cpp has no architecture for.
const NOT_IN_LLAMA_CPP: [&str; 1] = ["opt"];

fn open(path: &Path) -> Model {
    Model::load(path, &Device::cpu()).unwrap_or_else(|error| panic!("{error}"))
}

fn bits(logits: &[Vec<f32>]) -> Vec<u32> {
    logits.iter().flatten().map(|x| x.to_bits()).collect()
}

fn vocabulary(model: &Model) -> Vocabulary {
    let tokens = (0..model.config.vocab_size).map(|id| format!("token{id}")).collect();
    Vocabulary { model: "gpt2".to_owned(), pre: Some("gpt-2".to_owned()), tokens, ..Vocabulary::default() }
}

fn tokens(model: &Model) -> Vec<u32> {
    (0..20).map(|i| (i * 7 + 3) % model.config.vocab_size as u32).collect()
}

#[test]
fn a_file_of_llama_cpp_gives_the_logits_of_the_folder_it_was_made_of() {
    let file = repository().join("fixtures/gguf/llama.gguf");
    let (ours, theirs) = (open(&file), open(&fixture("llama-gqa-tied-llama3-rope")));
    let text = tokens(&ours);
    assert_eq!(bits(&logits(&ours, &text)), bits(&logits(&theirs, &text)));
    for store in [Store::Bf16, Store::Int8, Store::Nf4] {
        let packed = |path: &Path| Model::load_as(path, &Device::cpu(), store).unwrap();
        let (ours, theirs) = (packed(&file), packed(&fixture("llama-gqa-tied-llama3-rope")));
        assert_eq!(bits(&logits(&ours, &text)), bits(&logits(&theirs, &text)), "{store}");
    }
    let opening = Opening { trained: Trained::All, ..Opening::default() };
    let trained = Model::open(&file, &Device::cpu(), &opening).unwrap();
    assert_eq!(bits(&logits(&trained, &text)), bits(&logits(&theirs, &text)));
}

#[test]
fn every_shape_of_every_family_goes_into_a_file_and_comes_out_of_it() {
    let (mut whole, mut refused, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for family in golden_families() {
        let model = open(&family.folder);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        match model.save_gguf(&path, TensorType::F32, &vocabulary(&model)) {
            Ok(()) => {
                let again = match Model::load(&path, &Device::cpu()) {
                    Ok(again) => again,
                    Err(error) => {
                        wrong.push(format!("{}: {error}", family.name));
                        continue;
                    }
                };
                let text = tokens(&model);
                let (ours, theirs) = (logits(&again, &text), logits(&model, &text));
                // Sums of a stretched rope may be told as f32 in the file.
                let largest = ours.iter().flatten().zip(theirs.iter().flatten()).map(|(a, b)| (a - b).abs());
                let largest = largest.fold(0.0, f32::max);
                if largest.is_nan() || largest >= 1e-4 {
                    wrong.push(format!("{}: off by {largest}", family.name));
                    continue;
                }
                whole.push(family.name);
            }
            Err(error) => {
                assert!(!path.exists(), "{}: a refused file is there", family.name);
                refused.push(format!("{}: {error}", family.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_known = |line: &String| NOT_IN_LLAMA_CPP.iter().any(|name| line.starts_with(name));
    luthier_fixtures::announce(&format!(
        "RUNNING: {} shapes through GGUF; refused: {}",
        whole.len(),
        refused.join("; ")
    ));
    assert!(refused.iter().filter(|line| is_known(line)).count() >= 3, "{refused:?}");
}

#[test]
fn eight_bits_stay_near_and_a_file_of_them_is_read() {
    let model = open(&fixture("llama-gqa-tied-llama3-rope"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    model.save_gguf(&path, TensorType::Q8_0, &vocabulary(&model)).unwrap();
    let text = tokens(&model);
    let (ours, theirs) = (logits(&open(&path), &text), logits(&model, &text));
    let largest = |rows: &[Vec<f32>]| rows.iter().flatten().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let difference: Vec<Vec<f32>> =
        ours.iter().zip(&theirs).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect();
    let (difference, scale) = (largest(&difference), largest(&theirs));
    assert!(difference > 0.0 && difference < 0.05 * scale, "off by {difference} of {scale}");
}

#[test]
fn a_file_cut_off_anywhere_is_refused_by_name() {
    let bytes = std::fs::read(repository().join("fixtures/gguf/llama.gguf")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.gguf");
    for length in [5, 24, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = Model::load(&path, &Device::cpu()).unwrap_err().to_string();
        assert!(error.contains("cut.gguf"), "{length}: {error}");
    }
}
