//! `tokenizer.bin` of llama2.c: the longest token's length, then score, length and bytes of every token, little-endian, to the
//! file's end (karpathy/llama2.c, `tokenizer.py`).

use super::sentencepiece::{Kind, Piece, SentencePiece};

/// Pieces in Llama's places: unknown, beginning, end, the 256 bytes, the rest.
pub(super) fn parse(bytes: &[u8]) -> Result<SentencePiece, String> {
    let (_, mut rest) = bytes.split_first_chunk::<4>().ok_or("it is cut off before the first token")?;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let id = pieces.len();
        let cut = || format!("token {id} is cut off");
        let (score, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let (length, behind) = behind.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| cut())?;
        let (text, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| format!("token {id} is not UTF-8"))?;
        pieces.push(piece(id, text, f32::from_le_bytes(*score)));
        rest = behind;
    }
    let model = SentencePiece { unk: Some(0), bos: Some(1), eos: Some(2), ..SentencePiece::llama_like(pieces) };
    model.check()?;
    Ok(model)
}

/// The file writes a space for `▁`, and the tokens of beginning and end on lines of their own, as they are printed.
fn piece(id: usize, text: &str, score: f32) -> Piece {
    let (text, kind) = match id {
        0 => (text.to_owned(), Kind::Unknown),
        1 | 2 => (text.trim().to_owned(), Kind::Control),
        3..=258 => (text.to_owned(), Kind::Byte),
        _ => (text.replace(' ', "▁"), Kind::Normal),
    };
    Piece { text, score, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tokens: &[(&str, f32)]) -> Vec<u8> {
        let mut bytes = 7i32.to_le_bytes().to_vec();
        for (text, score) in tokens {
            bytes.extend(score.to_le_bytes());
            bytes.extend((text.len() as i32).to_le_bytes());
            bytes.extend(text.bytes());
        }
        bytes
    }

    fn tokens() -> Vec<(String, f32)> {
        let special = ["<unk>", "\n<s>\n", "\n</s>\n"].map(String::from);
        let bytes = (0..=255u8).map(super::super::sentencepiece::byte_piece);
        special.into_iter().chain(bytes).chain([" a".to_owned()]).map(|text| (text, -1.0)).collect()
    }

    #[test]
    fn tokens_are_read_to_the_end_of_the_file() {
        let tokens = tokens();
        let tokens: Vec<(&str, f32)> = tokens.iter().map(|(text, score)| (text.as_str(), *score)).collect();
        let model = parse(&file(&tokens)).unwrap();
        assert_eq!(model.pieces[1], Piece { text: "<s>".into(), score: -1.0, kind: Kind::Control });
        assert_eq!(model.pieces[259].text, "▁a");
    }

    #[test]
    fn lengths_beyond_the_file_are_refused() {
        let mut bytes = file(&[("<unk>", 0.0)]);
        bytes[8] = 200;
        assert_eq!(parse(&bytes), Err("token 0 is cut off".into()));
        bytes[11] = 0x80;
        assert_eq!(parse(&bytes), Err("token 0 is cut off".into()));
        assert!(parse(&[1, 2]).unwrap_err().contains("cut off"));
        assert!(parse(&file(&[("<unk>", 0.0)])).unwrap_err().contains("<0x00>"));
    }
}
