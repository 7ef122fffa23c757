//! What a pickle is made of, as data: none of it can do anything.

use std::collections::HashMap;

use crate::weights::stored::Encoding;

/// A value on the pickle's stack; what is larger than a word lies in the [`Heap`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Nobody asks how large.
    Float,
    At(usize),
}

/// What a value can stand for.
#[derive(Debug)]
pub(super) enum Object {
    Text(Box<str>),
    /// Bytes that are no text, and whole numbers of more than eight bytes.
    Bytes(Box<[u8]>),
    Tuple(Box<[Value]>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A name that Python would import.
    Global(Box<str>, Box<str>),
    Storage(Box<Storage>),
    Tensor(Box<View>),
}

/// Numbers that lie together in the file, and that several tensors may share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage {
    pub(super) encoding: Encoding,
    /// Its name, a text.
    pub(super) key: usize,
    /// Numbers of the whole.
    pub(super) whole: u64,
    /// The numbers that are meant: old files have storages that are parts of others.
    pub(super) start: u64,
    pub(super) count: u64,
}

/// A tensor: numbers of a storage.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) storage: Storage,
    /// How its numbers are read, and bytes of the storage that one of its own takes.
    pub(super) encoding: Encoding,
    /// In numbers of the tensor, as the strides.
    pub(super) offset: u64,
    pub(super) shape: Box<[usize]>,
    pub(super) strides: Box<[usize]>,
}

/// The objects of a file's pickles. They may take as much memory as twice the file, which honest ones are far from.
#[derive(Debug)]
pub(super) struct Heap {
    objects: Vec<Object>,
    left: u64,
}

/// Bytes that pickles may take whatever the file.
const LEAST: u64 = 1 << 20;

impl Heap {
    pub(super) fn new(file_length: u64) -> Self {
        Self { objects: Vec::new(), left: file_length.saturating_mul(2).saturating_add(LEAST) }
    }

    /// Counts memory before it is taken.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes as u64).ok_or("its pickle grows far beyond the file; it is damaged")?;
        Ok(())
    }

    pub(super) fn add(&mut self, object: Object) -> Result<Value, String> {
        self.charge(size_of::<Object>() + object.bytes())?;
        self.objects.push(object);
        Ok(Value::At(self.objects.len() - 1))
    }

    /// The object that a value stands for; `None` for those that are none.
    pub(super) fn get(&self, value: Value) -> Option<&Object> {
        match value {
            Value::At(at) => self.objects.get(at),
            _ => None,
        }
    }

    fn get_mut(&mut self, value: Value) -> Option<&mut Object> {
        match value {
            Value::At(at) => self.objects.get_mut(at),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.get(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The items of a tuple or a list.
    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Object::Tuple(items)) => Some(items),
            Some(Object::List(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.get(value) {
            Some(Object::Dict(items)) => Some(items),
            _ => None,
        }
    }

    /// Puts items behind those of a list.
    pub(super) fn append(&mut self, list: Value, items: &[Value]) -> Result<(), String> {
        self.charge(size_of_val(items))?;
        let Some(Object::List(all)) = self.get_mut(list) else {
            return Err("its pickle appends to something that is no list".to_owned());
        };
        all.extend_from_slice(items);
        Ok(())
    }

    /// Puts keys and values, in turn, into a dict.
    pub(super) fn set_items(&mut self, dict: Value, items: &[Value]) -> Result<(), String> {
        self.charge(size_of_val(items))?;
        let (pairs, []) = items.as_chunks() else {
            return Err("its pickle sets an item without a value".to_owned());
        };
        let Some(Object::Dict(all)) = self.get_mut(dict) else {
            return Err("its pickle sets an item of something that is no dict".to_owned());
        };
        all.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    /// The storages that the pickles name, by their keys: what they hold, and how many numbers.
    pub(super) fn storages(&self) -> HashMap<&str, Storage> {
        let storage = |object: &Object| match object {
            Object::Storage(storage) => Some((self.text(Value::At(storage.key))?, **storage)),
            _ => None,
        };
        // The first counts, as in torch.
        self.objects.iter().rev().filter_map(storage).collect()
    }
}

impl Object {
    /// Bytes that it holds outside of itself.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Tuple(items) => size_of_val::<[Value]>(items),
            Self::List(items) => size_of_val(items.as_slice()),
            Self::Dict(items) => size_of_val(items.as_slice()),
            Self::Global(module, name) => module.len() + name.len(),
            Self::Storage(_) => size_of::<Storage>(),
            Self::Tensor(view) => size_of::<View>() + 2 * size_of_val::<[usize]>(&view.shape),
        }
    }
}
