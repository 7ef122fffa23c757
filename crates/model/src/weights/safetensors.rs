//! Safetensors: a JSON header that says what stands where, and the numbers.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::stored::{Change, Encoding, Place, Stored};
use crate::error::ModelError;

/// Headers above this are refused, as the safetensors library does.
const LARGEST_HEADER: u64 = 100_000_000;

/// What a file holds, by name.
///
/// # Errors
/// When it is broken.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Stored)>, ModelError> {
    let (data_start, metadata) = read_header(path)?;
    let length = std::fs::metadata(path).map_err(ModelError::read(path))?.len();
    let (filled, stored) = (metadata.data_len() as u64, length - data_start);
    let mut tensors = Vec::new();
    for (name, info) in metadata.tensors() {
        if info.data_offsets.1 as u64 > stored {
            let why = format!(
                "is truncated: tensor \"{name}\" ends beyond the file's {length} bytes; copy or fetch it again"
            );
            return Err(ModelError::broken(path, why));
        }
        tensors.push((name, of_info(info, data_start)));
    }
    if filled < stored {
        let why = format!("holds {} bytes that belong to no tensor; copy or fetch it again", stored - filled);
        return Err(ModelError::broken(path, why));
    }
    Ok(tensors)
}

fn of_info(info: &TensorInfo, data_start: u64) -> Stored {
    let (start, end) = info.data_offsets;
    let place = Place::flat(data_start + start as u64, end - start);
    Stored { shape: info.shape.clone(), encoding: encoding(info.dtype), place, change: Change::None }
}

/// Where the numbers begin, and what lies there: the library sees to it that shapes fit their bytes and that these lie
/// end to end. Lengths are checked against the file before anything is allocated.
fn read_header(path: &Path) -> Result<(u64, Metadata), ModelError> {
    let mut file = File::open(path).map_err(ModelError::read(path))?;
    let length = file.metadata().map_err(ModelError::read(path))?.len();
    let mut size = [0; 8];
    if length < 8 {
        return Err(ModelError::broken(path, format!("is truncated: {length} bytes are no safetensors file")));
    }
    file.read_exact(&mut size).map_err(ModelError::read(path))?;
    let header = u64::from_le_bytes(size);
    if header > LARGEST_HEADER || header > length - 8 {
        let why = format!("is truncated or no safetensors file: a header of {header} bytes in a file of {length}");
        return Err(ModelError::broken(path, why));
    }
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text).map_err(ModelError::read(path))?;
    let metadata = serde_json::from_slice(&text).map_err(|error| {
        ModelError::broken(path, format!("its safetensors header is damaged: {error}; copy or fetch it again"))
    })?;
    Ok((8 + header, metadata))
}

fn encoding(dtype: Dtype) -> Encoding {
    match dtype {
        Dtype::F32 => Encoding::F32,
        Dtype::F64 => Encoding::F64,
        Dtype::BF16 => Encoding::BF16,
        Dtype::F16 => Encoding::F16,
        Dtype::BOOL => Encoding::BOOL,
        Dtype::U8 => Encoding::U8,
        Dtype::I8 => Encoding::I8,
        Dtype::I16 => Encoding::I16,
        Dtype::U16 => Encoding::unread("U16", 2),
        Dtype::I32 => Encoding::I32,
        Dtype::U32 => Encoding::unread("U32", 4),
        Dtype::I64 => Encoding::I64,
        Dtype::U64 => Encoding::unread("U64", 8),
        Dtype::C64 => Encoding::unread("C64", 8),
        Dtype::F8_E4M3 => Encoding::unread("F8_E4M3", 1),
        Dtype::F8_E5M2 => Encoding::unread("F8_E5M2", 1),
        // The library knows how many bytes they take; nothing else of them is needed.
        _ => Encoding::unread("a type of less than 16 bits", 1),
    }
}
