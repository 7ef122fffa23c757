//! The file that `torch.save` wrote before 1.6, and still writes when asked to: pickles one behind another (a mark, a
//! version, facts of the machine, the object, the keys of its storages), then each storage with its count of numbers before.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::heap::{Heap, Object, Value};
use super::input::Input;
use super::pickle;
use crate::error::ModelError;

/// The number 0x1950a86a20f9469cfc6c, the lowest byte first, that the first pickle holds.
const MAGIC: [u8; 10] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
/// The only version there was.
const VERSION: i64 = 1001;

/// The object of a file, and where in the file its storages lie, by key. A storage that the file is too short for is
/// missing there.
pub(super) fn read(
    path: &Path,
    length: u64,
    heap: &mut Heap,
) -> Result<(Value, HashMap<String, Range<u64>>), ModelError> {
    let mut input = Input::open(path, 0..length)?;
    let magic = pickle::load(&mut input, heap)?;
    if !matches!(heap.get(magic), Some(Object::Bytes(bytes)) if **bytes == MAGIC) {
        return Err(
            input.broken("is a pickle, but none that torch.save wrote; save the model's state_dict with torch.save")
        );
    }
    match pickle::load(&mut input, heap)? {
        Value::Int(VERSION) => {}
        _ => return Err(input.broken("is of a version of torch.save that nobody knows; it is damaged")),
    }
    let machine = pickle::load(&mut input, heap)?;
    if is_big_endian(heap, machine) {
        return Err(input.broken(super::BIG_ENDIAN));
    }
    let object = pickle::load(&mut input, heap)?;
    let keys = pickle::load(&mut input, heap)?;
    let storages = place_storages(&mut input, heap, keys)?;
    Ok((object, storages))
}

fn is_big_endian(heap: &Heap, machine: Value) -> bool {
    let items = heap.dict(machine).unwrap_or_default();
    items.iter().any(|&(key, value)| heap.text(key) == Some("little_endian") && matches!(value, Value::Bool(false)))
}

fn place_storages(input: &mut Input<'_>, heap: &Heap, keys: Value) -> Result<HashMap<String, Range<u64>>, ModelError> {
    let known = heap.storages();
    let mut places = HashMap::new();
    for &key in heap.items(keys).ok_or_else(|| input.damaged())? {
        let key = heap.text(key).ok_or_else(|| input.damaged())?;
        let storage = known.get(key).ok_or_else(|| {
            input.broken(format!(
                "it lists a storage \"{key}\" that no tensor has; it is damaged, copy or fetch it again"
            ))
        })?;
        if input.left() < 8 {
            break;
        }
        let count = u64::from_le_bytes(input.array()?);
        if count != storage.whole {
            let why = format!("its storage \"{key}\" has {count} numbers where its pickle says {}", storage.whole);
            return Err(input.broken(format!("{why}; copy or fetch it again")));
        }
        let Some(bytes) = count.checked_mul(storage.encoding.bytes as u64).filter(|&bytes| bytes <= input.left())
        else {
            break;
        };
        let start = input.at();
        input.skip(bytes)?;
        if places.insert(key.to_owned(), start..start + bytes).is_some() {
            return Err(input.broken(format!("it lists the storage \"{key}\" twice; it is damaged")));
        }
    }
    Ok(places)
}
