//! From accept to CONNACK: one CONNECT within its time, or nothing.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::BytesMut;
use bytestring::ByteString;
use mqtt_codec::{ConnAck, Connect, DecodeError, Decoder, Packet, Properties, Property, ReasonCode, Role, Version};
use mqtt_modules::{ConnectionInfo, Verdict};

use crate::access;
use crate::batch::{Batch, count};
use crate::broker::Broker;
use crate::metrics::Metric;
use crate::serve::{Reader, Seat, say_farewell};
use crate::transition::Admission;
use crate::transport::Transport;

/// Where a connection came in.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    /// The listener's port.
    pub(crate) port: u16,
    /// The listener's name.
    pub(crate) listener: Arc<str>,
}

/// Bytes that are read at once before a client is in.
const FIRST_READ: usize = 1024;

/// Reads CONNECT and lets the client in; `None`: it was refused or went away, and nothing is known of it.
pub(crate) async fn shake(broker: Arc<Broker>, transport: Transport, origin: Origin) -> Option<(Seat, Reader)> {
    let broker = &broker;
    let mut decoder = Decoder::new(Role::Server, broker.config.limits.max_packet_size);
    let mut input = BytesMut::new();
    let connect = match read_connect(&transport, &mut decoder, &mut input).await {
        Ok(connect) => connect?,
        Err(DecodeError::UnsupportedVersion(level)) => {
            // [MQTT-3.1.2-2]: in the form of the version that is nearest to what the client speaks.
            let version = if level > Version::V5.level() { Version::V5 } else { Version::V3_1_1 };
            refuse(broker, &transport, version, ReasonCode::UnsupportedProtocolVersion).await;
            return None;
        }
        Err(error) => {
            tracing::debug!(peer = %origin.peer, %error, "no CONNECT");
            // [MQTT-3.1.4-1]: closed without an answer.
            say_farewell(&transport).await;
            return None;
        }
    };
    count_now(broker, Metric::Connect);
    match admit(broker, &connect, origin).await {
        Ok((info, keep_alive, properties)) => {
            // [MQTT-3.1.2-24]: a client that takes no packet as large as CONNACK gets none, and so can't come in.
            let answer = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
            let limit = connect.properties.maximum_packet_size().map_or(usize::MAX, |limit| limit as usize);
            if Packet::ConnAck(answer.clone()).encoded_len(connect.version) > limit {
                tracing::info!(client_id = %connect.client_id, limit, "connect refused: CONNACK is too large for it");
                return None;
            }
            broker.hear_out(&info.client_id).await;
            let admission = Admission { connect: &connect, info, keep_alive, answer, transport };
            let (client, connection) = broker.enter(admission);
            Some((Seat { client, connection }, Reader::new(decoder, input)))
        }
        Err(code) => {
            tracing::info!(client_id = %connect.client_id, reason = code.name(), "connect refused");
            refuse(broker, &transport, connect.version, code).await;
            None
        }
    }
}

/// `None`: the peer closed, or its first packet is none that may come first.
async fn read_connect(
    transport: &Transport,
    decoder: &mut Decoder,
    input: &mut BytesMut,
) -> Result<Option<Box<Connect>>, DecodeError> {
    loop {
        match decoder.decode(input)? {
            Some(Packet::Connect(connect)) => return Ok(Some(connect)),
            // [MQTT-3.1.0-1]
            Some(_) => return Ok(None),
            None => {}
        }
        match transport.read(input, FIRST_READ).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

/// Decides about a CONNECT: what is known of the client, its keep alive and the properties of CONNACK, or why not.
async fn admit(
    broker: &Broker,
    connect: &Connect,
    origin: Origin,
) -> Result<(ConnectionInfo, u16, Properties), ReasonCode> {
    let limits = &broker.config.limits;
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
    let is_assigned = connect.client_id.is_empty();
    let client_id = if is_assigned {
        // [MQTT-3.1.3-8]: before version 5 an empty id needs a clean session; in 3.1 it is never allowed.
        match connect.version {
            Version::V3_1 => return Err(ReasonCode::ClientIdNotValid),
            Version::V3_1_1 if !connect.clean_start => return Err(ReasonCode::ClientIdNotValid),
            Version::V3_1_1 | Version::V5 => assigned_id(),
        }
    } else if connect.client_id.len() > limits.max_client_id {
        return Err(ReasonCode::ClientIdNotValid);
    } else {
        connect.client_id.clone()
    };
    let expiry_interval = session_expiry(broker, connect);
    let info = ConnectionInfo {
        client_id: ByteString::from(&*client_id),
        username: connect.username.as_deref().map(ByteString::from),
        version: connect.version,
        peer: origin.peer,
        port: origin.port,
        listener: origin.listener,
        keep_alive: connect.keep_alive,
        clean_start: connect.clean_start,
        expiry_interval,
        connected_at: 0,
        session_present: false,
        epoch: broker.numbers.epoch,
        conn_id: broker.next_connection(),
    };
    authenticate(broker, &info, connect).await?;
    if let Some(will) = &connect.will {
        access::publish(&broker.hooks, &info, &will.message.topic).map_err(|refusal| refusal.code)?;
    }
    let keep_alive = match (connect.version, broker.config.mqtt.server_keep_alive) {
        (Version::V5, Some(keep_alive)) => keep_alive,
        _ => connect.keep_alive,
    };
    let properties = told_limits(broker, connect, &info, is_assigned);
    Ok((info, keep_alive, properties))
}

async fn authenticate(broker: &Broker, info: &ConnectionInfo, connect: &Connect) -> Result<(), ReasonCode> {
    count_now(broker, Metric::Authenticate);
    let (metric, result) = match broker.hooks.authenticate(info, connect.password.as_deref()).await {
        Verdict::Allow => (Metric::AuthSuccess, Ok(())),
        Verdict::Ignore if broker.config.auth.anonymous => (Metric::AuthAnonymous, Ok(())),
        Verdict::Ignore => (Metric::AuthFailure, Err(ReasonCode::NotAuthorized)),
        Verdict::Deny(code) => (Metric::AuthFailure, Err(code)),
    };
    count_now(broker, metric);
    result
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
fn told_limits(broker: &Broker, connect: &Connect, info: &ConnectionInfo, is_assigned: bool) -> Properties {
    if connect.version != Version::V5 {
        return Properties::EMPTY;
    }
    let limits = &broker.config.limits;
    let mut told = vec![
        Property::ReceiveMaximum(limits.receive_maximum),
        Property::MaximumPacketSize(limits.max_packet_size),
        Property::TopicAliasMaximum(limits.topic_alias_maximum),
    ];
    if is_assigned {
        told.push(Property::AssignedClientId(info.client_id.clone()));
    }
    if connect.properties.session_expiry().is_some_and(|asked| asked != info.expiry_interval) {
        told.push(Property::SessionExpiry(info.expiry_interval));
    }
    told.extend(broker.config.mqtt.server_keep_alive.map(Property::ServerKeepAlive));
    told.into_iter().collect()
}

/// 128 random bits: nobody guesses another's id.
fn assigned_id() -> ByteString {
    let random = |n: u8| RandomState::new().hash_one(n);
    format!("auto-{:016x}{:016x}", random(0), random(1)).into()
}

/// Answers with CONNACK and closes. [MQTT-3.2.2-7]
async fn refuse(broker: &Broker, transport: &Transport, version: Version, reason: ReasonCode) {
    let answer = Packet::ConnAck(ConnAck { session_present: false, reason, properties: Properties::EMPTY });
    let mut output = BytesMut::new();
    if answer.encode(version, &mut output).is_ok() && transport.write_all(&output).await.is_ok() {
        count_now(broker, Metric::ConnAckSent);
        count_now(broker, Metric::ConnAckError);
        if matches!(reason, ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword) {
            count_now(broker, Metric::ConnAckAuthError);
        }
        say_farewell(transport).await;
    }
}

fn count_now(broker: &Broker, metric: Metric) {
    let _batch = Batch::begin(broker);
    count(metric, 1);
}
