//! Files that were damaged at random are read or refused; nothing panics, and nobody asks for more memory than four times the
//! file. `LUTHIER_FUZZ_SECONDS=600 cargo test -p luthier-gguf --test fuzz` goes on for ten minutes.
//!
//! One test alone, as what any thread allocates is counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use luthier_fixtures::{LARGE, LargeAllocations, announce, large_allocations};
use luthier_gguf::architecture::{self, Mapping};
use luthier_gguf::{Array, Gguf, GgufError, TensorType, Value, ValueKind, Vocabulary, Writer, dequantise};

#[global_allocator]
static ALLOCATOR: LargeAllocations = LargeAllocations;

/// Files are shorter than this, so that a request which counts as large is one of more than four times the file.
const LONGEST: usize = LARGE / 4;

/// Mutations of a run that is not told for how long.
const MUTATIONS: u64 = 2_000;

/// xorshift64* (Vigna 2016): the same mutations in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// A number of the kind that breaks readers.
    fn number(&mut self) -> u64 {
        let one = 1u64 << self.below(64);
        match self.below(6) {
            0 => one,
            1 => one.wrapping_sub(1),
            2 => 0u64.wrapping_sub(one),
            3 => self.below(16) as u64,
            4 => u64::MAX - self.below(64) as u64,
            _ => self.next(),
        }
    }
}

/// Damages up to four places, most of them before `header` ends.
fn mutate(bytes: &mut Vec<u8>, header: usize, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let reach = if random.below(8) == 0 { bytes.len() } else { header.min(bytes.len()) };
        let at = random.below(reach);
        let end = (at + random.below(64)).min(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            kind => {
                let number = random.number().to_le_bytes();
                let width = if kind == 5 { 4 } else { 8 };
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
        }
    }
    bytes.truncate(LONGEST - 1);
}

/// A small model with a vocabulary, and one tensor of each type that can be read.
fn whole(path: &Path) {
    let config = serde_json::json!({
        "model_type": "llama", "vocab_size": 12, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                         "original_max_position_embeddings": 32},
    });
    let config = config.as_object().unwrap();
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        tokens: ["<unk>", "<s>", "</s>", "<0x0A>", "▁a", "b"].map(str::to_owned).to_vec(),
        scores: vec![0.0; 6],
        merges: vec!["▁ a".to_owned()],
        eos: Some(2),
        chat_template: Some("{{ messages }}".to_owned()),
        named_chat_templates: vec![("tool".to_owned(), "{{ tools }}".to_owned())],
        ..Vocabulary::default()
    };
    let mut writer = Writer::new();
    for (key, value) in architecture::metadata(config, TensorType::F32).unwrap() {
        writer.metadata(&key, value).unwrap();
    }
    for (key, value) in vocabulary.filled_up_to(12).metadata() {
        writer.metadata(&key, value).unwrap();
    }
    let inner = || {
        Value::from(Array::of_values(ValueKind::Array, [[1u16, 2].as_slice().into(), Array::of_texts(["x"]).into()]))
    };
    writer.metadata("nested", Array::of_values(ValueKind::Array, [inner(), inner()])).unwrap();
    writer.metadata("general.alignment", 32u32).unwrap();
    writer.metadata("split.count", 1u16).unwrap();
    writer.tensor("rope_freqs.weight", TensorType::F32, &[2]).unwrap();
    writer.tensor("token_embd.weight", TensorType::F16, &[12, 8]).unwrap();
    writer.tensor("output.weight", TensorType::F16, &[12, 8]).unwrap();
    writer.tensor("blk.0.attn_q.weight", TensorType::BF16, &[8, 8]).unwrap();
    use TensorType::{F64, IQ4_NL, IQ4_XS, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
    for kind in [F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS] {
        writer.tensor(&format!("{kind}"), kind, &[2, 256]).unwrap();
    }
    let (_, factors) = architecture::rope_tensors(config).unwrap().remove(0);
    writer
        .write::<GgufError>(path, |name, sink| match name {
            "rope_freqs.weight" => sink.numbers(&factors),
            _ => {
                let bytes =
                    sink.shape().iter().product::<usize>() / sink.kind().block_len() * sink.kind().block_bytes();
                sink.bytes(&vec![0x33; bytes])
            }
        })
        .unwrap();
}

/// Asks a file everything but its numbers.
fn ask(file: &Gguf) {
    for key in file.keys() {
        let value = file.get(key).expect("a key that was listed");
        if let Some(array) = value.as_array() {
            walk(array);
        }
    }
    let _ = Vocabulary::of(file).map(|vocabulary| vocabulary.metadata());
    let _ = architecture::config(file).map(|config| architecture::metadata(&config, TensorType::F16));
    let mapping = Mapping::of_gguf(file);
    for (name, tensor) in file.tensors() {
        assert_eq!(file.tensor(name).map(luthier_gguf::TensorInfo::byte_range), Some(tensor.byte_range()));
        if let Ok(mapping) = &mapping {
            let _ = (mapping.target(name), mapping.source(name));
        }
    }
}

fn walk(array: &Array) {
    assert_eq!(array.values().count(), array.len());
    if let Some(texts) = array.texts() {
        assert_eq!(texts.count(), array.len());
    }
    for value in array.values() {
        if let Some(array) = value.as_array() {
            walk(array);
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    whole(&path);
    let seed = std::fs::read(&path).unwrap();
    assert!(seed.len() < LONGEST, "{} bytes", seed.len());
    let file = Gguf::open(&path).unwrap();
    ask(&file);
    let header = file.tensors().map(|(_, tensor)| tensor.byte_range().start).min().unwrap();
    let (mut opened, mut numbers) = (0, Vec::new());
    let seconds = std::env::var("LUTHIER_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let (start, limit) = (Instant::now(), seconds.map(Duration::from_secs));
    let goes_on = |mutation| limit.map_or(mutation < MUTATIONS, |limit| start.elapsed() < limit);
    let mut mutation = 0;
    while goes_on(mutation) {
        let mut bytes = seed.clone();
        mutate(&mut bytes, header, &mut Random(mutation * 2 + 1));
        std::fs::write(&path, &bytes).unwrap();
        let mut file = None;
        let asked = AssertUnwindSafe(|| {
            large_allocations(|| {
                file = Gguf::open(&path).ok();
                file.iter().for_each(ask);
            })
        });
        let (large, sizes) = catch_unwind(asked).unwrap_or_else(|_| panic!("mutation {mutation} panics"));
        assert_eq!(large, 0, "mutation {mutation}, a file of {} bytes, asks for {sizes:?} bytes", bytes.len());
        if let Some(file) = file {
            opened += 1;
            for (_, tensor) in file.tensors() {
                numbers.clear();
                if dequantise(tensor.kind(), file.data(tensor).as_slice(), &mut numbers).is_ok() {
                    assert_eq!(numbers.len(), tensor.len(), "mutation {mutation}");
                }
            }
        }
        mutation += 1;
    }
    announce(&format!("RUNNING: {mutation} damaged GGUF files in {:.0?}, of which {opened} opened", start.elapsed()));
    assert!(opened > 0 && opened < mutation, "mutations that all open or all fail prove little");
}
