//! SUBSCRIBE and UNSUBSCRIBE, also by an operator.

use std::sync::Arc;

use mqtt_codec::{Filter, Packet, ReasonCode, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe};
use mqtt_hooks::Fact;
use mqtt_session::{DeliveryOptions, Fanout, Timestamp};
use mqtt_storage::Stage;

use crate::client::ClientRef;
use crate::client::connection::{Connection, Ending};
use crate::client::seat::Seat;
use crate::delivery::batch::Batch;
use crate::delivery::routing::count_delivered;
use crate::delivery::shown::tell_dropped;
use crate::packets::access;
use crate::packets::answer::{push, superseded};
use crate::watch::metrics::Metric;

pub(super) fn subscribe(
    seat: &Seat,
    subscribe: Subscribe,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
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
    let (Seat { client, connection, .. }, broker) = (seat, seat.broker());
    let info = &connection.info;
    if wish.filter.is_bad_share() {
        tracing::debug!(client_id = %client.id, filter = %wish.filter, "subscribe refused: no group or no filter");
        return Ok(Err(ReasonCode::TopicFilterInvalid));
    }
    // Before anyone has to look at it.
    if let Err(code) = check_levels(client, &wish.filter, batch) {
        return Ok(Err(code));
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
    if let Err(code) = check_levels(client, &wish.filter, batch) {
        return Ok(Err(code));
    }
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
    let limit = broker.config.limits.shape_levels;
    if broker.varieties.add(client, &state.session, &wish.filter, limit).is_err() {
        tracing::warn!(client_id = %client.id, filter = %wish.filter, limit, "limits.shape_levels is reached");
        return Ok(Err(ReasonCode::QuotaExceeded));
    }
    broker.route(&wish.filter, client, wish.options, id);
    if state.number > 0 {
        batch.stage(|stage| stage.subscribe(state.number, &wish.filter, wish.options, id));
    }
    Ok(Ok(state.session.subscribe(&wish.filter, wish.options, id)))
}

/// Its text may be long, so the log has its levels only.
fn check_levels(client: &ClientRef, filter: &Filter, batch: &Batch<'_>) -> Result<(), ReasonCode> {
    let levels = filter.levels_len();
    if levels > batch.broker().config.limits.max_topic_levels {
        tracing::debug!(client_id = %client.id, levels, rule = "limits.max_topic_levels", "subscribe refused");
        return Err(ReasonCode::TopicFilterInvalid);
    }
    Ok(())
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

pub(super) fn unsubscribe(seat: &Seat, unsubscribe: &Unsubscribe, batch: &mut Batch<'_>) -> Result<(), Ending> {
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
    if existed {
        broker.varieties.remove(client, &state.session, filter);
    }
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
