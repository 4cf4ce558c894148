//! Who wants what.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mqtt_codec::{Filter, SubscribeOptions};
use mqtt_router::{Full, Options, Router};
use mqtt_session::Session;

use crate::client::variety::Varieties;

/// Who wants what.
pub(crate) struct Routes<C> {
    pub(crate) router: Router<C>,
    varieties: Varieties<C>,
    /// What was routed may wait and expire.
    queued_expire: AtomicBool,
}

impl<C: Clone + Eq + Hash> Default for Routes<C> {
    fn default() -> Self {
        Self { router: Router::new(), varieties: Varieties::default(), queued_expire: AtomicBool::new(false) }
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
