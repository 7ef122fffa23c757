//! Where sentences end, in Chinese and in alphabets.

/// Marks that end a sentence by themselves.
fn is_full_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡' | '．' | '…' | '‼' | '⁉' | '!' | '?' | '؟' | '।')
}

/// Marks that may close a sentence behind its full stop.
fn is_closing(c: char) -> bool {
    matches!(c, '”' | '’' | '」' | '』' | '）' | '》' | '〉' | '】' | '"' | '\'' | ')' | ']')
}

/// Whether a sentence ends behind the byte `at`, which is where `c` ends.
fn ends_behind(text: &str, c: char, at: usize) -> bool {
    if c == '\n' || is_full_stop(c) {
        return true;
    }
    // An ASCII point ends a sentence before white space, unless it stands in a number or behind a single letter (J. Smith).
    c == '.' && {
        let before = &text[..at - 1];
        let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
        !initial && text[at..].chars().next().is_none_or(|next| next.is_whitespace() || is_closing(next))
    }
}

/// The end of the sentence that begins at `from`, closing marks included.
fn end_of_sentence(text: &str, from: usize) -> usize {
    for (at, c) in text[from..].char_indices() {
        let mut end = from + at + c.len_utf8();
        if ends_behind(text, c, end) {
            for next in text[end..].chars() {
                if !(is_full_stop(next) || is_closing(next)) {
                    break;
                }
                end += next.len_utf8();
            }
            return end;
        }
    }
    text.len()
}

/// The sentences of a text, each with its marks and the white space before it; empty ones are left out.
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while from < text.len() {
            let end = end_of_sentence(text, from);
            let sentence = &text[from..end];
            from = end;
            if !sentence.trim().is_empty() {
                return Some(sentence);
            }
        }
        None
    })
}

/// The beginning of a text, at most `most` characters, cut behind a sentence where one ends in the second half of them, else behind a
/// comma, else anywhere. Whole where it is short enough.
#[must_use]
pub fn cut_at_sentence(text: &str, most: usize) -> &str {
    let text = text.trim();
    let Some((limit, _)) = text.char_indices().nth(most) else { return text };
    let head = &text[..limit];
    let half = head.char_indices().nth(most / 2).map_or(0, |(at, _)| at);
    let mut from = 0;
    let mut cut = None;
    while from < head.len() {
        let end = end_of_sentence(text, from);
        if end > limit {
            break;
        }
        cut = Some(end);
        from = end;
    }
    if let Some(cut) = cut.filter(|cut| *cut > half) {
        return text[..cut].trim_end();
    }
    let is_comma = |c: char| matches!(c, '，' | '、' | '；' | '：' | ',' | ';' | ':' | ' ');
    let comma = head.char_indices().rev().find(|(at, c)| *at >= half && is_comma(*c));
    match comma {
        Some((at, ' ')) => head[..at].trim_end(),
        Some((at, c)) => &head[..at + c.len_utf8()],
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_at_full_stops_of_either_kind() {
        let text = "他說：「走吧！」我們就走了。真的嗎？Yes. It cost 3.5 dollars, said J. Smith. 完";
        let found: Vec<&str> = sentences(text).map(str::trim).collect();
        let expected =
            ["他說：「走吧！」", "我們就走了。", "真的嗎？", "Yes.", "It cost 3.5 dollars, said J. Smith.", "完"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cut_falls_behind_a_sentence_then_a_comma_then_anywhere() {
        assert_eq!(cut_at_sentence("一二三四。五六七八。九十", 11), "一二三四。五六七八。");
        assert_eq!(cut_at_sentence("一二三四。五六七八。九十", 9), "一二三四。");
        assert_eq!(cut_at_sentence("一二三四五六七，八九十一二三", 10), "一二三四五六七，");
        assert_eq!(cut_at_sentence("一二三四五六七八九十", 4), "一二三四");
        assert_eq!(cut_at_sentence("one two three four", 12), "one two");
        assert_eq!(cut_at_sentence(" 短。 ", 10), "短。");
    }
}
