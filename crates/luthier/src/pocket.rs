//! The built-in base model: a small decoder that the project made itself (`recipes/pocket.toml`).

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cmd::Failure;

/// The name that stands for it wherever a model folder is asked for.
pub(crate) const NAME: &str = "pocket";

const FILES: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../../../pocket/config.json")),
    ("tokenizer.json", include_bytes!("../../../pocket/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../pocket/tokenizer_config.json")),
    ("model.safetensors", include_bytes!("../../../pocket/model.safetensors")),
];

/// Its size in bytes.
pub(crate) fn size() -> usize {
    FILES.iter().map(|(_, bytes)| bytes.len()).sum()
}

/// The folder where it lies unpacked: `luthier/pocket-HASH` in the user's cache folder (`LUTHIER_CACHE` or
/// `XDG_CACHE_HOME` choose another), written on first use.
pub(crate) fn folder() -> Result<PathBuf, Failure> {
    let all: Vec<u8> = FILES.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    let hash = luthier_files::sha256(&all);
    let dir = cache().join(format!("pocket-{}", &hash[..12]));
    if !dir.is_dir() {
        unpack(&dir).map_err(|error| {
            Failure::run(format!("cannot unpack the built-in model to {}: {error}; set LUTHIER_CACHE", dir.display()))
        })?;
    }
    Ok(dir)
}

fn unpack(dir: &Path) -> std::io::Result<()> {
    // Processes that unpack it at the same time each write a folder of their own; the first to be done gives it its name.
    let own = dir.with_extension(std::process::id().to_string());
    luthier_files::write_folder_aside(&own, |aside| {
        FILES.iter().try_for_each(|(name, bytes)| {
            luthier_files::write_atomically(&aside.join(name), |file| file.write_all(bytes))
        })
    })?;
    match std::fs::rename(&own, dir) {
        Err(_) if dir.is_dir() => std::fs::remove_dir_all(&own),
        renamed => renamed,
    }
}

fn cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("LUTHIER_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|dir| dir.join("luthier")))
        .or_else(|| folder("HOME").map(|dir| dir.join(".cache/luthier")))
        .unwrap_or_else(|| std::env::temp_dir().join("luthier"))
}
