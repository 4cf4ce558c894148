//! What all connections share, and how a message finds its receivers.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use mqtt_codec::{Filter, Message, Qos, SubscribeOptions, Topic};
use mqtt_hooks::{Hooks, Listener};
use mqtt_router::{Full, Limits, Match, Matches, Options, Retained, Router};
use mqtt_session::{Delivered, DeliveryOptions, DropReason, Fanout, Publication, Timestamp};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::client::clients::Clients;
use crate::client::{Client, ClientRef};
use crate::coming::banned::Banned;
use crate::config::Config;
use crate::delivery::batch::{Batch, Workplaces};
use crate::store::Settings;
use crate::store::durable::Durable;
use crate::store::numbers::Numbers;
use crate::store::recovery::Past;
use crate::time::clock::Clock;
use crate::time::patience::Patient;
use crate::time::timers::{Awaited, Timers};
use crate::time::watched::Faults;
use crate::watch::alarms::Alarms;
use crate::watch::memory::Memory;
use crate::watch::metrics::{Metric, Metrics};
use crate::watch::sys::Highest;
use crate::watch::trace::Traces;

/// With fewer worker threads than this, cutting a fan-out in pieces costs more than it gains.
const MANY_WORKERS: usize = 4;

/// Clients whose queues are looked through before other tasks of the thread have their turn.
const SWEPT_TOGETHER: usize = 256;

/// The broker: clients, subscriptions, retained messages, hooks.
pub(crate) struct Broker {
    pub(crate) config: Config,
    pub(crate) session_config: Arc<mqtt_session::Config>,
    pub(crate) clock: Clock,
    pub(crate) clients: Clients,
    pub(crate) router: Router<ClientRef>,
    pub(crate) retained: Retained<Arc<Publication>>,
    /// A retained message with a message expiry has come since expired ones were last dropped.
    retained_expire: AtomicBool,
    /// A message with a message expiry may wait in a queue since expired ones were last dropped.
    pub(crate) queued_expire: AtomicBool,
    pub(crate) hooks: Arc<Hooks>,
    /// What is due at offline clients: a will to publish, a session to end.
    pub(crate) timers: Timers<Timestamp, Weak<Client>>,
    /// Connections and arrivals that are waited for.
    pub(crate) awaited: Timers<Patient, Awaited>,
    pub(crate) metrics: Metrics,
    pub(crate) workplaces: Workplaces,
    pub(crate) highest: Highest,
    pub(crate) settings: Settings,
    pub(crate) alarms: Alarms,
    /// Of the background tasks.
    pub(crate) faults: Faults,
    pub(crate) traces: Traces,
    pub(crate) memory: Memory,
    pub(crate) banned: Banned,
    /// The listeners that are open, and where.
    pub(crate) listeners: Mutex<Vec<(Arc<Listener>, SocketAddr)>>,
    /// Sockets accepted and not yet closed.
    pub(crate) sockets: AtomicUsize,
    /// Sockets of clients, those that are about to be closed included.
    pub(crate) served: AtomicUsize,
    /// Clients with a connection.
    pub(crate) online: AtomicUsize,
    /// Nobody comes in any more.
    pub(crate) stopping: AtomicBool,
    pub(crate) numbers: Numbers,
    /// Where a long fan-out may be flushed by several; `None`: there are too few.
    pub(crate) workers: Option<Handle>,
    /// `None`: nothing outlives the process.
    pub(crate) durable: Option<Durable>,
}

impl Broker {
    pub(crate) fn new(config: Config, durable: Option<Durable>, past: &Past, settings: Settings) -> Self {
        let limits = &config.limits;
        let session_config = Arc::new(mqtt_session::Config {
            receive_maximum: limits.receive_maximum,
            topic_alias_maximum: limits.topic_alias_maximum,
            outgoing_aliases: limits.outgoing_aliases,
            max_inflight: limits.max_inflight,
            max_queued: config.session.max_queued,
            max_queued_bytes: config.session.max_queued_bytes,
            max_stored: limits.retained_messages,
            max_outbox: limits.outbox,
            is_stored: durable.is_some(),
        });
        Self {
            session_config,
            clock: Clock::new(past.alive),
            clients: Clients::default(),
            router: Router::new(Limits { shape_levels: limits.shape_levels }),
            retained: Retained::new(limits.retained_messages),
            retained_expire: AtomicBool::new(false),
            queued_expire: AtomicBool::new(false),
            hooks: Hooks::new(),
            timers: Timers::default(),
            awaited: Timers::default(),
            metrics: Metrics::default(),
            workplaces: Workplaces::default(),
            highest: Highest::default(),
            banned: Banned::load(&settings),
            listeners: Mutex::default(),
            settings,
            alarms: Alarms::default(),
            faults: Faults::default(),
            traces: Traces::default(),
            memory: Memory::new(limits.memory),
            sockets: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            online: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            numbers: Numbers::new(past.bounds, past.floor_ms()),
            workers: Handle::try_current().ok().filter(|runtime| runtime.metrics().num_workers() >= MANY_WORKERS),
            durable,
            config,
        }
    }

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
            _group = self.group();
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

    /// Publishes to `topic` if anyone subscribes to it; only then is the message made.
    pub(crate) fn publish_if_wanted(
        &self,
        topic: &Topic,
        build: &mut dyn FnMut() -> Message,
        batch: &mut Batch<'_>,
    ) -> bool {
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

    /// Publishes a message in the broker's own name.
    pub(crate) fn announce(&self, message: Message, batch: &mut Batch<'_>) {
        let now = self.clock.now();
        self.publish(&Publication::new(message, now), None, now, batch, |_| {});
    }

    /// From now on messages that `filter` matches go to `client`.
    pub(crate) fn route(
        &self,
        filter: &Filter,
        client: &ClientRef,
        options: SubscribeOptions,
        id: Option<u32>,
    ) -> Result<(), Full> {
        let options = Options {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            subscription_id: id.and_then(NonZeroU32::new),
        };
        self.router.subscribe(filter, client.clone(), options).map(drop)
    }

    fn retain(&self, publication: &Publication, batch: &mut Batch<'_>) {
        let topic = &publication.message.topic;
        let _in_order = self.durable.as_ref().map(|durable| durable.lock_retained(topic));
        // [MQTT-3.3.1-6]: an empty payload removes what is retained, and is not kept itself.
        if publication.message.payload.is_empty() {
            self.forget(topic, batch);
            return;
        }
        batch.count(Metric::Retained, 1);
        if publication.expires_at.is_some() {
            self.retained_expire.store(true, Relaxed);
        }
        let kept = publication.detached();
        let topic = kept.message.topic.clone();
        let kept = Arc::new(kept);
        if self.memory.is_full() || self.retained.insert(&topic, Arc::clone(&kept)).is_err() {
            tracing::warn!(%topic, "not retained: limits.retained_messages or limits.memory is reached");
            return;
        }
        batch.stage(|stage| stage.retain(&kept));
    }

    /// Forgets what is retained on a topic; false if nothing is.
    pub(crate) fn forget_retained(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let _in_order = self.durable.as_ref().map(|durable| durable.lock_retained(topic));
        self.forget(topic, batch)
    }

    fn forget(&self, topic: &Topic, batch: &mut Batch<'_>) -> bool {
        let is_there = self.retained.remove(topic).is_some();
        if is_there {
            batch.stage(|stage| stage.forget_retained(topic));
        }
        is_there
    }

    /// Takes back what an earlier process retained.
    pub(crate) fn restore_retained(&self, retained: Vec<Publication>) {
        for publication in retained {
            self.retained_expire.fetch_or(publication.expires_at.is_some(), Relaxed);
            let topic = publication.message.topic.clone();
            if self.retained.insert(&topic, Arc::new(publication)).is_err() {
                tracing::error!(%topic, "left in the store: limits.retained_messages is lower than before");
            }
        }
    }

    /// Drops retained messages past their message expiry. Nobody is sent one; this is for the memory.
    pub(crate) fn drop_expired_retained(&self, batch: &mut Batch<'_>) {
        if self.retained_expire.swap(false, Relaxed) {
            let now = self.clock.now();
            let mut more = false;
            self.retained.retain(|publication| {
                more |= publication.expires_at.is_some();
                let is_expired = publication.is_expired(now);
                if is_expired {
                    batch.stage(|stage| stage.forget_retained(&publication.message.topic));
                }
                !is_expired
            });
            self.retained_expire.fetch_or(more, Relaxed);
        }
    }

    /// Drops messages that have expired while they waited for their client.
    pub(crate) async fn drop_expired_queued(self: &Arc<Self>) {
        if !self.queued_expire.swap(false, Relaxed) {
            return;
        }
        for clients in self.clients.all().chunks(SWEPT_TOGETHER) {
            self.drop_expired_of(clients);
            tokio::task::yield_now().await;
        }
    }

    fn drop_expired_of(self: &Arc<Self>, clients: &[ClientRef]) {
        let mut batch = Batch::begin(self);
        let now = self.clock.now();
        for client in clients {
            let mut state = client.state.lock();
            let dropped = state.session.drop_expired(now);
            state.stage(&mut batch);
            batch.count(Metric::DroppedExpired, dropped as u64);
            if state.session.has_expiring() {
                self.queued_expire.store(true, Relaxed);
            }
        }
        // What can't be stored now is tried again every second.
        let _ = batch.finish();
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
        if self.durable.is_some() && publication.message.qos > Qos::AtMostOnce {
            if matches.iter().take(2).count() + matches.groups().take(2).count() <= 1 {
                publication.place.set_single();
            } else {
                _group = self.group();
            }
        }
        let mut fanout = Fanout::new(publication);
        let mut receivers = 0;
        for found in matches.iter() {
            self.deliver(&found, &mut fanout, now, batch);
            receivers += 1;
        }
        for group in matches.groups() {
            receivers += usize::from(self.deliver_to_one(|| group.candidates(), &mut fanout, now, batch));
        }
        batch.note_traffic(receivers * publication.size());
        if receivers == 0 {
            batch.count(Metric::NoSubscribers, 1);
        }
    }

    fn deliver(
        &self,
        found: &Match<'_, ClientRef>,
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
        };
        let qos = found.qos.min(message.qos);
        let delivered = found.key.deliver(fanout, options, now, batch);
        if delivered == Delivered::Queued && fanout.publication().expires_at.is_some() {
            self.queued_expire.store(true, Relaxed);
        }
        count_delivered(delivered, qos, batch);
        if matches!(delivered, Delivered::Dropped(reason) if reason != DropReason::Offline) {
            batch.count(Metric::Missed, 1);
        }
        delivered
    }

    /// One member of a group gets the message: the first in turn that is online and has room; else the first that is
    /// online; else the first that keeps it for later.
    fn deliver_to_one<'a, I: Iterator<Item = Match<'a, ClientRef>>>(
        &self,
        candidates: impl Fn() -> I,
        fanout: &mut Fanout<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> bool {
        let is_online = |found: &Match<'_, ClientRef>| found.key.state.lock().session.is_attached();
        let is_ready = |found: &Match<'_, ClientRef>| found.key.state.lock().session.is_ready();
        let chosen = candidates().find(is_ready).or_else(|| candidates().find(is_online));
        if let Some(chosen) = &chosen
            && !matches!(self.deliver(chosen, fanout, now, batch), Delivered::Dropped(_))
        {
            return true;
        }
        candidates()
            .filter(|found| chosen.as_ref().is_none_or(|chosen| chosen.key != found.key))
            .any(|found| !matches!(self.deliver(&found, fanout, now, batch), Delivered::Dropped(_)))
    }

    pub(crate) fn online(&self) -> usize {
        self.online.load(Relaxed)
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

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("node", &self.config.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Properties, Property};

    use super::*;

    #[test]
    fn expired_retained_messages_are_dropped() {
        let broker = Arc::new(Broker::new(Config::default(), None, &Past::default(), Settings::default()));
        let mut batch = Batch::begin(&broker);
        let now = broker.clock.now();
        for (topic, expiry) in [("gone", Some(0)), ("stays", Some(1000)), ("for/ever", None)] {
            let message = Message {
                topic: Topic::new(topic).unwrap(),
                payload: "x".into(),
                qos: Qos::AtMostOnce,
                retain: true,
                properties: expiry.map(Property::MessageExpiry).into_iter().collect::<Properties>(),
            };
            broker.publish(&Publication::new(message, now), None, now, &mut batch, |_| {});
        }
        broker.drop_expired_retained(&mut batch);
        assert_eq!(broker.retained.len(), 2);
        batch.finish().unwrap();
    }
}
