//! A session that moves from here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use mqtt_codec::{Properties, ReasonCode};
use mqtt_hooks::Reason;
use mqtt_session::Moved;
use mqtt_storage::LoadedSubscription;

use super::super::piece::Piece;
use super::super::{Ears, Peer, Peers};
use super::parcel::{self, Outline};
use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::ending::Ending;
use crate::cluster::Home;

/// Bytes of one part, or one message more.
const PART: usize = 256 * 1024;

/// How long a node has for a session that it was given. Then it is not expected to take it any more.
const PATIENCE: Duration = Duration::from_secs(60);

impl Ears {
    /// A client of ours is at that node now, which wants its session.
    pub(in super::super) fn show_session(&self, name: &str, number: u64, client_id: ByteString) {
        let Some(peer) = self.0.membership.peers.peer(name) else { return };
        let broker = Arc::clone(&self.0);
        // Its connection may have much to tell before it is over.
        tokio::spawn(async move {
            let outline = broker.client_at(&client_id, peer.name()).and_then(|client| broker.outline(&client));
            let written = outline.map_or_else(parcel::nothing, |outline| outline.write());
            Piece::Parcel { number, written: &written }.say(&*peer);
        });
    }

    /// A session moves from the one to the other node: all that was published here before both were known to want it is to be there
    /// before it goes.
    pub(in super::super) fn settle(&self, name: &str, number: u64, node: ByteString) {
        let Some(peer) = self.0.membership.peers.peer(name) else { return };
        let broker = Arc::clone(&self.0);
        tokio::spawn(async move {
            broker.membership.peers.settle(&node).await;
            Piece::HasSaid { number, has_ended: true }.say(&*peer);
        });
    }

    /// And all that it has: the node knows what is published from now on.
    pub(in super::super) fn give_session(&self, name: &str, number: u64, client_id: ByteString) {
        let Some(peer) = self.0.membership.peers.peer(name) else { return };
        let broker = Arc::clone(&self.0);
        tokio::spawn(async move {
            broker.membership.peers.underway.drain().await;
            let client = broker.client_at(&client_id, peer.name());
            let Some((client, moved)) = client.and_then(|client| Some((client.clone(), broker.give(&client)?))) else {
                Piece::Parcel { number, written: &parcel::nothing() }.say(&*peer);
                return;
            };
            send(&broker, &peer, number, moved).await;
            let weak = Arc::downgrade(&broker);
            drop(broker);
            tokio::time::sleep(PATIENCE).await;
            if let Some(broker) = weak.upgrade() {
                broker.take_back(&client);
            }
        });
    }
}

impl Peers {
    /// Done when that node has all that was published here before.
    pub(super) async fn settle(&self, node: &str) {
        self.underway.drain().await;
        if let Some(peer) = self.peer(node) {
            let said = peer.said();
            peer.handled(said).await;
        }
    }

    /// The same of all nodes, this one included. That node may be this one, too.
    pub(super) async fn settle_all(&self, node: &str) {
        let others: Vec<_> = self.state.read().peers.iter().flatten().map(|known| Arc::clone(&known.peer)).collect();
        let asked = others.iter().filter(|peer| peer.name() != node).map(|peer| {
            let question = self.questions.ask();
            Piece::Settle { number: question.number, node }.say(&**peer);
            (question, Arc::clone(peer))
        });
        let asked: Vec<_> = asked.collect();
        self.settle(node).await;
        for (mut question, peer) in asked {
            tokio::select! {
                _ = &mut question.answer => {}
                // That place is never reached, but who is gone has nothing more to send.
                () = peer.handled(u64::MAX) => {}
            }
        }
    }
}

/// No faster than it takes them.
async fn send(broker: &Arc<Broker>, peer: &Arc<dyn Peer>, number: u64, moved: Moved) {
    let Moved { deliveries, released, received } = moved;
    let mut part = parcel::deliveries();
    for delivery in deliveries {
        let now = broker.clock.now();
        // What was sent once is sent again, however old it is.
        if delivery.packet_id.is_none() && delivery.publication.is_expired(now) {
            continue;
        }
        parcel::put_delivery(&delivery, now, &mut part);
        if part.len() >= PART {
            let place = Piece::Parcel { number, written: &part }.say(&**peer);
            part = parcel::deliveries();
            Arc::clone(peer).handled(place).await;
        }
    }
    Piece::Parcel { number, written: &part }.say(&**peer);
    Piece::Parcel { number, written: &parcel::end(&released, &received) }.say(&**peer);
}

impl Broker {
    /// The client of this id, if its session is here and itself at that node.
    fn client_at(&self, client_id: &str, node: &str) -> Option<ClientRef> {
        let roll = self.membership.roll()?;
        // It may have come elsewhere since that was asked, and then another node asks.
        let is_there = roll.elsewhere(client_id).is_some_and(|(name, _)| name == *node);
        self.clients.get(client_id).filter(|_| is_there && roll.home(client_id) == Some(Home::Here))
    }

    /// What its session is, if there is one.
    fn outline(self: &Arc<Self>, client: &ClientRef) -> Option<Outline> {
        let connection = client.state.lock().connection().cloned();
        if let Some(connection) = connection {
            // All know that it is over, but its task may not have come to that.
            let ending = Ending { reason: Reason::TakenOver, code: Some(ReasonCode::SessionTakenOver) };
            connection.end(ending);
            self.leave(client, &connection, ending, &Properties::EMPTY);
        }
        let transition = client.transition.lock();
        let is_over = transition.expires_at.at().is_some_and(|at| at <= self.clock.now());
        if transition.dead || !transition.has_session || is_over {
            return None;
        }
        // Looked up: a client may have ten thousand filters, and be owed something for each.
        let owing: HashSet<_> = transition.owing().collect();
        let state = client.state.lock();
        let subscriptions = state.session.subscriptions().map(|(filter, options, id)| LoadedSubscription {
            filter: filter.clone(),
            options,
            id,
            owes_retained: owing.contains(filter),
        });
        Some(Outline {
            version: state.session.version(),
            session_expiry: state.session.session_expiry(),
            created_at: transition.created_at,
            owed: state.session.owed().count() as u64,
            subscriptions: subscriptions.collect(),
        })
    }

    /// All it has. From here on shared subscriptions have no member in it: what came by them would be lost with it.
    fn give(&self, client: &ClientRef) -> Option<Moved> {
        let transition = client.transition.lock();
        let state = client.state.lock();
        if transition.dead || state.connection().is_some() {
            return None;
        }
        for (filter, ..) in state.session.subscriptions().filter(|(filter, ..)| filter.group().is_some()) {
            self.routes.router.unsubscribe(filter, client);
            self.membership.peers.note(filter, &self.routes.router);
        }
        self.routes.note_change(client);
        Some(state.session.to_moved())
    }

    /// It has not been taken: it is a member of its groups again.
    pub(super) fn take_back(&self, client: &ClientRef) {
        let transition = client.transition.lock();
        let state = client.state.lock();
        if transition.dead || state.is_over() {
            return;
        }
        let limit = self.terms().limits.shape_levels;
        for (filter, options, id) in state.session.subscriptions().filter(|(filter, ..)| filter.group().is_some()) {
            // It has been counted all the while.
            let _ = self.routes.add(filter, client, &state.session, options, id, limit);
            self.membership.peers.note(filter, &self.routes.router);
        }
    }
}
