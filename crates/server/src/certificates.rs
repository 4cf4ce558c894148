//! Certificates that are replaced while clients are connected, and the alarms about them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqtt_broker::Wrong;
use mqtt_net::{Certificates, Refreshed};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

/// Time between two looks at whether files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An alarm begins so long before the end of a certificate, and is told once more so long before it.
const EXPIRES_SOON: Duration = Duration::from_secs(21 * DAY);
const EXPIRES_NOW: Duration = Duration::from_secs(7 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// Those of all ports.
#[derive(Default)]
pub(crate) struct Kept {
    /// By what the configuration calls the port.
    of_ports: Vec<(String, Arc<Certificates>)>,
    /// Is told which of them have been replaced.
    replaced: Mutex<Option<Replaced>>,
    /// What is wrong with the files of a port, by its place among them.
    wrong: Mutex<Vec<Option<String>>>,
    /// Somebody asks for a look at once.
    asked: Notify,
}

/// Is told whose certificates have been replaced.
type Replaced = Box<dyn Fn(&str) + Send>;

impl Kept {
    pub(crate) fn new(of_ports: Vec<(String, Arc<Certificates>)>) -> Self {
        let wrong = Mutex::new(vec![None; of_ports.len()]);
        Self { of_ports, replaced: Mutex::default(), wrong, asked: Notify::new() }
    }

    /// Has `replaced` told whose certificates are others from now on.
    pub(crate) fn tell(&self, replaced: impl Fn(&str) + Send + 'static) {
        *self.replaced.lock() = Some(Box::new(replaced));
    }

    /// Has them looked at now.
    pub(crate) fn look_now(&self) {
        self.asked.notify_one();
    }

    /// Looks until the runtime ends. `review` ends the connections of clients whose certificates are no longer good, and says of how
    /// many.
    pub(crate) async fn watch(self: Arc<Self>, review: Arc<impl Fn() -> usize + Send + Sync + 'static>) {
        if self.of_ports.is_empty() {
            return std::future::pending().await;
        }
        loop {
            // Either way it is time.
            let _ = tokio::time::timeout(LOOK_EVERY, self.asked.notified()).await;
            let (kept, review) = (Arc::clone(&self), Arc::clone(&review));
            // Files are read, and keys are checked: not on a thread that serves clients.
            let looked = tokio::task::spawn_blocking(move || kept.look(&*review)).await;
            if let Err(error) = looked {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn look(&self, review: &impl Fn() -> usize) {
        let mut is_trust_another = false;
        for (at, (port, certificates)) in self.of_ports.iter().enumerate() {
            let wrong = match certificates.refresh() {
                Ok(Refreshed::No) => continue,
                Ok(refreshed) => {
                    tracing::info!(port, "certificates read again");
                    if let Some(replaced) = &*self.replaced.lock() {
                        replaced(port);
                    }
                    is_trust_another |= refreshed == Refreshed::Trust;
                    None
                }
                Err(error) => {
                    tracing::error!(port, %error, "certificates can't be read again; the old ones stay in use");
                    Some(error.to_string())
                }
            };
            self.wrong.lock()[at] = wrong;
        }
        if is_trust_another {
            let clients = review();
            tracing::info!(clients, "connections ended whose clients' certificates are no longer good");
        }
    }

    /// What is wrong with them.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let mut found = Vec::new();
        let wrong = self.wrong.lock();
        let invalid = self.of_ports.iter().zip(&*wrong);
        let invalid = invalid.filter_map(|((port, _), wrong)| Some((port, wrong.as_ref()?))).next();
        if let Some((port, why)) = invalid {
            found.push(Wrong {
                name: "certificate_invalid",
                message: format!("{port}: {why}; the certificates from before stay in use"),
                details: json!({ "listener": name_of(port), "why": why }),
            });
        }
        drop(wrong);
        let stale = self.of_ports.iter().filter_map(|(port, kept)| Some((kept.stale_at()?, port)));
        if let Some((_, port)) = stale.min().filter(|(at, _)| *at <= SystemTime::now()) {
            found.push(Wrong {
                name: "crl_stale",
                message: format!("{port}: the list of revoked certificates is out of date"),
                details: json!({ "listener": name_of(port) }),
            });
        }
        let ends = self.of_ports.iter().filter_map(|(port, kept)| Some((kept.expires_at()?, port)));
        if let Some((end, port)) = ends.min() {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            let days = left.as_secs() / DAY;
            let message = || format!("the certificate of {port} ends in {days} days");
            let details = json!({ "listener": name_of(port), "days": days });
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

/// As alarms name it: a listener by its own name.
fn name_of(port: &str) -> &str {
    port.strip_prefix("listeners.").unwrap_or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrong_where_there_is_no_tls() {
        assert!(Kept::default().wrong().is_empty());
    }
}
