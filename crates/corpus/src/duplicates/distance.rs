//! Edit distance by bits: Myers 1999, "A fast bit-vector algorithm for approximate string matching", in blocks of 64 (Hyyrö 2003).

use std::collections::HashMap;

/// The fewest letters that must be put in, taken out or changed to make one text of the other; `None` where it is more than `most`.
///
/// Takes about n m / 64 steps for n and m letters.
#[must_use]
pub fn edit_distance(a: &[char], b: &[char], most: usize) -> Option<usize> {
    // What both begin and end with costs nothing.
    let begin = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[begin..], &b[begin..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > most {
        return None;
    }
    if short.is_empty() {
        return Some(long.len());
    }
    let distance = Columns::new(short).distance(long, most)?;
    (distance <= most).then_some(distance)
}

/// A column of the table of distances, as the differences between its cells: bits of +1 and of -1, downwards.
struct Columns {
    /// Of each letter of the pattern, where it stands.
    places: HashMap<char, Vec<u64>>,
    plus: Vec<u64>,
    minus: Vec<u64>,
    /// The bit of the last row, in the last block.
    last: u64,
    length: usize,
}

impl Columns {
    fn new(pattern: &[char]) -> Self {
        let blocks = pattern.len().div_ceil(64);
        let mut places: HashMap<char, Vec<u64>> = HashMap::new();
        for (i, letter) in pattern.iter().enumerate() {
            places.entry(*letter).or_insert_with(|| vec![0; blocks])[i / 64] |= 1 << (i % 64);
        }
        let last = 1 << ((pattern.len() - 1) % 64);
        Columns { places, plus: vec![!0; blocks], minus: vec![0; blocks], last, length: pattern.len() }
    }

    fn distance(mut self, text: &[char], most: usize) -> Option<usize> {
        let blocks = self.plus.len();
        let nowhere = vec![0; blocks];
        let mut distance = self.length;
        for (column, letter) in text.iter().enumerate() {
            let places = self.places.get(letter).unwrap_or(&nowhere);
            // The first row of the table grows by one from column to column.
            let (mut plus_in, mut minus_in) = (1u64, 0u64);
            for (block, here) in places.iter().enumerate() {
                let (plus, minus) = (self.plus[block], self.minus[block]);
                let equal = here | minus_in;
                let diagonal = ((equal & plus).wrapping_add(plus) ^ plus) | equal | minus;
                let horizontal_plus = minus | !(diagonal | plus);
                let horizontal_minus = plus & diagonal;
                if block + 1 == blocks {
                    distance += usize::from(horizontal_plus & self.last != 0);
                    distance -= usize::from(horizontal_minus & self.last != 0);
                }
                let plus_out = horizontal_plus >> 63;
                let minus_out = horizontal_minus >> 63;
                let shifted_plus = (horizontal_plus << 1) | plus_in;
                let shifted_minus = (horizontal_minus << 1) | minus_in;
                let vertical = here | minus;
                self.plus[block] = shifted_minus | !(vertical | shifted_plus);
                self.minus[block] = shifted_plus & vertical;
                (plus_in, minus_in) = (plus_out, minus_out);
            }
            // Each column left can take at most one away.
            if distance > most + (text.len() - column - 1) {
                return None;
            }
        }
        Some(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn plain(a: &[char], b: &[char]) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let cell = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = row[j + 1];
                row[j + 1] = cell;
            }
        }
        row[b.len()]
    }

    #[test]
    fn it_equals_the_table_of_distances() {
        let mut stream = Stream::new(3, 0, 0);
        let alphabet: Vec<char> = "abcd甲乙".chars().collect();
        for round in 0..400 {
            let length = |stream: &mut Stream| stream.below(if round % 4 == 0 { 300 } else { 70 });
            let (n, m) = (length(&mut stream), length(&mut stream));
            let mut text = |n: usize| -> Vec<char> { (0..n).map(|_| stream.pick(&alphabet)).collect() };
            let (a, b) = (text(n), text(m));
            let expected = plain(&a, &b);
            assert_eq!(edit_distance(&a, &b, usize::MAX >> 1), Some(expected), "{a:?} {b:?}");
            assert_eq!(edit_distance(&a, &b, expected), Some(expected));
            if expected > 0 {
                assert_eq!(edit_distance(&a, &b, expected - 1), None);
            }
        }
    }
}
