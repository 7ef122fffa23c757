//! Llama 3's `tokenizer.model`: byte-level BPE as lines of a token in base64, a space, its rank (tiktoken).
//!
//! The special tokens are not in the file; they follow the ranks (meta-llama/llama-models, `tokenizer.py`; transformers,
//! `convert_llama_weights_to_hf.py`).

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::sequence::Sequence;
use tokenizers::{AddedToken, Tokenizer};

use super::sentencepiece::convert::around_every_text;
use super::{byte_level, merges, pattern};

/// How many special tokens follow the ranks.
const SPECIAL_TOKENS: u32 = 256;

/// Tokens with ranks 0, 1, ... in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranks(Vec<Vec<u8>>);

impl Ranks {
    /// Whether a file begins as one of ranks does.
    pub(super) fn begins(bytes: &[u8]) -> bool {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.len() < 4096 && std::str::from_utf8(line).is_ok_and(|line| one_line(line).is_ok())
    }

    /// Reads the lines.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("not text: {e}"))?;
        let mut tokens: Vec<Vec<u8>> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fault = |cause: String| format!("line {}: {cause}", number + 1);
            let (token, rank) = one_line(line).map_err(fault)?;
            if rank as usize != tokens.len() {
                return Err(fault(format!("rank {rank} where {} is due", tokens.len())));
            }
            tokens.push(token);
        }
        match (0..=255u8).find(|byte| !tokens.iter().any(|token| token[..] == [*byte])) {
            Some(byte) => Err(format!("no token stands for the byte 0x{byte:02X}")),
            None => Ok(Ranks(tokens)),
        }
    }

    /// How many tokens have a rank; the special tokens' ids begin here.
    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// The tokenizer. `special` are the tokens behind the ranks in order; `bos` is put before every text.
    pub(super) fn to_tokenizer(&self, special: &[String], bos: Option<(String, u32)>) -> tokenizers::Result<Tokenizer> {
        let characters = byte_level::byte_characters();
        let written = |token: &Vec<u8>| token.iter().map(|byte| characters[*byte as usize]).collect::<String>();
        let texts: Vec<String> = self.0.iter().map(written).collect();
        let ranked: Vec<(&str, u32)> = texts.iter().map(String::as_str).zip(0..).collect();
        let merges = merges::by_rank(&ranked);
        let vocab: Vocab = ranked.iter().map(|(text, rank)| ((*text).to_owned(), *rank)).collect();
        if vocab.len() != texts.len() {
            return Err("a token stands twice".into());
        }
        let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(true).build()?;
        let mut tokenizer = Tokenizer::new(bpe);
        tokenizer.with_pre_tokenizer(Some(pattern::pre_tokenizer(&[pattern::LLAMA3])?));
        tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
        let added: Vec<AddedToken> = special.iter().map(|text| AddedToken::from(text.clone(), true)).collect();
        tokenizer.add_special_tokens(&added);
        let untrimmed = PostProcessorWrapper::ByteLevel(ByteLevel::new(false, false, false));
        let around = bos.map(|bos| around_every_text(Some(&bos), None)).transpose()?;
        tokenizer.with_post_processor(Some(Sequence::new([Some(untrimmed), around].into_iter().flatten().collect())));
        Ok(tokenizer)
    }
}

fn one_line(line: &str) -> Result<(Vec<u8>, u32), String> {
    let (token, rank) = line.trim_end().split_once(' ').ok_or("it is no token and rank with a space between")?;
    let token = base64::decode(token).map_err(|e| format!("the token is not base64: {e}"))?;
    if token.is_empty() {
        return Err("the token is empty".into());
    }
    let rank = rank.parse().map_err(|_| format!("{rank:?} is no rank"))?;
    Ok((token, rank))
}

/// The special tokens in the order of their ids. Llama 3.1 gave names to three of those that Llama 3 had reserved; which of the two
/// a model is, its end-of-message token among the ends tells.
pub(super) fn llama3_special_tokens(has_end_of_message: bool) -> Vec<String> {
    let named: &[(usize, &str)] = if has_end_of_message {
        &[
            (0, "<|begin_of_text|>"),
            (1, "<|end_of_text|>"),
            (4, "<|finetune_right_pad_id|>"),
            (6, "<|start_header_id|>"),
            (7, "<|end_header_id|>"),
            (8, "<|eom_id|>"),
            (9, "<|eot_id|>"),
            (10, "<|python_tag|>"),
        ]
    } else {
        &[
            (0, "<|begin_of_text|>"),
            (1, "<|end_of_text|>"),
            (6, "<|start_header_id|>"),
            (7, "<|end_header_id|>"),
            (9, "<|eot_id|>"),
        ]
    };
    let mut reserved = 0..;
    (0..SPECIAL_TOKENS as usize)
        .map(|at| match named.iter().find(|(place, _)| *place == at) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("<|reserved_special_token_{}|>", reserved.next().unwrap_or(at)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_3_and_3_1_reserve_what_they_do_not_name() {
        let old = llama3_special_tokens(false);
        assert_eq!(old.len(), 256);
        assert_eq!(old[9], "<|eot_id|>");
        assert_eq!((&*old[8], &*old[255]), ("<|reserved_special_token_4|>", "<|reserved_special_token_250|>"));
        let new = llama3_special_tokens(true);
        assert_eq!((&*new[5], &*new[11]), ("<|reserved_special_token_2|>", "<|reserved_special_token_3|>"));
        assert_eq!((&*new[8], &*new[255]), ("<|eom_id|>", "<|reserved_special_token_247|>"));
    }

    #[test]
    fn lines_that_are_no_ranks_are_told() {
        let refusal = |text: &str| Ranks::parse(text.as_bytes()).unwrap_err();
        assert!(refusal("IQ== 0\nIg== 2\n").contains("line 2: rank 2 where 1 is due"));
        assert!(refusal("IQ==0\n").contains("line 1"));
        assert!(refusal("I 0\n").contains("base64"));
        assert!(refusal("IQ== x\n").contains("no rank"));
        assert!(refusal("IQ== 0\n").contains("byte 0x00"));
        assert!(Ranks::begins(b"IQ== 0\nIg== 1\n") && !Ranks::begins(b"\x0A\x0E\x0A\x05<unk>"));
    }
}
