//! The container: header, metadata, tensor infos and, behind them, the tensors' bytes.
//!
//! The file is mapped. Opening it walks over everything but the tensors once and checks every count, length and offset
//! against the file, so that nothing is allocated on the word of a broken one; what is kept are places in the file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use luthier_files::MappedBytes;

use crate::bytes::{Bytes, Cursor, Found};
use crate::error::GgufError;
use crate::tensor_type::TensorType;
use crate::value::Value;

/// Where tensors begin if the file does not say otherwise: at multiples of 32 bytes.
pub(crate) const DEFAULT_ALIGNMENT: usize = 32;

/// The metadata that says otherwise.
pub(crate) const ALIGNMENT: &str = "general.alignment";

/// More dimensions than any tensor of ggml has (`GGML_MAX_DIMS`).
pub(crate) const MOST_DIMENSIONS: usize = 4;

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: MappedBytes,
    bytes: Bytes,
    version: u32,
    /// Where each key of the metadata stands, in the file's order.
    keys: Vec<usize>,
    /// Indices of `keys`, by name.
    keys_by_name: Vec<usize>,
    tensors: Vec<TensorInfo>,
    /// Indices of `tensors`, by name.
    tensors_by_name: Vec<usize>,
}

/// What a file says of a tensor.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Where its name stands.
    name: usize,
    shape: [usize; MOST_DIMENSIONS],
    dimensions: usize,
    kind: TensorType,
    bytes: Range<usize>,
}

impl TensorInfo {
    /// Its shape in row-major order, as PyTorch says it: a linear map is `[out, in]`. GGUF itself stores the reverse.
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.dimensions]
    }

    /// How its numbers are stored.
    pub fn kind(&self) -> TensorType {
        self.kind
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its bytes stand in the file.
    pub fn byte_range(&self) -> Range<usize> {
        self.bytes.clone()
    }
}

impl Gguf {
    /// Opens a file of version 2 or 3.
    ///
    /// # Errors
    /// When it cannot be read, is no GGUF, of another version, big-endian, or broken: then the error says what and where.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let file = MappedBytes::of_file(path).map_err(|source| GgufError::Read { path: path.to_owned(), source })?;
        let bytes = Bytes::Mapped(file.clone());
        Self::parse(path, file, bytes).map_err(GgufError::broken(path))
    }

    fn parse(path: &Path, file: MappedBytes, bytes: Bytes) -> Found<Self> {
        let mut cursor = Cursor::new(&bytes, 0);
        let version = version(&mut cursor)?;
        let tensor_count = cursor.u64("the number of tensors")?;
        let key_count = cursor.u64("the number of metadata entries")?;
        let (keys, keys_by_name) = walk_metadata(&mut cursor, key_count)?;
        let alignment = alignment(&bytes, &keys, &keys_by_name)?;
        let (mut tensors, tensors_by_name) = walk_tensors(&mut cursor, tensor_count)?;
        let data_start = cursor.at.next_multiple_of(alignment);
        for (index, tensor) in tensors.iter_mut().enumerate() {
            let name = name_at(&bytes, tensor.name);
            place(tensor, data_start, alignment, bytes.len())
                .map_err(|why| format!("is broken: tensor \"{name}\" (number {index}) {why}"))?;
        }
        check_overlaps(&bytes, &tensors)?;
        Ok(Self { path: path.to_owned(), file, version, keys, keys_by_name, tensors, tensors_by_name, bytes })
    }

    /// The file it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The metadata of that key.
    pub fn get(&self, key: &str) -> Option<Value> {
        let place = find(&self.bytes, &self.keys_by_name, |index| self.keys[index], key)?;
        let mut cursor = Cursor::new(&self.bytes, self.keys[place]);
        let read = cursor.text("a key").and_then(|_| Value::read(&mut cursor, &"a value"));
        Some(read.expect("the metadata was walked over when the file was opened"))
    }

    /// The keys of the metadata, in the file's order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|&at| name_at(&self.bytes, at))
    }

    /// The tensors, in the file's order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|tensor| (name_at(&self.bytes, tensor.name), tensor))
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let place = find(&self.bytes, &self.tensors_by_name, |index| self.tensors[index].name, name)?;
        Some(&self.tensors[place])
    }

    /// The bytes of a tensor of this file.
    ///
    /// # Panics
    /// If the tensor is of another, longer file.
    pub fn data(&self, tensor: &TensorInfo) -> MappedBytes {
        self.file.slice(tensor.bytes.clone())
    }
}

/// Magic and version.
fn version(cursor: &mut Cursor<'_>) -> Found<u32> {
    match cursor.fixed::<4>("the first four bytes") {
        Ok(magic) if magic == *b"GGUF" => {}
        Ok(magic) if [*b"tjgg", *b"fmgg", *b"lmgg", *b"algg"].contains(&magic) => {
            return Err("is a file of llama.cpp from before GGUF; make it again from the original model".to_owned());
        }
        _ => return Err("is not a GGUF file: it does not begin with the letters GGUF".to_owned()),
    }
    match cursor.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        1 => Err("is GGUF of version 1, which llama.cpp itself has given up; make it again from the original model, \
                  as version 3"
            .to_owned()),
        // As the Python package tells it: no version comes near 65,536.
        version if version & 0xFFFF == 0 && version != 0 => {
            Err("is a big-endian GGUF file; convert it with gguf-convert-endian of the Python package gguf".to_owned())
        }
        version => Err(format!("is GGUF of version {version}; versions 2 and 3 can be read")),
    }
}

/// The name that stands at a place where one was read before.
fn name_at(bytes: &Bytes, at: usize) -> &str {
    Cursor::new(bytes, at).name("a name").expect("it was read when the file was opened")
}

/// Places by name; an error names one that is there twice.
fn by_name(bytes: &Bytes, count: usize, place: impl Fn(usize) -> usize, what: &str) -> Found<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    let name = |index: &usize| name_at(bytes, place(*index));
    order.sort_unstable_by(|one, other| name(one).cmp(name(other)));
    match order.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
        Some(pair) => Err(format!("is broken: {what} \"{}\" is there twice", name(&pair[0]))),
        None => Ok(order),
    }
}

fn find(bytes: &Bytes, order: &[usize], place: impl Fn(usize) -> usize, name: &str) -> Option<usize> {
    order.binary_search_by(|&index| name_at(bytes, place(index)).cmp(name)).ok().map(|found| order[found])
}

/// Where the keys stand, in the file's order, and their order by name. The least entry is an empty key and a byte.
fn walk_metadata(cursor: &mut Cursor<'_>, count: u64) -> Found<(Vec<usize>, Vec<usize>)> {
    let count = cursor.expect(count, 8 + 4 + 1, "metadata entries")?;
    let mut keys = Vec::with_capacity(count);
    for index in 0..count {
        keys.push(cursor.at);
        let key = cursor.name(format_args!("the key of metadata entry {index}"))?;
        Value::read(cursor, &format_args!("metadata \"{key}\""))?;
    }
    let order = by_name(cursor.bytes, count, |index| keys[index], "metadata")?;
    Ok((keys, order))
}

fn alignment(bytes: &Bytes, keys: &[usize], order: &[usize]) -> Found<usize> {
    let Some(place) = find(bytes, order, |index| keys[index], ALIGNMENT) else { return Ok(DEFAULT_ALIGNMENT) };
    let mut cursor = Cursor::new(bytes, keys[place]);
    cursor.text(ALIGNMENT)?;
    let value = Value::read(&mut cursor, &ALIGNMENT)?;
    match value.as_u64().filter(|alignment| alignment.is_power_of_two() && *alignment <= u64::from(u32::MAX)) {
        Some(alignment) => Ok(alignment as usize),
        None => Err(format!("is broken: metadata \"{ALIGNMENT}\" must be a power of two, it is {value:?}")),
    }
}

/// The tensors as the file tells of them, in its order, and their order by name. The least is an empty name and no dimensions.
fn walk_tensors(cursor: &mut Cursor<'_>, count: u64) -> Found<(Vec<TensorInfo>, Vec<usize>)> {
    let count = cursor.expect(count, 8 + 4 + 4 + 8, "tensors")?;
    let mut tensors = Vec::with_capacity(count);
    for index in 0..count {
        let at = cursor.at;
        let name = cursor.name(format_args!("the name of tensor {index}"))?;
        tensors.push(TensorInfo { name: at, ..walk_tensor(cursor, name)? });
    }
    let order = by_name(cursor.bytes, count, |index| tensors[index].name, "tensor")?;
    Ok((tensors, order))
}

fn walk_tensor(cursor: &mut Cursor<'_>, name: &str) -> Found<TensorInfo> {
    let what = format_args!("tensor \"{name}\"");
    let dimensions = cursor.u32(format_args!("the number of dimensions of {what}"))? as usize;
    if dimensions > MOST_DIMENSIONS {
        return Err(format!("is broken: {what} has {dimensions} dimensions; there are at most {MOST_DIMENSIONS}"));
    }
    let mut shape = [1; MOST_DIMENSIONS];
    let mut len = 1usize;
    // The file tells the shortest stride first.
    for size in shape[..dimensions].iter_mut().rev() {
        let told = cursor.u64(format_args!("the shape of {what}"))?;
        // With a size of 0 among them the others must be countable too: they are multiplied in any order later.
        let grown = usize::try_from(told).ok().and_then(|told| Some((told, len.checked_mul(told.max(1))?)));
        let Some((told, product)) = grown else {
            return Err(format!("is broken: {what} has more numbers than can be counted"));
        };
        (*size, len) = (told, product);
    }
    if shape.contains(&0) {
        len = 0;
    }
    let kind = cursor.u32(format_args!("the type of {what}"))?;
    let kind = TensorType::from_number(kind).map_err(|why| format!("cannot be read: {what} is of {why}"))?;
    let row = if dimensions == 0 { 1 } else { shape[dimensions - 1] };
    let (block_len, block_bytes) = (kind.block_len(), kind.block_bytes());
    if !row.is_multiple_of(block_len) {
        return Err(format!(
            "is broken: {what} is of type {kind}, whose blocks hold {block_len} numbers, and its rows have {row}"
        ));
    }
    let Some(size) = (len / block_len).checked_mul(block_bytes) else {
        return Err(format!("is broken: {what} has more bytes than can be counted"));
    };
    let offset = cursor.u64(format_args!("the offset of {what}"))?;
    let offset = usize::try_from(offset).map_err(|_| format!("is broken: {what} begins at byte {offset}"))?;
    // Where the name stands is filled in by the caller, and the offset becomes a place in the file in `place`.
    let end = offset.checked_add(size).ok_or_else(|| format!("is broken: {what} begins at byte {offset}"))?;
    Ok(TensorInfo { name: 0, shape, dimensions, kind, bytes: offset..end })
}

/// Turns the range behind the header into one of the file.
fn place(tensor: &mut TensorInfo, data_start: usize, alignment: usize, file: usize) -> Found<()> {
    let Range { start, end } = tensor.bytes;
    if !start.is_multiple_of(alignment) {
        return Err(format!("begins at byte {start} of the data, which is no multiple of the alignment {alignment}"));
    }
    match data_start.checked_add(end) {
        Some(end) if end <= file || tensor.is_empty() => {
            let start = data_start + start;
            // An empty tensor may stand behind the last byte; its place does not matter.
            tensor.bytes = if tensor.is_empty() { 0..0 } else { start..end };
            Ok(())
        }
        _ => Err(format!(
            "should end at byte {}, beyond the file's {file} bytes: the file is truncated; copy or fetch it again",
            data_start.saturating_add(end)
        )),
    }
}

fn check_overlaps(bytes: &Bytes, tensors: &[TensorInfo]) -> Found<()> {
    let mut order: Vec<&TensorInfo> = tensors.iter().filter(|tensor| !tensor.is_empty()).collect();
    order.sort_unstable_by_key(|tensor| tensor.bytes.start);
    match order.windows(2).find(|pair| pair[0].bytes.end > pair[1].bytes.start) {
        Some(pair) => {
            let [one, other] = [pair[0], pair[1]].map(|tensor| name_at(bytes, tensor.name));
            Err(format!("is broken: the bytes of tensors \"{one}\" and \"{other}\" overlap"))
        }
        None => Ok(()),
    }
}
