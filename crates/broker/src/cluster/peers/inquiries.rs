//! What operators want to see of another node is asked for and answered here.
//!
//! It takes the way of messages, so there is little of it at once: who asks for much is refused, and not waited for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use mqtt_operate::{Answering, Inquiry, MAX_REPLY, NoReply, Reply};
use tokio::time::timeout;

use super::piece::Piece;
use super::places::Places;
use super::{Ears, MAX_WAITING, Peer, Peers};
use crate::broker::Broker;
use crate::cluster::Home;

/// How long an answer is waited for, and how long one may be made.
const PATIENCE: Duration = Duration::from_secs(5);

/// What HTTP has for "not now".
const UNAVAILABLE: u16 = 503;

impl Peers {
    fn with_places(&self, name: &str) -> Option<(Arc<dyn Peer>, Places)> {
        let state = self.state.read();
        let known = state.peers.iter().flatten().find(|known| known.peer.name() == name)?;
        Some((Arc::clone(&known.peer), known.places.clone()))
    }

    /// Who answers other nodes from now on, as long as it is there.
    pub(crate) fn answer_with(&self, answering: Weak<dyn Answering>) {
        *self.inquiries.answering.lock() = Some(answering);
    }
}

impl Broker {
    /// Asks another node.
    pub(crate) async fn ask_node(self: Arc<Self>, node: String, path: String) -> Result<Reply, NoReply> {
        let peers = &self.membership.peers;
        let Some((peer, places)) = peers.with_places(&node) else { return Err(self.why_silent(&node)) };
        let _place = places.asked.try_acquire().map_err(|_| NoReply::Busy)?;
        let mut question = peers.inquiries.asked.ask();
        Piece::Inquiry { number: question.number, path: &path }.say(&*peer);
        // An error says that the question is gone, which it is not before this returns.
        match timeout(PATIENCE, &mut question.answer).await {
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(NoReply::Silent),
        }
    }

    fn why_silent(&self, name: &str) -> NoReply {
        let Some(roll) = self.membership.roll() else { return NoReply::Unknown };
        let nodes = roll.state().nodes;
        match nodes.iter().find(|node| node.name == name && node.name != self.config.node) {
            None => NoReply::Unknown,
            // It has come just now.
            Some(node) if node.is_live => NoReply::Silent,
            Some(_) => NoReply::Down,
        }
    }

    /// At which other node the client is, or the session that is kept of it; `None`: here, or nowhere that lives.
    pub(crate) fn node_of(&self, client_id: &str) -> Option<String> {
        let roll = self.membership.roll()?;
        if let Some((node, _)) = roll.elsewhere(client_id) {
            return Some(node.into());
        }
        match roll.home(client_id)? {
            // Who is connected here has it here, or soon.
            Home::At(node) if self.connection_of(client_id).is_none() => Some(node.into()),
            Home::At(_) | Home::Here | Home::Down(_) => None,
        }
    }
}

impl Ears {
    /// Another node wants to show this to somebody.
    pub(super) fn answer_inquiry(&self, name: &str, number: u64, path: &str) {
        let Some((peer, places)) = self.0.membership.peers.with_places(name) else { return };
        let Ok(place) = places.answered.try_acquire_owned() else {
            say(&*peer, number, &unavailable("as much is asked of the node as may be at once"));
            return;
        };
        let answering = self.0.membership.peers.inquiries.answering.lock().clone();
        let inquiry = Inquiry { from: name.to_owned(), path: path.to_owned() };
        tokio::spawn(async move {
            let reply = match answering.and_then(|answering| answering.upgrade()) {
                None => unavailable("the node has no admin port"),
                Some(answering) => {
                    let late = unavailable("the node takes too long");
                    timeout(PATIENCE, answering.answer(inquiry)).await.unwrap_or(late)
                }
            };
            let at = say(&*peer, number, &reply);
            // What is not there yet is memory of ours. Should it take longer, the link has other worries.
            let _ = timeout(PATIENCE, peer.handled(at)).await;
            drop(place);
        });
    }

    pub(super) fn note_reply(&self, number: u64, status: u16, body: &[u8]) {
        self.0.membership.peers.inquiries.asked.answer(number, Reply { status, body: body.to_vec() });
    }
}

fn say(peer: &dyn Peer, number: u64, reply: &Reply) -> u64 {
    let Reply { status, body } = reply;
    if body.len() > MAX_REPLY || peer.held() + body.len() as u64 > MAX_WAITING {
        let instead = unavailable("the answer is too long; ask for a smaller page with _limit");
        return Piece::Reply { number, status: instead.status, body: &instead.body }.say(peer);
    }
    Piece::Reply { number, status: *status, body }.say(peer)
}

fn unavailable(why: &str) -> Reply {
    Reply { status: UNAVAILABLE, body: format!("{{\"message\":\"{why}\"}}").into_bytes() }
}
