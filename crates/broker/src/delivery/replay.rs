//! Retained messages for who subscribes: a slice at a time, as they are taken.
//!
//! What one SUBSCRIBE asks for may be all there is, many times over. So the search stops after some topics, and goes on when
//! the client has taken what it was sent and others have had their turn.

use std::collections::HashSet;
use std::sync::Arc;

use mqtt_codec::Topic;
use mqtt_router::{Cursor, Progress};
use mqtt_session::{DeliveryOptions, Fanout, Timestamp};

use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::delivery::batch::Batch;
use crate::delivery::routing::count_delivered;
use crate::delivery::shown::tell_dropped;
use crate::delivery::wanted::{Replay, Wish};

/// Topics looked at in a slice: some hundred microseconds if all are sent.
const SLICE: usize = 256;

/// What a search that is over soon costs, in topics.
const SHORT_SEARCH: usize = 16;

/// To see whether a topic matches so many filters takes as long as to look at it.
const FILTERS_PER_TOPIC: usize = 16;

/// Topics looked at for a client that leaves before it has been sent all, and whose session stays.
const KEPT_FOR_LATER: usize = 1024;

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    More,
    Last,
}

impl Replay {
    fn send(
        &mut self,
        mut budget: usize,
        client: &ClientRef,
        connection: &Arc<Connection>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Slice {
        let mut found = Vec::new();
        while let Some(wish) = self.wishes.get(self.at) {
            if budget == 0 {
                return Slice::More;
            }
            // [MQTT-3.10.4-2]: who has unsubscribed since is sent no more.
            if !client.state.lock().session.is_subscribed(&wish.filter) {
                (self.at, self.cursor) = (self.at + 1, Cursor::default());
                continue;
            }
            // Each topic found is held against the filters before this one, and they may be thousands.
            let price = 1 + self.at / FILTERS_PER_TOPIC;
            let topics = (budget / price).max(1);
            let progress = batch.broker().retained.next_slice(&wish.filter, &mut self.cursor, topics, &mut found);
            let looked_at = match progress {
                Progress::More => topics,
                Progress::Over => topics.min(found.len() + SHORT_SEARCH),
            };
            budget = budget.saturating_sub(looked_at * price);
            for publication in found.drain(..) {
                let topic = &publication.message.topic;
                if self.has_sent(topic, wish.qos) {
                    continue;
                }
                let options = DeliveryOptions {
                    qos: wish.qos,
                    retain: true,
                    stored: true,
                    subscription_ids: self.id.as_slice(),
                    by_group: false,
                };
                if !send_one(topic, options, client, connection, now, batch) {
                    return Slice::Last;
                }
            }
            if progress == Progress::Over {
                (self.at, self.cursor) = (self.at + 1, Cursor::default());
            }
        }
        Slice::Last
    }
}

/// Sends what is retained on a topic by now; false: the client has another connection.
fn send_one(
    topic: &Topic,
    options: DeliveryOptions<'_>,
    client: &ClientRef,
    connection: &Arc<Connection>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) -> bool {
    let mut state = client.state.lock();
    if !state.is_current(connection) {
        return false;
    }
    // Under the lock under which live messages are delivered: whoever replaces this value afterwards delivers the new one
    // after it, so that the last one that the client sees is the newest.
    let Some(publication) = batch.broker().retained.get(topic) else { return true };
    if publication.is_expired(now) {
        return true;
    }
    let delivered = client.deliver_locked(&mut state, &mut Fanout::with_shared(&publication), options, now, batch);
    drop(state);
    let qos = publication.message.qos.min(options.qos);
    count_delivered(delivered, qos, batch);
    tell_dropped(client, &publication, qos, delivered, batch);
    true
}

/// Sends the first slice, and leaves the rest to the connection's task. Not within a group of the journal: whoever wants
/// one would wait for all this.
pub(crate) fn begin(
    mut wishes: Vec<Wish>,
    id: Option<u32>,
    client: &ClientRef,
    connection: &Arc<Connection>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) {
    let retained = &batch.broker().retained;
    let mut seen = HashSet::new();
    // Most filters have no wildcard and find nothing.
    wishes.retain(|wish| {
        let may_find = wish.filter.has_wildcard() && !retained.is_empty() || retained.has(wish.filter.pattern());
        may_find && seen.insert((wish.filter.clone(), wish.qos))
    });
    if wishes.is_empty() {
        return;
    }
    let mut replay = Replay::new(wishes, id, &batch.watched().memory);
    // One after the other: what was asked for later comes later.
    if connection.is_replaying() || replay.send(SLICE, client, connection, now, batch) == Slice::More {
        connection.add_replay(replay);
    }
}

/// For the connection's task: sends the next slice, if the client has taken the ones before. True: there is more to do, once
/// others have had their turn.
pub(crate) fn go_on(client: &ClientRef, connection: &Arc<Connection>, batch: &mut Batch<'_>) -> bool {
    if !connection.is_replaying() || !client.takes_more() {
        // Whoever writes the last of what waits for it wakes the task again.
        return false;
    }
    let Some(mut replay) = connection.take_replay() else { return false };
    if replay.send(SLICE, client, connection, connection.now(), batch) == Slice::More {
        connection.return_replay(replay);
    }
    connection.is_replaying()
}

/// The connection ends and the session does not: some of what is left is kept for when the client comes back, as if it
/// waited for room. Not all, for that may be everything there is.
pub(crate) fn keep_for_later(client: &ClientRef, connection: &Arc<Connection>, now: Timestamp, batch: &mut Batch<'_>) {
    while let Some(mut replay) = connection.take_replay() {
        if replay.send(KEPT_FOR_LATER, client, connection, now, batch) == Slice::More {
            tracing::debug!(client_id = %client.id, "gone before it was sent all retained messages it had asked for");
            return;
        }
    }
}
