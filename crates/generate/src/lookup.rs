//! Prompt lookup: guesses what follows from what followed the same tokens before. The guesses are fed along with the newest token and
//! cost little, since a step is bound by reading the weights; those that the model would have chosen itself stand.
//!
//! `PromptLookupCandidateGenerator` of transformers 4.46.3 (github.com/apoorvumang/prompt-lookup-decoding).

/// How a draft is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lookup {
    /// Tokens of a draft at most.
    pub(crate) num_tokens: usize,
    /// Longest n-gram looked for; shorter ones are tried after it.
    pub(crate) max_ngram: usize,
}

impl Lookup {
    /// What followed the first earlier occurrence of the last n-gram of the history, at most `room` tokens and none from an
    /// end-of-sequence token on; the longest n-gram that occurred earlier counts.
    pub(crate) fn draft<'h>(&self, history: &'h [u32], room: usize, eos: &[u32]) -> &'h [u32] {
        let most = self.num_tokens.min(room);
        for size in (1..=self.max_ngram.min(history.len().saturating_sub(1))).rev() {
            let (earlier, ngram) = (&history[..history.len() - 1], &history[history.len() - size..]);
            if let Some(at) = earlier.windows(size).position(|window| window == ngram) {
                let follows = &history[at + size..];
                let end = follows.iter().position(|token| eos.contains(token)).unwrap_or(follows.len());
                return &follows[..most.min(end)];
            }
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(num_tokens: usize, max_ngram: usize, history: &[u32]) -> &[u32] {
        Lookup { num_tokens, max_ngram }.draft(history, 100, &[0])
    }

    #[test]
    fn a_draft_is_what_followed_the_longest_n_gram_where_it_first_occurred() {
        let history = [5, 1, 2, 7, 1, 2, 8, 9, 1, 2];
        assert_eq!(draft(3, 2, &history), [7, 1, 2]);
        assert_eq!(draft(3, 3, &history), [7, 1, 2], "no three tokens occurred twice");
        assert_eq!(draft(2, 3, &[9, 1, 2, 4, 3, 1, 2, 6, 9, 1, 2]), [4, 3]);
        assert_eq!(draft(3, 1, &[2, 5, 1, 2, 6, 2]), [5, 1, 2]);
    }

    #[test]
    fn a_draft_may_run_into_the_n_gram_itself_and_ends_with_the_history() {
        assert_eq!(draft(4, 2, &[3, 3, 3]), [3]);
        assert_eq!(draft(9, 2, &[4, 5, 4, 5]), [4, 5]);
    }

    #[test]
    fn a_draft_ends_before_an_end_of_sequence() {
        assert_eq!(draft(9, 2, &[4, 5, 6, 0, 7, 4, 5]), [6]);
        assert_eq!(draft(9, 2, &[4, 5, 0, 7, 4, 5]), [0; 0]);
    }

    #[test]
    fn there_is_no_draft_of_what_never_occurred_or_without_room() {
        assert_eq!(draft(3, 2, &[1, 2, 3]), [0; 0]);
        assert_eq!(draft(3, 2, &[1]), [0; 0]);
        assert_eq!(Lookup { num_tokens: 3, max_ngram: 2 }.draft(&[1, 2, 1, 2], 1, &[0]), [1]);
    }
}
