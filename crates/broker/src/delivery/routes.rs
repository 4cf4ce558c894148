//! Who wants what.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use foldhash::fast::RandomState;
use mqtt_codec::{Filter, SubscribeOptions};
use mqtt_router::{Full, Options, Router};
use mqtt_session::{Change, Delivery, Session};
use parking_lot::Mutex;

use crate::client::variety::Varieties;
use crate::watch::memory::Claim;

/// Who wants what.
pub(crate) struct Routes<C> {
    pub(crate) router: Router<C>,
    varieties: Varieties<C>,
    /// What was routed may wait and expire.
    queued_expire: AtomicBool,
    leaving: Mutex<AllLeaving<C>>,
    changed: Changed,
}

/// The router's [changes](Router::changes) when a client last gave up or replaced a subscription, by a hash of who it is: those of
/// a place share it. For each client to have its own would cost a million of them more than all who ask needlessly.
struct Changed {
    hasher: RandomState,
    at: Box<[AtomicU64]>,
}

/// So many places. Who asks has looked up receivers some microseconds before, and few change anything in that time.
const PLACES: usize = 1024;

impl Default for Changed {
    fn default() -> Self {
        Self { hasher: RandomState::default(), at: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

/// A session that is over, and whose messages and filters are given up a slice at a time: it may have had a million, and a
/// hundred thousand. Nothing is delivered by them meanwhile, for its client is [over](crate::client::Standing::Over).
pub(crate) struct Leaving<C> {
    pub(crate) client: C,
    /// The session's number in the store; 0: it is not there.
    pub(crate) number: u64,
    /// Whoever is told of lost messages is told of these.
    is_told: bool,
    rest: Rest,
    /// Messages and filters.
    len: usize,
    /// What they take.
    held: Claim,
}

/// What is left of a session that is over.
enum Rest {
    Messages(Session),
    Filters(Box<dyn Iterator<Item = Filter> + Send>),
}

/// What is given up with one slice.
pub(crate) enum GivenUp<'a> {
    Message(&'a Delivery),
    Filter(&'a Filter),
    /// What the messages' end means for the store.
    Changes(&'a [Change]),
}

struct AllLeaving<C> {
    sessions: VecDeque<Leaving<C>>,
    /// Messages and filters of all of them.
    len: usize,
}

/// Messages or filters of a session that is over, given up at once.
const SLICE: usize = 128;

/// Behind more messages and filters than these nothing more waits: who ends sessions faster than they are given up does it
/// themselves.
const MOST_LEAVING: usize = 1 << 18;

impl<C: Clone + Eq + Hash> Default for Routes<C> {
    fn default() -> Self {
        let leaving = AllLeaving { sessions: VecDeque::new(), len: 0 };
        Self {
            router: Router::new(),
            varieties: Varieties::default(),
            queued_expire: AtomicBool::new(false),
            leaving: Mutex::new(leaving),
            changed: Changed::default(),
        }
    }
}

/// Called under the lock of the client's state, with its session: so the router has no subscription that the session has
/// not.
impl<C: Clone + Eq + Hash> Routes<C> {
    /// From now on messages that `filter` matches go to `client`, unless its filters would be too many different ones.
    /// `session` does not have it yet, or has it anyway.
    pub(crate) fn add(
        &self,
        filter: &Filter,
        client: &C,
        session: &Session,
        options: SubscribeOptions,
        id: Option<u32>,
        max_levels: usize,
    ) -> Result<(), Full> {
        self.varieties.add(client, session, filter, max_levels)?;
        let options = Options {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            subscription_id: id.and_then(NonZeroU32::new),
        };
        self.router.subscribe(filter, client.clone(), options);
        Ok(())
    }

    /// `session` had this filter and no longer has.
    pub(crate) fn uncount(&self, filter: &Filter, client: &C, session: &Session) {
        self.varieties.remove(client, session, filter);
    }

    /// `client` has given up a subscription, or replaced its options. Whoever has found it before asks again.
    pub(crate) fn note_change(&self, client: &C) {
        self.place_of(client).fetch_max(self.router.changes(), Relaxed);
    }

    /// False if all that was found of `client` when the router had seen so many changes is still so, and will be until its
    /// state is unlocked.
    pub(crate) fn may_have_changed(&self, client: &C, changes: u64) -> bool {
        // Relaxed: what this client did was noted under the lock that is held now; of others nothing is asked.
        self.router.changes() != changes && self.place_of(client).load(Relaxed) > changes
    }

    fn place_of(&self, client: &C) -> &AtomicU64 {
        &self.changed.at[self.changed.hasher.hash_one(client) as usize % PLACES]
    }

    /// Whether one more session may be given up [later](Self::forget_later).
    pub(crate) fn may_leave_later(&self) -> bool {
        self.leaving.lock().len <= MOST_LEAVING
    }

    /// What this session has is given up by [`Self::forget_some`], and its filters are counted no more.
    pub(crate) fn forget_later(&self, client: &C, number: u64, session: Session, is_told: bool, mut held: Claim) {
        let len = session.owed_len() + session.subscriptions_len();
        held.set(session.held_alone());
        let leaving = Leaving { client: client.clone(), number, is_told, rest: Rest::Messages(session), len, held };
        let mut all = self.leaving.lock();
        all.len += leaving.len;
        all.sessions.push_back(leaving);
    }

    /// What the filters of `session`, which is about to end, may cost is not counted to `client` any more.
    pub(crate) fn forget_varieties(&self, client: &C, session: &Session) {
        self.varieties.forget(client, session);
    }

    /// Gives up something of a session that is over; false if there is none. What is given up is told with the client and the
    /// number of the session.
    pub(crate) fn forget_some(&self, mut tell: impl FnMut(&C, u64, GivenUp<'_>)) -> bool {
        let Some(mut leaving) = self.leaving.lock().sessions.pop_front() else { return false };
        let Leaving { client, number, is_told, rest, held, .. } = &mut leaving;
        let given_up = match rest {
            Rest::Messages(session) => {
                let given_up = session.give_up_some(SLICE, |delivery| {
                    if *is_told {
                        tell(client, *number, GivenUp::Message(delivery));
                    }
                });
                tell(client, *number, GivenUp::Changes(&session.take_changes()));
                held.set(session.held_alone());
                given_up
            }
            Rest::Filters(filters) => {
                let mut given_up = 0;
                for filter in filters.by_ref().take(SLICE) {
                    self.router.unsubscribe(&filter, client);
                    tell(client, *number, GivenUp::Filter(&filter));
                    given_up += 1;
                }
                given_up
            }
        };
        leaving.len -= given_up;
        if given_up < SLICE {
            leaving = match leaving {
                Leaving { rest: Rest::Messages(session), .. } => {
                    Leaving { rest: Rest::Filters(session.into_filters()), ..leaving }
                }
                leaving => leaving,
            };
        }
        let mut all = self.leaving.lock();
        all.len -= given_up;
        if leaving.len > 0 {
            all.sessions.push_back(leaving);
        }
        true
    }

    /// Nothing goes to `client` any more; `session` is about to end.
    pub(crate) fn forget(&self, client: &C, session: &Session) {
        for (filter, _, _) in session.subscriptions() {
            self.router.unsubscribe(filter, client);
        }
        self.varieties.forget(client, session);
    }
}

impl<C> Routes<C> {
    /// A message with a message expiry may wait in some queue.
    pub(crate) fn note_expiring(&self) {
        self.queued_expire.store(true, Relaxed);
    }

    /// Whether one may wait that was [noted](Self::note_expiring) since this was last asked.
    pub(crate) fn take_expiring(&self) -> bool {
        self.queued_expire.swap(false, Relaxed)
    }
}
