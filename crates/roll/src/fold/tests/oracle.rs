//! The rules once more, as plainly as can be: no table, no slots, no packed rows.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{Batch, Connected, Disconnected, Effect, End, Reason, Record, Up, Will};

#[derive(Default)]
pub(super) struct Oracle {
    pub(super) effects: Vec<Effect>,
    nodes: BTreeMap<ByteString, Life>,
    clients: BTreeMap<ByteString, Client>,
    events: u64,
    position: u64,
}

struct Life {
    is_live: bool,
    epoch: u64,
    next: u64,
    last: u64,
    last_at: u64,
}

#[derive(Default)]
struct Client {
    on: Option<On>,
    seq: u64,
    at: u64,
    event: u64,
    waiting: Option<(u64, ByteString, Will)>,
    home: Option<ByteString>,
    /// Where it has come last.
    last: Option<ByteString>,
}

struct On {
    node: ByteString,
    epoch: u64,
    up: Up,
}

impl Oracle {
    pub(super) fn online(&self) -> BTreeMap<&str, (&str, u64)> {
        let online = self.clients.iter().filter_map(|(id, client)| Some((&**id, client.on.as_ref()?)));
        online.map(|(id, on)| (id, (&*on.node, on.up.conn))).collect()
    }

    pub(super) fn append(&mut self, bytes: Bytes) {
        self.position += 1;
        let batch = Batch::decode(bytes).unwrap();
        let head = &batch.head;
        let records: Vec<Record> = batch.records().collect();
        let mut records = &records[..];
        let known = self.nodes.get(&head.node);
        let is_current = known.is_some_and(|life| life.is_live && life.epoch == head.epoch);
        if !is_current {
            let [Record::Join(join), rest @ ..] = records else { return };
            if head.n != 0 || head.epoch > self.position || known.is_some_and(|life| head.epoch <= life.epoch) {
                return;
            }
            if let Some(life) = known.filter(|life| life.is_live) {
                let (epoch, at) = (life.epoch, life.last_at);
                let end = End::Replaced { nonce: join.nonce };
                self.effects.push(Effect::Gone { node: head.node.clone(), epoch, end });
                self.all_go(&head.node, at, &Reason::NodeDown);
            }
            let life = Life { is_live: true, epoch: head.epoch, next: 1, last: self.position, last_at: head.at };
            self.nodes.insert(head.node.clone(), life);
            let (node, epoch, nonce) = (head.node.clone(), head.epoch, join.nonce);
            self.effects.push(Effect::Joined { node, epoch, nonce });
            records = rest;
        } else if let Some(life) = self.nodes.get_mut(&head.node) {
            life.last = self.position;
            life.last_at = life.last_at.max(head.at);
            if head.n != life.next {
                return;
            }
            life.next += 1;
        }
        for record in records {
            if self.nodes[&head.node].is_live {
                self.follow(&head.node, head.epoch, record);
            }
        }
    }

    fn follow(&mut self, node: &ByteString, epoch: u64, record: &Record) {
        match record {
            Record::Up(up) => self.up(node, epoch, up),
            Record::Down(down) => {
                let is_it = |on: &On| on.node == *node && on.up.conn == down.conn;
                if self.clients.get(&down.client).and_then(|client| client.on.as_ref()).is_some_and(is_it) {
                    let will = if down.with_will { "due" } else { "dropped" };
                    self.end(&down.client, down.at, Reason::Said(down.reason.clone()), will);
                }
            }
            Record::Dead(dead) => {
                let Some(life) = self.nodes.get_mut(&dead.node) else { return };
                if dead.node != *node && life.is_live && life.epoch == dead.epoch && life.last == dead.last {
                    life.is_live = false;
                    let at = life.last_at;
                    let (epoch, end) = (dead.epoch, End::Dead { by: node.clone() });
                    self.effects.push(Effect::Gone { node: dead.node.clone(), epoch, end });
                    self.all_go(&dead.node, at, &Reason::NodeDown);
                }
            }
            Record::Left { reason } => {
                let life = self.nodes.get_mut(node).unwrap();
                life.is_live = false;
                let at = life.last_at;
                self.effects.push(Effect::Gone { node: node.clone(), epoch, end: End::Left });
                self.all_go(node, at, &Reason::Said(reason.clone()));
            }
            Record::WillDue { client: id, event } => {
                let Some(client) = self.clients.get_mut(id) else { return };
                if client.waiting.as_ref().is_some_and(|(since, ..)| since == event) {
                    let (_, node, will) = client.waiting.take().unwrap();
                    self.effects.push(Effect::Will { client: id.clone(), node, message: will.message });
                }
            }
            Record::Home { client, is_here: true } => {
                let known = self.clients.entry(client.clone()).or_default();
                let is_elsewhere = known.home.as_ref().is_some_and(|home| home != node);
                if known.home.is_none() || is_elsewhere && known.last.as_ref() == Some(node) {
                    known.home = Some(node.clone());
                    self.effects.push(Effect::Home { client: client.clone(), node: Some(node.clone()) });
                }
            }
            Record::Home { client, is_here: false } => {
                let is_it = |known: &&mut Client| known.home.as_ref() == Some(node) && known.on.is_none();
                let Some(known) = self.clients.get_mut(client).filter(is_it) else { return };
                known.home = None;
                // Nothing else was known of it.
                if known.event == 0 {
                    self.clients.remove(client);
                }
                self.effects.push(Effect::Home { client: client.clone(), node: None });
            }
            Record::Setting { key, value } => {
                self.effects.push(Effect::Setting { key: key.clone(), value: value.clone() });
            }
            Record::Forget { node: name } => {
                if self.nodes.get(name).is_none_or(|life| life.is_live) {
                    return;
                }
                let mut sessions = 0;
                for client in self.clients.values_mut().filter(|client| client.home.as_ref() == Some(name)) {
                    client.home = None;
                    sessions += 1;
                }
                // Nothing else was known of them.
                self.clients.retain(|_, client| client.event > 0 || client.home.is_some());
                self.effects.push(Effect::Forgotten { node: name.clone(), sessions });
            }
            Record::Join(_) | Record::Check { .. } | Record::Gate(_) => {}
        }
    }

    fn up(&mut self, node: &ByteString, epoch: u64, up: &Up) {
        let client = self.clients.entry(up.client.clone()).or_default();
        if client.on.is_some() {
            let (reason, will) = if up.is_clean { (Reason::Discarded, "now") } else { (Reason::TakenOver, "resumed") };
            self.end(&up.client, up.at, reason, will);
        } else if let Some((_, node, will)) = client.waiting.take()
            && up.is_clean
        {
            self.effects.push(Effect::Will { client: up.client.clone(), node, message: will.message });
        }
        let client = self.clients.get_mut(&up.client).unwrap();
        self.events += 1;
        client.seq += 1;
        client.at = client.at.max(up.at);
        client.event = self.events;
        client.last = Some(node.clone());
        if up.is_clean {
            client.home = None;
        }
        if up.is_kept && client.home.is_none() {
            client.home = Some(node.clone());
        }
        client.on = Some(On { node: node.clone(), epoch, up: up.clone() });
        self.effects.push(Effect::Connected(Connected {
            event: self.events,
            seq: client.seq,
            client: up.client.clone(),
            node: node.clone(),
            epoch,
            conn: up.conn,
            is_clean: up.is_clean,
            at: client.at,
            info: up.info.clone(),
        }));
    }

    fn all_go(&mut self, node: &ByteString, at: u64, reason: &Reason) {
        let here = |client: &Client| client.on.as_ref().is_some_and(|on| on.node == *node);
        let mut ids: Vec<_> = self.clients.iter().filter(|(_, client)| here(client)).collect();
        ids.sort_by_key(|(_, client)| client.event);
        let ids: Vec<_> = ids.into_iter().map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.end(id, at, reason.clone(), "due"));
    }

    fn end(&mut self, id: &ByteString, at: u64, reason: Reason, fate: &str) {
        let client = self.clients.get_mut(id).unwrap();
        let On { node, epoch, up } = client.on.take().unwrap();
        self.events += 1;
        client.seq += 1;
        client.at = client.at.max(at);
        client.event = self.events;
        let mut waits = None;
        if let Some(will) = up.will {
            if fate == "now" || will.delay == 0 && fate != "dropped" {
                let message = will.message;
                self.effects.push(Effect::Will { client: id.clone(), node: node.clone(), message });
            } else if fate == "due" {
                waits = Some(Effect::WillWaits { client: id.clone(), event: self.events, delay: will.delay });
                client.waiting = Some((self.events, node.clone(), will));
            }
        }
        self.effects.push(Effect::Disconnected(Disconnected {
            event: self.events,
            seq: client.seq,
            client: id.clone(),
            node,
            epoch,
            conn: up.conn,
            at: client.at,
            info: up.info,
            reason,
        }));
        self.effects.extend(waits);
    }
}
