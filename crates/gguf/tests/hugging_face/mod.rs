//! Hugging Face folders as GGUF files and back, with what this crate has for it and safetensors.

#![allow(dead_code, reason = "each binary uses its part")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use luthier_gguf::architecture::{self, Mapping, stored_as};
use luthier_gguf::{Gguf, TensorType, Writer, dequantise};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

/// Shape and numbers.
pub(crate) type Tensor = (Vec<usize>, Vec<f32>);

/// The tensors of a folder, by name.
pub(crate) fn tensors(folder: &Path) -> Result<BTreeMap<String, Tensor>, Box<dyn Error>> {
    let mut tensors = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
            let kind = match view.dtype() {
                Dtype::F32 => TensorType::F32,
                Dtype::F16 => TensorType::F16,
                Dtype::BF16 => TensorType::BF16,
                // Masks among the parameters.
                _ => continue,
            };
            let mut numbers = Vec::new();
            dequantise(kind, view.data(), &mut numbers)?;
            tensors.insert(name, (view.shape().to_vec(), numbers));
        }
    }
    Ok(tensors)
}

pub(crate) fn config(folder: &Path) -> Result<Map<String, Value>, Box<dyn Error>> {
    Ok(serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?)
}

/// Writes the model of a folder as a file, without a vocabulary.
pub(crate) fn to_gguf(folder: &Path, path: &Path, kind: TensorType) -> Result<(), Box<dyn Error>> {
    let (config, tensors) = (config(folder)?, tensors(folder)?);
    let mapping = Mapping::of_config(&config)?;
    let mut writer = Writer::new();
    for (key, value) in architecture::metadata(&config, kind)? {
        writer.metadata(&key, value)?;
    }
    writer.metadata("tokenizer.ggml.model", "none")?;
    let mut all = BTreeMap::new();
    for (name, factors) in architecture::rope_tensors(&config)? {
        writer.tensor(&name, TensorType::F32, &[factors.len()])?;
        all.insert(name, factors);
    }
    for target in mapping.targets(tensors.keys().map(String::as_str))? {
        let (mut shape, mut numbers) = (Vec::new(), Vec::new());
        for parameter in &target.parameters {
            let (shape_of_one, numbers_of_one) = tensors[parameter].clone();
            let (converted, numbers_of_one) = target.conversion.to_gguf(&shape_of_one, numbers_of_one)?;
            (shape, numbers) = (converted, [numbers, numbers_of_one].concat());
        }
        if target.stacked {
            shape.insert(0, target.parameters.len());
        }
        writer.tensor(&target.tensor, stored_as(&target.tensor, &shape, kind), &shape)?;
        all.insert(target.tensor, numbers);
    }
    writer.write(path, |name, sink| sink.numbers(&all[name]))?;
    Ok(())
}

/// The parameters of a file, by Hugging Face's names.
pub(crate) fn parameters(file: &Gguf) -> Result<BTreeMap<String, Tensor>, Box<dyn Error>> {
    let mapping = Mapping::of_gguf(file)?;
    let mut parameters = BTreeMap::new();
    for (name, tensor) in file.tensors() {
        let target = mapping.target(name).ok_or_else(|| format!("no parameter is called {name}"))?;
        if mapping.is_tied() && name == "output.weight" {
            continue;
        }
        let mut numbers = Vec::new();
        dequantise(tensor.kind(), file.data(tensor).as_slice(), &mut numbers)?;
        let parts = target.parameters.len();
        let shape = if target.stacked { &tensor.shape()[1..] } else { tensor.shape() };
        let length = numbers.len() / parts.max(1);
        for (part, parameter) in target.parameters.into_iter().enumerate() {
            let numbers = numbers[part * length..][..length].to_vec();
            parameters.insert(parameter, target.conversion.to_hugging_face(shape, numbers)?);
        }
    }
    Ok(parameters)
}

/// Writes a file as a folder, all in F32.
pub(crate) fn to_hugging_face(path: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let file = Gguf::open(path)?;
    std::fs::create_dir_all(folder)?;
    let config = architecture::config(&file)?;
    std::fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
    let parameters = parameters(&file)?;
    let bytes: Vec<(&String, &[usize], Vec<u8>)> = parameters
        .iter()
        .map(|(name, (shape, numbers))| {
            (name, shape.as_slice(), numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        })
        .collect();
    let views =
        bytes.iter().map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)));
    let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), &folder.join("model.safetensors"))?;
    Ok(())
}
