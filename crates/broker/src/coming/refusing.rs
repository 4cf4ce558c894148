//! Who may not come in is told so.

use std::sync::Arc;

use bytes::BytesMut;
use mqtt_codec::{ConnAck, Connect, Disconnect, Packet, Properties, Property, ReasonCode, Version};
use mqtt_hooks::Fact;
use mqtt_operate::Direction;

use crate::broker::Broker;
use crate::coming::arrival::{Arrival, Origin};
use crate::coming::farewell::say_farewell;
use crate::coming::handshake::Next;
use crate::delivery::batch::Batch;
use crate::packets::access::Refusal;
use crate::time::clock::wall_ms;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

/// Tells it, and who watches.
pub(super) fn refuse(arrival: Arrival, connect: &Connect, refusal: Refusal, batch: &mut Batch<'_>) -> Next {
    let (broker, Origin { peer, listener, .. }) = (batch.broker(), &arrival.origin);
    let Refusal { code: reason, rule } = refusal;
    broker.tell_refused(&Refused {
        kind: Kind::Connect,
        peer: Some(*peer),
        client_id: &connect.client_id,
        reason,
        rule: &rule,
        about: "",
    });
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
    let mut answer = saying(reason);
    if reason == ReasonCode::UseAnotherServer && connect.version == Version::V5 {
        let to = broker.reference().map(Property::ServerReference);
        let told = ConnAck { properties: to.into_iter().collect(), ..saying(reason) };
        // [MQTT-3.2.2-19] names other properties, but no packet is longer than a client takes: [MQTT-3.1.2-24].
        let limit = connect.properties.maximum_packet_size().map_or(usize::MAX, |limit| limit as usize);
        if Packet::ConnAck(told.clone()).encoded_len(connect.version) <= limit {
            answer = told;
        }
    }
    answer_and_close(broker, arrival, connect.version, &connect.client_id, answer)
}

/// A CONNACK that says this and nothing else. [MQTT-3.2.2-6]
pub(super) const fn saying(reason: ReasonCode) -> ConnAck {
    ConnAck { session_present: false, reason, properties: Properties::EMPTY }
}

/// Answers with CONNACK and closes. [MQTT-3.2.2-7]
pub(super) fn answer_and_close(
    broker: &Arc<Broker>,
    arrival: Arrival,
    version: Version,
    client_id: &str,
    answer: ConnAck,
) -> Next {
    let (broker, client_id) = (Arc::clone(broker), client_id.to_owned());
    // The ticket too: the place is taken until the socket is closed.
    let Arrival { transport, ticket, .. } = arrival;
    Next::Wait(Box::pin(async move {
        // [MQTT-3.1.4-6]: what came behind CONNECT is not looked at.
        let reason = answer.reason;
        let answer = Packet::ConnAck(answer);
        let mut output = BytesMut::new();
        if answer.encode(version, &mut output).is_ok() && transport.write_all(&output).await.is_ok() {
            broker.watched.traces.note_before_entry(&client_id, Direction::Out, &answer);
            count_refusal(&broker, reason);
            say_farewell(&transport).await;
        }
        drop(ticket);
        None
    }))
}

/// Has come in, by what is told, and was taken over by another one since: it is told both, and the connection closes.
pub(super) fn answer_taken_over(broker: &Arc<Broker>, arrival: Arrival, version: Version, answer: ConnAck) -> Next {
    let broker = Arc::clone(broker);
    let Arrival { transport, ticket, .. } = arrival;
    Next::Wait(Box::pin(async move {
        let mut output = BytesMut::new();
        let reason = ReasonCode::SessionTakenOver;
        // Before version 5 the end of the connection is all that can be said.
        let farewell = Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY });
        let is_made = Packet::ConnAck(answer).encode(version, &mut output).is_ok()
            && (version != Version::V5 || farewell.encode(version, &mut output).is_ok());
        if is_made && transport.write_all(&output).await.is_ok() {
            broker.watched.metrics.count(Metric::ConnAckSent);
            say_farewell(&transport).await;
        }
        drop(ticket);
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
