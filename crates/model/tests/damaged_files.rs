//! Damaged files of weights: whatever their bytes, they are read or refused by name, and take no more memory than they are
//! worth. `LUTHIER_FUZZ_SECONDS=600 cargo test -p luthier-model --test damaged_files` goes on for ten minutes each.

use std::fs;
use std::path::Path;

use luthier_engine::{Device, Packing};
use luthier_fixtures::fuzz::Fuzz;
use luthier_fixtures::{LargeAllocations, announce, repository};
use luthier_model::weights::Tensors;
use luthier_model::{Model, ModelError};

#[global_allocator]
static ALLOCATOR: LargeAllocations = LargeAllocations;

/// Opens a file and reads all that it says it holds, each way.
fn read(path: &Path) -> Result<(), String> {
    let outcome = Tensors::of_file(path).and_then(|tensors| {
        for name in tensors.names().filter(|name| tensors.is_readable(name)) {
            let shape = tensors.shape(name).unwrap_or_default();
            let numbers = tensors.read(name, shape)?;
            assert_eq!(numbers.len(), shape.iter().product::<usize>(), "{name}");
            tensors.map_or_read(name, shape)?;
            if let &[rows, cols] = shape {
                tensors.pack(name, [rows, cols], Packing::Bf16)?;
            }
        }
        Ok(())
    });
    named(path, outcome)
}

/// An error must say in which file.
fn named(path: &Path, outcome: Result<(), ModelError>) -> Result<(), String> {
    outcome.map_err(|error| {
        let why = error.to_string();
        assert!(why.contains(&path.display().to_string()), "which file? {why}");
        why
    })
}

fn seeds(files: &[&str]) -> Vec<Vec<u8>> {
    files.iter().map(|file| fs::read(repository().join("fixtures").join(file)).unwrap()).collect()
}

#[test]
fn safetensors() {
    let fuzz = Fuzz {
        extension: "safetensors",
        seeds: seeds(&[
            "training/qwen2-bias-tied/lora_qv/final/adapter_model.safetensors",
            "training/llama-mha-untied/lora_qv/init/adapter_model.safetensors",
        ]),
        words: &[
            b"F32",
            b"BF16",
            b"F64",
            b"U8",
            b"F4",
            b"[",
            b"]",
            b"-1",
            b"{}",
            b"null",
            b"\"data_offsets\":[0,0]",
            b",\"",
        ],
    };
    announce(&fuzz.run("safetensors", 4000, read));
}

#[test]
fn torch() {
    let fuzz = Fuzz {
        extension: "bin",
        seeds: seeds(&[
            "torch/tensors/zip.bin",
            "torch/tensors/legacy.bin",
            "torch/tensors/zip-protocol-4.bin",
            "torch/tensors/legacy-protocol-4.bin",
            "torch/tensors/wrapped.bin",
        ]),
        words: &[
            b"(",
            b")",
            b"}",
            b"]",
            b"u",
            b"e",
            b"t",
            b"R",
            b"Q",
            b"b",
            b"0",
            b"1",
            b"2",
            b"h\x01",
            b"q\x01",
            b"N",
            b"\x85",
            b"\x86",
            b"\x87",
            b"\x93",
            b"\x94",
            b"ctorch\nSize\n",
            b"cos\nsystem\n",
            b"ccollections\nOrderedDict\n",
            b"ctorch._utils\n_rebuild_tensor_v3\n",
            b"\x8b\xff\xff\xff\x7f",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
            b"J\xff\xff\xff\x7f",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"PK\x05\x06",
            b"PK\x06\x07",
            b"PK\x06\x06",
            b"X\x00\x00\x00\x00",
            b"I01\n",
            b"S'a'\n",
            b"p5\n",
            b"g5\n",
        ],
    };
    announce(&fuzz.run("torch", 4000, read));
}

#[test]
fn llama2c() {
    let sizes: [i32; 7] = [8, 6, 2, 2, 1, 5, 4];
    let numbers = |count: usize| (0..count).flat_map(|i| (i as f32).sin().to_le_bytes());
    // Embedding, two blocks (norms; q, o; k, v; MLP), last norm, angles.
    let count = 5 * 8 + 2 * (2 * 8 + 2 * 64 + 2 * 32 + 3 * 48) + 8;
    let header: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    let first: Vec<u8> = header.iter().copied().chain(numbers(count + 4 * 4)).collect();
    let mut second = [b"24ka\x01\x00\x00\x00".to_vec(), header, vec![1]].concat();
    second.resize(256, 0);
    second.extend(numbers(count));
    let fuzz = Fuzz { extension: "bin", seeds: vec![first, second], words: &[b"24ka", b"\x01\x00\x00\x00"] };
    let read = |path: &Path| named(path, Model::load(path, &Device::cpu()).map(drop));
    announce(&fuzz.run("llama2c", 2000, read));
}
