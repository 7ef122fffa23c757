//! Personal data: e-mail addresses, telephone numbers and Taiwan's identity numbers, masked.

use std::sync::LazyLock;

use regex::Regex;

use super::{Over, Step, Verdict};
use crate::document::Document;

/// Masks personal data with words in brackets.
#[derive(Debug, Clone)]
pub struct Personal {
    /// What stands for an e-mail address; `None` leaves them.
    pub email: Option<String>,
    /// What stands for a telephone number.
    pub phone: Option<String>,
    /// What stands for an identity number of Taiwan: of a citizen, or of a resident in the old or the new form.
    pub identity: Option<String>,
    /// The fields.
    pub over: Over,
}

impl Default for Personal {
    fn default() -> Self {
        let word = |word: &str| Some(word.to_owned());
        Personal { email: word("[email]"), phone: word("[phone]"), identity: word("[id]"), over: Over::AllText }
    }
}

impl Step for Personal {
    fn name(&self) -> &'static str {
        "personal"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let changed = self.over.change(&mut document.fields, |text| self.mask(text));
        if changed { Verdict::Changed("masked") } else { Verdict::Kept }
    }
}

impl Personal {
    /// The text with its personal data masked; `None` where it has none.
    #[must_use]
    pub fn mask(&self, text: &str) -> Option<String> {
        let mut found: Option<String> = None;
        if let Some(word) = &self.email
            && memchr::memchr(b'@', text.as_bytes()).is_some()
        {
            found = replaced(text, &EMAIL, word, |_| true);
        }
        // Both kinds of number have at least eight digits near one another.
        if text.bytes().filter(u8::is_ascii_digit).nth(7).is_none() {
            return found;
        }
        if let Some(word) = &self.identity {
            let text = found.as_deref().unwrap_or(text);
            found = replaced(text, &IDENTITY, word, is_taiwan_id).or(found);
        }
        if let Some(word) = &self.phone {
            let text = found.as_deref().unwrap_or(text);
            found = replaced(text, &PHONE, word, |_| true).or(found);
        }
        found
    }
}

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}").expect("written here")
});

static IDENTITY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)[A-Z][A-D1-9][0-9]{8}").expect("written here"));

/// Taiwan: mobile 09xx-xxx-xxx, landlines (02) xxxx-xxxx to 089-xxx-xxx, both with +886, free numbers 0800-xxx-xxx. Mainland: mobile
/// 1xx xxxx xxxx, perhaps with +86. Elsewhere: numbers with a + and a country code, and North America's (xxx) xxx-xxxx.
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"(?:\+|00)886[-\s]?\(?0?\)?[-\s]?(?:9\d{2}[-\s]?\d{3}[-\s]?\d{3}|[2-8]\d?[-\s]?\d{3,4}[-\s]?\d{4})",
        r"09\d{2}[-\s]?\d{3}[-\s]?\d{3}",
        r"080[09][-\s]?\d{3}[-\s]?\d{3}",
        r"\(0[2-8]\d{0,2}\)\s?\d{3,4}[-\s]?\d{3,4}",
        r"0[2-8]\d{0,2}-\d{3,4}-?\d{3,4}",
        r"(?:(?:\+|00)86[-\s]?)?1[3-9]\d[-\s]?\d{4}[-\s]?\d{4}",
        r"\+[1-9]\d{0,2}[-\s.]?(?:\(\d{1,4}\)[-\s.]?)?\d{2,4}(?:[-\s.]?\d{2,4}){2,3}",
        r"\([2-9]\d{2}\)\s?\d{3}[-.]\d{4}",
        r"[2-9]\d{2}[-.][2-9]\d{2}[-.]\d{4}",
    ];
    Regex::new(&forms.join("|")).expect("written here")
});

/// The text with matches replaced that stand by themselves and pass `is_one`; `None` where there is none. Boundaries are seen here and
/// not by `\b`, for which Chinese characters are letters.
fn replaced(text: &str, pattern: &Regex, word: &str, is_one: impl Fn(&str) -> bool) -> Option<String> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = pattern.find_at(text, from) {
        let glued = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let (before, after) = (text[..found.start()].chars().next_back(), text[found.end()..].chars().next());
        let inside_number = before == Some('.') && text[..found.start()].ends_with(|c: char| c.is_ascii_digit());
        if glued(before) || glued(after) || inside_number || !is_one(found.as_str()) {
            // What begins inside this match may be one still; a character further it is looked for again.
            from = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
        out.push_str(&text[copied..found.start()]);
        out.push_str(word);
        copied = found.end();
        from = found.end();
    }
    let mut out = out?;
    out.push_str(&text[copied..]);
    Some(out)
}

/// Whether a text is an identity number of Taiwan with the right check digit: a letter and nine digits, or two letters and eight (the
/// residence permits before 2021).
///
/// Each letter stands for two digits; their weights are 1 and 9, those of the digits behind it 8, 7, ..., 1 and 1, and the sum must
/// divide by ten. Of the old permits' second letter only the unit counts.
#[must_use]
pub fn is_taiwan_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || !bytes[2..].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let Some(first) = letter_number(bytes[0]) else { return false };
    let second = match bytes[1].to_ascii_uppercase() {
        digit @ (b'1' | b'2' | b'8' | b'9') => u32::from(digit - b'0'),
        letter @ b'A'..=b'D' => match letter_number(letter) {
            Some(number) => number % 10,
            None => return false,
        },
        _ => return false,
    };
    let mut sum = first / 10 + 9 * (first % 10) + 8 * second;
    for (i, digit) in bytes[2..].iter().enumerate() {
        let weight = if i == 7 { 1 } else { 7 - i as u32 };
        sum += weight * u32::from(digit - b'0');
    }
    sum.is_multiple_of(10)
}

/// The number of a letter: 10 to 35, in the order in which counties were given letters.
fn letter_number(letter: u8) -> Option<u32> {
    let order = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let at = order.iter().position(|known| *known == letter.to_ascii_uppercase())?;
    u32::try_from(at).ok().map(|at| at + 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_numbers_are_known_by_their_check_digit() {
        for right in ["A123456789", "a123456789", "F131104093", "A800000014"] {
            assert!(is_taiwan_id(right), "{right}");
        }
        for wrong in ["A123456788", "A323456789", "1123456789", "A12345678", "甲123456789"] {
            assert!(!is_taiwan_id(wrong), "{wrong}");
        }
    }

    #[test]
    fn personal_data_is_masked_between_chinese_characters_too() {
        let personal = Personal::default();
        for (text, masked) in [
            ("電話0912345678。", "電話[phone]。"),
            ("手機 0912-345-678 或 +886 912 345 678", "手機 [phone] 或 [phone]"),
            ("市話(02)2345-6789、02-2345-6789、+886-2-2345-6789", "市話[phone]、[phone]、[phone]"),
            ("台東089-123456", "台東[phone]"),
            ("免付費0800-123-456", "免付費[phone]"),
            ("手机13812345678", "手机[phone]"),
            ("call (415) 555-2671 or 415-555-2671", "call [phone] or [phone]"),
            ("寫信到ming.wang+a@mail.example.com.tw吧", "寫信到[email]吧"),
            ("身分證A123456789號", "身分證[id]號"),
        ] {
            assert_eq!(personal.mask(text).as_deref(), Some(masked), "{text}");
        }
        for plain in [
            "A123456788",
            "圓周率 3.14159265358979",
            "2024-05-31 12:30:45",
            "ISBN 978-986-123-456-7",
            "共 1234567890123 元",
            "a@b",
            "序號 20240531123456",
        ] {
            assert_eq!(personal.mask(plain), None, "{plain}");
        }
    }
}
