//! From CONNECT to CONNACK: who may come in.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{ConnAck, Connect, DecodeError, Packet, Properties, Property, ReasonCode, Version};
use mqtt_hooks::{ConnectionInfo, Fact, Grant, Login};
use mqtt_net::Transport;
use mqtt_session::Timestamp;

use crate::broker::Broker;
use crate::client::connection::Ending;
use crate::client::seat::{Seat, Stay};
use crate::coming::arrival::{Arrival, First, Origin};
use crate::coming::entering::{Admission, hear_out};
use crate::coming::farewell::say_farewell;
use crate::coming::reader::Reader;
use crate::delivery::batch::Batch;
use crate::packets::access;
use crate::time::clock::wall_ms;
use crate::watch::metrics::Metric;

/// A stage that seldom lasts, so its memory is its own.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How it goes on with an arrival.
pub(crate) enum Next {
    Serve(Seat, Reader),
    /// It takes time: a question to a module, an old connection to be heard out, or a refusal. `None`: closed.
    Wait(Boxed<Option<(Seat, Reader)>>),
    Close,
}

/// Decides about an arrival, and lets it in if there is nothing to wait for.
pub(crate) fn receive(broker: &Arc<Broker>, arrival: Box<Arrival>, first: First) -> Next {
    match first {
        First::Connect(connect) => {
            let mut batch = Batch::begin(broker);
            batch.count(Metric::Connect, 1);
            let next = match describe(&connect, arrival.origin.clone(), &mut batch) {
                Ok(info) => Candidate { broker: Arc::clone(broker), arrival, connect, info, until: None }
                    .authenticate(&mut batch),
                Err(code) => refuse(*arrival, &connect, code, &mut batch),
            };
            // CONNACK promises nothing that is not stored: the client's flush decides about it.
            let _ = batch.finish();
            next
        }
        First::Malformed(DecodeError::UnsupportedVersion(level)) => {
            // [MQTT-3.1.2-2]: in the form of the version that is nearest to what the client speaks.
            let version = if level > Version::V5.level() { Version::V5 } else { Version::V3_1_1 };
            answer_and_close(broker, arrival.transport, version, ReasonCode::UnsupportedProtocolVersion)
        }
        First::Malformed(error) => {
            tracing::debug!(peer = %arrival.origin.peer, %error, "no CONNECT");
            // [MQTT-3.1.4-1]: closed without an answer.
            Next::Wait(Box::pin(async move {
                say_farewell(&arrival.transport).await;
                None
            }))
        }
        First::Nothing => Next::Close,
    }
}

/// A client whose CONNECT is right.
struct Candidate {
    broker: Arc<Broker>,
    arrival: Box<Arrival>,
    connect: Box<Connect>,
    info: ConnectionInfo,
    /// By the clock of the broker: how long it may stay.
    until: Option<Timestamp>,
}

impl Candidate {
    fn authenticate(self, batch: &mut Batch<'_>) -> Next {
        batch.count(Metric::Authenticate, 1);
        if self.broker.hooks.has_authenticators() {
            return Next::Wait(Box::pin(self.ask_modules()));
        }
        self.admit(Login::Ignore, batch)
    }

    async fn ask_modules(self) -> Option<(Seat, Reader)> {
        let broker = Arc::clone(&self.broker);
        let login = broker.hooks.authenticate(&self.info, self.connect.password.as_deref()).await;
        let next = {
            let mut batch = Batch::begin(&broker);
            let next = self.admit(login, &mut batch);
            let _ = batch.finish();
            next
        };
        match next {
            Next::Serve(seat, reader) => Some((seat, reader)),
            Next::Wait(wait) => wait.await,
            Next::Close => None,
        }
    }

    fn admit(mut self, login: Login, batch: &mut Batch<'_>) -> Next {
        if let Err(code) = self.weigh(login, batch) {
            return refuse(*self.arrival, &self.connect, code, batch);
        }
        let Some(answer) = self.connack() else { return Next::Close };
        match self.broker.connection_of(&self.info.client_id) {
            None => {
                let (seat, reader) = self.enter(answer, batch);
                Next::Serve(seat, reader)
            }
            Some(old) => Next::Wait(Box::pin(async move {
                hear_out(old).await;
                let broker = Arc::clone(&self.broker);
                let mut batch = Batch::begin(&broker);
                let entered = self.enter(answer, &mut batch);
                let _ = batch.finish();
                Some(entered)
            })),
        }
    }

    /// What the authenticators say, and the rules about its will.
    fn weigh(&mut self, login: Login, batch: &mut Batch<'_>) -> Result<(), ReasonCode> {
        let now = self.broker.clock.now();
        let (metric, result) = match login {
            Login::Allow(grant) if grant.expires_at.is_some_and(|at| at <= now.0) => {
                (Metric::AuthFailure, Err(ReasonCode::NotAuthorized))
            }
            Login::Allow(Grant { username, expires_at }) => {
                self.info.username = username.or(self.info.username.take());
                self.until = expires_at.map(Timestamp);
                (Metric::AuthSuccess, Ok(()))
            }
            Login::Ignore if self.broker.config.anonymous => (Metric::AuthAnonymous, Ok(())),
            Login::Ignore => (Metric::AuthFailure, Err(ReasonCode::NotAuthorized)),
            Login::Deny(code) => (Metric::AuthFailure, Err(code)),
        };
        batch.count(metric, 1);
        result?;
        if let Some(will) = &self.connect.will {
            let topic = &will.message.topic;
            access::publish(&self.broker.hooks, &self.info, topic).map_err(|refusal| refusal.code)?;
        }
        Ok(())
    }

    /// CONNACK, if the client takes one.
    fn connack(&self) -> Option<ConnAck> {
        let Self { broker, connect, info, .. } = self;
        let properties = told_limits(broker, connect, info);
        let answer = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
        // [MQTT-3.1.2-24]: a client that takes no packet as large as CONNACK gets none, and so can't come in.
        if let Some(limit) = connect.properties.maximum_packet_size()
            && Packet::ConnAck(answer.clone()).encoded_len(connect.version) > limit as usize
        {
            tracing::info!(client_id = %connect.client_id, limit, "connect refused: CONNACK is too large for it");
            return None;
        }
        Some(answer)
    }

    fn enter(self, answer: ConnAck, batch: &mut Batch<'_>) -> (Seat, Reader) {
        let Self { broker, arrival, connect, info, until } = self;
        let keep_alive = match (connect.version, broker.config.mqtt.server_keep_alive) {
            (Version::V5, Some(keep_alive)) => keep_alive,
            _ => connect.keep_alive,
        };
        let Arrival { transport, traffic, decoder, rest, .. } = *arrival;
        traffic.note_received(1, 0);
        let (client, connection) =
            broker.enter(Admission { connect: &connect, info, keep_alive, answer, traffic, transport }, batch);
        if broker.banned.has(&connection.info) {
            // The ban came in between, and whoever made it may not have found the connection.
            connection.end(Ending::BANNED);
        }
        let left = until.map(|until| Duration::from_millis(until.0.saturating_sub(broker.clock.now().0)));
        let stay = left.map(|left| Stay::start(&connection, left));
        (Seat { client, connection, _stay: stay }, Reader::new(decoder, rest))
    }
}

/// What is known of the client by its CONNECT, or why that is not good enough.
fn describe(connect: &Connect, origin: Origin, batch: &mut Batch<'_>) -> Result<ConnectionInfo, ReasonCode> {
    let broker = batch.broker();
    if broker.stopping.load(Relaxed) {
        return Err(ReasonCode::ServerShuttingDown);
    }
    if broker.online() >= broker.config.mqtt.max_connections || broker.memory.is_still_full() {
        return Err(ReasonCode::ServerBusy);
    }
    // [MQTT-4.12.0-1]: no method of extended authentication is known here.
    if connect.properties.authentication_method().is_some() {
        return Err(ReasonCode::BadAuthenticationMethod);
    }
    let client_id = if connect.client_id.is_empty() {
        // [MQTT-3.1.3-8]: before version 5 an empty id needs a clean session; in 3.1 it is never allowed.
        match connect.version {
            Version::V3_1 => return Err(ReasonCode::ClientIdNotValid),
            Version::V3_1_1 if !connect.clean_start => return Err(ReasonCode::ClientIdNotValid),
            Version::V3_1_1 | Version::V5 => assigned_id(),
        }
    } else if connect.client_id.len() > broker.config.limits.max_client_id {
        return Err(ReasonCode::ClientIdNotValid);
    } else {
        Arc::from(&*connect.client_id)
    };
    let levels = connect.will.as_ref().map_or(0, |will| will.message.topic.levels_len());
    if levels > broker.config.limits.max_topic_levels {
        return Err(ReasonCode::TopicNameInvalid);
    }
    let info = ConnectionInfo {
        client_id,
        username: connect.username.as_deref().map(Arc::from),
        version: connect.version,
        peer: origin.peer,
        listener: origin.listener,
        keep_alive: connect.keep_alive,
        clean_start: connect.clean_start,
        expiry_interval: session_expiry(broker, connect),
        connected_at: 0,
        session_present: false,
        epoch: broker.numbers.epoch,
        conn_id: broker.numbers.next_connection(|bounds| batch.stage(|stage| stage.bounds(bounds))),
    };
    if broker.banned.has(&info) { Err(ReasonCode::Banned) } else { Ok(info) }
}

/// Seconds the session outlives its connection.
fn session_expiry(broker: &Broker, connect: &Connect) -> u32 {
    let mqtt = &broker.config.mqtt;
    if connect.version == Version::V5 {
        return connect.properties.session_expiry().unwrap_or(0).min(mqtt.max_session_expiry);
    }
    if connect.clean_start {
        return 0;
    }
    u32::try_from(mqtt.session_expiry.as_secs()).unwrap_or(u32::MAX)
}

/// What CONNACK tells a version 5 client: only what differs from the specification's defaults.
fn told_limits(broker: &Broker, connect: &Connect, info: &ConnectionInfo) -> Properties {
    if connect.version != Version::V5 {
        return Properties::EMPTY;
    }
    let limits = &broker.config.limits;
    let mut told = vec![
        Property::ReceiveMaximum(limits.receive_maximum),
        Property::MaximumPacketSize(limits.max_packet_size),
        Property::TopicAliasMaximum(limits.topic_alias_maximum),
    ];
    if connect.client_id.is_empty() {
        told.push(Property::AssignedClientId((*info.client_id).into()));
    }
    if connect.properties.session_expiry().is_some_and(|asked| asked != info.expiry_interval) {
        told.push(Property::SessionExpiry(info.expiry_interval));
    }
    told.extend(broker.config.mqtt.server_keep_alive.map(Property::ServerKeepAlive));
    told.into_iter().collect()
}

fn assigned_id() -> Arc<str> {
    format!("auto-{}", random_text()).into()
}

/// 128 random bits: nobody guesses another's id.
fn random_text() -> String {
    let random = |n: u8| RandomState::new().hash_one(n);
    format!("{:016x}{:016x}", random(0), random(1))
}

fn refuse(arrival: Arrival, connect: &Connect, reason: ReasonCode, batch: &mut Batch<'_>) -> Next {
    tracing::info!(client_id = %connect.client_id, reason = reason.name(), "connect refused");
    let (broker, Origin { peer, listener }) = (batch.broker(), &arrival.origin);
    let fact = Fact::Refused {
        client_id: &connect.client_id,
        username: connect.username.as_deref(),
        version: connect.version,
        peer: *peer,
        listener,
        reason,
        at: wall_ms(),
    };
    broker.hooks.observe(&fact, batch);
    answer_and_close(broker, arrival.transport, connect.version, reason)
}

/// Answers with CONNACK and closes. [MQTT-3.2.2-7]
fn answer_and_close(broker: &Arc<Broker>, transport: Transport, version: Version, reason: ReasonCode) -> Next {
    let broker = Arc::clone(broker);
    Next::Wait(Box::pin(async move {
        let answer = Packet::ConnAck(ConnAck { session_present: false, reason, properties: Properties::EMPTY });
        let mut output = BytesMut::new();
        if answer.encode(version, &mut output).is_ok() && transport.write_all(&output).await.is_ok() {
            count_refusal(&broker, reason);
            say_farewell(&transport).await;
        }
        None
    }))
}

fn count_refusal(broker: &Arc<Broker>, reason: ReasonCode) {
    let mut batch = Batch::begin(broker);
    batch.count(Metric::ConnAckSent, 1);
    batch.count(Metric::ConnAckError, 1);
    if matches!(reason, ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword) {
        batch.count(Metric::ConnAckAuthError, 1);
    }
    let _ = batch.finish();
}
