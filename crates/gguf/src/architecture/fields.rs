//! Settings on both sides, with errors that name the key or field.

use serde_json::{Map, Value as Json};

use crate::error::GgufError;
use crate::gguf::Gguf;
use crate::value::Value;

/// The metadata of an architecture: `llama.block_count` is `block_count` here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata<'a> {
    pub(super) file: &'a Gguf,
    pub(super) name: &'a str,
}

/// Sizes above this are refused on both sides: two of them multiplied stay far from overflow, and no decoder comes near.
const LARGEST_SIZE: u64 = 1 << 28;

impl Metadata<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    pub(super) fn get(&self, key: &str) -> Option<Value> {
        self.file.get(&self.key(key))
    }

    pub(super) fn wrong(&self, key: &str, why: impl Into<String>) -> GgufError {
        GgufError::Metadata { path: self.file.path().to_owned(), key: self.key(key), why: why.into() }
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, GgufError> {
        self.optional_size(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// A size; also an array with the size of each block, if all are the same.
    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = match value.as_array() {
            None => value.as_u64(),
            Some(array) => {
                let mut sizes = array.values().map(|value| value.as_u64());
                let first = sizes.next().flatten();
                if sizes.any(|size| size != first) {
                    let why = "differs from block to block, which config.json has no words for";
                    return Err(self.wrong(key, why));
                }
                first
            }
        };
        match size {
            Some(size) if (1..=LARGEST_SIZE).contains(&size) => Ok(Some(size as usize)),
            _ => Err(self.wrong(key, format!("must be a whole number from 1 to {LARGEST_SIZE}, it is {value:?}"))),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, GgufError> {
        self.optional_number(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// A finite number; one in f32 becomes the shortest decimal that means it, as `config.json` once had it.
    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value {
            Value::F32(number) => Some(shortest(number)),
            _ => value.as_f64(),
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, format!("must be a number, it is {value:?}"))),
        }
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool, GgufError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, format!("must be true or false, it is {value:?}")))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_text() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong(key, format!("must be a text, it is of type {}", value.kind()))),
        }
    }
}

/// The f64 with the fewest digits that is this f32.
pub(super) fn shortest(number: f32) -> f64 {
    number.to_string().parse().expect("numbers print as numbers")
}

/// A `config.json`; `null` is as good as missing. Several names of a field are tried in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a>(pub(super) &'a Map<String, Json>);

impl<'a> Config<'a> {
    pub(super) fn get(self, names: &[&str]) -> Option<(String, &'a Json)> {
        names.iter().find_map(|name| {
            let value = self.0.get(*name).filter(|value| !value.is_null())?;
            Some(((*name).to_owned(), value))
        })
    }

    fn wrong(name: &str, due: &str, value: &Json) -> GgufError {
        GgufError::Config(format!("field \"{name}\" must be {due}, found {value}"))
    }

    pub(super) fn size(self, names: &[&str]) -> Result<u32, GgufError> {
        let missing = || GgufError::Config(format!("field \"{}\" is missing", names[0]));
        self.optional_size(names)?.ok_or_else(missing)
    }

    pub(super) fn optional_size(self, names: &[&str]) -> Result<Option<u32>, GgufError> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        match value.as_u64() {
            Some(size) if (1..=LARGEST_SIZE).contains(&size) => Ok(Some(size as u32)),
            _ => Err(Self::wrong(&name, &format!("a whole number from 1 to {LARGEST_SIZE}"), value)),
        }
    }

    pub(super) fn number(self, names: &[&str]) -> Result<f64, GgufError> {
        let missing = || GgufError::Config(format!("field \"{}\" is missing", names[0]));
        self.optional_number(names)?.ok_or_else(missing)
    }

    pub(super) fn optional_number(self, names: &[&str]) -> Result<Option<f64>, GgufError> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        match value.as_f64().filter(|number| (*number as f32).is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(Self::wrong(&name, "a number", value)),
        }
    }

    pub(super) fn flag_or(self, name: &str, default: bool) -> Result<bool, GgufError> {
        let Some((name, value)) = self.get(&[name]) else { return Ok(default) };
        value.as_bool().ok_or_else(|| Self::wrong(&name, "true or false", value))
    }

    pub(super) fn text(self, names: &[&str]) -> Result<Option<&'a str>, GgufError> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| Self::wrong(&name, "a text", value))
    }

    /// An object inside.
    pub(super) fn object(self, names: &[&str]) -> Result<Option<Config<'a>>, GgufError> {
        let Some((name, value)) = self.get(names) else { return Ok(None) };
        value.as_object().map(|object| Some(Config(object))).ok_or_else(|| Self::wrong(&name, "an object", value))
    }

    /// A list of numbers.
    pub(super) fn numbers(self, name: &str) -> Result<Option<Vec<f64>>, GgufError> {
        let Some((name, value)) = self.get(&[name]) else { return Ok(None) };
        let numbers = value.as_array().and_then(|list| list.iter().map(Json::as_f64).collect());
        numbers.map(Some).ok_or_else(|| Self::wrong(&name, "a list of numbers", value))
    }

    /// Refuses a value that llama.cpp would not heed.
    pub(super) fn only(self, name: &str, heeded: &[Json], why: &str) -> Result<(), GgufError> {
        match self.get(&[name]) {
            Some((name, value)) if !heeded.contains(value) => {
                Err(GgufError::Config(format!("field \"{name}\" is {value}: {why}")))
            }
            _ => Ok(()),
        }
    }
}
