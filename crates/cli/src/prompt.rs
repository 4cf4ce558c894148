//! Asks for a secret on a terminal without showing it.
//!
//! rpassword 7.5 ends the process at Ctrl-C and leaves the terminal silent, and takes what is not UTF-8 for a password.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Read, Stdin, Write};
use std::path::PathBuf;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::columns::visible;
use crate::failure::Failure;

/// The new password of this one, typed twice.
///
/// # Errors
/// The two differ, it was broken off, or there is no terminal.
fn ask_twice(name: &str) -> io::Result<String> {
    let first = ask(&format!("new password for {}: ", visible(name)))?;
    if ask("once more: ")? == first {
        return Ok(first);
    }
    Err(io::Error::other("the two are not the same"))
}

/// A password: asked for on a terminal, a line from anything else.
///
/// # Errors
/// None was given.
pub(crate) fn password(name: &str) -> Result<String, Failure> {
    let given = if io::stdin().is_terminal() { ask_twice(name) } else { first_line(io::stdin().lock()) };
    given.map_err(|error| Failure::Usage(format!("no password was given: {error}")))
}

/// Where a password is.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct PasswordFrom {
    /// The password is the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordFrom {
    /// The new password of this one: where there is no file, it is [asked for](password).
    ///
    /// # Errors
    /// The file can't be read, or none was given.
    pub(crate) fn password(&self, name: &str) -> Result<String, Failure> {
        let Some(file) = &self.password_file else { return password(name) };
        let line = File::open(file).and_then(|file| first_line(BufReader::new(file)));
        line.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
    }
}

/// A password that is there already.
///
/// # Errors
/// None was given.
pub(crate) fn known_password(name: &str) -> Result<String, Failure> {
    let given = if io::stdin().is_terminal() {
        ask(&format!("password for {}: ", visible(name)))
    } else {
        first_line(io::stdin().lock())
    };
    given.map_err(|error| Failure::Usage(format!("no password was given: {error}")))
}

/// A line without its end.
pub(crate) fn first_line(mut input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(prompt: &str) -> io::Result<String> {
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes())?;
    let stdin = io::stdin();
    let _silent = Silent::begin(&stdin)?;
    let typed = read(stdin.lock().bytes());
    stderr.write_all(b"\n")?;
    typed
}

/// While it lives the terminal shows nothing of what is typed, and hands over each key, so that Ctrl-C can't end the
/// process and leave the terminal so.
struct Silent<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn begin(stdin: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(stdin)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(self.stdin, OptionalActions::Now, &self.before);
    }
}

fn read(keys: impl Iterator<Item = io::Result<u8>>) -> io::Result<String> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const DELETE: u8 = 127;
    let mut typed = Vec::new();
    for key in keys {
        match key? {
            b'\n' | b'\r' => {
                return String::from_utf8(typed).map_err(|_| io::Error::new(ErrorKind::InvalidData, "not UTF-8"));
            }
            CTRL_C | CTRL_D => break,
            CTRL_U => typed.clear(),
            // All bytes of the last character.
            BACKSPACE | DELETE => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte => typed.push(byte),
        }
    }
    Err(io::Error::new(ErrorKind::Interrupted, "broken off"))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[track_caller]
    fn check(typed: &str, expected: Option<&str>) {
        assert_eq!(read(typed.bytes().map(Ok)).ok().as_deref(), expected, "{typed:?}");
    }

    #[test]
    fn keys_make_a_line() {
        check("secret\n", Some("secret"));
        check("secrex\u{7f}t\rrest", Some("secret"));
        check("wrong\u{15}pass é\u{8}\u{8}w\n", Some("passw"));
        check("\u{7f}a\n", Some("a"));
        check("half\u{3}\n", None);
        check("half", None);
    }
}
