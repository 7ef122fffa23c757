//! Stop strings: a sequence ends with the token that completes one of them.

use crate::output::Decode;

/// Watches the text of a sequence for stop strings. As in transformers the prompt counts as text before, so a stop string may
/// begin in it, but it must end in the newest token.
#[derive(Clone, Copy)]
pub struct StopStrings<'a> {
    strings: &'a [String],
    decode: Decode<'a>,
    /// Tokens of the tail that can matter: a token carries a byte at least, and a few more keep decoders that treat the first token specially out of the match.
    window: usize,
}

impl<'a> StopStrings<'a> {
    /// `decode` turns token ids into text.
    #[must_use]
    pub fn new(strings: &'a [String], decode: Decode<'a>) -> Self {
        let longest = strings.iter().map(String::len).max().unwrap_or(0);
        Self { strings, decode, window: longest + 8 }
    }

    /// The stop string that the last token of `history` completes.
    #[must_use]
    pub fn completed_by_last(&self, history: &[u32]) -> Option<&'a str> {
        let tail = &history[history.len().saturating_sub(self.window)..];
        let (_, before) = tail.split_last()?;
        let (before, text) = ((self.decode)(before), (self.decode)(tail));
        // What the last token did not change; a half-finished character at the end of `before` is replaced, hence compared.
        let same = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        let ends_in_last = |stop: &str| text.rfind(stop).is_some_and(|at| at + stop.len() > same);
        self.strings.iter().map(String::as_str).find(|stop| ends_in_last(stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte-level decoder: each token is one byte.
    fn bytes(tokens: &[u32]) -> String {
        String::from_utf8_lossy(&tokens.iter().map(|&t| t as u8).collect::<Vec<_>>()).into_owned()
    }

    fn ids(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn a_stop_string_must_end_in_the_newest_token() {
        let strings = ["好。".to_owned(), "##".to_owned()];
        let stop = StopStrings::new(&strings, &bytes);
        assert_eq!(stop.completed_by_last(&ids("很好。")), Some("好。"));
        assert_eq!(stop.completed_by_last(&ids("很好。a")), None);
        assert_eq!(stop.completed_by_last(&ids("a #")), None);
        assert_eq!(stop.completed_by_last(&ids("a ##")), Some("##"));
        assert_eq!(stop.completed_by_last(&[]), None);
    }

    #[test]
    fn a_half_character_completes_nothing_until_its_last_byte() {
        let strings = ["。".to_owned()];
        let stop = StopStrings::new(&strings, &bytes);
        let tokens = ids("很。");
        assert_eq!(stop.completed_by_last(&tokens[..tokens.len() - 1]), None);
        assert_eq!(stop.completed_by_last(&tokens), Some("。"));
    }

    #[test]
    fn a_stop_string_inside_a_longer_token_counts() {
        let pieces = ["He", " said.", "\n\nThen"];
        let decode = |tokens: &[u32]| tokens.iter().map(|&t| pieces[t as usize]).collect::<String>();
        let strings = ["\n\n".to_owned()];
        let stop = StopStrings::new(&strings, &decode);
        assert_eq!(stop.completed_by_last(&[0, 1, 2]), Some("\n\n"));
        assert_eq!(stop.completed_by_last(&[0, 1]), None);
    }
}
