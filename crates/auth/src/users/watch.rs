//! Reads the password file again when it has changed.

use std::net::Ipv6Addr;
use std::sync::Arc;

use mqtt_hooks::Host;
use tokio::sync::oneshot;

use super::directory::Directory;
use crate::pool::Pool;
use crate::watched::{PERIOD, Watched};

/// Looks at the file for as long as it is polled. A large one takes its time, so it is read in line with the logins.
pub(super) async fn watch(file: Arc<Watched>, directory: Arc<Directory>, pool: Arc<Pool>, host: Arc<dyn Host>) {
    loop {
        host.sleep_until(host.clock_ms() + PERIOD).await;
        let (done, is_done) = oneshot::channel::<()>();
        let (file, directory) = (file.clone(), directory.clone());
        let look = move || {
            let _done = done;
            if let Err(error) = file.read(|text| directory.take_file(text)) {
                tracing::error!(error, "the password file can't be used; what was read before holds");
            }
        };
        // If logins have no room for it, the next look may.
        if pool.submit(Ipv6Addr::UNSPECIFIED.into(), Box::new(look)).is_ok() {
            // Only its end is waited for.
            let _ = is_done.await;
        }
    }
}
