//! What the broker does about each packet of a client.

use std::sync::Arc;

use mqtt_codec::{
    Disconnect, Filter, Packet, Qos, ReasonCode, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, Version,
};
use mqtt_hooks::{Fact, Publisher, Reason};
use mqtt_session::{DeliveryOptions, Event, Fanout, Publication, Receipt, Timestamp};
use mqtt_storage::Stage;

use crate::broker::count_delivered;
use crate::client::ClientRef;
use crate::client::connection::{Connection, Ending};
use crate::client::seat::Seat;
use crate::delivery::batch::Batch;
use crate::delivery::shown::{Acknowledged, tell_dropped};
use crate::watch::metrics::Metric;

pub(crate) mod access;
pub(crate) mod count;

/// Handles one packet. An error ends the connection.
pub(crate) fn handle(seat: &Seat, packet: Packet, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    count::received(&packet, batch);
    match packet {
        // Nothing of the session has a part in this one.
        Packet::Publish(packet) if packet.qos < Qos::ExactlyOnce && seat.connection.info.version < Version::V5 => {
            let receipt = packet.packet_id.filter(|_| packet.qos > Qos::AtMostOnce);
            let receipt = receipt.map_or(Receipt::NONE, Receipt::at_least_once);
            match Publication::from_publish(packet, now) {
                Some(publication) => publish(seat, publication, receipt, now, batch),
                None => Err(Ending::refused(ReasonCode::TopicNameInvalid)),
            }
        }
        packet => handle_in_session(seat, packet, now, batch),
    }
}

fn handle_in_session(seat: &Seat, packet: Packet, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let mut _group = None;
    let acknowledged;
    let event = {
        let mut state = seat.client.state.lock();
        if !state.is_current(&seat.connection) {
            return Err(superseded(&seat.connection));
        }
        let state = &mut *state;
        if state.number > 0 && matches!(&packet, Packet::Publish(publish) if publish.qos == Qos::ExactlyOnce) {
            // Its packet id gets into the store with the deliveries that it leads to.
            _group = seat.broker().durable.group();
        }
        acknowledged = Acknowledged::by(&packet, &state.session, seat.broker());
        let is_owed = matches!(packet, Packet::Publish(_) | Packet::PubRel(_));
        let event = state.session.handle_packet(packet, now, &mut state.outbox);
        state.stage(batch);
        state.wait_for_store(is_owed, batch);
        if is_owed && matches!(event, Ok(Event::Nothing)) && seat.broker().durable.is_failing() {
            // The answer may be about what an earlier batch has staged and could not commit.
            state.wait_for(seat.broker().durable.staged(), true);
        }
        state.count_sent_late(batch);
        state.touch(&seat.client, batch);
        event
    };
    let event = event.map_err(|violation| {
        tracing::debug!(client_id = %seat.client.id, %violation, "protocol violation");
        Ending::refused(violation.reason_code())
    })?;
    if let Some(acknowledged) = acknowledged {
        acknowledged.tell(&seat.client, seat.broker());
    }
    match event {
        Event::Nothing => Ok(()),
        Event::Publish(publication, receipt) => publish(seat, publication, receipt, now, batch),
        Event::Subscribe(subscribe) => self::subscribe(seat, subscribe, now, batch),
        Event::Unsubscribe(unsubscribe) => self::unsubscribe(seat, &unsubscribe, batch),
        Event::Disconnect(disconnect) => Err(disconnected(seat, &disconnect)),
        // [MQTT-4.12.1-1]: no method was agreed on at CONNECT, so none can be used again.
        Event::Auth(_) => Err(Ending::refused(ReasonCode::ProtocolError)),
    }
}

/// The client leaves. What it says about that is told here: there is no room for it on the way out.
fn disconnected(seat: &Seat, disconnect: &Disconnect) -> Ending {
    let ending = Ending::gone(Reason::Client(disconnect.reason));
    if let Some(reason_string) = disconnect.properties.reason_string() {
        seat.broker().leave(&seat.client, &seat.connection, ending, Some(&reason_string));
    }
    ending
}

/// The client has another connection by now.
fn superseded(connection: &Connection) -> Ending {
    connection.ending().unwrap_or(Ending::gone(Reason::TakenOver))
}

/// Decides about a message, routes it and answers its publisher.
fn publish(
    seat: &Seat,
    mut publication: Publication,
    receipt: Receipt,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
    let (Seat { client, connection }, broker) = (seat, seat.broker());
    let info = &connection.info;
    if let Err(refusal) = access::publish(&broker.hooks, info, &publication.message.topic) {
        batch.count(Metric::PublishAuthError, 1);
        tracing::debug!(client_id = %client.id, topic = %publication.message.topic, rule = refusal.rule, "publish refused");
        return acknowledge(seat, receipt, refusal.code, batch);
    }
    // As it was sent: modules may change that of the message, and the publisher waits for what it has asked for.
    let qos = publication.message.qos;
    if qos > Qos::AtMostOnce && broker.durable.is_failing() {
        return refuse(seat, receipt, ReasonCode::QuotaExceeded, batch);
    }
    if !broker.intercept(Publisher::Client(info), &mut publication, now, batch) {
        return acknowledge(seat, receipt, ReasonCode::Success, batch);
    }
    let mut receipt = (qos > Qos::AtMostOnce).then_some(receipt);
    let mut answered = Ok(());
    let is_matched = broker.publish(&publication, Some(client), now, batch, |batch| {
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
        Version::V3_1 | Version::V3_1_1 => {
            let mut state = seat.client.state.lock();
            state.session.withdraw(receipt);
            state.stage(batch);
            Err(Ending::refused(code))
        }
    }
}

fn acknowledge(seat: &Seat, receipt: Receipt, reason: ReasonCode, batch: &mut Batch<'_>) -> Result<(), Ending> {
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

fn subscribe(seat: &Seat, subscribe: Subscribe, now: Timestamp, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let _group = seat.broker().durable.group();
    batch.forget_matches();
    let id = subscribe.properties.subscription_id();
    let mut reasons = Vec::with_capacity(subscribe.filters.len());
    let mut granted = Vec::new();
    for mut wish in subscribe.filters {
        let reason = match subscribe_one(seat, &mut wish, id, batch)? {
            Ok(existed) => {
                let reason = ReasonCode::granted(wish.options.qos);
                granted.push((wish, existed));
                reason
            }
            Err(code) => code,
        };
        reasons.push(reason);
    }
    let answer =
        Packet::SubAck(SubAck { packet_id: subscribe.packet_id, reasons, properties: mqtt_codec::Properties::EMPTY });
    push(seat, &answer, batch)?;
    for (wish, existed) in granted {
        let fact = Fact::Subscribed { client: &seat.connection.info, filter: &wish.filter, options: wish.options };
        seat.broker().hooks.observe(&fact, batch);
        send_retained(&seat.client, &wish, existed, id, now, batch);
    }
    Ok(())
}

/// Subscribes with one filter; says whether it had been subscribed with before, or why not.
fn subscribe_one(
    seat: &Seat,
    wish: &mut SubscribeFilter,
    id: Option<u32>,
    batch: &mut Batch<'_>,
) -> Result<Result<bool, ReasonCode>, Ending> {
    let (Seat { client, connection }, broker) = (seat, seat.broker());
    let info = &connection.info;
    if wish.filter.is_bad_share() {
        tracing::debug!(client_id = %client.id, filter = %wish.filter, "subscribe refused: no group or no filter");
        return Ok(Err(ReasonCode::TopicFilterInvalid));
    }
    if broker.hooks.has_interceptors() {
        broker.hooks.intercept_subscribe(info, &mut wish.filter, &mut wish.options);
    }
    if let Err(refusal) = access::subscribe(&broker.hooks, &broker.config.sys, info, &wish.filter) {
        batch.count(Metric::SubscribeAuthError, 1);
        tracing::warn!(client_id = %client.id, peer = %info.peer, filter = %wish.filter, rule = refusal.rule, "subscribe refused");
        return Ok(Err(refusal.code));
    }
    add_subscription(client, connection, wish, id, batch)
}

/// Like [`subscribe_one`] for who may.
pub(crate) fn add_subscription(
    client: &ClientRef,
    connection: &Arc<Connection>,
    wish: &SubscribeFilter,
    id: Option<u32>,
    batch: &mut Batch<'_>,
) -> Result<Result<bool, ReasonCode>, Ending> {
    let broker = connection.broker();
    // Under the session's lock, so that a takeover finds either both the router's and the session's entry or none.
    let mut state = client.state.lock();
    if !state.is_current(connection) {
        return Err(superseded(connection));
    }
    if broker.memory.is_full() {
        tracing::warn!(client_id = %client.id, "subscribe refused: limits.memory is reached");
        return Ok(Err(ReasonCode::QuotaExceeded));
    }
    if state.number > 0 && (broker.durable.is_failing() || !Stage::can_keep(&wish.filter)) {
        tracing::warn!(client_id = %client.id, "subscribe refused: it can't be stored");
        return Ok(Err(ReasonCode::QuotaExceeded));
    }
    let limit = broker.config.limits.subscriptions_per_client;
    if state.session.subscriptions_len() >= limit && !state.session.is_subscribed(&wish.filter) {
        tracing::warn!(client_id = %client.id, limit, "limits.subscriptions_per_client is reached");
        return Ok(Err(ReasonCode::QuotaExceeded));
    }
    if let Err(full) = broker.route(&wish.filter, client, wish.options, id) {
        tracing::warn!(client_id = %client.id, filter = %wish.filter, %full, "limits.shape_levels is reached");
        return Ok(Err(ReasonCode::QuotaExceeded));
    }
    if state.number > 0 {
        batch.stage(|stage| stage.subscribe(state.number, &wish.filter, wish.options, id));
    }
    Ok(Ok(state.session.subscribe(&wish.filter, wish.options, id)))
}

pub(crate) fn send_retained(
    client: &ClientRef,
    wish: &SubscribeFilter,
    existed: bool,
    id: Option<u32>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) {
    use mqtt_codec::RetainHandling::{DoNotSend, Send, SendIfNew};
    // [MQTT-3.3.1-9] to [MQTT-3.3.1-11]; a shared subscription gets none.
    let wanted = match wish.options.retain_handling {
        Send => true,
        SendIfNew => !existed,
        DoNotSend => false,
    };
    if !wanted || wish.filter.group().is_some() {
        return;
    }
    let mut found = Vec::new();
    batch.broker().retained.matching(&wish.filter, &mut found);
    let options =
        DeliveryOptions { qos: wish.options.qos, retain: true, stored: true, subscription_ids: id.as_slice() };
    for publication in found {
        if publication.is_expired(now) {
            continue;
        }
        let delivered = client.deliver(&mut Fanout::with_shared(&publication), options, now, batch);
        let qos = publication.message.qos.min(options.qos);
        count_delivered(delivered, qos, batch);
        tell_dropped(client, &publication, qos, delivered, batch);
    }
}

fn unsubscribe(seat: &Seat, unsubscribe: &Unsubscribe, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let _group = seat.broker().durable.group();
    batch.forget_matches();
    let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
    for filter in &unsubscribe.filters {
        let existed = remove_subscription(&seat.client, &seat.connection, filter, batch)?;
        reasons.push(if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
    }
    let properties = mqtt_codec::Properties::EMPTY;
    push(seat, &Packet::UnsubAck(UnsubAck { packet_id: unsubscribe.packet_id, reasons, properties }), batch)
}

/// False if it had not subscribed so.
pub(crate) fn remove_subscription(
    client: &ClientRef,
    connection: &Arc<Connection>,
    filter: &Filter,
    batch: &mut Batch<'_>,
) -> Result<bool, Ending> {
    let broker = connection.broker();
    let mut state = client.state.lock();
    if !state.is_current(connection) {
        return Err(superseded(connection));
    }
    let existed = state.session.unsubscribe(filter);
    broker.router.unsubscribe(filter, client);
    if existed && state.number > 0 {
        batch.stage(|stage| stage.unsubscribe(state.number, filter));
    }
    drop(state);
    if existed {
        broker.hooks.observe(&Fact::Unsubscribed { client: &connection.info, filter }, batch);
    }
    Ok(existed)
}

fn push(seat: &Seat, packet: &Packet, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let mut state = seat.client.state.lock();
    if !state.is_current(&seat.connection) {
        return Err(superseded(&seat.connection));
    }
    // [MQTT-3.1.2-24]: the client waits for this answer and could never get it.
    if packet.encoded_len(state.session.version()) > state.session.max_packet_size() as usize {
        return Err(Ending::refused(ReasonCode::PacketTooLarge));
    }
    state.push(packet);
    state.wait_for_store(true, batch);
    state.touch(&seat.client, batch);
    count::sent(packet, batch);
    Ok(())
}
