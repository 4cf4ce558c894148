//! Reading on, whatever happens to the reader.

use std::sync::Arc;
use std::time::Duration;

use mqtt_roll::Fold;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::{Entry, Log, LogError, Reader};

/// Before something is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Of reading what is replaced meanwhile.
const TRIES: usize = 10;

/// Entries that were read and wait to be applied; who reads waits when there are more.
const AHEAD: usize = 256;

/// Reads a log from a position on, and from where it was when a reader breaks or is silent: every node beats, so while the
/// log is there something comes.
pub(super) fn follow<L: Log>(log: Arc<L>, mut position: u64, patience: Duration) -> mpsc::Receiver<Entry> {
    let (sender, entries) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        // Where something seemed to be missing.
        let mut missing = None;
        loop {
            let read = async {
                let mut reader = timeout(patience, log.read_from(position)).await.map_err(|_| silent())??;
                loop {
                    let entry = timeout(patience, reader.next()).await.map_err(|_| silent())??;
                    if entry.position > position && missing.replace(position) != Some(position) {
                        // The reader may be wrong; if another one is told the same, it is the log.
                        return Err(LogError::Away(format!("{position} is missing")));
                    }
                    // A reader that begins a little earlier does no harm.
                    if entry.position >= position {
                        position = entry.position + 1;
                        if sender.send(entry).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            };
            let read: Result<(), LogError> = tokio::select! {
                read = read => read,
                () = sender.closed() => return,
            };
            let Err(why) = read else { return };
            tracing::debug!(position, %why, "reading on");
            sleep(PAUSE).await;
        }
    });
    entries
}

/// What was kept of the log, if it can be read; `None` also if it can't be had, for then the log itself has to do.
pub(super) async fn find_snapshot<L: Log>(log: Arc<L>, patience: Duration) -> Option<Fold> {
    for _ in 0..TRIES {
        // It may be long.
        match timeout(10 * patience, log.saved()).await.unwrap_or_else(|_| Err(silent())) {
            Ok(snapshot) => {
                return snapshot.and_then(|snapshot| {
                    Fold::from_snapshot(&snapshot)
                        .inspect_err(|why| tracing::error!(%why, "the snapshot can't be read"))
                        .ok()
                });
            }
            Err(why) => tracing::debug!(%why, "the snapshot can't be had"),
        }
        sleep(PAUSE).await;
    }
    None
}

/// Finds the log's end, however long that takes.
pub(super) async fn find_end<L: Log>(log: Arc<L>, patience: Duration) -> u64 {
    loop {
        match timeout(patience, log.end()).await.unwrap_or_else(|_| Err(silent())) {
            Ok(end) => return end,
            Err(why) => tracing::debug!(%why, "the log's end is not known"),
        }
        sleep(PAUSE).await;
    }
}

fn silent() -> LogError {
    LogError::Away("nothing comes".into())
}
