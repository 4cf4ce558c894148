//! Where answers are printed, for people or for scripts.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use crate::columns::{Cell, Columns, Paint};
use crate::reach::Reach;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    pub(crate) is_json: bool,
    colours: bool,
    /// Characters of a line, on a terminal.
    width: Option<usize>,
}

impl Output {
    pub(crate) fn new(reach: &Reach) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let size = if is_terminal { tcgetwinsize(&stdout).ok() } else { None };
        Self {
            is_json: reach.json,
            colours: reach.colours && is_terminal,
            width: size.map(|size| size.ws_col.into()).filter(|&width| width > 0),
            stdout: BufWriter::new(stdout),
        }
    }

    /// Lines may be longer than the terminal is wide.
    pub(crate) const fn keep_long_lines(&mut self) {
        self.width = None;
    }

    /// A line of JSON.
    pub(crate) fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.stdout, "{value}")
    }

    /// A line for people.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stdout, "{line}")
    }

    /// A line of bytes as they are, for who says that they want that.
    pub(crate) fn bytes_line(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)?;
        self.stdout.write_all(b"\n")
    }

    /// A line for people, or the broker's answer for scripts.
    pub(crate) fn done(&mut self, line: &str, answer: &Value) -> io::Result<()> {
        if self.is_json { self.json(answer) } else { writeln!(self.stdout, "{line}") }
    }

    /// Something beside what is printed, on standard error.
    pub(crate) fn note(&self, line: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{line}")
    }

    /// Objects as rows of columns, or one a line.
    pub(crate) fn rows(
        &mut self,
        columns: &mut Columns,
        objects: &[Value],
        row: impl Fn(&Value) -> Vec<Cell>,
    ) -> io::Result<()> {
        if self.is_json {
            return objects.iter().try_for_each(|object| self.json(object));
        }
        let lines = columns.lines(objects.iter().map(row).collect(), self.width, self.colours);
        self.stdout.write_all(lines.as_bytes())
    }

    /// The keys of an object and their values, or the object.
    pub(crate) fn object(&mut self, object: &Value) -> io::Result<()> {
        if self.is_json {
            return self.json(object);
        }
        let pairs = object.as_object().into_iter().flatten();
        let rows = pairs.map(|(key, value)| vec![Cell::painted(key, Paint::Bold), Cell::from(text(value))]);
        let lines = Columns::bare(2).lines(rows.collect(), self.width, self.colours);
        self.stdout.write_all(lines.as_bytes())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// A value as people write it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A key's value in an object, as people write it; nothing if there is none.
pub(crate) fn field(object: &Value, key: &str) -> String {
    object.get(key).map(text).unwrap_or_default()
}

/// Milliseconds since the Unix epoch in local time, or what else is there.
pub(crate) fn time(object: &Value, key: &str) -> String {
    let time = object.get(key).and_then(Value::as_i64).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match time {
        Some(time) => Zoned::new(time, TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        None => field(object, key),
    }
}
