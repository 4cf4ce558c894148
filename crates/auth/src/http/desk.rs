//! Asks the service, and remembers what it said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mqtt_fetch::{Fetcher, NoAnswer, Question};
use mqtt_hooks::ConnectionInfo;
use parking_lot::Mutex;

use super::answer::{Age, Decision, NoDecision};
use super::breaker::Breaker;
use super::line::Line;
use super::params::{Asked, Params};
use crate::attempts::{Attempts, Pair, network};
use crate::complaints::Complaints;
use crate::digest::{Digest, Key};
use crate::forgetful::Forgetful;

/// Answers that are remembered. Those that refuse have a room of their own: who tries many passwords takes nobody else's.
const MAX_ALLOWED: usize = 50_000;
const MAX_REFUSED: usize = 10_000;

/// For how long, and how much.
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) requests: usize,
    pub(super) allowed: Duration,
    pub(super) refused: Duration,
    pub(super) stale: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Decided(Decision),
    /// This pair of address and user is to wait, for what it tried before.
    Early,
    /// Too many ask.
    Busy,
    /// The service is.
    Away,
}

/// How often what came of it.
#[derive(Default)]
pub(super) struct Counts {
    remembered: AtomicU64,
    stale: AtomicU64,
    allowed: AtomicU64,
    refused: AtomicU64,
    ignored: AtomicU64,
    early: AtomicU64,
    busy: AtomicU64,
    away: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Counts {
    pub(super) fn all(&self) -> [(&'static str, &AtomicU64); 8] {
        [
            ("remembered", &self.remembered),
            ("stale", &self.stale),
            ("allowed", &self.allowed),
            ("refused", &self.refused),
            ("ignored", &self.ignored),
            ("early", &self.early),
            ("busy", &self.busy),
            ("away", &self.away),
        ]
    }
}

pub(super) struct Desk {
    fetcher: Fetcher,
    super_fetcher: Option<Fetcher>,
    params: Params,
    limits: Limits,
    key: Key,
    /// By digests of what was asked, the password too.
    allowed: Mutex<Forgetful<Digest, Kept>>,
    refused: Mutex<Forgetful<Digest, Kept>>,
    attempts: Attempts,
    line: Line,
    breaker: Breaker,
    complaints: Complaints,
    counts: Arc<Counts>,
}

#[derive(Clone)]
struct Kept {
    decision: Decision,
    fresh_until: Instant,
    stale_until: Instant,
}

/// Why the service has decided nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    NoDecision(#[from] NoDecision),
}

impl Failure {
    const fn is_away(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::NoDecision(why) => why.is_away(),
        }
    }
}

impl Desk {
    pub(super) fn new(
        fetcher: Fetcher,
        super_fetcher: Option<Fetcher>,
        params: Params,
        limits: Limits,
        counts: Arc<Counts>,
        now: Instant,
    ) -> Self {
        // Each entry knows when it is over; the map only drops what is long over.
        let longest = super::answer::MAX_AGE + limits.stale;
        Self {
            fetcher,
            super_fetcher,
            params,
            key: Key::random(),
            allowed: Mutex::new(Forgetful::new(MAX_ALLOWED, longest, now)),
            refused: Mutex::new(Forgetful::new(MAX_REFUSED, longest, now)),
            attempts: Attempts::new(now),
            line: Line::new(limits.requests),
            breaker: Breaker::default(),
            complaints: Complaints::new(now),
            limits,
            counts,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    pub(super) fn tidy(&self) {
        [Some(&self.fetcher), self.super_fetcher.as_ref()].into_iter().flatten().for_each(Fetcher::tidy);
    }

    pub(super) async fn ask(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Outcome {
        let outcome = self.decide(client, password).await;
        let (count, reason) = match &outcome {
            Outcome::Decided(Decision::Allow(_)) => (&self.counts.allowed, None),
            Outcome::Decided(Decision::Deny) => (&self.counts.refused, Some("wrong_password")),
            Outcome::Decided(Decision::Ignore) => (&self.counts.ignored, None),
            Outcome::Early => (&self.counts.early, Some("too_many_failures")),
            Outcome::Busy => (&self.counts.busy, Some("busy")),
            Outcome::Away => (&self.counts.away, Some("service_away")),
        };
        count.fetch_add(1, Relaxed);
        if let Some(reason) = reason {
            let (user, address) = super::who(client);
            self.complaints.tell(user, address, reason, Instant::now());
        }
        outcome
    }

    async fn decide(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Outcome {
        let Some(question) = self.params.question(Asked { client, password }) else {
            return Outcome::Decided(Decision::Deny);
        };
        let now = Instant::now();
        let digest = self.key.digest(&[question.query.as_deref().unwrap_or_default().as_bytes(), &question.body]);
        let kept = self.kept(&digest, now);
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.fresh_until) {
            self.counts.remembered.fetch_add(1, Relaxed);
            return Outcome::Decided(kept.decision.clone());
        }
        let stale = || match kept.as_ref().filter(|kept| Instant::now() < kept.stale_until) {
            Some(kept) => {
                self.counts.stale.fetch_add(1, Relaxed);
                Outcome::Decided(kept.decision.clone())
            }
            None => Outcome::Away,
        };
        let (user, address) = super::who(client);
        let Ok(place) = self.line.enter(network(address)) else { return Outcome::Busy };
        let pair = Pair::new(address, self.key.digest(&[user.as_bytes()]));
        let Some(attempt) = Attempt::begin(&self.attempts, pair, now) else { return Outcome::Early };
        let deadline = now + self.limits.timeout;
        let Ok(_turn) = tokio::time::timeout_at(deadline.into(), place.turn()).await else {
            return match stale() {
                Outcome::Away => Outcome::Busy,
                outcome => outcome,
            };
        };
        // Only now: it may have been found to be away meanwhile.
        let Ok(breaker) = self.breaker.begin(Instant::now()) else { return stale() };
        match self.fetch(&question, deadline).await {
            Ok((decision, age)) => {
                breaker.went_well();
                attempt.end(!matches!(decision, Decision::Deny));
                self.remember(digest, &decision, age);
                Outcome::Decided(decision)
            }
            Err(failure) => {
                self.counts.failures.fetch_add(1, Relaxed);
                tracing::debug!(%failure, "the service for logins decides nothing");
                if !failure.is_away() {
                    breaker.went_well();
                } else if breaker.failed(Instant::now()) {
                    tracing::warn!(%failure, "the service for logins is away, and left alone for a while");
                }
                stale()
            }
        }
    }

    /// Asks, and asks again whether who is let in may do everything.
    async fn fetch(&self, question: &Question, deadline: Instant) -> Result<(Decision, Age), Failure> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let answer = self.fetcher.ask(question, left()).await?;
        let (decision, mut age) = (Decision::read(&answer)?, Age::of(&answer));
        let Decision::Allow(terms) = &decision else { return Ok((decision, age)) };
        let Some(fetcher) = self.super_fetcher.as_ref().filter(|_| !terms.is_superuser) else {
            return Ok((decision, age));
        };
        let answer = fetcher.ask(question, left()).await?;
        if Age::of(&answer) == Age::Never {
            age = Age::Never;
        }
        match Decision::read(&answer)? {
            Decision::Allow(_) => Ok((Decision::Allow(Arc::new(terms.of_superuser())), age)),
            Decision::Deny | Decision::Ignore => Ok((decision, age)),
        }
    }

    fn kept(&self, digest: &Digest, now: Instant) -> Option<Kept> {
        let allowed = self.allowed.lock().get(digest, now).cloned();
        allowed.or_else(|| self.refused.lock().get(digest, now).cloned())
    }

    fn remember(&self, digest: Digest, decision: &Decision, age: Age) {
        let now = Instant::now();
        let is_refused = matches!(decision, Decision::Deny);
        let (unsaid, stale) = match decision {
            Decision::Allow(_) => (self.limits.allowed, self.limits.stale),
            Decision::Deny => (self.limits.refused, Duration::ZERO),
            Decision::Ignore => (self.limits.refused, self.limits.stale),
        };
        // What was said before holds no longer, whatever is said now.
        self.allowed.lock().remove(&digest);
        self.refused.lock().remove(&digest);
        let fresh = match age {
            Age::Never => return,
            Age::Unsaid => unsaid,
            Age::For(time) => time,
        };
        if (fresh + stale).is_zero() {
            return;
        }
        let kept = Kept { decision: decision.clone(), fresh_until: now + fresh, stale_until: now + fresh + stale };
        let place = if is_refused { &self.refused } else { &self.allowed };
        place.lock().insert(digest, kept, now);
    }
}

/// Counts as wrong until that is known, and not at all where nothing came of it.
struct Attempt<'a> {
    attempts: &'a Attempts,
    pair: Pair,
    begun: Instant,
    is_over: bool,
}

impl<'a> Attempt<'a> {
    fn begin(attempts: &'a Attempts, pair: Pair, begun: Instant) -> Option<Self> {
        attempts.begin(pair, begun).ok()?;
        Some(Self { attempts, pair, begun, is_over: false })
    }

    fn end(mut self, was_right: bool) {
        self.is_over = true;
        if was_right {
            self.attempts.was_right(&self.pair);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.attempts.take_back(&self.pair, self.begun);
        }
    }
}
