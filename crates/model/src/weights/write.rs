//! Safetensors out: one file, byte for byte as the safetensors library writes it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use half::{bf16, f16};
use luthier_engine::Tensor;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::PIECE;
use crate::error::ModelError;
use crate::open::transposed;

/// The type that saved weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveDtype {
    /// 4 bytes, exact.
    F32,
    /// 2 bytes, the range of f32.
    Bf16,
    /// 2 bytes, more digits, less range.
    F16,
    /// Of no weight, but of states in eight bits: the bits of each number are four bytes, which the shape counts.
    Bytes,
}

impl SaveDtype {
    /// What `config.json` calls it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
            Self::Bytes => "uint8",
        }
    }
}

/// A tensor to save; it is written piece by piece, so that no second copy is ever there.
#[derive(Debug)]
pub struct Saved<'a> {
    /// Shape as in the file.
    pub shape: Vec<usize>,
    /// Whether the file holds its columns as rows.
    pub transposed: bool,
    /// Type in the file.
    pub dtype: SaveDtype,
    /// The numbers.
    pub tensor: &'a Tensor,
}

impl Saved<'_> {
    fn stored(&self) -> Dtype {
        match self.dtype {
            SaveDtype::F32 => Dtype::F32,
            SaveDtype::Bf16 => Dtype::BF16,
            SaveDtype::F16 => Dtype::F16,
            SaveDtype::Bytes => Dtype::U8,
        }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.stored().bitsize() / 8
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let encode: fn(&[f32], &mut Vec<u8>) = match self.dtype {
            SaveDtype::F32 | SaveDtype::Bytes => |data, to| to.extend(data.iter().flat_map(|x| x.to_le_bytes())),
            SaveDtype::Bf16 => |data, to| to.extend(data.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes())),
            SaveDtype::F16 => |data, to| to.extend(data.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes())),
        };
        let mut piece = Vec::new();
        if self.transposed {
            encode(&transposed(&self.tensor.to_vec(), self.tensor.cols()), &mut piece);
            return file.write_all(&piece);
        }
        let rows = (PIECE / self.tensor.cols().max(1)).max(1);
        for start in (0..self.tensor.rows()).step_by(rows) {
            let view = self.tensor.view_rows(start..(start + rows).min(self.tensor.rows()));
            piece.clear();
            encode(&self.tensor.device().download(view), &mut piece);
            file.write_all(&piece)?;
        }
        Ok(())
    }
}

/// Writes a safetensors file aside and renames it, byte for byte as the safetensors library does. The metadata says
/// `format: pt`, which transformers asks for.
///
/// # Errors
/// When it cannot be written; then nothing of it is left.
pub fn write_safetensors(path: &Path, mut tensors: Vec<(String, Saved<'_>)>) -> Result<(), ModelError> {
    // The widest type first, so that every tensor is aligned.
    tensors.sort_by(|(a, left), (b, right)| right.stored().cmp(&left.stored()).then(a.cmp(b)));
    luthier_files::write_atomically(path, |file| {
        let header = header(&tensors).map_err(io::Error::other)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|(_, tensor)| tensor.write(file))
    })
    .map_err(ModelError::write(path))
}

/// What stands where, as JSON, filled up to a multiple of eight bytes.
fn header(tensors: &[(String, Saved<'_>)]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.bytes();
        let info = TensorInfo { dtype: tensor.stored(), shape: tensor.shape.clone(), data_offsets: (start, end) };
        (name.clone(), info)
    });
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos.collect())?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
mod tests {
    use luthier_engine::Device;
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn a_file_is_byte_for_byte_what_the_library_writes() {
        let device = Device::cpu();
        let data = |count: usize| (0..count).map(|i| i as f32 * 0.37 - 9.0).collect::<Vec<f32>>();
        // More than a piece, a vector, and another type that comes behind.
        let (large, small) = (data(3 * PIECE / 2), data(7));
        let tensors = [(3, PIECE / 2, &large), (1, 7, &small)]
            .map(|(rows, cols, data)| Tensor::from_slice(&device, rows, cols, data));
        let half: Vec<u8> = small.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        let whole = |data: &[f32]| data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (large, small) = (whole(&large), whole(&small));
        let shape = vec![3, PIECE / 2];
        let library = [
            ("b.half", TensorView::new(Dtype::BF16, vec![7], &half).unwrap()),
            ("z.large", TensorView::new(Dtype::F32, shape.clone(), &large).unwrap()),
            ("a.small", TensorView::new(Dtype::F32, vec![7], &small).unwrap()),
        ];
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let expected = safetensors::serialize(library, Some(format)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let saved = |shape: Vec<usize>, dtype, tensor| Saved { shape, transposed: false, dtype, tensor };
        let ours = vec![
            ("b.half".to_owned(), saved(vec![7], SaveDtype::Bf16, &tensors[1])),
            ("z.large".to_owned(), saved(shape, SaveDtype::F32, &tensors[0])),
            ("a.small".to_owned(), saved(vec![7], SaveDtype::F32, &tensors[1])),
        ];
        write_safetensors(&path, ours).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
