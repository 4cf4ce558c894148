//! The last events in memory: which there is room for.

use std::sync::Arc;

use hashbrown::HashTable;

use self::nodes::{NONE, Node, Nodes};
use self::order::Order;
use self::shares::Shares;
use super::known::Hash;
use super::record::{Glance, is_of};

mod nodes;
mod order;
mod shares;

/// Bytes of client id and user name that have room in what an event takes; longer ones take the room of several. MQTT's
/// longest would make the ring 600 times as big as it is with usual ones.
pub(super) const TEXT: usize = 256;

/// Events that each client may have whatever others do, as long as there is room for that: two visits. With more it is the
/// first to lose some.
pub(super) const FLOOR: u32 = 4;

/// The events there is room for, in the order of their numbers, each as the record that is kept of it.
///
/// Room is shared as in a fair queue: when there is none, the client that takes most of it loses its oldest event, as long as it
/// has more than [`FLOOR`]; if nobody has, the oldest of all goes. So who flaps or floods writes over its own events.
///
/// All who come and go wait for each other here. So what one event costs does not depend on how many there are, and what grows by
/// doubling has its size from the start: no single event pays for all.
#[derive(Default)]
pub(super) struct Ring {
    nodes: Nodes,
    order: Order,
    /// The newest event of each client.
    clients: HashTable<u32>,
    /// Who has more than [`FLOOR`].
    over: Shares,
    len: usize,
    capacity: usize,
    /// What all events take; an event with usual texts takes 1.
    taken: u64,
}

/// An event that comes in, newer than all there are.
pub(super) struct Arriving<'a> {
    pub(super) client_id: &'a str,
    /// Of the client id.
    pub(super) hash: Hash,
    pub(super) number: u64,
    pub(super) record: &'a Arc<[u8]>,
    pub(super) weight: u16,
    pub(super) place: u32,
}

/// An event that has gone.
pub(super) struct Evicted {
    pub(super) number: u64,
    pub(super) hash: Hash,
    pub(super) record: Arc<[u8]>,
    pub(super) place: u32,
    /// Its client has no newer one.
    pub(super) is_last: bool,
}

/// How far a walk through one client's events is.
#[derive(Clone, Copy)]
pub(super) struct Step {
    node: u32,
    number: u64,
}

impl Ring {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.nodes.get(self.order.oldest()).map(|node| node.number)
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.nodes.get(self.order.newest()).map(|node| node.number)
    }

    /// The oldest event there is.
    pub(super) fn oldest(&self) -> Option<&Arc<[u8]>> {
        self.nodes.get(self.order.oldest())?.record.as_ref()
    }

    /// The oldest event of this client.
    pub(super) fn oldest_of(&self, hash: Hash, client_id: &str) -> Option<&Arc<[u8]>> {
        let newest = self.newest_of(hash, client_id)?;
        self.nodes[self.nodes[newest].oldest].record.as_ref()
    }

    pub(super) fn has(&self, number: u64) -> bool {
        let found = self.order.at_or_after(number, &self.nodes);
        self.nodes.get(found).is_some_and(|node| node.number == number)
    }

    /// Takes an event though there may be no room: see [`Self::evict`]. Returns the number of the client's event before it,
    /// if that is here.
    pub(super) fn insert(&mut self, event: &Arriving<'_>) -> Option<u64> {
        let Arriving { hash, number, record, weight, place, .. } = *event;
        let mut node = Node { number, hash, record: Some(Arc::clone(record)), weight, place, ..Node::default() };
        (node.oldest, node.taken) = (NONE, u32::from(weight));
        let at = self.nodes.add(node);
        self.taken += u64::from(weight);
        self.len += 1;
        self.order.push(at, &mut self.nodes);
        let before = self.newest_place(hash, event.client_id).map(|newest| std::mem::replace(newest, at));
        let Some(before) = before else {
            self.nodes[at].oldest = at;
            let nodes = &self.nodes;
            self.clients.insert_unique(spread(hash), at, |at| spread(nodes[*at].hash));
            self.rank(at);
            return None;
        };
        self.unrank(before);
        let Node { number: number_before, oldest, taken, .. } = self.nodes[before];
        self.nodes[before].following = at;
        (self.nodes[at].oldest, self.nodes[at].taken) = (oldest, taken + u32::from(weight));
        self.rank(at);
        Some(number_before)
    }

    /// Says where the newest event is kept.
    pub(super) fn set_place(&mut self, place: u32) {
        if let Some(newest) = self.nodes.get_mut(self.order.newest()) {
            newest.place = place;
        }
    }

    /// Changes how many events there may be; more than that are still to be [evicted](Self::evict).
    pub(super) const fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Makes all as big as it may get: later that would hold up who comes and goes. Memory that nothing was written to is not
    /// there yet.
    pub(super) fn grow(&mut self) {
        // One more than there is room for is in before another goes.
        let most = self.capacity + 1;
        if self.nodes.len() > 2 * most {
            self.pack();
        }
        let nodes = &self.nodes;
        self.clients.shrink_to(most, |at| spread(nodes[*at].hash));
        self.clients.reserve(most.saturating_sub(self.clients.len()), |at| spread(nodes[*at].hash));
        self.nodes.reserve(most);
    }

    /// Gives back the room of events that are gone.
    fn pack(&mut self) {
        let spacious = std::mem::replace(self, Self { capacity: self.capacity, ..Self::default() });
        let mut at = spacious.order.oldest();
        while let Some(Node { number, hash, record: Some(record), weight, place, newer, .. }) = spacious.nodes.get(at) {
            let (hash, number, weight, place) = (*hash, *number, *weight, *place);
            let client_id = Glance::at(record).map_or("", |glance| glance.client_id);
            self.insert(&Arriving { client_id, hash, number, record, weight, place });
            at = *newer;
        }
    }

    /// Takes out what is to go next, if there is no room for all.
    pub(super) fn evict(&mut self) -> Option<Evicted> {
        if self.taken <= self.capacity as u64 {
            return None;
        }
        let most = self.over.most();
        let at = most.map_or(self.order.oldest(), |newest| self.nodes[newest].oldest);
        self.order.remove(at, &mut self.nodes);
        let Node { number, hash, weight, place, following, .. } = self.nodes[at];
        self.taken -= u64::from(weight);
        self.len -= 1;
        let is_last = following == NONE;
        if is_last {
            self.unrank(at);
            if let Ok(found) = self.clients.find_entry(spread(hash), |newest| *newest == at) {
                found.remove();
            }
        } else {
            let newest = most.unwrap_or_else(|| self.newest_after(at));
            self.unrank(newest);
            let of_client = &mut self.nodes[newest];
            (of_client.oldest, of_client.taken) = (following, of_client.taken - u32::from(weight));
            self.rank(newest);
        }
        let record = self.nodes.remove(at)?;
        Some(Evicted { number, hash, record, place, is_last })
    }

    /// The newest event of the client whose oldest one this is.
    fn newest_after(&self, oldest: u32) -> u32 {
        let (nodes, hash) = (&self.nodes, self.nodes[oldest].hash);
        let newest = self.clients.find(spread(hash), |newest| nodes[*newest].oldest == oldest);
        *newest.expect("each client's newest event is known")
    }

    /// Copies up to `most` events between two numbers, both left out, from one end of them.
    pub(super) fn copy(&self, after: u64, before: u64, from_end: bool, most: usize, out: &mut Vec<Numbered>) {
        let Some(start) = after.checked_add(1).filter(|start| *start < before) else { return };
        let mut at =
            if from_end { self.order.before(before, &self.nodes) } else { self.order.at_or_after(start, &self.nodes) };
        while let Some(node) = self.nodes.get(at).filter(|node| start <= node.number && node.number < before) {
            if out.len() == most {
                break;
            }
            out.extend(node.numbered());
            at = if from_end { node.older } else { node.newer };
        }
    }

    /// Copies up to `most` events of a client, oldest first, and says where to go on. What goes meanwhile is left out.
    pub(super) fn copy_of(
        &self,
        hash: Hash,
        client_id: &str,
        from: Option<Step>,
        most: usize,
        out: &mut Vec<Numbered>,
    ) -> Option<Step> {
        let newest = self.newest_of(hash, client_id)?;
        let seen = from.map_or(0, |step| step.number);
        // Those that went were the oldest; if the one this was at is among them, what follows begins with the oldest there is.
        let is_there = |step: &Step| self.nodes.get(step.node).is_some_and(|node| node.number == step.number);
        let mut at = match from.filter(is_there) {
            Some(step) => self.nodes[step.node].following,
            None => self.nodes[newest].oldest,
        };
        let mut last = None;
        for _ in 0..most {
            let node = self.nodes.get(at)?;
            if node.number > seen {
                out.extend(node.numbered());
            }
            last = Some(Step { node: at, number: node.number });
            at = node.following;
        }
        last
    }

    pub(super) fn newest_number_of(&self, hash: Hash, client_id: &str) -> Option<u64> {
        self.newest_of(hash, client_id).map(|newest| self.nodes[newest].number)
    }

    fn newest_of(&self, hash: Hash, client_id: &str) -> Option<u32> {
        self.clients.find(spread(hash), |at| self.nodes[*at].is_of(hash, client_id)).copied()
    }

    fn newest_place(&mut self, hash: Hash, client_id: &str) -> Option<&mut u32> {
        let nodes = &self.nodes;
        self.clients.find_mut(spread(hash), |at| nodes[*at].is_of(hash, client_id))
    }

    /// `newest` is the newest event of its client.
    fn rank(&mut self, newest: u32) {
        if self.nodes[newest].taken > FLOOR {
            self.over.add(newest, &mut self.nodes);
        }
    }

    fn unrank(&mut self, newest: u32) {
        if self.nodes[newest].taken > FLOOR {
            self.over.remove(newest, &mut self.nodes);
        }
    }
}

/// A record, and the number of its event.
pub(super) type Numbered = (u64, Arc<[u8]>);

impl Node {
    fn is_of(&self, hash: Hash, client_id: &str) -> bool {
        self.hash == hash && self.record.as_ref().is_some_and(|record| is_of(record, client_id))
    }

    fn numbered(&self) -> Option<Numbered> {
        Some((self.number, Arc::clone(self.record.as_ref()?)))
    }
}

/// What an event with so many bytes of texts takes of the room.
pub(super) fn weight(text_len: usize) -> u16 {
    // Two texts of MQTT take 512 at the most.
    u16::try_from(text_len.div_ceil(TEXT).max(1)).unwrap_or(u16::MAX)
}

/// The table takes the bits at both ends.
const fn spread(hash: Hash) -> u64 {
    (hash.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
