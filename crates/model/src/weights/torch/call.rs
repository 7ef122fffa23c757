//! The few functions that files of weights call, done on data. Every other call is refused by its name.

use super::heap::{Heap, Object, Storage, Value, View};
use crate::weights::stored::Encoding;

/// Axes above this are refused; torch itself has no more.
const MOST_AXES: usize = 64;

/// What a call gives.
///
/// # Errors
/// When it is none of the few, or its arguments are not what it takes.
pub(super) fn call(heap: &mut Heap, function: Value, arguments: Value) -> Result<Value, String> {
    let Some(Object::Global(module, name)) = heap.get(function) else {
        return Err("its pickle calls something that is no function; it is damaged".to_owned());
    };
    let full = format!("{module}.{name}");
    let wrong = || format!("its pickle calls {full} with arguments that it does not take; it is damaged");
    let given = heap.items(arguments).ok_or_else(wrong)?;
    match (full.as_str(), given) {
        ("torch._utils._rebuild_tensor_v2", [.., metadata]) if given.len() == 7 && is_filled(heap, *metadata) => {
            Err("it holds a tensor that is kept negated or conjugated, which is not read".to_owned())
        }
        ("torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2", &[storage, offset, size, stride, ..]) => {
            let view = view(heap, storage, [offset, size, stride], None).ok_or_else(wrong)?;
            heap.add(Object::Tensor(Box::new(view)))
        }
        ("torch._utils._rebuild_tensor_v3", &[storage, offset, size, stride, _, _, dtype, ..]) => {
            let encoding = dtype_encoding(heap, dtype)?;
            let view = view(heap, storage, [offset, size, stride], Some(encoding)).ok_or_else(wrong)?;
            heap.add(Object::Tensor(Box::new(view)))
        }
        ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", &[tensor, ..])
            if matches!(heap.get(tensor), Some(Object::Tensor(_))) =>
        {
            Ok(tensor)
        }
        ("collections.OrderedDict", []) => heap.add(Object::Dict(Vec::new())),
        ("collections.OrderedDict", &[pairs]) => {
            // Python 2 gives the items as a list of pairs.
            let pair = |&pair: &Value| <[Value; 2]>::try_from(heap.items(pair)?).ok();
            let pairs: Option<Vec<_>> = heap.items(pairs).ok_or_else(wrong)?.iter().map(pair).collect();
            let items = pairs.ok_or_else(wrong)?.into_iter().map(|[key, value]| (key, value));
            heap.add(Object::Dict(items.collect()))
        }
        ("torch.Size", []) => heap.add(Object::Tuple(Box::default())),
        ("torch.Size", &[sizes]) if heap.items(sizes).is_some() => Ok(sizes),
        ("torch.device", [_] | [_, _]) => Ok(Value::None),
        _ if KNOWN.contains(&full.as_str()) => Err(wrong()),
        _ => Err(format!("refused: its pickle calls {full}; files of weights need nothing of the kind")),
    }
}

const KNOWN: [&str; 8] = [
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
];

fn is_filled(heap: &Heap, metadata: Value) -> bool {
    heap.dict(metadata).is_some_and(|items| !items.is_empty())
}

fn view(heap: &Heap, storage: Value, [offset, size, stride]: [Value; 3], encoding: Option<Encoding>) -> Option<View> {
    let Some(Object::Storage(storage)) = heap.get(storage) else { return None };
    let storage = **storage;
    let (shape, strides) = (sizes(heap, size)?, sizes(heap, stride)?);
    let fits = shape.len() == strides.len() && shape.len() <= MOST_AXES;
    let encoding = encoding.unwrap_or(storage.encoding);
    fits.then_some(View { storage, encoding, offset: whole(offset)?, shape, strides })
}

fn sizes(heap: &Heap, list: Value) -> Option<Box<[usize]>> {
    heap.items(list)?.iter().map(|&size| usize::try_from(whole(size)?).ok()).collect()
}

fn whole(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// The storage that a persistent id names: `("storage", type, key, device, numbers)`, in old files followed by `None` or
/// `(key, first number, numbers)` of a part of it.
///
/// # Errors
/// When it is something else.
pub(super) fn storage(heap: &mut Heap, id: Value) -> Result<Value, String> {
    const DAMAGED: &str = "its pickle refers to something that is no storage; it is damaged";
    let items = heap.items(id).unwrap_or_default();
    let kind = items.first().and_then(|&kind| heap.text(kind));
    if let (Some("module"), [_, class, ..]) = (kind, items) {
        return Ok(*class);
    }
    let (Some("storage"), [_, class, Value::At(key), _, whole_storage, part @ ..]) = (kind, items) else {
        return Err(DAMAGED.to_owned());
    };
    let Some(Object::Global(module, name)) = heap.get(*class) else { return Err(DAMAGED.to_owned()) };
    let encoding = storage_encoding(module, name)
        .ok_or_else(|| format!("it holds a storage of type {module}.{name}, which is not known"))?;
    let (Some(_), Some(count)) = (heap.text(Value::At(*key)), whole(*whole_storage)) else {
        return Err(DAMAGED.to_owned());
    };
    let mut storage = Storage { encoding, key: *key, whole: count, start: 0, count };
    match part {
        [] | [Value::None] => {}
        [part] => {
            let part = heap.items(*part).and_then(|part| match part {
                [_, start, count] => Some((whole(*start)?, whole(*count)?)),
                _ => None,
            });
            let inside = |(start, part): &(u64, u64)| start.checked_add(*part).is_some_and(|end| end <= count);
            (storage.start, storage.count) = part.filter(inside).ok_or(DAMAGED)?;
        }
        _ => return Err(DAMAGED.to_owned()),
    }
    heap.add(Object::Storage(Box::new(storage)))
}

fn storage_encoding(module: &str, name: &str) -> Option<Encoding> {
    if module != "torch" && module != "torch.storage" && module != "torch.cuda" {
        return None;
    }
    Some(match name {
        "FloatStorage" => Encoding::F32,
        "DoubleStorage" => Encoding::F64,
        "HalfStorage" => Encoding::F16,
        "BFloat16Storage" => Encoding::BF16,
        "LongStorage" => Encoding::I64,
        "IntStorage" => Encoding::I32,
        "ShortStorage" => Encoding::I16,
        "CharStorage" => Encoding::I8,
        "ByteStorage" | "UntypedStorage" => Encoding::U8,
        "BoolStorage" => Encoding::BOOL,
        "ComplexFloatStorage" => Encoding::unread("C64", 8),
        "ComplexDoubleStorage" => Encoding::unread("C128", 16),
        _ => return None,
    })
}

/// The type that `torch.NAME` stands for, where a tensor says it beside its storage.
fn dtype_encoding(heap: &Heap, dtype: Value) -> Result<Encoding, String> {
    let name = match heap.get(dtype) {
        Some(Object::Global(module, name)) if &**module == "torch" => name,
        _ => return Err("its pickle gives a tensor a type that is none; it is damaged".to_owned()),
    };
    Ok(match &**name {
        "float32" | "float" => Encoding::F32,
        "float64" | "double" => Encoding::F64,
        "float16" | "half" => Encoding::F16,
        "bfloat16" => Encoding::BF16,
        "uint8" => Encoding::U8,
        "int8" => Encoding::I8,
        "bool" => Encoding::BOOL,
        "int16" | "short" => Encoding::I16,
        "int32" | "int" => Encoding::I32,
        "int64" | "long" => Encoding::I64,
        "uint16" => Encoding::unread("U16", 2),
        "uint32" => Encoding::unread("U32", 4),
        "uint64" => Encoding::unread("U64", 8),
        "float8_e4m3fn" => Encoding::unread("F8_E4M3", 1),
        "float8_e5m2" => Encoding::unread("F8_E5M2", 1),
        other => return Err(format!("it holds a tensor of type torch.{other}, which is not known")),
    })
}
