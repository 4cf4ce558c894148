//! Who wants what.

use std::collections::VecDeque;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mqtt_codec::{Filter, SubscribeOptions};
use mqtt_router::{Full, Options, Router};
use mqtt_session::Session;
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
}

/// A session that is over, and whose filters are given up a slice at a time: it may have had a hundred thousand. Nothing is
/// delivered by them meanwhile, for its client is [over](crate::client::State::is_over).
pub(crate) struct Leaving<C> {
    pub(crate) client: C,
    /// The session's number in the store; 0: it is not there.
    pub(crate) number: u64,
    pub(crate) filters: Box<dyn Iterator<Item = Filter> + Send>,
    pub(crate) len: usize,
    /// What they take.
    pub(crate) _held: Claim,
}

struct AllLeaving<C> {
    sessions: VecDeque<Leaving<C>>,
    /// Filters of all of them.
    filters: usize,
}

/// Filters of sessions that are over, given up at once.
const SLICE: usize = 128;

/// More filters than these do not wait: who ends sessions faster than they are given up does it themselves.
const MOST_LEAVING: usize = 1 << 18;

impl<C: Clone + Eq + Hash> Default for Routes<C> {
    fn default() -> Self {
        let leaving = AllLeaving { sessions: VecDeque::new(), filters: 0 };
        Self {
            router: Router::new(),
            varieties: Varieties::default(),
            queued_expire: AtomicBool::new(false),
            leaving: Mutex::new(leaving),
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

    /// Whether so many filters may be given up [later](Self::forget_later).
    pub(crate) fn may_leave_later(&self, filters: usize) -> bool {
        self.leaving.lock().filters + filters <= MOST_LEAVING
    }

    /// Its filters are counted no more, and are given up by [`Self::forget_some`].
    pub(crate) fn forget_later(&self, leaving: Leaving<C>) {
        let mut all = self.leaving.lock();
        all.filters += leaving.len;
        all.sessions.push_back(leaving);
    }

    /// What the filters of `session`, which is about to end, may cost is not counted to `client` any more.
    pub(crate) fn forget_varieties(&self, client: &C, session: &Session) {
        self.varieties.forget(client, session);
    }

    /// Gives up some filters of a session that is over; false if there is none. Those that are stored are told with the number
    /// of the session.
    pub(crate) fn forget_some(&self, mut tell_stored: impl FnMut(u64, &Filter)) -> bool {
        let Some(mut leaving) = self.leaving.lock().sessions.pop_front() else { return false };
        let mut given_up = 0;
        for filter in leaving.filters.by_ref().take(SLICE) {
            self.router.unsubscribe(&filter, &leaving.client);
            if leaving.number > 0 {
                tell_stored(leaving.number, &filter);
            }
            given_up += 1;
        }
        leaving.len -= given_up;
        let mut all = self.leaving.lock();
        all.filters -= given_up;
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
