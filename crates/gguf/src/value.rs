//! Metadata values: numbers, texts, arrays, and arrays of arrays.
//!
//! Texts and arrays stay as the file holds them: what is mapped is not copied, and what is asked for is decoded then. An
//! array of a vocabulary's tokens so costs nothing until somebody walks over it.

use std::fmt::{self, Display};

use crate::bytes::{Bytes, Cursor, Found};

/// Arrays inside arrays inside arrays, and no further; llama.cpp itself has none.
const DEEPEST: usize = 8;

/// What a value is, numbered as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ValueKind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

/// A value of metadata.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(Text),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// A text, which should be UTF-8 and is checked where it is used as such.
#[derive(Clone, Debug, PartialEq)]
pub struct Text(Bytes);

/// Values of one kind, encoded as the file holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    kind: ValueKind,
    len: usize,
    bytes: Bytes,
}

impl ValueKind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Text,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read(cursor: &mut Cursor<'_>, what: impl Display) -> Found<Self> {
        let number = cursor.u32(format_args!("the type of {what}"))?;
        Self::ALL.get(number as usize).copied().ok_or_else(|| {
            format!("is broken, or newer than this program: {what} has a value of type {number}, which is unknown")
        })
    }

    /// Bytes of one value; the least it can take where that depends on the value.
    fn size(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

impl Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

impl Value {
    /// Reads kind and value, all of it checked.
    pub(crate) fn read(cursor: &mut Cursor<'_>, what: &impl Display) -> Found<Self> {
        let kind = ValueKind::read(cursor, what)?;
        Self::of_kind(kind, cursor, what, 0)
    }

    fn of_kind(kind: ValueKind, cursor: &mut Cursor<'_>, what: &impl Display, depth: usize) -> Found<Self> {
        Ok(match kind {
            ValueKind::U8 => Self::U8(u8::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::I8 => Self::I8(i8::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::U16 => Self::U16(u16::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::I16 => Self::I16(i16::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::U32 => Self::U32(cursor.u32(what)?),
            ValueKind::I32 => Self::I32(i32::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::F32 => Self::F32(f32::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::U64 => Self::U64(cursor.u64(what)?),
            ValueKind::I64 => Self::I64(i64::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::F64 => Self::F64(f64::from_le_bytes(cursor.fixed(what)?)),
            ValueKind::Bool => match cursor.fixed(what)? {
                [byte @ (0 | 1)] => Self::Bool(byte == 1),
                [byte] => return Err(format!("is broken: {what} is a bool of the byte {byte}")),
            },
            ValueKind::Text => {
                let range = cursor.text(what)?;
                Self::Text(Text(cursor.bytes.slice(range)))
            }
            ValueKind::Array => Self::Array(Array::read(cursor, what, depth)?),
        })
    }

    /// What it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::U8(_) => ValueKind::U8,
            Self::I8(_) => ValueKind::I8,
            Self::U16(_) => ValueKind::U16,
            Self::I16(_) => ValueKind::I16,
            Self::U32(_) => ValueKind::U32,
            Self::I32(_) => ValueKind::I32,
            Self::F32(_) => ValueKind::F32,
            Self::Bool(_) => ValueKind::Bool,
            Self::Text(_) => ValueKind::Text,
            Self::Array(_) => ValueKind::Array,
            Self::U64(_) => ValueKind::U64,
            Self::I64(_) => ValueKind::I64,
            Self::F64(_) => ValueKind::F64,
        }
    }

    /// Any whole number that an i64 can hold.
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::U8(number) => number.into(),
            Self::I8(number) => number.into(),
            Self::U16(number) => number.into(),
            Self::I16(number) => number.into(),
            Self::U32(number) => number.into(),
            Self::I32(number) => number.into(),
            Self::I64(number) => number,
            Self::U64(number) => return i64::try_from(number).ok(),
            _ => return None,
        })
    }

    /// Any whole number from 0 on.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U64(number) => Some(number),
            _ => self.as_i64().and_then(|number| u64::try_from(number).ok()),
        }
    }

    /// Any number; whole ones above 2^53 are rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(number) => Some(number.into()),
            Self::F64(number) => Some(number),
            Self::U64(number) => Some(number as f64),
            _ => self.as_i64().map(|number| number as f64),
        }
    }

    /// A bool.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A text that is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_str(),
            _ => None,
        }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Kind and value, as [`Value::read`] reads them.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        to.extend((self.kind() as u32).to_le_bytes());
        self.write_bare(to);
    }

    fn write_bare(&self, to: &mut Vec<u8>) {
        match self {
            Self::U8(number) => to.extend(number.to_le_bytes()),
            Self::I8(number) => to.extend(number.to_le_bytes()),
            Self::U16(number) => to.extend(number.to_le_bytes()),
            Self::I16(number) => to.extend(number.to_le_bytes()),
            Self::U32(number) => to.extend(number.to_le_bytes()),
            Self::I32(number) => to.extend(number.to_le_bytes()),
            Self::F32(number) => to.extend(number.to_le_bytes()),
            Self::Bool(value) => to.push((*value).into()),
            Self::Text(text) => write_text(text.as_bytes(), to),
            Self::Array(array) => {
                to.extend((array.kind as u32).to_le_bytes());
                to.extend((array.len as u64).to_le_bytes());
                to.extend(array.bytes.as_slice());
            }
            Self::U64(number) => to.extend(number.to_le_bytes()),
            Self::I64(number) => to.extend(number.to_le_bytes()),
            Self::F64(number) => to.extend(number.to_le_bytes()),
        }
    }
}

/// Length and bytes, as [`Cursor::text`] reads them.
pub(crate) fn write_text(text: &[u8], to: &mut Vec<u8>) {
    to.extend((text.len() as u64).to_le_bytes());
    to.extend(text);
}

impl Text {
    /// As it stands in the file.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// If it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }
}

impl Array {
    fn read(cursor: &mut Cursor<'_>, what: &impl Display, depth: usize) -> Found<Self> {
        if depth == DEEPEST {
            return Err(format!("is broken: in {what} arrays are nested more than {DEEPEST} deep"));
        }
        let kind = ValueKind::read(cursor, format_args!("the values of {what}"))?;
        let count = cursor.u64(format_args!("the length of {what}"))?;
        let len = cursor.expect(count, kind.size(), format_args!("values of {what}"))?;
        let start = cursor.at;
        match kind {
            ValueKind::Text | ValueKind::Array | ValueKind::Bool => {
                for _ in 0..len {
                    Value::of_kind(kind, cursor, what, depth + 1)?;
                }
            }
            _ => {
                cursor.take(count * kind.size(), what)?;
            }
        }
        Ok(Self { kind, len, bytes: cursor.bytes.slice(start..cursor.at) })
    }

    /// What its values are.
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its values, decoded one by one.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let mut cursor = Cursor::new(&self.bytes, 0);
        (0..self.len).map(move |_| {
            let value = Value::of_kind(self.kind, &mut cursor, &"a value", 0);
            value.expect("the array was walked over when it was made")
        })
    }

    /// Its texts, if that is what it holds.
    pub fn texts(&self) -> Option<impl Iterator<Item = &[u8]> + '_> {
        let mut cursor = Cursor::new(&self.bytes, 0);
        (self.kind == ValueKind::Text).then(|| {
            (0..self.len).map(move |_| {
                let range = cursor.text("a value").expect("the array was walked over when it was made");
                &self.bytes.as_slice()[range]
            })
        })
    }

    /// An array of texts.
    pub fn of_texts<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        let (mut len, mut bytes) = (0, Vec::new());
        for text in texts {
            write_text(text.as_ref(), &mut bytes);
            len += 1;
        }
        Self { kind: ValueKind::Text, len, bytes: bytes.into() }
    }

    /// An array of values, which must all be of the kind given.
    ///
    /// # Panics
    /// If one is not.
    pub fn of_values(kind: ValueKind, values: impl IntoIterator<Item = Value>) -> Self {
        let (mut len, mut bytes) = (0, Vec::new());
        for value in values {
            assert_eq!(value.kind(), kind, "an array holds values of one kind");
            value.write_bare(&mut bytes);
            len += 1;
        }
        Self { kind, len, bytes: bytes.into() }
    }
}

macro_rules! numbers {
    ($($number:ty, $kind:ident;)*) => { $(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::$kind(number)
            }
        }

        impl From<&[$number]> for Value {
            fn from(numbers: &[$number]) -> Self {
                Self::Array(Array::of_values(ValueKind::$kind, numbers.iter().map(|&number| number.into())))
            }
        }
    )* };
}

numbers! { u8, U8; i8, I8; u16, U16; i16, I16; u32, U32; i32, I32; f32, F32; bool, Bool; u64, U64; i64, I64; f64, F64; }

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Text(text.as_bytes().to_vec().into()))
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}
