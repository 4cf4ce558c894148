//! The next process after one that ended, well or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::Properties;
use mqtt_hooks::{Fact, Reason};
use mqtt_router::Attendance;
use mqtt_session::{Publication, Session, Timestamp};
use mqtt_storage::{Loaded, LoadedSession, LoadedSubscription, StoreError};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::transition::Transition;
use crate::cluster;
use crate::delivery::batch::Batch;
use crate::delivery::wanted::Replay;
use crate::store::online::Online;
use crate::store::past::{Fallen, Past};

/// Clients looked after before other tasks of the thread have their turn.
const AT_ONCE: usize = 64;

/// When the last process died, as far as that is known.
#[derive(Clone, Copy)]
struct Death {
    /// By the system's clock: milliseconds since the Unix epoch.
    wall: u64,
    clock: Timestamp,
}

impl Broker {
    /// Takes back what an earlier process has left. Returns those who were online when it died: they are to be told of
    /// as gone, when they come back or after a while.
    pub(crate) fn restore(self: &Arc<Self>, loaded: Loaded, past: Past) -> Result<Vec<ClientRef>, StoreError> {
        let Loaded { sessions, retained, .. } = loaded;
        let Past { alive, seen_ms, online, .. } = past;
        let died = Death { wall: seen_ms, clock: alive.map_or(self.clock.now(), |alive| alive.clock) };
        self.retained.restore(retained, &self.watched.memory);
        let mut batch = Batch::begin(self);
        let (of_sessions, others): (Vec<_>, Vec<_>) = online.into_iter().partition(|online| online.session.is_some());
        let mut of_sessions: HashMap<_, _> =
            of_sessions.into_iter().filter_map(|online| Some((online.session?, online))).collect();
        let mut fallen = Vec::new();
        for session in sessions {
            let online = of_sessions.remove(&session.number);
            let is_fallen = online.is_some();
            let client = self.restore_session(session, online, died, &mut batch)?;
            if is_fallen {
                fallen.push(client.clone());
            }
            self.clients.insert(client);
        }
        // Of a session that is gone only its connection's end is left to tell, too.
        for online in others.into_iter().chain(of_sessions.into_values()) {
            let client = self.restore_fallen(online, died);
            fallen.push(client.clone());
            self.clients.insert(client);
        }
        // It has counted what they hold, no more.
        let _ = batch.finish();
        Ok(fallen)
    }

    fn restore_session(
        &self,
        loaded: LoadedSession,
        online: Option<Online>,
        died: Death,
        batch: &mut Batch<'_>,
    ) -> Result<ClientRef, StoreError> {
        let LoadedSession { number, record, mut kept, mut will_due, subscriptions } = loaded;
        let mut transition = Transition {
            has_session: true,
            seq: record.seq,
            last_fact_ms: record.last_fact_ms,
            created_at: record.created_at,
            expires_at: record.expires_at.map(Timestamp).into(),
            ..Transition::default()
        };
        let mut from = record.from;
        if let Some(Online { info, seq, will, .. }) = online {
            from = Some(info.peer.ip());
            kept.session_expiry = info.expiry_interval;
            kept.version = info.version;
            kept.will = will;
            // As if the connection had ended when the broker did.
            let expiry = info.expiry_interval;
            transition.expires_at = (expiry < u32::MAX).then(|| died.clock.plus_seconds(expiry)).into();
            will_due = kept.will.as_ref().map(|will| died.clock.plus_seconds(will.delay.min(expiry)));
            transition.seq = seq;
            transition.last_fact_ms = info.connected_at;
            transition.set_fallen(Fallen { info, at: died.wall, will: None });
        }
        // The clock may have been set back since: nothing is told of a client at a time before what it was told of
        // last.
        transition.note_told(self.durable.serials.floor_ms());
        // Nobody knows what of it has a message expiry: the first sweep finds out.
        self.routes.note_expiring();
        for delivery in &kept.deliveries {
            delivery.publication.weigh(&self.terms().session.kept);
        }
        let session = Session::restore(Arc::clone(&self.terms().session), kept, will_due);
        let client = ClientRef::new(record.client_id.as_ref().into(), session);
        client.state.lock().number = number;
        transition.leave_replays(self.restore_subscriptions(&client, subscriptions));
        {
            let mut state = client.state.lock();
            state.recount(batch);
            if let Some(address) = from {
                state.be_away(address, batch);
            }
        }
        self.routes.router.set_attendance(&client, Attendance::Absent);
        // Of one that fell the end is to be told first; `give_up_fallen` sets its timer behind that.
        if !transition.is_fallen() {
            let next = will_due.into_iter().chain(transition.expires_at.at()).min();
            transition.timer = next.map(|at| self.deadlines.offline.insert(at, Arc::downgrade(&client.0)));
        }
        *client.transition.lock() = transition;
        Ok(client)
    }

    /// Those that are beyond a limit by now stay in the store, and may be back when the limit is.
    ///
    /// Returns what is still to be sent of what is retained.
    pub(crate) fn restore_subscriptions(
        &self,
        client: &ClientRef,
        subscriptions: Vec<LoadedSubscription>,
    ) -> Vec<Replay> {
        let terms = self.terms();
        let limits = &terms.limits;
        // By which listener its client comes is seen then.
        let max_levels = self.most_topic_levels();
        let mut left_out = 0;
        let mut owing = Vec::new();
        let mut state = client.state.lock();
        for subscription in subscriptions {
            let LoadedSubscription { filter, options, id, owes_retained } = &subscription;
            let may_stay = filter.levels_len() <= max_levels
                && self.routes.add(filter, client, &state.session, *options, *id, limits.shape_levels).is_ok();
            if may_stay {
                state.session.subscribe(filter, *options, *id);
                if *owes_retained {
                    owing.push(subscription);
                }
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            tracing::warn!(
                client_id = %client.id, left_out,
                "subscriptions left in the store: limits.max_topic_levels or limits.shape_levels is lower than before",
            );
        }
        Replay::restored(owing, &self.watched.memory)
    }

    /// Levels that topics may have by the listener that allows most.
    fn most_topic_levels(&self) -> usize {
        let by_listeners = self.config.listeners.values().filter_map(|own| own.max_topic_levels);
        by_listeners.fold(self.terms().limits.max_topic_levels, usize::max)
    }

    /// Of a session that ended with its connection, only that is left to tell.
    fn restore_fallen(&self, online: Online, died: Death) -> ClientRef {
        let Online { info, seq, will, .. } = online;
        let client = ClientRef::new(Arc::clone(&info.client_id), Session::new(Arc::clone(&self.terms().session)));
        let mut transition =
            Transition { seq, last_fact_ms: info.connected_at, created_at: info.connected_at, ..Transition::default() };
        transition.set_fallen(Fallen { at: died.wall, info, will });
        transition.note_told(self.durable.serials.floor_ms());
        *client.transition.lock() = transition;
        client
    }

    /// Tells that the client went when an earlier process died, if that is still to be told.
    pub(crate) fn tell_fallen(
        &self,
        client: &ClientRef,
        transition: &mut Transition,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        let Some(Fallen { info, at, will }) = transition.take_fallen() else { return };
        let noticed = Instant::now();
        // In one bundle with the event: told once, however often the broker dies.
        batch.stage(|stage| stage.go(info.conn_id));
        let will = match will {
            Some(will) => Some(Publication::new(will.message, now)),
            None => client.state.lock().session.take_will(now, false),
        };
        // An undelayed will comes before the fact.
        if let Some(will) = will {
            self.publish_will(client, Some(info.peer), &will, now, batch);
        }
        // All that was connected to this node is gone for its cluster when it joins again; unless it was none before, and then
        // nobody else knows of them.
        if self.membership.roll_of(&info).is_some() && self.durable.note(cluster::NOTE).is_some() {
            return;
        }
        transition.seq += 1;
        let told_at = transition.now_ms();
        // Not before the client came, nor after it is told, however the system's clock was set meanwhile.
        let at = at.max(transition.last_fact_ms).min(told_at);
        transition.note_fact(at, told_at);
        let fact = Fact::Disconnected {
            client: &info,
            reason: Reason::NodeDown,
            reason_string: None,
            properties: &Properties::EMPTY,
            at,
            told_at,
            seq: transition.seq,
            flaps: transition.flaps.count(at),
            last_heard: at,
            noticed,
        };
        self.hooks.observe(&fact, batch);
    }

    /// Tells of all who have not come back by now.
    async fn tell_all_fallen(self: &Arc<Self>, fallen: &[ClientRef]) {
        for clients in fallen.chunks(AT_ONCE) {
            {
                let mut batch = Batch::begin(self);
                clients.iter().for_each(|client| self.give_up_fallen(client, &mut batch));
                // What can't be stored now is tried again every second.
                let _ = batch.finish();
            }
            tokio::task::yield_now().await;
        }
    }

    fn give_up_fallen(&self, client: &ClientRef, batch: &mut Batch<'_>) {
        let _bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        if !transition.is_fallen() {
            return;
        }
        let now = self.clock.now();
        self.tell_fallen(client, &mut transition, now, batch);
        let will_due = client.state.lock().session.will().and_then(|(_, due)| due);
        // Its session was not stored: it ended with the connection, so there is nothing but this to tell.
        if !transition.has_session {
            transition.expires_at = now.into();
        }
        let next = will_due.into_iter().chain(transition.expires_at.at()).min();
        self.look_after(client, &mut transition, next, now, batch);
    }
}

/// Tells of those who were online when an earlier process died, once subscribers have had time to come back.
pub(crate) async fn tell(broker: Arc<Broker>, fallen: Arc<[ClientRef]>, grace: Duration) {
    broker.clock.wait_until(broker.clock.patient().after(grace)).await;
    let clients = fallen.len();
    broker.tell_all_fallen(&fallen).await;
    if clients > 0 {
        tracing::info!(clients, "those who were online before the last end are reported gone");
    }
}
