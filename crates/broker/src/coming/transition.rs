//! Coming and going. Each change of one client is made and told under its transition lock: the table first, then the
//! facts, then the bytes.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mqtt_codec::{ConnAck, Connect, Disconnect, Packet, Properties, ReasonCode, Version};
use mqtt_hooks::{ConnectionInfo, Fact, Reason};
use mqtt_net::Transport;
use mqtt_session::{Attach, Detached, Session, Timestamp};

use crate::broker::Broker;
use crate::client::connection::{Connection, Ending};
use crate::client::traffic::Traffic;
use crate::client::{Client, ClientRef, State, Transition};
use crate::delivery::batch::Batch;
use crate::packets::count;
use crate::store::numbers::Trail;
use crate::watch::metrics::Metric;

/// How long a client that comes back may have to wait for the task of its old connection.
const HEAR_OUT: Duration = Duration::from_secs(1);

/// A client that may come in: everything CONNECT says, decided on.
pub(crate) struct Admission<'a> {
    pub(crate) connect: &'a Connect,
    pub(crate) info: ConnectionInfo,
    /// Seconds; 0: none.
    pub(crate) keep_alive: u16,
    /// CONNACK, with the limits told; whether there is a session is yet to be seen.
    pub(crate) answer: ConnAck,
    pub(crate) traffic: Traffic,
    pub(crate) transport: Transport,
}

/// A client that goes.
#[derive(Clone, Copy)]
struct Going<'a> {
    ending: Ending,
    /// Of its DISCONNECT.
    reason_string: Option<&'a str>,
    noticed: Instant,
}

/// Lets the task of a connection handle what has come already: what a client said before it came back counts, a
/// DISCONNECT above all.
pub(crate) async fn hear_out(connection: Arc<Connection>) {
    // Whether it has said all, ended or takes too long: it is taken over now, if it is still there.
    let clock = &connection.broker().clock;
    let _ = clock.wait_for(connection.hear_out(), clock.patient().after(HEAR_OUT)).await;
}

impl Broker {
    /// Lets a client in, ending the connection it had. CONNACK leaves with the batch.
    pub(crate) fn enter(
        self: &Arc<Self>,
        mut admission: Admission<'_>,
        batch: &mut Batch<'_>,
    ) -> (ClientRef, Arc<Connection>) {
        let noticed = Instant::now();
        if self.traces.are_running() {
            self.traces.note_connect(&admission.info.client_id, admission.connect);
        }
        let group = self.durable.group();
        let client = self.client_of(&admission);
        let mut transition = client.transition.lock();
        if transition.dead {
            // Its session ended between the look-up and the lock.
            drop(transition);
            drop(group);
            return self.enter(admission, batch);
        }
        let now = self.clock.now();
        self.tell_fallen(&client, &mut transition, now, batch);
        if let Some(timer) = transition.timer.take() {
            self.timers.cancel(timer);
        }
        let clean = admission.info.clean_start;
        self.take_over(&client, &mut transition, clean, noticed, now, batch);
        let is_over = mem::take(&mut transition.expires_at).at().is_some_and(|at| at <= now);
        let present = transition.has_session && !clean && !is_over;
        if transition.has_session && !present {
            self.end_session(&client, now, batch);
        }
        batch.count(if present { Metric::SessionResumed } else { Metric::SessionCreated }, 1);
        transition.has_session = true;
        admission.info.connected_at = transition.now_ms();
        admission.info.session_present = present;
        if !present {
            transition.created_at = admission.info.connected_at;
        }
        let connection = self.seat(&client, &mut transition, admission, noticed, now, batch);
        drop(transition);
        drop(group);
        connection.start_timer(self.clock.patient());
        (client, connection)
    }

    /// The connection that the client of this id has, to be [heard out](hear_out) before it is taken over.
    pub(crate) fn connection_of(&self, client_id: &str) -> Option<Arc<Connection>> {
        self.clients.get(client_id)?.state.lock().connection.clone()
    }

    fn client_of(&self, admission: &Admission<'_>) -> ClientRef {
        let id = &admission.info.client_id;
        self.clients.get_or_insert(id, || {
            let client = ClientRef::new(Arc::clone(id), Session::new(Arc::clone(&self.session_config)));
            let Trail { seq, flaps, told_ms } = self.numbers.trail_of(id);
            *client.transition.lock() = Transition { seq, flaps, last_fact_ms: told_ms, ..Transition::default() };
            client
        })
    }

    /// Ends the connection the client has, if any.
    fn take_over(
        &self,
        client: &ClientRef,
        transition: &mut Transition,
        clean: bool,
        noticed: Instant,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        // [MQTT-3.1.4-3]
        let code = Some(ReasonCode::SessionTakenOver);
        let reason = if clean { Reason::Discarded } else { Reason::TakenOver };
        let ending = Ending { reason, code };
        let going = Going { ending, reason_string: None, noticed };
        if let Some((old, detached)) = self.detach(client, transition, None, going, now, batch) {
            batch.count(if clean { Metric::SessionDiscarded } else { Metric::SessionTakenOver }, 1);
            transition.expires_at = detached.expires_at.into();
            old.end(ending);
        }
    }

    /// Gives the client its new connection: the table, then the fact, then CONNACK and what waits.
    fn seat(
        self: &Arc<Self>,
        client: &ClientRef,
        transition: &mut Transition,
        admission: Admission<'_>,
        noticed: Instant,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Arc<Connection> {
        let Admission { connect, mut info, keep_alive, answer, traffic, transport } = admission;
        // The same text, but one memory for both.
        info.client_id = Arc::clone(&client.id);
        let session_expiry = info.expiry_interval;
        let connection = Arc::new(Connection::new(info, traffic, transport, Arc::clone(self), keep_alive));
        {
            let mut state = client.state.lock();
            state.reset_output();
            state.connection = Some(Arc::clone(&connection));
        }
        self.online.fetch_add(1, Relaxed);
        batch.count(Metric::Connected, 1);
        transition.seq += 1;
        let told_at = connection.info.connected_at;
        transition.note_fact(told_at, told_at);
        self.stage_online(client, &connection.info, transition, connect.will.as_ref(), batch);
        let flaps = transition.flaps.come(told_at);
        let fact = Fact::Connected { client: &connection.info, told_at, seq: transition.seq, flaps, noticed };
        self.hooks.observe(&fact, batch);
        let mut state = client.state.lock();
        let State { session, outbox, .. } = &mut *state;
        session.attach(&Attach { connect, session_expiry, keep_alive });
        // [MQTT-3.2.0-1]: until here the session was not attached, so nothing else can be in the outbox.
        let answer = Packet::ConnAck(ConnAck { session_present: connection.info.session_present, ..answer });
        outbox.push(&answer, connection.info.version);
        count::sent(&answer, batch);
        session.resume(now, outbox);
        state.stage(batch);
        state.wait_for_store(false, batch);
        state.count_sent_late(batch);
        state.touch(client, batch);
        drop(state);
        connection
    }

    /// The connection's task ends: the client is gone, unless it has another connection by now. `reason_string` is what
    /// it said in DISCONNECT.
    pub(crate) fn leave(
        self: &Arc<Self>,
        client: &ClientRef,
        connection: &Arc<Connection>,
        ending: Ending,
        reason_string: Option<&str>,
    ) {
        let going = Going { ending, reason_string, noticed: Instant::now() };
        let mut batch = Batch::begin(self);
        let group = self.durable.group();
        let mut transition = client.transition.lock();
        let now = self.clock.now();
        let detached = self.detach(client, &mut transition, Some(connection), going, now, &mut batch);
        if let Some((_, detached)) = detached {
            transition.expires_at = detached.expires_at.into();
            let next = detached.will_at.into_iter().chain(detached.expires_at).min();
            self.look_after(client, &mut transition, next, now, &mut batch);
        }
        drop(transition);
        drop(group);
        // The client is gone whether or not that is stored: it is tried again every second.
        let _ = batch.finish();
    }

    /// Ends a client's connection and its session, as in EMQ X; false if there is neither.
    pub(crate) fn kick(self: &Arc<Self>, client_id: &str) -> bool {
        let Some(client) = self.clients.get(client_id) else { return false };
        let mut batch = Batch::begin(self);
        let group = self.durable.group();
        let mut transition = client.transition.lock();
        if transition.dead {
            return false;
        }
        let now = self.clock.now();
        self.tell_fallen(&client, &mut transition, now, &mut batch);
        if let Some(timer) = transition.timer.take() {
            self.timers.cancel(timer);
        }
        // Here and not in the connection's task, so that whoever asks next finds it gone.
        let ending = Ending { reason: Reason::Kicked, code: Some(ReasonCode::AdministrativeAction) };
        let going = Going { ending, reason_string: None, noticed: Instant::now() };
        if let Some((connection, _)) = self.detach(&client, &mut transition, None, going, now, &mut batch) {
            connection.end(ending);
        }
        transition.expires_at = now.into();
        self.look_after(&client, &mut transition, None, now, &mut batch);
        drop(transition);
        drop(group);
        // As when it leaves by itself.
        let _ = batch.finish();
        true
    }

    /// Takes the connection away and tells why. `None` if there is none, or not this one.
    fn detach(
        &self,
        client: &ClientRef,
        transition: &mut Transition,
        only: Option<&Arc<Connection>>,
        going: Going<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Option<(Arc<Connection>, Detached)> {
        let Going { ending: Ending { reason, code }, reason_string, noticed } = going;
        let (connection, mut detached) = {
            let mut state = client.state.lock();
            if only.is_some_and(|only| !state.is_current(only)) {
                return None;
            }
            if let Some(reason) = code
                && state.connection.as_ref()?.info.version == Version::V5
            {
                let farewell = Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY });
                state.push(&farewell);
                count::sent(&farewell, batch);
            }
            (state.take_connection()?, state.session.detach(now))
        };
        detached.expires_at = self.cap_expiry(detached.expires_at, now);
        self.online.fetch_sub(1, Relaxed);
        batch.stage(|stage| stage.go(connection.info.conn_id));
        batch.count(Metric::Disconnected, 1);
        // An undelayed will comes before the fact.
        if let Some(will) = &detached.will {
            self.publish_will(&client.id, will, now, batch);
        }
        let at = transition.now_ms();
        transition.seq += 1;
        transition.note_fact(at, at);
        let fact = Fact::Disconnected {
            client: &connection.info,
            reason,
            reason_string,
            at,
            told_at: at,
            seq: transition.seq,
            flaps: transition.flaps.count(at),
            noticed,
        };
        self.hooks.observe(&fact, batch);
        tracing::debug!(client_id = %client.id, reason = reason.name(), "disconnected");
        Some((connection, detached))
    }

    /// What a client asked for in DISCONNECT is held to the same limit as what it asked for in CONNECT.
    fn cap_expiry(&self, expires_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        match self.config.mqtt.max_session_expiry {
            u32::MAX => expires_at,
            cap => Some(expires_at.map_or(now.plus_seconds(cap), |at| at.min(now.plus_seconds(cap)))),
        }
    }

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
            self.end_session(client, now, batch);
            batch.count(Metric::SessionTerminated, 1);
            transition.has_session = false;
            transition.dead = true;
            self.numbers
                .forget_client(&client.id, transition.trail(), |bounds| batch.stage(|stage| stage.bounds(bounds)));
            self.clients.remove(client);
            return;
        }
        self.stage_session(client, transition, batch);
        if let Some(at) = next {
            transition.timer = Some(self.timers.insert(at, Arc::downgrade(&client.0)));
        }
    }

    /// The session is over: a will that waited is published, subscriptions are given up, the rest is forgotten.
    fn end_session(&self, client: &ClientRef, now: Timestamp, batch: &mut Batch<'_>) {
        let (old, will) = {
            let mut state = client.state.lock();
            // [MQTT-3.1.3-9]: a delayed will is published when the session ends, if not before.
            let will = state.session.take_will(now, true);
            for (filter, _, _) in state.session.subscriptions() {
                self.router.unsubscribe(filter, client);
            }
            self.stage_end(&mut state, batch);
            (mem::replace(&mut state.session, Session::new(Arc::clone(&self.session_config))), will)
        };
        // Queued messages are dropped without the lock: there may be many.
        drop(old);
        if let Some(will) = will {
            self.publish_will(&client.id, &will, now, batch);
        }
    }

    /// A client's timer: a delayed will, or the end of its session.
    pub(crate) fn client_is_due(&self, client: Arc<Client>, batch: &mut Batch<'_>) {
        let client = ClientRef(client);
        let _group = self.durable.group();
        let mut transition = client.transition.lock();
        let now = self.clock.now();
        let will = {
            let mut state = client.state.lock();
            if transition.dead || state.connection.is_some() {
                return;
            }
            state.session.take_will(now, false)
        };
        if let Some(will) = will {
            self.publish_will(&client.id, &will, now, batch);
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
        let _group = self.durable.group();
        let mut transition = client.transition.lock();
        let now = self.clock.now();
        let is_left = {
            let state = client.state.lock();
            state.connection.is_none() && state.number == 0
        };
        // Of one that fell with an earlier process the next is to tell, if this one has not.
        if !transition.dead && is_left && transition.fallen.is_none() {
            transition.expires_at = now.into();
            self.look_after(client, &mut transition, None, now, batch);
        }
    }
}
