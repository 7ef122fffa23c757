//! What the targets share: bytes become a file, since readers map files, and all that the file says it holds is read.

use std::path::PathBuf;

use luthier_engine::Packing;
use luthier_model::weights::Tensors;

/// Reads bytes as the file of weights that the extension says.
pub fn read_weights(bytes: &[u8], extension: &str) {
    let path = file(extension);
    // A new file each time: the last may still be mapped.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, bytes).expect("the folder for temporary files can be written to");
    let Ok(tensors) = Tensors::of_file(&path) else { return };
    for name in tensors.names() {
        let shape = tensors.shape(name).expect("it is listed");
        if let Ok(numbers) = tensors.read(name, shape) {
            assert_eq!(numbers.len(), shape.iter().product::<usize>());
        }
        let _ = tensors.map_or_read(name, shape);
        if let &[rows, cols] = shape {
            let _ = tensors.pack(name, [rows, cols], Packing::Bf16);
        }
    }
}

/// A file of this process alone, in memory where there is such a folder.
fn file(extension: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("luthier-fuzz-{}.{extension}", std::process::id()))
}
