//! What becomes of a client that is offline: a delayed will is published, its session ends when it is time.

use std::mem;
use std::sync::{Arc, Weak};

use mqtt_hooks::{DropReason, Fact};
use mqtt_session::{Orphan, Publication, Session, Timestamp};

use crate::broker::Broker;
use crate::client::transition::Transition;
use crate::client::{Client, ClientRef, Standing};
use crate::delivery::batch::Batch;
use crate::delivery::routes::GivenUp;
use crate::store::records;
use crate::watch::metrics::Metric;

/// To give up so many messages and subscriptions takes a millisecond or less.
const GIVEN_UP_AT_ONCE: usize = 1024;

/// How a session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client begins another.
    Replaced,
    /// The client goes, too.
    Last,
    /// It goes on at another node.
    Moved,
}

/// What is left to be done of a session that was dropped.
struct Remains {
    will: Option<Publication>,
    orphans: Vec<Orphan>,
}

impl Broker {
    /// An offline client: ends its session if that is due, and otherwise comes back at `next`.
    pub(crate) fn look_after(
        &self,
        client: &ClientRef,
        transition: &mut Transition,
        next: Option<Timestamp>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        if transition.expires_at.at().is_some_and(|at| at <= now) {
            self.end_session(client, transition, true, now, batch);
            batch.count(Metric::SessionTerminated, 1);
            self.forget_client(client, transition, batch);
            return;
        }
        records::stage_session(client, transition, batch);
        if let Some(at) = next {
            transition.timer = Some(self.deadlines.offline.insert(at, Arc::downgrade(&client.0)));
        }
    }

    fn forget_client(&self, client: &ClientRef, transition: &mut Transition, batch: &mut Batch<'_>) {
        transition.has_session = false;
        // Whoever has found this client in the table and waits for the lock is to look again: it is about to go from there, and
        // a session that was begun on it would be nobody's.
        transition.dead = true;
        // Should the client come back, its facts are counted on from here.
        self.durable
            .serials
            .forget_client(&client.id, transition.trail(), |bounds| batch.stage(|stage| stage.bounds(bounds)));
        client.state.lock().count_nothing(batch);
        // Last: until it is out of the table everyone finds this one and waits for its lock, so no other is made of its id.
        self.clients.remove(client);
    }

    /// The session of this client, which is away, goes on at another node: what is here of it is forgotten, and nobody is told. What
    /// waits by shared subscriptions is handed on, unless `has_all` of it moved.
    pub(crate) fn give_away(&self, client_id: &str, has_all: bool, batch: &mut Batch<'_>) {
        let Some(client) = self.clients.get(client_id) else { return };
        let _bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        // Who is connected here has come back since, and has its session moved here.
        if transition.dead || !transition.has_session || client.state.lock().connection().is_some() {
            return;
        }
        let now = self.clock.now();
        self.tell_fallen(&client, &mut transition, now, batch);
        if let Some(timer) = transition.timer.take() {
            self.deadlines.offline.cancel(timer);
        }
        // [MQTT-3.1.3-9]: its will is not published, for the session goes on.
        let Remains { orphans, .. } = self.drop_session(&client, End::Moved, now, batch);
        if !has_all {
            self.routes.hand_on(&client, orphans, self.doors.is_stopping(), now, batch);
        }
        self.forget_client(&client, &mut transition, batch);
    }

    /// Whether the client of this session should go with it, for it has too much to be given up at once.
    pub(super) fn has_much(&self, client: &ClientRef) -> bool {
        let state = client.state.lock();
        let much = state.session.owed_len() + state.session.subscriptions_len();
        much > GIVEN_UP_AT_ONCE && self.routes.may_leave_later()
    }

    /// The session is over: a will that waited is published, subscriptions are given up, the rest is forgotten. `is_last`:
    /// the client goes, too.
    pub(super) fn end_session(
        &self,
        client: &ClientRef,
        transition: &mut Transition,
        is_last: bool,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        let end = if is_last { End::Last } else { End::Replaced };
        let Remains { will, orphans } = self.drop_session(client, end, now, batch);
        self.routes.hand_on(client, orphans, self.doors.is_stopping(), now, batch);
        if let Some(will) = will {
            self.publish_will(client, None, &will, now, batch);
        }
        if is_last && let Some(roll) = self.membership.roll() {
            roll.give_up_home(&client.id);
        }
        if self.hooks.has_observers() {
            // Not before what was told of the client, and what is told later is not before this, whatever is done to the clock.
            let at = transition.now_ms();
            transition.note_told(at);
            if self.membership.ends.hold(&client.id, !is_last, at) {
                return;
            }
            self.hooks.observe(&Fact::SessionEnded { client_id: &client.id, is_discarded: !is_last, at }, batch);
        }
    }

    /// Takes the session out of the router and the store, and gives the client an empty one.
    fn drop_session(&self, client: &ClientRef, end: End, now: Timestamp, batch: &mut Batch<'_>) -> Remains {
        let is_last = end != End::Replaced;
        let later = is_last && self.has_much(client);
        let is_told = end != End::Moved;
        let (old, number, will, orphans) = {
            let mut state = client.state.lock();
            state.standing = if is_last { Standing::Over } else { Standing::Wanted };
            // [MQTT-3.1.2-8]: a delayed will is published when the session ends, if not before.
            let will = state.session.take_will(now, true);
            // Under the lock under which subscriptions are added, so the router has none that the session does not.
            if later {
                self.routes.forget_varieties(client, &state.session);
            } else {
                self.routes.forget(client, &state.session);
                for (filter, ..) in state.session.subscriptions() {
                    self.membership.peers.note(filter, &self.routes.router);
                }
                // Whoever has looked up receivers before this has found the session that is over: what it is about to bring
                // is not for the one that comes next. [MQTT-3.1.2-4]
                self.routes.note_change(client);
            }
            let orphans = state.session.take_orphans(true, |_| true);
            state.stage(batch);
            // Without what others may have: of that those are told for whom nobody is there.
            if self.hooks.has_drop_observers() && !later && is_told {
                for delivery in state.session.owed() {
                    batch.lose(client, Arc::clone(&delivery.publication), delivery.qos, DropReason::SessionEnded);
                }
            }
            let number = records::stage_end(&mut state, later, batch);
            let new = Session::new(Arc::clone(&self.terms().session));
            (mem::replace(&mut state.session, new), number, will, orphans)
        };
        if later {
            self.routes.forget_later(client, number, old, is_told, self.watched.memory.half_done().claim());
            // That of nobody: it has the task look.
            self.deadlines.offline.insert(now, Weak::new());
        }
        Remains { will, orphans }
    }

    /// Gives up something of a session that has ended; false if there is none.
    pub(crate) fn forget_some(&self, batch: &mut Batch<'_>) -> bool {
        self.routes.forget_some(|client, number, given_up| match given_up {
            GivenUp::Message(delivery) => {
                batch.lose(client, Arc::clone(&delivery.publication), delivery.qos, DropReason::SessionEnded);
            }
            GivenUp::Changes(changes) if number > 0 => {
                batch.stage(|stage| changes.iter().for_each(|change| stage.change(number, change)));
            }
            GivenUp::Filter(filter) => {
                self.membership.peers.note(filter, &self.routes.router);
                if number > 0 {
                    batch.stage(|stage| stage.unsubscribe(number, filter));
                }
            }
            // It was not in the store.
            GivenUp::Changes(_) => {}
        })
    }

    /// A client's timer: a delayed will, or the end of its session.
    pub(crate) fn client_is_due(&self, client: Arc<Client>, batch: &mut Batch<'_>) {
        let client = ClientRef(client);
        let _bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        let now = self.clock.now();
        let will = {
            let mut state = client.state.lock();
            // It came back, or went, after the timer was taken out of the map: cancelling found nothing.
            if transition.dead || state.connection().is_some() {
                return;
            }
            state.session.take_will(now, false)
        };
        if let Some(will) = will {
            self.publish_will(&client, None, &will, now, batch);
        }
        transition.timer = None;
        let next = transition.expires_at.at();
        self.look_after(&client, &mut transition, next, now, batch);
    }

    /// The broker stops: every session that is not stored ends, wills of theirs that wait are published.
    pub(crate) fn end_unstored_sessions(self: &Arc<Self>) {
        for client in self.clients.all() {
            let mut batch = Batch::begin(self);
            self.end_if_unstored(&client, &mut batch);
            // Of these sessions nothing is stored; wills that are for others are tried again at the end.
            let _ = batch.finish();
        }
    }

    fn end_if_unstored(&self, client: &ClientRef, batch: &mut Batch<'_>) {
        let _bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        let now = self.clock.now();
        let is_left = {
            let state = client.state.lock();
            state.connection().is_none() && state.number == 0
        };
        // Of one that fell with an earlier process the next is to tell, if this one has not.
        if !transition.dead && is_left && !transition.is_fallen() {
            transition.expires_at = now.into();
            self.look_after(client, &mut transition, None, now, batch);
        }
    }
}
