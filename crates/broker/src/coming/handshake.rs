//! From CONNECT to CONNACK: who may come in.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{ConnAck, Connect, DecodeError, Packet, Properties, Property, ReasonCode, Version};
use mqtt_hooks::{
    Action, Attribute, ConnectionInfo, Grant, Login, OWN_CLIENTS, Reach, Reason, Rule, Rules, Said, Tags,
};
use mqtt_net::subject_of;
use mqtt_session::Timestamp;

use crate::broker::Broker;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::granted::Granted;
use crate::client::seat::Seat;
use crate::cluster::Seated;
use crate::cluster::enrolment::{Enrolled, Enrolment};
use crate::cluster::peers::moving::Brought;
use crate::coming::arrival::{Arrival, First, Language};
use crate::coming::challenge::{self, Broken};
use crate::coming::door::wait_while_late;
use crate::coming::entering::{Admission, hear_out};
use crate::coming::entrance::Bounds;
use crate::coming::farewell::say_farewell;
use crate::coming::pace::Pace;
use crate::coming::reader::Reader;
use crate::coming::refusing::{answer_and_close, answer_taken_over, refuse, saying};
use crate::coming::welcome::{not_banned, welcome};
use crate::config::Mqtt;
use crate::delivery::batch::{Batch, in_batch};
use crate::packets::access::{self, Refusal};
use crate::packets::renewal::{is_over, properties_of};
use crate::packets::subscribe::subscribe_on_entry;
use crate::time::clock::wall_ms;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

/// The largest number that MQTT has for the length of a packet, and with that the largest that libraries take in CONNACK.
const MAX_TOLD_SIZE: u32 = 268_435_455;

/// A phase that seldom lasts, so its memory is its own.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How it goes on with an arrival.
pub(crate) enum Next {
    Serve(Seat, Reader),
    /// It takes time: a question to a module, an old connection to be heard out, or a refusal. `None`: closed.
    Wait(Boxed<Option<(Seat, Reader)>>),
    Close,
}

impl Next {
    async fn end(self) -> Option<(Seat, Reader)> {
        match self {
            Self::Serve(seat, reader) => Some((seat, reader)),
            Self::Wait(wait) => wait.await,
            Self::Close => None,
        }
    }
}

/// Decides about an arrival, and lets it in if there is nothing to wait for.
pub(crate) fn receive(broker: &Arc<Broker>, arrival: Box<Arrival>, first: First) -> Next {
    match first {
        First::Connect(mut connect) => {
            let mut batch = Batch::begin(broker);
            batch.count(Metric::Connect, 1);
            broker.watched.traces.note_connect(&connect);
            // Before its certificate says one.
            let has_id = !connect.client_id.is_empty();
            let next = match welcome(&mut connect, &arrival, &mut batch) {
                Ok(info) => Candidate::new(broker, arrival, connect, info, has_id).authenticate(&mut batch),
                Err(refusal) => refuse(*arrival, &connect, refusal, &mut batch),
            };
            // CONNACK promises nothing that is not stored: the client's flush decides about it.
            let _ = batch.finish();
            next
        }
        First::Malformed(error @ DecodeError::UnsupportedVersion(_), _) => {
            let code = ReasonCode::UnsupportedProtocolVersion;
            tell_no_connect(broker, &arrival, Kind::Connect, code, &error);
            // 3.1.1 [MQTT-3.1.2-2]: the form in which 3.1 and 3.1.1 want it is the one that clients of all versions know,
            // and bridges try again in another version only if they get it.
            answer_and_close(broker, *arrival, Version::V3_1_1, "", saying(code))
        }
        First::Malformed(error, language) => {
            let rule: &dyn std::fmt::Display = match language {
                Language::Tls => &"TLS on a port without TLS",
                Language::Http => &"HTTP on a port for MQTT",
                Language::Mqtt5 | Language::Other => &error,
            };
            tell_no_connect(broker, &arrival, Kind::Socket, error.reason_code(), rule);
            // [MQTT-3.1.4-1]: closed, and in version 5 it may be told why. Before, there is no return code for it.
            if language == Language::Mqtt5 {
                return answer_and_close(broker, *arrival, Version::V5, "", saying(error.reason_code()));
            }
            Next::Wait(Box::pin(async move {
                say_farewell(&arrival.transport).await;
                None
            }))
        }
        First::Crowded => {
            let rule = &"limits.memory leaves no room for more of a CONNECT that is not whole";
            tell_no_connect(broker, &arrival, Kind::Socket, ReasonCode::QuotaExceeded, rule);
            Next::Close
        }
        First::Late => {
            let rule = &"no CONNECT within mqtt.connect_timeout";
            tell_no_connect(broker, &arrival, Kind::Socket, ReasonCode::MaximumConnectTime, rule);
            Next::Close
        }
        First::Nothing => Next::Close,
    }
}

/// Of who has not said who it is.
fn tell_no_connect(broker: &Broker, arrival: &Arrival, kind: Kind, reason: ReasonCode, rule: &dyn std::fmt::Display) {
    let peer = Some(arrival.origin.peer);
    broker.tell_refused(&Refused { kind, peer, client_id: "", reason, rule, about: "" });
}

/// A client whose CONNECT is right.
struct Candidate {
    broker: Arc<Broker>,
    arrival: Box<Arrival>,
    connect: Box<Connect>,
    info: ConnectionInfo,
    /// It has said a client id.
    has_id: bool,
    /// What it is told with its success, by extended authentication.
    conclusion: Option<Bytes>,
    granted: Granted,
    /// There are authenticators.
    was_asked: bool,
}

impl Candidate {
    fn new(
        broker: &Arc<Broker>,
        arrival: Box<Arrival>,
        connect: Box<Connect>,
        info: ConnectionInfo,
        has_id: bool,
    ) -> Self {
        let method = connect.properties.authentication_method().map(|method| Arc::from(&*method));
        let granted = Granted { method, ..Granted::default() };
        Self { broker: Arc::clone(broker), arrival, connect, info, has_id, conclusion: None, granted, was_asked: false }
    }

    fn authenticate(self, batch: &mut Batch<'_>) -> Next {
        let flapping = &self.broker.doors.flapping;
        let delay =
            if flapping.is_on() { flapping.delay(&self.info, self.broker.clock.uptime()) } else { Duration::ZERO };
        // Who has no socket is part of this process.
        let waits = self.broker.doors.lateness.is_closed() && self.arrival.transport.is_socket();
        if delay.is_zero() && !waits {
            return self.ask(batch);
        }
        batch.count(Metric::FlappingSlowed, u64::from(!delay.is_zero()));
        // It is told something before it is late.
        let delay = delay.min(batch.broker().terms().mqtt.connect_timeout / 2);
        Next::Wait(Box::pin(self.wait(delay, waits)))
    }

    async fn wait(mut self, delay: Duration, waits: bool) -> Option<(Seat, Reader)> {
        let broker = Arc::clone(&self.broker);
        tokio::time::sleep(delay).await;
        let waited = if waits && delay.is_zero() { wait_while_late(&broker).await } else { Ok(()) };
        // Who did not wait would take over the connection of who did.
        if self.arrival.is_gone() {
            return None;
        }
        let next = {
            let mut batch = Batch::begin(&broker);
            let next = match waited {
                Ok(()) => self.ask(&mut batch),
                Err(over) => {
                    batch.count(over.metric, 1);
                    refuse(*self.arrival, &self.connect, Refusal::new(over.code, over.rule), &mut batch)
                }
            };
            let _ = batch.finish();
            next
        };
        next.end().await
    }

    fn ask(mut self, batch: &mut Batch<'_>) -> Next {
        batch.count(Metric::Authenticate, 1);
        if self.arrival.origin.is_own {
            let rules = Rules::new(vec![Rule { allow: true, action: Action::All, topics: vec![Reach::Everything] }]);
            return self.admit(Login::Allow(Grant { rules, ..Grant::default() }), batch);
        }
        // Who names a method is let in by those who know it or not at all, also if they have stopped meanwhile.
        self.was_asked = self.broker.hooks.has_authenticators();
        if self.was_asked || self.granted.method.is_some() {
            // Nobody is asked about who has no place anyway.
            if let Err(refusal) = self.take_seat() {
                return refuse(*self.arrival, &self.connect, refusal, batch);
            }
            self.arrival.ticket.leave_seat();
            return Next::Wait(Box::pin(self.ask_modules()));
        }
        self.admit(Login::Ignore, batch)
    }

    async fn ask_modules(mut self) -> Option<(Seat, Reader)> {
        let broker = Arc::clone(&self.broker);
        let login = match self.granted.method.clone() {
            None => broker.hooks.authenticate(&self.info, self.connect.password.as_deref()).await,
            // What it takes is in memory of its own: few clients are challenged, and all would have room for it.
            Some(method) => match Box::pin(self.exchange(&method)).await {
                Ok(login) => login,
                Err(Broken::Refused(code)) => Login::Deny(code),
                Err(Broken::Left) => return None,
            },
        };
        let next = {
            let mut batch = Batch::begin(&broker);
            let next = self.admit(login, &mut batch);
            let _ = batch.finish();
            next
        };
        next.end().await
    }

    async fn exchange(&mut self, method: &str) -> Result<Login, Broken> {
        let Self { broker, arrival, connect, info, .. } = self;
        let (login, conclusion) =
            challenge::exchange(&broker.hooks, &broker.watched, arrival, connect, info, method).await?;
        self.conclusion = conclusion;
        Ok(login)
    }

    fn admit(mut self, login: Login, batch: &mut Batch<'_>) -> Next {
        // Again: it may have waited, or have another user name now.
        let weighed = self.weigh(login, batch).and_then(|()| not_banned(&self.broker.doors, &self.info));
        let old = match weighed.and_then(|()| self.take_seat()) {
            Ok(old) => old,
            Err(refusal) => return refuse(*self.arrival, &self.connect, refusal, batch),
        };
        let Some(answer) = self.connack() else { return Next::Close };
        if self.broker.membership.roll_of(&self.info).is_some() {
            return Next::Wait(Box::pin(self.enrol(old, answer)));
        }
        match old {
            // Nobody is there to be heard out. Should one come in between, it is taken over without that.
            None => {
                let (seat, reader) = self.enter(answer, None, batch);
                Next::Serve(seat, reader)
            }
            Some(old) => Next::Wait(Box::pin(async move {
                hear_out(old).await;
                let broker = Arc::clone(&self.broker);
                let mut batch = Batch::begin(&broker);
                let entered = self.enter(answer, None, &mut batch);
                let _ = batch.finish();
                Some(entered)
            })),
        }
    }

    /// Comes in when all nodes of the cluster are told so, or this one at least, which has read all that was before.
    async fn enrol(mut self, old: Option<Arc<Connection>>, answer: ConnAck) -> Option<(Seat, Reader)> {
        if let Some(old) = old {
            hear_out(old).await;
        }
        let broker = Arc::clone(&self.broker);
        let roll = broker.membership.roll()?;
        broker.hear_out_elsewhere(&self.info.client_id, &**roll).await;
        self.info.connected_at = wall_ms();
        // It takes the transition lock: an end that is under way has been said when this has it, so that it comes before what is
        // said here, and is not taken for a takeover.
        let has_session = broker.has_session_anywhere(&self.info.client_id, &**roll);
        // As far as can be seen from here: no session is begun or ended before the client is in.
        self.info.session_present = !self.info.clean_start && has_session;
        let receive_maximum = self.arrival.ticket.bounds().session.window_of(&self.connect);
        // Who did not wait has gone without a word, and nobody is to be taken over by it.
        if self.arrival.is_gone() {
            return None;
        }
        if let Some(rule) = broker.waits_for_home(&self.info, &**roll) {
            let refusal = Refusal::new(ReasonCode::ServerUnavailable, rule);
            let next = in_batch(&broker, |batch| refuse(*self.arrival, &self.connect, refusal, batch));
            return Box::pin(next.end()).await;
        }
        let next = match Enrolment::begin(roll, &mut self.connect, &self.info, receive_maximum).await {
            Ok(Enrolled::Here(enrolment, seated)) => match broker.bring_home(&self.info).await {
                Brought::Here => self.enter_enrolled(answer, enrolment, seated),
                Brought::Elsewhere => {
                    drop(enrolment);
                    answer_taken_over(&broker, *self.arrival, self.connect.version, answer)
                }
                Brought::Refused(rule) => {
                    // It never was told that it is in.
                    drop(enrolment);
                    let refusal = Refusal::new(ReasonCode::ServerUnavailable, rule);
                    in_batch(&broker, |batch| refuse(*self.arrival, &self.connect, refusal, batch))
                }
            },
            Ok(Enrolled::TakenOver) => answer_taken_over(&broker, *self.arrival, self.connect.version, answer),
            Err(refusal) => in_batch(&broker, |batch| refuse(*self.arrival, &self.connect, refusal, batch)),
        };
        Box::pin(next.end()).await
    }

    fn enter_enrolled(self, answer: ConnAck, enrolment: Enrolment, seated: Seated) -> Next {
        let broker = Arc::clone(&self.broker);
        let mut batch = Batch::begin(&broker);
        let (seat, reader) = self.enter(answer, Some(seated), &mut batch);
        // Before CONNACK leaves: who took it over, or ended all of this node, before it was in the table has not found it there.
        if !enrolment.close() {
            let ending = Ending { reason: Reason::TakenOver, code: Some(ReasonCode::SessionTakenOver) };
            seat.connection.end(ending);
        }
        let _ = batch.finish();
        Next::Serve(seat, reader)
    }

    /// Takes a client's place, and says which connection will be taken over.
    fn take_seat(&mut self) -> Result<Option<Arc<Connection>>, Refusal> {
        let old = self.broker.connection_of(&self.info.client_id);
        let taken = self.arrival.ticket.take_seat(old.as_deref().map(|old| &old.info));
        taken.map(|()| old).map_err(|over| {
            self.broker.watched.metrics.count(over.metric);
            Refusal::new(over.code, over.rule)
        })
    }

    /// What the authenticators say, and the rules about its will.
    fn weigh(&mut self, login: Login, batch: &mut Batch<'_>) -> Result<(), Refusal> {
        let denied = |code, rule| (Metric::AuthFailure, Err(Refusal::new(code, rule)));
        let mut claims = None;
        let (metric, result) = match login {
            Login::Allow(grant) if is_over(&grant, self.broker.clock.now()) => {
                denied(ReasonCode::NotAuthorized, "its login has expired")
            }
            Login::Allow(Grant { username, rules, expires_at, claims: known }) => {
                self.info.username = username.or(self.info.username.take());
                claims = known;
                self.granted.rules = rules;
                self.granted.until = expires_at.map(Timestamp);
                (Metric::AuthSuccess, Ok(()))
            }
            // Its certificate has said who it is, and it was found good.
            Login::Ignore if self.arrival.origin.identity.is_some() => (Metric::AuthSuccess, Ok(())),
            // Not as anonymous: what it says of itself is not what it was asked to prove, and rules may be about the name.
            Login::Ignore if self.was_asked && self.says_who() => {
                denied(ReasonCode::BadUserNameOrPassword, "no authenticator knows it")
            }
            Login::Ignore if self.broker.doors.lets_in_anonymous(self.info.peer.ip()) => {
                (Metric::AuthAnonymous, Ok(()))
            }
            Login::Ignore => denied(ReasonCode::NotAuthorized, "auth.anonymous"),
            Login::Deny(code) => denied(code, "an authenticator's"),
        };
        batch.count(metric, 1);
        result?;
        // Before rules are looked at, which may be about them.
        if self.broker.hooks.has_tagging() {
            let tags = self.tags(claims.as_deref());
            self.info.set_tags(tags);
        }
        if let Some(will) = &self.connect.will {
            access::may_have_will(&self.broker.hooks, &self.granted.rules, &self.info, &will.message.topic)?;
        }
        Ok(())
    }

    fn tags(&self, claims: Option<&str>) -> Tags {
        let identity = self.arrival.origin.identity.as_deref();
        let subject = identity.map(|identity| subject_of(&identity.certificate)).unwrap_or_default();
        let attribute = |(name, value): (&str, String)| Attribute { name: name.to_owned(), value };
        let subject: Vec<_> = subject.into_iter().map(attribute).collect();
        let said = Said { properties: &self.connect.properties, claims, subject: &subject };
        self.broker.hooks.tags(&self.info, &said)
    }

    fn says_who(&self) -> bool {
        self.connect.username.is_some() || self.connect.password.is_some()
    }

    /// CONNACK, if the client takes one.
    fn connack(&self) -> Option<ConnAck> {
        let Self { broker, connect, info, has_id, .. } = self;
        let assigned = (!has_id).then_some(&*info.client_id);
        let mut properties = told_limits(&broker.terms().mqtt, self.arrival.ticket.bounds(), connect, info, assigned);
        if let Some(method) = &self.granted.method {
            properties = properties.iter().chain(properties_of(method, self.conclusion.clone())).collect();
        }
        let answer = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
        // [MQTT-3.1.2-24]: a client that takes no packet as large as CONNACK gets none, and so can't come in.
        if let Some(limit) = connect.properties.maximum_packet_size()
            && Packet::ConnAck(answer.clone()).encoded_len(connect.version) > limit as usize
        {
            let (peer, client_id, reason) = (Some(info.peer), &*connect.client_id, ReasonCode::PacketTooLarge);
            let rule = &format_args!("CONNACK has more than the {limit} bytes it takes");
            broker.tell_refused(&Refused { kind: Kind::Connect, peer, client_id, reason, rule, about: "" });
            return None;
        }
        Some(answer)
    }

    fn enter(self, answer: ConnAck, seated: Option<Seated>, batch: &mut Batch<'_>) -> (Seat, Reader) {
        let Self { broker, arrival, connect, info, granted, .. } = self;
        // [MQTT-3.2.2-21] [MQTT-3.2.2-22]: the broker's where it has one, of which only version 5 can be told.
        let keep_alive = match (connect.version, broker.terms().mqtt.server_keep_alive) {
            (Version::V5, Some(keep_alive)) => keep_alive,
            _ => connect.keep_alive,
        };
        let Arrival { transport, traffic, decoder, rest, ticket, .. } = *arrival;
        traffic.note_received(1, 0);
        let pace = Pace::new(ticket.bounds());
        let connect = &*connect;
        let admission = Admission { connect, info, keep_alive, answer, granted, traffic, transport, ticket, seated };
        let (client, connection) = broker.enter(admission, batch);
        subscribe_on_entry(&client, &connection, batch);
        if broker.doors.banned.has(&connection.info) {
            // The ban came in between, and whoever made it may not have found the connection.
            connection.end(Ending::BANNED);
        }
        if broker.doors.draining.is_on() && !connection.info.client_id.starts_with(OWN_CLIENTS) {
            // It came in between.
            connection.end(Ending::SENT_AWAY);
        }
        let flapping = &broker.doors.flapping;
        if flapping.is_on() && flapping.note(&connection.info, broker.clock.uptime(), wall_ms() / 1000) {
            batch.count(Metric::FlappingBanned, 1);
            let (peer, client_id, reason) = (Some(connection.info.peer), &*client.id, ReasonCode::Banned);
            let rule = &"limits.flapping: it has come too often, and is let in for the last time for a while";
            broker.tell_refused(&Refused { kind: Kind::Flapping, peer, client_id, reason, rule, about: "" });
        }
        (Seat { client, connection }, Reader::new(decoder, rest, pace))
    }
}

/// What CONNACK tells a version 5 client: only what differs from the specification's defaults.
fn told_limits(
    mqtt: &Mqtt,
    bounds: &Bounds,
    connect: &Connect,
    info: &ConnectionInfo,
    assigned: Option<&str>,
) -> Properties {
    if connect.version != Version::V5 {
        return Properties::EMPTY;
    }
    let mut told = vec![
        Property::ReceiveMaximum(bounds.session.receive_maximum),
        Property::MaximumPacketSize(bounds.max_packet_size.min(MAX_TOLD_SIZE)),
        Property::TopicAliasMaximum(bounds.session.topic_alias_maximum),
    ];
    // [MQTT-3.2.2-16]: also where its certificate says it.
    told.extend(assigned.map(|client_id| Property::AssignedClientId(client_id.into())));
    if connect.properties.session_expiry().is_some_and(|asked| asked != info.expiry_interval) {
        told.push(Property::SessionExpiry(info.expiry_interval));
    }
    told.extend(mqtt.server_keep_alive.map(Property::ServerKeepAlive));
    told.into_iter().collect()
}
