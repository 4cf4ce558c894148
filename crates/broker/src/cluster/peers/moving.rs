//! A client that keeps its session comes to another node than the one that keeps it: the session moves there.
//!
//! 1. The node where it comes, which all know by then, asks for the session's subscriptions and [installs](taking) them: what is
//!    published from then on reaches it, too.
//! 2. When all nodes know of them, and what they sent before has arrived where it was, it asks for [the rest](giving). When what of that was
//!    sent here, too, has arrived, it puts it in front of what has come meanwhile.
//! 3. When all of it is stored it tells the roll that the session's home is here, and the client gets its CONNACK.
//! 4. Who had it gives it up when it reads that. Until then it has all of it, so whichever node dies, nothing is lost.
//!
//! What is published while it moves comes to both. Each message has a number of its own, so what has come to the new one and is among
//! the rest, too, is left out there. By the rest, which is in its publishers' order, and what has come behind it, that order is kept.

mod giving;
mod parcel;
mod settling;
mod taking;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

pub(super) use parcel::Parcel;
pub(crate) use taking::Brought;

use super::peer::Peer;

/// Moves to this node, and from it.
#[derive(Default)]
pub(super) struct Moves {
    asked: Mutex<Asked>,
    /// Who comes twice at once is moved once.
    turns: Mutex<HashMap<Arc<str>, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Asked {
    last: u64,
    /// By number, with whom was asked. What comes is bounded by who gives: it waits until a part has been taken.
    waiting: HashMap<u64, (Arc<dyn Peer>, UnboundedSender<Parcel>)>,
}

/// Another node was asked for a session. Dropped, its answers are not waited for any more.
struct Request<'a> {
    moves: &'a Moves,
    number: u64,
    answers: UnboundedReceiver<Parcel>,
}

impl Moves {
    fn ask(&self, peer: &Arc<dyn Peer>) -> Request<'_> {
        let (sender, answers) = mpsc::unbounded_channel();
        let mut asked = self.asked.lock();
        asked.last += 1;
        let number = asked.last;
        asked.waiting.insert(number, (Arc::clone(peer), sender));
        Request { moves: self, number, answers }
    }

    /// What this node has sent; who asked may have given up.
    pub(super) fn note_answer(&self, number: u64, parcel: Parcel) {
        if let Some((_, sender)) = self.asked.lock().waiting.get(&number) {
            let _ = sender.send(parcel);
        }
    }

    /// A node has gone, and answers no more.
    pub(super) fn note_gone(&self, name: &str) {
        self.asked.lock().waiting.retain(|_, (peer, _)| peer.name() != name);
    }

    fn turn(&self, client_id: &Arc<str>) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock();
        if let Some(turn) = turns.get(client_id).and_then(Weak::upgrade) {
            return turn;
        }
        // No more than twice as many as were on their way at once; and not for each, for all clients of a node that is down may come.
        if turns.len().is_power_of_two() {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        turns.insert(Arc::clone(client_id), Arc::downgrade(&turn));
        turn
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.moves.asked.lock().waiting.remove(&self.number);
    }
}
