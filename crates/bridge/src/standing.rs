//! How bridges are, for who watches: events and states on topics, an alarm, numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use mqtt_codec::{Filter, Message, Properties, Qos, Topic};
use mqtt_hooks::{Actor, Alarm, Host, Number, States, Walk};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use crate::counts::Counts;
use crate::plan::Plan;

/// Milliseconds between two looks at what waits.
const LOOK_EVERY: u64 = 2_000;

/// One bridge as others see it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: String,
    /// Where the remote broker is.
    remote: String,
    pub(crate) own_id: String,
    pub(crate) counts: Arc<Counts>,
    /// Wakes it up: it is to connect anew, now.
    pub(crate) restart: Notify,
    now: Mutex<Now>,
}

#[derive(Clone, Debug)]
struct Now {
    is_up: bool,
    /// Why it is not.
    reason: String,
    /// Since when: milliseconds since the Unix epoch.
    since: u64,
    /// Of the change.
    number: u64,
}

/// A bridge, told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) remote: String,
    /// `up` or `down`
    pub(crate) state: &'static str,
    /// Why it is down.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) since: u64,
}

impl Standing {
    fn new(plan: &Plan, counts: Arc<Counts>, since: u64, number: u64) -> Self {
        let now = Now { is_up: false, reason: "it has not been connected yet".to_owned(), since, number };
        Self {
            name: plan.name.clone(),
            remote: plan.shown.clone(),
            own_id: plan.own_id(),
            counts,
            restart: Notify::new(),
            now: Mutex::new(now),
        }
    }

    pub(crate) fn told(&self) -> Told {
        let Now { is_up, reason, since, .. } = self.now.lock().clone();
        let state = if is_up { "up" } else { "down" };
        Told { name: self.name.clone(), remote: self.remote.clone(), state, reason, since }
    }

    fn topic(&self, node: &str, last: &str) -> Option<Topic> {
        Topic::new(format!("$SYS/brokers/{node}/bridges/{}/{last}", self.name)).ok()
    }
}

/// All bridges that there are.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    by_name: Mutex<BTreeMap<String, Arc<Standing>>>,
    /// Of changes, of which none is told again with a lower number.
    numbers: AtomicU64,
}

impl Standings {
    /// These instead of those there were, which have their counts from them.
    pub(crate) fn replace(&self, plans: &[Plan], since: u64) -> Vec<Arc<Standing>> {
        let mut all = self.by_name.lock();
        let standing = |plan: &Plan| {
            let counts = all.get(&plan.name).map(|known| Arc::clone(&known.counts)).unwrap_or_default();
            Arc::new(Standing::new(plan, counts, since, self.next_number()))
        };
        let new: Vec<_> = plans.iter().map(standing).collect();
        *all = new.iter().map(|one| (one.name.clone(), Arc::clone(one))).collect();
        new
    }

    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn all(&self) -> Vec<Arc<Standing>> {
        self.by_name.lock().values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Standing>> {
        self.by_name.lock().get(name).cloned()
    }

    /// `host` knows what waits.
    pub(crate) fn numbers(&self, host: Option<&dyn Host>) -> Vec<Number> {
        let all = self.all();
        let waiting = |one: &Standing| host.and_then(|host| host.waiting(&one.own_id)).unwrap_or_default();
        let mut numbers = Vec::new();
        let mut gauge = |name: &'static str, help: &'static str, value: &dyn Fn(&Standing) -> f64| {
            numbers.extend(
                all.iter().map(|one| Number::gauge(name, help, value(one)).labelled("bridge", one.name.clone())),
            );
        };
        gauge("up", "1 while the bridge is connected.", &|one| f64::from(u8::from(one.now.lock().is_up)));
        gauge("waiting", "Messages that wait to go out, those on the way included.", &|one| {
            let waiting = waiting(one);
            (waiting.queued + waiting.inflight) as f64
        });
        let mut counter =
            |name: &'static str, help: &'static str, alarm: Option<&'static str>, value: &dyn Fn(&Standing) -> u64| {
                numbers.extend(all.iter().map(|one| {
                    let number = Number::counter(name, help, value(one)).labelled("bridge", one.name.clone());
                    Number { alarm, ..number }
                }));
            };
        counter("sent", "Messages that went to the remote broker, each time they did.", None, &|one| {
            one.counts.sent.value()
        });
        counter("received", "Messages that came from there, each time they did.", None, &|one| {
            one.counts.received.value()
        });
        counter("connections", "Connections that came about.", None, &|one| one.counts.connections.value());
        counter(
            "dropped",
            "Messages that were not carried: too large, or without a topic at the other broker.",
            Some("a bridge does not carry messages that are too large for the other broker or have no topic there"),
            &|one| one.counts.dropped.value(),
        );
        counter(
            "refused",
            "Messages that the broker they were carried to has refused for good.",
            Some("a broker refuses messages that a bridge brings; the log says why"),
            &|one| one.counts.refused.value(),
        );
        counter(
            "looped",
            "Messages that were not carried, for they had been at this broker before.",
            Some("messages come back to this broker: two bridges carry the same topics in a circle"),
            &|one| one.counts.looped.value(),
        );
        counter(
            "queue.dropped",
            "Messages that were not kept for the remote broker, for as many wait as may.",
            Some(
                "messages for a remote broker are dropped: as many wait as session.max_queued and max_queued_bytes allow",
            ),
            &|one| waiting(one).dropped,
        );
        numbers
    }
}

/// Tells how bridges are.
pub(crate) struct Reports {
    pub(crate) actor: Actor,
    /// Some are down.
    pub(crate) down: Alarm,
    /// Much waits for some.
    pub(crate) behind: Alarm,
    pub(crate) all: Arc<Standings>,
}

impl Reports {
    /// Looks now and then at how much waits.
    pub(crate) async fn watch(self: Arc<Self>) {
        let host = Arc::clone(self.actor.host());
        loop {
            host.sleep_until(host.clock_ms() + LOOK_EVERY).await;
            let waiting = self.all.all().into_iter().filter_map(|one| Some((host.waiting(&one.own_id)?, one)));
            let much = waiting.filter(|(waiting, _)| waiting.queued > waiting.max_queued / 2);
            let much: Vec<_> = much
                .map(|(waiting, one)| format!("{}: {} of {} messages", one.name, waiting.queued, waiting.max_queued))
                .collect();
            if much.is_empty() {
                self.behind.clear();
            } else {
                self.behind.raise(format!("what waits for remote brokers fills its room: {}", much.join("; ")));
            }
        }
    }

    pub(crate) fn note_up(&self, one: &Standing) {
        one.counts.connections.add_one();
        tracing::info!(bridge = one.name, remote = one.remote, "a bridge is up");
        self.change(one, true, String::new());
    }

    /// Told once, as long as the reason is the same.
    pub(crate) fn note_down(&self, one: &Standing, reason: String) {
        {
            let now = one.now.lock();
            if !now.is_up && now.reason == reason {
                return;
            }
        }
        tracing::warn!(bridge = one.name, remote = one.remote, reason, "a bridge is down");
        self.change(one, false, reason);
    }

    fn change(&self, one: &Standing, is_up: bool, reason: String) {
        let (host, number) = (self.actor.host(), self.all.next_number());
        let is_event = {
            let mut now = one.now.lock();
            let is_event = now.is_up != is_up;
            let since = if is_event { host.now_ms() } else { now.since };
            *now = Now { is_up, reason, since, number };
            is_event
        };
        self.raise();
        let node = host.node();
        let event = one.topic(node, if is_up { "up" } else { "down" });
        let (Some(event), Some(state)) = (event, one.topic(node, "state")) else { return };
        self.actor.act(|moment| {
            if is_event {
                moment.publish_if_wanted(&event, &mut || message(event.clone(), &one.told(), false));
            }
            moment.publish_state(&state, number, &mut || message(state.clone(), &one.told(), false));
        });
    }

    fn raise(&self) {
        let down: Vec<_> = self.all.all().iter().map(|one| one.told()).filter(|told| told.state == "down").collect();
        if down.is_empty() {
            return self.down.clear();
        }
        let each = down.iter().map(|told| format!("{} ({}): {}", told.name, told.remote, told.reason));
        self.down.raise(format!("bridges are down: {}", each.collect::<Vec<_>>().join("; ")));
    }
}

fn message(topic: Topic, told: &Told, retain: bool) -> Message {
    let payload = Bytes::from(serde_json::to_vec(told).unwrap_or_default());
    Message { topic, payload, qos: Qos::AtLeastOnce, retain, properties: Properties::EMPTY }
}

impl States for Reports {
    fn is_about(&self, filter: &Filter) -> bool {
        // Everybody's subscriptions are asked about.
        filter.pattern().ends_with("/state") && {
            let node = self.actor.host().node();
            self.all.all().iter().filter_map(|one| one.topic(node, "state")).any(|topic| filter.matches(&topic))
        }
    }

    fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        let node = self.actor.host().node();
        let is_new = |one: &Arc<Standing>| one.now.lock().number > walk.since || !walk.is_missed;
        let matches = |one: &Arc<Standing>| one.topic(node, "state").is_some_and(|topic| filter.matches(&topic));
        found.extend(self.all.all().iter().filter(|one| is_new(one) && matches(one)).map(|one| Box::from(&*one.name)));
        false
    }

    fn state(&self, name: &str) -> Option<Message> {
        let one = self.all.get(name)?;
        // Its node's name never changes, so this asks nothing of the broker.
        Some(message(one.topic(self.actor.host().node(), "state")?, &one.told(), true))
    }

    fn done(&self, _: &Walk) -> Option<Message> {
        None
    }
}
