//! What is known of a client by its CONNECT, and whether that is good enough to go on.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use mqtt_codec::{Connect, ReasonCode, Version};
use mqtt_hooks::{ConnectionInfo, OWN_CLIENTS};
use mqtt_session::Session;

use crate::coming::arrival::{Arrival, Origin};
use crate::coming::doors::Doors;
use crate::config::Mqtt;
use crate::delivery::batch::Batch;
use crate::packets::access::Refusal;
use crate::time::clock::wall_ms;
use crate::watch::metrics::Metric;

/// What is known of who may come in so far.
pub(super) fn welcome(
    connect: &mut Connect,
    arrival: &Arrival,
    batch: &mut Batch<'_>,
) -> Result<ConnectionInfo, Refusal> {
    if let Some(over) = arrival.ticket.over() {
        return Err(Refusal::new(over.code, over.rule));
    }
    identify(connect, &arrival.origin)?;
    describe(connect, arrival, batch)
}

/// A client is who its certificate says. It need not say that again; who says something else is refused, and not renamed: it
/// would take another client's place without knowing it.
fn identify(connect: &mut Connect, origin: &Origin) -> Result<(), Refusal> {
    let Some(identity) = &origin.identity else { return Ok(()) };
    if let Some(certified) = &identity.client_id {
        if connect.client_id.is_empty() {
            connect.client_id = certified.as_str().into();
        } else if *connect.client_id != **certified {
            return Err(Refusal::new(ReasonCode::ClientIdNotValid, "its certificate says another client id"));
        }
    }
    if let Some(certified) = &identity.username {
        match &connect.username {
            None => connect.username = Some(certified.as_str().into()),
            Some(said) if **said == **certified => {}
            Some(_) => {
                return Err(Refusal::new(ReasonCode::BadUserNameOrPassword, "its certificate says another user name"));
            }
        }
    }
    Ok(())
}

/// What is known of the client by its CONNECT, or why that is not good enough.
fn describe(connect: &Connect, arrival: &Arrival, batch: &mut Batch<'_>) -> Result<ConnectionInfo, Refusal> {
    let (broker, origin) = (batch.broker(), &arrival.origin);
    let terms = broker.terms();
    let refused = |code, rule| Err(Refusal::new(code, rule));
    if broker.doors.is_stopping() {
        return refused(ReasonCode::ServerShuttingDown, "the broker stops");
    }
    if broker.doors.draining.is_on() && !origin.is_own {
        return refused(ReasonCode::UseAnotherServer, "the broker is drained");
    }
    if broker.clients.online() >= terms.mqtt.max_connections {
        return refused(ReasonCode::ServerBusy, "mqtt.max_connections");
    }
    // Who has a session comes to drain it.
    if broker.watched.memory.is_full() && broker.clients.get(&connect.client_id).is_none() {
        return refused(ReasonCode::ServerBusy, "limits.memory");
    }
    if connect.will.as_ref().is_some_and(|will| Session::cost_of_will(will) > terms.session.share.bytes()) {
        return refused(ReasonCode::QuotaExceeded, "limits.memory leaves no room for its will");
    }
    let expiry_interval = session_expiry(&terms.mqtt, connect);
    if expiry_interval > 0
        && !origin.is_own
        && !broker.watched.memory.has_room_for_absentees(origin.peer.ip())
        && broker.clients.get(&connect.client_id).is_none()
    {
        batch.count(Metric::RefusedAbsentees, 1);
        return refused(
            ReasonCode::QuotaExceeded,
            "limits.memory: sessions of its address to which nobody is connected",
        );
    }
    if broker.durable.is_overfull(expiry_interval > 0 || connect.will.is_some()) {
        return refused(ReasonCode::QuotaExceeded, "the store can't be written to");
    }
    // [MQTT-4.12.0-1]
    if connect.properties.authentication_method().is_some_and(|method| !broker.hooks.has_method(&method)) {
        return refused(ReasonCode::BadAuthenticationMethod, "nobody knows its authentication method");
    }
    let client_id = if connect.client_id.is_empty() {
        // [MQTT-3.1.3-8]: before version 5 an empty id needs a clean session; in 3.1 it is never allowed.
        match connect.version {
            Version::V3_1 => return refused(ReasonCode::ClientIdNotValid, "no client id"),
            Version::V3_1_1 if !connect.clean_start => {
                return refused(ReasonCode::ClientIdNotValid, "no client id, and not a clean session");
            }
            Version::V3_1_1 | Version::V5 => assigned_id(),
        }
    } else if connect.client_id.len() > terms.limits.max_client_id {
        return refused(ReasonCode::ClientIdNotValid, "limits.max_client_id");
    } else if connect.client_id.starts_with(OWN_CLIENTS) && !origin.is_own {
        return refused(ReasonCode::ClientIdNotValid, "such ids are of clients of the broker's own");
    } else {
        Arc::from(&*connect.client_id)
    };
    let levels = connect.will.as_ref().map_or(0, |will| will.message.topic.levels_len());
    if levels > arrival.ticket.bounds().max_topic_levels {
        return refused(ReasonCode::TopicNameInvalid, "limits.max_topic_levels: the topic of its will");
    }
    let info = ConnectionInfo {
        client_id,
        username: connect.username.as_deref().map(Arc::from),
        version: connect.version,
        is_bridge: connect.is_bridge,
        peer: origin.peer,
        listener: Arc::clone(&origin.listener),
        keep_alive: connect.keep_alive,
        clean_start: connect.clean_start,
        expiry_interval,
        connected_at: 0,
        session_present: false,
        epoch: broker.durable.serials.epoch,
        // With the epoch it names this connection in all that is told of it, over restarts, too.
        conn_id: broker.durable.serials.next_connection(|bounds| batch.stage(|stage| stage.bounds(bounds))),
    };
    not_banned(&broker.doors, &info)?;
    Ok(info)
}

pub(super) fn not_banned(doors: &Doors, info: &ConnectionInfo) -> Result<(), Refusal> {
    if doors.banned.has(info) {
        return Err(Refusal::new(ReasonCode::Banned, "banned"));
    }
    if doors.flapping.has_bans() && doors.flapping.bans(info, wall_ms() / 1000) {
        return Err(Refusal::new(ReasonCode::Banned, "limits.flapping"));
    }
    Ok(())
}

/// Seconds the session outlives its connection.
fn session_expiry(mqtt: &Mqtt, connect: &Connect) -> u32 {
    if connect.version == Version::V5 {
        return connect.properties.session_expiry().unwrap_or(0).min(mqtt.max_session_expiry);
    }
    if connect.clean_start {
        return 0;
    }
    u32::try_from(mqtt.session_expiry.as_secs()).unwrap_or(u32::MAX)
}

fn assigned_id() -> Arc<str> {
    format!("auto-{}", random_text()).into()
}

/// 128 random bits: nobody guesses another's id.
fn random_text() -> String {
    let random = |n: u8| RandomState::new().hash_one(n);
    format!("{:016x}{:016x}", random(0), random(1))
}
