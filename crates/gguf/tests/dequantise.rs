//! Numbers of every type are those that the Python package gguf reads, bit for bit.

use std::fs;

use luthier_fixtures::repository;
use luthier_gguf::{Gguf, TensorType, dequantise, quantise};
use safetensors::SafeTensors;

fn fixture(name: &str) -> std::path::PathBuf {
    repository().join("fixtures/gguf").join(name)
}

/// Numbers of the reference, by the name of a tensor.
fn reference(name: &str) -> Vec<f32> {
    let bytes = fs::read(fixture("types.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(name).unwrap().data();
    data.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect()
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn every_type_is_read_as_the_reference_reads_it() {
    let file = Gguf::open(&fixture("types.gguf")).unwrap();
    let mut types = Vec::new();
    for (name, tensor) in file.tensors() {
        assert_eq!(tensor.shape(), [3, 256]);
        let mut numbers = vec![7.0];
        dequantise(tensor.kind(), file.data(tensor).as_slice(), &mut numbers).unwrap();
        assert_eq!(numbers[0], 7.0, "{name}: numbers are put behind those that are there");
        assert_eq!(bits(&numbers[1..]), bits(&reference(name)), "{name}");
        types.push(tensor.kind());
    }
    use TensorType::{BF16, F16, F32, F64, IQ4_NL, IQ4_XS, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
    let all = [F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS];
    for kind in all {
        assert!(kind.is_readable() && types.contains(&kind), "{kind} is read, and the fixture has it");
    }
}

#[test]
fn what_is_stored_is_stored_as_the_reference_stores_it() {
    let file = Gguf::open(&fixture("types.gguf")).unwrap();
    let numbers = reference("numbers");
    for kind in [TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Q8_0] {
        let mut bytes = vec![7];
        // In pieces, as they are written.
        for piece in numbers.chunks(96) {
            quantise(kind, piece, &mut bytes).unwrap();
        }
        let stored = file.data(file.tensor(&kind.to_string().to_lowercase()).unwrap());
        assert_eq!(&bytes[1..], stored.as_slice(), "{kind}");
    }
}

#[test]
fn other_types_are_refused_by_name() {
    let error = dequantise(TensorType::IQ2_XXS, &[0; 66], &mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("tensors of type IQ2_XXS cannot be read; supported are: F32, "), "{error}");
    assert!(!TensorType::IQ2_XXS.is_readable());
}

#[test]
fn parts_of_blocks_are_refused() {
    for (kind, bytes) in [(TensorType::Q4_0, 17), (TensorType::F32, 6), (TensorType::Q6_K, 211)] {
        let mut out = vec![1.0];
        let error = dequantise(kind, &vec![0; bytes], &mut out).unwrap_err().to_string();
        assert!(error.contains("are no whole number of") && error.contains(&kind.to_string()), "{error}");
        assert_eq!(out, [1.0]);
    }
}
