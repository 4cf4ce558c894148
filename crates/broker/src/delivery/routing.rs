//! How a message finds its receivers.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_codec::{Filter, Message, Qos, SubscribeOptions, Topic};
use mqtt_hooks::Publisher;
use mqtt_router::{Group, Match, Matches, Member, Options};
use mqtt_session::{Delivered, DeliveryOptions, DropReason, Fanout, Publication, Timestamp};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::shown::tell_dropped;
use crate::watch::metrics::Metric;

/// So many absent members of a group are asked to keep a message before it is dropped. Their queues fill in turn, so if
/// these are full, the others hardly have room; and a group may have tens of thousands.
const MAX_ABSENT_ASKED: usize = 64;

impl Broker {
    /// Keeps the message if it is to be retained, and routes it; false if no filter matches. Before the publisher may
    /// get it itself, `answer` is called.
    pub(crate) fn publish(
        &self,
        publication: &Publication,
        publisher: Option<&ClientRef>,
        now: Timestamp,
        batch: &mut Batch<'_>,
        answer: impl FnOnce(&mut Batch<'_>),
    ) -> bool {
        let mut _group = None;
        if publication.message.retain {
            _group = self.durable.group();
            self.retain(publication, batch);
        }
        let mut matches = batch.lend_matches();
        self.router.matches(&publication.message.topic, publisher, &mut matches);
        if let Some(publisher) = publisher
            && publication.message.qos > Qos::AtMostOnce
            && (matches.groups().next().is_some() || matches.iter().any(|found| found.key == publisher))
        {
            answer(batch);
        }
        self.deliver_all(publication, &matches, now, batch);
        let is_matched = !matches.is_unmatched();
        batch.return_matches(matches);
        is_matched
    }

    /// Publishes to `topic` if anyone subscribes to it, or modules see all that is published; only then is the message made.
    pub(crate) fn publish_if_wanted(
        &self,
        topic: &Topic,
        build: &mut dyn FnMut() -> Message,
        batch: &mut Batch<'_>,
    ) -> bool {
        if self.hooks.has_interceptors() {
            self.announce(batch.publisher(), build(), batch);
            return true;
        }
        let mut matches = batch.lend_matches();
        self.router.matches(topic, None, &mut matches);
        let is_wanted = !matches.is_empty();
        if is_wanted {
            let now = self.clock.now();
            self.deliver_all(&Publication::new(build(), now), &matches, now, batch);
        }
        batch.return_matches(matches);
        is_wanted
    }

    /// Publishes a message of somebody who is no client.
    pub(crate) fn announce(&self, publisher: Publisher<'_>, message: Message, batch: &mut Batch<'_>) {
        let now = self.clock.now();
        let mut publication = Publication::new(message, now);
        if self.intercept(publisher, &mut publication, now, batch) {
            self.publish(&publication, None, now, batch, |_| {});
        }
    }

    /// From now on messages that `filter` matches go to `client`.
    pub(crate) fn route(&self, filter: &Filter, client: &ClientRef, options: SubscribeOptions, id: Option<u32>) {
        let options = Options {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            subscription_id: id.and_then(NonZeroU32::new),
        };
        self.router.subscribe(filter, client.clone(), options);
    }

    fn deliver_all(
        &self,
        publication: &Publication,
        matches: &Matches<ClientRef>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        // What is stored of one message gets into the store as a whole.
        let mut _group = None;
        if self.durable.is_there() && publication.message.qos > Qos::AtMostOnce {
            if matches.iter().take(2).count() + matches.groups().take(2).count() <= 1 {
                publication.place.set_single();
            } else {
                _group = self.durable.group();
            }
        }
        let mut fanout = Fanout::new(publication);
        let mut receivers = 0;
        for found in matches.iter() {
            self.deliver(&found, false, &mut fanout, now, batch);
            receivers += 1;
        }
        for group in matches.groups() {
            receivers += usize::from(self.deliver_to_one(&group, |_| true, &mut fanout, now, batch));
        }
        batch.note_traffic(receivers * publication.size());
        if receivers == 0 {
            batch.count(Metric::NoSubscribers, 1);
        }
    }

    fn deliver(
        &self,
        found: &Match<'_, ClientRef>,
        by_group: bool,
        fanout: &mut Fanout<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Delivered {
        let message = &fanout.publication().message;
        let options = DeliveryOptions {
            qos: found.qos,
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: found.retain_as_published && message.retain,
            stored: false,
            subscription_ids: found.subscription_ids,
            by_group,
        };
        let qos = found.qos.min(message.qos);
        let delivered = found.key.deliver(fanout, options, now, batch);
        if delivered == Delivered::Queued && fanout.publication().expires_at.is_some() {
            self.queued_expire.store(true, Relaxed);
        }
        count_delivered(delivered, qos, batch);
        tell_dropped(found.key, fanout.publication(), qos, delivered, batch);
        delivered
    }

    /// One member of a group gets the message: the first in turn that is online and has room; else the first that is
    /// online; else the first that keeps it for later. `may` says who is asked at all.
    pub(super) fn deliver_to_one(
        &self,
        group: &Group<'_, ClientRef>,
        may: impl Fn(&ClientRef) -> bool,
        fanout: &mut Fanout<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> bool {
        let is_online = |member: &Member<ClientRef>| member.key().state.lock().session.is_attached();
        let is_ready = |member: &Member<ClientRef>| member.key().state.lock().session.is_ready();
        let may = |member: &Member<ClientRef>| may(member.key());
        let ready = group.present().filter(may).find(is_ready);
        let chosen = ready.or_else(|| group.present().filter(may).find(is_online));
        if let Some(chosen) = &chosen
            && !matches!(self.deliver(&chosen.as_match(), true, fanout, now, batch), Delivered::Dropped(_))
        {
            return true;
        }
        // Nobody keeps QoS 0 for one that is absent: the first is asked so that the loss is counted and told.
        let is_kept = fanout.publication().message.qos > Qos::AtMostOnce;
        let absent = group.absent().filter(may).take(if is_kept { MAX_ABSENT_ASKED } else { 1 });
        let present = group
            .present()
            .filter(may)
            .filter(|member| chosen.as_ref().is_none_or(|chosen| chosen.key() != member.key()));
        present
            .chain(absent)
            .any(|member| !matches!(self.deliver(&member.as_match(), true, fanout, now, batch), Delivered::Dropped(_)))
    }
}

/// Counts what became of a delivery of this quality of service.
pub(crate) fn count_delivered(delivered: Delivered, qos: Qos, batch: &mut Batch<'_>) {
    let metric = match delivered {
        Delivered::Sent => Metric::SENT[qos as usize],
        Delivered::Queued => return,
        Delivered::Dropped(DropReason::QueueFull) => Metric::DroppedQueueFull,
        Delivered::Dropped(DropReason::Offline | DropReason::OutboxFull) => Metric::DroppedQos0,
        Delivered::Dropped(DropReason::TooLarge) => Metric::DroppedTooLarge,
        Delivered::Dropped(DropReason::Expired) => Metric::DroppedExpired,
    };
    batch.count(metric, 1);
}
