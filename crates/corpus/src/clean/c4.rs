//! The line filters of C4 (Raffel et al. 2020, arXiv 1910.10683, section 2.2), made to work for Chinese: full-width marks end a sentence
//! as well, and a line's length counts two Han characters as a word.

use super::quality::is_han_or_kana;
use super::{Over, Step, Verdict, sentences};
use crate::document::Document;

/// Keeps the lines of a page that are sentences, and the pages that have enough of them.
#[derive(Debug, Clone)]
pub struct CleanLines {
    /// Whether a line must end with a mark that ends a sentence.
    pub ends_with_mark: bool,
    /// The fewest words of a line.
    pub least_words: usize,
    /// Lines that hold one of these are left out; small letters.
    pub unwanted_in_line: Vec<String>,
    /// Documents that hold one of these are dropped; small letters.
    pub unwanted: Vec<String>,
    /// The fewest sentences of a document.
    pub least_sentences: usize,
    /// The fields, each by itself.
    pub over: Over,
}

impl Default for CleanLines {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        CleanLines {
            ends_with_mark: true,
            least_words: 3,
            unwanted_in_line: words(&[
                "javascript",
                "terms of use",
                "privacy policy",
                "cookie policy",
                "uses cookies",
                "use of cookies",
                "隱私權政策",
                "隐私政策",
                "使用條款",
                "使用条款",
                "版權所有",
                "版权所有",
                "著作權聲明",
                "轉載請註明",
                "转载请注明",
                "點擊這裡",
                "点击这里",
            ]),
            unwanted: words(&["lorem ipsum"]),
            least_sentences: 3,
            over: Over::fields(["text"]),
        }
    }
}

impl CleanLines {
    fn keeps(&self, line: &str) -> bool {
        let line = line.trim();
        if self.ends_with_mark && !ends_with_mark(line) {
            return false;
        }
        if words(line) < self.least_words as f64 {
            return false;
        }
        if self.unwanted_in_line.is_empty() {
            return true;
        }
        let small = line.to_lowercase();
        !self.unwanted_in_line.iter().any(|word| small.contains(word.as_str()))
    }
}

/// Whether a line ends with a mark that ends a sentence, closing quotes and brackets aside.
fn ends_with_mark(line: &str) -> bool {
    let bare = line.trim_end_matches(['」', '』', '”', '’', '"', '\'', '）', ')', '》', '】']);
    bare.ends_with(['。', '！', '？', '…', '；', '.', '!', '?', '．', '｡']) && !bare.is_empty()
}

fn words(line: &str) -> f64 {
    let han = line.chars().filter(|c| is_han_or_kana(*c)).count();
    let spaced =
        line.split(|c: char| !c.is_alphanumeric() || is_han_or_kana(c)).filter(|word| !word.is_empty()).count();
    spaced as f64 + han as f64 / 2.0
}

impl Step for CleanLines {
    fn name(&self) -> &'static str {
        "clean-lines"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        if !self.unwanted.is_empty() {
            let small = self.over.joined(&document.fields).to_lowercase();
            if let Some(word) = self.unwanted.iter().find(|word| small.contains(word.as_str())) {
                return Verdict::dropped("unwanted text", format!("it holds {word:?}"));
            }
        }
        let changed = self.over.change(&mut document.fields, |text| {
            let mut kept = String::with_capacity(text.len());
            for line in text.lines().filter(|line| self.keeps(line)) {
                if !kept.is_empty() {
                    kept.push('\n');
                }
                kept.push_str(line.trim_end());
            }
            (kept != text).then_some(kept)
        });
        let count: usize = self.over.texts(&document.fields).map(|text| sentences(text).count()).sum();
        if count < self.least_sentences {
            let detail = format!("{count} sentences are left, {} are the least", self.least_sentences);
            return Verdict::dropped("few sentences", detail);
        }
        if changed { Verdict::Changed("lines") } else { Verdict::Kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::tests::document;

    #[test]
    fn lines_that_are_no_sentences_go() {
        let text = "首頁 > 新聞\n他說：「這是一個好消息。」\n隱私權政策請看這裡的說明。\n第二天他就走了，沒有人知道為什麼。\n\
            The rest of the story is told elsewhere.\n更多";
        let mut page = document(&[("text", text)]);
        assert_eq!(CleanLines::default().apply(&mut page), Verdict::Changed("lines"));
        assert_eq!(
            page.text("text"),
            "他說：「這是一個好消息。」\n第二天他就走了，沒有人知道為什麼。\nThe rest of the story is told elsewhere."
        );
    }

    #[test]
    fn pages_without_sentences_go() {
        for (text, label) in
            [("首頁\n登入\n購物車", "few sentences"), ("Lorem ipsum dolor sit amet. A b c. D e f.", "unwanted text")]
        {
            let verdict = CleanLines::default().apply(&mut document(&[("text", text)]));
            assert!(matches!(&verdict, Verdict::Dropped(reason) if reason.label == label), "{verdict:?}");
        }
    }
}
