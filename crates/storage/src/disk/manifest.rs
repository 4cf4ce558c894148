//! `manifest`: which segments there are, in what order, and how much is in each.
//!
//! Names alone can't tell that the oldest or the newest is missing, or that two were exchanged. So each segment is named
//! with its salt, which is in its head too and which no other has.
//!
//! # When it is written
//!
//! By who opens and closes, and else by compaction's thread: never on the way of a write. So it may be a little behind, and
//! says no more than is true then: the newest that it names has *at least* so much, and there may be newer ones, without a
//! gap. The older ones have exactly so much.
//!
//! It is written beside its place, synced, renamed, and the folder is synced. An oldest segment that goes is renamed
//! first (`.gone`), and removed when the manifest does not name it any more; so at whatever moment the process ends, a
//! segment that is named is there under one of the two names.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::Tuning;
use super::frame::Salt;
use super::log::{Count, Log, sync_folder};
use super::segment::{self, at_path};
use crate::{Damage, StoreError};

const HEADING: &str = "rollcall store ";
const VERSION: u32 = 1;

/// What is stated of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) number: u32,
    pub(super) salt: Salt,
    /// Bytes of the file.
    pub(super) total: u64,
    pub(super) frames: u64,
}

/// Which segments there are, oldest first, without a gap in their numbers; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) entries: Vec<Stated>,
}

/// Why text is no manifest.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// From this byte on it can't be read.
    Damaged(usize),
    /// It is whole, and of this version.
    Version(String),
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("manifest")
}

impl Manifest {
    pub(super) fn of<'a>(segments: impl IntoIterator<Item = &'a Count>) -> Self {
        let entry = |&Count { number, salt, total, frames, .. }: &Count| Stated { number, salt, total, frames };
        Self { entries: segments.into_iter().map(entry).collect() }
    }

    pub(super) fn entry(&self, number: u32) -> Option<&Stated> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// The one that is written, or was when this was.
    pub(super) fn newest(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.number)
    }

    /// `None`: there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = path(folder);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| at_path(&path, &error))?,
        };
        Self::parse(&bytes).map(Some).map_err(|wrong| match wrong {
            Wrong::Damaged(at) => StoreError::Damaged { file: path, offset: at as u64, what: Damage::Manifest },
            Wrong::Version(found) => StoreError::Schema { found: format!("manifest {found}"), expected: VERSION },
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let text = str::from_utf8(bytes).map_err(|error| Wrong::Damaged(error.valid_up_to()))?;
        let end = text.strip_suffix('\n').and_then(|text| text.rfind('\n')).ok_or(Wrong::Damaged(0))? + 1;
        let (body, last) = text.split_at(end);
        if *last != check_line(body) {
            return Err(Wrong::Damaged(end));
        }
        // From here on it is as it was written.
        let mut lines = body.lines();
        let version = lines.next().and_then(|line| line.strip_prefix(HEADING)).ok_or(Wrong::Damaged(0))?;
        if version != VERSION.to_string() {
            return Err(Wrong::Version(version.to_owned()));
        }
        let entries = lines.map(Stated::parse).collect::<Option<Vec<_>>>().ok_or(Wrong::Damaged(0))?;
        let is_in_order = entries.windows(2).all(|pair| pair[0].number.checked_add(1) == Some(pair[1].number));
        if entries.is_empty() || !is_in_order {
            return Err(Wrong::Damaged(0));
        }
        Ok(Self { entries })
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEADING}{VERSION}\n");
        for Stated { number, salt, total, frames } in &self.entries {
            // A String takes all text.
            let _ = writeln!(text, "{number:016}.log {:016x} {total} bytes {frames} frames", salt.to_number());
        }
        let check = check_line(&text);
        text + &check
    }

    pub(super) fn write(&self, folder: &Path, tuning: &Tuning) -> Result<(), StoreError> {
        let (path, new) = (path(folder), folder.join("manifest.new"));
        let written = segment::private().truncate(true).open(&new).and_then(|file| {
            (tuning.write)(&file, self.to_text().as_bytes(), 0)?;
            // Before it is renamed: else the name might be on the disk, after a loss of power, and what it names not.
            (tuning.sync)(&file)
        });
        if let Err(error) = written {
            // The next one is made anew.
            let _ = fs::remove_file(&new);
            return Err(at_path(&new, &error).into());
        }
        fs::rename(&new, &path).and_then(|()| sync_folder(folder)).map_err(|error| at_path(&path, &error))?;
        self.clean_up(folder);
        Ok(())
    }

    /// Removes the segments that have gone and are not named any more.
    fn clean_up(&self, folder: &Path) {
        let oldest = self.entries.first().map_or(0, |entry| entry.number);
        // What can't be removed now is removed after the next time.
        for number in segment::gone(folder).unwrap_or_default() {
            if number < oldest {
                let _ = fs::remove_file(segment::gone_path(folder, number));
            }
        }
    }
}

impl Stated {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let number = words.next()?.strip_suffix(".log")?.parse().ok()?;
        let salt = Salt::from_number(u64::from_str_radix(words.next()?, 16).ok()?);
        let total = words.next()?.parse().ok()?;
        words.next().filter(|&word| word == "bytes")?;
        let frames = words.next()?.parse().ok()?;
        words.next().filter(|&word| word == "frames")?;
        words.next().is_none().then_some(Self { number, salt, total, frames })
    }
}

fn check_line(body: &str) -> String {
    format!("check {:08x}\n", crc32fast::hash(body.as_bytes()))
}

/// Brings the manifest up to date; false if it is.
pub(super) fn bring_up_to_date(log: &Mutex<Log>) -> Result<bool, StoreError> {
    let (manifest, folder, tuning) = {
        let mut log = log.lock();
        // Taken under the lock under which its contents are read: what changes while it is written makes it due again.
        if !std::mem::take(&mut log.is_manifest_due) {
            return Ok(false);
        }
        (Manifest::of(&log.segments), log.folder.clone(), log.tuning)
    };
    let written = manifest.write(&folder, &tuning);
    if written.is_err() {
        log.lock().is_manifest_due = true;
    }
    written.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let entry = |number: u32| Stated {
            number,
            salt: Salt::from_number(u64::from(number) << 40 | 0xFF),
            total: 28 + u64::from(number),
            frames: number.into(),
        };
        Manifest { entries: (7..10).map(entry).collect() }
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let text = manifest().to_text();
        assert_eq!(text.lines().nth(1), Some("0000000000000007.log 00000700000000ff 35 bytes 7 frames"));
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest()));
    }

    #[test]
    fn every_changed_or_missing_byte_is_found() {
        let text = manifest().to_text().into_bytes();
        for at in 0..text.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut text = text.clone();
                text[at] ^= flip;
                assert!(matches!(Manifest::parse(&text), Err(Wrong::Damaged(_))), "{at}");
            }
            assert!(matches!(Manifest::parse(&text[..at]), Err(Wrong::Damaged(_))), "{at}");
        }
    }

    #[test]
    fn one_of_a_later_version_is_not_called_damaged() {
        let body = "rollcall store 2\nwhatever\n";
        let text = body.to_owned() + &check_line(body);
        assert_eq!(Manifest::parse(text.as_bytes()), Err(Wrong::Version("2".to_owned())));
    }

    #[test]
    fn what_no_version_writes_is_damaged() {
        for body in [
            "rollcall store 1\n",
            "rollcall store 1\n0000000000000007.log 1 28 bytes 0 frames\n0000000000000009.log 1 28 bytes 0 frames\n",
            "rollcall store 1\n0000000000000007.log 1 28 bytes 0 frames more\n",
            "rollcall store 1\nx.log 1 28 bytes 0 frames\n",
        ] {
            let text = body.to_owned() + &check_line(body);
            assert_eq!(Manifest::parse(text.as_bytes()), Err(Wrong::Damaged(0)), "{body}");
        }
    }
}
