//! A message is published: shown to modules, retained, routed.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use mqtt_codec::{Filter, Message, Qos, ReasonCode, Topic};
use mqtt_hooks::{Passage, Publisher};
use mqtt_session::{Delivered, Publication, Timestamp};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::routing::Receivers;
use crate::delivery::shown;
use crate::watch::refusals::{Kind, Refused};

/// Who publishes, as far as that is known.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sender<'a> {
    pub(crate) client: Option<&'a ClientRef>,
    /// Where it is, or was.
    pub(crate) address: Option<IpAddr>,
}

/// Is told what became of a message for a client.
type Seen<'a> = &'a mut dyn FnMut(&ClientRef, Delivered);

impl Broker {
    /// Keeps the message if it is to be retained, and routes it; false if no filter matches. Before the publisher may
    /// get it itself, `answer` is called.
    pub(crate) fn publish(
        &self,
        publication: &Publication,
        sender: Sender<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
        answer: impl FnOnce(&mut Batch<'_>),
    ) -> bool {
        self.publish_seen(publication, sender, now, batch, answer, &mut |_, _| {})
    }

    /// [`Self::publish`]; `seen` is told what became of it for each client, members of groups apart.
    fn publish_seen(
        &self,
        publication: &Publication,
        Sender { client: publisher, address }: Sender<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
        answer: impl FnOnce(&mut Batch<'_>),
        seen: Seen<'_>,
    ) -> bool {
        let (mut _bundle, mut retained, mut turn) = (None, Ok(()), None);
        if publication.message.retain && self.hooks.retains() {
            // Retained and delivered in one bundle: after a crash it is not known by the one and lost for the other.
            _bundle = self.durable.bundle();
            turn = Some(self.retained.hold_subscribers());
            retained = self.retain(publication, address, now, batch);
            if publication.message.payload.is_empty() && !self.hooks.publishes_removal(&publication.message) {
                // Nobody is told, which is no reason to say that nobody subscribes.
                return true;
            }
        }
        let peers = &self.membership.peers;
        let begun = peers.begin_publishing();
        let mut matches = batch.lend_matches();
        self.routes.router.receivers(&publication.message.topic, publisher, publication.message.qos, &mut matches);
        drop(turn);
        if let Err(rule) = retained {
            self.tell_not_retained(publication, publisher, rule);
        }
        // Nobody sends on what each node has.
        let is_shared = begun.is_some() && !batch.stays_here;
        let away = is_shared.then(|| peers.find(&publication.message.topic, &self.routes.router)).flatten();
        if away.is_some() {
            publication.origin.set(peers.next_origin());
        }
        if let Some(publisher) = publisher
            && publication.message.qos > Qos::AtMostOnce
            // Else the answer waits for them.
            && away.is_none()
            && (matches.groups().next().is_some() || matches.has(publisher))
        {
            answer(batch);
        }
        let seen = |client: &ClientRef, delivered, _: &mut Batch<'_>| seen(client, delivered);
        let found = Receivers { away: away.as_ref(), ..Receivers::of(&matches) };
        self.routes.deliver_all(publication, publisher, found, now, batch, seen);
        if let Some(away) = &away {
            away.send(publication, now, batch);
        }
        let is_matched = !matches.is_unmatched() || away.is_some();
        batch.return_matches(matches);
        is_matched
    }

    /// Hands on what another node has sent; see [`Routes::deliver_sent`](crate::delivery::routes::Routes).
    pub(crate) fn publish_here(
        &self,
        message: &Message,
        origin: u64,
        is_plain: bool,
        groups: &[Filter],
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        self.routes.deliver_sent(message, origin, is_plain, groups, now, batch);
    }

    fn tell_not_retained(&self, publication: &Publication, publisher: Option<&ClientRef>, rule: &str) {
        self.tell_refused(&Refused {
            kind: Kind::Retain,
            peer: publisher.and_then(|client| Some(client.state.lock().connection()?.info.peer)),
            client_id: publisher.map_or("", |client| &client.id),
            reason: ReasonCode::QuotaExceeded,
            rule: &rule,
            about: publication.message.topic.as_str(),
        });
    }

    /// Publishes to `topic` if anyone subscribes to it, or modules see all that is published; only then is the message made. `seen`
    /// is told what became of it for each client, members of groups apart.
    pub(crate) fn publish_if_wanted(
        &self,
        topic: &Topic,
        build: &mut dyn FnMut() -> Message,
        batch: &mut Batch<'_>,
        seen: Seen<'_>,
    ) -> bool {
        if self.hooks.has_interceptors() {
            self.announce_seen(batch.publisher(), build(), batch, seen);
            return true;
        }
        let _begun = self.membership.peers.begin_publishing();
        let mut matches = batch.lend_matches();
        // Of which QoS it is, is known when it is made.
        self.routes.router.receivers(topic, None, Qos::ExactlyOnce, &mut matches);
        let is_wanted = !matches.is_empty();
        if is_wanted {
            let now = self.clock.now();
            let seen = |client: &ClientRef, delivered, _: &mut Batch<'_>| seen(client, delivered);
            self.routes.deliver_all(&Publication::new(build(), now), None, Receivers::of(&matches), now, batch, seen);
        }
        batch.return_matches(matches);
        is_wanted
    }

    /// Publishes a message of somebody who is no client.
    pub(crate) fn announce(&self, publisher: Publisher<'_>, message: Message, batch: &mut Batch<'_>) {
        self.announce_seen(publisher, message, batch, &mut |_, _| {});
    }

    fn announce_seen(&self, publisher: Publisher<'_>, message: Message, batch: &mut Batch<'_>, seen: Seen<'_>) {
        let now = self.clock.now();
        let mut publication = Publication::new(message, now);
        if shown::intercept(publisher, &mut publication, now, batch) == Passage::Pass {
            self.publish_seen(&publication, Sender::default(), now, batch, |_| {}, seen);
        }
    }

    /// Publishes the will of a client that is gone. `peer` is where it was, if that is still known.
    pub(crate) fn publish_will(
        &self,
        client: &ClientRef,
        peer: Option<SocketAddr>,
        will: &Publication,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        self.publish_will_of(&client.id, Some(client), peer, will, now, batch);
    }

    /// [`Self::publish_will`]; `publisher` is the client, if it is known here.
    pub(crate) fn publish_will_of(
        &self,
        client_id: &str,
        publisher: Option<&ClientRef>,
        peer: Option<SocketAddr>,
        will: &Publication,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        let topic = &will.message.topic;
        // Here and not at CONNECT: it is no reason to keep a client out, and the client may never come to die.
        // Nobody is there to be answered, and no subscriber is to see it.
        if self.hooks.is_question(topic) {
            return;
        }
        if let Some(rule) = self.hooks.why_reserved(topic) {
            self.tell_refused(&Refused {
                kind: Kind::Will,
                peer,
                client_id,
                reason: ReasonCode::NotAuthorized,
                rule: &rule,
                about: topic.as_str(),
            });
            return;
        }
        let mut will = Cow::Borrowed(will);
        if self.hooks.has_interceptors()
            && shown::intercept(Publisher::Will { client_id }, will.to_mut(), now, batch) != Passage::Pass
        {
            return;
        }
        // [MQTT-3.8.3-3]: a will is what its client publishes.
        let was_at = || publisher.and_then(|client| client.state.lock().was_at());
        let sender = Sender { client: publisher, address: peer.map(|peer| peer.ip()).or_else(was_at) };
        self.publish(&will, sender, now, batch, |_| {});
    }
}
