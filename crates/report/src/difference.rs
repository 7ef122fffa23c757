//! Which characters or words two texts share: the highlighting of an answer against its reference, and of a row against what it was.
//!
//! Characters are grapheme clusters, so Chinese is compared character by character and an accent or an emoji is never
//! torn apart. The shortest edit script alone is hard to read: chance matches of single letters scatter the marks. So an
//! agreement no longer than the changes on either side of it is given up (diff-match-patch's "semantic clean-up"), where a
//! character beyond the Latin alphabet, which is often a word, counts for two.

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use unicode_segmentation::UnicodeSegmentation as _;

/// A stretch of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Whether the other text lacks it.
    pub differs: bool,
    /// What it says.
    pub text: String,
}

/// Both texts as spans: (reference with what the output lacks marked, output with what the reference lacks marked).
pub(crate) fn spans(reference: &str, output: &str) -> (Vec<Span>, Vec<Span>) {
    let [old, new] = [reference, output].map(|text| text.graphemes(true).collect::<Vec<&str>>());
    spans_of(&old, &new, |grapheme| if grapheme.is_ascii() { 1 } else { 2 })
}

/// Both texts as spans of whole words, and of single characters where words are not set apart, as in Chinese: (before with what is gone
/// marked, after with what has come marked).
#[must_use]
pub fn word_spans(before: &str, after: &str) -> (Vec<Span>, Vec<Span>) {
    let [old, new] = [before, after].map(|text| text.split_word_bounds().collect::<Vec<&str>>());
    spans_of(&old, &new, |word| match word.is_ascii() {
        true => usize::from(!word.trim().is_empty()),
        false => 2,
    })
}

/// `weight` says how much the agreement in a unit counts.
fn spans_of(old: &[&str], new: &[&str], weight: fn(&str) -> usize) -> (Vec<Span>, Vec<Span>) {
    let ops = capture_diff_slices(Algorithm::Myers, old, new);
    let mut blocks: Vec<Block> = ops.into_iter().map(|op| Block::of(op, old, weight)).collect();
    give_up_chance_matches(&mut blocks);
    let mut sides = (Vec::new(), Vec::new());
    let (mut from_old, mut from_new) = (0, 0);
    for block in &blocks {
        push(&mut sides.0, !block.equal, &old[from_old..from_old + block.old]);
        push(&mut sides.1, !block.equal, &new[from_new..from_new + block.new]);
        from_old += block.old;
        from_new += block.new;
    }
    sides
}

fn push(spans: &mut Vec<Span>, differs: bool, units: &[&str]) {
    match spans.last_mut() {
        _ if units.is_empty() => {}
        Some(last) if last.differs == differs => last.text.extend(units.iter().copied()),
        _ => spans.push(Span { differs, text: units.concat() }),
    }
}

/// `old` units of the reference against `new` of the output, following on from the block before.
struct Block {
    equal: bool,
    old: usize,
    new: usize,
    /// What an agreement says, to be weighed against the changes beside it.
    agreement: usize,
}

impl Block {
    fn of(op: DiffOp, old: &[&str], weight: fn(&str) -> usize) -> Self {
        let at = op.old_range();
        let agreement = old[at.clone()].iter().map(|unit| weight(unit)).sum();
        Self { equal: matches!(op, DiffOp::Equal { .. }), old: at.len(), new: op.new_range().len(), agreement }
    }

    fn changed(&self) -> usize {
        self.old.max(self.new)
    }
}

fn give_up_chance_matches(blocks: &mut Vec<Block>) {
    loop {
        merge_neighbours(blocks);
        let chance = (1..blocks.len().saturating_sub(1)).find(|&at| {
            let (before, here, after) = (&blocks[at - 1], &blocks[at], &blocks[at + 1]);
            here.equal && here.agreement <= before.changed() && here.agreement <= after.changed()
        });
        match chance {
            Some(at) => blocks[at].equal = false,
            None => return,
        }
    }
}

fn merge_neighbours(blocks: &mut Vec<Block>) {
    blocks.dedup_by(|next, kept| {
        let same = next.equal == kept.equal;
        if same {
            kept.old += next.old;
            kept.new += next.new;
            kept.agreement += next.agreement;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(spans: &[Span]) -> String {
        spans.iter().map(|span| if span.differs { format!("[{}]", span.text) } else { span.text.clone() }).collect()
    }

    #[test]
    fn chinese_is_compared_by_characters() {
        let (reference, output) = spans("十八年，奚、契丹犯塞。", "十八年，奚、契丹侵犯邊塞。");
        assert_eq!(shown(&reference), "十八年，奚、契丹犯塞。");
        assert_eq!(shown(&output), "十八年，奚、契丹[侵]犯[邊]塞。");
    }

    #[test]
    fn words_are_never_torn_and_chinese_among_them_is_compared_by_characters() {
        let (before, after) = word_spans("a red umbrella, 契丹犯塞", "a scarlet umbrella, 契丹侵犯邊塞");
        assert_eq!(shown(&before), "a [red] umbrella, 契丹犯塞");
        assert_eq!(shown(&after), "a [scarlet] umbrella, 契丹[侵]犯[邊]塞");
        let (before, after) = word_spans("the old man sleeps", "the young cat eats");
        assert_eq!((shown(&before).as_str(), shown(&after).as_str()), ("the [old man sleeps]", "the [young cat eats]"));
    }

    #[test]
    fn texts_that_share_only_chance_letters_differ_as_a_whole() {
        let (reference, output) = spans("abcdef", "xaybzc");
        assert_eq!((shown(&reference).as_str(), shown(&output).as_str()), ("[abcdef]", "[xaybzc]"));
    }

    #[test]
    fn a_combining_accent_stays_with_its_letter() {
        let (_, output) = spans("cafe", "cafe\u{301}");
        assert_eq!(shown(&output), "caf[e\u{301}]");
    }

    #[test]
    fn empty_and_equal_texts_carry_no_marks() {
        assert_eq!(spans("", ""), (Vec::new(), Vec::new()));
        let (reference, output) = spans("同", "同");
        assert_eq!((shown(&reference), shown(&output)), ("同".to_owned(), "同".to_owned()));
        let (reference, output) = spans("字", "");
        assert_eq!((shown(&reference), shown(&output)), ("[字]".to_owned(), String::new()));
    }

    #[test]
    fn putting_the_spans_together_gives_back_both_texts() {
        let (a, b) = ("一種可折疊之儲能裝置，包含殼體", "可折疊儲能裝置及其殼體 (v2)");
        let (reference, output) = spans(a, b);
        let joined = |spans: &[Span]| spans.iter().map(|span| span.text.as_str()).collect::<String>();
        assert_eq!((joined(&reference).as_str(), joined(&output).as_str()), (a, b));
    }
}
