//! Processors that look at the history, or at other beams: each changes one row of scores `[V]` in place, minus infinity forbids a token.
//!
//! Semantics are those of the class of the same name in transformers 4.46.3 (`generation/logits_process.py`). Greedy and sampling
//! hand in raw logits, beam search log-probabilities. Histories hold the prompt and the new tokens so far; ids outside the
//! vocabulary are passed over.

pub(crate) const FORBIDDEN: f32 = f32::NEG_INFINITY;

fn forbid(scores: &mut [f32], tokens: impl IntoIterator<Item = u32>) {
    for token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = FORBIDDEN;
        }
    }
}

/// Lowers each token by `penalty` for every beam of the groups before that chose it in this step (diverse beam search, arXiv 1610.02424).
pub fn hamming_diversity(scores: &mut [f32], taken: &[u32], penalty: f32) {
    let mut tokens = taken.to_vec();
    tokens.sort_unstable();
    for equal in tokens.chunk_by(|a, b| a == b) {
        if let Some(score) = scores.get_mut(equal[0] as usize) {
            *score -= penalty * equal.len() as f32;
        }
    }
}

/// Adds to the last token of each sequence whose other tokens end the history; what concerns one token is added up first. A sequence longer
/// than the whole history does not count yet.
pub fn sequence_bias(scores: &mut [f32], history: &[u32], biases: &[(Vec<u32>, f64)]) {
    let mut sums: Vec<(u32, f32)> = Vec::new();
    for (sequence, bias) in biases {
        if let Some((&last, prefix)) = sequence.split_last()
            && (prefix.is_empty() || (sequence.len() <= history.len() && history.ends_with(prefix)))
        {
            match sums.iter_mut().find(|(token, _)| *token == last) {
                Some((_, sum)) => *sum += *bias as f32,
                None => sums.push((last, *bias as f32)),
            }
        }
    }
    for (token, sum) in sums {
        if let Some(score) = scores.get_mut(token as usize) {
            *score += sum;
        }
    }
}

/// Raises the end-of-sequence tokens by `|s| (factor^n - 1)`, n being the tokens of the history beyond `start` (prompt counted). A forbidden
/// one stays forbidden; the reference makes it not a number.
pub fn exponential_decay(scores: &mut [f32], history: &[u32], start: usize, factor: f64, eos: &[u32]) {
    let Some(beyond) = history.len().checked_sub(start).filter(|&n| n > 0) else { return };
    let by = (factor.powi(i32::try_from(beyond).unwrap_or(i32::MAX)) - 1.0) as f32;
    for &token in eos {
        if let Some(score) = scores.get_mut(token as usize).filter(|score| **score > FORBIDDEN) {
            *score += score.abs() * by;
        }
    }
}

/// Classifier-free guidance (arXiv 2306.17806): `w (s - u) + u`, both of them log-probabilities; `u` belongs to a text without the prompt.
pub fn guidance(scores: &mut [f32], unconditional: &[f32], weight: f32) {
    for (score, &other) in scores.iter_mut().zip(unconditional) {
        *score = weight * (*score - other) + other;
    }
}

/// Every token that occurred, once: `s * penalty` below zero, else `s / penalty` (CTRL, arXiv 1909.05858).
pub fn repetition_penalty(scores: &mut [f32], history: &[u32], penalty: f32) {
    let mut seen = history.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for token in seen {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
        }
    }
}

/// Forbids every token that would complete an n-gram that already stands in the history; `size` 1 forbids all that occurred.
pub fn no_repeat_ngram(scores: &mut [f32], history: &[u32], size: usize) {
    no_repeat_ngram_of(scores, history, history, size);
}

/// The same for n-grams that stand in `text`, such as the prompt.
pub fn no_repeat_ngram_of(scores: &mut [f32], history: &[u32], text: &[u32], size: usize) {
    if history.len() + 1 < size {
        return;
    }
    let prefix = &history[history.len() + 1 - size..];
    let again = text.windows(size).filter(|ngram| ngram[..size - 1] == *prefix);
    forbid(scores, again.map(|ngram| ngram[size - 1]));
}

/// Forbids the last token of each word whose other tokens end the history; a word longer than the whole history does not count yet.
pub fn bad_words(scores: &mut [f32], history: &[u32], words: &[Vec<u32>]) {
    for word in words {
        if let Some((&last, prefix)) = word.split_last()
            && (prefix.is_empty() || (word.len() <= history.len() && history.ends_with(prefix)))
        {
            forbid(scores, [last]);
        }
    }
}

/// Forbids the end-of-sequence tokens while the history is shorter than `min_length` tokens (prompt counted).
pub fn min_length(scores: &mut [f32], history: &[u32], min_length: usize, eos: &[u32]) {
    if history.len() < min_length {
        forbid(scores, eos.iter().copied());
    }
}

/// Leaves only `tokens`, at score 0, when the history is exactly `at` tokens long: the first token after a lone
/// start token (`at` 1), or the last one (`at` the longest length minus 1).
pub fn forced(scores: &mut [f32], history: &[u32], at: usize, tokens: &[u32]) {
    if history.len() == at {
        scores.fill(FORBIDDEN);
        for &token in tokens {
            scores[token as usize] = 0.0;
        }
    }
}

/// Forbids the tokens at every place.
pub fn suppress(scores: &mut [f32], tokens: &[u32]) {
    forbid(scores, tokens.iter().copied());
}

/// Forbids the tokens when the history is exactly `at` tokens long.
pub fn suppress_at(scores: &mut [f32], history: &[u32], at: usize, tokens: &[u32]) {
    if history.len() == at {
        suppress(scores, tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: f32 = FORBIDDEN;

    #[test]
    fn a_token_of_other_groups_is_lowered_once_for_each_beam_that_chose_it() {
        let mut scores = [1.0, 2.0, 3.0];
        hamming_diversity(&mut scores, &[2, 0, 2, 9], 0.5);
        assert_eq!(scores, [0.5, 2.0, 2.0]);
    }

    #[test]
    fn a_repeated_token_is_penalised_once_by_the_sign_of_its_score() {
        let mut scores = [2.0, -2.0, 1.0, 0.5];
        repetition_penalty(&mut scores, &[0, 1, 0, 0, 9], 2.0);
        assert_eq!(scores, [1.0, -4.0, 1.0, 0.5]);
    }

    #[test]
    fn a_bigram_that_occurred_is_not_completed_again() {
        let mut scores = [0.0; 4];
        no_repeat_ngram(&mut scores, &[1, 2, 1, 3, 1], 2);
        assert_eq!(scores, [0.0, 0.0, OFF, OFF]);
    }

    #[test]
    fn a_bigram_of_the_prompt_is_not_completed_again_and_others_are() {
        let mut scores = [0.0; 4];
        no_repeat_ngram_of(&mut scores, &[1, 2, 1, 3, 1], &[1, 2], 2);
        assert_eq!(scores, [0.0, 0.0, OFF, 0.0]);
        no_repeat_ngram_of(&mut scores, &[1], &[1], 3);
        assert_eq!(scores, [0.0, 0.0, OFF, 0.0]);
    }

    #[test]
    fn a_bias_counts_where_its_sequence_would_be_completed() {
        let biases = [(vec![0], 1.0), (vec![1, 2], -2.0), (vec![3, 2], 5.0), (vec![1, 0], 0.5), (vec![3, 1, 3], 9.0)];
        let mut scores = [0.0; 4];
        sequence_bias(&mut scores, &[2, 1], &biases);
        assert_eq!(scores, [1.5, 0.0, -2.0, 0.0]);
        let mut scores = [0.0; 4];
        sequence_bias(&mut scores, &[1], &biases);
        assert_eq!(scores, [1.0, 0.0, 0.0, 0.0], "a sequence longer than the history does not count yet");
    }

    #[test]
    fn an_end_becomes_more_likely_from_a_place_on_unless_it_is_forbidden() {
        let mut scores = [-1.0, 2.0, OFF, -4.0];
        exponential_decay(&mut scores, &[7, 7], 2, 2.0, &[0, 1, 2]);
        assert_eq!(scores, [-1.0, 2.0, OFF, -4.0]);
        exponential_decay(&mut scores, &[7, 7, 7, 7], 2, 2.0, &[0, 1, 2, 9]);
        assert_eq!(scores, [2.0, 8.0, OFF, -4.0]);
    }

    #[test]
    fn guidance_moves_away_from_the_text_without_the_prompt() {
        let mut scores = [-1.0, -2.0];
        guidance(&mut scores, &[-2.0, -2.0], 1.5);
        assert_eq!(scores, [-0.5, -2.0]);
    }

    #[test]
    fn n_gram_sizes_at_the_edge_of_the_history() {
        let mut scores = [0.0; 3];
        no_repeat_ngram(&mut scores, &[1, 2], 3);
        no_repeat_ngram(&mut scores, &[1], 3);
        assert_eq!(scores, [0.0; 3]);
        no_repeat_ngram(&mut scores, &[0, 2], 1);
        assert_eq!(scores, [OFF, 0.0, OFF]);
    }

    #[test]
    fn a_bad_word_is_stopped_at_its_last_token_only_after_its_first_ones() {
        let words = vec![vec![0], vec![1, 2], vec![1, 1, 3]];
        let mut scores = [0.0; 4];
        bad_words(&mut scores, &[3, 1], &words);
        assert_eq!(scores, [OFF, 0.0, OFF, 0.0]);
        let mut scores = [0.0; 4];
        bad_words(&mut scores, &[3, 1, 1], &words);
        assert_eq!(scores, [OFF, 0.0, OFF, OFF]);
    }

    #[test]
    fn a_bad_word_longer_than_the_history_does_not_count_yet() {
        // Transformers skips it although its first token stands there already.
        let mut scores = [0.0; 3];
        bad_words(&mut scores, &[1], &[vec![1, 2]]);
        assert_eq!(scores, [0.0; 3]);
    }

    #[test]
    fn the_end_is_held_back_below_the_minimum_length_only() {
        let mut scores = [0.0; 3];
        min_length(&mut scores, &[1, 1], 2, &[0, 2, 7]);
        assert_eq!(scores, [0.0; 3]);
        min_length(&mut scores, &[1], 2, &[0, 2, 7]);
        assert_eq!(scores, [OFF, 0.0, OFF]);
    }

    #[test]
    fn a_forced_token_is_alone_at_its_place() {
        let mut scores = [3.0, 2.0, 1.0];
        forced(&mut scores, &[5], 2, &[1]);
        assert_eq!(scores, [3.0, 2.0, 1.0]);
        forced(&mut scores, &[5, 6], 2, &[1, 2]);
        assert_eq!(scores, [OFF, 0.0, 0.0]);
    }

    #[test]
    fn suppressed_tokens_are_off_always_or_at_the_beginning() {
        let mut scores = [3.0, 2.0, 1.0];
        suppress(&mut scores, &[1, 9]);
        suppress_at(&mut scores, &[5, 6], 1, &[0]);
        assert_eq!(scores, [3.0, OFF, 1.0]);
        suppress_at(&mut scores, &[5], 1, &[0]);
        assert_eq!(scores, [OFF, OFF, 1.0]);
    }
}
