//! The log: segments, the newest of which is written, and where each record is in them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::frame::{self, Frame, Malformed, ReadSteps, Salt};
use super::index::{Index, Place};
use super::lock::Lock;
use super::segment::{self, at_path};
use super::{Durability, Tuning};
use crate::{Step, StoreError, Table};

/// What there is of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) number: u32,
    /// Bytes of the file.
    pub(super) total: u64,
    /// Bytes of it that are steps which made what is there now.
    pub(super) live: u64,
    pub(super) salt: Salt,
    pub(super) frames: u64,
    /// All of it is on the disk, and it changes no more.
    pub(super) is_synced: bool,
}

impl Count {
    pub(super) const fn new(number: u32, total: u64, salt: Salt) -> Self {
        Self { number, total, live: 0, salt, frames: 0, is_synced: false }
    }
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) folder: PathBuf,
    pub(super) durability: Durability,
    pub(super) tuning: Tuning,
    pub(super) tables: [Index; Table::ALL.len()],
    /// Without a gap in their numbers, oldest first; never empty.
    pub(super) segments: VecDeque<Count>,
    /// The newest segment.
    pub(super) file: File,
    pub(super) salt: Salt,
    /// There may be something behind the newest segment's last frame.
    pub(super) is_torn: bool,
    /// Bytes of all segments.
    pub(super) total: u64,
    /// Bytes of what is there.
    pub(super) live: u64,
    /// The manifest says less than is true.
    pub(super) is_manifest_due: bool,
    /// Held for as long as the store is open.
    pub(super) lock: Option<Lock>,
}

impl Log {
    /// Without anything in it; `file` is the newest segment.
    pub(super) fn new(folder: PathBuf, durability: Durability, tuning: Tuning, file: File, salt: Salt) -> Self {
        Self {
            folder,
            durability,
            tuning,
            tables: Table::ALL.map(Index::of),
            segments: VecDeque::new(),
            file,
            salt,
            is_torn: false,
            total: 0,
            live: 0,
            is_manifest_due: true,
            lock: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(Index::len).sum()
    }

    /// The segment that is written.
    fn newest(&self) -> Count {
        self.segments.back().copied().unwrap_or(Count::new(0, 0, self.salt))
    }

    /// True if the oldest segment is to go.
    ///
    /// The log is kept within twice the live bytes and a constant. What goes round is at most as much as what is
    /// freed, so each byte is written twice on average at worst. A segment without anything alive costs only its
    /// removal, which a full disk needs.
    pub(super) fn is_compactable(&self) -> bool {
        match self.segments.front() {
            Some(oldest) if self.segments.len() > 1 => {
                oldest.live == 0 || self.total > 2 * self.live + self.tuning.slack
            }
            _ => false,
        }
    }

    /// True if there is something for compaction's thread.
    pub(super) fn has_work(&self) -> bool {
        self.is_manifest_due || self.is_compactable()
    }

    /// Appends a frame that has steps and is checked. It is in the log as a whole or not at all.
    pub(super) fn append(&mut self, frame: &mut Frame) -> Result<(), StoreError> {
        // In this order: a segment that is followed by another one must be whole.
        self.heal()?;
        if self.newest().total >= self.tuning.segment {
            self.begin()?;
        }
        let Count { number, total: at, .. } = self.newest();
        // Only now is it known which segment it goes to, so the salt comes last; a writer has computed the checksum before it
        // locked the log.
        let bytes = frame.seal(self.salt);
        let len = bytes.len() as u64;
        // Behind the last whole frame, wherever the file ends.
        let mut written = (self.tuning.write)(&self.file, bytes, at);
        if written.is_ok() && self.durability == Durability::Power {
            written = (self.tuning.sync)(&self.file);
        }
        if let Err(error) = written {
            self.is_torn = true;
            // What was written of it takes space. If this fails too, the next attempt begins with it.
            let _ = self.heal();
            return Err(error.into());
        }
        // From here on nothing fails: what the index says is in the log, and a write that failed has changed neither.
        self.total += len;
        if let Some(newest) = self.segments.back_mut() {
            newest.total += len;
            newest.frames += 1;
        }
        let applied = self.apply(frame.body(), number, at + frame::HEAD as u64);
        debug_assert_eq!(applied, Ok(()), "this version's frames can be read by it");
        Ok(())
    }

    /// Cuts off what a failed attempt left: nothing may follow it, or it would not be a torn tail.
    ///
    /// After a failed sync nobody knows which pages of the frame got to the disk, and a second sync would not try
    /// them again. So they are dropped, and the next attempt writes the frame anew, together with the page in which
    /// the frame before it ends. All before that was synced.
    fn heal(&mut self) -> io::Result<()> {
        if self.is_torn {
            // `total` is what is known to be whole: it grows only when a frame is.
            self.file.set_len(self.newest().total)?;
            if self.durability == Durability::Power {
                (self.tuning.sync)(&self.file)?;
            }
            // Last: if the sync fails, the next attempt begins here again.
            self.is_torn = false;
        }
        Ok(())
    }

    /// Begins a segment. The one before it is whole, and in [`Durability::Power`] synced.
    fn begin(&mut self) -> Result<(), StoreError> {
        let number = self.newest().number.checked_add(1);
        let number = number.ok_or(io::Error::from(io::ErrorKind::FileTooLarge))?;
        // If this fails the old one stays the newest, and as it is full every append begins with another attempt.
        let (file, salt) = create(&self.folder, number, self.durability, &self.tuning)?;
        // From here on nothing can fail, so file, salt and list tell of the same segment.
        (self.file, self.salt) = (file, salt);
        self.segments.push_back(Count::new(number, segment::HEAD as u64, salt));
        self.total += segment::HEAD as u64;
        self.is_manifest_due = true;
        Ok(())
    }

    /// Notes what a frame of a segment did. `body_at` is the offset of its body.
    pub(super) fn apply(&mut self, body: &[u8], segment: u32, body_at: u64) -> Result<(), Malformed> {
        // Segments are shorter than this can count, see `Frame::check`; replay has looked.
        let body_at = u32::try_from(body_at).map_err(|_| Malformed)?;
        for placed in ReadSteps::new(body, 0) {
            let frame::Placed { step, value_at } = placed?;
            let (key, was) = match step {
                Step::Put(table, key, value) => {
                    let offset = body_at.checked_add(value_at).ok_or(Malformed)?;
                    // Only where the value is: values stay in the files, and memory has what finds them.
                    let place = Place { segment, offset, len: value.len() as u32 };
                    self.count(segment, |live| live + frame::put_size(key.len(), place.len));
                    (key, self.table_mut(table).insert(key, place))
                }
                // It counts as nothing alive: when its segment is the oldest, there is nothing left that it could
                // remove.
                Step::Remove(table, key) => (key, self.table_mut(table).remove(key)),
            };
            // What it was in is still there: a segment goes when nothing in it is alive.
            if let Some(was) = was {
                self.count(was.segment, |live| live - frame::put_size(key.len(), was.len));
            }
        }
        Ok(())
    }

    pub(super) const fn table(&self, table: Table) -> &Index {
        &self.tables[table.number() as usize]
    }

    const fn table_mut(&mut self, table: Table) -> &mut Index {
        &mut self.tables[table.number() as usize]
    }

    fn count(&mut self, segment: u32, change: impl Fn(u64) -> u64) {
        self.live = change(self.live);
        // They are without a gap, so a number tells the place in the list.
        let first = self.segments.front().map_or(0, |oldest| oldest.number);
        if let Some(count) = self.segments.get_mut((segment - first) as usize) {
            count.live = change(count.live);
        }
    }
}

/// Makes a segment's file with its head.
pub(super) fn create(
    folder: &std::path::Path,
    number: u32,
    durability: Durability,
    tuning: &Tuning,
) -> Result<(File, Salt), StoreError> {
    let path = segment::path(folder, number);
    let (head, salt) = segment::new_head();
    let made = segment::private().truncate(true).open(&path).and_then(|file| {
        (tuning.write)(&file, &head, 0)?;
        if durability == Durability::Power {
            // Before a frame in it is promised. Syncing the frame syncs its file, not the name that it is found by.
            (tuning.sync)(&file)?;
            sync_folder(folder)?;
        }
        Ok((file, salt))
    });
    made.map_err(|error| {
        // The next attempt, or the next start, makes it anew if this fails.
        let _ = fs::remove_file(&path);
        at_path(&path, &error).into()
    })
}

/// Makes what was created and removed in a folder survive a loss of power.
pub(super) fn sync_folder(folder: &std::path::Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
