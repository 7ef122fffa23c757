//! Turns a Hugging Face folder into a GGUF file without a vocabulary, or a file into a folder: for comparisons with llama.cpp.

#[path = "../tests/hugging_face/mod.rs"]
mod hugging_face;

use std::error::Error;
use std::path::Path;

use luthier_gguf::TensorType;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["to-gguf", folder, file, kind] => {
            let kinds = [TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Q8_0];
            let kind = kinds.into_iter().find(|known| known.to_string() == *kind).ok_or("F32, F16, BF16 or Q8_0?")?;
            hugging_face::to_gguf(Path::new(folder), Path::new(file), kind)
        }
        ["to-hugging-face", file, folder] => hugging_face::to_hugging_face(Path::new(file), Path::new(folder)),
        _ => Err("usage: convert to-gguf FOLDER FILE TYPE | convert to-hugging-face FILE FOLDER".into()),
    }
}
