//! Writing for a terminal of 80 columns, where a Chinese character takes two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of the terminal.
pub(crate) const WIDTH: usize = 80;

/// How a piece stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Faint,
    Added,
    Removed,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "\u{1b}[1;32m",
            Style::Faint => "\u{1b}[2m",
            Style::Added => "\u{1b}[32m",
            Style::Removed => "\u{1b}[31m",
        }
    }
}

/// Writes with or without colours.
pub(crate) struct Pen {
    pub(crate) colours: bool,
    pub(crate) text: String,
}

impl Pen {
    pub(crate) fn new(colours: bool) -> Self {
        Pen { colours, text: String::new() }
    }

    pub(crate) fn line(&mut self, line: &str, style: Option<Style>) {
        let styled = self.styled(line.trim_end(), style);
        self.text += &styled;
        self.text.push('\n');
    }

    /// A piece of a line.
    pub(crate) fn styled(&self, piece: &str, style: Option<Style>) -> String {
        match style.filter(|_| self.colours) {
            Some(style) => format!("{}{piece}\u{1b}[0m", style.code()),
            None => piece.to_owned(),
        }
    }

    /// Text from column `start` on, broken at spaces or else where the line is full, what follows in column `indent`.
    pub(crate) fn paragraph(&mut self, text: &str, start: usize, indent: usize) {
        let (mut line, mut begun) = (" ".repeat(start), false);
        for word in text.split_inclusive(' ') {
            let whole = word.trim_end().width();
            if begun && line.width() + whole > WIDTH && indent + whole <= WIDTH {
                self.line(&line, None);
                line = " ".repeat(indent);
            }
            for c in word.chars() {
                if c != ' ' && line.width() + c.width().unwrap_or(0) > WIDTH {
                    self.line(&line, None);
                    line = " ".repeat(indent);
                }
                line.push(c);
                begun = true;
            }
        }
        self.line(&line, None);
    }
}

/// A text on one line of at most `columns`, with an ellipsis where it is cut; what would steer the terminal is made visible.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let shown = on_one_line(text);
    if shown.width() <= columns {
        return shown;
    }
    let (mut fitted, mut width) = (String::new(), 0);
    for c in shown.chars() {
        width += c.width().unwrap_or(0);
        if width >= columns {
            break;
        }
        fitted.push(c);
    }
    fitted + "…"
}

/// The same, filled up with spaces to exactly so many columns.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let fitted = fitted(text, columns);
    let gap = columns.saturating_sub(fitted.width());
    fitted + &" ".repeat(gap)
}

/// Line breaks as ⏎, tabs as ⇥, other control characters left out.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' => line.push('⏎'),
            '\t' => line.push('⇥'),
            c if c.is_control() => {}
            c => line.push(c),
        }
    }
    line
}

/// A bar of at most `columns`, in eighths of a column; what is not nothing is seen.
pub(crate) fn bar(part: u64, most: u64, columns: usize) -> String {
    if part == 0 || most == 0 {
        return String::new();
    }
    let eighths = (part as f64 / most as f64 * columns as f64 * 8.0).round().max(1.0) as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_takes_two_columns_and_what_steers_a_terminal_is_seen_or_gone() {
        assert_eq!(fitted("春眠不覺曉", 10), "春眠不覺曉");
        assert_eq!(fitted("春眠不覺曉", 9), "春眠不覺…");
        assert_eq!(padded("春", 4), "春  ");
        assert_eq!(padded("春眠不覺曉", 6).width(), 6);
        assert_eq!(fitted("a\nb\tc\u{1b}[31m", 20), "a⏎b⇥c[31m");
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_vanishes() {
        assert_eq!(bar(1, 2, 4), "██");
        assert_eq!(bar(3, 16, 4), "▊");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        assert_eq!(bar(0, 5, 4), "");
    }
}
