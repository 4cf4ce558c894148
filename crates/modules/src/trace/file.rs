//! The file of a trace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub(super) struct LogFile {
    path: PathBuf,
    size: AtomicU64,
    /// It has as much as it may have, or can't be written to.
    is_full: AtomicBool,
    /// Left out since the last line.
    dropped: AtomicU64,
    open: Mutex<Option<File>>,
}

impl LogFile {
    /// One that may be there.
    pub(super) fn new(path: PathBuf) -> Self {
        let size = fs::metadata(&path).map_or(0, |about| about.len());
        Self { path, size: size.into(), is_full: false.into(), dropped: 0.into(), open: Mutex::default() }
    }

    /// Makes it, with its folder, empty.
    pub(super) fn create(&self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // It tells what clients send: for its owner only.
            options.mode(0o600);
        }
        *self.open.lock() = Some(options.open(&self.path)?);
        self.size.store(0, Relaxed);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Relaxed)
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// One line more could not be taken.
    pub(super) fn drop_line(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Adds a line, if there is room for it and the trace runs; says whether it did.
    pub(super) fn write(&self, line: &str, max: u64) -> bool {
        let mut open = self.open.lock();
        let Some(file) = open.as_mut() else { return false };
        let dropped = self.dropped.swap(0, Relaxed);
        let mut text = String::new();
        if dropped > 0 {
            text = format!("... {dropped} lines are left out\n");
        }
        text.push_str(line);
        if self.size() + text.len() as u64 > max {
            self.is_full.store(true, Relaxed);
        } else if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::warn!(path = %self.path.display(), %error, "a trace ends: its file can't be written to");
            self.is_full.store(true, Relaxed);
        } else {
            self.size.fetch_add(text.len() as u64, Relaxed);
            return true;
        }
        *open = None;
        false
    }

    /// Nothing is written any more.
    pub(super) fn close(&self) {
        *self.open.lock() = None;
    }

    pub(super) fn remove(&self) {
        self.close();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "the file of a trace can't be removed");
            }
            _ => {}
        }
    }

    /// So many bytes at the most, from here on.
    pub(super) fn read(&self, from: u64, bytes: u64) -> io::Result<Vec<u8>> {
        // No file has so much that it could not be asked for.
        if from >= self.size() {
            return Ok(Vec::new());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut read = Vec::new();
        file.take(bytes).read_to_end(&mut read)?;
        Ok(read)
    }
}
