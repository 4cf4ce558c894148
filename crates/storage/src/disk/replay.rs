//! Opening: the folder, the lock, and all that the log says.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::frame::Salt;
use super::lock::Lock;
use super::log::{Count, Log, create};
use super::manifest::{self, Manifest};
use super::reboot;
use super::segment::{self, Next, Segment, at_path};
use super::{Contents, Durability, Tuning};
use crate::{Damage, StoreError};

impl Log {
    pub(super) fn open(
        folder: PathBuf,
        durability: Durability,
        tuning: Tuning,
    ) -> Result<(Self, Contents), StoreError> {
        let lock = Lock::make(&folder, durability)?;
        let mut manifest = if lock.is_of_earlier_version() { None } else { Manifest::read(&folder)? };
        if manifest.is_none() && lock.has_manifest() {
            return Err(StoreError::Damaged { file: manifest::path(&folder), offset: 0, what: Damage::Missing });
        }
        let mut numbers = numbers(&folder, manifest.as_ref(), lock.may_be_incomplete())?;
        let mut cut = 0;
        if lock.may_be_incomplete() {
            // Before anything is read: it shortens segments and takes some away.
            if let Some(lost) = reboot::cut(&folder, &mut numbers, manifest.as_ref())? {
                cut = lost;
                // What was promised is another from here on.
                manifest = None;
            }
        }
        if durability == Durability::Power {
            // From now on all that is there is promised.
            for &number in &numbers {
                let path = segment::path(&folder, number);
                File::open(&path).and_then(|file| file.sync_all()).map_err(|error| at_path(&path, &error))?;
            }
        }
        let newest = numbers.last().copied().unwrap_or(1);
        let left = if numbers.is_empty() { None } else { Segment::open(&folder, newest, true, manifest.as_ref())? };
        // Without a whole head nobody was told that anything is in it: a frame is only appended when `create` is done.
        let (file, salt) = match &left {
            Some(segment) => (segment.file.try_clone()?, segment.salt),
            None => create(&folder, newest, durability, &tuning)?,
        };
        let mut log = Self { lock: Some(lock), ..Self::new(folder, durability, tuning, file, salt) };
        // Oldest first: of two puts of a key the later one counts, and a removal only removes what came before it.
        for &number in numbers.iter().filter(|&&number| number != newest) {
            if let Some(mut segment) = Segment::open(&log.folder, number, false, manifest.as_ref())? {
                log.replay(number, &mut segment)?;
                // Not a torn tail: the next segment is begun by an append, which has cut such a tail off first.
                if segment.at() < segment.len {
                    return Err(segment.damaged(&segment::path(&log.folder, number))?);
                }
                log.compare(&mut segment, number, manifest.as_ref())?;
            }
        }
        match left {
            Some(mut segment) => {
                log.replay(newest, &mut segment)?;
                log.compare(&mut segment, newest, manifest.as_ref())?;
                let torn = segment.len - segment.at();
                cut += torn;
                if torn > 0 {
                    log.cut(&mut segment, newest)?;
                }
            }
            None => log.add(newest, segment::HEAD as u64, salt),
        }
        log.settle(cut > 0 || manifest.is_none())?;
        let opened = Contents { records: log.len() as u64, bytes: log.total, cut };
        Ok((log, opened))
    }

    /// Writes down how the folder is, and that it is this process's.
    ///
    /// A full disk is no reason not to start: the manifest that is there is true, only not up to date. Where there is none,
    /// the mark says so, and the next start takes the folder over.
    fn settle(&mut self, is_new: bool) -> Result<(), StoreError> {
        let written = Manifest::of(&self.segments).write(&self.folder, &self.tuning);
        self.is_manifest_due = written.is_err();
        if let (Err(error), Some(lock)) = (&written, &self.lock) {
            tracing::warn!(%error, "the list of the store's files can't be written");
            if is_new {
                // Before the mark: who reads the mark would take the old list for true.
                let path = manifest::path(&self.folder);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(at_path(&path, &error).into());
                    }
                    _ => {}
                }
            }
            lock.mark(self.durability, !is_new)?;
        } else if let Some(lock) = &self.lock {
            lock.mark(self.durability, true)?;
        }
        Ok(())
    }

    /// Up to the end of the segment, or to what is not a frame.
    pub(super) fn replay(&mut self, number: u32, segment: &mut Segment) -> Result<(), StoreError> {
        let path = segment::path(&self.folder, number);
        // First, for `apply` counts what is alive in it.
        self.add(number, segment.len, segment.salt);
        while segment.next().map_err(|error| at_path(&path, &error))? == Next::Frame {
            // Its checksum is right, so it was written like this and may be acknowledged: to cut it off would be to lose it.
            self.apply(segment.body(), number, segment.body_at())
                .map_err(|_| StoreError::Later { file: path.clone(), offset: segment.at() })?;
            if let Some(newest) = self.segments.back_mut() {
                newest.frames += 1;
            }
        }
        Ok(())
    }

    /// A segment is at an end; it is to have as much as the manifest says.
    fn compare(&self, segment: &mut Segment, number: u32, manifest: Option<&Manifest>) -> Result<(), StoreError> {
        let Some(manifest) = manifest else { return Ok(()) };
        let Some(entry) = manifest.entry(number) else { return Ok(()) };
        let what = match entry.total.cmp(&segment.at()) {
            Ordering::Equal => return Ok(()),
            Ordering::Greater if segment.len >= entry.total => {
                return Err(segment.damaged(&segment::path(&self.folder, number))?);
            }
            Ordering::Greater => Damage::Short(entry.total - segment.at()),
            // More may have been written since.
            Ordering::Less if number == manifest.newest() => return Ok(()),
            Ordering::Less => Damage::Long(segment.at() - entry.total),
        };
        let offset = entry.total.min(segment.at());
        Err(StoreError::Damaged { file: segment::path(&self.folder, number), offset, what })
    }

    /// Cuts off what is not a frame. That is what is left of a write that was not finished, and nothing was
    /// acknowledged that was in it; but if a frame follows, it is not, and something is lost: frames are appended behind
    /// whole ones only, and the salt sees to it that none is taken for one which a payload only looks like.
    ///
    /// It may not be left there: the next frame would be appended behind it, and the next start find it damaged.
    fn cut(&mut self, segment: &mut Segment, number: u32) -> Result<(), StoreError> {
        let path = segment::path(&self.folder, number);
        let (offset, bytes) = (segment.at(), segment.len - segment.at());
        if segment.find_next().map_err(|error| at_path(&path, &error))?.is_some() {
            return Err(segment.damaged(&path)?);
        }
        tracing::warn!(file = %path.display(), offset, bytes, "cut off a write that was not finished");
        self.file.set_len(offset).map_err(|error| at_path(&path, &error))?;
        if self.durability == Durability::Power {
            // It is gone before anything is appended, in whatever order the system would write the two.
            (self.tuning.sync)(&self.file)?;
        }
        self.total -= bytes;
        if let Some(newest) = self.segments.back_mut() {
            newest.total -= bytes;
        }
        Ok(())
    }

    fn add(&mut self, number: u32, total: u64, salt: Salt) {
        self.segments.push_back(Count::new(number, total, salt));
        self.total += total;
    }
}

/// The numbers of the segments, oldest first. An error if one is missing.
fn numbers(folder: &Path, manifest: Option<&Manifest>, is_cuttable: bool) -> Result<Vec<u32>, StoreError> {
    let mut numbers = segment::numbers(folder).map_err(|error| at_path(folder, &error))?;
    if let Some(manifest) = manifest {
        let gone = segment::gone(folder).map_err(|error| at_path(folder, &error))?;
        let is_there = |number: u32| numbers.binary_search(&number).is_ok();
        // The oldest may have gone since the manifest was written.
        let has_gone = |entry: &&manifest::Stated| !is_there(entry.number) && gone.contains(&entry.number);
        let rest = manifest.entries.iter().skip_while(has_gone);
        let is_missing = |entry: &&manifest::Stated| !is_there(entry.number);
        let missing = rest.clone().find(is_missing).map(|entry| entry.number);
        // A start after the system's end was ended itself while it put aside what was behind a cut, the newest first.
        let was_put_aside = |number| {
            is_cuttable && reboot::is_aside(folder, number) && numbers.last().is_none_or(|&last| last < number)
        };
        if let Some(number) = missing.filter(|&number| !was_put_aside(number)) {
            let file = segment::path(folder, number);
            return Err(StoreError::Damaged { file, offset: 0, what: Damage::Missing });
        }
        let oldest = rest.clone().next().map_or(0, |entry| entry.number);
        // Not ours: an older one than the oldest has gone long since.
        numbers.retain(|&number| number >= oldest);
    }
    // Segments begin at one end and go at the other. One that is missing between them took removals along: what they
    // removed would come back.
    if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        let file = segment::path(folder, gap[0] + 1);
        return Err(StoreError::Damaged { file, offset: 0, what: Damage::Missing });
    }
    Ok(numbers)
}
