//! Reads the password file again when it has changed.

use std::path::PathBuf;
use std::sync::Arc;

use mqtt_hooks::Host;
use tokio::sync::oneshot;

use super::directory::Directory;
use crate::password_file::Stamp;
use crate::pool::Pool;

/// Milliseconds between two looks.
const PERIOD: u64 = 3_000;

/// Looks at the file for as long as it is polled. A file that can't be used changes nothing.
pub(super) async fn watch(
    file: PathBuf,
    stamp: Stamp,
    directory: Arc<Directory>,
    pool: Arc<Pool>,
    host: Arc<dyn Host>,
) {
    let mut seen = Some(stamp);
    loop {
        host.sleep_until(host.clock_ms() + PERIOD).await;
        let (answer, answered) = oneshot::channel();
        let (file, directory) = (file.clone(), directory.clone());
        let look = move || {
            // The module may have stopped.
            let _ = answer.send(look(&file, seen, &directory));
        };
        // If logins have no room for it, the next look may.
        if pool.submit(std::net::Ipv6Addr::UNSPECIFIED.into(), Box::new(look)).is_ok()
            && let Ok(now) = answered.await
        {
            seen = now;
        }
    }
}

/// Returns the stamp of what was read, or found not to be read.
fn look(file: &std::path::Path, seen: Option<Stamp>, directory: &Directory) -> Option<Stamp> {
    let now = Stamp::now(file).ok();
    if now == seen && now.is_some() {
        directory.file_is_as_before();
        return seen;
    }
    match directory.read(file) {
        Ok(stamp) => Some(stamp),
        Err(error) => {
            // Said once for each change.
            if now != seen || !directory.is_file_bad() {
                tracing::error!(%error, "the password file can't be used; what was read before holds");
            }
            directory.file_is_bad();
            now
        }
    }
}
