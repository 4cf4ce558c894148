//! A session that moves here.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use mqtt_hooks::{ConnectionInfo, is_sys};
use mqtt_router::Attendance;
use mqtt_session::{Delivery, Moved, Session};
use mqtt_storage::Position;
use tokio::time::timeout;

use super::super::piece::Piece;
use super::parcel::{Outline, Parcel};
use super::{Moves, Request};
use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::transition::Transition;
use crate::cluster::{Home, Roll};
use crate::config::HomeDown;
use crate::delivery::batch::{Batch, in_batch};
use crate::store::records;
use crate::store::serials::Trail;
use crate::watch::metrics::Metric;

/// How long another node may take for each part.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the session of a client that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// It is here, if there is one.
    Here,
    /// The client has come elsewhere since, and it goes there.
    Elsewhere,
    /// It can't be had, by this rule.
    Refused(&'static str),
}

/// Why a session has not come.
enum NotMoved {
    /// There is none.
    Nothing,
    /// That node can't be reached, or has not answered.
    Unreachable,
    /// It can't be stored.
    NotStored,
}

impl Request<'_> {
    async fn next(&mut self) -> Result<Parcel, NotMoved> {
        let answer = timeout(PATIENCE, self.answers.recv()).await;
        answer.ok().flatten().ok_or(NotMoved::Unreachable)
    }
}

impl Broker {
    /// What is wrong with letting this client in now, before anybody is told that it has come.
    pub(crate) fn waits_for_home(&self, info: &ConnectionInfo, roll: &dyn Roll) -> Option<&'static str> {
        let is_down = || matches!(roll.home(&info.client_id), Some(Home::Down(_)));
        let waits = self.config.on_home_down == HomeDown::Wait && !info.clean_start && is_down();
        waits.then_some("cluster.on_home_down: the node that keeps its session is down")
    }

    /// Whether there is a session for this client to go on with, as far as can be seen from here.
    pub(crate) fn has_session_anywhere(&self, client_id: &str, roll: &dyn Roll) -> bool {
        match roll.home(client_id) {
            Some(Home::At(_)) => true,
            Some(Home::Down(_)) => false,
            Some(Home::Here) | None => self.has_session(client_id),
        }
    }

    /// Sees to it that the session of this client is here, which all know to have come.
    pub(crate) async fn bring_home(self: &Arc<Self>, info: &ConnectionInfo) -> Brought {
        let Some(roll) = self.membership.roll() else { return Brought::Here };
        match roll.home(&info.client_id) {
            _ if info.clean_start => return Brought::Here,
            Some(Home::Here) => {
                // It may have been given to a node that its client has left before all of it was there.
                self.clients.get(&info.client_id).iter().for_each(|client| self.take_back(client));
                return Brought::Here;
            }
            None => return Brought::Here,
            Some(Home::At(_) | Home::Down(_)) => {}
        }
        let (broker, client_id) = (Arc::clone(self), Arc::clone(&info.client_id));
        // It goes on though its client may go: what has come half is nobody's.
        let moving = tokio::spawn(async move { broker.move_here(&client_id).await });
        moving.await.unwrap_or(Brought::Refused("its session can't be moved here"))
    }

    async fn move_here(self: &Arc<Self>, client_id: &Arc<str>) -> Brought {
        let turn = self.membership.peers.moves.turn(client_id);
        let _turn = turn.lock().await;
        let Some(roll) = self.membership.roll() else { return Brought::Here };
        let fetched = match roll.home(client_id) {
            None | Some(Home::Here) => return Brought::Here,
            Some(Home::At(node)) => self.fetch(client_id, &node).await,
            Some(Home::Down(_)) => Err(NotMoved::Unreachable),
        };
        let is_down = matches!(roll.home(client_id), Some(Home::Down(_)));
        match fetched {
            Ok(()) => {}
            Err(NotMoved::Nothing) => self.give_up_copy(client_id),
            Err(NotMoved::Unreachable) if is_down && self.config.on_home_down == HomeDown::Fresh => {
                self.give_up_copy(client_id);
                self.watched.metrics.count(Metric::SessionLost);
                tracing::warn!(
                    %client_id,
                    "the node that keeps its session is down: it has a new one, and what waited there is lost"
                );
            }
            Err(why) => {
                self.give_up_copy(client_id);
                return Brought::Refused(match why {
                    NotMoved::NotStored => "its session can't be stored",
                    _ => "the node that keeps its session can't be reached",
                });
            }
        }
        let Some(is_told) = roll.take_home((**client_id).into()) else {
            return Brought::Refused("the cluster can't be reached");
        };
        let is_told = timeout(PATIENCE, is_told).await.unwrap_or(false);
        match roll.home(client_id) {
            Some(Home::Here) => Brought::Here,
            // What the roll says of it later is heeded when that is read.
            _ if !is_told => Brought::Refused("the cluster can't be reached"),
            _ => {
                self.give_up_copy(client_id);
                Brought::Elsewhere
            }
        }
    }

    /// Gets the session from where it is.
    async fn fetch(self: &Arc<Self>, client_id: &Arc<str>, node: &str) -> Result<(), NotMoved> {
        let peers = &self.membership.peers;
        let peer = peers.peer(node).ok_or(NotMoved::Unreachable)?;
        let mut request = Moves::ask(&peers.moves, &peer);
        let number = request.number;
        Piece::Take { number, client_id }.say(&*peer);
        let Parcel::Outline(outline) = request.next().await? else { return Err(NotMoved::Nothing) };
        let owed = outline.owed as usize;
        let client = self.install(client_id, outline).ok_or(NotMoved::Unreachable)?;
        // Until all nodes know of its filters what is published reaches it where it was, and nowhere else.
        let owed_to_others = in_batch(self, |batch| {
            peers.owe_filters(batch);
            batch.take_owed()
        });
        if let Some(owed) = owed_to_others {
            let mut owing = owed.wait();
            let all_know = poll_fn(|context| owing.poll(context));
            timeout(PATIENCE, all_know).await.map_err(|_| NotMoved::Unreachable)?;
        }
        timeout(PATIENCE, peers.settle_all(node)).await.map_err(|_| NotMoved::Unreachable)?;
        Piece::TakeRest { number, client_id }.say(&*peer);
        let mut deliveries = Vec::new();
        let moved = loop {
            match request.next().await? {
                Parcel::Deliveries(more) => deliveries.extend(more),
                Parcel::End { released, received } => break Moved { deliveries, released, received },
                Parcel::Nothing | Parcel::Outline(_) => return Err(NotMoved::Nothing),
            }
        };
        // Whatever of that was sent here, too, has come by then, and is known to be the same.
        timeout(PATIENCE, peers.settle_all(&self.config.node)).await.map_err(|_| NotMoved::Unreachable)?;
        let position = in_batch(self, |batch| self.complete(&client, moved, owed, batch))?;
        // Not before: until the roll says that it is here, it is where it was.
        self.durable.commit(position).map_err(|_| NotMoved::NotStored)
    }

    /// The session is in the table, with its subscriptions, and away. `None`: its client is here all the same.
    fn install(self: &Arc<Self>, client_id: &Arc<str>, outline: Outline) -> Option<ClientRef> {
        self.give_up_copy(client_id);
        let Outline { version, session_expiry, created_at, subscriptions, .. } = outline;
        let session = Session::moving(Arc::clone(&self.terms().session), version, session_expiry);
        let client = ClientRef::new(Arc::clone(client_id), session);
        let mut batch = Batch::begin(self);
        let bundle = self.durable.bundle();
        // Before it can be found: nothing is done to it until it is whole.
        let mut transition = client.transition.lock();
        if self.clients.get_or_insert(client_id, || client.clone()) != client {
            return None;
        }
        let Trail { seq, flaps, told_ms } = self.durable.serials.trail_of(client_id);
        *transition =
            Transition { seq, flaps, last_fact_ms: told_ms, has_session: true, created_at, ..Transition::default() };
        if self.durable.is_there() && session_expiry > 0 {
            let number = self.durable.serials.next_session(|bounds| batch.stage(|stage| stage.bounds(bounds)));
            client.state.lock().number = number;
            records::stage_session(&client, &transition, &mut batch);
            batch.stage(|stage| {
                for one in &subscriptions {
                    match one.owes_retained {
                        true => stage.subscribe_owing(number, &one.filter, one.options, one.id),
                        false => stage.subscribe(number, &one.filter, one.options, one.id),
                    }
                }
            });
        }
        let filters: Vec<_> = subscriptions.iter().map(|one| one.filter.clone()).collect();
        transition.leave_replays(self.restore_subscriptions(&client, subscriptions));
        for filter in &filters {
            self.membership.peers.note(filter, &self.routes.router);
        }
        client.state.lock().recount(&mut batch);
        self.routes.router.set_attendance(&client, Attendance::Absent);
        drop(transition);
        drop(bundle);
        // Should that fail, so does what comes behind it.
        let _ = batch.finish();
        Some(client)
    }

    /// Puts what the session had in front of what has come meanwhile. Returns how far that is staged.
    fn complete(
        &self,
        client: &ClientRef,
        moved: Moved,
        owed: usize,
        batch: &mut Batch<'_>,
    ) -> Result<Position, NotMoved> {
        let _bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        if transition.dead {
            return Err(NotMoved::Nothing);
        }
        let now = self.clock.now();
        let expiry = {
            let mut state = client.state.lock();
            let came_with = double_of(&moved.deliveries, owed);
            for delivery in &moved.deliveries {
                delivery.publication.weigh(&self.terms().session.kept);
            }
            state.session.take_over(moved, came_with);
            state.stage(batch);
            state.recount(batch);
            state.session.session_expiry()
        };
        self.routes.note_expiring();
        // Should its client not come in after all, it is away from now on.
        transition.expires_at = (expiry < u32::MAX).then(|| now.plus_seconds(expiry)).into();
        let next = transition.expires_at.at();
        self.look_after(client, &mut transition, next, now, batch);
        Ok(batch.staged())
    }

    /// What is here of a session that is kept elsewhere, or was.
    fn give_up_copy(self: &Arc<Self>, client_id: &str) {
        in_batch(self, |batch| self.give_away(client_id, false, batch));
    }
}

/// Knows what has come both ways: here, and there behind the first `owed` messages. Which one a message is, most say; of what a node
/// tells by itself and not of a client's coming or going, only the text does.
fn double_of(deliveries: &[Delivery], owed: usize) -> impl FnMut(&Delivery) -> bool + use<> {
    let key = |delivery: &Delivery| {
        let publication = &delivery.publication;
        let message = &publication.message;
        match publication.origin.get() {
            0 if is_sys(message.topic.as_str()) => Some((0, Some((message.topic.clone(), message.payload.clone())))),
            0 => None,
            origin => Some((origin, None)),
        }
    };
    let mut came: HashMap<_, usize> = HashMap::new();
    for key in deliveries.iter().skip(owed).filter_map(key) {
        *came.entry(key).or_default() += 1;
    }
    move |delivery| {
        let count = key(delivery).and_then(|key| came.get_mut(&key)).filter(|count| **count > 0);
        count.map(|count| *count -= 1).is_some()
    }
}
