//! SUBSCRIBE and UNSUBSCRIBE, also by an operator.

use std::collections::HashMap;
use std::sync::Arc;

use mqtt_codec::{Filter, Packet, ReasonCode, SubAck, Subscribe, SubscribeFilter, Topic, UnsubAck, Unsubscribe};
use mqtt_hooks::Fact;
use mqtt_session::{Session, Timestamp};
use mqtt_storage::Stage;

use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::cluster::peers::owed::Answer;
use crate::config::DenyAction;
use crate::delivery::batch::Batch;
use crate::delivery::replay;
use crate::delivery::wanted::{Added, Wish};
use crate::packets::access;
use crate::packets::answer::{push, superseded};
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

/// Filters that each message is held against.
const FEW_FILTERS: usize = 16;

#[inline(never)]
pub(super) fn handle_subscribe(
    seat: &Seat,
    subscribe: Subscribe,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
    let bundle = seat.broker().durable.bundle();
    batch.forget_matches();
    let id = subscribe.properties.subscription_id();
    // [MQTT-3.8.4-5] [MQTT-3.8.4-6]: as if each filter had come by itself, but for one answer with a reason for each.
    let mut reasons = Vec::with_capacity(subscribe.filters.len());
    let mut granted = Vec::new();
    let mut is_denied = false;
    for mut wish in subscribe.filters {
        let reason = match subscribe_one(seat, &mut wish, id, batch)? {
            Ok(added) => {
                let reason = ReasonCode::granted(wish.options.qos);
                granted.push((wish, added));
                reason
            }
            Err(code) => {
                is_denied |=
                    code == ReasonCode::NotAuthorized && !access::is_closed(&seat.broker().hooks, &wish.filter);
                code
            }
        };
        reasons.push(reason);
    }
    let answer =
        Packet::SubAck(SubAck { packet_id: subscribe.packet_id, reasons, properties: mqtt_codec::Properties::EMPTY });
    let mut wishes: Vec<_> = granted.iter().filter_map(|(wish, added)| Wish::new(wish, *added)).collect();
    if !granted.is_empty() {
        seat.broker().membership.peers.owe_filters(batch);
    }
    for (wish, _) in &granted {
        let fact = Fact::Subscribed { client: &seat.connection.info, filter: &wish.filter, options: wish.options };
        seat.broker().hooks.observe(&fact, batch);
    }
    drop(bundle);
    if is_denied && seat.broker().terms().deny_action == DenyAction::Disconnect {
        push(seat, &answer, batch)?;
        // With SUBACK, which has been put before it.
        return Err(Ending::refused(ReasonCode::NotAuthorized));
    }
    if let Some(answers) = batch.answers() {
        wishes.iter_mut().for_each(Wish::put_off);
        answers.push(Answer::Subscribed(answer, wishes, id));
        return Ok(());
    }
    answer_subscribe(seat, &answer, wishes, id, now, batch)
}

/// SUBACK, and then what is retained. What others publish may have been faster, which section 3.8.4 allows.
pub(super) fn answer_subscribe(
    seat: &Seat,
    answer: &Packet,
    wishes: Vec<Wish>,
    id: Option<u32>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
    push(seat, answer, batch)?;
    replay::begin(wishes, id, &seat.client, &seat.connection, now, batch);
    Ok(())
}

/// Subscribes a client that comes in with what modules say.
pub(crate) fn subscribe_on_entry(client: &ClientRef, connection: &Arc<Connection>, batch: &mut Batch<'_>) {
    let subscriptions = batch.hooks().subscriptions_on_entry(&connection.info);
    if subscriptions.is_empty() {
        return;
    }
    let bundle = batch.durable().bundle();
    let mut wishes = Vec::new();
    for wish in &subscriptions {
        match add_subscription(client, connection, wish, None, batch) {
            Ok(Ok(added)) => {
                let fact = Fact::Subscribed { client: &connection.info, filter: &wish.filter, options: wish.options };
                batch.hooks().observe(&fact, batch);
                wishes.extend(Wish::new(wish, added));
            }
            // It is told where it is refused.
            Ok(Err(_)) => {}
            // Taken over already: who did so subscribes it.
            Err(_) => return,
        }
    }
    drop(bundle);
    replay::begin(wishes, None, client, connection, connection.now(), batch);
}

/// Subscribes with one filter, or says why not.
fn subscribe_one(
    seat: &Seat,
    wish: &mut SubscribeFilter,
    id: Option<u32>,
    batch: &mut Batch<'_>,
) -> Result<Result<Added, ReasonCode>, Ending> {
    let (Seat { client, connection, .. }, broker) = (seat, seat.broker());
    let info = &connection.info;
    if wish.filter.is_bad_share() {
        let code = ReasonCode::TopicFilterInvalid;
        seat.tell_refused(
            Kind::Subscribe,
            code,
            &"a shared subscription without group or filter",
            wish.filter.as_str(),
        );
        return Ok(Err(code));
    }
    // Before anyone has to look at it.
    if let Err(code) = check_levels(client, connection, &wish.filter) {
        return Ok(Err(code));
    }
    if broker.hooks.has_interceptors() {
        broker.hooks.intercept_subscribe(info, &mut wish.filter, &mut wish.options);
    }
    if let Err(refusal) =
        access::may_subscribe(&broker.hooks, &connection.rules(), &broker.config.sys, info, &wish.filter)
    {
        batch.count(Metric::SubscribeAuthError, 1);
        seat.tell_refused(Kind::Subscribe, refusal.code, &refusal.rule, wish.filter.as_str());
        return Ok(Err(refusal.code));
    }
    if info.is_bridge {
        // What a bridge asks for is for another broker, which keeps what is retained, and gave what the bridge publishes.
        // Before MQTT 5 it has no way to say so. [MQTT-3.8.3-4]: not where it is shared.
        wish.options.retain_as_published = true;
        wish.options.no_local = wish.filter.group().is_none();
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
) -> Result<Result<Added, ReasonCode>, Ending> {
    let broker = connection.broker();
    if let Err(code) = check_levels(client, connection, &wish.filter) {
        return Ok(Err(code));
    }
    // Under the session's lock, so that a takeover finds either both the router's and the session's entry or none.
    let mut state = client.state.lock();
    if !state.is_current(connection) {
        return Err(superseded(connection));
    }
    let refused = |rule: &str| {
        let (peer, reason, about) = (Some(connection.info.peer), ReasonCode::QuotaExceeded, wish.filter.as_str());
        let refused = Refused { kind: Kind::Subscribe, peer, client_id: &client.id, reason, rule: &rule, about };
        broker.tell_refused(&refused);
        Ok(Err(reason))
    };
    // Also what is searched for after each SUBSCRIBE of the same filters is held until it is found.
    let cost = if state.session.is_subscribed(&wish.filter) { 0 } else { Session::cost_of(&wish.filter) };
    let replays = connection.replays_held();
    if cost + replays > 0 && !state.session.has_share(cost + replays) {
        return refused("limits.memory leaves no more for one client");
    }
    if state.number > 0 && (broker.durable.is_failing() || !Stage::can_keep(&wish.filter)) {
        return refused("it can't be stored");
    }
    let limit = broker.doors.entrance_of(&connection.info).bounds().subscriptions_per_client;
    if state.session.subscriptions_len() >= limit && !state.session.is_subscribed(&wish.filter) {
        return refused("limits.subscriptions_per_client");
    }
    let limit = broker.terms().limits.shape_levels;
    let add = || broker.routes.add(&wish.filter, client, &state.session, wish.options, id, limit);
    let (added, last) = broker.retained.in_turn(add);
    if added.is_err() {
        return refused("limits.shape_levels");
    }
    broker.membership.peers.note(&wish.filter, &broker.routes.router);
    if state.number > 0 {
        batch.stage(|stage| stage.subscribe(state.number, &wish.filter, wish.options, id));
    }
    let existed = state.session.subscribe(&wish.filter, wish.options, id);
    if existed {
        // [MQTT-3.8.4-3]: behind SUBACK nothing comes as it was asked for before.
        broker.routes.note_change(client);
    }
    state.recount(batch);
    // By the subscription that is replaced, what is published goes on to come; this is beside it.
    Ok(Ok(Added { existed, last: if existed { u64::MAX } else { last } }))
}

fn check_levels(client: &ClientRef, connection: &Connection, filter: &Filter) -> Result<(), ReasonCode> {
    let broker = connection.broker();
    if filter.levels_len() <= broker.doors.entrance_of(&connection.info).bounds().max_topic_levels {
        return Ok(());
    }
    let (peer, reason) = (Some(connection.info.peer), ReasonCode::TopicFilterInvalid);
    // Its text may be long, and says nothing.
    let rule = &"limits.max_topic_levels";
    broker.tell_refused(&Refused { kind: Kind::Subscribe, peer, client_id: &client.id, reason, rule, about: "" });
    Err(reason)
}

#[inline(never)]
pub(super) fn handle_unsubscribe(seat: &Seat, unsubscribe: &Unsubscribe, batch: &mut Batch<'_>) -> Result<(), Ending> {
    let _bundle = seat.broker().durable.bundle();
    batch.forget_matches();
    // [MQTT-3.10.4-6]: one answer for all of them, also for those that were not there [MQTT-3.10.4-5].
    let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
    for filter in &unsubscribe.filters {
        let existed = unsubscribe_one(seat, filter, batch)?;
        reasons.push(if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
    }
    let properties = mqtt_codec::Properties::EMPTY;
    push(seat, &Packet::UnsubAck(UnsubAck { packet_id: unsubscribe.packet_id, reasons, properties }), batch)
}

/// False if it had not subscribed so.
fn unsubscribe_one(seat: &Seat, filter: &Filter, batch: &mut Batch<'_>) -> Result<bool, Ending> {
    let hooks = &seat.broker().hooks;
    if hooks.has_interceptors() {
        let mut shown = filter.clone();
        hooks.intercept_unsubscribe(&seat.connection.info, &mut shown);
        // A subscription may be older than what modules make of it by now: then it is there as it was said.
        if shown != *filter && remove_subscription(&seat.client, &seat.connection, &shown, batch)? {
            return Ok(true);
        }
    }
    remove_subscription(&seat.client, &seat.connection, filter, batch)
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
    // [MQTT-3.10.4-2]: who looks up receivers from here on does not find it.
    broker.routes.router.unsubscribe(filter, client);
    broker.membership.peers.note(filter, &broker.routes.router);
    // And who has looked them up already, and found it, asks again.
    broker.routes.note_change(client);
    // What waits is for those who are still there. [MQTT-3.10.4-3]: what was sent is finished.
    let mut orphans = Vec::new();
    if filter.group().is_some() && broker.routes.has_members(filter, batch) {
        orphans = state.session.take_orphans(false, |of| of == filter);
        state.stage(batch);
    }
    let existed = state.session.unsubscribe(filter);
    if existed {
        broker.routes.uncount(filter, client, &state.session);
    }
    state.recount(batch);
    if existed && state.number > 0 {
        batch.stage(|stage| stage.unsubscribe(state.number, filter));
    }
    drop(state);
    broker.routes.hand_on(client, orphans, broker.doors.is_stopping(), broker.clock.now(), batch);
    if existed {
        broker.hooks.observe(&Fact::Unsubscribed { client: &connection.info, filter }, batch);
    }
    Ok(existed)
}

/// Gives up what the client has subscribed with, and may not by the rules that hold for it now: it may have come from
/// another machine before, or by another grant, or they have changed. Of what waits for it by these that goes too whose topic it
/// may not subscribe to; all else was promised to who has published it. Says how many they were.
pub(crate) fn give_up_forbidden(client: &ClientRef, connection: &Arc<Connection>, batch: &mut Batch<'_>) -> usize {
    let (broker, info, rules) = (connection.broker(), &connection.info, connection.rules());
    let (hooks, sys) = (&broker.hooks, &broker.config.sys);
    let asks = !rules.is_empty() || hooks.has_authorizers();
    // Copied: who authorizes is not asked under a session's lock.
    let held: Vec<_> = {
        let state = client.state.lock();
        let filters = state.session.subscriptions().map(|(filter, ..)| filter);
        filters.filter(|filter| asks || access::is_closed(hooks, filter)).cloned().collect()
    };
    let why_not = |filter: &Filter| access::may_subscribe(hooks, &rules, sys, info, filter).err();
    let forbidden: Vec<_> = held.into_iter().filter_map(|filter| why_not(&filter).map(|why| (filter, why))).collect();
    if forbidden.is_empty() {
        return 0;
    }
    batch.forget_matches();
    for (filter, refusal) in &forbidden {
        let (peer, reason, about) = (Some(info.peer), refusal.code, filter.as_str());
        let refused =
            Refused { kind: Kind::Subscribe, peer, client_id: &client.id, reason, rule: &refusal.rule, about };
        broker.tell_refused(&refused);
        // An error says that the client has another connection by now, which has rules of its own.
        let _ = remove_subscription(client, connection, filter, batch);
    }
    let filters: Vec<_> = forbidden.iter().map(|(filter, _)| filter).collect();
    drop_forbidden(&filters, client, connection, batch);
    forbidden.len()
}

/// Of what waits for the client by filters that it has given up, drops what it may not subscribe to by its name.
fn drop_forbidden(filters: &[&Filter], client: &ClientRef, connection: &Arc<Connection>, batch: &mut Batch<'_>) {
    let (broker, info, rules) = (connection.broker(), &connection.info, connection.rules());
    // So many messages may wait that to hold each against each of many filters would take too long; then all are asked about.
    let is_meant = |topic: &Topic| filters.len() > FEW_FILTERS || filters.iter().any(|filter| filter.matches(topic));
    // Copied, as above.
    let mut topics: HashMap<Topic, bool> = {
        let state = client.state.lock();
        let waiting = state.session.waiting().map(|publication| &publication.message.topic);
        waiting.filter(|topic| is_meant(topic)).map(|topic| (topic.clone(), false)).collect()
    };
    for (topic, is_forbidden) in &mut topics {
        let Ok(filter) = Filter::new(topic.as_str().to_owned()) else { continue };
        let asked = access::may_subscribe(&broker.hooks, &rules, &broker.config.sys, info, &filter);
        if let Err(refusal) = asked {
            let (kind, peer, reason, about) = (Kind::Delivery, Some(info.peer), refusal.code, topic.as_str());
            broker.tell_refused(&Refused { kind, peer, client_id: &client.id, reason, rule: &refusal.rule, about });
            *is_forbidden = true;
        }
    }
    topics.retain(|_, is_forbidden| *is_forbidden);
    if !topics.is_empty() {
        let mut state = client.state.lock();
        state.session.drop_waiting(|publication| topics.contains_key(&publication.message.topic));
        state.stage(batch);
        state.recount(batch);
    }
}
