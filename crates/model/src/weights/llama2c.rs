//! The `.bin` files of llama2.c (github.com/karpathy/llama2.c, `export.py`): a header of seven numbers, then f32 weights of
//! a Llama in a fixed order. One such file is a whole model; its `config.json` follows from the header.
//!
//! llama2.c turns neighbouring numbers of a head by the rotary angle, transformers those that are half a head apart. So the
//! rows of q and k are read in another order: number 2i + j of a head becomes number j * D/2 + i.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::stored::{Change, Encoding, Place, Stored};
use crate::error::ModelError;

/// "ak42", with which the versions after the first begin.
const MAGIC: i32 = 0x616B_3432;
/// Where their weights begin.
const DATA_OF_VERSION_1: u64 = 256;
/// Bytes of the seven numbers that a file of the first version begins with.
const HEADER: usize = 28;
/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();

/// What the header says.
struct Header {
    version: i32,
    dim: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocab: usize,
    seq_len: usize,
    tied: bool,
}

/// Some tensors of one shape, one behind the other.
struct Part {
    /// The name in transformers; `None` for what is not read.
    name: Option<&'static str>,
    /// Whether there is one for each block, or one alone.
    of_blocks: bool,
    shape: Vec<usize>,
    /// Heads whose rows lie in llama2.c's order; 0 for none.
    turned_heads: usize,
}

/// Whether a file is one of llama2.c. The first version has no mark, so it is known by seven numbers that fit each other.
pub(super) fn is_one(path: &Path) -> Result<bool, ModelError> {
    let (numbers, _) = beginning(path)?;
    Ok(numbers[0] == MAGIC || Header::of_numbers(0, &numbers, numbers[5] > 0).is_some())
}

/// The configuration as transformers would write it.
pub(super) fn config(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let header = Header::read(path)?;
    let json = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": header.dim,
        "intermediate_size": header.hidden,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "num_key_value_heads": header.kv_heads,
        "vocab_size": header.vocab,
        "max_position_embeddings": header.seq_len,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": header.tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    });
    let Value::Object(json) = json else { unreachable!("it is written as an object") };
    Ok(json)
}

/// The tensors under the names of transformers.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Stored)>, ModelError> {
    let header = Header::read(path)?;
    let mut at = header.data_start();
    let mut tensors = Vec::new();
    for part in header.parts() {
        for block in 0..header.count(&part) {
            if let Some(name) = part.name {
                let name = if part.of_blocks { format!("model.layers.{block}.{name}") } else { name.to_owned() };
                tensors.push((name, part.stored(at)));
            }
            at += part.bytes() as u64;
        }
    }
    Ok(tensors)
}

/// The first numbers of a file, nought where it is shorter, and its length.
fn beginning(path: &Path) -> Result<([i32; 10], u64), ModelError> {
    let file = File::open(path).map_err(ModelError::read(path))?;
    let length = file.metadata().map_err(ModelError::read(path))?.len();
    let mut bytes = Vec::new();
    file.take(40).read_to_end(&mut bytes).map_err(ModelError::read(path))?;
    let mut numbers = [0; 10];
    for (number, four) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *number = i32::from_le_bytes(*four);
    }
    Ok((numbers, length))
}

impl Header {
    fn read(path: &Path) -> Result<Self, ModelError> {
        let (numbers, length) = beginning(path)?;
        let header = match numbers {
            [MAGIC, 1, ref sizes @ .., flags] => Self::of_numbers(1, sizes, flags & 0xFF != 0),
            [MAGIC, 2, ..] => {
                let why = "is a file of llama2.c with weights in eight bits (version 2), which is not read; give the model \
                           it was made of, or export it with --version 1";
                return Err(ModelError::broken(path, why));
            }
            [MAGIC, version, ..] => {
                let why = format!("is a file of llama2.c of version {version}; versions 0 and 1 are read");
                return Err(ModelError::broken(path, why));
            }
            _ => Self::of_numbers(0, &numbers, numbers[5] > 0),
        };
        let header = header.ok_or_else(|| {
            ModelError::broken(path, "its llama2.c header is damaged: no model has such sizes; copy or fetch it again")
        })?;
        let due = header.length();
        if due != length {
            let what = if length < due { "truncated" } else { "damaged" };
            let why = format!("is {what}: a llama2.c file with this header has {due} bytes, it has {length}");
            return Err(ModelError::broken(path, format!("{why}; copy or fetch it again")));
        }
        Ok(header)
    }

    /// `numbers`: width, hidden width, blocks, heads, key-value heads, vocabulary, context. Nothing when they are no
    /// model's; those of a model multiply to less than 2^60 bytes.
    fn of_numbers(version: i32, numbers: &[i32], tied: bool) -> Option<Self> {
        let size = |at: usize, largest: usize| {
            let size = usize::try_from(*numbers.get(at)?).ok()?;
            (1..=largest).contains(&size).then_some(size)
        };
        // A negative vocabulary says that the head is not the embedding.
        let vocab = numbers.get(5)?.unsigned_abs() as usize;
        let header = Self {
            version,
            dim: size(0, 1 << 20)?,
            hidden: size(1, 1 << 22)?,
            layers: size(2, 1 << 12)?,
            heads: size(3, 1 << 20)?,
            kv_heads: size(4, 1 << 20)?,
            vocab: (1..=1 << 24).contains(&vocab).then_some(vocab)?,
            seq_len: size(6, 1 << 24)?,
            tied,
        };
        let fits = header.dim.is_multiple_of(header.heads)
            && header.head_dim().is_multiple_of(2)
            && header.heads.is_multiple_of(header.kv_heads)
            && (version == 0 || numbers[5] > 0);
        fits.then_some(header)
    }

    fn head_dim(&self) -> usize {
        self.dim / self.heads
    }

    fn data_start(&self) -> u64 {
        if self.version == 0 { HEADER as u64 } else { DATA_OF_VERSION_1 }
    }

    /// The length of the file.
    fn length(&self) -> u64 {
        self.data_start() + self.parts().iter().map(|part| (part.bytes() * self.count(part)) as u64).sum::<u64>()
    }

    fn count(&self, part: &Part) -> usize {
        if part.of_blocks { self.layers } else { 1 }
    }

    /// What stands in the file, in its order.
    fn parts(&self) -> Vec<Part> {
        let (dim, keys) = (self.dim, self.kv_heads * self.head_dim());
        let embedding = Part::single("model.embed_tokens.weight", &[self.vocab, dim]);
        let norm = Part::single("model.norm.weight", &[dim]);
        let attention_norm = Part::block("input_layernorm.weight", &[dim]);
        let mlp_norm = Part::block("post_attention_layernorm.weight", &[dim]);
        let attention = [
            Part::block("self_attn.q_proj.weight", &[dim, dim]).turned(self.heads),
            Part::block("self_attn.k_proj.weight", &[keys, dim]).turned(self.kv_heads),
            Part::block("self_attn.v_proj.weight", &[keys, dim]),
            Part::block("self_attn.o_proj.weight", &[dim, dim]),
        ];
        let mlp = [
            Part::block("mlp.gate_proj.weight", &[self.hidden, dim]),
            Part::block("mlp.down_proj.weight", &[dim, self.hidden]),
            Part::block("mlp.up_proj.weight", &[self.hidden, dim]),
        ];
        let mut parts = Vec::new();
        if self.version == 0 {
            parts.extend([embedding, attention_norm]);
            parts.extend(attention);
            parts.push(mlp_norm);
            parts.extend(mlp);
            parts.push(norm);
            // Cosines and sines of the rotary angles, which follow from the configuration.
            parts.push(Part {
                name: None,
                of_blocks: false,
                shape: vec![self.seq_len, self.head_dim()],
                turned_heads: 0,
            });
        } else {
            parts.extend([attention_norm, mlp_norm, norm, embedding]);
            parts.extend(attention);
            parts.extend(mlp);
        }
        if !self.tied {
            parts.push(Part::single("lm_head.weight", &[self.vocab, dim]));
        }
        parts
    }
}

impl Part {
    fn single(name: &'static str, shape: &[usize]) -> Self {
        Self { name: Some(name), of_blocks: false, shape: shape.to_vec(), turned_heads: 0 }
    }

    fn block(name: &'static str, shape: &[usize]) -> Self {
        Self { of_blocks: true, ..Self::single(name, shape) }
    }

    fn turned(self, heads: usize) -> Self {
        Self { turned_heads: heads, ..self }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * NUMBER
    }

    fn stored(&self, start: u64) -> Stored {
        let place = match self.shape[..] {
            [rows, cols] if self.turned_heads > 0 => {
                let (heads, half) = (self.turned_heads, rows / self.turned_heads / 2);
                let strides = [2 * half * cols, cols, 2 * cols, 1];
                Place::of_view(start, NUMBER, &[heads, 2, half, cols], &strides).expect("it lies inside the file")
            }
            _ => Place::flat(start, self.bytes()),
        };
        Stored { shape: self.shape.clone(), encoding: Encoding::F32, place, change: Change::None }
    }
}
