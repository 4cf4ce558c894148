//! The other nodes of the cluster: what their clients subscribe to, and what is said to them.
//!
//! Each node tells all others its filters, each once however many have it, and is sent what matches one of them, once. Nobody sends
//! on what another node has sent.

mod ears;
mod hearing_out;
mod inquiries;
pub(crate) mod moving;
pub(crate) mod owed;
pub(crate) mod peer;
mod piece;
mod places;
mod questions;
mod retained;
mod sending;
mod stamps;
mod underway;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytestring::ByteString;
use mqtt_codec::{Filter, Qos, Topic};
use mqtt_hooks::is_sys;
use mqtt_router::{Group, Matches, Options, Router};
use parking_lot::{Mutex, RwLock};

pub use ears::Ears;
use moving::Moves;
pub use peer::Peer;
use piece::Piece;
use places::{Inquiries, Places};
use questions::{Asked, Questions};
use stamps::Stamps;
use underway::{Begun, Underway};

/// Of what waits for one node, bytes: then it gets no more at QoS 0. Above that, whoever publishes waits for it.
const MAX_WAITING: u64 = 16 * 1024 * 1024;

/// What is known of the other nodes.
#[derive(Default)]
pub(crate) struct Peers {
    /// There is one. All that a broker pays that is alone is to look at this.
    is_used: AtomicBool,
    /// What they want.
    theirs: Router<Interest>,
    state: RwLock<State>,
    stamps: Stamps,
    /// Who was asked for all that is retained, and has not told it yet.
    asked: Mutex<Asked>,
    /// Whether connections have ended, that were to be heard out.
    questions: Questions<bool>,
    inquiries: Inquiries,
    moves: Moves,
    underway: Underway,
    origins: Origins,
}

/// Numbers for what is sent to others, which no two messages have.
struct Origins(AtomicU64);

/// Who wants it: the place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Interest {
    Peer(usize),
    Group(usize),
}

#[derive(Default)]
struct State {
    /// The filters of our own that all peers were told of.
    told: HashSet<ByteString>,
    /// They were told that clients are sent elsewhere from here.
    is_draining: bool,
    /// By place; one that is gone leaves it free.
    peers: Vec<Option<Known>>,
    /// Places that are not free yet: what was wanted there is still being given up.
    leaving: Vec<usize>,
    groups: Vec<Option<Elsewhere>>,
    /// Where each of them is.
    by_filter: HashMap<ByteString, usize>,
    free: Vec<usize>,
}

struct Known {
    peer: Arc<dyn Peer>,
    filters: HashSet<ByteString>,
    /// It has told all that it wanted when it came.
    has_told: bool,
    /// Where it was told of a filter last.
    told_at: u64,
    /// It sends its clients elsewhere.
    is_draining: bool,
    places: Places,
}

/// A shared subscription that has members at other nodes.
struct Elsewhere {
    filter: Filter,
    peers: Vec<usize>,
    turn: AtomicUsize,
}

/// Where a message goes beside this node.
pub(crate) struct Away<C> {
    to: Vec<To>,
    /// Shared subscriptions whose members here do not get it, for another node's do.
    given: Vec<Matches<C>>,
}

struct To {
    place: usize,
    peer: Arc<dyn Peer>,
    is_plain: bool,
    groups: Vec<ByteString>,
}

impl Default for Origins {
    /// Each node, and each life of one, counts from somewhere else: that they meet is as unlikely as that two random numbers are one.
    fn default() -> Self {
        Self(AtomicU64::new(RandomState::default().hash_one(0)))
    }
}

impl Peers {
    /// For a message that other nodes get, too.
    pub(crate) fn next_origin(&self) -> u64 {
        self.origins.0.fetch_add(1, Ordering::Relaxed)
    }

    /// False if there is no other node.
    pub(crate) fn is_used(&self) -> bool {
        // Acquire: who is not seen here finds by the router what has been subscribed to before.
        self.is_used.load(Ordering::Acquire)
    }

    /// Receivers are looked up, and delivered to as long as this is there. `None`: there is no other node.
    pub(crate) fn begin_publishing(&self) -> Option<Begun<'_>> {
        self.is_used().then(|| self.underway.begin())
    }

    /// The node of this name, if it can be spoken to.
    fn peer(&self, name: &str) -> Option<Arc<dyn Peer>> {
        let state = self.state.read();
        state.peers.iter().flatten().find(|known| known.peer.name() == name).map(|known| Arc::clone(&known.peer))
    }

    /// Others are told whether clients are sent elsewhere from here; as in [`Self::note`] it is what is so.
    pub(crate) fn tell_draining(&self, is_so: impl FnOnce() -> bool) {
        let mut state = self.state.write();
        let is_so = is_so();
        state.is_draining = is_so;
        for known in state.peers.iter().flatten() {
            Piece::Draining(is_so).say(&*known.peer);
        }
    }

    /// Whether clients are sent elsewhere from the node of this name.
    pub(crate) fn is_draining(&self, name: &str) -> bool {
        let state = self.state.read();
        state.peers.iter().flatten().any(|known| known.is_draining && known.peer.name() == name)
    }

    /// Somebody has subscribed with this filter, or does not any more: the others are told if that makes a difference.
    ///
    /// What is said is what is so when it is said, under one lock: so the last word is right, whatever happens at once.
    pub(crate) fn note<C: Clone + Eq + Hash>(&self, filter: &Filter, router: &Router<C>) {
        if !self.is_used() || is_ours(filter.as_str()) {
            return;
        }
        let mut state = self.state.write();
        let text = filter.as_str();
        if state.told.contains(text) == router.is_subscribed(filter) {
            return;
        }
        let piece = if state.told.remove(text) {
            Piece::Unwanted(text)
        } else {
            state.told.insert(text.into());
            Piece::Wanted(text)
        };
        state.peers.iter_mut().flatten().for_each(|known| known.told_at = piece.say(&*known.peer));
    }

    /// Where a message of this topic goes beside this node.
    pub(crate) fn find<C: Clone + Eq + Hash>(&self, topic: &Topic, router: &Router<C>) -> Option<Away<C>> {
        if self.theirs.subscriptions_len() == 0 || is_sys(topic.as_str()) {
            return None;
        }
        let mut found = Matches::default();
        self.theirs.matches(topic, None, &mut found);
        let mut away = Away { to: Vec::new(), given: Vec::new() };
        let state = self.state.read();
        for interest in found.iter() {
            match *interest.key {
                Interest::Peer(place) => {
                    if let Some(to) = away.to(place, &state) {
                        to.is_plain = true;
                    }
                }
                Interest::Group(place) => {
                    let Some(Some(group)) = state.groups.get(place) else { continue };
                    // Who is here and there is the first to get it.
                    let mut members = Matches::default();
                    router.members(&group.filter, &mut members);
                    if members.groups().any(|group| group.present().next().is_some()) {
                        continue;
                    }
                    let turn = group.turn.fetch_add(1, Ordering::Relaxed);
                    let chosen = group.peers.get(turn % group.peers.len().max(1));
                    if let Some(to) = chosen.and_then(|place| away.to(*place, &state)) {
                        to.groups.push(group.filter.as_str().into());
                        away.given.push(members);
                    }
                }
            }
        }
        (!away.to.is_empty()).then_some(away)
    }
}

impl<C: Clone + Eq + Hash> Away<C> {
    /// Whether members of this shared subscription are to get it here.
    pub(crate) fn is_for(&self, group: &Group<'_, C>) -> bool {
        !self.given.iter().any(|given| given.groups().any(|given| given.is(group)))
    }

    fn to(&mut self, place: usize, state: &State) -> Option<&mut To> {
        if let Some(at) = self.to.iter().position(|to| to.place == place) {
            return self.to.get_mut(at);
        }
        let peer = Arc::clone(&state.peers.get(place)?.as_ref()?.peer);
        self.to.push(To { place, peer, is_plain: false, groups: Vec::new() });
        self.to.last_mut()
    }
}

/// What each node has of its own: nobody else is asked for it.
fn is_ours(filter: &str) -> bool {
    let pattern = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |(_, rest)| rest);
    is_sys(pattern)
}

impl State {
    /// A node wants what this filter matches.
    fn add(&mut self, place: usize, filter: &Filter, theirs: &Router<Interest>) {
        let text = ByteString::from(filter.as_str());
        let Some(Some(known)) = self.peers.get_mut(place) else { return };
        if !known.filters.insert(text) {
            return;
        }
        let options = Options { qos: Qos::ExactlyOnce, ..Options::default() };
        if filter.group().is_none() {
            theirs.subscribe(filter, Interest::Peer(place), options);
        } else if let Some(group) = self.by_filter.get(filter.as_str()).and_then(|at| self.groups[*at].as_mut()) {
            group.peers.push(place);
        } else if let Ok(pattern) = Filter::new(filter.pattern().to_owned()) {
            let group = Elsewhere { filter: filter.detached(), peers: vec![place], turn: AtomicUsize::new(0) };
            let at = self.free.pop().unwrap_or_else(|| {
                self.groups.push(None);
                self.groups.len() - 1
            });
            self.groups[at] = Some(group);
            self.by_filter.insert(filter.as_str().into(), at);
            theirs.subscribe(&pattern, Interest::Group(at), options);
        }
    }

    fn remove(&mut self, place: usize, filter: &Filter, theirs: &Router<Interest>) {
        let Some(Some(known)) = self.peers.get_mut(place) else { return };
        if known.filters.remove(filter.as_str()) {
            self.give_up(place, filter, theirs);
        }
    }

    fn give_up(&mut self, place: usize, filter: &Filter, theirs: &Router<Interest>) {
        if filter.group().is_none() {
            theirs.unsubscribe(filter, &Interest::Peer(place));
            return;
        }
        let Some(at) = self.by_filter.get(filter.as_str()).copied() else { return };
        let Some(group) = &mut self.groups[at] else { return };
        group.peers.retain(|peer| *peer != place);
        if group.peers.is_empty() {
            self.groups[at] = None;
            self.by_filter.remove(filter.as_str());
            self.free.push(at);
            if let Ok(pattern) = Filter::new(filter.pattern().to_owned()) {
                theirs.unsubscribe(&pattern, &Interest::Group(at));
            }
        }
    }
}
