//! Decoding: one step loop, logits processors, greedy, sampling and beam search.
