//! White space as Python's `str.split` and `str.strip` see it; the reference metrics are written in Python.

/// Unicode white space, and the four separators U+001C to U+001F that Python adds to it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Non-empty pieces between white space, like `text.split()`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The text without white space, as characters (Unicode scalar values).
pub(crate) fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|&c| !is_space(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ideographic_space_and_the_separator_controls_divide_words() {
        let pieces: Vec<&str> = words(" 甲\u{3000}乙\u{1f}丙\t").collect();
        assert_eq!(pieces, ["甲", "乙", "丙"]);
    }

    #[test]
    fn a_character_outside_the_basic_plane_is_one_character() {
        assert_eq!(characters("𠮷 野家"), ['𠮷', '野', '家']);
    }

    #[test]
    fn a_zero_width_space_is_not_white_space() {
        assert_eq!(characters("\u{200b}").len(), 1);
    }
}
