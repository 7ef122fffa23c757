//! A token's text for the eye.

use luthier_constrain::token_bytes;
use luthier_report::explain::Token;
use luthier_text::Tokenizer;

/// The token with all of its text visible; a special token by its name.
pub(super) fn token(id: u32, tokenizer: &Tokenizer) -> Token {
    let text = match (token_bytes(tokenizer, id), tokenizer.token_text(id)) {
        (Some(bytes), _) => visible(&bytes),
        (None, Some(text)) => visible(text.as_bytes()),
        (None, None) => format!("<token {id}>"),
    };
    Token { id, text }
}

/// Spaces, line breaks and tabs as signs, what else does not print by its number, bytes that are no whole character as bytes.
fn visible(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' => text.push('␣'),
                '\n' => text.push('⏎'),
                '\r' => text.push('␍'),
                '\t' => text.push('⇥'),
                c if c.is_control() || c.is_whitespace() || is_unseen(c) => {
                    text.push_str(&format!("<U+{:04X}>", u32::from(c)));
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text += &format!("<0x{byte:02X}>"));
    }
    text
}

/// Marks without width: of direction, joining, byte order.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_seen() {
        assert_eq!(visible(b" a\tb\r\n"), "␣a⇥b␍⏎");
        assert_eq!(visible("你\u{3000}好\u{200D}\u{7}".as_bytes()), "你<U+3000>好<U+200D><U+0007>");
        assert_eq!(visible(b"\xE5\xA5"), "<0xE5><0xA5>");
        assert_eq!(visible(b"x\xE5y\xBD"), "x<0xE5>y<0xBD>");
        assert_eq!(visible(b""), "");
    }
}
