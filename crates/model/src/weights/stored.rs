//! A tensor in its file: the type of its numbers, and where they lie.
//!
//! What a format says of a tensor ends here as a [`Stored`]; mapping, reading in pieces and packing are the same for all
//! formats. Numbers lie in blocks of an [`Encoding`] (of one number, for plain types) and in the runs of a [`Place`]: a
//! transposed view in a pickle, or rows in another order, are read by the same loop as a tensor that lies end to end.

use std::ops::Range;

use half::{bf16, f16};

/// A tensor in its file.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its shape.
    pub(crate) shape: Vec<usize>,
    /// The type of its numbers.
    pub(crate) encoding: Encoding,
    /// Where they lie.
    pub(crate) place: Place,
    /// What is done to them once they are read.
    pub(crate) change: Change,
}

impl Stored {
    /// Whether the bytes stand end to end and need no change.
    pub(crate) fn lies_as_it_is_used(&self) -> bool {
        self.place.is_flat() && self.change == Change::None
    }
}

/// What is done to a tensor's numbers once they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    #[default]
    None,
    /// One is taken from each.
    LessOne,
    /// The file holds the columns of the shape as rows.
    Transposed,
}

/// Turns whole blocks of bytes into numbers behind those that are there.
pub(crate) type Decode = fn(&[u8], &mut Vec<f32>);

/// How numbers are held in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding {
    /// What errors call it; no two have the same.
    pub(crate) name: &'static str,
    /// Numbers of a block.
    pub(crate) numbers: usize,
    /// Bytes of a block.
    pub(crate) bytes: usize,
    /// How they are read; none for what no weight is held in.
    pub(crate) decode: Option<Decode>,
}

impl Encoding {
    pub(crate) const F32: Self = Self::plain("F32", 4, decode_f32);
    pub(crate) const BF16: Self = Self::plain("BF16", 2, decode_bf16);
    pub(crate) const F16: Self = Self::plain("F16", 2, decode_f16);
    pub(crate) const F64: Self = Self::plain("F64", 8, decode_f64);
    pub(crate) const BOOL: Self = Self::unread("BOOL", 1);
    pub(crate) const U8: Self = Self::unread("U8", 1);
    pub(crate) const I8: Self = Self::unread("I8", 1);
    pub(crate) const I16: Self = Self::unread("I16", 2);
    pub(crate) const I32: Self = Self::unread("I32", 4);
    pub(crate) const I64: Self = Self::unread("I64", 8);

    const fn plain(name: &'static str, bytes: usize, decode: Decode) -> Self {
        Self { name, numbers: 1, bytes, decode: Some(decode) }
    }

    /// A type that is known, so that files may hold it, and not read.
    pub(crate) const fn unread(name: &'static str, bytes: usize) -> Self {
        Self { name, numbers: 1, bytes, decode: None }
    }

    pub(crate) fn is(self, other: Self) -> bool {
        self.name == other.name
    }
}

pub(crate) fn decode_f32(bytes: &[u8], to: &mut Vec<f32>) {
    to.extend(bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)));
}

fn decode_bf16(bytes: &[u8], to: &mut Vec<f32>) {
    to.extend(bytes.as_chunks().0.iter().map(|&two| bf16::from_le_bytes(two).to_f32()));
}

fn decode_f16(bytes: &[u8], to: &mut Vec<f32>) {
    to.extend(bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).to_f32()));
}

fn decode_f64(bytes: &[u8], to: &mut Vec<f32>) {
    to.extend(bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight) as f32));
}

/// The bytes of a tensor in the order of its numbers: runs that lie end to end, and axes that say where each begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    start: u64,
    /// Bytes of a run.
    run: usize,
    /// The axes outside of a run, the slowest first: how many steps, and the bytes of a step.
    axes: Vec<(usize, usize)>,
}

impl Place {
    /// `bytes` end to end, from `start` of the file on.
    pub(crate) fn flat(start: u64, bytes: usize) -> Self {
        Self { start, run: bytes, axes: Vec::new() }
    }

    /// A view as torch has it: `strides` are counted in elements of `element` bytes. Nothing when a size overflows.
    pub(crate) fn of_view(start: u64, element: usize, shape: &[usize], strides: &[usize]) -> Option<Self> {
        let mut place = Self::flat(start, element);
        if shape.contains(&0) {
            place.run = 0;
            return Some(place);
        }
        for (&count, &stride) in shape.iter().zip(strides).rev().filter(|(count, _)| **count != 1) {
            let step = stride.checked_mul(element)?;
            if place.axes.is_empty() && step == place.run {
                place.run = place.run.checked_mul(count)?;
            } else {
                place.axes.push((count, step));
            }
        }
        place.axes.reverse();
        // Later sums and products are parts of these.
        place.axes.iter().try_fold(place.run, |bytes, (count, _)| bytes.checked_mul(*count))?;
        let span = place
            .axes
            .iter()
            .try_fold(place.run, |span, (count, step)| span.checked_add((count - 1).checked_mul(*step)?))?;
        start.checked_add(span as u64)?;
        Some(place)
    }

    /// How many bytes its numbers take.
    pub(crate) fn bytes(&self) -> usize {
        self.axes.iter().fold(self.run, |bytes, (count, _)| bytes * count)
    }

    /// From the first byte in the file to behind the last; what lies between may be others'.
    pub(crate) fn span(&self) -> Range<u64> {
        let bytes = self.axes.iter().fold(self.run, |span, (count, step)| span + (count - 1) * step);
        self.start..self.start + bytes as u64
    }

    /// Whether the numbers lie end to end.
    pub(crate) fn is_flat(&self) -> bool {
        self.axes.is_empty()
    }

    /// Puts a part of the bytes, in the order of the numbers, behind those of `to`; `span` holds those of [`Place::span`].
    pub(crate) fn gather(&self, span: &[u8], part: Range<usize>, to: &mut Vec<u8>) {
        let mut at = part.start;
        while at < part.end {
            let inside = at % self.run;
            let (mut run, mut from) = (at / self.run, inside);
            for (count, step) in self.axes.iter().rev() {
                from += run % count * step;
                run /= count;
            }
            let length = (self.run - inside).min(part.end - at);
            to.extend_from_slice(&span[from..from + length]);
            at += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(place: &Place, file: &[u8], piece: usize) -> Vec<u8> {
        let span = place.span();
        let span = &file[span.start as usize..span.end as usize];
        let mut all = Vec::new();
        for at in (0..place.bytes()).step_by(piece) {
            place.gather(span, at..(at + piece).min(place.bytes()), &mut all);
        }
        all
    }

    #[test]
    fn a_view_is_gathered_in_the_order_of_its_numbers_whatever_the_pieces() {
        let file: Vec<u8> = (0..100).collect();
        // Shape, strides, and the order of the elements.
        let cases: [(&[usize], &[usize], &[u8]); 7] = [
            (&[2, 3], &[3, 1], &[0, 1, 2, 3, 4, 5]),
            (&[3, 2], &[1, 3], &[0, 3, 1, 4, 2, 5]),
            (&[2, 2], &[5, 1], &[0, 1, 5, 6]),
            (&[2, 1, 2], &[2, 77, 1], &[0, 1, 2, 3]),
            (&[2, 3], &[0, 1], &[0, 1, 2, 0, 1, 2]),
            (&[], &[], &[0]),
            (&[2, 2, 2], &[4, 1, 2], &[0, 2, 1, 3, 4, 6, 5, 7]),
        ];
        for (shape, strides, order) in cases {
            for element in [1, 2, 4] {
                let place = Place::of_view(10, element, shape, strides).unwrap();
                let bytes = |&at: &u8| (0..element as u8).map(move |byte| 10 + at * element as u8 + byte);
                let expected: Vec<u8> = order.iter().flat_map(bytes).collect();
                for piece in [1, 3, 4, 1000] {
                    assert_eq!(gathered(&place, &file, piece), expected, "{shape:?} {strides:?} of {element} bytes");
                }
            }
        }
    }

    #[test]
    fn a_view_that_lies_end_to_end_is_flat_and_an_empty_one_has_no_bytes() {
        assert_eq!(Place::of_view(8, 4, &[2, 1, 3], &[3, 9, 1]), Some(Place::flat(8, 24)));
        assert!(!Place::of_view(8, 4, &[3, 2], &[1, 3]).unwrap().is_flat());
        let empty = Place::of_view(8, 4, &[3, 0], &[usize::MAX, 1]).unwrap();
        assert_eq!((empty.bytes(), empty.span()), (0, 8..8));
    }

    #[test]
    fn sizes_that_overflow_make_no_place() {
        for (start, shape, strides) in [
            (0, [usize::MAX, 2], [2, 1]),
            (0, [2, 2], [usize::MAX / 4 + 1, 1]),
            (0, [1 << 40, 1 << 40], [0, 0]),
            (0, [1 << 40, 3], [1 << 40, 1]),
            (u64::MAX, [1, 1], [1, 1]),
        ] {
            assert_eq!(Place::of_view(start, 4, &shape, &strides), None, "{shape:?} {strides:?}");
        }
    }
}
