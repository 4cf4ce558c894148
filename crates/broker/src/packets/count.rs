//! Packets are counted by what they are.

use mqtt_codec::{Packet, Qos};

use crate::delivery::batch::Batch;
use crate::watch::metrics::Metric;

/// A client has sent one.
pub(crate) fn received(packet: &Packet, batch: &mut Batch<'_>) {
    let metric = match packet {
        Packet::Publish(publish) => match publish.qos {
            Qos::AtMostOnce => Metric::Qos0Received,
            Qos::AtLeastOnce => Metric::Qos1Received,
            Qos::ExactlyOnce => Metric::Qos2Received,
        },
        Packet::PubAck(_) => Metric::PubAckReceived,
        Packet::PubRec(_) => Metric::PubRecReceived,
        Packet::PubRel(_) => Metric::PubRelReceived,
        Packet::PubComp(_) => Metric::PubCompReceived,
        Packet::Subscribe(_) => Metric::SubscribeReceived,
        Packet::Unsubscribe(_) => Metric::UnsubscribeReceived,
        Packet::PingReq => Metric::PingReqReceived,
        Packet::Disconnect(_) => Metric::DisconnectReceived,
        Packet::Auth(_) => Metric::AuthReceived,
        _ => return,
    };
    batch.count(metric, 1);
}

/// One is in a client's outbox; messages are counted where they are delivered.
pub(crate) fn sent(packet: &Packet, batch: &mut Batch<'_>) {
    let metric = match packet {
        Packet::ConnAck(_) => Metric::ConnAckSent,
        Packet::SubAck(_) => Metric::SubAckSent,
        Packet::UnsubAck(_) => Metric::UnsubAckSent,
        Packet::Disconnect(_) => Metric::DisconnectSent,
        _ => return,
    };
    batch.count(metric, 1);
}
