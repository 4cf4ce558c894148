//! Retained messages for who subscribes: a slice at a time, as they are taken.
//!
//! What one SUBSCRIBE asks for may be all there is, many times over. So the search stops after some topics, and goes on when
//! the client has taken what it was sent and others have had their turn.
//!
//! What is left belongs to the session, as what waits for it does: it goes on when the client is back. The store knows for
//! which subscriptions something is left, not how far that is, so after a crash their messages are sent from the beginning.
//! At QoS 1 that is allowed [MQTT-4.3.2-1]; at QoS 2 each is a message of its own, as if the client had subscribed again: to
//! keep count of all that were sent would cost a record for each, and to send none would lose some. At QoS 0 nothing is owed
//! over a crash.

use std::collections::HashSet;
use std::sync::Arc;

use mqtt_codec::{Qos, Topic};
use mqtt_hooks::Walk;
use mqtt_router::{Cursor, Progress};
use mqtt_session::{DeliveryOptions, Fanout, Timestamp};

use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::client::transition::Transition;
use crate::delivery::batch::Batch;
use crate::delivery::routing::count_delivered;
use crate::delivery::shown::tell_delivered;
use crate::delivery::states::{send_done, send_state};
use crate::delivery::wanted::{Replay, Wish};

/// Topics looked at in a slice: some hundred microseconds if all are sent.
const SLICE: usize = 256;

/// What a search that is over soon costs, in topics.
const SHORT_SEARCH: usize = 16;

/// What one search for states costs, in topics.
const STATES_AT_ONCE: usize = 16;

/// To see whether a topic matches so many filters takes as long as to look at it.
const FILTERS_PER_TOPIC: usize = 16;

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    /// For this connection, or for the one that the client has by now.
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
        if let Some(since) = self.states_since
            && self.walk.is_none()
        {
            self.walk = Some(missed_since(since));
        }
        while let Some(wish) = self.wishes.get(self.at) {
            if budget == 0 {
                return Slice::More;
            }
            // [MQTT-3.10.4-2]: who has unsubscribed since is sent no more.
            if !client.state.lock().session.is_subscribed(&wish.filter) {
                self.go_to_next();
                continue;
            }
            if self.walk.is_some() {
                match self.send_states(&mut budget, client, connection, now, batch) {
                    Slice::More => return Slice::More,
                    Slice::Last if !self.note_sent(client, connection, batch) => return Slice::More,
                    Slice::Last => self.go_to_next(),
                }
                continue;
            }
            // Each topic found is held against the filters before this one, and they may be thousands.
            let price = 1 + self.at / FILTERS_PER_TOPIC;
            let began = self.cursor.clone();
            let topics = (budget / price).max(1);
            // Whoever decides about it may have been stopped.
            let progress = match batch.hooks().retains() {
                true => batch.broker().retained.next_slice(&wish.filter, &mut self.cursor, topics, &mut found),
                false => Progress::Over,
            };
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
                // Those before it, and perhaps this one, are found again where the slice began: the client has another
                // connection, by which all comes again that was not acknowledged.
                if !send_one(topic, wish.last, options, client, connection, now, batch) {
                    self.cursor = began;
                    return Slice::More;
                }
            }
            if progress == Progress::Over {
                // Then what modules have on topics of their own.
                self.walk = Some(Walk::default());
            }
        }
        Slice::Last
    }

    fn go_to_next(&mut self) {
        (self.at, self.cursor) = (self.at + 1, Cursor::default());
        self.walk = self.states_since.map(missed_since);
    }

    /// Sends states of the wish that it is at.
    fn send_states(
        &mut self,
        budget: &mut usize,
        client: &ClientRef,
        connection: &Arc<Connection>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Slice {
        let (wish, walk) = (&self.wishes[self.at], self.walk.get_or_insert_default());
        // Anew in each slice: whoever tells of them may have been stopped.
        let Some(states) = batch.hooks().states_about(&wish.filter) else { return Slice::Last };
        let options = DeliveryOptions {
            qos: wish.qos,
            retain: true,
            stored: true,
            subscription_ids: self.id.as_slice(),
            by_group: false,
        };
        let mut names = Vec::new();
        loop {
            if *budget == 0 {
                return Slice::More;
            }
            let began = *walk;
            let has_more = states.find(&wish.filter, walk, &mut names);
            *budget = budget.saturating_sub(STATES_AT_ONCE.max(names.len()));
            for name in names.drain(..) {
                let Some(is_sent) = send_state(&states, &name, options, client, connection, now, batch) else {
                    *walk = began;
                    return Slice::More;
                };
                walk.sent += u64::from(is_sent);
            }
            if !has_more {
                send_done(&states, walk, client, connection, now, batch);
                return Slice::Last;
            }
        }
    }

    /// The store is to know that this is not all sent, before the client is told that it has subscribed.
    fn note_owing(&mut self, client: &ClientRef, connection: &Arc<Connection>, batch: &mut Batch<'_>) {
        let mut state = client.state.lock();
        if state.number == 0 || !state.is_current(connection) {
            return;
        }
        self.is_noted = true;
        for wish in self.wishes[self.at..].iter().filter(|wish| wish.qos > Qos::AtMostOnce) {
            if let Some((options, id)) = state.session.subscription(&wish.filter) {
                batch.stage(|stage| stage.subscribe_owing(state.number, &wish.filter, options, id));
            }
        }
        state.wait_for_store(true, batch);
    }

    /// What the filter that it is at has found is sent; false: the client has another connection. The messages are staged by
    /// now, so after a crash those are there that are not sent again.
    fn note_sent(&self, client: &ClientRef, connection: &Arc<Connection>, batch: &mut Batch<'_>) -> bool {
        let wish = &self.wishes[self.at];
        if !self.is_noted || wish.qos == Qos::AtMostOnce {
            return true;
        }
        let state = client.state.lock();
        if !state.is_current(connection) {
            return false;
        }
        if let Some((options, id)) = state.session.subscription(&wish.filter).filter(|_| state.number > 0) {
            batch.stage(|stage| stage.subscribe(state.number, &wish.filter, options, id));
        }
        true
    }
}

fn missed_since(since: u64) -> Walk {
    Walk { since, is_missed: true, ..Walk::default() }
}

/// Sends what is retained on a topic by now, and was among so many; false: the client has another connection.
fn send_one(
    topic: &Topic,
    last: u64,
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
    let Some(publication) = batch.broker().retained.get_until(topic, last) else { return true };
    // A module tells of that topic by now, and what a client once said there would come beside it.
    if publication.is_expired(now) || batch.hooks().is_reserved(topic) {
        return true;
    }
    let delivered = client.deliver_locked(&mut state, &mut Fanout::with_shared(&publication), options, now, batch);
    drop(state);
    let qos = publication.message.qos.min(options.qos);
    count_delivered(delivered, qos, batch);
    tell_delivered(client, &publication, qos, delivered, batch);
    true
}

/// Sends the first slice, and leaves the rest to the connection's task. Not within a bundle of the journal: whoever wants
/// one would wait for all this.
pub(crate) fn begin(
    mut wishes: Vec<Wish>,
    id: Option<u32>,
    client: &ClientRef,
    connection: &Arc<Connection>,
    now: Timestamp,
    batch: &mut Batch<'_>,
) {
    let (retained, hooks) = (&batch.broker().retained, batch.hooks());
    let mut seen = HashSet::new();
    // Most filters have no wildcard and find nothing.
    wishes.retain(|wish| {
        let may_find = hooks.retains()
            && (wish.filter.has_wildcard() && !retained.is_empty() || retained.has(wish.filter.pattern()))
            || hooks.states_about(&wish.filter).is_some();
        may_find && seen.insert((wish.filter.clone(), wish.qos))
    });
    if wishes.is_empty() {
        return;
    }
    let mut replay = Replay::new(wishes, id, &batch.watched().memory);
    // One after the other: what was asked for later comes later.
    if connection.is_replaying() || replay.send(SLICE, client, connection, now, batch) == Slice::More {
        replay.wishes.iter_mut().for_each(Wish::put_off);
        replay.note_owing(client, connection, batch);
        connection.add_replay(replay);
        keep_if_superseded(client, connection);
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
        keep_if_superseded(client, connection);
    }
    connection.is_replaying()
}

/// While a replay was out, whoever took the client's connection away did not find it there.
fn keep_if_superseded(client: &ClientRef, connection: &Arc<Connection>) {
    if !client.state.lock().is_current(connection) {
        keep_for_later(client, connection, &mut client.transition.lock());
    }
}

/// The client has this connection no more: what is left is for when it is back, if its session stays.
pub(crate) fn keep_for_later(client: &ClientRef, connection: &Connection, transition: &mut Transition) {
    if !connection.is_replaying() {
        return;
    }
    let (current, stays) = {
        let state = client.state.lock();
        (state.connection().cloned(), state.session.session_expiry() > 0)
    };
    while let Some(replay) = connection.take_replay() {
        match &current {
            // It is back already, and went on with the session.
            Some(current) if current.info.session_present => current.add_replay(replay),
            None if stays && transition.has_session => transition.leave_replays([replay]),
            _ => {}
        }
    }
}
