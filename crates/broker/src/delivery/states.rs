//! States that modules tell of: to who subscribes, beside what is retained, and again to who has missed some.
//!
//! A state that finds no room in a session's queue is not lost: a replay of its own follows it, which sends what has changed since, as it
//! is by then. It waits, as every replay does, until the client has taken what was before it, so a client that is slow for
//! long costs one replay, however much changes meanwhile, and what it has in the end is right.

use std::sync::Arc;

use mqtt_codec::{Message, Qos, Topic};
use mqtt_hooks::{Passage, Reached, StatesOf, Walk};
use mqtt_session::{Delivered, DeliveryOptions, DropReason, Fanout, Publication, Timestamp};

use crate::broker::Broker;
use crate::client::connection::Connection;
use crate::client::{ClientRef, State};
use crate::delivery::batch::Batch;
use crate::delivery::routing::Receivers;
use crate::delivery::routing::count_delivered;
use crate::delivery::shown::{self, tell_delivered};
use crate::delivery::wanted::{Replay, Wish};

/// Whom a state is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Those who name the last level of its topic.
    Named,
    /// All who subscribe to it.
    All,
}

impl Broker {
    /// Publishes a state; nothing is retained.
    pub(crate) fn publish_state(
        &self,
        topic: &Topic,
        number: u64,
        told: Told,
        build: &mut dyn FnMut() -> Message,
        batch: &mut Batch<'_>,
    ) -> bool {
        let mut matches = batch.lend_matches();
        match told {
            Told::Named => self.routes.router.receivers_named(topic, Qos::ExactlyOnce, &mut matches),
            Told::All => self.routes.router.receivers(topic, None, Qos::ExactlyOnce, &mut matches),
        }
        let is_wanted = !matches.is_empty();
        if is_wanted {
            let now = self.clock.now();
            let mut publication = Publication::new(build(), now);
            if shown::intercept(batch.publisher(), &mut publication, now, batch) == Passage::Pass {
                self.routes.deliver_all(
                    &publication,
                    None,
                    Receivers::of(&matches),
                    now,
                    batch,
                    |client, delivered, batch| {
                        if let Delivered::Dropped(DropReason::QueueFull | DropReason::OutboxFull) = delivered {
                            catch_up(client, number.saturating_sub(1), batch);
                        }
                    },
                );
            }
        }
        batch.return_matches(matches);
        is_wanted
    }
}

impl Broker {
    /// Sends a module's message to one client, once that has taken what it was sent before: what is in its way was there first.
    pub(crate) fn publish_to(&self, client_id: &str, message: Message, batch: &mut Batch<'_>) -> Reached {
        let Some(client) = self.clients.get(client_id) else { return Reached::Nobody };
        let takes_more = client.takes_more();
        let mut state = client.state.lock();
        if state.is_over() {
            return Reached::Nobody;
        }
        if !takes_more || state.connection().is_none() {
            let mut filters = state.session.subscriptions();
            let wants = filters.any(|(filter, _, _)| filter.group().is_none() && filter.matches(&message.topic));
            return if wants { Reached::NotYet } else { Reached::Nobody };
        }
        let is_sent = send_if_subscribed(message, &client, &mut state, self.clock.now(), batch);
        if is_sent { Reached::Client } else { Reached::Nobody }
    }
}

/// Has a client that is online sent what has changed since, as soon as it has room. One that is away is seen to when it
/// [comes back](resume).
pub(crate) fn catch_up(client: &ClientRef, since: u64, batch: &Batch<'_>) {
    let state = client.state.lock();
    let Some(connection) = state.connection().cloned() else { return };
    // One that waits for its turn sends what has changed by then.
    if !connection.awaits_states() {
        let replays = replays_of(&state, since, batch);
        drop(state);
        replays.into_iter().for_each(|replay| connection.add_replay(replay));
    }
}

/// The client is back with its session, which may have had no room for some states while it was away: those that are about to be
/// sent again.
pub(crate) fn resume(state: &State, batch: &Batch<'_>) -> Vec<Replay> {
    if !batch.hooks().has_states() || state.session.drops().queue_full == 0 {
        return Vec::new();
    }
    replays_of(state, 0, batch)
}

fn replays_of(state: &State, since: u64, batch: &Batch<'_>) -> Vec<Replay> {
    let about = state
        .session
        .subscriptions()
        .filter(|(filter, _, _)| filter.group().is_none() && batch.hooks().states_about(filter).is_some());
    let mut about: Vec<_> = about.map(|(filter, options, id)| (id, Wish::of(filter, options.qos))).collect();
    about.sort_by_key(|(id, _)| *id);
    let mut replays = Vec::new();
    while let Some((id, _)) = about.first() {
        let id = *id;
        let (of_id, others) = about.into_iter().partition(|(of, _)| *of == id);
        about = others;
        let wishes = Vec::into_iter(of_id).map(|(_, wish)| wish).collect();
        replays.push(Replay::of_states(wishes, id, since, &batch.watched().memory));
    }
    replays
}

/// Sends the state of this name as it is by now; `None`: the client has another connection, and `Some(false)`: there is none.
pub(super) fn send_state(
    states: &StatesOf,
    name: &str,
    options: DeliveryOptions<'_>,
    client: &ClientRef,
    connection: &Arc<Connection>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> Option<bool> {
    let mut state = client.state.lock();
    if !state.is_current(connection) {
        return None;
    }
    // Under the lock under which changes are delivered: one that was made before is in what is asked for here, and one that
    // is made afterwards is delivered after this.
    let Some(message) = states.state(name) else { return Some(false) };
    send(message, options, client, &mut state, now, batch);
    Some(true)
}

/// All states are sent: the client is told, if it subscribes to that.
pub(super) fn send_done(
    states: &StatesOf,
    walk: &Walk,
    client: &ClientRef,
    connection: &Arc<Connection>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) {
    let Some(message) = states.done(walk) else { return };
    let mut state = client.state.lock();
    if state.is_current(connection) {
        send_if_subscribed(message, client, &mut state, now, batch);
    }
}

/// Sends a message to one client, if it subscribes to that; whether it does.
fn send_if_subscribed(
    message: Message,
    client: &ClientRef,
    state: &mut State,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> bool {
    let mut wants = None;
    for (filter, options, id) in state.session.subscriptions() {
        if filter.group().is_none() && wants.is_none_or(|(qos, _)| qos < options.qos) && filter.matches(&message.topic)
        {
            wants = Some((options.qos, id));
        }
    }
    let Some((qos, id)) = wants else { return false };
    let ids = id.into_iter().collect::<Vec<_>>();
    let options = DeliveryOptions { qos, retain: false, stored: true, subscription_ids: &ids, by_group: false };
    send(message, options, client, state, now, batch);
    true
}

fn send(
    message: Message,
    options: DeliveryOptions<'_>,
    client: &ClientRef,
    state: &mut State,
    now: Timestamp,
    batch: &mut Batch<'_>,
) {
    let publication = Arc::new(Publication::new(message, now));
    let delivered = client.deliver_locked(state, &mut Fanout::with_shared(&publication), options, now, batch);
    let qos: Qos = publication.message.qos.min(options.qos);
    count_delivered(delivered, qos, batch);
    tell_delivered(client, &publication, qos, delivered, batch);
}
