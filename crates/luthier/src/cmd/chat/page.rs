//! Where an answer appears: as it is, or in one of two columns of a terminal, side by side with another one.
//!
//! The left column is written first and the cursor goes back up for the right one, so that both grow as they are spoken. Lines
//! break between words and between Chinese characters, which are two columns wide; a word appears when it is whole.

use terminal_size::{Height, Width};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cmd::{Failure, print};

/// Columns between the two.
const GAP: usize = 3;

/// Columns that each of them needs at least.
const LEAST: usize = 28;

/// Where an answer appears.
pub(super) trait Page {
    /// Writes more of the answer.
    fn write(&mut self, piece: &str) -> Result<(), Failure>;
    /// The answer is over; what follows begins on a line of its own.
    fn end(&mut self) -> Result<(), Failure>;
}

/// From the first column to the last.
#[derive(Debug)]
pub(super) struct Plain {
    /// For a person: a model's control characters are shown and not obeyed.
    pub(super) terminal: bool,
}

impl Page for Plain {
    fn write(&mut self, piece: &str) -> Result<(), Failure> {
        if self.terminal { print(&harmless(piece)) } else { print(piece) }
    }

    fn end(&mut self) -> Result<(), Failure> {
        print("\n")
    }
}

impl Page for Column {
    fn write(&mut self, piece: &str) -> Result<(), Failure> {
        print(&self.written(&harmless(piece)))
    }

    fn end(&mut self) -> Result<(), Failure> {
        print(&self.ended())
    }
}

/// Control characters as the symbols that Unicode has for them, line feeds and tabs aside.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{FFFD}'),
        '\x7f' => '\u{2421}',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Two columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    /// Of each column.
    width: usize,
    /// Of the screen.
    height: usize,
}

impl Columns {
    /// The columns of the terminal that stdout is, if it has room for two.
    pub(super) fn of_terminal() -> Option<Self> {
        let (Width(width), Height(height)) = terminal_size::terminal_size_of(std::io::stdout())?;
        Self::new(usize::from(width), usize::from(height))
    }

    fn new(width: usize, height: usize) -> Option<Self> {
        // A character in the last column of a terminal may or may not move the cursor: it stays empty.
        let width = width.saturating_sub(1 + GAP) / 2;
        (width >= LEAST).then_some(Self { width, height })
    }

    /// Both names on one line.
    pub(super) fn heading(self, left: &str, right: &str) -> String {
        let left = clipped(left, self.width);
        format!("{left}{:gap$}{}", "", clipped(right, self.width), gap = self.right() - left.width())
    }

    fn right(self) -> usize {
        self.width + GAP
    }

    pub(super) fn first(self) -> Column {
        Column { columns: self, start: 0, row: 0, column: 0, rows: 1, word: String::new() }
    }
}

/// The beginning of a name that fits.
fn clipped(name: &str, width: usize) -> String {
    let mut clipped = String::new();
    for c in name.chars() {
        if clipped.width() + c.width().unwrap_or(0) > width {
            break;
        }
        clipped.push(c);
    }
    clipped
}

/// A column while it is written.
#[derive(Debug)]
pub(super) struct Column {
    columns: Columns,
    /// The column of the screen where it begins.
    start: usize,
    /// Where the cursor is, from the beginning of the answer.
    row: usize,
    column: usize,
    /// Rows that both columns have so far.
    rows: usize,
    /// A word that is not yet whole.
    word: String,
}

impl Column {
    /// What the terminal is sent for more of the answer.
    fn written(&mut self, text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\n' => {
                    self.put_word(&mut out);
                    self.next_row(&mut out);
                }
                ' ' => {
                    self.put_word(&mut out);
                    // A line that was just broken does not begin with the space that it was broken at.
                    if self.column > 0 && self.column < self.columns.width {
                        self.put(c, &mut out);
                    }
                }
                c if c.width().unwrap_or(0) > 1 => {
                    self.put_word(&mut out);
                    self.put(c, &mut out);
                }
                c => self.word.push(c),
            }
        }
        out
    }

    fn ended(&mut self) -> String {
        let mut out = String::new();
        self.put_word(&mut out);
        let below = self.rows - 1 - self.row;
        if below > 0 {
            out += &format!("\x1b[{below}B");
        }
        out + "\r\n"
    }

    /// The column beside this one; `None` where this one has run off the screen.
    pub(super) fn turn(self) -> Result<Option<Self>, Failure> {
        let (motion, beside) = self.beside();
        print(&motion)?;
        Ok(beside)
    }

    /// The column beside this one, and what moves the cursor there.
    fn beside(mut self) -> (String, Option<Self>) {
        let mut out = String::new();
        self.put_word(&mut out);
        // The heading and the line that is being written stay in sight too.
        if self.rows + 1 >= self.columns.height {
            return (out + "\r\n", None);
        }
        let start = self.columns.right();
        if self.row > 0 {
            out += &format!("\x1b[{}A", self.row);
        }
        out += &format!("\x1b[{}G", start + 1);
        (out, Some(Self { start, row: 0, column: 0, word: String::new(), ..self }))
    }

    fn put_word(&mut self, out: &mut String) {
        let word = std::mem::take(&mut self.word);
        if self.column > 0 && self.column + word.width() > self.columns.width {
            self.next_row(out);
        }
        word.chars().for_each(|c| self.put(c, out));
    }

    fn put(&mut self, c: char, out: &mut String) {
        let width = c.width().unwrap_or(0);
        if self.column + width > self.columns.width {
            self.next_row(out);
        }
        out.push(c);
        self.column += width;
    }

    fn next_row(&mut self, out: &mut String) {
        self.row += 1;
        self.column = 0;
        // A line feed at the foot of the screen makes a new row; moving down does not.
        *out += if self.row < self.rows { "\x1b[1B" } else { "\n" };
        self.rows = self.rows.max(self.row + 1);
        *out += &format!("\x1b[{}G", self.start + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Option<Columns> = Some(Columns { width: 28, height: 8 });

    /// What a terminal of 60 columns shows when both columns are written piece by piece.
    fn shown(left: &[&str], right: &[&str]) -> String {
        let columns = Columns::new(60, 8).expect("there is room");
        let mut terminal = vt100::Parser::new(8, 60, 0);
        let mut send = |text: &str| terminal.process(text.as_bytes());
        send(&format!("{}\r\n", columns.heading("base", "tuned")));
        let mut column = columns.first();
        left.iter().for_each(|piece| send(&column.written(piece)));
        let (motion, column) = column.beside();
        send(&motion);
        let mut column = column.expect("the left one is on the screen");
        right.iter().for_each(|piece| send(&column.written(piece)));
        send(&column.ended());
        send("end");
        terminal.screen().contents()
    }

    #[test]
    fn two_answers_stand_side_by_side_and_what_follows_stands_below_the_longer_one() {
        assert_eq!(Columns::new(60, 8), COLUMNS);
        assert_eq!(
            shown(&["one line"], &["a", " line", "\nand an", "other"]),
            "base                           tuned\n\
             one line                       a line\n\
             \x20                              and another\n\
             end"
        );
        assert_eq!(
            shown(&["three\n\n", "lines"], &["one"]),
            "base                           tuned\nthree                          one\n\nlines\nend"
        );
    }

    #[test]
    fn lines_break_between_words_and_between_chinese_characters() {
        let chinese = "春眠不覺曉，處處聞啼鳥。夜來風雨聲";
        assert_eq!(
            shown(&["twenty-eight columns are not many, are they"], &[chinese]),
            "base                           tuned\n\
             twenty-eight columns are not   春眠不覺曉，處處聞啼鳥。夜來\n\
             many, are they                 風雨聲\n\
             end"
        );
        let long = "x".repeat(40);
        assert!(shown(&[&long], &["y"]).contains(&format!("{}   y\n{}\n", &long[..28], &long[28..])));
    }

    #[test]
    fn a_column_that_runs_off_the_screen_has_none_beside_it() {
        let mut column = COLUMNS.expect("columns").first();
        let rows = column.written("a\nb\nc\nd\ne\nf\ng\nh");
        assert!(rows.ends_with('G'));
        let (motion, beside) = column.beside();
        assert!(beside.is_none() && motion == "h\r\n", "{motion:?}");
    }

    #[test]
    fn narrow_terminals_have_no_columns_and_long_names_are_cut() {
        assert_eq!(Columns::new(59, 8), None);
        let columns = Columns::new(80, 24).expect("there is room");
        assert_eq!(columns.heading(&"長".repeat(30), "b"), format!("{}   b", "長".repeat(19)));
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\td\n"), "a\u{241b}[2Jb\u{fffd}c d\n");
    }
}
