//! The fold as bytes, for those who come too late for the log's beginning.

use bytes::{BufMut, Bytes, BytesMut};

use super::checks::Point;
use super::nodes::own;
use super::row::{Row, Slot, take_slot};
use super::{Fold, Life, MAX_CLIENTS, MAX_NODES, MAX_SETTINGS, Node};
use crate::record::{MAX_NAME, MAX_SETTING};
use crate::wire::{put_bytes, put_number, take_bytes, take_number, take_text, take_up_to};
use crate::{Digest, Error, Versions};

/// The form of the snapshot.
const VERSION: u8 = 1;

/// At its end: a digest of all before it.
const SUM: usize = size_of::<u64>();

/// No count comes near this one by counting, and who goes on from one that is lower does not reach its end.
const MAX_COUNT: u64 = 1 << 62;

/// Checks that a snapshot may have.
const MAX_POINTS: u64 = 64;

impl Fold {
    /// All of it. Readers that have read as far write the same bytes.
    ///
    /// # Errors
    /// Effects of the last batch have not been polled.
    pub fn snapshot(&self) -> Result<Bytes, Error> {
        if self.is_busy() {
            return Err(Error::Unfinished);
        }
        let mut out = BytesMut::with_capacity(1024 + self.known() * 128);
        out.put_u8(VERSION);
        for number in [self.position, self.events, self.digest.as_u64(), self.gate.into(), self.clients.floor] {
            put_number(number, &mut out);
        }
        put_number(self.nodes.0.len() as u64, &mut out);
        self.nodes.0.iter().for_each(|node| put_node(node, &mut out));
        put_number(self.settings.len() as u64, &mut out);
        for (key, value) in &self.settings {
            put_bytes(key.as_bytes(), &mut out);
            put_bytes(value, &mut out);
        }
        put_number(self.checks.0.len() as u64, &mut out);
        self.checks.0.iter().for_each(|point| put_point(point, &mut out));
        put_number(self.known() as u64, &mut out);
        self.clients.in_order().into_iter().for_each(|row| put_bytes(row, &mut out));
        let sum = sum_of(&out);
        out.put_u64_le(sum.as_u64());
        Ok(out.freeze())
    }

    /// Any bytes with the sum at their end that a snapshot of them would have: what a forger would write, and a fuzzer does.
    #[doc(hidden)]
    pub fn sum_snapshot(bytes: &[u8]) -> Bytes {
        let mut out = BytesMut::from(bytes);
        out.put_u64_le(sum_of(bytes).as_u64());
        out.freeze()
    }

    /// From those bytes.
    ///
    /// # Errors
    /// They are of another version, or nobody has written them.
    pub fn from_snapshot(snapshot: &Bytes) -> Result<Self, Error> {
        match snapshot.first() {
            Some(&VERSION) if snapshot.len() > SUM => {}
            Some(&VERSION) | None => return Err(Error::Short("a snapshot")),
            Some(other) => return Err(Error::Version(*other)),
        }
        let (all, sum) = snapshot.split_at(snapshot.len() - SUM);
        if sum_of(all).as_u64().to_le_bytes() != *sum {
            return Err(Error::Digest);
        }
        let mut input = snapshot.slice(1..all.len());
        let mut fold = Self::new();
        fold.position = take_count(&mut input)?;
        fold.events = take_count(&mut input)?;
        fold.digest = Digest::new(take_number(&mut input, "a digest")?);
        fold.gate = take_up_to(&mut input, u16::MAX.into(), "a version")? as u16;
        fold.clients.floor = take_count(&mut input)?;
        for _ in 0..take_up_to(&mut input, MAX_NODES as u64, "the list of nodes")? {
            let node = take_node(&mut input)?;
            if node.name.is_empty() || fold.nodes.slot(&node.name).is_some() {
                return Err(Error::Malformed("the list of nodes"));
            }
            fold.nodes.0.push(node);
        }
        fold.take_settings(&mut input)?;
        for _ in 0..take_up_to(&mut input, MAX_POINTS, "the list of checks")? {
            fold.checks.0.push_back(take_point(&mut input)?);
        }
        fold.take_clients(&mut input)?;
        if input.is_empty() { Ok(fold) } else { Err(Error::TooLong("a snapshot")) }
    }

    fn take_settings(&mut self, input: &mut Bytes) -> Result<(), Error> {
        let mut held = 0;
        for _ in 0..take_number(input, "the list of settings")? {
            let key = take_text(input, MAX_NAME, "a setting's name")?;
            let value = take_bytes(input, MAX_SETTING, "a setting")?;
            held += key.len() + value.len();
            if held > MAX_SETTINGS {
                return Err(Error::TooLong("the list of settings"));
            }
            self.settings.insert(own(&key), Bytes::copy_from_slice(&value));
        }
        Ok(())
    }

    /// What can be counted is not read but counted.
    fn take_clients(&mut self, input: &mut Bytes) -> Result<(), Error> {
        for _ in 0..take_up_to(input, MAX_CLIENTS as u64, "the list of clients")? {
            let packed = take_bytes(input, usize::MAX, "a client")?;
            let row = Row::read(&packed)?;
            let is_known = |slot: Slot| usize::from(slot) < self.nodes.0.len();
            let is_past = row.event <= self.events && row.seq <= MAX_COUNT;
            if !is_known(row.node) || row.home.is_some_and(|home| !is_known(home)) || !is_past {
                return Err(Error::Malformed("a client"));
            }
            if row.is_online && !self.nodes.at(row.node).is_live() || self.clients.get(row.id).is_some() {
                return Err(Error::Malformed("a client"));
            }
            self.nodes.at_mut(row.node).clients += u64::from(row.is_online);
            if let Some(home) = row.home {
                self.nodes.at_mut(home).homes += 1;
            }
            self.clients.put(&row);
        }
        Ok(())
    }
}

fn take_count(input: &mut Bytes) -> Result<u64, Error> {
    take_up_to(input, MAX_COUNT, "a count")
}

fn sum_of(bytes: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.mix_bytes(bytes);
    digest
}

fn put_node(node: &Node, out: &mut BytesMut) {
    put_bytes(node.name.as_bytes(), out);
    out.put_u8(match node.life {
        Life::Live => 0,
        Life::Dead => 1,
        Life::Left => 2,
    });
    put_bytes(node.addr.as_bytes(), out);
    let versions = [node.versions.from.into(), node.versions.to.into()];
    let numbers = [node.epoch, node.nonce, node.joined, node.joined_at, node.last, node.last_at, node.next];
    versions.into_iter().chain(numbers).for_each(|number| put_number(number, out));
}

fn take_node(input: &mut Bytes) -> Result<Node, Error> {
    let name = own(&take_text(input, MAX_NAME, "a node's name")?);
    let life = match take_up_to(input, 2, "a node's life")? {
        0 => Life::Live,
        1 => Life::Dead,
        _ => Life::Left,
    };
    let addr = own(&take_text(input, MAX_NAME, "an address")?);
    let mut version = || take_up_to(input, u16::MAX.into(), "a version").map(|version| version as u16);
    let versions = Versions { from: version()?, to: version()? };
    let mut number = || take_number(input, "a node");
    let (epoch, nonce, joined, joined_at) = (number()?, number()?, number()?, number()?);
    let (last, last_at) = (number()?, number()?);
    // A life begins with batch 0, so that one is never to come.
    let next = take_count(input).and_then(|next| if next > 0 { Ok(next) } else { Err(Error::Malformed("a node")) })?;
    let (clients, homes) = (0, 0);
    Ok(Node { name, life, epoch, nonce, addr, versions, joined, joined_at, last, last_at, next, clients, homes })
}

fn put_point(point: &Point, out: &mut BytesMut) {
    put_number(point.position, out);
    put_number(point.digest.as_u64(), out);
    for votes in [&point.same, &point.other] {
        put_number(votes.len() as u64, out);
        votes.iter().for_each(|slot| put_number((*slot).into(), out));
    }
}

fn take_point(input: &mut Bytes) -> Result<Point, Error> {
    let (position, digest) = (take_number(input, "a check")?, Digest::new(take_number(input, "a check")?));
    let mut votes = || -> Result<Vec<Slot>, Error> {
        (0..take_up_to(input, MAX_NODES as u64, "votes")?).map(|_| take_slot(input)).collect()
    };
    Ok(Point { position, digest, same: votes()?, other: votes()? })
}
