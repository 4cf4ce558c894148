//! What the broker does about each packet of a client.

use mqtt_codec::{Ack, Disconnect, Packet, Qos, ReasonCode, Version};
use mqtt_hooks::Reason;
use mqtt_session::{Event, Publication, Receipt, Timestamp, Violation};

use crate::client::ending::Ending;
use crate::client::held::is_another_count;
use crate::client::seat::Seat;
use crate::cluster::peers::owed::Answer;
use crate::delivery::batch::Batch;
use crate::delivery::shown::Acknowledged;
use crate::packets::answer::superseded;
use crate::watch::refusals::Kind;

pub(crate) mod access;
mod answer;
pub(crate) mod count;
mod publish;
pub(crate) mod renewal;
pub(crate) mod subscribe;

/// Handles one packet. An error ends the connection.
pub(crate) fn handle(seat: &Seat, packet: Packet, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    count::received(&packet, batch);
    match packet {
        // Nothing of the session has a part in this one.
        Packet::Publish(packet) if packet.qos < Qos::ExactlyOnce && seat.connection.info.version < Version::V5 => {
            let receipt = packet.packet_id.filter(|_| packet.qos > Qos::AtMostOnce);
            let receipt = receipt.map_or(Receipt::NONE, Receipt::at_least_once);
            // By reference, so that it is made where it stays: a hundred and fifty bytes for each message.
            match &mut Publication::from_publish(packet, now) {
                Some(publication) => publish::handle_publish(seat, publication, receipt, now, batch),
                None => Err(Ending::refused(ReasonCode::TopicNameInvalid)),
            }
        }
        Packet::PubAck(ack) => handle_puback(seat, &ack, now, batch),
        packet => handle_in_session(seat, packet, now, batch),
    }
}

/// Answers what had to wait for other nodes. An error ends the connection.
pub(crate) fn answer(seat: &Seat, answers: Vec<Answer>, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    answers.into_iter().try_for_each(|answer| match answer {
        Answer::Receipt(receipt, reason) => publish::answer_publish(seat, receipt, reason, batch),
        Answer::Subscribed(answer, wishes, id) => subscribe::answer_subscribe(seat, &answer, wishes, id, now, batch),
    })
}

/// Half of all packets at QoS 1, and mostly nothing has waited for the room that it makes.
fn handle_puback(seat: &Seat, ack: &Ack, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let acknowledged;
    let handled = {
        let mut state = seat.client.state.lock();
        // Taken over, as in `handle_in_session`.
        if !state.is_current(&seat.connection) {
            return Err(superseded(&seat.connection));
        }
        let state = &mut *state;
        acknowledged = Acknowledged::with(ack, Qos::AtLeastOnce, &state.session, &seat.broker().hooks);
        let has_waiting = state.session.has_waiting();
        let handled = state.session.handle_puback(ack, now, &mut state.outbox);
        state.stage(batch);
        if has_waiting {
            state.after_sending(&seat.client, batch);
        }
        handled
    };
    handled.map_err(|violation| refused(seat, &violation))?;
    if let Some(acknowledged) = acknowledged {
        acknowledged.tell(&seat.client, &seat.broker().hooks);
    }
    Ok(())
}

#[cold]
fn refused(seat: &Seat, violation: &Violation) -> Ending {
    let reason = violation.reason_code();
    seat.tell_refused(Kind::Packet, reason, violation, "");
    Ending::refused(reason)
}

#[inline(never)]
fn handle_in_session(seat: &Seat, packet: Packet, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let mut _bundle = None;
    let acknowledged;
    let event = {
        let mut state = seat.client.state.lock();
        // Taken over: the session is another connection's, and this packet was sent to what was there before.
        if !state.is_current(&seat.connection) {
            return Err(superseded(&seat.connection));
        }
        let state = &mut *state;
        if state.number > 0 && matches!(&packet, Packet::Publish(publish) if publish.qos == Qos::ExactlyOnce) {
            // Its packet id gets into the store with the deliveries that it leads to.
            _bundle = seat.broker().durable.bundle();
        }
        acknowledged = Acknowledged::by(&packet, &state.session, &seat.broker().hooks);
        let is_owed = matches!(packet, Packet::Publish(_) | Packet::PubRel(_));
        // What waits goes as acknowledgements come, and an alias comes with a PUBLISH.
        let has_waiting = state.session.queue_len() > 0;
        let may_have_alias = matches!(&packet, Packet::Publish(publish) if !publish.properties.is_empty());
        let unreleased = state.session.unreleased_len();
        let event = state.session.handle_packet(packet, now, &mut state.outbox);
        state.stage(batch);
        // What is answered here is a repeated PUBLISH or a PUBREL. A message that is to be routed is answered behind
        // that.
        state.wait_for_store(is_owed, batch);
        if is_owed && matches!(event, Ok(Event::Nothing)) && seat.broker().durable.is_failing() {
            // The answer may be about what an earlier batch has staged and could not commit.
            state.wait_for(seat.broker().durable.staged(), true);
        }
        state.count_sent_late(batch);
        if may_have_alias || is_another_count(unreleased, state.session.unreleased_len()) {
            state.recount(batch);
        } else if has_waiting {
            state.recount_now_and_then(batch);
        }
        state.note_lost(&seat.client, batch);
        state.touch(&seat.client, batch);
        event
    };
    let event = event.map_err(|violation| refused(seat, &violation))?;
    if let Some(acknowledged) = acknowledged {
        acknowledged.tell(&seat.client, &seat.broker().hooks);
    }
    match event {
        Event::Nothing => Ok(()),
        Event::Publish(mut publication, receipt) => {
            publish::handle_publish(seat, &mut publication, receipt, now, batch)
        }
        Event::Subscribe(subscribe) => subscribe::handle_subscribe(seat, subscribe, now, batch),
        Event::Unsubscribe(unsubscribe) => subscribe::handle_unsubscribe(seat, &unsubscribe, batch),
        Event::Disconnect(disconnect) => Err(disconnected(seat, &disconnect)),
        Event::Auth(auth) => renewal::handle(seat, &auth),
    }
}

/// The client leaves. What it says about that is told here: there is no room for it on the way out.
#[inline(never)]
fn disconnected(seat: &Seat, disconnect: &Disconnect) -> Ending {
    let ending = Ending::gone(Reason::Client(disconnect.reason));
    if !disconnect.properties.is_empty() {
        seat.broker().leave(&seat.client, &seat.connection, ending, &disconnect.properties);
    }
    ending
}
