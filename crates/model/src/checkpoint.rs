//! Safetensors in and out: one file or many with an index, f32, bf16 or f16. Numbers are read, or mapped as they lie.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use half::{bf16, f16};
use luthier_engine::{Numbers, Packed, Packing, Tensor, threads};
use luthier_files::MappedBytes;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;

use crate::error::ModelError;
use crate::open::transposed;

/// Headers above this are refused, as the safetensors library does.
const LARGEST_HEADER: u64 = 100_000_000;

/// The tensors of a folder or file, by name; numbers are read when asked for.
#[derive(Debug)]
pub struct Tensors {
    files: Vec<TensorFile>,
    by_name: BTreeMap<String, (usize, TensorInfo)>,
    root: PathBuf,
}

#[derive(Debug)]
struct TensorFile {
    path: PathBuf,
    /// Where the numbers begin.
    data_start: u64,
    /// The file as memory, from the first tensor on that is used as it lies; nothing where it cannot be mapped.
    mapped: OnceLock<Option<MappedBytes>>,
}

impl Tensors {
    /// The tensors of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    ///
    /// # Errors
    /// When there is neither, a shard is missing, or a file is broken.
    pub fn of_model(dir: &Path) -> Result<Self, ModelError> {
        let index = dir.join("model.safetensors.index.json");
        let single = dir.join("model.safetensors");
        if single.is_file() {
            return Self::of_file(&single);
        }
        if !index.is_file() {
            let pickled =
                if dir.join("pytorch_model.bin").is_file() || dir.join("pytorch_model.bin.index.json").is_file() {
                    "; save its pytorch_model.bin as safetensors (save_pretrained of transformers does)"
                } else {
                    ""
                };
            let why = format!("it holds neither model.safetensors nor model.safetensors.index.json{pickled}");
            return Err(ModelError::NotAModel { path: dir.to_owned(), why });
        }
        Self::of_index(dir, &index)
    }

    fn of_index(dir: &Path, index: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read(index).map_err(ModelError::read(index))?;
        let json: Value = serde_json::from_slice(&text)
            .map_err(|error| ModelError::config(index, format!("is not JSON: {error}")))?;
        let map = json.get("weight_map").and_then(Value::as_object);
        let map =
            map.ok_or_else(|| ModelError::config(index, "field \"weight_map\" must be an object of file names"))?;
        let mut shards = BTreeMap::new();
        for (tensor, shard) in map {
            let name = shard.as_str().filter(|name| is_plain_name(name)).ok_or_else(|| {
                let why =
                    format!("weight_map places \"{tensor}\" in {shard}, which is not the name of a file beside it");
                ModelError::config(index, why)
            })?;
            shards.entry(name).or_insert_with(Vec::new).push(tensor);
        }
        let mut tensors = Self { files: Vec::new(), by_name: BTreeMap::new(), root: dir.to_owned() };
        for (shard, names) in shards {
            let path = dir.join(shard);
            if !path.is_file() {
                let why = format!("it names the shard {shard}, which is not there; fetch the whole model again");
                return Err(ModelError::config(index, why));
            }
            tensors.add_file(&path)?;
            let file = tensors.files.len() - 1;
            let placed = |name: &String| tensors.by_name.get(name).is_some_and(|(holder, _)| *holder == file);
            if let Some(missing) = names.into_iter().find(|name| !placed(name)) {
                let why = format!("it places the tensor \"{missing}\" in {shard}, where it is not");
                return Err(ModelError::config(index, why));
            }
        }
        Ok(tensors)
    }

    /// The tensors of one safetensors file.
    ///
    /// # Errors
    /// When it is broken.
    pub fn of_file(path: &Path) -> Result<Self, ModelError> {
        let mut tensors = Self { files: Vec::new(), by_name: BTreeMap::new(), root: path.to_owned() };
        tensors.add_file(path)?;
        Ok(tensors)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ModelError> {
        let (data_start, metadata) = read_header(path)?;
        let length = std::fs::metadata(path).map_err(ModelError::read(path))?.len();
        let (filled, stored) = (metadata.data_len() as u64, length - data_start);
        for (name, info) in metadata.tensors() {
            if info.data_offsets.1 as u64 > stored {
                let why = format!(
                    "is truncated: tensor \"{name}\" ends beyond the file's {length} bytes; copy or fetch it again"
                );
                return Err(ModelError::broken(path, why));
            }
            if let Some((other, _)) = self.by_name.insert(name.clone(), (self.files.len(), info.clone())) {
                let why = format!("tensor \"{name}\" is in {} already", self.files[other].path.display());
                return Err(ModelError::broken(path, why));
            }
        }
        if filled < stored {
            let why = format!("holds {} bytes that belong to no tensor; copy or fetch it again", stored - filled);
            return Err(ModelError::broken(path, why));
        }
        self.files.push(TensorFile { path: path.to_owned(), data_start, mapped: OnceLock::new() });
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
        self.by_name.get(name).map(|(_, info)| info.shape.as_slice())
    }

    /// The floating-point type most tensors are stored in, to save the same way.
    pub fn stored_dtype(&self) -> SaveDtype {
        let count = |dtype| self.by_name.values().filter(|(_, info)| info.dtype == dtype).count();
        let kinds = [(Dtype::F32, SaveDtype::F32), (Dtype::BF16, SaveDtype::Bf16), (Dtype::F16, SaveDtype::F16)];
        kinds.into_iter().max_by_key(|(dtype, kind)| (count(*dtype), *kind == SaveDtype::F32)).expect("three kinds").1
    }

    /// The numbers of a tensor as f32, checked against the shape the caller needs.
    ///
    /// # Errors
    /// When it is missing, of another shape, of a type that is not f32, bf16 or f16, not finite, or unreadable.
    pub fn read(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let mut data = Vec::with_capacity(expected.iter().product());
        self.in_pieces(name, expected, PIECE, |piece| data.extend_from_slice(piece))?;
        Ok(data)
    }

    /// As [`Tensors::read`], but numbers that lie in the file as they are used stay there.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn map_or_read(&self, name: &str, expected: &[usize]) -> Result<Numbers, ModelError> {
        let (file, info) = self.find(name, expected)?;
        let mapped = (info.dtype == Dtype::F32).then(|| file.mapped(info)?.as_numbers()).flatten();
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
        let (file, info) = self.find(name, &[rows, cols])?;
        let as_it_lies = packing == Packing::Bf16 && info.dtype == Dtype::BF16;
        if let Some(bytes) = as_it_lies.then(|| file.mapped(info)).flatten() {
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
        let (file, info) = self.find(name, expected)?;
        if info.dtype != Dtype::U8 {
            let why = format!("tensor \"{name}\" is stored as {:?}, where U8 is needed", info.dtype);
            return Err(ModelError::broken(&file.path, why));
        }
        let mut data = Vec::with_capacity((info.data_offsets.1 - info.data_offsets.0) / size_of::<f32>());
        file.in_pieces(info, PIECE, decode_f32, &mut |piece| data.extend_from_slice(piece))
            .map_err(ModelError::read(&file.path))?;
        Ok(data)
    }

    /// Hands on the numbers, checked, `piece` at a time.
    fn in_pieces(
        &self,
        name: &str,
        expected: &[usize],
        piece: usize,
        mut take: impl FnMut(&[f32]),
    ) -> Result<(), ModelError> {
        let (file, info) = self.find(name, expected)?;
        let Some(decode) = decoder(info.dtype) else {
            let why = format!("tensor \"{name}\" is stored as {:?}; f32, bf16 and f16 can be read", info.dtype);
            return Err(ModelError::broken(&file.path, why));
        };
        let mut finite = true;
        let mut checked = |piece: &[f32]| {
            finite = finite && all_finite(piece);
            if finite {
                take(piece);
            }
        };
        file.in_pieces(info, piece, decode, &mut checked).map_err(ModelError::read(&file.path))?;
        if finite { Ok(()) } else { Err(not_finite(file, name)) }
    }

    fn find(&self, name: &str, expected: &[usize]) -> Result<(&TensorFile, &TensorInfo), ModelError> {
        let Some((file, info)) = self.by_name.get(name) else {
            return Err(ModelError::MissingTensor {
                path: self.root.clone(),
                tensor: name.to_owned(),
                hint: self.hint(name),
            });
        };
        let file = &self.files[*file];
        if info.shape != expected {
            return Err(ModelError::Shape {
                path: file.path.clone(),
                tensor: name.to_owned(),
                found: info.shape.clone(),
                expected: expected.to_owned(),
            });
        }
        Ok((file, info))
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

/// Numbers that are converted or packed at a time: enough for all threads, and few enough for the caches.
const PIECE: usize = 1 << 18;

/// Turns the bytes of a file into numbers behind those that are there.
type Decode = fn(&[u8], &mut Vec<f32>);

fn decoder(dtype: Dtype) -> Option<Decode> {
    Some(match dtype {
        Dtype::F32 => decode_f32,
        Dtype::BF16 => |bytes, to| to.extend(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F16 => |bytes, to| to.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
        _ => return None,
    })
}

fn decode_f32(bytes: &[u8], to: &mut Vec<f32>) {
    to.extend(bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)));
}

impl TensorFile {
    /// Hands on a tensor `piece` numbers at a time, so that no second copy of it is ever there: out of the mapped file,
    /// whose pages go as soon as they were used, or else read.
    fn in_pieces(
        &self,
        info: &TensorInfo,
        piece: usize,
        decode: Decode,
        take: &mut dyn FnMut(&[f32]),
    ) -> io::Result<()> {
        let (start, end) = info.data_offsets;
        let piece = (piece * info.dtype.bitsize() / 8).max(1);
        let parts = (0..end - start).step_by(piece).map(|at| at..(at + piece).min(end - start));
        let mut numbers = Vec::new();
        let mut take_bytes = |bytes: &[u8]| {
            numbers.clear();
            decode(bytes, &mut numbers);
            take(&numbers);
        };
        if let Some(mapped) = self.mapped(info) {
            for part in parts.map(|part| mapped.slice(part)) {
                take_bytes(part.as_slice());
                part.let_go();
            }
            // Around a page that is looked at the system maps others: some behind, of pieces that went already.
            mapped.let_go();
            return Ok(());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.data_start + start as u64))?;
        let mut bytes = vec![0; piece.min(end - start)];
        for part in parts {
            let bytes = &mut bytes[..part.len()];
            file.read_exact(bytes)?;
            take_bytes(bytes);
        }
        Ok(())
    }

    /// The tensor's bytes as they lie in the file, where its file system can map it.
    fn mapped(&self, info: &TensorInfo) -> Option<MappedBytes> {
        let file = self.mapped.get_or_init(|| MappedBytes::of_file(&self.path).ok()).as_ref()?;
        let (start, end) = info.data_offsets;
        let start_of_data = usize::try_from(self.data_start).ok()?;
        let (start, end) = (start_of_data + start, start_of_data + end);
        // The file was measured before; another may have taken its place since.
        (end <= file.as_slice().len()).then(|| file.slice(start..end))
    }
}

fn not_finite(file: &TensorFile, name: &str) -> ModelError {
    let why = format!("tensor \"{name}\" holds numbers that are NaN or infinite; the training that wrote it failed");
    ModelError::broken(&file.path, why)
}

/// Where the numbers begin, and what lies there: the library sees to it that shapes fit their bytes and that these lie
/// end to end. Lengths are checked against the file before anything is allocated.
fn read_header(path: &Path) -> Result<(u64, Metadata), ModelError> {
    let mut file = File::open(path).map_err(ModelError::read(path))?;
    let length = file.metadata().map_err(ModelError::read(path))?.len();
    let mut size = [0; 8];
    if length < 8 {
        return Err(ModelError::broken(path, format!("is truncated: {length} bytes are no safetensors file")));
    }
    file.read_exact(&mut size).map_err(ModelError::read(path))?;
    let header = u64::from_le_bytes(size);
    if header > LARGEST_HEADER || header > length - 8 {
        let why = format!("is truncated or no safetensors file: a header of {header} bytes in a file of {length}");
        return Err(ModelError::broken(path, why));
    }
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text).map_err(ModelError::read(path))?;
    let metadata = serde_json::from_slice(&text).map_err(|error| {
        ModelError::broken(path, format!("its safetensors header is damaged: {error}; copy or fetch it again"))
    })?;
    Ok((8 + header, metadata))
}

/// Whether a shard's name stays inside the folder: what the index says is not ours to trust.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
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

/// The type that saved weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveDtype {
    /// 4 bytes, exact.
    F32,
    /// 2 bytes, the range of f32.
    Bf16,
    /// 2 bytes, more digits, less range.
    F16,
    /// Of no weight, but of states in eight bits: the bits of each number are four bytes, which the shape counts.
    Bytes,
}

impl SaveDtype {
    /// What `config.json` calls it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
            Self::Bytes => "uint8",
        }
    }
}

/// A tensor to save; it is written piece by piece, so that no second copy is ever there.
#[derive(Debug)]
pub struct Saved<'a> {
    /// Shape as in the file.
    pub shape: Vec<usize>,
    /// Whether the file holds its columns as rows.
    pub transposed: bool,
    /// Type in the file.
    pub dtype: SaveDtype,
    /// The numbers.
    pub tensor: &'a Tensor,
}

impl Saved<'_> {
    fn stored(&self) -> Dtype {
        match self.dtype {
            SaveDtype::F32 => Dtype::F32,
            SaveDtype::Bf16 => Dtype::BF16,
            SaveDtype::F16 => Dtype::F16,
            SaveDtype::Bytes => Dtype::U8,
        }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.stored().bitsize() / 8
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let encode: fn(&[f32], &mut Vec<u8>) = match self.dtype {
            SaveDtype::F32 | SaveDtype::Bytes => |data, to| to.extend(data.iter().flat_map(|x| x.to_le_bytes())),
            SaveDtype::Bf16 => |data, to| to.extend(data.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes())),
            SaveDtype::F16 => |data, to| to.extend(data.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes())),
        };
        let mut piece = Vec::new();
        if self.transposed {
            encode(&transposed(&self.tensor.to_vec(), self.tensor.cols()), &mut piece);
            return file.write_all(&piece);
        }
        let rows = (PIECE / self.tensor.cols().max(1)).max(1);
        for start in (0..self.tensor.rows()).step_by(rows) {
            let view = self.tensor.view_rows(start..(start + rows).min(self.tensor.rows()));
            piece.clear();
            encode(&self.tensor.device().download(view), &mut piece);
            file.write_all(&piece)?;
        }
        Ok(())
    }
}

/// Writes a safetensors file aside and renames it, byte for byte as the safetensors library does. The metadata says
/// `format: pt`, which transformers asks for.
///
/// # Errors
/// When it cannot be written; then nothing of it is left.
pub fn write_safetensors(path: &Path, mut tensors: Vec<(String, Saved<'_>)>) -> Result<(), ModelError> {
    // The widest type first, so that every tensor is aligned.
    tensors.sort_by(|(a, left), (b, right)| right.stored().cmp(&left.stored()).then(a.cmp(b)));
    luthier_files::write_atomically(path, |file| {
        let header = header(&tensors).map_err(io::Error::other)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|(_, tensor)| tensor.write(file))
    })
    .map_err(ModelError::write(path))
}

/// What stands where, as JSON, filled up to a multiple of eight bytes.
fn header(tensors: &[(String, Saved<'_>)]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.bytes();
        let info = TensorInfo { dtype: tensor.stored(), shape: tensor.shape.clone(), data_offsets: (start, end) };
        (name.clone(), info)
    });
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos.collect())?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
mod tests {
    use luthier_engine::Device;
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn a_file_is_byte_for_byte_what_the_library_writes() {
        let device = Device::cpu();
        let data = |count: usize| (0..count).map(|i| i as f32 * 0.37 - 9.0).collect::<Vec<f32>>();
        // More than a piece, a vector, and another type that comes behind.
        let (large, small) = (data(3 * PIECE / 2), data(7));
        let tensors = [(3, PIECE / 2, &large), (1, 7, &small)]
            .map(|(rows, cols, data)| Tensor::from_slice(&device, rows, cols, data));
        let half: Vec<u8> = small.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        let whole = |data: &[f32]| data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (large, small) = (whole(&large), whole(&small));
        let shape = vec![3, PIECE / 2];
        let library = [
            ("b.half", TensorView::new(Dtype::BF16, vec![7], &half).unwrap()),
            ("z.large", TensorView::new(Dtype::F32, shape.clone(), &large).unwrap()),
            ("a.small", TensorView::new(Dtype::F32, vec![7], &small).unwrap()),
        ];
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let expected = safetensors::serialize(library, Some(format)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let saved = |shape: Vec<usize>, dtype, tensor| Saved { shape, transposed: false, dtype, tensor };
        let ours = vec![
            ("b.half".to_owned(), saved(vec![7], SaveDtype::Bf16, &tensors[1])),
            ("z.large".to_owned(), saved(shape, SaveDtype::F32, &tensors[0])),
            ("a.small".to_owned(), saved(vec![7], SaveDtype::F32, &tensors[1])),
        ];
        write_safetensors(&path, ours).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
