//! `pytorch_model.bin` and other files of `torch.save`: a dict of tensors as a pickle, and the storages with their numbers, in
//! a zip archive (`zip.rs`) or one behind another (`legacy.rs`).
//!
//! The pickle is read as data (`pickle.rs`): it can build values, dicts and tensors (`heap.rs`, `call.rs`) and nothing else.
//! A tensor becomes a place in the file, so its numbers are used or read as those of safetensors are.

mod call;
mod heap;
mod input;
mod legacy;
mod pickle;
mod zip;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use self::heap::{Heap, Object, Value, View};
use self::input::Input;
use self::zip::Archive;
use super::stored::{Change, Place, Stored};
use crate::error::ModelError;

/// Under these keys training scripts keep the model beside other things.
const WRAPPERS: [&str; 3] = ["state_dict", "model", "module"];
/// How deep.
const MOST_WRAPPERS: usize = 8;

const BIG_ENDIAN: &str =
    "its numbers are saved with the big end first, which is not read; save it anew on another machine";

/// Where a file's storages lie.
enum Storages {
    Zip(Archive),
    Legacy(HashMap<String, Range<u64>>),
}

/// What a file holds, by name.
///
/// # Errors
/// When it is broken, no file of torch, or its pickle does what no file of weights needs.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Stored)>, ModelError> {
    let length = std::fs::metadata(path).map_err(ModelError::read(path))?.len();
    let mut heap = Heap::new(length);
    let (object, mut storages) = match &beginning(path)? {
        b"PK\x03\x04" => {
            let mut archive = Archive::open(path)?;
            let object = object_of_zip(path, &mut archive, &mut heap)?;
            (object, Storages::Zip(archive))
        }
        [0x80, 0..=5, ..] => {
            let (object, places) = legacy::read(path, length, &mut heap)?;
            (object, Storages::Legacy(places))
        }
        b"vers" => {
            let why = "is the note that Git LFS keeps in a file's place; fetch the file itself (git lfs pull)";
            return Err(ModelError::broken(path, why));
        }
        _ => {
            let why = "is no file that torch.save wrote: it begins neither as a zip archive nor as a pickle";
            return Err(ModelError::broken(path, why));
        }
    };
    let tensors = state_dict(&heap, object).map_err(|why| ModelError::broken(path, why))?;
    let stored =
        |(name, view): (&str, &View)| Ok((name.to_owned(), place(path, length, &mut storages, &heap, name, view)?));
    tensors.into_iter().map(stored).collect()
}

/// The first four bytes, nought where there are fewer.
fn beginning(path: &Path) -> Result<[u8; 4], ModelError> {
    let file = File::open(path).map_err(ModelError::read(path))?;
    let mut bytes = Vec::new();
    file.take(4).read_to_end(&mut bytes).map_err(ModelError::read(path))?;
    bytes.resize(4, 0);
    Ok(bytes.try_into().expect("there are four"))
}

fn object_of_zip(path: &Path, archive: &mut Archive, heap: &mut Heap) -> Result<Value, ModelError> {
    if archive.beginning("byteorder")?.is_some_and(|order| order.starts_with(b"big")) {
        return Err(ModelError::broken(path, BIG_ENDIAN));
    }
    let stretch = archive.find("data.pkl")?.expect("the folder was found by it");
    pickle::load(&mut Input::open(path, stretch)?, heap)
}

/// The tensors of a dict by name. What else lies in it (counters, settings, nothing) is not ours.
fn state_dict(heap: &Heap, mut object: Value) -> Result<Vec<(&str, &View)>, String> {
    let no_dict = || "its pickle holds no dict of tensors; save the model's state_dict with torch.save".to_owned();
    let mut items = heap.dict(object).ok_or_else(no_dict)?;
    for _ in 0..MOST_WRAPPERS {
        let is_wrapper = |key| heap.text(key).is_some_and(|key| WRAPPERS.contains(&key));
        match items.iter().find(|&&(key, value)| is_wrapper(key) && heap.dict(value).is_some()) {
            Some(&(_, inner)) => object = inner,
            None => break,
        }
        items = heap.dict(object).ok_or_else(no_dict)?;
    }
    let (mut tensors, mut names) = (Vec::new(), HashSet::new());
    for &(key, value) in items {
        let (Some(name), Some(Object::Tensor(view))) = (heap.text(key), heap.get(value)) else { continue };
        if !names.insert(name) {
            return Err(format!("it holds the tensor \"{name}\" twice; it is damaged"));
        }
        tensors.push((name, &**view));
    }
    if tensors.is_empty() && !items.is_empty() { Err(no_dict()) } else { Ok(tensors) }
}

/// Where a tensor lies in the file.
fn place(
    path: &Path,
    length: u64,
    storages: &mut Storages,
    heap: &Heap,
    name: &str,
    view: &View,
) -> Result<Stored, ModelError> {
    let broken = |why: String| ModelError::broken(path, format!("tensor \"{name}\" {why}"));
    let key = heap.text(Value::At(view.storage.key)).unwrap_or_default();
    let found = match storages {
        Storages::Zip(archive) => archive.find(&format!("data/{key}"))?,
        Storages::Legacy(places) => places.get(key).cloned(),
    };
    let found = found.ok_or_else(|| {
        broken(format!(
            "lies in the storage \"{key}\", which is not in the file: it is truncated; copy or fetch it again"
        ))
    })?;
    let element = view.storage.encoding.bytes as u64;
    let inside = |numbers: u64, element: u64, bytes: u64| numbers.checked_mul(element).is_some_and(|all| all <= bytes);
    if !inside(view.storage.whole, element, found.end - found.start) {
        let why =
            format!("lies in the storage \"{key}\", which is shorter than its pickle says; copy or fetch it again");
        return Err(broken(why));
    }
    let beyond =
        || broken(format!("has numbers beyond its storage \"{key}\"; the file is damaged, copy or fetch it again"));
    // The part that is meant lies inside the whole, which lies inside the file.
    let part = found.start + view.storage.start * element;
    let part = part..part + view.storage.count * element;
    let own = view.encoding.bytes;
    let start = view.offset.checked_mul(own as u64).and_then(|offset| part.start.checked_add(offset));
    let place = start.and_then(|start| Place::of_view(start, own, &view.shape, &view.strides)).ok_or_else(beyond)?;
    if place.bytes() > 0 && place.span().end > part.end {
        return Err(beyond());
    }
    // A view may repeat numbers; one that made more of them than the file has bytes would be a bomb.
    if (place.bytes() / own) as u64 > length {
        return Err(broken("repeats its numbers more often than the file has bytes; it is refused".to_owned()));
    }
    Ok(Stored { shape: view.shape.to_vec(), encoding: view.encoding, place, change: Change::None })
}
