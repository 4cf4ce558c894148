//! What other nodes say is heard here.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{Filter, Qos};
use mqtt_router::Router;
use mqtt_session::Publication;

use super::moving::Parcel;
use super::piece::{Heard, Piece};
use super::{Interest, Known, Peer, Peers, Places, State, is_ours};
use crate::broker::Broker;
use crate::client::ClientRef;
use crate::cluster::letter::read_message;
use crate::delivery::batch::{Batch, Flushing};
use crate::watch::metrics::Metric;

/// Pieces that are heard before others have their turn.
const IN_A_TURN: usize = 64;

/// How often it is looked whether the store can be written again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So often at the most.
const MAX_LOOKS: usize = 10;

/// Hears other nodes.
#[derive(Clone)]
pub struct Ears(pub(crate) Arc<Broker>);

impl Ears {
    /// From now on this node can be spoken to. It is told first of all that is wanted here.
    pub fn came(&self, peer: Arc<dyn Peer>) {
        self.0.membership.peers.came(peer, &self.0.routes.router);
    }

    /// Whether it is known what this node wants, and it knows what is wanted here: until then something may be missed.
    pub fn knows(&self, name: &str) -> bool {
        let state = self.0.membership.peers.state.read();
        let knows = |known: &Known| known.has_told && known.peer.has_handled(known.told_at);
        state.peers.iter().flatten().any(|known| known.peer.name() == name && knows(known))
    }

    /// Its life is over.
    pub fn went(&self, name: &str) {
        self.0.membership.peers.went(name);
        self.0.membership.peers.moves.note_gone(name);
        self.note_retained(name, false);
    }

    /// It has said this. Done when what was to be stored of it is.
    pub async fn hear(&self, name: &str, pieces: Vec<Bytes>) {
        let mut pieces = pieces.into_iter().peekable();
        while pieces.peek().is_some() {
            if let Some(flushing) = self.hear_some(name, pieces.by_ref().take(IN_A_TURN)) {
                // If it panicked, that is told.
                let _ = flushing.await;
            }
            tokio::task::yield_now().await;
        }
        // What is not stored yet would be lost with this process, and the other node's client has an answer for it. But nothing else is
        // heard meanwhile, and a disk may be full for long: what is staged is in memory until then.
        let mut looks = 0;
        while self.0.durable.is_failing() && looks < MAX_LOOKS {
            tokio::time::sleep(LOOK_EVERY).await;
            looks += 1;
        }
    }

    fn hear_some(&self, name: &str, pieces: impl Iterator<Item = Bytes>) -> Option<Flushing> {
        let mut batch = Batch::begin(&self.0);
        batch.stays_here = true;
        for piece in pieces {
            match Heard::read(piece) {
                Some(Heard::Message { origin, is_plain, groups, written }) => match read_message(&written) {
                    // Its disk has been full for long, and its publisher is not here to be refused.
                    Some(message) if message.qos > Qos::AtMostOnce && self.0.durable.is_overfull(true) => {
                        batch.count(Metric::DroppedQueueFull, 1);
                    }
                    Some(message) => {
                        let now = self.0.clock.now();
                        self.0.publish_here(&message, origin, is_plain, &groups, now, &mut batch);
                    }
                    None => tracing::error!(node = name, "a message of another node can't be read"),
                },
                Some(Heard::Wanted(filter)) => self.0.membership.peers.hear(name, |state, place, theirs| {
                    state.add(place, &filter, theirs);
                }),
                Some(Heard::Unwanted(filter)) => self.0.membership.peers.hear(name, |state, place, theirs| {
                    state.remove(place, &filter, theirs);
                }),
                Some(Heard::Retained(stamp, written)) => match read_message(&written) {
                    Some(message) => {
                        let publication = Publication::new(message, self.0.clock.now());
                        self.0.retain_sent(stamp, &publication, &mut batch);
                    }
                    None => tracing::error!(node = name, "a message of another node can't be read"),
                },
                Some(Heard::HearOut { number, conn, client_id }) => self.hear_out(name, number, conn, &client_id),
                Some(Heard::HasSaid { number, has_ended }) => {
                    self.0.membership.peers.questions.answer(number, has_ended);
                }
                Some(Heard::Take { number, client_id }) => self.show_session(name, number, client_id),
                Some(Heard::Settle { number, node }) => self.settle(name, number, node),
                Some(Heard::TakeRest { number, client_id }) => self.give_session(name, number, client_id),
                Some(Heard::Parcel { number, written }) => match Parcel::read(written, self.0.clock.now()) {
                    Some(parcel) => self.0.membership.peers.moves.note_answer(number, parcel),
                    None => tracing::error!(node = name, "a session of another node can't be read"),
                },
                Some(Heard::Draining(is_so)) => self.0.membership.peers.hear(name, |state, place, _| {
                    if let Some(Some(known)) = state.peers.get_mut(place) {
                        known.is_draining = is_so;
                    }
                }),
                Some(Heard::Inquiry { number, path }) => self.answer_inquiry(name, number, &path),
                Some(Heard::Reply { number, status, body }) => self.note_reply(number, status, &body),
                Some(Heard::Asked) => self.tell_retained(name),
                Some(Heard::RetainedAll) => self.note_retained(name, true),
                Some(Heard::All) => self.0.membership.peers.hear(name, |state, place, _| state.note_all(place)),
                // Of a later version, perhaps.
                None => tracing::error!(node = name, "what another node says can't be read"),
            }
            batch.relieve();
        }
        let _ = batch.settle();
        let flushing = batch.take_flushing();
        let _ = batch.finish();
        flushing
    }
}

impl Peers {
    fn came(&self, peer: Arc<dyn Peer>, router: &Router<ClientRef>) {
        // Before the filters are looked at: who subscribes from here on waits for the lock below.
        self.is_used.store(true, Ordering::Release);
        let mut state = self.state.write();
        if state.peers.iter().all(Option::is_none) {
            // Nobody has kept an eye on it while there was nobody to tell.
            state.told.clear();
            router.for_each_filter(|filter| {
                if !is_ours(filter) {
                    state.told.insert(filter.into());
                }
            });
        }
        // What has changed and is not there yet is told to all by who has changed it.
        for filter in &state.told {
            Piece::Wanted(filter).say(&*peer);
        }
        let told_at = Piece::All.say(&*peer);
        // Nodes of earlier versions do not know it.
        if state.is_draining {
            Piece::Draining(true).say(&*peer);
        }
        let known = Known {
            peer,
            filters: HashSet::new(),
            has_told: false,
            told_at,
            is_draining: false,
            places: Places::default(),
        };
        let is_free = |at: usize| state.peers[at].is_none() && !state.leaving.contains(&at);
        match (0..state.peers.len()).find(|at| is_free(*at)) {
            Some(at) => state.peers[at] = Some(known),
            None => state.peers.push(Some(known)),
        }
    }

    fn went(&self, name: &str) {
        let mut state = self.state.write();
        let Some(place) = state.place_of(name) else { return };
        let Some(known) = state.peers[place].take() else { return };
        if state.peers.iter().all(Option::is_none) {
            self.is_used.store(false, Ordering::Release);
        }
        state.leaving.push(place);
        // There may be a million, and whoever publishes looks at them.
        for (at, filter) in known.filters.iter().enumerate() {
            if at % IN_A_TURN == 0 {
                parking_lot::RwLockWriteGuard::bump(&mut state);
            }
            if let Ok(filter) = Filter::new(String::from(&**filter)) {
                state.give_up(place, &filter, &self.theirs);
            }
        }
        state.leaving.retain(|leaving| *leaving != place);
    }

    fn hear(&self, name: &str, act: impl FnOnce(&mut State, usize, &Router<Interest>)) {
        let mut state = self.state.write();
        if let Some(place) = state.place_of(name) {
            act(&mut state, place, &self.theirs);
        }
    }
}

impl State {
    fn note_all(&mut self, place: usize) {
        if let Some(Some(known)) = self.peers.get_mut(place) {
            known.has_told = true;
        }
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.peers.iter().position(|known| known.as_ref().is_some_and(|known| known.peer.name() == name))
    }
}
