//! CONNECT and its answer, at both ends.

use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{ConnAck, Connect, Packet, Property, Qos, ReasonCode, Version};
use mqtt_hooks::Wire;

use crate::plan::Plan;
use crate::side::Side;
use crate::trouble::Trouble;

/// How long the answer to CONNECT may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the remote broker has said.
pub(crate) struct Remote {
    pub(crate) side: Side,
    pub(crate) session_present: bool,
    /// So many messages above QoS 0 may be on the way there.
    pub(crate) receive_maximum: u16,
    pub(crate) max_qos: Qos,
    pub(crate) retains: bool,
    pub(crate) keep_alive: Duration,
}

/// Greets the remote broker. `is_private`: as a bridge.
pub(crate) async fn greet_remote(
    plan: &Plan,
    wire: Box<dyn Wire>,
    client_id: &str,
    is_private: bool,
    max_packet_size: u32,
) -> Result<Remote, Trouble> {
    let (version, keep_alive) = (plan.version, plan.keep_alive);
    let mut connect = Connect::new(version, client_id);
    (connect.clean_start, connect.keep_alive) = (false, keep_alive);
    connect.is_bridge = is_private && version < Version::V5;
    connect.username.clone_from(&plan.username);
    let password = &plan.password.0;
    connect.password = (!password.is_empty()).then(|| Bytes::copy_from_slice(password.as_bytes()));
    if version == Version::V5 {
        connect.properties = [
            Property::SessionExpiry(plan.session_expiry),
            Property::ReceiveMaximum(plan.max_inflight),
            Property::MaximumPacketSize(max_packet_size),
        ]
        .into();
    }
    let mut side = Side::new(wire, version, max_packet_size);
    let ConnAck { session_present, properties, .. } = greet(&mut side, connect).await?;
    let told = properties.maximum_packet_size().into_iter().chain(plan.max_packet_size).min();
    side.max_outgoing = told.map_or(usize::MAX, |bytes| bytes as usize);
    // Of MQTT 3.1.1 brokers nobody knows how many they take at a time.
    let receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX).min(plan.max_inflight);
    Ok(Remote {
        side,
        session_present,
        receive_maximum,
        max_qos: properties.iter().find_map(max_qos).unwrap_or(Qos::ExactlyOnce),
        retains: !properties.iter().any(|one| one == Property::RetainAvailable(false)),
        // [MQTT-3.2.2-21]
        keep_alive: Duration::from_secs(properties.server_keep_alive().unwrap_or(keep_alive).max(1).into()),
    })
}

/// [MQTT-3.2.2-9]
fn max_qos(property: Property) -> Option<Qos> {
    match property {
        Property::MaximumQos(true) => Some(Qos::AtLeastOnce),
        Property::MaximumQos(false) => Some(Qos::AtMostOnce),
        _ => None,
    }
}

/// Greets this broker, always in MQTT 5; true: the session was there.
pub(crate) async fn greet_here(
    wire: Box<dyn Wire>,
    client_id: &str,
    receive_maximum: u16,
    max_packet_size: u32,
) -> Result<(Side, bool), Trouble> {
    let mut connect = Connect::new(Version::V5, client_id);
    // What it has brought is not for it, and what is retained is to be retained there.
    (connect.clean_start, connect.is_bridge) = (false, true);
    connect.properties = [Property::SessionExpiry(u32::MAX), Property::ReceiveMaximum(receive_maximum)].into();
    let mut side = Side::new(wire, Version::V5, u32::MAX);
    let answer = greet(&mut side, connect).await.map_err(Trouble::here)?;
    side.max_outgoing = max_packet_size as usize;
    Ok((side, answer.session_present))
}

async fn greet(side: &mut Side, connect: Connect) -> Result<ConnAck, Trouble> {
    side.put(&Packet::Connect(Box::new(connect))).map_err(|why| Trouble::Malformed(why.to_string()))?;
    let answer = tokio::time::timeout(PATIENCE, side.receive()).await.map_err(|_| Trouble::Late)?;
    match answer? {
        Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => Ok(answer),
        Packet::ConnAck(answer) => Err(Trouble::Refused(answer.reason)),
        other => Err(Trouble::Malformed(format!("{:?} before CONNACK", other.packet_type()))),
    }
}
