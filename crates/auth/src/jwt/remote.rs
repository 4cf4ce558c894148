//! Keys that a service publishes as a JWKS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mqtt_fetch::{Fetcher, HeaderMap, Question, Url, tls};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::keys::Keys;
use crate::http::{Age, CA};
use crate::of_key;

/// How long one fetch may take, and who waits for one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two fetches where the service does not say how long its answer holds, and the bounds where it does.
const PERIOD: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(60);

/// After a failure; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// Anyone can name a key that is not known: so often is the service asked for that.
const BETWEEN: Duration = Duration::from_secs(30);

/// Fetches keys, keeps them, and keeps those it has while there are no others to be had.
pub(super) struct Remote {
    url: String,
    fetcher: Fetcher,
    secret: Option<Arc<str>>,
    keys: Arc<RwLock<Arc<Keys>>>,
    state: Mutex<State>,
    wanted: Notify,
    /// Fetches that are over.
    done: watch::Sender<u64>,
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    begun: Option<Instant>,
    is_under_way: bool,
    /// Failures one after the other.
    failed: u32,
    has_keys: bool,
}

/// Whether keys can be had from there, as far as the address says.
pub(crate) fn check(url: &str, ca: Option<&std::path::Path>) -> Result<(), String> {
    fetcher(url, ca).map(drop)
}

fn fetcher(url: &str, ca: Option<&std::path::Path>) -> Result<Fetcher, String> {
    let url = Url::read(url).map_err(|why| format!("auth.jwt_keys: {url:?}: {why}"))?;
    let tls = if url.is_tls() { Some(tls(ca, CA).map_err(of_key(CA))?) } else { None };
    Ok(Fetcher::new(url, &HeaderMap::new(), tls, super::MAX_BYTES as usize))
}

impl Remote {
    pub(super) fn new(
        url: &str,
        ca: Option<&std::path::Path>,
        secret: Option<Arc<str>>,
        keys: Arc<RwLock<Arc<Keys>>>,
    ) -> Result<Self, String> {
        if url.starts_with("http://") {
            tracing::warn!(
                url,
                "keys for tokens come by http: who is on the way can put in others and come in by them"
            );
        }
        Ok(Self {
            url: url.to_owned(),
            fetcher: fetcher(url, ca)?,
            secret,
            keys,
            state: Mutex::default(),
            wanted: Notify::new(),
            done: watch::Sender::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// False: none has ever been fetched, so a token that can't be verified may still be right.
    pub(super) fn has_keys(&self) -> bool {
        self.state.lock().has_keys
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Fetches once; says when to do it again.
    pub(super) async fn fetch(&self) -> Duration {
        {
            let mut state = self.state.lock();
            (state.begun, state.is_under_way) = (Some(Instant::now()), true);
        }
        let fetched = self.try_fetch().await;
        // Minutes pass until the next.
        self.fetcher.close();
        let mut state = self.state.lock();
        state.is_under_way = false;
        let next = match fetched {
            Ok(period) => {
                (state.has_keys, state.failed) = (true, 0);
                period
            }
            Err(why) => {
                self.failures.fetch_add(1, Relaxed);
                if state.failed == 0 {
                    tracing::error!(
                        url = self.url,
                        why,
                        "the keys for tokens can't be fetched; those fetched before hold"
                    );
                }
                state.failed = state.failed.saturating_add(1);
                FIRST_RETRY.saturating_mul(1 << (state.failed - 1).min(16)).min(LONGEST_RETRY)
            }
        };
        drop(state);
        self.done.send_modify(|done| *done += 1);
        next
    }

    async fn try_fetch(&self) -> Result<Duration, String> {
        let question = Question::default();
        let answer = self.fetcher.ask(&question, PATIENCE).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("it answers with status {}", answer.status));
        }
        let text = str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
        let read = Keys::read(text).map_err(|wrong| wrong.why)?.with_secret(self.secret.as_deref());
        tracing::info!(url = self.url, keys = read.len(), "keys for tokens fetched");
        *self.keys.write() = Arc::new(read);
        Ok(match Age::said(answer.cache_control.as_deref()) {
            Age::For(time) => time.max(SHORTEST),
            Age::Unsaid | Age::Never => PERIOD,
        })
    }

    /// Fetches over and over; `next` is when to begin.
    pub(super) async fn watch(self: Arc<Self>, mut next: Duration) {
        loop {
            // However it ends, it is time.
            let _ = timeout(next, self.wanted.notified()).await;
            next = self.fetch().await;
        }
    }

    /// A key is named that is not known: ends when others may have come, and at once if they were fetched a moment ago.
    pub(super) async fn renew(&self) {
        let mut done = self.done.subscribe();
        {
            let state = self.state.lock();
            let is_early = state.begun.is_some_and(|begun| begun.elapsed() < BETWEEN);
            if is_early && !state.is_under_way {
                return;
            }
            if !state.is_under_way {
                self.wanted.notify_one();
            }
        }
        // Without any in time it goes on with those there are.
        let _ = timeout(PATIENCE, done.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::Service;

    fn jwks(id: &str) -> String {
        format!(r#"{{"keys": [{{"kty": "oct", "kid": "{id}", "k": "c2VjcmV0LCBhbmQgbG9uZyBlbm91Z2gsIGFzIGl0IGlz"}}]}}"#)
    }

    fn remote(service: &Service) -> Arc<Remote> {
        let url = format!("http://{}/keys", service.addr);
        Arc::new(Remote::new(&url, None, None, Arc::default()).unwrap())
    }

    #[tokio::test]
    async fn keys_are_kept_while_there_are_no_others_to_be_had() {
        let service = Service::start().await;
        let remote = remote(&service);
        service.answer("/keys", 200, "cache-control: max-age=100\r\n", &jwks("one"));
        assert_eq!(remote.fetch().await, Duration::from_secs(100));
        for (status, body, retry) in [(500, "", 5), (200, "{}", 10), (200, "\u{fffd}", 20)] {
            service.answer("/keys", status, "", body);
            assert_eq!((remote.fetch().await, remote.has_keys()), (Duration::from_secs(retry), true));
            assert!(remote.keys.read().has("one"), "{body}");
        }
        assert_eq!(remote.failures(), 3);
        service.answer("/keys", 200, "cache-control: max-age=1\r\n", &jwks("two"));
        assert_eq!(remote.fetch().await, SHORTEST);
        assert_eq!([remote.keys.read().has("one"), remote.keys.read().has("two")], [false, true]);
        service.answer("/keys", 500, "", "");
        assert_eq!(remote.fetch().await, FIRST_RETRY, "counted anew");
    }

    #[tokio::test]
    async fn a_key_that_is_not_known_is_asked_for_and_not_by_everybody() {
        let service = Service::start().await;
        let remote = remote(&service);
        service.answer("/keys", 200, "", &jwks("one"));
        let next = remote.fetch().await;
        assert_eq!(next, PERIOD);
        let watching = tokio::spawn(remote.clone().watch(next));
        service.answer("/keys", 200, "", &jwks("two"));
        remote.renew().await;
        assert_eq!(service.asked().len(), 1, "they were fetched a moment ago");
        remote.state.lock().begun = None;
        tokio::join!(remote.renew(), remote.renew(), remote.renew());
        assert!(remote.keys.read().has("two"));
        assert_eq!(service.asked(), ["GET /keys"], "once for all of them");
        watching.abort();
    }
}
