//! What each record does.

use bytes::Bytes;
use bytestring::ByteString;

use super::checks::Difference;
use super::clients::Found;
use super::nodes::own;
use super::row::{Row, Slot};
use super::{Fold, Going, Life, MAX_SETTINGS, Work};
use crate::Digest;
use crate::effect::{Connected, Disconnected, Effect, End, Reason};
use crate::record::{Dead, Down, Record, Up};

/// What becomes of the will that came with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is published when its delay is over.
    Due,
    /// It is published at once, for the session is over.
    Now,
    /// The session goes on, so one that has a delay is not published [MQTT-3.1.3-9].
    Resumed,
    /// The client said that it is not to be.
    Dropped,
}

/// An end that is to be told.
struct Ending {
    /// Of the node's life.
    epoch: u64,
    at: u64,
    reason: Reason,
    fate: Fate,
}

impl Fold {
    /// A life begins, and whatever the name had before is over: a quick restart is a death that nobody had to find.
    pub(super) fn join(&mut self, work: &mut Work) {
        let Some(Record::Join(join)) = work.records.next() else { return };
        let Some(slot) = self.nodes.slot_for(&work.head.node) else { return };
        let nonce = join.nonce;
        if let Some(node) = self.nodes.0.get(usize::from(slot)).filter(|node| node.is_live()) {
            let (name, epoch) = (node.name.clone(), node.epoch);
            work.effects.push_back(Effect::Gone { node: name, epoch, end: End::Replaced { nonce } });
            self.let_go(slot, Reason::NodeDown, work);
        }
        work.node = slot;
        // The clients that go are in `work` by now, so the place can have its new life.
        self.nodes.seat(slot, &work.head, join, self.position);
        work.behind = Some(Effect::Joined { node: own(&work.head.node), epoch: work.head.epoch, nonce });
    }

    pub(super) fn follow(&mut self, record: Record, work: &mut Work) {
        // Whoever has left has nothing more to say, in the same batch neither.
        if !self.nodes.at(work.node).is_live() {
            return;
        }
        match record {
            // It has its place at the front of a life, and is followed there.
            Record::Join(_) => {}
            Record::Up(up) => self.up(&up, work),
            Record::Down(down) => self.down(down, work),
            Record::Dead(dead) => self.dead(&dead, work),
            Record::Left { reason } => {
                let end = End::Left;
                self.end_life(work.node, Life::Left, end, Reason::Said(Bytes::copy_from_slice(&reason)), work);
            }
            Record::WillDue { client, event } => self.will_due(&client, event, work),
            Record::Home { client, is_here: true } => self.take_home(client, work),
            Record::Home { client, is_here: false } => self.give_up_home(&client, work),
            Record::Setting { key, value } => self.set(key, value, work),
            Record::Check { position, digest } => self.compare(position, digest, work),
            Record::Gate(version) => self.open_gate(version, work),
            Record::Forget { node } => self.forget(&node, work),
        }
    }

    /// It always wins: whoever has the client id is told off first.
    fn up(&mut self, up: &Up, work: &mut Work) {
        let packed = self.clients.take(&up.client);
        if packed.is_none() && self.clients.is_full() {
            let (client, node) = (own(&up.client), own(&work.head.node));
            work.effects.push_back(Effect::Refused { client, node, conn: up.conn });
            return;
        }
        let mut row = packed.as_deref().map_or_else(|| Row::new(&up.client, self.clients.floor), Row::of);
        let fate = if up.is_clean { Fate::Now } else { Fate::Resumed };
        if row.is_online {
            let reason = if up.is_clean { Reason::Discarded } else { Reason::TakenOver };
            let epoch = self.nodes.at(row.node).epoch;
            self.end(&mut row, Ending { epoch, at: up.at, reason, fate }, work);
        } else if let Some((_, message)) = row.will.take()
            && up.is_clean
        {
            // It waited for its delay, or for the session to be over, whichever comes first [MQTT-3.1.3-9].
            work.effects.push_back(self.will(&row, message));
        }
        self.events += 1;
        row.is_online = true;
        row.seq += 1;
        row.event = self.events;
        row.at = row.at.max(up.at);
        row.conn = up.conn;
        row.node = work.node;
        row.will = up.will.as_ref().map(|will| (will.delay, &*will.message));
        row.info = &up.info;
        let home = match (up.is_clean, up.is_kept) {
            // Whatever was kept anywhere is over [MQTT-3.1.2-4].
            (true, is_kept) => is_kept.then_some(work.node),
            // What another node has stays there until this one has it.
            (false, true) => row.home.or(Some(work.node)),
            (false, false) => row.home,
        };
        self.set_home(&mut row, home);
        self.nodes.at_mut(work.node).clients += 1;
        self.clients.put(&row);
        work.effects.push_back(Effect::Connected(Connected {
            event: row.event,
            seq: row.seq,
            client: own(&up.client),
            node: own(&work.head.node),
            epoch: work.head.epoch,
            conn: up.conn,
            is_clean: up.is_clean,
            at: row.at,
            info: Bytes::copy_from_slice(&up.info),
        }));
    }

    /// It counts for the client's current connection only: whoever was taken over has been told off already.
    fn down(&mut self, down: Down, work: &mut Work) {
        let is_current = |row: &Row<'_>| row.is_online && row.node == work.node && row.conn == down.conn;
        if !self.clients.get(&down.client).is_some_and(|row| is_current(&row)) {
            return;
        }
        let packed = self.clients.take(&down.client).expect("it was there just now");
        let mut row = Row::of(&packed);
        let fate = if down.with_will { Fate::Due } else { Fate::Dropped };
        let reason = Reason::Said(Bytes::copy_from_slice(&down.reason));
        self.end(&mut row, Ending { epoch: work.head.epoch, at: down.at, reason, fate }, work);
        self.clients.put(&row);
    }

    fn dead(&mut self, dead: &Dead, work: &mut Work) {
        let Some(slot) = self.nodes.slot(&dead.node).filter(|slot| *slot != work.node) else { return };
        let node = self.nodes.at(slot);
        // It has been heard since, or it is another life: whoever found it silent had not read that yet.
        if !node.is_live() || node.epoch != dead.epoch || node.last != dead.last {
            return;
        }
        let end = End::Dead { by: own(&work.head.node) };
        self.end_life(slot, Life::Dead, end, Reason::NodeDown, work);
    }

    fn end_life(&mut self, slot: Slot, life: Life, end: End, reason: Reason, work: &mut Work) {
        let node = self.nodes.at_mut(slot);
        node.life = life;
        work.effects.push_back(Effect::Gone { node: node.name.clone(), epoch: node.epoch, end });
        self.let_go(slot, reason, work);
    }

    /// All clients of a node go, in the order in which they came, before anything else is told.
    fn let_go(&mut self, slot: Slot, reason: Reason, work: &mut Work) {
        let node = self.nodes.at(slot);
        let clients = self.clients.online_at(slot).into_iter();
        // Where the node can't say when it ended, this is when it was heard last.
        work.going = Going { clients, epoch: node.epoch, at: node.last_at, reason };
    }

    /// The next of those.
    pub(super) fn go(&mut self, found: Found, work: &mut Work) {
        let packed = self.clients.take_found(found).expect("nothing is followed before they are through");
        let mut row = Row::of(&packed);
        let Going { epoch, at, reason, .. } = &work.going;
        let ending = Ending { epoch: *epoch, at: *at, reason: reason.clone(), fate: Fate::Due };
        self.end(&mut row, ending, work);
        self.clients.put(&row);
    }

    /// Tells that the connection in the row has ended, its will first.
    fn end(&mut self, row: &mut Row<'_>, ending: Ending, work: &mut Work) {
        let Ending { epoch, at, reason, fate } = ending;
        self.events += 1;
        row.is_online = false;
        row.seq += 1;
        row.event = self.events;
        row.at = row.at.max(at);
        let will = row.will.take();
        let mut waits = None;
        match (will, fate) {
            (Some((0, message)), Fate::Due | Fate::Resumed) | (Some((_, message)), Fate::Now) => {
                work.effects.push_back(self.will(row, message));
            }
            (Some((delay, message)), Fate::Due) => {
                row.will = Some((delay, message));
                waits = Some(delay);
            }
            (Some(_), Fate::Resumed | Fate::Dropped) | (None, _) => {}
        }
        let client = ByteString::from(row.id);
        // When a life is replaced, the place has the new one by now.
        let node = self.nodes.at_mut(row.node);
        node.clients = node.clients.saturating_sub(u64::from(node.epoch == epoch));
        work.effects.push_back(Effect::Disconnected(Disconnected {
            event: row.event,
            seq: row.seq,
            client: client.clone(),
            node: node.name.clone(),
            epoch,
            conn: row.conn,
            at: row.at,
            info: Bytes::copy_from_slice(row.info),
            reason,
        }));
        // It is of no use to who is away.
        row.info = &[];
        if let Some(delay) = waits {
            work.effects.push_back(Effect::WillWaits { client, event: row.event, delay });
        }
    }

    fn will(&self, row: &Row<'_>, message: &[u8]) -> Effect {
        let node = self.nodes.at(row.node).name.clone();
        Effect::Will { client: row.id.into(), node, message: Bytes::copy_from_slice(message) }
    }

    fn will_due(&mut self, client: &ByteString, event: u64, work: &mut Work) {
        let waits = |row: &Row<'_>| !row.is_online && row.event == event && row.will.is_some();
        if !self.clients.get(client).is_some_and(|row| waits(&row)) {
            return;
        }
        let packed = self.clients.take(client).expect("it was there just now");
        let mut row = Row::of(&packed);
        if let Some((_, message)) = row.will.take() {
            work.effects.push_back(self.will(&row, message));
        }
        self.clients.put(&row);
    }

    fn take_home(&mut self, client: ByteString, work: &mut Work) {
        let packed = self.clients.take(&client);
        if packed.is_none() && self.clients.is_full() {
            return;
        }
        let mut row = packed.as_deref().map_or_else(|| Row::new(&client, self.clients.floor), Row::of);
        // Whoever has moved it here too late finds that the client is elsewhere by now, and has been moved there from where it was.
        let may_move = row.home.is_none() || row.event > 0 && row.node == work.node;
        if may_move && row.home != Some(work.node) {
            self.set_home(&mut row, Some(work.node));
            let node = Some(own(&work.head.node));
            work.effects.push_back(Effect::Home { client: own(&client), node });
        }
        self.clients.put(&row);
    }

    fn give_up_home(&mut self, client: &ByteString, work: &mut Work) {
        // Who is online has a session: it came while the end of the one before was on its way.
        let is_kept = |row: Row<'_>| row.home != Some(work.node) || row.is_online;
        if self.clients.get(client).is_none_or(is_kept) {
            return;
        }
        let packed = self.clients.take(client).expect("it was there just now");
        let mut row = Row::of(&packed);
        self.set_home(&mut row, None);
        work.effects.push_back(Effect::Home { client: own(client), node: None });
        self.clients.put(&row);
    }

    /// Who lives is not forgotten: it may have come back just before. Should it come later, it has what nobody has begun anew.
    fn forget(&mut self, name: &ByteString, work: &mut Work) {
        let Some(slot) = self.nodes.slot(name).filter(|slot| !self.nodes.at(*slot).is_live()) else { return };
        self.nodes.at_mut(slot).life = Life::Left;
        let sessions = self.nodes.at(slot).homes;
        for client in self.clients.kept_at(slot) {
            let packed = self.clients.take(&client).expect("it was there just now");
            let mut row = Row::of(&packed);
            self.set_home(&mut row, None);
            self.clients.put(&row);
        }
        work.effects.push_back(Effect::Forgotten { node: own(name), sessions });
    }

    fn set_home(&mut self, row: &mut Row<'_>, home: Option<Slot>) {
        if let Some(before) = row.home {
            self.nodes.at_mut(before).homes -= 1;
        }
        if let Some(home) = home {
            self.nodes.at_mut(home).homes += 1;
        }
        row.home = home;
    }

    fn set(&mut self, key: ByteString, value: Option<Bytes>, work: &mut Work) {
        let size = |key: &ByteString, value: &Bytes| key.len() + value.len();
        let held: usize =
            self.settings.iter().filter(|(one, _)| **one != key).map(|(key, value)| size(key, value)).sum();
        match &value {
            Some(value) if held + size(&key, value) > MAX_SETTINGS => return,
            Some(value) => drop(self.settings.insert(own(&key), Bytes::copy_from_slice(value))),
            None => drop(self.settings.remove(&key)),
        }
        work.effects
            .push_back(Effect::Setting { key: own(&key), value: value.map(|value| Bytes::copy_from_slice(&value)) });
    }

    fn compare(&mut self, position: u64, theirs: Digest, work: &mut Work) {
        let live = self.nodes.live().count();
        let Some(Difference { ours, is_outvoted }) = self.checks.compare(work.node, position, theirs, live) else {
            return;
        };
        if ours != theirs {
            work.effects.push_back(Effect::Differs { node: own(&work.head.node), position, ours, theirs });
        }
        if is_outvoted {
            work.effects.push_back(Effect::Outvoted { position });
        }
    }

    /// Versions only go up, and not before all who live read it.
    fn open_gate(&mut self, version: u16, work: &mut Work) {
        if version > self.gate && self.nodes.live().all(|node| node.versions.includes(version)) {
            self.gate = version;
            work.effects.push_back(Effect::Gate(version));
        }
    }
}
