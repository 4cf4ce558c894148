//! PUBLISH: whether it may be, and what its publisher is told.

use mqtt_codec::{Qos, ReasonCode, Version};
use mqtt_hooks::{Passage, Publisher};
use mqtt_session::{Publication, Receipt, Timestamp};

use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::cluster::peers::owed::Answer;
use crate::config::DenyAction;
use crate::delivery::batch::Batch;
use crate::delivery::publishing::Sender;
use crate::delivery::shown;
use crate::packets::access;
use crate::packets::answer::superseded;
use crate::watch::metrics::Metric;
use crate::watch::refusals::Kind;

/// Decides about a message, routes it and answers its publisher.
pub(super) fn handle_publish(
    seat: &Seat,
    publication: &mut Publication,
    receipt: Receipt,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
    let (Seat { client, connection, .. }, broker) = (seat, seat.broker());
    let info = &connection.info;
    let (topic, least) = (&publication.message.topic, broker.doors.least_topic_levels());
    // Most topics are too short for so many as all listeners allow.
    if topic.as_str().len() >= least
        && topic.levels_len() > least
        && topic.levels_len() > broker.doors.entrance_of(info).bounds().max_topic_levels
    {
        seat.tell_refused(Kind::Publish, ReasonCode::TopicNameInvalid, &"limits.max_topic_levels", "");
        return acknowledge(seat, receipt, ReasonCode::TopicNameInvalid, batch);
    }
    // 3.1.1 [MQTT-3.3.5-2]: before MQTT 5 there is no reason in the answer, so what is refused is acknowledged all the
    // same.
    if let Err(refusal) = access::may_publish(&broker.hooks, &connection.rules(), info, &publication.message.topic) {
        batch.count(Metric::PublishAuthError, 1);
        seat.tell_refused(Kind::Publish, refusal.code, &refusal.rule, publication.message.topic.as_str());
        let is_reserved = broker.hooks.why_reserved(&publication.message.topic).is_some();
        if broker.terms().deny_action == DenyAction::Disconnect && !is_reserved {
            return end(seat, receipt, refusal.code, batch);
        }
        return acknowledge(seat, receipt, refusal.code, batch);
    }
    // As it was sent: modules may change that of the message, and the publisher waits for what it has asked for.
    let qos = publication.message.qos;
    // Before modules see it: what they keep of it would be for a message that its publisher sends again.
    if qos > Qos::AtMostOnce && broker.durable.is_failing() {
        return refuse(seat, receipt, ReasonCode::QuotaExceeded, batch);
    }
    // What is asked of a module is for it alone.
    if let Some(code) = broker.hooks.ask(info, &publication.message, batch) {
        return acknowledge(seat, receipt, code, batch);
    }
    match shown::intercept(Publisher::Client(info), publication, now, batch) {
        Passage::Pass => {}
        Passage::Drop => return acknowledge(seat, receipt, ReasonCode::Success, batch),
        Passage::Refuse(code) => return acknowledge(seat, receipt, code, batch),
    }
    if qos > Qos::AtMostOnce && !broker.durable.can_keep(&publication.message) {
        let topic = publication.message.topic.as_str();
        seat.tell_refused(Kind::Publish, ReasonCode::QuotaExceeded, &"it is too large to be stored", topic);
        return refuse(seat, receipt, ReasonCode::QuotaExceeded, batch);
    }
    let mut receipt = (qos > Qos::AtMostOnce).then_some(receipt);
    let mut answered = Ok(());
    let sender = Sender { client: Some(client), address: Some(info.peer.ip()) };
    let is_matched = broker.publish(publication, sender, now, batch, |batch| {
        // Its own message comes after the answer. What that promises is being staged, so it may not leave yet.
        if let Some(receipt) = receipt.take() {
            answered = hold(seat).and_then(|()| acknowledge(seat, receipt, ReasonCode::Success, batch));
        }
    });
    match receipt {
        _ if qos == Qos::AtMostOnce => Ok(()),
        Some(receipt) if qos == Qos::AtLeastOnce && !is_matched => {
            acknowledge(seat, receipt, ReasonCode::NoMatchingSubscribers, batch)
        }
        Some(receipt) => acknowledge(seat, receipt, ReasonCode::Success, batch),
        // It was answered before it was routed. All that the answer promises is staged now.
        None => answered.and_then(|()| release(seat, batch)),
    }
}

/// From now on nothing of the outbox leaves.
fn hold(seat: &Seat) -> Result<(), Ending> {
    let mut state = seat.client.state.lock();
    if !state.is_current(&seat.connection) {
        return Err(superseded(&seat.connection));
    }
    state.held = true;
    Ok(())
}

/// What was held may leave with all that has been staged since. What another connection holds is its own.
fn release(seat: &Seat, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let mut state = seat.client.state.lock();
    if !state.is_current(&seat.connection) {
        return Err(superseded(&seat.connection));
    }
    state.held = false;
    state.wait_for_store(true, batch);
    state.touch(&seat.client, batch);
    Ok(())
}

/// Before MQTT 5 there is no way to refuse a message but to close.
fn refuse(seat: &Seat, receipt: Receipt, code: ReasonCode, batch: &mut Batch<'_>) -> Result<(), Ending> {
    match seat.connection.info.version {
        Version::V5 => acknowledge(seat, receipt, code, batch),
        Version::V3_1 | Version::V3_1_1 => end(seat, receipt, code, batch),
    }
}

/// The message is not answered, and the connection ends.
fn end(seat: &Seat, receipt: Receipt, code: ReasonCode, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let mut state = seat.client.state.lock();
    // Its packet id is forgotten with it, or the message would be taken for a repeated one when it is sent again.
    state.session.withdraw(receipt);
    state.stage(batch);
    Err(Ending::refused(code))
}

/// Also what is refused, and what only this node has: behind what has come before it. [MQTT-4.6.0-2]
fn acknowledge(seat: &Seat, receipt: Receipt, reason: ReasonCode, batch: &mut Batch<'_>) -> Result<(), Ending> {
    if let Some(answers) = batch.answers() {
        answers.push(Answer::Receipt(receipt, reason));
        return Ok(());
    }
    answer_publish(seat, receipt, reason, batch)
}

pub(super) fn answer_publish(
    seat: &Seat,
    receipt: Receipt,
    reason: ReasonCode,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
    let mut state = seat.client.state.lock();
    if !state.is_current(&seat.connection) {
        return Err(superseded(&seat.connection));
    }
    let state = &mut *state;
    state.session.acknowledge(receipt, reason, &mut state.outbox);
    state.stage(batch);
    // A refusal promises nothing.
    if !reason.is_error() {
        state.wait_for_store(true, batch);
    }
    state.touch(&seat.client, batch);
    Ok(())
}
