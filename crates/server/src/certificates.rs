//! Certificates that are replaced while clients are connected, and the alarms about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
    all: Mutex<Vec<OfPort>>,
    /// Is told which of them have been replaced.
    replaced: Mutex<Option<Replaced>>,
    /// Somebody asks for a look at once.
    asked: Notify,
    /// Clients are to be looked at, for those by whom they came in ask for something else.
    is_trust_another: AtomicBool,
}

#[derive(Clone)]
struct OfPort {
    /// As the configuration calls it.
    port: String,
    certificates: Arc<Certificates>,
    /// What is wrong with its files.
    wrong: Option<String>,
    /// The port has others now, or none, or is gone: these are for who came in by them.
    is_retired: bool,
}

/// Is told whose certificates have been replaced.
type Replaced = Box<dyn Fn(&str) + Send>;

impl Kept {
    /// Those of a port from now on. Who came in by others that it had is held to what is asked by these.
    pub(crate) fn set(&self, port: &str, certificates: Option<Arc<Certificates>>) {
        let mut all = self.all.lock();
        for old in all.iter_mut().filter(|old| old.port == port) {
            old.is_retired = true;
            if let Some(certificates) = &certificates {
                old.certificates.follow(certificates);
                self.is_trust_another.store(true, Relaxed);
            }
        }
        if let Some(certificates) = certificates {
            all.push(OfPort { port: port.to_owned(), certificates, wrong: None, is_retired: false });
        }
        drop(all);
        self.look_now();
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
        loop {
            // Either way it is time.
            let _ = tokio::time::timeout(LOOK_EVERY, self.asked.notified()).await;
            if self.all.lock().is_empty() {
                continue;
            }
            let (kept, review) = (Arc::clone(&self), Arc::clone(&review));
            // Files are read, and keys are checked: not on a thread that serves clients.
            let looked = tokio::task::spawn_blocking(move || kept.look(&*review)).await;
            if let Err(error) = looked {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn look(&self, review: &impl Fn() -> usize) {
        let all = self.all.lock().clone();
        for OfPort { port, certificates, is_retired, .. } in all {
            let wrong = match certificates.refresh() {
                Ok(Refreshed::No) => continue,
                Ok(refreshed) => {
                    if !is_retired {
                        tracing::info!(port, "certificates read again");
                        if let Some(replaced) = &*self.replaced.lock() {
                            replaced(&port);
                        }
                    }
                    self.is_trust_another.fetch_or(refreshed == Refreshed::Trust, Relaxed);
                    None
                }
                Err(error) => {
                    tracing::error!(port, %error, "certificates can't be read again; the old ones stay in use");
                    Some(error.to_string())
                }
            };
            let mut all = self.all.lock();
            // It may have others by now.
            let found = all.iter_mut().find(|known| Arc::ptr_eq(&known.certificates, &certificates));
            if let Some(found) = found {
                found.wrong = wrong;
            }
        }
        // One is the list's own: nobody is left who came in by them.
        self.all.lock().retain(|known| !known.is_retired || Arc::strong_count(&known.certificates) > 1);
        if self.is_trust_another.swap(false, Relaxed) {
            let clients = review();
            tracing::info!(clients, "connections ended whose clients' certificates are no longer good");
        }
    }

    /// What is wrong with them.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let mut found = Vec::new();
        let all = self.all.lock().clone();
        let all: Vec<_> = all.iter().filter(|known| !known.is_retired).collect();
        let invalid = all.iter().find_map(|known| known.wrong.as_ref().map(|why| (&known.port, why)));
        if let Some((port, why)) = invalid {
            found.push(Wrong {
                name: "certificate_invalid",
                message: format!("{port}: {why}; the certificates from before stay in use"),
                details: json!({ "listener": name_of(port), "why": why }),
            });
        }
        let stale = all.iter().filter_map(|known| Some((known.certificates.stale_at()?, &known.port)));
        if let Some((_, port)) = stale.min().filter(|(at, _)| *at <= SystemTime::now()) {
            found.push(Wrong {
                name: "crl_stale",
                message: format!("{port}: the list of revoked certificates is out of date"),
                details: json!({ "listener": name_of(port) }),
            });
        }
        let ends = all.iter().filter_map(|known| Some((known.certificates.expires_at()?, &known.port)));
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
