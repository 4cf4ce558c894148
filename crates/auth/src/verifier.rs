//! Whether a secret is right, without holding up anybody who asks something else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::attempts::{Attempts, Early, Pair, network};
use crate::complaints::Complaints;
use crate::digest::{Digest, Key};
use crate::forgetful::Forgetful;
use crate::hash::Hash;
use crate::pool::{Full, Pool};

/// Secrets that are remembered; some hundred bytes each.
const MAX_KNOWN: usize = 200_000;

/// What came of looking at a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Right,
    Wrong,
    /// This pair of address and user is to wait, for what it tried before.
    Early,
    /// Too many wait for a look.
    Busy,
}

/// What is kept of a user's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Of(Arc<Hash>),
    /// Nobody is called so. To find that out takes as long as with this hash.
    Nobody(Arc<Hash>),
}

impl Kept {
    const fn hash(&self) -> &Arc<Hash> {
        match self {
            Self::Of(hash) | Self::Nobody(hash) => hash,
        }
    }
}

/// Somebody who says who they are.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) user: &'a str,
    pub(crate) secret: &'a [u8],
    pub(crate) peer: IpAddr,
}

/// Whether secrets are right.
pub(crate) struct Verifier {
    key: Key,
    /// Secrets that were right, so that clients that come back cost no hash. A digest is of the hash too: another password
    /// makes it worthless.
    known: Mutex<Forgetful<Digest, ()>>,
    /// Who waits for a look at the same secret; one is enough for all.
    flights: Mutex<HashMap<Digest, Vec<oneshot::Sender<Outcome>>>>,
    attempts: Attempts,
    complaints: Complaints,
    pub(crate) counts: Counts,
}

/// How often what came of it.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) known: AtomicU64,
    pub(crate) right: AtomicU64,
    pub(crate) wrong: AtomicU64,
    pub(crate) early: AtomicU64,
    pub(crate) busy: AtomicU64,
}

impl Verifier {
    /// Remembers a right secret for this long.
    pub(crate) fn new(remember: Duration, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            key: Key::random(),
            known: Mutex::new(Forgetful::new(MAX_KNOWN, remember, now)),
            flights: Mutex::default(),
            attempts: Attempts::new(now),
            complaints: Complaints::new(now),
            counts: Counts::default(),
        })
    }

    /// Looks at a secret.
    pub(crate) async fn verify(self: &Arc<Self>, claim: Claim<'_>, kept: &Kept, pool: &Pool) -> Outcome {
        let now = Instant::now();
        let is_user = matches!(kept, Kept::Of(_));
        let digest = self.key.digest(&[claim.user.as_bytes(), kept.hash().as_str().as_bytes(), claim.secret]);
        if is_user && self.known.lock().get(&digest, now).is_some() {
            self.counts.known.fetch_add(1, Relaxed);
            return Outcome::Right;
        }
        let outcome = match self.join(claim, digest, kept, pool, now) {
            // Without an answer the module has been stopped, or the look at it panicked: nothing is known against them.
            Ok(answer) => answer.await.unwrap_or(Outcome::Busy),
            Err(outcome) => outcome,
        };
        let (count, reason) = match outcome {
            Outcome::Right => (&self.counts.right, None),
            Outcome::Wrong if is_user => (&self.counts.wrong, Some("wrong_password")),
            Outcome::Wrong => (&self.counts.wrong, Some("unknown_user")),
            Outcome::Early => (&self.counts.early, Some("too_many_failures")),
            Outcome::Busy => (&self.counts.busy, Some("busy")),
        };
        count.fetch_add(1, Relaxed);
        if let Some(reason) = reason {
            self.complaints.tell(claim.user, claim.peer, reason, now);
        }
        outcome
    }

    /// Somebody begins to prove who they are by other means, which counts as wrong until it was right.
    pub(crate) fn begin(&self, user: &str, peer: IpAddr) -> Result<Pair, Early> {
        let pair = Pair::new(peer, self.key.digest(&[user.as_bytes()]));
        let now = Instant::now();
        self.attempts.begin(pair, now).map(|()| pair).inspect_err(|Early| {
            self.counts.early.fetch_add(1, Relaxed);
            self.complaints.tell(user, peer, "too_many_failures", now);
        })
    }

    /// They have.
    pub(crate) fn was_right(&self, pair: &Pair) {
        self.counts.right.fetch_add(1, Relaxed);
        self.attempts.was_right(pair);
    }

    /// Sixteen bytes that are the same for the same user, as long as the process lives, and mean nothing.
    pub(crate) fn stand_in(&self, user: &str) -> Vec<u8> {
        self.key.digest(&[b"salt", user.as_bytes()]).as_bytes()[..16].to_vec()
    }

    /// Says that somebody brings no proof at all.
    pub(crate) fn complain(&self, user: &str, peer: IpAddr, reason: &'static str) {
        self.counts.wrong.fetch_add(1, Relaxed);
        self.complaints.tell(user, peer, reason, Instant::now());
    }

    /// Waits with others for a look at the same secret, or has one made.
    fn join(
        self: &Arc<Self>,
        claim: Claim<'_>,
        digest: Digest,
        kept: &Kept,
        pool: &Pool,
        now: Instant,
    ) -> Result<oneshot::Receiver<Outcome>, Outcome> {
        let (answer, answered) = oneshot::channel();
        // Held until the look is in line: who finds the flight finds one that will end.
        let mut flights = self.flights.lock();
        if let Some(waiting) = flights.get_mut(&digest) {
            waiting.push(answer);
            return Ok(answered);
        }
        let pair = Pair::new(claim.peer, self.key.digest(&[claim.user.as_bytes()]));
        self.attempts.begin(pair, now).map_err(|Early| Outcome::Early)?;
        flights.insert(digest, vec![answer]);
        let flight = Flight { verifier: Arc::clone(self), digest, pair, is_over: false };
        let (kept, secret) = (kept.clone(), claim.secret.to_vec());
        let look = move || flight.end(kept.hash().is_of(&secret) && matches!(kept, Kept::Of(_)));
        // What is not taken is dropped only when the lock is free: a flight that ends takes it.
        let look = Box::new(look);
        match pool.submit(network(claim.peer), look) {
            Ok(()) => Ok(answered),
            Err((Full, look)) => {
                flights.remove(&digest);
                self.attempts.take_back(&pair, now);
                drop(flights);
                drop(look);
                Err(Outcome::Busy)
            }
        }
    }
}

/// A look at a secret that is in line, or being made.
struct Flight {
    verifier: Arc<Verifier>,
    digest: Digest,
    pair: Pair,
    /// Another may be on its way by now.
    is_over: bool,
}

impl Flight {
    fn end(mut self, is_right: bool) {
        self.is_over = true;
        let verifier = &self.verifier;
        if is_right {
            verifier.attempts.was_right(&self.pair);
            verifier.known.lock().insert(self.digest, (), Instant::now());
        }
        let outcome = if is_right { Outcome::Right } else { Outcome::Wrong };
        for waiting in verifier.flights.lock().remove(&self.digest).unwrap_or_default() {
            // It may have gone.
            let _ = waiting.send(outcome);
        }
    }
}

impl Drop for Flight {
    /// However it ends, nobody waits for it any more.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let waiting = self.verifier.flights.lock().remove(&self.digest);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Desk {
        verifier: Arc<Verifier>,
        pool: Pool,
        hash: Arc<Hash>,
    }

    impl Desk {
        fn new() -> Self {
            let verifier = Verifier::new(Duration::from_secs(60), Instant::now());
            Self { verifier, pool: Pool::start().unwrap(), hash: Arc::new(Hash::of(b"right").unwrap()) }
        }

        async fn ask(&self, user: &str, secret: &[u8]) -> Outcome {
            let claim = Claim { user, secret, peer: [192, 0, 2, 1].into() };
            let hash = Arc::clone(&self.hash);
            let kept = if user == "alice" { Kept::Of(hash) } else { Kept::Nobody(Arc::new(Hash::nobody())) };
            self.verifier.verify(claim, &kept, &self.pool).await
        }

        /// Known, right, wrong, early.
        fn counts(&self) -> [u64; 4] {
            let Counts { known, right, wrong, early, .. } = &self.verifier.counts;
            [known, right, wrong, early].map(|count| count.load(Relaxed))
        }
    }

    #[tokio::test]
    async fn a_right_secret_is_hashed_once() {
        let desk = Desk::new();
        for _ in 0..3 {
            assert_eq!(desk.ask("alice", b"right").await, Outcome::Right);
        }
        assert_eq!(desk.counts(), [2, 1, 0, 0]);
    }

    #[tokio::test]
    async fn another_hash_makes_what_was_known_worthless() {
        let mut desk = Desk::new();
        assert_eq!(desk.ask("alice", b"right").await, Outcome::Right);
        desk.hash = Arc::new(Hash::of(b"other").unwrap());
        assert_eq!(desk.ask("alice", b"right").await, Outcome::Wrong);
    }

    #[tokio::test]
    async fn many_with_one_secret_wait_for_one_look() {
        let desk = Arc::new(Desk::new());
        let ask = |desk: Arc<Desk>| async move { desk.ask("alice", b"right").await };
        let asking: Vec<_> = (0..50).map(|_| tokio::spawn(ask(Arc::clone(&desk)))).collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), Outcome::Right);
        }
        assert_eq!(desk.counts()[2..], [0, 0], "not one of them counted as wrong");
        assert!(desk.verifier.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn wrong_secrets_slow_down_their_pair_but_not_who_is_known() {
        let desk = Desk::new();
        assert_eq!(desk.ask("alice", b"right").await, Outcome::Right);
        for wrong in [b"1", b"2", b"3", b"4"] {
            assert_eq!(desk.ask("alice", wrong).await, Outcome::Wrong);
        }
        assert_eq!(desk.ask("alice", b"5").await, Outcome::Early);
        assert_eq!(desk.ask("alice", b"right").await, Outcome::Right, "it is remembered");
        assert_eq!(desk.ask("bob", b"right").await, Outcome::Wrong, "nobody is called so");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_pool_that_is_gone() {
        let desk = Desk::new();
        let gone = Pool::none();
        let claim = Claim { user: "alice", secret: b"right", peer: [192, 0, 2, 1].into() };
        let waits = desk
            .verifier
            .join(claim, desk.verifier.key.digest(&[]), &Kept::Of(desk.hash.clone()), &gone, Instant::now())
            .unwrap();
        drop(gone);
        assert!(waits.await.is_err());
        assert!(desk.verifier.flights.lock().is_empty());
    }
}
