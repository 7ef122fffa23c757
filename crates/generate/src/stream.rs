//! Text as it grows, token by token, in whole characters only: a Chinese character whose bytes are spread over several
//! byte-level tokens appears when its last byte has come.

use crate::output::Decode;

/// Turns tokens into pieces of text that, joined, are the decoded whole.
pub struct TextStream<'a> {
    decode: Decode<'a>,
    tokens: Vec<u32>,
    /// Tokens before this one are done with; those from here to `shown` are decoded again as context for what follows.
    context: usize,
    /// Tokens whose text is out.
    shown: usize,
}

impl<'a> TextStream<'a> {
    /// `decode` turns token ids into text.
    #[must_use]
    pub fn new(decode: Decode<'a>) -> Self {
        Self { decode, tokens: Vec::new(), context: 0, shown: 0 }
    }

    /// Takes one more token and returns the text that is certain now; empty while a character is unfinished.
    pub fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        self.take(false)
    }

    /// The text held back at the end, half-finished characters as the decoder shows them.
    pub fn finish(&mut self) -> String {
        self.take(true)
    }

    fn take(&mut self, to_the_end: bool) -> String {
        let before = (self.decode)(&self.tokens[self.context..self.shown]);
        let text = (self.decode)(&self.tokens[self.context..]);
        if text.ends_with('\u{FFFD}') && !to_the_end {
            return String::new();
        }
        let new = text.strip_prefix(before.as_str()).unwrap_or_default().to_owned();
        if !new.is_empty() {
            (self.context, self.shown) = (self.shown, self.tokens.len());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_characters_appear_whole_and_nothing_is_lost() {
        let decode =
            |tokens: &[u32]| String::from_utf8_lossy(&tokens.iter().map(|&t| t as u8).collect::<Vec<_>>()).into_owned();
        let mut stream = TextStream::new(&decode);
        let pieces: Vec<String> =
            "調「琴」a".bytes().map(|b| stream.push(u32::from(b))).filter(|p| !p.is_empty()).collect();
        assert_eq!(pieces, ["調", "「", "琴", "」", "a"]);
        assert_eq!(stream.finish(), "");
        stream.push(0xE7);
        assert_eq!(stream.finish(), "\u{FFFD}");
    }

    #[test]
    fn a_decoder_that_strips_the_first_space_keeps_the_others() {
        let pieces = [" one", " two", " three"];
        let decode = |tokens: &[u32]| {
            let text: String = tokens.iter().map(|&t| pieces[t as usize]).collect();
            text.strip_prefix(' ').unwrap_or(&text).to_owned()
        };
        let mut stream = TextStream::new(&decode);
        let text: String = (0..3).map(|t| stream.push(t)).collect();
        assert_eq!(text, "one two three");
    }
}
