//! Weights in and out: the tensors of a folder or a file by name, whatever the format.
//!
//! `source.rs` says what a path names and which files belong to it. A format (`safetensors.rs`, `torch.rs`, `gguf.rs`,
//! `llama2c.rs`) says of each tensor where its numbers lie and in which type (`stored.rs`), nothing more. Here they are
//! used where they lie, read, or packed, a piece at a time, when somebody asks for them. `write.rs` writes safetensors, `write_gguf.rs` GGUF.

mod gguf;
mod llama2c;
mod safetensors;
mod source;
mod stored;
mod torch;
mod write;
mod write_gguf;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use luthier_engine::{Numbers, Packed, Packing, threads};
use luthier_files::MappedBytes;

use self::stored::{Change, Encoding, Place, Stored, decode_f32};
use crate::error::ModelError;
use crate::open::transposed;

pub(crate) use self::source::config;
pub use self::source::{are_there, open};
pub use self::write::{SaveDtype, Saved, write_safetensors};
pub(crate) use self::write_gguf::{Exported, write_gguf};

/// The tensors of a folder or file, by name; numbers are read when asked for.
#[derive(Debug)]
pub struct Tensors {
    files: Vec<TensorFile>,
    by_name: BTreeMap<String, (usize, Stored)>,
    root: PathBuf,
}

#[derive(Debug)]
struct TensorFile {
    path: PathBuf,
    /// The file as memory, from the first tensor on that is used as it lies; nothing where it cannot be mapped.
    mapped: OnceLock<Option<MappedBytes>>,
}

impl Tensors {
    /// The tensors of a model: of a folder with `model.safetensors` or `pytorch_model.bin`, either also as the shards that
    /// its index lists, or of one file that holds the whole model.
    ///
    /// # Errors
    /// When there is none of them, a shard is missing, or a file is broken.
    pub fn of_model(path: &Path) -> Result<Self, ModelError> {
        source::tensors(path)
    }

    /// The tensors of one file: what `torch.save` wrote when its name ends in `.bin`, `.pt` or `.pth`, else safetensors.
    ///
    /// # Errors
    /// When it is broken.
    pub fn of_file(path: &Path) -> Result<Self, ModelError> {
        let mut tensors = Self::none_of(path);
        tensors.add_file(path)?;
        Ok(tensors)
    }

    /// The tensors of a file that holds a whole model.
    fn of_whole_model(path: &Path, tensors: Vec<(String, Stored)>) -> Result<Self, ModelError> {
        let mut all = Self::none_of(path);
        all.add(path, tensors)?;
        Ok(all)
    }

    fn none_of(root: &Path) -> Self {
        Self { files: Vec::new(), by_name: BTreeMap::new(), root: root.to_owned() }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ModelError> {
        let pickled = path.extension().is_some_and(|end| end == "bin" || end == "pt" || end == "pth");
        self.add(path, if pickled { torch::read(path)? } else { safetensors::read(path)? })
    }

    fn add(&mut self, path: &Path, tensors: Vec<(String, Stored)>) -> Result<(), ModelError> {
        for (name, stored) in tensors {
            if let Some((other, _)) = self.by_name.get(&name) {
                let other = self.files.get(*other).map_or(path, |file| &file.path);
                let why = format!("tensor \"{name}\" is in {} already", other.display());
                return Err(ModelError::broken(path, why));
            }
            self.by_name.insert(name, (self.files.len(), stored));
        }
        self.files.push(TensorFile { path: path.to_owned(), mapped: OnceLock::new() });
        Ok(())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.by_name.get(name).map(|(_, stored)| stored.shape.as_slice())
    }

    /// Whether a tensor is there and of a type that weights have. Others, such as counters and masks, are known and never read.
    pub fn is_readable(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|(_, stored)| stored.encoding.decode.is_some())
    }

    /// The floating-point type most tensors are stored in, to save the same way.
    pub fn stored_dtype(&self) -> SaveDtype {
        let count = |encoding| self.by_name.values().filter(|(_, stored)| stored.encoding.is(encoding)).count();
        let kinds = [
            (count(Encoding::F32) + count(Encoding::F64), SaveDtype::F32),
            (count(Encoding::BF16), SaveDtype::Bf16),
            (count(Encoding::F16), SaveDtype::F16),
        ];
        kinds.into_iter().max_by_key(|(count, kind)| (*count, *kind == SaveDtype::F32)).expect("three kinds").1
    }

    /// The numbers of a tensor as f32, checked against the shape the caller needs.
    ///
    /// # Errors
    /// When it is missing, of another shape, of a type that is not f32, bf16, f16 or f64, not finite, or unreadable.
    pub fn read(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        // The shape is the file's before anything is allocated for it.
        self.find(name, expected)?;
        let mut data = Vec::with_capacity(expected.iter().product());
        self.in_pieces(name, expected, PIECE, |piece| data.extend_from_slice(piece))?;
        Ok(data)
    }

    /// As [`Tensors::read`], but numbers that lie in the file as they are used stay there.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn map_or_read(&self, name: &str, expected: &[usize]) -> Result<Numbers, ModelError> {
        let (file, stored) = self.find(name, expected)?;
        let as_it_lies = stored.encoding.is(Encoding::F32) && stored.lies_as_it_is_used();
        let mapped = as_it_lies.then(|| file.mapped(&stored.place)?.as_numbers()).flatten();
        match mapped {
            Some(numbers) if all_finite(numbers.as_slice()) => Ok(Numbers::Mapped(numbers)),
            Some(_) => Err(not_finite(file, name)),
            None => self.read(name, expected).map(Numbers::Owned),
        }
    }

    /// A tensor of rows, packed as it is read; bf16 that lies in the file stays there.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn pack(&self, name: &str, [rows, cols]: [usize; 2], packing: Packing) -> Result<Packed, ModelError> {
        let (file, stored) = self.find(name, &[rows, cols])?;
        let is_bf16 = packing == Packing::Bf16 && stored.encoding.is(Encoding::BF16);
        let as_it_lies = is_bf16 && stored.lies_as_it_is_used();
        if let Some(bytes) = as_it_lies.then(|| file.mapped(&stored.place)).flatten() {
            let finite = all_finite_bf16(bytes.as_slice());
            return if finite { Ok(Packed::mapped_bf16(rows, cols, bytes)) } else { Err(not_finite(file, name)) };
        }
        let mut packed = Packed::with_capacity(packing, rows, cols);
        let piece = (PIECE / cols.max(1)).max(1) * cols;
        self.in_pieces(name, &[rows, cols], piece, |rows| packed.push_rows(rows))?;
        Ok(packed)
    }

    /// The bytes of a tensor that was saved as [`SaveDtype::Bytes`]: in the bits of each number four, the first lowest.
    ///
    /// # Errors
    /// When it is missing, of another shape or type, or unreadable.
    pub fn read_bytes(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (file, stored) = self.find(name, expected)?;
        if !stored.encoding.is(Encoding::U8) {
            let why = format!("tensor \"{name}\" is stored as {}, where U8 is needed", stored.encoding.name);
            return Err(ModelError::broken(&file.path, why));
        }
        let mut data = Vec::with_capacity(stored.place.bytes() / size_of::<f32>());
        file.in_pieces(&stored.place, PIECE * size_of::<f32>(), &mut |bytes| decode_f32(bytes, &mut data))
            .map_err(ModelError::read(&file.path))?;
        Ok(data)
    }

    /// Hands on the numbers, checked, `piece` at a time: as many as make whole blocks of the tensor's encoding.
    fn in_pieces(
        &self,
        name: &str,
        expected: &[usize],
        piece: usize,
        mut take: impl FnMut(&[f32]),
    ) -> Result<(), ModelError> {
        let (file, stored) = self.find(name, expected)?;
        if stored.change == Change::None {
            return file.numbers(name, stored, piece, &mut take);
        }
        let mut all = Vec::with_capacity(expected.iter().product());
        file.numbers(name, stored, piece, &mut |numbers| all.extend_from_slice(numbers))?;
        match (stored.change, expected) {
            (Change::Transposed, &[rows, _]) => all = transposed(&all, rows),
            _ => all.iter_mut().for_each(|number| *number -= 1.0),
        }
        all.chunks(piece.max(1)).for_each(take);
        Ok(())
    }

    fn find(&self, name: &str, expected: &[usize]) -> Result<(&TensorFile, &Stored), ModelError> {
        let Some((file, stored)) = self.by_name.get(name) else {
            return Err(ModelError::MissingTensor {
                path: self.root.clone(),
                tensor: name.to_owned(),
                hint: self.hint(name),
            });
        };
        let file = &self.files[*file];
        if stored.shape != expected {
            return Err(ModelError::Shape {
                path: file.path.clone(),
                tensor: name.to_owned(),
                found: stored.shape.clone(),
                expected: expected.to_owned(),
            });
        }
        Ok((file, stored))
    }

    /// As [`Tensors::read`] for a tensor of any shape, which is returned too.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn read_any(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
        let shape = self.shape(name).unwrap_or_default().to_vec();
        let data = self.read(name, &shape)?;
        Ok((shape, data))
    }

    /// ` (the files hold "...")`, with a name that ends alike.
    fn hint(&self, name: &str) -> String {
        if name == "lm_head.weight" {
            return "; if the model has no head of its own, say \"tie_word_embeddings\": true in config.json"
                .to_owned();
        }
        let tail = name.rsplit('.').take(2).collect::<Vec<_>>();
        let near = self.names().find(|other| other.rsplit('.').take(2).eq(tail.iter().copied()));
        match near.or_else(|| self.names().next()) {
            Some(near) => format!(" (there is \"{near}\"); are these the files of config.json's model?"),
            None => " (there are no tensors at all)".to_owned(),
        }
    }
}

/// Numbers that are converted or packed at a time: enough for all threads, few enough for the caches, and whole blocks of any
/// encoding.
const PIECE: usize = 1 << 18;

impl TensorFile {
    /// Hands on a tensor's numbers as they stand, checked, `piece` at a time.
    fn numbers(
        &self,
        name: &str,
        stored: &Stored,
        piece: usize,
        take: &mut dyn FnMut(&[f32]),
    ) -> Result<(), ModelError> {
        let Stored { encoding, place, .. } = stored;
        let Some(decode) = encoding.decode else {
            let why = format!(
                "tensor \"{name}\" is stored as {}; f32, bf16, f16 and f64 can be read, and in GGUF the usual blocks",
                encoding.name
            );
            return Err(ModelError::broken(&self.path, why));
        };
        let mut finite = true;
        let mut numbers = Vec::new();
        let mut checked = |bytes: &[u8]| {
            numbers.clear();
            decode(bytes, &mut numbers);
            finite = finite && all_finite(&numbers);
            if finite {
                take(&numbers);
            }
        };
        let bytes = piece / encoding.numbers * encoding.bytes;
        self.in_pieces(place, bytes, &mut checked).map_err(ModelError::read(&self.path))?;
        if finite { Ok(()) } else { Err(not_finite(self, name)) }
    }

    /// Hands on a tensor `piece` bytes at a time, so that no second copy of it is ever there: out of the mapped file,
    /// whose pages go as soon as they were used, or else read.
    fn in_pieces(&self, place: &Place, piece: usize, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let (piece, bytes) = (piece.max(1), place.bytes());
        let mut parts = (0..bytes).step_by(piece).map(|at| at..(at + piece).min(bytes));
        let mapped = self.mapped(place);
        if !place.is_flat() {
            // Steps lead from one end of the tensor to the other, so pages stay until all of them are done.
            let span = match &mapped {
                Some(mapped) => Cow::Borrowed(mapped.as_slice()),
                None => Cow::Owned(self.read_span(place)?),
            };
            let mut gathered = Vec::with_capacity(piece.min(bytes));
            for part in parts {
                gathered.clear();
                place.gather(&span, part, &mut gathered);
                take(&gathered);
            }
            mapped.iter().for_each(MappedBytes::let_go);
            return Ok(());
        }
        if let Some(mapped) = mapped {
            for part in parts.map(|part| mapped.slice(part)) {
                take(part.as_slice());
                part.let_go();
            }
            // Around a page that is looked at the system maps others: some behind, of pieces that went already.
            mapped.let_go();
            return Ok(());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(place.span().start))?;
        let mut buffer = vec![0; piece.min(bytes)];
        parts.try_for_each(|part| {
            let bytes = &mut buffer[..part.len()];
            file.read_exact(bytes)?;
            take(bytes);
            Ok(())
        })
    }

    /// All bytes from a tensor's first to its last, for views in a file that cannot be mapped.
    fn read_span(&self, place: &Place) -> io::Result<Vec<u8>> {
        let span = place.span();
        let mut bytes = vec![0; (span.end - span.start) as usize];
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(span.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The bytes from a tensor's first to its last as they lie in the file, where its file system can map it.
    fn mapped(&self, place: &Place) -> Option<MappedBytes> {
        let file = self.mapped.get_or_init(|| MappedBytes::of_file(&self.path).ok()).as_ref()?;
        let span = place.span();
        let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
        // The file was measured before; another may have taken its place since.
        (end <= file.as_slice().len()).then(|| file.slice(start..end))
    }
}

fn not_finite(file: &TensorFile, name: &str) -> ModelError {
    let why = format!("tensor \"{name}\" holds numbers that are NaN or infinite; the training that wrote it failed");
    ModelError::broken(&file.path, why)
}

/// By the exponent's bits, a chunk at a time: fast enough for every weight that is read.
fn all_finite(data: &[f32]) -> bool {
    const INFINITY: u32 = f32::INFINITY.to_bits();
    let largest = |chunk: &[f32]| chunk.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7FFF_FFFF));
    threads::all_chunks(data.len(), 1 << 18, |range| data[range].chunks(4096).all(|chunk| largest(chunk) < INFINITY))
}

fn all_finite_bf16(bytes: &[u8]) -> bool {
    const INFINITY: u16 = 0x7F80;
    let numbers = bytes.as_chunks().0;
    let largest = |chunk: &[[u8; 2]]| chunk.iter().fold(0, |largest, &x| largest.max(u16::from_le_bytes(x) & 0x7FFF));
    threads::all_chunks(numbers.len(), 1 << 18, |range| {
        numbers[range].chunks(4096).all(|chunk| largest(chunk) < INFINITY)
    })
}
