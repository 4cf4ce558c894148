//! Events as lines of JSON in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use mqtt_hooks::Host;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::lines::LineFile;
use super::target::{Outcome, Target};

/// Below the broker's folder: where files are that are not said to be elsewhere.
const FOLDER: &str = "sinks";

/// So that no setting makes the broker write to what is no file of events.
const ENDING: &str = "jsonl";

mqtt_hooks::settings! {
    /// A file of JSON lines.
    pub struct FileSink {
        /// Name
        ///
        /// In metrics and logs; with another one it is another sink. Letters, digits, `-`, `_` and `.`.
        pub name: String = "",
        /// File
        ///
        /// Ends with `.jsonl`; it is below `sinks` in the broker's folder unless it begins with `/`.
        pub path: String = "",
        /// Bytes of a file
        ///
        /// When it would have more it becomes NAME.1, what was that NAME.2, and so on.
        pub max_file_size: u64 = 67108864 in 4096..=1_099_511_627_776,
        /// Files
        ///
        /// So many at the most, with the one that is written to; the oldest goes.
        pub max_files: u32 = 8 in 1..=1000,
    }
}

impl FileSink {
    /// Whether the path is one for events.
    pub(super) fn check(&self) -> Result<(), String> {
        let path = Path::new(&self.path);
        let goes_up = path.components().any(|part| part == std::path::Component::ParentDir);
        if path.extension().is_some_and(|ending| ending == ENDING) && !goes_up {
            Ok(())
        } else {
            Err(format!("path: {:?}: wants a file that ends with \".{ENDING}\", without \"..\"", self.path))
        }
    }

    pub(super) fn lines(&self, host: &dyn Host) -> Result<LineFile, String> {
        let path = PathBuf::from(&self.path);
        let path = match host.folder() {
            _ if path.is_absolute() => path,
            Some(folder) => folder.join(FOLDER).join(path),
            None => return Err(format!("path: {:?}: wants one that begins with /, for nothing is stored", self.path)),
        };
        Ok(LineFile { path, max_bytes: self.max_file_size, max_files: self.max_files })
    }
}

/// Where batches go that are refused for good; `None`: nowhere.
pub(super) fn dead_letters(name: &str, host: &dyn Host) -> Option<LineFile> {
    let path = host.folder()?.join(FOLDER).join("dead").join(format!("{name}.{ENDING}"));
    Some(LineFile { path, max_bytes: 16 << 20, max_files: 4 })
}

/// A thread that writes to a file. It ends with this, after what it is about to write.
pub(super) struct Writer(SyncSender<Job>);

/// To be written, and who wants to know what came of it.
struct Job {
    lines: String,
    done: oneshot::Sender<io::Result<()>>,
}

/// Comes true when a [`Writer`]'s thread has ended.
pub(super) type Ended = oneshot::Receiver<()>;

impl Writer {
    pub(super) fn start(file: LineFile) -> io::Result<(Self, Ended)> {
        // One at a time: who is told the next batch has been told what came of this one.
        let (jobs, waiting) = sync_channel::<Job>(1);
        let (ending, ended) = oneshot::channel();
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            for Job { lines, done } in waiting {
                // Who asked may have gone.
                let _ = done.send(file.add(lines.as_bytes()));
            }
            let _ = ending.send(());
        })?;
        Ok((Self(jobs), ended))
    }
}

#[async_trait::async_trait]
impl Target for Writer {
    async fn tell(&self, batch: &Batch) -> Outcome {
        let (done, written) = oneshot::channel();
        let gone = || io::Error::other("the thread that writes is gone or busy");
        let result = match self.0.try_send(Job { lines: batch.text(), done }) {
            Ok(()) => written.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        match result {
            Ok(()) => Outcome::Taken,
            Err(error) => Outcome::NotNow { why: error.to_string(), after: None },
        }
    }
}
