//! Certificates that are replaced while clients are connected.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::tls::{Certificates, Refreshed};

/// Time between two looks at whether files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificates of all ports, by what the configuration calls these.
#[derive(Default)]
pub struct PortCertificates {
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

/// How the certificates of a port are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatesSeen {
    /// As the configuration calls it.
    pub port: String,
    /// Why its files can't be read again; those from before stay in use.
    pub wrong: Option<String>,
    /// When its list of revoked ones is out of date; `None`: it has none, or one that does not say.
    pub stale_at: Option<SystemTime>,
    /// When the first of them ends.
    pub expires_at: Option<SystemTime>,
}

/// Is told whose certificates have been replaced.
type Replaced = Box<dyn Fn(&str) + Send>;

impl PortCertificates {
    /// Those of a port from now on. Who came in by others that it had is held to what is asked by these.
    pub fn set(&self, port: &str, certificates: Option<Arc<Certificates>>) {
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
    pub fn tell(&self, replaced: impl Fn(&str) + Send + 'static) {
        *self.replaced.lock() = Some(Box::new(replaced));
    }

    /// Has them looked at now.
    pub fn look_now(&self) {
        self.asked.notify_one();
    }

    /// Looks until the runtime ends. `review` ends the connections of clients whose certificates are no longer good, and says of how
    /// many.
    pub async fn watch(self: Arc<Self>, review: Arc<impl Fn() -> usize + Send + Sync + 'static>) {
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

    /// How those are that are shown.
    pub fn seen(&self) -> Vec<CertificatesSeen> {
        let all = self.all.lock().clone();
        let shown = all.into_iter().filter(|known| !known.is_retired);
        let seen = shown.map(|OfPort { port, certificates, wrong, .. }| CertificatesSeen {
            port,
            wrong,
            stale_at: certificates.stale_at(),
            expires_at: certificates.expires_at(),
        });
        seen.collect()
    }
}

impl fmt::Debug for PortCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortCertificates").field("seen", &self.seen()).finish_non_exhaustive()
    }
}
