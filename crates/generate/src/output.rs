//! What decoding returns.

use serde::{Deserialize, Serialize};

use crate::resolve::Resolved;

/// How token ids become text.
pub type Decode<'a> = &'a dyn Fn(&[u32]) -> String;

/// Why an output ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// An end-of-sequence token or a stop string.
    Stop,
    /// The length limit.
    Length,
    /// The caller asked to stop, or `max_time` was over.
    Interrupted,
}

/// One continuation of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// New tokens, without the end-of-sequence token.
    pub tokens: Vec<u32>,
    /// The end-of-sequence token that ended it, if one did. transformers writes the first of `eos_token_id` behind a beam whichever one it was.
    pub eos: Option<u32>,
    /// The stop string that ended it, if one did.
    pub stop_string: Option<String>,
    /// Beams: transformers' `sequences_scores`, the sum of processed log-probabilities divided by a power of the length.
    /// Greedy and sampling: the sum of `token_logprobs`.
    pub score: f64,
    /// Why it ends.
    pub finish_reason: FinishReason,
    /// Natural logarithm of each new token's probability under the model itself, before any processor; the end-of-sequence token included.
    pub token_logprobs: Vec<f32>,
}

impl Output {
    /// New tokens with the end-of-sequence token that ended them.
    #[must_use]
    pub fn tokens_with_eos(&self) -> Vec<u32> {
        self.tokens.iter().copied().chain(self.eos).collect()
    }

    /// The text of the new tokens, cut right after the stop string that ended it (which stays).
    pub fn text(&self, decode: Decode<'_>) -> String {
        let mut text = decode(&self.tokens);
        if let Some(stop) = &self.stop_string
            && let Some(at) = text.find(stop.as_str())
        {
            text.truncate(at + stop.len());
        }
        text
    }
}

/// A prompt and its continuations, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The prompt as fed: `bos_token_id` when it was empty.
    pub prompt: Vec<u32>,
    /// `num_return_sequences` outputs; of beams the best first, of draws in the order of their streams.
    pub outputs: Vec<Output>,
}

impl Completion {
    /// The rows transformers' `generate` returns for this prompt under these parameters: prompt, new tokens, an end-of-sequence token
    /// where one ended it (behind a beam the first of `eos_token_id`, whichever one it was), filled up to the longest with the padding token.
    #[must_use]
    pub fn sequences(&self, options: &Resolved) -> Vec<Vec<u32>> {
        let beams = options.num_beams > 1;
        let row = |output: &Output| -> Vec<u32> {
            let eos = output.eos.map(|eos| options.eos_token_id.first().copied().filter(|_| beams).unwrap_or(eos));
            self.prompt.iter().chain(&output.tokens).copied().chain(eos).collect()
        };
        let mut rows: Vec<Vec<u32>> = self.outputs.iter().map(row).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        for row in &mut rows {
            row.resize(longest, options.pad_token_id.unwrap_or(0));
        }
        rows
    }
}
