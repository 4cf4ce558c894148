//! Rows in columns, for people.
//!
//! comfy-table knows no table that is printed in parts, and squeezes columns where a line is to end with the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a text looks on a terminal with colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    #[default]
    Plain,
    Bold,
    Dim,
    Green,
    Red,
}

impl Paint {
    /// The text between what turns it on and off.
    pub(crate) fn wrap(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A cell; its text can't do anything to a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(crate) fn painted(text: &str, paint: Paint) -> Self {
        Self { text: visible(text), paint }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text.as_ref(), Paint::Plain)
    }
}

/// Columns that are printed in parts; one never becomes narrower than it was in an earlier one.
#[derive(Debug)]
pub(crate) struct Columns {
    widths: Vec<usize>,
    heads: Option<Vec<Cell>>,
}

impl Columns {
    pub(crate) fn new(heads: &[&str]) -> Self {
        let heads: Vec<_> = heads.iter().map(|head| Cell::painted(head, Paint::Bold)).collect();
        Self { widths: vec![0; heads.len()], heads: Some(heads) }
    }

    /// Without a line of heads.
    pub(crate) fn bare(columns: usize) -> Self {
        Self { widths: vec![0; columns], heads: None }
    }

    /// The lines of a part, none wider than `limit` columns of a terminal.
    pub(crate) fn lines(&mut self, rows: Vec<Vec<Cell>>, limit: Option<usize>, colours: bool) -> String {
        let heads = self.heads.take();
        let rows: Vec<_> = heads.into_iter().chain(rows).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let limit = limit.unwrap_or(usize::MAX);
        let widths = self.fitting(limit);
        rows.iter().map(|row| line(row, &widths, limit, colours)).collect()
    }

    /// The widths of what is shown: where not all fits, the widest give way to the others.
    fn fitting(&self, limit: usize) -> Vec<usize> {
        let room = limit.saturating_sub(GAP * self.widths.len().saturating_sub(1));
        let fits = |most: &usize| self.widths.iter().map(|width| width.min(most)).sum::<usize>() <= room;
        let widest = self.widths.iter().copied().max().unwrap_or_default();
        let most = if fits(&widest) { widest } else { (NARROWEST..room).rev().find(fits).unwrap_or(NARROWEST) };
        self.widths.iter().map(|width| *width.min(&most)).collect()
    }
}

/// Between two columns.
const GAP: usize = 2;

/// No column is made narrower; what then does not fit ends with the terminal.
const NARROWEST: usize = 8;

fn line(row: &[Cell], widths: &[usize], limit: usize, colours: bool) -> String {
    let mut line = String::new();
    let (mut left, mut gap) = (limit, 0);
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        // Nothing to be seen follows.
        if row[at..].iter().all(|cell| cell.text.is_empty()) {
            break;
        }
        if gap >= left {
            break;
        }
        line.extend(std::iter::repeat_n(' ', gap));
        left -= gap;
        let room = left.min(*width);
        let text = if cell.text.width() > room { cut(&cell.text, room) } else { cell.text.clone() };
        let shown = text.width();
        line += &if colours { cell.paint.wrap(&text) } else { text };
        left -= shown;
        gap = width - shown + GAP;
    }
    line.push('\n');
    line
}

/// What fits into `columns`, the last of them a sign that there is more.
fn cut(text: &str, columns: usize) -> String {
    let mut left = columns.saturating_sub(1);
    let fits = |char: &char| {
        let width = char.width().unwrap_or_default();
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Client ids, user names and topics are chosen by who connects: what a terminal would obey, or not show, is escaped.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\'' | '"' | '\\' => out.push(char),
            _ => out.extend(char.escape_debug()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<Cell>> {
        rows.iter().map(|row| row.iter().map(Cell::from).collect()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut columns = Columns::new(&["ID", "STATE"]);
        let first = columns.lines(rows(&[&["a", "online"], &["größer", ""]]), None, false);
        assert_eq!(first, "ID      STATE\na       online\ngrößer\n");
        let second = columns.lines(rows(&[&["b", "x"], &["much longer", "y"]]), None, false);
        assert_eq!(second, "b            x\nmuch longer  y\n");
    }

    #[test]
    fn a_line_ends_with_the_terminal() {
        let part = |limit| Columns::bare(2).lines(rows(&[&["abc", "defg"]]), Some(limit), false);
        assert_eq!(part(9), "abc  defg\n");
        assert_eq!(part(8), "abc  de…\n");
        assert_eq!(part(6), "abc  …\n");
        assert_eq!(part(5), "abc\n");
        assert_eq!(part(2), "a…\n");
    }

    #[test]
    fn what_is_long_hides_no_other_column() {
        let long = "x".repeat(180);
        let mut columns = Columns::new(&["ID", "STATE", "ADDRESS"]);
        let part = columns.lines(rows(&[&[&long, "online", "127.0.0.1"], &["a", "away", ""]]), Some(40), false);
        let (head, id) = ("ID".to_owned() + &" ".repeat(21) + "STATE   ADDRESS", "x".repeat(20));
        assert_eq!(part, format!("{head}\n{id}…  online  127.0.0.1\na{}away\n", " ".repeat(22)));
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let mut columns = Columns::bare(2);
        let part = columns.lines(rows(&[&["漢字", "a"], &["id", "b"]]), None, false);
        assert_eq!(part, "漢字  a\nid    b\n");
        let part = |limit| Columns::bare(1).lines(rows(&[&["漢字漢字"]]), Some(limit), false);
        assert_eq!(part(8), "漢字漢字\n");
        assert_eq!(part(7), "漢字漢…\n");
        assert_eq!(part(6), "漢字…\n");
    }

    #[test]
    fn colours_take_no_room() {
        let row = vec![Cell::painted("on", Paint::Green), Cell::from("x")];
        assert_eq!(Columns::bare(2).lines(vec![row.clone()], Some(5), true), "\x1b[32mon\x1b[0m  x\n");
        assert_eq!(Columns::bare(2).lines(vec![row], Some(5), false), "on  x\n");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(visible("it's \"fine\" 漢 é"), "it's \"fine\" 漢 é");
        assert_eq!(visible("\x1b[2J\n\r\t\u{9b}\u{7f}"), "\\u{1b}[2J\\n\\r\\t\\u{9b}\\u{7f}");
        assert_eq!(visible("a\u{202e}b\u{200b}c\u{301}"), "a\\u{202e}b\\u{200b}c\\u{301}");
        assert_eq!(visible("DOMAIN\\user"), "DOMAIN\\user");
    }
}
