//! Certificates that are replaced while clients are connected, and the alarms about them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqtt_broker::Wrong;
use mqtt_net::Certificates;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

/// Time between two looks at whether files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An alarm begins so long before the end of a certificate, and is told once more so long before it.
const EXPIRES_SOON: Duration = Duration::from_secs(21 * DAY);
const EXPIRES_NOW: Duration = Duration::from_secs(7 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// Those of all listeners.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    of_listeners: Vec<(String, Arc<Certificates>)>,
    /// What is wrong with the files of a listener, by its place among them.
    wrong: Mutex<Vec<Option<String>>>,
    /// Somebody asks for a look at once.
    asked: Notify,
}

impl Kept {
    pub(crate) fn new(of_listeners: Vec<(String, Arc<Certificates>)>) -> Self {
        let wrong = Mutex::new(vec![None; of_listeners.len()]);
        Self { of_listeners, wrong, asked: Notify::new() }
    }

    /// Has them looked at now.
    pub(crate) fn look_now(&self) {
        self.asked.notify_one();
    }

    /// Looks until the runtime ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        if self.of_listeners.is_empty() {
            return std::future::pending().await;
        }
        loop {
            // Either way it is time.
            let _ = tokio::time::timeout(LOOK_EVERY, self.asked.notified()).await;
            let kept = Arc::clone(&self);
            // Files are read, and keys are checked: not on a thread that serves clients.
            let looked = tokio::task::spawn_blocking(move || kept.look()).await;
            if let Err(error) = looked {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn look(&self) {
        for (at, (listener, certificates)) in self.of_listeners.iter().enumerate() {
            let wrong = match certificates.refresh() {
                Ok(false) => continue,
                Ok(true) => {
                    tracing::info!(listener, "certificates read again");
                    None
                }
                Err(error) => {
                    tracing::error!(listener, %error, "certificates can't be read again; the old ones stay in use");
                    Some(error.to_string())
                }
            };
            self.wrong.lock()[at] = wrong;
        }
    }

    /// What is wrong with them.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let mut found = Vec::new();
        let wrong = self.wrong.lock();
        let invalid = self
            .of_listeners
            .iter()
            .zip(&*wrong)
            .find_map(|((listener, _), wrong)| wrong.as_ref().map(|why| (listener, why)));
        if let Some((listener, why)) = invalid {
            found.push(Wrong {
                name: "certificate_invalid",
                message: format!("listeners.{listener}: {why}; the certificates from before stay in use"),
                details: json!({ "listener": listener, "why": why }),
            });
        }
        drop(wrong);
        let ends = self.of_listeners.iter().filter_map(|(listener, kept)| Some((kept.expires_at()?, listener)));
        if let Some((end, listener)) = ends.min() {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            let days = left.as_secs() / DAY;
            let message = || format!("the certificate of listeners.{listener} ends in {days} days");
            let details = json!({ "listener": listener, "days": days });
            if left < EXPIRES_NOW {
                found.push(Wrong { name: "certificate_expires_now", message: message(), details: details.clone() });
            }
            if left < EXPIRES_SOON {
                found.push(Wrong { name: "certificate_expires", message: message(), details });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrong_where_there_is_no_tls() {
        assert!(Kept::default().wrong().is_empty());
    }
}
