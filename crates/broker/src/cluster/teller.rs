//! What the roll comes to is told here, in its order.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;
use foldhash::fast::{FixedState, RandomState};
use mqtt_codec::{Properties, ReasonCode};
use mqtt_hooks::{ConnectionInfo, EndRecord, Fact, Reason};
use mqtt_roll::{self as roll, Connected, Disconnected, Effect};
use mqtt_session::Publication;

use super::bans::BanChange;
use super::ends::SessionEnd;
use super::letter::{KICK, read_info, read_kick, read_message};
use crate::broker::Broker;
use crate::client::ending::Ending;
use crate::client::flaps::Flaps;
use crate::delivery::batch::Batch;
use crate::time::clock::wall_ms;

/// The note in the store that says how far all was told. Who finds it when the store is opened was a node of a cluster before.
pub(crate) const NOTE: &str = "roll";

/// Clients of which it is known how often they came lately. When there are more, those who did not come within the last minute go, and
/// if nobody did not, all.
const MAX_FLAPS: usize = 65_536;

/// Tells what the roll comes to: facts to modules, wills to subscribers, ends to connections of this node.
///
/// What is told is stored in one bundle with how far that is, so a node that was down goes on where it was: nothing is told
/// twice to who keeps a session here, and nothing is left out.
pub struct Teller {
    broker: Arc<Broker>,
    /// Found, and not told yet.
    effects: Vec<(u64, Effect)>,
    told: Told,
    /// Effects of the position behind the last whole one that an earlier process has told.
    again: u64,
    /// By a hash of the client id, which may be long: about how often it came is about whom, too.
    flaps: HashMap<u64, Flaps>,
    hasher: RandomState,
    /// Whom the last end that was told is of, if its session has ended with it.
    over: Option<ByteString>,
    /// Bans that were made and lifted, and are not held to yet.
    bans: Vec<BanChange>,
}

/// How far all was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    position: u64,
    /// Effects of this position.
    effects: u64,
}

impl Told {
    fn write(self) -> [u8; 16] {
        let mut note = [0; 16];
        note[..8].copy_from_slice(&self.position.to_le_bytes());
        note[8..].copy_from_slice(&self.effects.to_le_bytes());
        note
    }

    fn read(note: &[u8]) -> Option<Self> {
        let (position, effects) = note.split_first_chunk()?;
        let effects = effects.first_chunk()?;
        Some(Self { position: u64::from_le_bytes(*position), effects: u64::from_le_bytes(*effects) })
    }
}

impl Teller {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let told = broker.durable.note(NOTE).and_then(|note| Told::read(&note)).unwrap_or_default();
        Self {
            broker,
            effects: Vec::new(),
            again: told.effects,
            told,
            flaps: HashMap::new(),
            hasher: RandomState::default(),
            over: None,
            bans: Vec::new(),
        }
    }

    /// Up to this position all was told by an earlier process; `None`: there was none, or it has kept nothing. What is behind is to
    /// be told to this.
    pub const fn told(&self) -> Option<u64> {
        self.told.position.checked_sub(1)
    }

    /// Takes the next effect; it is told by [`Self::flush`].
    pub fn tell(&mut self, position: u64, effect: Effect) {
        self.effects.push((position, effect));
    }

    /// A part of the log is gone.
    pub fn missed(&self, from: u64, to: u64) {
        tracing::error!(
            from,
            to,
            "what came and went in a part of the roll was not told here: the log does not have it any more"
        );
    }

    /// Tells all that it was handed. It may take as long as a disk does.
    pub fn flush(&mut self) {
        if self.effects.is_empty() {
            return;
        }
        let broker = Arc::clone(&self.broker);
        let mut batch = Batch::begin(&broker);
        // Each node does for its own what the log comes to.
        batch.stays_here = true;
        for (position, effect) in std::mem::take(&mut self.effects) {
            // They are about who reads, and so not the same when it is read again.
            if matches!(effect, Effect::Differs { .. } | Effect::Outvoted { .. }) {
                continue;
            }
            if position != self.told.position {
                self.told = Told { position, effects: 0 };
                self.again = 0;
            } else if self.again > 0 {
                self.again -= 1;
                continue;
            }
            self.told.effects += 1;
            batch.telling = FixedState::with_seed(position).hash_one(self.told.effects).max(1);
            self.apply(effect, &mut batch);
            batch.relieve();
        }
        // Each client's flush has decided what could leave.
        let _ = batch.finish();
        // Not in the bundle of the note above, for they are stored at once. Should this process die in between, they are found when it
        // joins again.
        if let Err(error) = broker.hold_to(std::mem::take(&mut self.bans)) {
            tracing::error!(%error, "bans of the cluster are not kept here");
        }
    }

    fn apply(&mut self, effect: Effect, batch: &mut Batch<'_>) {
        let broker = Arc::clone(&self.broker);
        let bundle = broker.durable.bundle();
        match effect {
            Effect::Connected(connected) => self.connected(&connected, batch),
            Effect::Disconnected(disconnected) => self.disconnected(&disconnected, batch),
            Effect::Will { client, message, .. } => {
                self.broker.membership.wills.remove(&client);
                self.publish_will(&client, &message, batch);
            }
            Effect::WillWaits { client, event, delay } => {
                // [MQTT-3.1.3-9]: not longer than the session, which may have been cut short in DISCONNECT.
                let delay = if self.over.take().is_some_and(|over| over == client) { 0 } else { delay };
                self.broker.membership.wills.add(client, event, wall_ms() + u64::from(delay) * 1000);
                return;
            }
            Effect::Refused { client, node, conn } if self.is_here(&node) => {
                tracing::error!(%client, "the roll knows too many clients");
                self.end(&client, conn, Ending::refused(ReasonCode::QuotaExceeded));
                return;
            }
            Effect::Setting { key, value: Some(who) } if key == KICK => {
                self.kick(&who, batch);
                return;
            }
            Effect::Setting { key, value } => {
                self.bans.extend(BanChange::of_setting(&key, value.as_deref()));
            }
            Effect::Home { client, node: Some(node) } if !self.is_here(&node) => {
                self.broker.give_away(&client, true, batch);
            }
            Effect::Gone { node, end, .. } => {
                tracing::info!(%node, ?end, "a node is gone from the cluster");
                // Who has left ends its own connections, in order.
                if self.is_here(&node) && end != roll::End::Left {
                    self.end_all();
                }
                return;
            }
            Effect::Forgotten { node, sessions } => {
                tracing::warn!(%node, sessions, "a node will not come back, and its sessions are forgotten");
                return;
            }
            Effect::Joined { node, epoch, .. } => {
                tracing::info!(%node, epoch, "a node has joined the cluster");
                return;
            }
            _ => return,
        }
        // In one bundle with what it led to.
        let note = self.told.write();
        batch.stage(|stage| stage.note(NOTE, &note));
        drop(bundle);
    }

    fn is_here(&self, node: &str) -> bool {
        node == self.broker.config.node
    }

    fn connected(&mut self, connected: &Connected, batch: &mut Batch<'_>) {
        let Connected { seq, client, node, is_clean, at, info, .. } = connected;
        self.broker.membership.wills.remove(client);
        if *is_clean && !self.is_here(node) {
            // [MQTT-3.1.2-4]: what it has left here is over.
            let ending = Ending { reason: Reason::Discarded, code: Some(ReasonCode::SessionTakenOver) };
            self.broker.end_client(client, ending, batch);
        }
        let Some((mut info, receive_maximum)) = self.read(client, node, info) else { return };
        info.connected_at = *at;
        let flaps = self.flaps_of(client).come(*at);
        self.broker.hooks.observe(
            &Fact::Connected {
                client: &info,
                told_at: *at,
                seq: *seq,
                flaps,
                properties: &Properties::EMPTY,
                receive_maximum,
                noticed: Instant::now(),
            },
            batch,
        );
    }

    fn disconnected(&mut self, disconnected: &Disconnected, batch: &mut Batch<'_>) {
        let Disconnected { seq, client, node, conn, at, info, reason, .. } = disconnected;
        let said = match reason {
            roll::Reason::Said(said) => EndRecord::from_record(said)
                .inspect_err(|why| tracing::error!(%client, %why, "why a client is gone can't be read")),
            roll::Reason::TakenOver => Ok(end_at(Reason::TakenOver, *at)),
            roll::Reason::Discarded => Ok(end_at(Reason::Discarded, *at)),
            roll::Reason::NodeDown => Ok(end_at(Reason::NodeDown, *at)),
        };
        // Of a later version: that it is gone is told all the same, or it would be online here for ever.
        let EndRecord { reason, reason_string, last_heard } = said.unwrap_or(end_at(Reason::InternalError, *at));
        if self.is_here(node) && matches!(reason, Reason::TakenOver | Reason::Discarded) {
            // Its task ends it: [MQTT-3.1.4-3].
            self.end(client, *conn, Ending { reason, code: Some(ReasonCode::SessionTakenOver) });
        }
        let Some((mut info, _)) = self.read(client, node, info) else { return };
        info.connected_at = info.connected_at.min(*at);
        let flaps = self.flaps.get(&self.hasher.hash_one(client)).map_or(0, |flaps| flaps.count(*at));
        self.broker.hooks.observe(
            &Fact::Disconnected {
                client: &info,
                reason,
                reason_string,
                properties: &Properties::EMPTY,
                at: *at,
                told_at: *at,
                seq: *seq,
                flaps,
                last_heard: last_heard.min(*at),
                noticed: Instant::now(),
            },
            batch,
        );
        self.over = None;
        if self.is_here(node) {
            if let Some(SessionEnd { is_discarded, at }) = self.broker.membership.ends.take(client) {
                self.broker.hooks.observe(&Fact::SessionEnded { client_id: client, is_discarded, at }, batch);
            }
            self.over = (!self.broker.has_session(client)).then(|| client.clone());
        }
    }

    /// What its node has told of a connection.
    fn read(&self, client: &str, node: &str, info: &Bytes) -> Option<(ConnectionInfo, u16)> {
        let read = read_info(info.clone());
        let read =
            read.inspect_err(|why| tracing::error!(client, node, %why, "what a node tells of a client can't be read"));
        let (info, receive_maximum) = read.ok()?;
        Some((if self.is_here(node) { info } else { info.at_node(Some(node)) }, receive_maximum))
    }

    fn flaps_of(&mut self, client: &ByteString) -> &mut Flaps {
        let client = self.hasher.hash_one(client);
        if self.flaps.len() >= MAX_FLAPS && !self.flaps.contains_key(&client) {
            let now = wall_ms();
            self.flaps.retain(|_, flaps| flaps.count(now) > 0);
            if self.flaps.len() >= MAX_FLAPS {
                self.flaps.clear();
            }
        }
        self.flaps.entry(client).or_default()
    }

    /// Each node publishes it to its own subscribers, so that it is before the event everywhere.
    fn publish_will(&self, client: &str, message: &Bytes, batch: &mut Batch<'_>) {
        let Some(message) = read_message(message) else {
            tracing::error!(client, "a will in the roll can't be read");
            return;
        };
        let now = self.broker.clock.now();
        let publisher = self.broker.clients.get(client);
        self.broker.publish_will_of(client, publisher.as_ref(), None, &Publication::new(message, now), now, batch);
    }

    fn end(&self, client: &str, conn: u64, ending: Ending) {
        let Some(client) = self.broker.clients.get(client) else { return };
        let connection = client.state.lock().connection().cloned();
        if let Some(connection) = connection.filter(|connection| connection.info.conn_id == conn) {
            connection.end(ending);
        }
    }

    /// An operator at another node wants it gone.
    fn kick(&self, who: &[u8], batch: &mut Batch<'_>) {
        let Some((client_id, conn)) = read_kick(who) else { return };
        let Some(client) = self.broker.clients.get(client_id) else { return };
        let is_here = client.state.lock().connection().is_some_and(|one| one.info.conn_id == conn);
        if is_here {
            self.broker.end_client(client_id, Ending::KICKED, batch);
        }
    }

    /// This node was cut off: all clients that it had are told to be gone, so they can't stay.
    fn end_all(&self) {
        let code = Some(ReasonCode::ServerBusy);
        for client in self.broker.clients.all() {
            let connection = client.state.lock().connection().cloned();
            if let Some(connection) = connection.filter(|one| self.broker.membership.roll_of(&one.info).is_some()) {
                connection.end(Ending { reason: Reason::NodeDown, code });
            }
        }
    }
}

const fn end_at(reason: Reason, at: u64) -> EndRecord<'static> {
    EndRecord { reason, reason_string: None, last_heard: at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_was_told_comes_back() {
        let told = Told { position: 1 << 40, effects: 7 };
        assert_eq!(Told::read(&told.write()), Some(told));
        assert_eq!(Told::read(&[0; 15]), None);
    }
}
