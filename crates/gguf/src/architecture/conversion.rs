//! What llama.cpp's converter does to the numbers of a tensor, and how to undo it.

use crate::error::GgufError;

/// How the numbers of a tensor differ on the two sides. Reorderings move whole rows, so that a caller can also move rows as
/// they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// They are the same.
    None,
    /// The rows of each head: Hugging Face rotates row i with row i + D/2, llama.cpp row 2i with row 2i + 1.
    PermuteHeads {
        /// Heads that the rows belong to.
        heads: usize,
    },
    /// GGUF holds the number plus one, Hugging Face adds the one itself.
    MinusOne,
    /// GGUF holds `[out, in]`, Hugging Face `[in, out]` (`Conv1D` of transformers).
    Transpose,
    /// GGUF holds the rows of all queries, of all keys and of all values; Hugging Face those of each head together.
    InterleaveQkv {
        /// Heads; as many of keys and values as of queries.
        heads: usize,
    },
}

/// The sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    HuggingFace,
    Gguf,
}

impl Conversion {
    /// Turns a tensor of a GGUF file into Hugging Face's: shape and numbers, both row-major.
    ///
    /// # Errors
    /// When the numbers do not fill the shape, or the shape is none that this conversion works on.
    pub fn to_hugging_face(self, shape: &[usize], numbers: Vec<f32>) -> Result<(Vec<usize>, Vec<f32>), GgufError> {
        self.to(Side::HuggingFace, shape, numbers)
    }

    /// Turns a tensor of Hugging Face into a GGUF file's; as [`Conversion::to_hugging_face`].
    ///
    /// # Errors
    /// As [`Conversion::to_hugging_face`].
    pub fn to_gguf(self, shape: &[usize], numbers: Vec<f32>) -> Result<(Vec<usize>, Vec<f32>), GgufError> {
        self.to(Side::Gguf, shape, numbers)
    }

    /// Where a row of Hugging Face's tensor stands in GGUF's: the same place unless rows are reordered.
    ///
    /// # Errors
    /// When the rows cannot be divided as this conversion does.
    pub fn row_in_gguf(self, rows: usize, row: usize) -> Result<usize, GgufError> {
        self.check_rows(&[rows])?;
        Ok(self.source_row(Side::HuggingFace, rows, row))
    }

    fn to(self, side: Side, shape: &[usize], mut numbers: Vec<f32>) -> Result<(Vec<usize>, Vec<f32>), GgufError> {
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        if len != Some(numbers.len()) {
            return Err(refuse(shape, format!("there are {} numbers for it", numbers.len())));
        }
        self.check_rows(shape)?;
        match self {
            Self::None => {}
            Self::MinusOne => {
                let add = if side == Side::Gguf { 1.0 } else { -1.0 };
                numbers.iter_mut().for_each(|number| *number += add);
            }
            Self::PermuteHeads { .. } | Self::InterleaveQkv { .. } => {
                let rows = shape[0];
                let width = numbers.len() / rows.max(1);
                let from = |row| &numbers[self.source_row(side, rows, row) * width..][..width];
                numbers = (0..rows).flat_map(from).copied().collect();
            }
            Self::Transpose => {
                let &[rows, cols] = shape else { return Err(refuse(shape, "it has no rows and columns".to_owned())) };
                numbers = (0..cols)
                    .flat_map(|col| (0..rows).map(move |row| row * cols + col))
                    .map(|at| numbers[at])
                    .collect();
                return Ok((vec![cols, rows], numbers));
            }
        }
        Ok((shape.to_owned(), numbers))
    }

    fn check_rows(self, shape: &[usize]) -> Result<(), GgufError> {
        let (parts, of) = match self {
            Self::PermuteHeads { heads } => (heads.checked_mul(2), "heads of two halves"),
            Self::InterleaveQkv { heads } => (heads.checked_mul(3), "heads of query, key and value"),
            Self::None | Self::MinusOne | Self::Transpose => return Ok(()),
        };
        match (shape.first(), parts) {
            (Some(rows), Some(parts)) if parts > 0 && rows.is_multiple_of(parts) => Ok(()),
            _ => Err(refuse(shape, format!("its rows should be {of}: {self:?}"))),
        }
    }

    /// Which row of the other side becomes this row of that side.
    fn source_row(self, side: Side, rows: usize, row: usize) -> usize {
        match self {
            // Of the halves and pairs of each head one is the transpose of the other.
            Self::PermuteHeads { heads } => {
                let (head, half) = (rows / heads, rows / heads / 2);
                let (start, inside) = (row / head * head, row % head);
                start
                    + match side {
                        Side::HuggingFace => inside % half * 2 + inside / half,
                        Side::Gguf => inside % 2 * half + inside / 2,
                    }
            }
            Self::InterleaveQkv { heads } => {
                let size = rows / heads / 3;
                let (block, inside) = (row / size, row % size);
                let block = match side {
                    Side::HuggingFace => block % 3 * heads + block / 3,
                    Side::Gguf => block % heads * 3 + block / heads,
                };
                block * size + inside
            }
            Self::None | Self::MinusOne | Self::Transpose => row,
        }
    }
}

fn refuse(shape: &[usize], why: String) -> GgufError {
    GgufError::Shape { shape: shape.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(conversion: Conversion, rows: usize) -> Vec<usize> {
        (0..rows).map(|row| conversion.row_in_gguf(rows, row).unwrap()).collect()
    }

    #[test]
    fn halves_become_pairs() {
        // Two heads of six rows.
        let permuted = Conversion::PermuteHeads { heads: 2 };
        assert_eq!(rows(permuted, 12), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
        let numbers: Vec<f32> = (0u8..12).map(f32::from).collect();
        let (_, gguf) = permuted.to_gguf(&[12], numbers.clone()).unwrap();
        assert_eq!(gguf, [0., 3., 1., 4., 2., 5., 6., 9., 7., 10., 8., 11.]);
        assert_eq!(permuted.to_hugging_face(&[12], gguf).unwrap(), (vec![12], numbers));
    }

    #[test]
    fn queries_keys_and_values_of_a_head_come_together() {
        // Two heads of two rows.
        let conversion = Conversion::InterleaveQkv { heads: 2 };
        assert_eq!(rows(conversion, 12), [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]);
    }

    #[test]
    fn each_conversion_undoes_itself() {
        let numbers: Vec<f32> = (0u8..96).map(|number| f32::from(number) / 8.0).collect();
        let conversions = [
            Conversion::None,
            Conversion::PermuteHeads { heads: 1 },
            Conversion::PermuteHeads { heads: 3 },
            Conversion::MinusOne,
            Conversion::Transpose,
            Conversion::InterleaveQkv { heads: 2 },
        ];
        for conversion in conversions {
            let (shape, gguf) = conversion.to_gguf(&[24, 4], numbers.clone()).unwrap();
            assert_eq!(
                conversion.to_hugging_face(&shape, gguf).unwrap(),
                (vec![24, 4], numbers.clone()),
                "{conversion:?}"
            );
        }
        let (shape, transposed) = Conversion::Transpose.to_gguf(&[2, 3], vec![1., 2., 3., 4., 5., 6.]).unwrap();
        assert_eq!((shape.as_slice(), transposed.as_slice()), ([3, 2].as_slice(), [1., 4., 2., 5., 3., 6.].as_slice()));
        assert_eq!(Conversion::MinusOne.to_hugging_face(&[1], vec![1.5]).unwrap().1, [0.5]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let error = |conversion: Conversion, shape: &[usize], len: usize| {
            conversion.to_hugging_face(shape, vec![0.0; len]).unwrap_err().to_string()
        };
        assert!(error(Conversion::None, &[2, 2], 5).contains("5 numbers"));
        assert!(error(Conversion::None, &[usize::MAX, 2], 5).contains("5 numbers"));
        assert!(error(Conversion::PermuteHeads { heads: 3 }, &[10, 1], 10).contains("heads of two halves"));
        assert!(error(Conversion::PermuteHeads { heads: 0 }, &[10, 1], 10).contains("heads of two halves"));
        assert!(error(Conversion::InterleaveQkv { heads: usize::MAX }, &[3], 3).contains("query, key and value"));
        assert!(error(Conversion::PermuteHeads { heads: 1 }, &[], 1).contains("heads of two halves"));
        assert!(error(Conversion::Transpose, &[4], 4).contains("no rows and columns"));
        assert_eq!(
            Conversion::PermuteHeads { heads: 2 }.to_gguf(&[0, 7], Vec::new()).unwrap(),
            (vec![0, 7], Vec::new())
        );
    }
}
