//! A client comes in. Each change of one client is made and told under its transition lock: the table first, then the
//! facts, then the bytes.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::{ConnAck, Connect, Packet, Properties, ReasonCode};
use mqtt_hooks::{ConnectionInfo, Fact, Reason};
use mqtt_net::Transport;
use mqtt_router::Attendance;
use mqtt_session::{Attach, Session, Timestamp};

use crate::broker::Broker;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::granted::Granted;
use crate::client::traffic::Traffic;
use crate::client::transition::Transition;
use crate::client::{ClientRef, State};
use crate::cluster::Seated;
use crate::coming::leaving::Going;
use crate::coming::ticket::Ticket;
use crate::delivery::batch::Batch;
use crate::delivery::states;
use crate::packets::count;
use crate::packets::subscribe::give_up_forbidden;
use crate::store::records;
use crate::store::serials::Trail;
use crate::time::patience::Patient;
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
    pub(crate) granted: Granted,
    pub(crate) traffic: Traffic,
    pub(crate) transport: Transport,
    pub(crate) ticket: Ticket,
    /// By the roll of a cluster: there it is told that the client has come.
    pub(crate) seated: Option<Seated>,
}

/// When a client comes in, by the clocks that somebody asks later.
#[derive(Clone, Copy)]
struct Arrived {
    noticed: Instant,
    now: Timestamp,
    heard: Patient,
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
        let bundle = self.durable.bundle();
        let client = self.client_of(&admission);
        let mut transition = client.transition.lock();
        if transition.dead {
            // Its session ended between the look-up and the lock.
            drop(transition);
            drop(bundle);
            return self.enter(admission, batch);
        }
        // Read under the lock: a `now` from before it could be earlier than what the one who had it has noted.
        let (now, heard) = self.clock.both();
        let arrived = Arrived { noticed, now, heard };
        // First what an earlier process could not tell any more: the events of a client id alternate over its death,
        // too.
        self.tell_fallen(&client, &mut transition, now, batch);
        if let Some(timer) = transition.timer.take() {
            self.deadlines.offline.cancel(timer);
        }
        // [MQTT-3.1.4-4]: a clean start ends the session that is there [MQTT-3.1.2-4]; without one it is gone on with
        // [MQTT-3.1.2-5], or there is a new one [MQTT-3.1.2-6].
        let clean = admission.info.clean_start;
        // The old connection's end is told before the new one's beginning, whoever of its tasks may be about to end it too:
        // they wait for the lock, and find that the connection is not theirs any more.
        self.take_over(&client, &mut transition, clean, arrived, batch);
        // Its timer may be late: what is over by the clock is over for whoever comes back.
        let is_over = mem::take(&mut transition.expires_at).at().is_some_and(|at| at <= now);
        let present = transition.has_session && !clean && !is_over;
        if transition.has_session && !present {
            if self.has_much(&client) {
                // As if it had ended before. The client goes with what is to be given up, and there is a new one of this id,
                // with which what the old one had has nothing to do.
                transition.expires_at = now.into();
                self.look_after(&client, &mut transition, None, now, batch);
                drop(transition);
                drop(bundle);
                return self.enter(admission, batch);
            }
            self.end_session(&client, &mut transition, false, now, batch);
        }
        batch.count(if present { Metric::SessionResumed } else { Metric::SessionCreated }, 1);
        transition.has_session = true;
        // Not before the end of the connection before, which was told under this lock, whatever was done to the clock
        // since.
        admission.info.connected_at = admission.seated.map_or_else(|| transition.now_ms(), |seated| seated.at);
        admission.info.session_present = present;
        if !present {
            transition.created_at = admission.info.connected_at;
        }
        let connection = self.seat(&client, &mut transition, admission, arrived, batch);
        drop(transition);
        drop(bundle);
        // Not before it is in the table: the timer might find it silent while nobody can be told.
        connection.start_timer(heard);
        // Behind the table: whose certificate was revoked since it shook hands is found here or there.
        self.look_at_certificate(&connection);
        (client, connection)
    }

    /// Whether the client of this id has a session that one without a clean start would go on with.
    pub(crate) fn has_session(&self, client_id: &str) -> bool {
        let Some(client) = self.clients.get(client_id) else { return false };
        let transition = client.transition.lock();
        transition.has_session && transition.expires_at.at().is_none_or(|at| at > self.clock.now())
    }

    /// The connection that the client of this id has, to be [heard out](hear_out) before it is taken over.
    pub(crate) fn connection_of(&self, client_id: &str) -> Option<Arc<Connection>> {
        self.clients.get(client_id)?.state.lock().connection().cloned()
    }

    fn client_of(&self, admission: &Admission<'_>) -> ClientRef {
        let id = &admission.info.client_id;
        self.clients.get_or_insert(id, || {
            let client = ClientRef::new(Arc::clone(id), Session::new(Arc::clone(&self.terms().session)));
            // The count of its facts goes on where it was, or higher, though nothing else is left of the client: no
            // number comes twice.
            let Trail { seq, flaps, told_ms } = self.durable.serials.trail_of(id);
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
        arrived: Arrived,
        batch: &mut Batch<'_>,
    ) {
        // [MQTT-3.1.4-3]
        let code = Some(ReasonCode::SessionTakenOver);
        let reason = if clean { Reason::Discarded } else { Reason::TakenOver };
        let ending = Ending { reason, code };
        let going = Going { ending, properties: &Properties::EMPTY, noticed: arrived.noticed };
        if let Some((old, detached)) = self.detach(client, transition, None, going, arrived.now, batch) {
            batch.count(if clean { Metric::SessionDiscarded } else { Metric::SessionTakenOver }, 1);
            // What the old connection said in CONNECT or DISCONNECT holds to the end: its session may be over with it,
            // and then there is nothing to go on with.
            transition.expires_at = detached.expires_at.into();
            // Its task finds that the client has another connection, and writes what is left for the old one.
            old.end(ending);
        }
    }

    /// Gives the client its new connection: the table, then the fact, then CONNACK and what waits.
    fn seat(
        self: &Arc<Self>,
        client: &ClientRef,
        transition: &mut Transition,
        admission: Admission<'_>,
        arrived: Arrived,
        batch: &mut Batch<'_>,
    ) -> Arc<Connection> {
        let Arrived { noticed, now, heard } = arrived;
        let Admission { connect, mut info, keep_alive, answer, granted, traffic, transport, ticket, seated } =
            admission;
        // The same text, but one memory for both.
        info.client_id = Arc::clone(&client.id);
        let session_expiry = info.expiry_interval;
        let mut replays = transition.take_replays();
        if !info.session_present {
            // They were for the session that is over.
            replays.clear();
        }
        let bounds = Arc::clone(ticket.bounds());
        ticket.into_seat();
        let connection = Arc::new(Connection::new(info, traffic, transport, Arc::clone(self), keep_alive, heard));
        // Before anyone finds the connection: whoever asks what the client may do finds the rules.
        connection.agree(granted);
        {
            let mut state = client.state.lock();
            state.be_back(batch);
            self.routes.look_at_again(client, &mut state);
            // From here on a takeover finds this connection. The session is attached later, when the fact has been told:
            // what is delivered meanwhile is queued, and can't leave before CONNACK.
            state.come_by(&connection);
        }
        self.clients.note_online();
        batch.count(Metric::Connected, 1);
        transition.seq = seated.map_or(transition.seq + 1, |seated| seated.seq);
        let told_at = connection.info.connected_at;
        transition.note_fact(told_at, told_at);
        // Before the fact and in one bundle with it: what modules keep of it is there after a crash if this is.
        records::stage_online(client, &connection.info, transition, connect.will.as_ref(), batch);
        let flaps = transition.flaps.come(told_at);
        let (seq, properties) = (transition.seq, &connect.properties);
        let receive_maximum = bounds.session.window_of(connect);
        let fact =
            Fact::Connected { client: &connection.info, told_at, seq, flaps, properties, receive_maximum, noticed };
        if seated.is_none() {
            self.hooks.observe(&fact, batch);
        }
        if connection.info.session_present {
            // An earlier connection may have been allowed more.
            let _ = give_up_forbidden(client, &connection, batch);
        }
        let mut state = client.state.lock();
        let State { session, outbox, .. } = &mut *state;
        session.configure(&bounds.session);
        session.attach(&Attach { connect, session_expiry, keep_alive });
        // [MQTT-3.2.0-1]: until here the session was not attached, so nothing else can be in the outbox.
        let answer = Packet::ConnAck(ConnAck { session_present: connection.info.session_present, ..answer });
        outbox.push(&answer, connection.info.version);
        count::sent(&answer, batch);
        // [MQTT-4.4.0-1]: behind CONNACK, what was not acknowledged.
        session.resume(now, outbox);
        state.stage(batch);
        // Not as an answer: a client comes in while the store fails, too, until too much waits for it
        // (`Durable::is_overfull`).
        state.wait_for_store(false, batch);
        state.count_sent_late(batch);
        state.recount(batch);
        state.note_lost(client, batch);
        state.touch(client, batch);
        let missed = states::resume(&state, batch);
        drop(state);
        replays.into_iter().for_each(|replay| connection.add_replay(replay));
        missed.into_iter().for_each(|replay| connection.add_replay(replay));
        // Not before it is attached: it would be in the way of members who are ready.
        self.routes.router.set_attendance(client, Attendance::Present);
        connection
    }
}
