//! The wire format of Protocol Buffers, read field by field and never past the bytes that are there.
//!
//! Enough for one message type (the SentencePiece model): varints, four- and eight-byte numbers, and byte strings, which are
//! borrowed. Format: <https://protobuf.dev/programming-guides/encoding/>.

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// Integers, booleans, enumerations.
    Varint(u64),
    /// `fixed32`, `float`.
    Four([u8; 4]),
    /// `fixed64`, `double`.
    Eight([u8; 8]),
    /// Strings, bytes, messages.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(format!("expected bytes, found {other:?}")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|e| format!("expected text: {e}"))
    }

    pub(super) fn float(self) -> Result<f32, String> {
        match self {
            Value::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            other => Err(format!("expected a float, found {other:?}")),
        }
    }

    /// An `int32` or an enumeration; negative ones are written as 64-bit two's complement.
    pub(super) fn int(self) -> Result<i32, String> {
        match self {
            Value::Varint(value) => {
                i32::try_from(value.cast_signed()).map_err(|_| format!("{value} is outside the 32-bit numbers"))
            }
            other => Err(format!("expected a number, found {other:?}")),
        }
    }

    pub(super) fn bool(self) -> Result<bool, String> {
        Ok(self.int()? != 0)
    }
}

/// The fields of a message in the order they stand.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or("a number is cut off")?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has more than ten bytes".into())
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let left = self.rest.len();
        let cut = || format!("a field of {length} bytes where {left} are left");
        let length = usize::try_from(length).map_err(|_| cut())?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("as many were taken"))
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), String> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Eight(self.array()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Four(self.array()?),
            other => return Err(format!("field {} has the unknown wire type {other}", key >> 3)),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    /// The field's number and its value. After a fault nothing more comes.
    type Item = Result<(u64, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_with_their_types() {
        let message = [0x0A, 2, b'h', b'i', 0x15, 0, 0, 0x80, 0x3F, 0x18, 0xAC, 0x02, 0x21, 1, 0, 0, 0, 0, 0, 0, 0];
        let fields: Vec<_> = Fields::of(&message).collect::<Result<_, _>>().unwrap();
        assert_eq!(fields[0], (1, Value::Bytes(b"hi")));
        assert_eq!(fields[0].1.text(), Ok("hi"));
        assert_eq!(fields[1].1.float(), Ok(1.0));
        assert_eq!(fields[2].1.int(), Ok(300));
        assert_eq!(fields[3], (4, Value::Eight([1, 0, 0, 0, 0, 0, 0, 0])));
    }

    #[test]
    fn minus_one_is_ten_bytes_of_ones() {
        let message = [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        let (_, value) = Fields::of(&message).next().unwrap().unwrap();
        assert_eq!(value.int(), Ok(-1));
    }

    #[test]
    fn what_runs_over_the_end_is_a_fault_and_the_last() {
        for message in [&[0x0A, 200, 1, b'h'][..], &[0x15, 0, 0], &[0x08], &[0x0B], &[0x80; 12]] {
            let mut fields = Fields::of(message);
            assert!(fields.next().unwrap().is_err(), "{message:?}");
            assert!(fields.next().is_none(), "{message:?}");
        }
    }
}
