//! How a message finds its receivers.

use mqtt_codec::Qos;
use mqtt_router::{Group, Match, Matches, Member};
use mqtt_session::{Delivered, DeliveryOptions, DropReason, Fanout, Publication, Timestamp};

use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::routes::Routes;
use crate::delivery::shown::tell_delivered;
use crate::watch::metrics::Metric;

/// So many absent members of a group are asked to keep a message before it is dropped. Their queues fill in turn, so if
/// these are full, the others hardly have room; and a group may have tens of thousands.
const MAX_ABSENT_ASKED: usize = 64;

impl Routes<ClientRef> {
    /// Hands a message of a client's, or of nobody's, to all who want it; `seen` is told what became of it for each, members of groups apart.
    pub(super) fn deliver_all(
        &self,
        publication: &Publication,
        from: Option<&ClientRef>,
        matches: &Matches<ClientRef>,
        now: Timestamp,
        batch: &mut Batch<'_>,
        mut seen: impl FnMut(&ClientRef, Delivered, &mut Batch<'_>),
    ) {
        // What is stored of one message gets into the store as a whole.
        let mut _bundle = None;
        if batch.durable().is_there() && publication.message.qos > Qos::AtMostOnce {
            if matches.iter().take(2).count() + matches.groups().take(2).count() <= 1 {
                publication.place.set_single();
            } else {
                _bundle = batch.durable().bundle();
            }
        }
        batch.hooks().published(&publication.message, from.map(|client| &*client.id));
        let mut fanout = Fanout::new(publication);
        let mut receivers = 0;
        for found in matches.iter() {
            let delivered = self.deliver(&found, false, &mut fanout, now, batch);
            seen(found.key, delivered, batch);
            receivers += 1;
        }
        // Beside those above: who is a member and subscribes by itself, too, has two subscriptions and gets it by each.
        for group in matches.groups() {
            receivers += usize::from(self.deliver_to_one(&group, |_| true, &mut fanout, now, batch));
        }
        batch.note_deliveries(receivers, publication.size());
        if receivers == 0 {
            batch.count(Metric::NoSubscribers, 1);
            batch.hooks().unwanted(&publication.message);
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
        // [MQTT-3.8.4-8]
        let qos = found.qos.min(message.qos);
        let Some(delivered) = found.key.deliver(fanout, options, now, batch) else {
            return Delivered::Dropped(DropReason::Offline);
        };
        if delivered == Delivered::Queued && fanout.publication().expires_at.is_some() {
            self.note_expiring();
        }
        count_delivered(delivered, qos, batch);
        tell_delivered(found.key, fanout.publication(), qos, delivered, batch);
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
        // Each is locked for itself and may have changed by the time it is delivered to: it is a choice, not a promise.
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
