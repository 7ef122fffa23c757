//! Texts of the data at a length a page can carry.

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{Language, figures};

/// Characters of one text of an example; with twelve examples of four texts the page stays far below a megabyte.
pub(super) const EXAMPLE: usize = 2_000;
/// Characters of the recipe or the manifest.
const FILE: usize = 60_000;
/// Longer texts are folded behind their beginning. In bytes, for a Chinese character takes about the room of three Latin letters.
const FOLDED: usize = 420;
const PREVIEW: usize = 200;
/// A "character" may carry any number of combining marks; no reader needs more bytes of one text than this.
const BYTES: usize = 4 * EXAMPLE;

/// A text, cut where it is longer than the page shows.
#[derive(Serialize)]
pub(crate) struct Text {
    pub body: String,
    /// How much was cut away, in words.
    pub more: Option<String>,
    /// The beginning, when the text is long enough to be folded.
    pub preview: Option<String>,
    /// The length, in words.
    pub length: String,
}

impl Text {
    /// A text of an example.
    pub(crate) fn example(text: &str, language: Language) -> Self {
        Self::cut(text, EXAMPLE, BYTES, language)
    }

    /// A file of the run.
    pub(super) fn file(text: &str, language: Language) -> Self {
        Self { preview: None, ..Self::cut(text, FILE, FILE * 2, language) }
    }

    fn cut(text: &str, limit: usize, bytes: usize, language: Language) -> Self {
        let mut length = 0;
        let (mut end, mut kept, mut folds_at) = (0, 0, 0);
        for (at, grapheme) in text.grapheme_indices(true) {
            length += 1;
            let next = at + grapheme.len();
            if kept + 1 == length && length <= limit && next <= bytes {
                (end, kept) = (next, length);
            }
            if next <= PREVIEW {
                folds_at = next;
            }
        }
        let body = text[..end].to_owned();
        let more = (length > kept).then(|| {
            let left = figures::count((length - kept) as u64);
            language.fill("text.more", &[("n", &left)])
        });
        let lines = body.lines().count();
        let preview = (end > FOLDED || lines > 10 || more.is_some()).then(|| beginning(&body, folds_at));
        let length = language.fill("text.whole", &[("n", &figures::count(length as u64))]);
        Self { body, more, preview, length }
    }
}

/// The text up to the byte `end`, at most three lines of it.
fn beginning(body: &str, end: usize) -> String {
    let lines: Vec<&str> = body[..end.min(body.len())].lines().take(3).collect();
    format!("{}…", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_how_much_is_missing() {
        let text = Text::example(&"文".repeat(5_000), Language::English);
        assert_eq!(text.body.chars().count(), 2_000);
        assert!(text.more.unwrap().contains("3,000"));
        assert_eq!(text.preview.unwrap().chars().count(), 66 + 1);
    }

    #[test]
    fn one_character_with_a_million_accents_does_not_fill_the_page() {
        let text = Text::example(&format!("a{}", "\u{301}".repeat(1_000_000)), Language::English);
        assert!(text.body.len() <= BYTES && text.more.is_some());
    }

    #[test]
    fn a_short_text_stands_as_it_is() {
        let text = Text::example("短", Language::English);
        assert_eq!((text.body.as_str(), text.more.is_none(), text.preview.is_none()), ("短", true, true));
    }
}
