//! Opening: the folder, the lock, and all that the log says.

use std::collections::VecDeque;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::log::{Count, Log, create, sync_folder};
use super::reboot;
use super::segment::{self, Next, Segment, at_path};
use super::{Durability, Limits, Opened};
use crate::StoreError;

impl Log {
    pub(super) fn open(folder: PathBuf, durability: Durability, limits: Limits) -> Result<(Self, Opened), StoreError> {
        let mut lock = lock(&folder, durability)?;
        // Before anything is looked at: it shortens segments and takes some away.
        let lost = reboot::settle(&folder, &mut lock, durability)?;
        let numbers = segment::numbers(&folder).map_err(|error| at_path(&folder, &error))?;
        // Segments begin at one end and go at the other. One that is missing between them took removals along: what they
        // removed would come back.
        if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
            return Err(StoreError::Damaged { file: segment::path(&folder, gap[0] + 1), offset: 0 });
        }
        let newest = numbers.last().copied().unwrap_or(1);
        let mut cut = lost;
        let path = segment::path(&folder, newest);
        let left = if numbers.is_empty() { None } else { Segment::open(&path, true)? };
        // Without a whole head nobody was told that anything is in it: a frame is only appended when `create` is done.
        let (file, salt) = match &left {
            Some(segment) => (segment.file.try_clone()?, segment.salt),
            None => create(&folder, newest, durability, &limits)?,
        };
        let mut log = Self {
            folder,
            durability,
            limits,
            tables: Default::default(),
            segments: VecDeque::new(),
            file,
            salt,
            is_torn: false,
            total: 0,
            live: 0,
            lock: Some(lock),
        };
        // Oldest first: of two puts of a key the later one counts, and a removal only removes what came before it.
        for &number in numbers.iter().filter(|&&number| number != newest) {
            let path = segment::path(&log.folder, number);
            if let Some(mut segment) = Segment::open(&path, false)? {
                log.replay(number, &mut segment, &path)?;
                // Not a torn tail: the next segment is begun by an append, which has cut such a tail off first.
                if segment.at() < segment.len {
                    return Err(StoreError::Damaged { file: path, offset: segment.at() });
                }
            }
        }
        match left {
            Some(mut segment) => {
                log.replay(newest, &mut segment, &path)?;
                let torn = segment.len - segment.at();
                cut += torn;
                if torn > 0 {
                    log.cut(&mut segment, &path)?;
                }
            }
            None => log.add(newest, segment::HEAD as u64),
        }
        let opened = Opened { records: log.len() as u64, bytes: log.total, cut };
        Ok((log, opened))
    }

    /// Up to the end of the segment, or to what is not a frame.
    fn replay(&mut self, number: u32, segment: &mut Segment, path: &Path) -> Result<(), StoreError> {
        // First, for `apply` counts what is alive in it.
        self.add(number, segment.len);
        while segment.next().map_err(|error| at_path(path, &error))? == Next::Frame {
            // Its checksum is right, so it was written like this and may be acknowledged: to cut it off would be to lose it.
            self.apply(segment.body(), number, segment.body_at())
                .map_err(|_| StoreError::Later { file: path.to_owned(), offset: segment.at() })?;
        }
        Ok(())
    }

    /// Cuts off what is not a frame. That is what is left of a write that was not finished, and nothing was
    /// acknowledged that was in it; but if a frame follows, it is not, and something is lost: frames are appended behind
    /// whole ones only, and the salt sees to it that none is taken for one which a payload only looks like.
    ///
    /// It may not be left there: the next frame would be appended behind it, and the next start find it damaged.
    fn cut(&mut self, segment: &mut Segment, path: &Path) -> Result<(), StoreError> {
        let (offset, bytes) = (segment.at(), segment.len - segment.at());
        if segment.has_more().map_err(|error| at_path(path, &error))? {
            return Err(StoreError::Damaged { file: path.to_owned(), offset });
        }
        tracing::warn!(file = %path.display(), offset, bytes, "cut off a write that was not finished");
        self.file.set_len(offset).map_err(|error| at_path(path, &error))?;
        if self.durability == Durability::Power {
            // It is gone before anything is appended, in whatever order the system would write the two.
            (self.limits.sync)(&self.file)?;
        }
        self.total -= bytes;
        if let Some(newest) = self.segments.back_mut() {
            newest.total -= bytes;
        }
        Ok(())
    }

    fn add(&mut self, number: u32, total: u64) {
        self.segments.push_back(Count { number, total, live: 0 });
        self.total += total;
    }
}

/// Makes the folder if it is not there, and takes it for this process.
fn lock(folder: &Path, durability: Durability) -> Result<File, StoreError> {
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| at_path(folder, &error))?;
        if let (Durability::Power, Some(parent)) = (durability, folder.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            sync_folder(parent).map_err(|error| at_path(parent, &error))?;
        }
    }
    let path = folder.join("lock");
    // What is in it says who was here last, see `reboot.rs`. The lock is the system's: one who is killed holds none.
    let lock = segment::private().truncate(false).open(&path).map_err(|error| at_path(&path, &error))?;
    match lock.try_lock() {
        Ok(()) => {
            if let Err(error) = close_to_others(folder) {
                tracing::warn!(folder = %folder.display(), %error, "others on this machine may be able to read its files");
            }
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(at_path(&path, &error).into()),
    }
}

/// Earlier versions made files that everyone could read.
fn close_to_others(folder: &Path) -> io::Result<()> {
    let segments = segment::numbers(folder)?.into_iter().map(|number| segment::path(folder, number));
    for path in segments.chain([folder.join("lock")]) {
        let mode = fs::metadata(&path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o700))?;
        }
    }
    Ok(())
}
