//! Merges of a BPE vocabulary whose file holds an order of tokens alone, as transformers derives them.
//!
//! The `tokenizers` crate joins pairs in the order of a list of pairs. SentencePiece and tiktoken join whatever makes the token
//! of the best score or the lowest rank; so each token is cut in two wherever both halves are tokens, and the pairs are listed in
//! the order of what they make (transformers, `convert_slow_tokenizer.py`: `generate_merges`, `TikTokenConverter`).

use std::cmp::Ordering;
use std::collections::HashMap;

/// A pair of tokens that becomes one, as ids and places in the list of tokens.
struct Merge {
    whole: u32,
    left: u32,
    right: u32,
}

/// All pairs that make one of `tokens` (text and id), token by token; pairs of one token in the order of their ids.
fn pairs<'t>(tokens: &[(&'t str, u32)], ids: &HashMap<&'t str, u32>) -> Vec<Merge> {
    let mut merges = Vec::new();
    for (text, whole) in tokens {
        let first = merges.len();
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                merges.push(Merge { whole: *whole, left, right });
            }
        }
        merges[first..].sort_by_key(|merge| (merge.left, merge.right));
    }
    merges
}

/// The merges of SentencePiece pieces: those of the highest score first; of equal ones, those whose left half is longest.
/// `pieces`: text, id and score of those that take part.
pub(super) fn by_score(pieces: &[(&str, u32, f32)]) -> Vec<(String, String)> {
    let tokens: Vec<(&str, u32)> = pieces.iter().map(|(text, id, _)| (*text, *id)).collect();
    let of_id: HashMap<u32, (&str, f32)> = pieces.iter().map(|(text, id, score)| (*id, (*text, *score))).collect();
    let chars = |id: u32| of_id[&id].0.chars().count();
    let ids = tokens.iter().copied().collect();
    let mut merges: Vec<(f32, usize, usize, Merge)> = pairs(&tokens, &ids)
        .into_iter()
        .map(|merge| (of_id[&merge.whole].1, chars(merge.left), chars(merge.right), merge))
        .collect();
    // Stable: what is equal in all three stays in the order of the pieces.
    merges.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then_with(|| (b.1, b.2).cmp(&(a.1, a.2))));
    let text = |id: u32| of_id[&id].0.to_owned();
    merges.into_iter().map(|(.., merge)| (text(merge.left), text(merge.right))).collect()
}

/// The merges of tokens whose id is their rank, lowest first.
pub(super) fn by_rank(tokens: &[(&str, u32)]) -> Vec<(String, String)> {
    let ids: HashMap<&str, u32> = tokens.iter().copied().collect();
    let text_of: HashMap<u32, &str> = tokens.iter().map(|(text, id)| (*id, *text)).collect();
    let mut merges = pairs(tokens, &ids);
    merges.sort_by_key(|merge| merge.whole);
    let text = |id: u32| text_of[&id].to_owned();
    merges.into_iter().map(|merge| (text(merge.left), text(merge.right))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(merges: &[(String, String)]) -> Vec<String> {
        merges.iter().map(|(left, right)| format!("{left} {right}")).collect()
    }

    #[test]
    fn the_best_score_comes_first_and_of_equal_ones_the_longest_left_half() {
        let pieces =
            [("a", 0, -9.0), ("b", 1, -8.0), ("ab", 2, -2.0), ("abab", 3, -1.0), ("aba", 4, -1.0), ("ba", 5, -3.0)];
        assert_eq!(joined(&by_score(&pieces)), ["aba b", "ab ab", "ab a", "a ba", "a b", "b a"]);
    }

    #[test]
    fn ranks_are_taken_in_order_and_characters_are_not_cut() {
        let tokens = [("燈", 0), ("會", 1), ("燈會", 2), ("燈會燈", 3)];
        assert_eq!(joined(&by_rank(&tokens)), ["燈 會", "燈會 燈"]);
    }
}
