//! How a message finds its receivers.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use mqtt_codec::{Filter, Message, Qos};
use mqtt_router::{Group, Match, Matches, Member, Wish};
use mqtt_session::{Delivered, DeliveryOptions, DropReason, Fanout, Publication, Timestamp};

use crate::client::ClientRef;
use crate::cluster::peers::Away;
use crate::delivery::batch::Batch;
use crate::delivery::routes::Routes;
use crate::delivery::shown::tell_delivered;
use crate::watch::metrics::Metric;

/// So many absent members of a group are asked to keep a message before it is dropped. Their queues fill in turn, so if
/// these are full, the others hardly have room; and a group may have tens of thousands.
const MAX_ABSENT_ASKED: usize = 64;

/// A message, and what was known when its receivers were looked up.
pub(super) struct Routed<'a> {
    pub(super) fanout: Fanout<'a>,
    pub(super) from: Option<&'a ClientRef>,
    /// [`Matches::seen_changes`]
    pub(super) changes: u64,
    pub(super) now: Timestamp,
}

/// Who is to get a message here.
#[derive(Clone, Copy)]
pub(super) struct Receivers<'a> {
    pub(super) matches: &'a Matches<ClientRef>,
    /// Members of groups are not among them.
    pub(super) is_plain: bool,
    /// Where else it goes.
    pub(super) away: Option<&'a Away<ClientRef>>,
}

impl<'a> Receivers<'a> {
    /// All of these.
    pub(super) const fn of(matches: &'a Matches<ClientRef>) -> Self {
        Self { matches, is_plain: false, away: None }
    }
}

impl Routes<ClientRef> {
    /// Hands a message of a client's, or of nobody's, to all who want it here; `seen` is told what became of it for each, members of
    /// groups apart.
    pub(super) fn deliver_all(
        &self,
        publication: &Publication,
        from: Option<&ClientRef>,
        found: Receivers<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
        seen: impl FnMut(&ClientRef, Delivered, &mut Batch<'_>),
    ) {
        batch.hooks().published(&publication.message, from.map(|client| &*client.id));
        if batch.telling != 0 {
            // Other nodes publish it, too, and may write it in other words.
            publication.origin.set(FixedState::with_seed(batch.telling).hash_one(publication.message.topic.as_str()));
        }
        let reached = self.deliver_found(publication, from, found, now, batch, seen);
        if !reached && found.away.is_none() {
            batch.count(Metric::NoSubscribers, 1);
            batch.hooks().unwanted(&publication.message);
        }
    }

    /// [`Self::deliver_all`], and no more than that; false if there is nobody to deliver to.
    fn deliver_found(
        &self,
        publication: &Publication,
        from: Option<&ClientRef>,
        Receivers { matches, is_plain, away }: Receivers<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
        mut seen: impl FnMut(&ClientRef, Delivered, &mut Batch<'_>),
    ) -> bool {
        // What is stored of one message gets into the store as a whole.
        let mut _bundle = None;
        if batch.durable().is_there() && publication.message.qos > Qos::AtMostOnce {
            if matches.is_single() {
                publication.place.set_single();
            } else {
                _bundle = batch.durable().bundle();
            }
        }
        let mut routed = Routed { fanout: Fanout::new(publication), from, changes: matches.seen_changes(), now };
        let mut receivers = 0;
        let passed_over = matches.visit(publication.message.qos, |found| {
            let delivered = self.deliver(found, None, &mut routed, batch);
            seen(found.key, delivered, batch);
            receivers += 1;
        });
        if passed_over > 0 {
            batch.count(Metric::DroppedQos0, passed_over as u64);
        }
        // Beside those above: who is a member and subscribes by itself, too, has two subscriptions and gets it by each.
        let is_for = |group: &Group<'_, ClientRef>| !is_plain && away.is_none_or(|away| away.is_for(group));
        for group in matches.groups().filter(is_for) {
            receivers += usize::from(self.deliver_to_one(&group, |_| true, &mut routed, batch));
        }
        batch.note_deliveries(receivers, publication.size());
        receivers + passed_over > 0
    }

    /// Hands on what another node has sent: to all who want it but members of groups, if it `is_plain`, and to one member of each of
    /// these groups.
    pub(super) fn deliver_sent(
        &self,
        message: &Message,
        origin: u64,
        is_plain: bool,
        groups: &[Filter],
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        let mut matches = batch.lend_matches();
        let mut reached = false;
        // Each of its own: how one is stored says for how many it is.
        let mut deliver = |found: Receivers<'_>, batch: &mut Batch<'_>| {
            let publication = Publication::new(message.clone(), now);
            publication.origin.set(origin);
            reached |= self.deliver_found(&publication, None, found, now, batch, |_, _, _| {});
        };
        if is_plain {
            self.router.receivers(&message.topic, None, message.qos, &mut matches);
            deliver(Receivers { is_plain, ..Receivers::of(&matches) }, batch);
        }
        for group in groups {
            self.router.members(group, &mut matches);
            deliver(Receivers::of(&matches), batch);
        }
        batch.return_matches(matches);
        // They have gone since, all of them.
        batch.count(Metric::NoSubscribers, (!reached).into());
    }

    /// `group`: it was found as a member of that.
    fn deliver(
        &self,
        found: &Match<'_, ClientRef>,
        group: Option<&Group<'_, ClientRef>>,
        routed: &mut Routed<'_>,
        batch: &mut Batch<'_>,
    ) -> Delivered {
        const GONE: Delivered = Delivered::Dropped(DropReason::Offline);
        let Routed { fanout, from, changes, now } = routed;
        let (client, message) = (found.key, &fanout.publication().message);
        let mut state = client.state.lock();
        if state.is_over() {
            return GONE;
        }
        // No lock was held since it was found. [MQTT-3.10.4-2]: who has unsubscribed since, and may have been told so, gets
        // no more; nor does who has begun another session. Its subscriptions change under this lock alone, so the answer
        // holds until the message is delivered.
        let (member, wish);
        let found = match (self.may_have_changed(client, *changes), group) {
            (false, _) => found,
            (true, Some(group)) => {
                member = group.member(client);
                match &member {
                    Some(member) => &member.as_match(),
                    None => return GONE,
                }
            }
            (true, None) => {
                wish = self.router.wish_of(client, &message.topic, *from);
                match &wish {
                    Some(Wish { qos, retain_as_published, subscription_ids }) => {
                        &Match { key: client, qos: *qos, retain_as_published: *retain_as_published, subscription_ids }
                    }
                    None => return GONE,
                }
            }
        };
        let options = DeliveryOptions {
            qos: found.qos,
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: found.retain_as_published && message.retain,
            stored: false,
            subscription_ids: found.subscription_ids,
            by_group: group.is_some(),
        };
        // [MQTT-3.8.4-8]
        let qos = found.qos.min(message.qos);
        let delivered = client.deliver_locked(&mut state, fanout, options, *now, batch);
        if delivered == Delivered::Dropped(DropReason::Offline) && group.is_none() {
            self.pass_over(client, &mut state);
        }
        drop(state);
        if delivered == Delivered::Queued && fanout.publication().expires_at.is_some() {
            self.note_expiring();
        }
        count_delivered(delivered, qos, batch);
        tell_delivered(client, fanout.publication(), qos, delivered, batch);
        delivered
    }

    /// One member of a group gets the message: the first in turn that is online and has room; else the first that is
    /// online; else the first that keeps it for later. `may` says who is asked at all.
    pub(super) fn deliver_to_one(
        &self,
        group: &Group<'_, ClientRef>,
        may: impl Fn(&ClientRef) -> bool,
        routed: &mut Routed<'_>,
        batch: &mut Batch<'_>,
    ) -> bool {
        let is_online = |member: &Member<ClientRef>| member.key().state.lock().session.is_attached();
        let is_ready = |member: &Member<ClientRef>| member.key().state.lock().session.is_ready();
        let may = |member: &Member<ClientRef>| may(member.key());
        // Each is locked for itself and may have changed by the time it is delivered to: it is a choice, not a promise.
        let ready = group.present().filter(may).find(is_ready);
        let chosen = ready.or_else(|| group.present().filter(may).find(is_online));
        if let Some(chosen) = &chosen
            && !matches!(self.deliver(&chosen.as_match(), Some(group), routed, batch), Delivered::Dropped(_))
        {
            return true;
        }
        // Nobody keeps QoS 0 for one that is absent: the first is asked so that the loss is counted and told.
        let is_kept = routed.fanout.publication().message.qos > Qos::AtMostOnce;
        let absent = group.absent().filter(may).take(if is_kept { MAX_ABSENT_ASKED } else { 1 });
        let present = group
            .present()
            .filter(may)
            .filter(|member| chosen.as_ref().is_none_or(|chosen| chosen.key() != member.key()));
        present.chain(absent).any(|member| {
            !matches!(self.deliver(&member.as_match(), Some(group), routed, batch), Delivered::Dropped(_))
        })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::{Properties, SubscribeOptions, Topic};
    use mqtt_session::{Config as SessionConfig, Session};

    use super::*;
    use crate::broker::Broker;
    use crate::config::Config;
    use crate::store::durable::Durable;
    use crate::store::past::Past;

    fn subscribe(broker: &Broker, client: &ClientRef, filter: &str, qos: Qos) {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        let mut state = client.state.lock();
        let filter = Filter::new(filter.to_owned()).unwrap();
        broker.routes.add(&filter, client, &state.session, options, None, 100).unwrap();
        state.session.subscribe(&filter, options, None);
        broker.routes.note_change(client);
    }

    fn unsubscribe(broker: &Broker, client: &ClientRef, filter: &str) {
        let mut state = client.state.lock();
        let filter = Filter::new(filter.to_owned()).unwrap();
        broker.routes.router.unsubscribe(&filter, client);
        broker.routes.note_change(client);
        state.session.unsubscribe(&filter);
    }

    /// What a client that is away has waiting, by QoS, when its subscriptions change between the look-up and the delivery of
    /// a QoS 2 message.
    #[track_caller]
    fn check(before: &[(&str, Qos)], change: impl FnOnce(&Broker, &ClientRef), expected: &[Qos]) {
        let broker = Arc::new(Broker::new(Config::default(), Durable::none(), &Past::default()));
        let client = ClientRef::new("a".into(), Session::new(Arc::new(SessionConfig::default())));
        for (filter, qos) in before {
            subscribe(&broker, &client, filter, *qos);
        }
        let topic = Topic::new("t").unwrap();
        let message =
            Message { topic, payload: "x".into(), qos: Qos::ExactlyOnce, retain: false, properties: Properties::EMPTY };
        let now = broker.clock.now();
        let publication = Publication::new(message, now);
        let mut batch = Batch::begin(&broker);
        let mut matches = Matches::default();
        broker.routes.router.matches(&publication.message.topic, None, &mut matches);
        change(&broker, &client);
        broker.routes.deliver_all(&publication, None, Receivers::of(&matches), now, &mut batch, |_, _, _| {});
        batch.finish().unwrap();
        let waiting: Vec<_> = client.state.lock().session.owed().map(|delivery| delivery.qos).collect();
        assert_eq!(waiting, expected);
    }

    #[test]
    fn a_subscription_that_goes_while_a_message_is_routed_brings_it_no_more() {
        use Qos::{AtLeastOnce, ExactlyOnce};
        check(&[("t", AtLeastOnce)], |_, _| {}, &[AtLeastOnce]);
        check(&[("t", AtLeastOnce)], |broker, client| unsubscribe(broker, client, "t"), &[]);
        check(&[("$share/g/t", AtLeastOnce)], |_, _| {}, &[AtLeastOnce]);
        check(&[("$share/g/t", AtLeastOnce)], |broker, client| unsubscribe(broker, client, "$share/g/t"), &[]);
        let both = [("t", ExactlyOnce), ("+", AtLeastOnce)];
        check(&both, |broker, client| unsubscribe(broker, client, "t"), &[AtLeastOnce]);
        check(&both, |broker, client| unsubscribe(broker, client, "+"), &[ExactlyOnce]);
        check(&both, |broker, client| unsubscribe(broker, client, "other"), &[ExactlyOnce]);
        let change = |broker: &Broker, client: &ClientRef| subscribe(broker, client, "t", AtLeastOnce);
        check(&[("t", ExactlyOnce)], change, &[AtLeastOnce]);
        let change = |broker: &Broker, client: &ClientRef| subscribe(broker, client, "$share/g/t", AtLeastOnce);
        check(&[("$share/g/t", ExactlyOnce)], change, &[AtLeastOnce]);
    }
}
