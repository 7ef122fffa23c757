//! GGUF files: a whole model in one file of llama.cpp, its tensors under the names of transformers. What the file calls them and
//! how their numbers differ is the `gguf` crate's; rows that stand in another order are read where they lie, as a view.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use luthier_gguf::architecture::{self, Conversion, Mapping};
use luthier_gguf::{Gguf, GgufError, TensorInfo, TensorType, dequantise};
use serde_json::{Map, Value};

use super::stored::{Change, Decode, Encoding, Place, Stored};
use crate::error::ModelError;

/// Whether a file is one: by its first letters.
pub(super) fn is_one(path: &Path) -> Result<bool, ModelError> {
    let mut letters = Vec::new();
    let file = File::open(path).map_err(ModelError::read(path))?;
    file.take(4).read_to_end(&mut letters).map_err(ModelError::read(path))?;
    Ok(letters == b"GGUF")
}

/// The configuration as transformers would write it.
pub(super) fn config(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let named = |error| ModelError::of_gguf(path, error);
    architecture::config(&Gguf::open(path).map_err(named)?).map_err(named)
}

/// The tensors under the names of transformers.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Stored)>, ModelError> {
    let named = |error| ModelError::of_gguf(path, error);
    let file = Gguf::open(path).map_err(named)?;
    let mapping = Mapping::of_gguf(&file).map_err(named)?;
    let mut tensors = Vec::new();
    for (name, info) in file.tensors() {
        let Some(target) = mapping.target(name) else {
            let architecture = mapping.architecture().gguf_name();
            let why = format!("tensor \"{name}\" is no part of a model of \"{architecture}\", so it would be left out");
            return Err(ModelError::broken(path, why));
        };
        let parts = target.parameters.len();
        let mut shape = info.shape();
        if target.stacked {
            shape = match shape {
                [experts, rest @ ..] if *experts == parts => rest,
                _ => {
                    let why = format!(
                        "tensor \"{name}\" has shape {shape:?}, and one part for each of {parts} experts is due"
                    );
                    return Err(ModelError::broken(path, why));
                }
            };
        }
        let bytes = info.byte_range().len() / parts.max(1);
        for (part, parameter) in target.parameters.into_iter().enumerate() {
            let start = (info.byte_range().start + part * bytes) as u64;
            let stored = stored(info, shape, start, bytes, target.conversion).map_err(|why| {
                ModelError::broken(path, format!("tensor \"{name}\" of shape {shape:?} {why}; is the file damaged?"))
            })?;
            tensors.push((parameter, stored));
        }
    }
    Ok(tensors)
}

fn stored(
    info: &TensorInfo,
    shape: &[usize],
    start: u64,
    bytes: usize,
    conversion: Conversion,
) -> Result<Stored, String> {
    let encoding = encoding(info.kind());
    let rows = shape.first().copied().unwrap_or(1);
    let row = bytes / rows.max(1);
    // Rows as they are counted on the other side: the axes of their numbers, slowest first, and the steps of each.
    let view = |axes: [usize; 3], steps: [usize; 3]| {
        let place =
            (axes.iter().product::<usize>() == rows).then(|| Place::of_view(start, row, &axes, &steps)).flatten();
        place.ok_or_else(|| format!("does not divide into {} heads", axes[0]))
    };
    let flat = || Place::flat(start, bytes);
    let (mut shape, mut change) = (shape.to_vec(), Change::None);
    let place = match conversion {
        Conversion::None => flat(),
        Conversion::PermuteHeads { heads } => {
            let half = rows / heads.max(1) / 2;
            view([heads, 2, half], [2 * half, 1, 2])?
        }
        Conversion::InterleaveQkv { heads } => {
            let width = rows / heads.max(1) / 3;
            view([heads, 3, width], [width, heads * width, 1])?
        }
        Conversion::MinusOne => {
            change = Change::LessOne;
            flat()
        }
        Conversion::Transpose => {
            if shape.len() != 2 {
                return Err("is not one of rows and columns".to_owned());
            }
            change = Change::Transposed;
            shape.reverse();
            flat()
        }
    };
    Ok(Stored { shape, encoding, place, change })
}

/// How a type of ggml is read. Those that transformers has too are its own: they can be used where they lie.
fn encoding(kind: TensorType) -> Encoding {
    macro_rules! blocks {
        ($($kind:ident),+) => {
            match kind {
                TensorType::F32 => return Encoding::F32,
                TensorType::F16 => return Encoding::F16,
                TensorType::BF16 => return Encoding::BF16,
                TensorType::F64 => return Encoding::F64,
                TensorType::I8 => return Encoding::I8,
                TensorType::I16 => return Encoding::I16,
                TensorType::I32 => return Encoding::I32,
                TensorType::I64 => return Encoding::I64,
                $(TensorType::$kind => {
                    let decode: Decode = |bytes, to| {
                        dequantise(TensorType::$kind, bytes, to).expect("whole blocks of a type that is read");
                    };
                    (stringify!($kind), Some(decode))
                })+
                _ => ("another type of ggml", None),
            }
        };
    }
    let (name, decode) = blocks!(Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS);
    Encoding { name, numbers: kind.block_len(), bytes: kind.block_bytes(), decode }
}

impl ModelError {
    /// What is wrong with a GGUF file, its path named once.
    fn of_gguf(path: &Path, error: GgufError) -> Self {
        match error {
            GgufError::Read { path, source } => Self::Read { path, source },
            GgufError::Broken { path, why } => Self::broken(&path, why),
            GgufError::Metadata { path, key, why } => Self::broken(&path, format!("metadata \"{key}\" {why}")),
            GgufError::Tensor { path, tensor, why } => Self::broken(&path, format!("tensor \"{tensor}\" {why}")),
            other => Self::broken(path, other.to_string()),
        }
    }
}
