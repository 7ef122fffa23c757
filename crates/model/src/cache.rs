//! The key-value cache: rows of keys and values in blocks that sequences share.
//!
//! A sequence is a list of blocks. A fork shares all of them; whoever writes to a shared block first copies it.
//! So beams hold their prompt once, and prompts that begin alike hold that beginning once.

use std::ops::Range;

use luthier_engine::{Device, Tensor, Var};

use crate::config::Config;
use crate::decoder::KeysAndValues;

/// Rows of a block.
const BLOCK: usize = 16;

#[derive(Debug)]
pub(crate) struct KvCache {
    /// Keys and values of each layer, `[capacity, K*D]`.
    layers: Vec<[Tensor; 2]>,
    /// How many sequences hold each block.
    holders: Vec<u32>,
    free: Vec<u32>,
    sequences: Vec<Option<Sequence>>,
    device: Device,
}

#[derive(Clone, Debug, Default)]
struct Sequence {
    blocks: Vec<u32>,
    /// What lies in them; its length is the sequence's.
    tokens: Vec<u32>,
}

impl KvCache {
    pub(crate) fn new(device: &Device, config: &Config) -> Self {
        let empty = || Tensor::empty(device, 0, config.key_width());
        let layers = (0..config.num_hidden_layers).map(|_| [empty(), empty()]).collect();
        Self { layers, holders: Vec::new(), free: Vec::new(), sequences: Vec::new(), device: device.clone() }
    }

    pub(crate) fn start(&mut self) -> usize {
        self.place(Sequence::default())
    }

    pub(crate) fn fork(&mut self, from: usize) -> usize {
        let copy = self.sequence(from).clone();
        for &block in &copy.blocks {
            self.holders[block as usize] += 1;
        }
        self.place(copy)
    }

    pub(crate) fn free(&mut self, sequence: usize) {
        let gone = self.sequences[sequence].take().expect("a sequence is freed once");
        for block in gone.blocks {
            self.release(block);
        }
    }

    /// Empties a sequence; returns the tokens it had.
    pub(crate) fn clear(&mut self, index: usize) -> Vec<u32> {
        let sequence = std::mem::take(self.sequences[index].as_mut().expect("the sequence is alive"));
        for block in sequence.blocks {
            self.release(block);
        }
        sequence.tokens
    }

    pub(crate) fn is_alive(&self, sequence: usize) -> bool {
        self.sequences.get(sequence).is_some_and(Option::is_some)
    }

    pub(crate) fn length(&self, sequence: usize) -> usize {
        self.sequence(sequence).tokens.len()
    }

    fn place(&mut self, sequence: Sequence) -> usize {
        match self.sequences.iter().position(Option::is_none) {
            Some(index) => {
                self.sequences[index] = Some(sequence);
                index
            }
            None => {
                self.sequences.push(Some(sequence));
                self.sequences.len() - 1
            }
        }
    }

    fn sequence(&self, index: usize) -> &Sequence {
        self.sequences[index].as_ref().expect("the sequence is alive")
    }

    fn release(&mut self, block: u32) {
        let holders = &mut self.holders[block as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(block);
        }
    }

    /// Lets an empty sequence hold the blocks of another one whose tokens are the same, where there is one. Returns how
    /// many of `tokens` it has then: whole blocks, and never the last token, whose logits have to be computed.
    pub(crate) fn share_prefix(&mut self, index: usize, tokens: &[u32]) -> usize {
        if self.length(index) > 0 {
            return 0;
        }
        let common = |other: &Sequence| other.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let longest = self.sequences.iter().flatten().max_by_key(|other| common(other)).expect("the sequence is there");
        let blocks = common(longest).min(tokens.len().saturating_sub(1)) / BLOCK;
        let shared = Sequence { blocks: longest.blocks[..blocks].to_vec(), tokens: tokens[..blocks * BLOCK].to_vec() };
        for &block in &shared.blocks {
            self.holders[block as usize] += 1;
        }
        self.sequences[index] = Some(shared);
        blocks * BLOCK
    }

    /// Takes back all tokens of a sequence but its first `length`, and gives up the blocks behind them.
    pub(crate) fn truncate(&mut self, index: usize, length: usize) {
        let sequence = self.sequences[index].as_mut().expect("the sequence is alive");
        sequence.tokens.truncate(length);
        for block in sequence.blocks.split_off(length.div_ceil(BLOCK)) {
            self.release(block);
        }
    }

    /// Makes room for more tokens of a sequence and returns the rows where they go.
    pub(crate) fn extend(&mut self, index: usize, tokens: &[u32]) -> Vec<u32> {
        let mut sequence = self.sequences[index].take().expect("the sequence is alive");
        let length = sequence.tokens.len();
        if let Some(last) = sequence.blocks.last_mut()
            && !length.is_multiple_of(BLOCK)
            && self.holders[*last as usize] > 1
        {
            let own = self.take_block();
            self.copy_block(*last, own);
            self.release(std::mem::replace(last, own));
        }
        let end = length + tokens.len();
        while sequence.blocks.len() * BLOCK < end {
            let block = self.take_block();
            sequence.blocks.push(block);
        }
        let row = |position: usize| sequence.blocks[position / BLOCK] * BLOCK as u32 + (position % BLOCK) as u32;
        let rows = (length..end).map(row).collect();
        sequence.tokens.extend(tokens);
        self.sequences[index] = Some(sequence);
        rows
    }

    /// The rows of a sequence in order, neighbouring blocks joined.
    pub(crate) fn rows(&self, index: usize) -> Vec<Range<usize>> {
        let sequence = self.sequence(index);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (i, &block) in sequence.blocks.iter().enumerate() {
            let start = block as usize * BLOCK;
            let end = start + BLOCK.min(sequence.tokens.len() - i * BLOCK);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }

    fn take_block(&mut self) -> u32 {
        if self.free.is_empty() {
            self.grow();
        }
        let block = self.free.pop().expect("the cache has just grown");
        self.holders[block as usize] = 1;
        block
    }

    /// Doubles the room. What no sequence has written yet is read by none, so it stays as it comes and costs no memory before
    /// it is used.
    fn grow(&mut self) {
        let before = self.holders.len();
        let after = (before * 2).max(16);
        for tensor in self.layers.iter_mut().flatten() {
            let mut larger = Tensor::empty(&self.device, after * BLOCK, tensor.cols());
            self.device.copy(tensor.view(), larger.view_rows_mut(0..tensor.rows()));
            *tensor = larger;
        }
        self.holders.resize(after, 0);
        self.free.extend((before..after).rev().map(|block| block as u32));
    }

    fn copy_block(&mut self, from: u32, to: u32) {
        let rows: Vec<u32> = (0..BLOCK as u32).map(|row| to * BLOCK as u32 + row).collect();
        let range = from as usize * BLOCK..(from as usize + 1) * BLOCK;
        for tensor in self.layers.iter_mut().flatten() {
            let mut copy = Tensor::empty(&self.device, BLOCK, tensor.cols());
            self.device.copy(tensor.view_rows(range.clone()), copy.view_mut());
            self.device.copy_to_rows(copy.view(), copy.cols(), &rows, tensor.view_mut());
        }
    }
}

/// A pass whose keys and values go to these rows of the cache.
pub(crate) struct CachedPass<'c> {
    pub(crate) cache: &'c mut KvCache,
    pub(crate) rows: Vec<u32>,
}

impl KeysAndValues for CachedPass<'_> {
    fn exchange(&mut self, layer: usize, k: Var, v: Var) -> (Var, Var) {
        let device = &self.cache.device;
        let [keys, values] = &mut self.cache.layers[layer];
        for (stored, new) in [(&mut *keys, k), (&mut *values, v)] {
            device.copy_to_rows(new.tensor.view(), new.tensor.cols(), &self.rows, stored.view_mut());
        }
        (Var::constant(keys.clone()), Var::constant(values.clone()))
    }
}
