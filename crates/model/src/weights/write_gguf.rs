//! A model as a GGUF file, under llama.cpp's names and with its changes to the numbers.

use std::collections::BTreeMap;
use std::path::Path;

use luthier_engine::Tensor;
use luthier_gguf::architecture::{self, Conversion, Mapping, Target, stored_as};
use luthier_gguf::{GgufError, Sink, TensorType, Vocabulary, Writer};
use serde_json::{Map, Value};

use super::PIECE;
use crate::error::ModelError;
use crate::open::transposed;

/// A parameter that goes into the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exported<'a> {
    /// Its shape as transformers has it.
    pub(crate) shape: &'a [usize],
    /// Whether transformers holds its columns as rows.
    pub(crate) transposed: bool,
    /// The numbers.
    pub(crate) tensor: &'a Tensor,
}

impl Exported<'_> {
    fn numbers(&self) -> Vec<f32> {
        let numbers = self.tensor.to_vec();
        if self.transposed { transposed(&numbers, self.tensor.cols()) } else { numbers }
    }
}

/// Writes a model whose `config.json` is `config`, its parameters under the names of transformers.
pub(crate) fn write_gguf(
    path: &Path,
    config: &Map<String, Value>,
    params: &BTreeMap<&str, Exported<'_>>,
    kind: TensorType,
    vocabulary: &Vocabulary,
) -> Result<(), ModelError> {
    let refused = |error: GgufError| match error {
        GgufError::Write { path, source } => ModelError::write(&path)(source),
        other => ModelError::Options(format!("{} cannot be written: {other}", path.display())),
    };
    let mapping = Mapping::of_config(config).map_err(refused)?;
    let targets = mapping.targets(params.keys().copied()).map_err(refused)?;
    let rope = architecture::rope_tensors(config).map_err(refused)?;
    let mut writer = Writer::new();
    for (key, value) in architecture::metadata(config, kind).map_err(refused)?.into_iter().chain(vocabulary.metadata())
    {
        writer.metadata(&key, value).map_err(refused)?;
    }
    for (name, factors) in &rope {
        writer.tensor(name, TensorType::F32, &[factors.len()]).map_err(refused)?;
    }
    for target in &targets {
        let shape = shape(target, params);
        let stored = stored_as(&target.tensor, &shape, kind);
        writer.tensor(&target.tensor, stored, &shape).map_err(refused)?;
    }
    let by_name: BTreeMap<&str, &Target> = targets.iter().map(|target| (target.tensor.as_str(), target)).collect();
    let fill = |name: &str, sink: &mut Sink<'_>| -> Result<(), GgufError> {
        match (by_name.get(name), rope.iter().find(|(other, _)| other == name)) {
            (Some(target), _) => target.parameters.iter().try_for_each(|parameter| {
                let param = params[parameter.as_str()];
                let (shape, numbers) = target.conversion.to_gguf(param.shape, param.numbers())?;
                // Whole rows, so whole blocks.
                let row = shape.last().copied().unwrap_or(1).max(1);
                numbers.chunks((PIECE / row).max(1) * row).try_for_each(|piece| sink.numbers(piece))
            }),
            (None, Some((_, factors))) => sink.numbers(factors),
            (None, None) => Ok(()),
        }
    };
    writer.write(path, fill).map_err(refused)
}

/// The shape of a tensor in the file.
fn shape(target: &Target, params: &BTreeMap<&str, Exported<'_>>) -> Vec<usize> {
    let mut shape = params[target.parameters[0].as_str()].shape.to_vec();
    // Other conversions move rows or change numbers.
    if target.conversion == Conversion::Transpose {
        shape.reverse();
    }
    if target.stacked {
        shape.insert(0, target.parameters.len());
    }
    shape
}
