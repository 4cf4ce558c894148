//! A file that is read again when it has changed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// Milliseconds between two looks at whether a file has changed.
pub(crate) const PERIOD: u64 = 3_000;

/// Tells whether a file is another one, or has been written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: u64,
    len: u64,
    changed: (i64, i64),
}

/// A file, and how it was when it was looked at last. One that can't be used changes nothing.
pub(crate) struct Watched {
    pub(crate) path: PathBuf,
    max_bytes: u64,
    seen: Mutex<Option<Stamp>>,
    is_bad: AtomicBool,
    /// Looks at it while it can't be used.
    bad_looks: AtomicU64,
}

impl Watched {
    /// One with more bytes is taken for a mistake.
    pub(crate) fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self { path, max_bytes, seen: Mutex::default(), is_bad: AtomicBool::default(), bad_looks: AtomicU64::default() }
    }

    /// Hands the text to `take` if it is not the one that was handed over before; says why it can't be used. What it is
    /// called stands before that, with a line where there is one.
    pub(crate) fn read(&self, take: impl FnOnce(&str) -> Result<(), crate::WrongLine>) -> Result<(), String> {
        let path = self.path.display();
        let mut seen = self.seen.lock();
        if seen.is_some() && *seen == Stamp::now(&self.path).ok() {
            if self.is_bad() {
                self.bad_looks.fetch_add(1, Relaxed);
            }
            return Ok(());
        }
        let was_there = seen.take().is_some();
        let taken = match read(&self.path, self.max_bytes) {
            Ok((text, stamp)) => {
                // Who writes to it from here on changes the stamp.
                *seen = Some(stamp);
                take(&text).map_err(|wrong| format!("{path}:{}: {}", wrong.line, wrong.why))
            }
            Err(error) => Err(format!("{path}: {error}")),
        };
        let was_bad = self.is_bad.swap(taken.is_err(), Relaxed);
        if taken.is_err() {
            self.bad_looks.fetch_add(1, Relaxed);
        }
        // A file that is not there is said to be so once.
        if was_bad && !was_there && seen.is_none() { Ok(()) } else { taken }
    }

    /// The next [`Self::read`] hands it over whether or not it has changed.
    pub(crate) fn forget(&self) {
        *self.seen.lock() = None;
        self.is_bad.store(false, Relaxed);
    }

    pub(crate) fn is_bad(&self) -> bool {
        self.is_bad.load(Relaxed)
    }

    pub(crate) fn bad_looks(&self) -> u64 {
        self.bad_looks.load(Relaxed)
    }
}

/// A text file, and its stamp from before it was read.
fn read(file: &Path, max_bytes: u64) -> io::Result<(String, Stamp)> {
    let mut opened = File::open(file)?;
    let stamp = Stamp::of(&opened.metadata()?);
    if stamp.len > max_bytes {
        return Err(io::Error::other(format!("it has more than {max_bytes} bytes")));
    }
    let mut text = String::new();
    opened.by_ref().take(max_bytes).read_to_string(&mut text)?;
    Ok((text, stamp))
}

impl Stamp {
    fn now(file: &Path) -> io::Result<Self> {
        fs::metadata(file).map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self { file: metadata.ino(), len: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WrongLine;

    #[test]
    fn a_file_is_handed_over_once_for_each_change() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched::new(folder.path().join("file"), 10);
        let read = || {
            let mut taken = None;
            let take = |text: &str| {
                taken = Some(text.to_owned());
                if text == "bad" { Err(WrongLine { line: 3, why: "no".to_owned() }) } else { Ok(()) }
            };
            let result = watched.read(take).map_err(|why| why.rsplit('/').next().unwrap().to_owned());
            (result, taken)
        };
        let write = |text: &str| fs::write(&watched.path, text).unwrap();
        let nothing = (Ok(()), None);
        assert!(read().0.is_err_and(|why| why.starts_with("file: ")) && watched.is_bad());
        assert_eq!(read(), nothing, "that was said");
        write("good");
        assert_eq!(read(), (Ok(()), Some("good".to_owned())));
        assert_eq!((read(), watched.is_bad()), (nothing.clone(), false));
        write("bad");
        assert_eq!(read(), (Err("file:3: no".to_owned()), Some("bad".to_owned())));
        let looks = watched.bad_looks();
        assert_eq!((read(), watched.is_bad(), watched.bad_looks()), (nothing, true, looks + 1));
        write("far too long");
        assert!(read().0.is_err_and(|why| why.contains("more than 10 bytes")));
        write("good again");
        assert_eq!((read(), watched.is_bad()), ((Ok(()), Some("good again".to_owned())), false));
        watched.forget();
        assert_eq!(read().1.as_deref(), Some("good again"));
    }
}
