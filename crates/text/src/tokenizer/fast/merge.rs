//! Merging the bytes of a piece, with a memory of pieces met before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock};

use serde::Deserialize;
use tokenizers::models::bpe::BPE;

use super::super::byte_level::byte_characters;

/// Pieces of at most so many bytes are remembered; longer ones hardly come again.
const LONGEST_REMEMBERED: usize = 64;

/// A part of the memory is emptied when it holds so many pieces; all parts together then take some ten megabytes.
const PIECES_A_PART: usize = 8192;

const PARTS: usize = 16;

/// Pieces that came before, and what they became.
type Merged = HashMap<Box<[u8]>, Box<[u32]>>;

/// The merges of a byte-level BPE vocabulary over ids.
#[derive(Debug)]
pub(super) struct Merger {
    characters: [char; 256],
    /// Tokens by their text, of a vocabulary whose tokens are taken as they stand where a whole piece is one.
    whole: Option<HashMap<String, u32>>,
    bytes: [u32; 256],
    /// Pairs of ids to their rank and what they become.
    pairs: HashMap<u64, (u32, u32), BuildHasherDefault<PairHasher>>,
    /// How many bytes each id stands for; 0 for ids that merging cannot give.
    lengths: Vec<usize>,
    memory: [RwLock<Merged>; PARTS],
}

/// The part of a model's JSON that its methods do not give.
#[derive(Deserialize)]
struct Described {
    merges: Vec<(String, String)>,
}

impl Merger {
    /// `None` for a model that merges otherwise than bytes by rank.
    pub(super) fn of(bpe: &BPE) -> Option<Self> {
        let is_some = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let plain = bpe.dropout.is_none_or(|p| p == 0.0)
            && !is_some(&bpe.continuing_subword_prefix)
            && !is_some(&bpe.end_of_word_suffix);
        if !plain {
            return None;
        }
        let vocab = bpe.get_vocab();
        // Ids are places in a list here; and a vocabulary with gaps is complained of on standard output when its JSON is made.
        let ids: HashSet<u32> = vocab.values().copied().collect();
        if ids.len() != vocab.len() || ids.iter().any(|id| *id as usize >= ids.len()) {
            return None;
        }
        let characters = byte_characters();
        let mut bytes = [0; 256];
        for (id, character) in bytes.iter_mut().zip(characters) {
            *id = *vocab.get(character.encode_utf8(&mut [0; 4]) as &str)?;
        }
        let described: Described = serde_json::from_str(&serde_json::to_string(bpe).ok()?).ok()?;
        let mut pairs = HashMap::with_capacity_and_hasher(described.merges.len(), BuildHasherDefault::default());
        let mut lengths = vec![0; vocab.len()];
        for id in bytes {
            lengths[id as usize] = 1;
        }
        for ((left, right), rank) in described.merges.iter().zip(0..) {
            let whole = *vocab.get(&format!("{left}{right}"))?;
            pairs.insert(pair(*vocab.get(left)?, *vocab.get(right)?), (rank, whole));
            lengths[whole as usize] = left.chars().count() + right.chars().count();
        }
        let whole = bpe.ignore_merges.then_some(vocab);
        Some(Merger { characters, whole, bytes, pairs, lengths, memory: Default::default() })
    }

    /// Appends the tokens of a piece.
    pub(super) fn append(&self, piece: &[u8], ids: &mut Vec<u32>) {
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return };
        if piece.len() > LONGEST_REMEMBERED {
            ids.extend(self.tokens(piece));
            return;
        }
        let part = &self.memory[(usize::from(*first) + 7 * usize::from(*last) + 3 * piece.len()) % PARTS];
        // A thread that panicked elsewhere leaves whole entries.
        if let Some(known) = part.read().unwrap_or_else(PoisonError::into_inner).get(piece) {
            ids.extend_from_slice(known);
            return;
        }
        let tokens = self.tokens(piece);
        ids.extend_from_slice(&tokens);
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= PIECES_A_PART {
            part.clear();
        }
        part.insert(piece.into(), tokens.into());
    }

    /// How many bytes of a piece of `piece` bytes the token stands for, where merging gave it; the whole piece where it was taken
    /// as it stands.
    pub(super) fn length(&self, id: u32, piece: usize, tokens: usize) -> usize {
        if tokens == 1 { piece } else { self.lengths.get(id as usize).copied().unwrap_or(0) }
    }

    fn tokens(&self, piece: &[u8]) -> Vec<u32> {
        if let Some(whole) = &self.whole {
            let written: String = piece.iter().map(|byte| self.characters[*byte as usize]).collect();
            if let Some(id) = whole.get(&written) {
                return vec![*id];
            }
        }
        self.merge(piece)
    }

    /// Joins the pair of the lowest rank, the first of equal ones, until no pair is left that can be joined.
    fn merge(&self, piece: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> = piece.iter().map(|byte| self.bytes[*byte as usize]).collect();
        let length = ids.len();
        // Neighbours of the symbols that are left; a symbol that was joined to its left neighbour is GONE.
        let mut next: Vec<usize> = (1..=length).collect();
        let mut previous: Vec<usize> = (0..length).map(|i| i.wrapping_sub(1)).collect();
        let mut queue = BinaryHeap::with_capacity(length);
        let find = |ids: &[u32], left: usize, right: usize| {
            self.pairs.get(&pair(ids[left], ids[right])).map(|(rank, whole)| Reverse((*rank, left, *whole)))
        };
        queue.extend((1..length).filter_map(|right| find(&ids, right - 1, right)));
        while let Some(Reverse((_, left, whole))) = queue.pop() {
            let right = next[left];
            // What was queued may have been joined otherwise since.
            if ids[left] == GONE || right >= length {
                continue;
            }
            if self.pairs.get(&pair(ids[left], ids[right])).is_none_or(|(_, now)| *now != whole) {
                continue;
            }
            ids[left] = whole;
            ids[right] = GONE;
            next[left] = next[right];
            if next[left] < length {
                previous[next[left]] = left;
                queue.extend(find(&ids, left, next[left]));
            }
            if previous[left] < length {
                queue.extend(find(&ids, previous[left], left));
            }
        }
        ids.retain(|id| *id != GONE);
        ids
    }
}

/// No id: vocabularies end below.
const GONE: u32 = u32::MAX;

fn pair(left: u32, right: u32) -> u64 {
    (u64::from(left) << 32) | u64::from(right)
}

/// Spreads the bits of two ids; they are no secret and no attacker's choice within one vocabulary.
#[derive(Debug, Default)]
struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
