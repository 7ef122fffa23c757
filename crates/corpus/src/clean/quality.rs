//! Filters on a document's length and on what its words look like, after Gopher (Rae et al. 2021, arXiv 2112.11446, table A1), made to
//! work without spaces: two Han characters or kana count as a word, full-width marks are marks, and Chinese has stop words of its own.

use super::{Over, Step, Verdict};
use crate::document::Document;

/// Whether a character is written without spaces around its words.
pub(crate) fn is_han_or_kana(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}'
        | '\u{3041}'..='\u{30FF}')
}

/// Keeps documents of a length in characters, white space aside.
#[derive(Debug, Clone)]
pub struct Length {
    /// The fewest characters.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// The fields, together.
    pub over: Over,
}

impl Step for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let texts = self.over.texts(&document.fields);
        let length: usize = texts.map(|text| text.chars().filter(|c| !c.is_whitespace()).count()).sum();
        if length < self.least {
            return Verdict::dropped("too short", format!("{length} characters, {} are the least", self.least));
        }
        if length > self.most {
            return Verdict::dropped("too long", format!("{length} characters, {} are the most", self.most));
        }
        Verdict::Kept
    }
}

/// Gopher's filters of quality. The defaults are its thresholds.
#[derive(Debug, Clone)]
pub struct Quality {
    /// The fewest words.
    pub least_words: f64,
    /// The most words.
    pub most_words: f64,
    /// The least and the greatest mean length of words of an alphabet; not asked of texts in which these are fewer than half.
    pub mean_word_length: (f64, f64),
    /// The most hash signs and ellipses a word.
    pub symbols: f64,
    /// The greatest share of lines that begin with a bullet.
    pub bullet_lines: f64,
    /// The greatest share of lines that end with an ellipsis.
    pub ellipsis_lines: f64,
    /// The least share of words with a letter.
    pub words_with_letter: f64,
    /// How many different stop words there must be: of English, or of Chinese, modern or classical.
    pub stop_words: usize,
    /// The fields, together.
    pub over: Over,
}

impl Default for Quality {
    fn default() -> Self {
        Quality {
            least_words: 50.0,
            most_words: 100_000.0,
            mean_word_length: (3.0, 10.0),
            symbols: 0.1,
            bullet_lines: 0.9,
            ellipsis_lines: 0.3,
            words_with_letter: 0.8,
            stop_words: 2,
            over: Over::AllText,
        }
    }
}

const ENGLISH: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];
const CHINESE: [char; 24] = [
    '的', '是', '了', '在', '不', '有', '和', '也', '這', '这', '我', '他', '為', '为', '與', '与', '就', '之', '其',
    '而', '以', '於', '于', '者',
];

/// What is counted of a text in one pass over it.
#[derive(Debug, Default)]
struct Counts {
    /// Han characters and kana.
    han: usize,
    /// Words between spaces and marks, with and without a letter.
    words: usize,
    words_with_letter: usize,
    letters: usize,
    symbols: usize,
    lines: usize,
    bullet_lines: usize,
    ellipsis_lines: usize,
    english: [bool; ENGLISH.len()],
    chinese: [bool; CHINESE.len()],
}

impl Counts {
    fn of(text: &str) -> Self {
        let mut counts = Counts::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            counts.lines += 1;
            counts.bullet_lines +=
                usize::from(line.starts_with(['•', '‧', '·', '●', '○', '■', '▪', '◆', '-', '*', '‣']));
            counts.ellipsis_lines += usize::from(line.ends_with('…') || line.ends_with("..."));
            counts.line(line);
        }
        counts
    }

    fn line(&mut self, line: &str) {
        self.symbols += line.matches('#').count() + line.matches("...").count() + line.matches("……").count();
        self.symbols += line.matches('…').count() - 2 * line.matches("……").count();
        let mut word: Option<usize> = None;
        for (at, c) in line.char_indices() {
            let han = is_han_or_kana(c);
            if !han && (c.is_alphanumeric() || c == '\'' || c == '’') {
                word.get_or_insert(at);
                continue;
            }
            if let Some(start) = word.take() {
                self.word(&line[start..at]);
            }
            if han {
                self.han += 1;
                if let Some(known) = CHINESE.iter().position(|known| *known == c) {
                    self.chinese[known] = true;
                }
            }
        }
        if let Some(start) = word {
            self.word(&line[start..]);
        }
    }

    fn word(&mut self, word: &str) {
        self.words += 1;
        self.letters += word.chars().count();
        self.words_with_letter += usize::from(word.chars().any(char::is_alphabetic));
        if let Some(known) = ENGLISH.iter().position(|known| known.eq_ignore_ascii_case(word)) {
            self.english[known] = true;
        }
    }

    fn all_words(&self) -> f64 {
        self.words as f64 + self.han as f64 / 2.0
    }

    fn stop_words(&self) -> usize {
        let count = |known: &[bool]| known.iter().filter(|seen| **seen).count();
        count(&self.english).max(count(&self.chinese))
    }
}

impl Step for Quality {
    fn name(&self) -> &'static str {
        "quality"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let counts = Counts::of(&self.over.joined(&document.fields));
        let words = counts.all_words();
        if words < self.least_words {
            return Verdict::dropped("few words", format!("{words} words, {} are the least", self.least_words));
        }
        if words > self.most_words {
            return Verdict::dropped("many words", format!("{words} words, {} are the most", self.most_words));
        }
        let mean = counts.letters as f64 / counts.words.max(1) as f64;
        let (least, most) = self.mean_word_length;
        if counts.words * 2 > counts.han && !(least..=most).contains(&mean) {
            return Verdict::dropped("word length", format!("words have {mean:.1} letters in the mean"));
        }
        let symbols = counts.symbols as f64 / words;
        if symbols > self.symbols {
            return Verdict::dropped("symbols", format!("{symbols:.2} hash signs and ellipses a word"));
        }
        let of_lines = |count: usize| count as f64 / counts.lines.max(1) as f64;
        if of_lines(counts.bullet_lines) > self.bullet_lines {
            return Verdict::dropped(
                "bullets",
                format!("{} of {} lines begin with one", counts.bullet_lines, counts.lines),
            );
        }
        if of_lines(counts.ellipsis_lines) > self.ellipsis_lines {
            let detail = format!("{} of {} lines end with one", counts.ellipsis_lines, counts.lines);
            return Verdict::dropped("ellipses", detail);
        }
        let with_letter = (counts.words_with_letter as f64 + counts.han as f64 / 2.0) / words;
        if with_letter < self.words_with_letter {
            return Verdict::dropped("few letters", format!("{:.0} % of the words have a letter", 100.0 * with_letter));
        }
        if counts.stop_words() < self.stop_words {
            let detail = format!("{} different stop words, {} are the least", counts.stop_words(), self.stop_words);
            return Verdict::dropped("stop words", detail);
        }
        Verdict::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::tests::document;

    const CHINESE_TEXT: &str = "司馬遷在寫史記的時候，走遍了各地的名山大川，訪問了許多的老人，也讀了宮裡的藏書。他以為寫歷史的人不可以只聽一面的話，\
        所以每一件事都要多方查證。這部書後來成為中國史學的典範，與後代的正史一起流傳到今天，讀的人從來沒有斷過。";
    const ENGLISH_TEXT: &str = "The historian walked through the country to speak with old men and to read what was left of the records. \
        He held that whoever writes of the past must hear more than one side, and that every single event has to be checked against others. \
        The work became a model for all that came later, and people have read it ever since it was first copied.";

    fn label(text: &str) -> &'static str {
        match Quality::default().apply(&mut document(&[("text", text)])) {
            Verdict::Kept => "kept",
            Verdict::Changed(_) => "changed",
            Verdict::Dropped(reason) => reason.label,
        }
    }

    #[test]
    fn prose_passes_in_either_language() {
        assert_eq!(label(CHINESE_TEXT), "kept");
        assert_eq!(label(ENGLISH_TEXT), "kept");
    }

    #[test]
    fn each_filter_finds_its_kind() {
        assert_eq!(label("太短了。"), "few words");
        assert_eq!(label(&"12 34 56 78 ".repeat(30)), "word length");
        assert_eq!(label(&"123 4567 89012 ".repeat(30)), "few letters");
        assert_eq!(label(&"#標籤 #熱門 ".repeat(40)), "symbols");
        assert_eq!(label(&"- 項目一二三四五六七八九十\n".repeat(20)), "bullets");
        assert_eq!(label(&"閱讀更多關於此事的報導與評論和其他有關這件事的文章…\n".repeat(20)), "ellipses");
        assert_eq!(label(&"臺北高雄臺中臺南新竹嘉義屏東宜蘭花蓮臺東".repeat(10)), "stop words");
    }
}
