//! Text out of tokens as they come, whole characters only.

use super::Tokenizer;

/// Turns a growing row of tokens into pieces of text. A Chinese character often takes two or three tokens; a piece is held back
/// until its characters are whole. All pieces and [`StreamDecoder::finish`] joined equal [`Tokenizer::decode`] of all tokens.
#[derive(Debug)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    skip_special: bool,
    /// The first tokens that gave text. Decoders treat the start of a text specially (Llama's drops a space there), so every
    /// later piece is decoded behind this one.
    head: Vec<u32>,
    head_bytes: usize,
    pending: Vec<u32>,
}

impl<'t> StreamDecoder<'t> {
    /// A decoder at the start of a text; `skip_special` leaves special tokens out.
    #[must_use]
    pub fn new(tokenizer: &'t Tokenizer, skip_special: bool) -> Self {
        StreamDecoder { tokenizer, skip_special, head: Vec::new(), head_bytes: 0, pending: Vec::new() }
    }

    /// Takes the next token; gives the text that has become certain, `None` when there is none yet.
    pub fn push(&mut self, token: u32) -> Option<String> {
        // Decoding passes over tokens that it leaves out, so they do not end a run of bytes either.
        let name = self.tokenizer.token_text(token)?;
        if self.skip_special && self.tokenizer.is_left_out(token) {
            return None;
        }
        self.pending.push(token);
        // A run of byte tokens is valid or invalid as a whole, so it is certain only when another token ends it.
        if is_byte(&name) {
            return None;
        }
        let text = self.window();
        if text.ends_with('\u{FFFD}') {
            return None;
        }
        let piece = text.get(self.head_bytes..).unwrap_or_default().to_string();
        if self.head_bytes == 0 {
            self.head.append(&mut self.pending);
            self.head_bytes = text.len();
        } else {
            self.pending.clear();
        }
        (!piece.is_empty()).then_some(piece)
    }

    /// The text still held back; incomplete characters become U+FFFD, as in [`Tokenizer::decode`].
    #[must_use]
    pub fn finish(self) -> Option<String> {
        let text = self.window();
        let piece = text.get(self.head_bytes..).unwrap_or_default();
        (!piece.is_empty()).then(|| piece.to_string())
    }

    fn window(&self) -> String {
        let tokens: Vec<u32> = self.head.iter().chain(&self.pending).copied().collect();
        self.tokenizer.decode(&tokens, self.skip_special)
    }
}

/// Byte-fallback tokens are written `<0x0A>`.
fn is_byte(name: &str) -> bool {
    name.len() == 6 && name.starts_with("<0x") && name.ends_with('>')
}
