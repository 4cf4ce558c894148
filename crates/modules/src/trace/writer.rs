//! The thread that writes lines to files.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use super::file::LogFile;
use super::traces::Counts;

/// Lines that wait to be written, of some hundred bytes each.
const MAX_LINES: usize = 8192;

/// Where lines are left. When the last one is gone the thread ends.
#[derive(Clone)]
pub(super) struct Lines(SyncSender<Line>);

struct Line {
    file: Arc<LogFile>,
    counts: Arc<Counts>,
    text: String,
}

/// Starts the thread; no file is to have more bytes than this.
pub(super) fn start(max_file_size: u64) -> io::Result<Lines> {
    let (lines, waiting) = sync_channel::<Line>(MAX_LINES);
    std::thread::Builder::new().name("trace".to_owned()).spawn(move || {
        for Line { file, counts, text } in waiting {
            if file.write(&text, max_file_size) {
                counts.lines.fetch_add(1, Relaxed);
            }
        }
    })?;
    Ok(Lines(lines))
}

impl Lines {
    /// Leaves a line; where too many wait it is counted and left out.
    pub(super) fn put(&self, file: &Arc<LogFile>, counts: &Arc<Counts>, text: String) {
        let line = Line { file: Arc::clone(file), counts: Arc::clone(counts), text };
        if let Err(TrySendError::Full(line) | TrySendError::Disconnected(line)) = self.0.try_send(line) {
            line.file.drop_line();
            line.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}
