//! Eight-bit codes for numbers between -1 and 1 whose magnitudes differ by orders (dynamic tree quantisation,
//! arXiv 1511.04561 and 2110.02861): seven decades down from 1, each cut evenly into twice as many steps as the one below.
//!
//! The signed map holds 0, 1 and 127 magnitudes with either sign; the unsigned one 0, 1 and 254 magnitudes. They are those
//! of bitsandbytes' `create_dynamic_map`. A number is coded as the nearest entry, as the lesser in magnitude of two
//! equally near; but in the unsigned map only 0 is coded as 0: a step divides by the root of what is coded there.

use std::sync::LazyLock;

/// Entries of a map.
pub const CODES: usize = 256;

/// Bits of a number below those that choose its cell: an octave has 2^7 cells, each with at most one border between codes.
const CELL: u32 = 16;
/// The cell of 2^-23, which is below the border between 0 and the least magnitude, 1.6e-7 in the unsigned map.
const FIRST: u32 = (127 - 23) << (23 - CELL);
/// Cells up to the one that begins at 1, rounded up to a power of two, so that a mask keeps an index inside.
const CELLS: usize = 4096;

/// A map and what finds the nearest entry of a number.
#[derive(Debug)]
pub struct DynamicMap {
    /// What each code stands for.
    pub values: [f32; CODES],
    /// The magnitude index at the beginning of each cell.
    start: [u32; CELLS],
    /// The greatest number that belongs to a magnitude index and not to the next.
    border: [f32; CODES],
    /// The code of 0; magnitude index `i` has the code `zero + i`.
    zero: u32,
    /// The greatest index of a negative number's magnitude.
    most_negative: u32,
    /// The least index of a number that is not 0.
    least: u32,
}

/// Codes of first moments.
pub static SIGNED: LazyLock<DynamicMap> = LazyLock::new(|| DynamicMap::new(true));
/// Codes of second moments, which are never negative.
pub static UNSIGNED: LazyLock<DynamicMap> = LazyLock::new(|| DynamicMap::new(false));

impl DynamicMap {
    fn new(signed: bool) -> Self {
        let magnitudes = magnitudes(signed);
        let zero = CODES - magnitudes.len();
        let values = std::array::from_fn(|code| match code >= zero {
            true => magnitudes[code - zero],
            // There is no -1: magnitude 1 has one code only.
            false => -magnitudes[zero - code],
        });
        let mut border = [f32::INFINITY; CODES];
        for (border, pair) in border.iter_mut().zip(magnitudes.windows(2)) {
            *border = (pair[0] + pair[1]) / 2.0;
        }
        let below = |x: f32| border.iter().filter(|&&border| x > border).count() as u32;
        let start = std::array::from_fn(|cell| below(f32::from_bits((cell as u32 + FIRST) << CELL)));
        let start = start.map(|index: u32| index.min(magnitudes.len() as u32 - 1));
        Self { values, start, border, zero: zero as u32, most_negative: zero as u32, least: u32::from(!signed) }
    }

    /// The code of the entry nearest to `x`, which lies between -1 and 1; of an unsigned map only 0 becomes 0.
    #[inline(always)]
    pub fn encode(&self, x: f32) -> u8 {
        let magnitude = x.abs();
        let cell = (magnitude.to_bits() >> CELL).saturating_sub(FIRST) as usize;
        let index = self.start[cell & (CELLS - 1)];
        let index = index + u32::from(magnitude > self.border[index as usize & (CODES - 1)]);
        let index = if magnitude > 0.0 { index.max(self.least) } else { index };
        let code = if x < 0.0 { self.zero - index.min(self.most_negative) } else { self.zero + index };
        code as u8
    }
}

/// The magnitudes of a map: 0, the middles of the steps of each decade, 1. Computed in f32, as torch computes them.
fn magnitudes(signed: bool) -> Vec<f32> {
    let mut magnitudes = vec![0.0];
    for decade in 0..7 {
        let steps = 1 << if signed { decade } else { decade + 1 };
        let scale = 10f64.powi(decade - 6);
        let border = |i: usize| (0.1 + 0.9 * i as f64 / steps as f64) as f32;
        magnitudes.extend((0..steps).map(|i| (scale * f64::from((border(i) + border(i + 1)) / 2.0)) as f32));
    }
    magnitudes.push(1.0);
    magnitudes
}

/// The same by looking at every entry.
pub mod plain {
    /// The code of the entry of `values` nearest to `x`, the lesser in magnitude of two equally near; not 0 for a positive
    /// number in an unsigned map.
    #[must_use]
    pub fn encode(values: &[f32; super::CODES], x: f64) -> u8 {
        if values[0] == 0.0 && x > 0.0 && x < values[1].into() {
            return 1;
        }
        let off = |code: usize| ((f64::from(values[code]) - x).abs(), values[code].abs());
        (0..super::CODES).min_by(|&a, &b| off(a).partial_cmp(&off(b)).expect("numbers")).expect("256 codes") as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_are_those_of_bitsandbytes() {
        // torch.linspace(0.1, 1, steps + 1), the means of neighbours, times 10^(decade - 6).
        let close = |a: f32, b: f64| (f64::from(a) - b).abs() <= 1e-6 * b.abs();
        let (signed, unsigned) = (&SIGNED.values, &UNSIGNED.values);
        assert!(signed.is_sorted() && unsigned.is_sorted());
        assert_eq!((signed[127], signed[255], unsigned[0], unsigned[255]), (0.0, 1.0, 0.0, 1.0));
        for (code, value) in [(254, 0.992_968_75), (128, 5.5e-7), (126, -5.5e-7), (0, -0.992_968_75)] {
            assert!(close(signed[code], value), "signed {code}: {}", signed[code]);
        }
        for (code, value) in [(254, 0.996_484_375), (1, 3.25e-7), (2, 7.75e-7), (127, 0.103_515_625)] {
            assert!(close(unsigned[code], value), "unsigned {code}: {}", unsigned[code]);
        }
    }

    #[test]
    fn every_number_gets_the_nearest_entry() {
        for map in [&SIGNED, &UNSIGNED] {
            // Every 9973rd float from 2^-30 to 1, and what lies just beside each border.
            let some = (0x3080_0000..=0x3f80_0000).step_by(9973).map(f32::from_bits);
            let beside = map.border.iter().filter(|x| x.is_finite());
            let beside = beside.flat_map(|x| [x.next_down(), *x, x.next_up()]);
            for x in some.chain(beside).chain([0.0, 1.0]) {
                for x in if map.zero > 0 { vec![x, -x] } else { vec![x] } {
                    let (got, nearest) = (map.encode(x), plain::encode(&map.values, f64::from(x)));
                    let off = |code: u8| (f64::from(map.values[code as usize]) - f64::from(x)).abs();
                    // Borders are rounded to f32, so what lies within a rounding of one may go either way.
                    assert!(
                        got == nearest || off(got) - off(nearest) <= 1.2e-7 * f64::from(x.abs()),
                        "{x}: {got} {nearest}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_entry_is_its_own_code() {
        for map in [&SIGNED, &UNSIGNED] {
            for code in 0..CODES {
                assert_eq!(map.encode(map.values[code]) as usize, code);
            }
        }
    }
}
