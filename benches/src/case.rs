//! The cases, by name.

use anyhow::{Result, bail};
use mqtt_codec::Qos;

use crate::churn::Coming;
use crate::door::{Door, Over};
use crate::flow::{Flow, Receivers};
use crate::outcome::Outcome;
use crate::slow;
use crate::{churn, flow, queue, state};

/// A case and what its value means.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Of its value.
    pub unit: &'static str,
    /// By which kind of listener.
    pub over: Over,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Flow(Flow),
    Among(usize),
    FilterMemory(usize),
    Idle,
    Connects(Coming),
    Presence,
    Latency,
    Expire,
    Slow,
    Queue(usize),
    Drain(usize),
}

const CYCLE: &str = "µs CPU/cycle";
const BYTES: &str = "bytes";
const DELIVERY: &str = "µs CPU/delivery";
const PUBLISH: &str = "µs CPU/publish";
const MESSAGE: &str = "µs CPU/message";

const fn flow(name: &'static str, what: &'static str, flow: Flow) -> Case {
    let unit = if matches!(flow.to, Receivers::Nobody) { PUBLISH } else { DELIVERY };
    case(name, what, unit, Kind::Flow(flow))
}

const fn case(name: &'static str, what: &'static str, unit: &'static str, kind: Kind) -> Case {
    Case { name, what, unit, over: Over::Mqtt, kind }
}

impl Case {
    const fn over(self, over: Over) -> Self {
        Self { over, ..self }
    }
}

const fn pairs(qos: Qos, outstanding: usize) -> Flow {
    Flow { publishers: 100, to: Receivers::Each(1), qos, payload: 64, outstanding, is_kept: false }
}

const fn fan(receivers: usize, qos: Qos, outstanding: usize) -> Flow {
    Flow { publishers: 1, to: Receivers::Each(receivers), qos, payload: 64, outstanding, is_kept: false }
}

use Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};

/// All of them, in the order of the table.
pub const CASES: &[Case] = &[
    flow("fan1000", "QoS 0, 1 → 1000, one outstanding", fan(1000, AtMostOnce, 1)),
    flow("fan1000x20", "QoS 0, 1 → 1000, 20 outstanding", fan(1000, AtMostOnce, 20)),
    flow("qos1-fan50", "QoS 1, 1 → 50, 100 outstanding", fan(50, AtLeastOnce, 100)),
    flow("qos2-fan50", "QoS 2, 1 → 50, 100 outstanding", fan(50, ExactlyOnce, 100)),
    flow("pairs-100", "QoS 0, 100 pairs, 100 outstanding", pairs(AtMostOnce, 100)),
    flow("pairs-1", "QoS 0, 100 pairs, one outstanding", pairs(AtMostOnce, 1)),
    flow("pairs-qos1", "QoS 1, 100 pairs, 100 outstanding", pairs(AtLeastOnce, 100)),
    flow(
        "pairs-kept",
        "the same, the subscribers' sessions are kept",
        Flow { is_kept: true, ..pairs(AtLeastOnce, 100) },
    ),
    flow("pairs-qos2", "QoS 2, 100 pairs, 100 outstanding", pairs(ExactlyOnce, 100)),
    flow(
        "in200",
        "QoS 0, 200 → 1 by a wildcard, 20 outstanding",
        Flow { publishers: 200, to: Receivers::One, qos: AtMostOnce, payload: 64, outstanding: 20, is_kept: false },
    ),
    flow(
        "large",
        "QoS 0, 16 KiB, 1 → 20, 10 outstanding",
        Flow {
            publishers: 1,
            to: Receivers::Each(20),
            qos: AtMostOnce,
            payload: 16 * 1024,
            outstanding: 10,
            is_kept: false,
        },
    ),
    flow(
        "ingest",
        "QoS 0, 1 KiB, nobody subscribes",
        Flow { publishers: 4, to: Receivers::Nobody, qos: AtMostOnce, payload: 1024, outstanding: 200, is_kept: false },
    ),
    case("filters-1k", "publish among 1,000 filters", PUBLISH, Kind::Among(1000)),
    case("filters", "publish among 300,000 filters", PUBLISH, Kind::Among(300_000)),
    case("filter-rss", "memory of a filter", BYTES, Kind::FilterMemory(300_000)),
    case("idle-rss", "memory of an idle connection", BYTES, Kind::Idle),
    case("connect", "connect, CONNACK, DISCONNECT, 100 at once", CYCLE, Kind::Connects(Coming::Plain)),
    case("presence", "the same, a watcher at QoS 1 gets every event", CYCLE, Kind::Presence),
    case(
        "queue-qos1",
        "QoS 1 to 100 clients that are away, 100 publishers, 100 outstanding",
        MESSAGE,
        Kind::Queue(9000),
    ),
    case("queue-power", "the same with `storage.durability=power`", MESSAGE, Kind::Queue(1000)),
    case("drain", "100 clients come back to 9,000 messages each", MESSAGE, Kind::Drain(9000)),
    case("latency", "QoS 1 at 2,000/s, 99th of 100", "µs", Kind::Latency),
    case("expire", "the same while 1,000,000 sessions end at one moment", "µs", Kind::Expire),
    case(
        "slow",
        "QoS 1 pairs at 2,000/s beside a subscriber that reads nothing of 200 MB, 99th of 100",
        "µs",
        Kind::Slow,
    ),
    flow("tls-fan1000", "TLS, QoS 0, 1 → 1000, one outstanding", fan(1000, AtMostOnce, 1)).over(Over::Mqtts),
    flow("tls-pairs-qos1", "TLS, QoS 1, 100 pairs, 100 outstanding", pairs(AtLeastOnce, 100)).over(Over::Mqtts),
    flow("tls-pairs-1", "TLS, QoS 0, 100 pairs, one outstanding", pairs(AtMostOnce, 1)).over(Over::Mqtts),
    flow("ws-pairs-100", "WebSocket, QoS 0, 100 pairs, 100 outstanding", pairs(AtMostOnce, 100)).over(Over::Ws),
    flow("ws-pairs-1", "WebSocket, QoS 0, 100 pairs, one outstanding", pairs(AtMostOnce, 1)).over(Over::Ws),
    flow("wss-pairs-qos1", "WebSocket over TLS, QoS 1, 100 pairs, 100 outstanding", pairs(AtLeastOnce, 100))
        .over(Over::Wss),
    case("tls-rss", "memory of an idle connection over TLS", BYTES, Kind::Idle).over(Over::Mqtts),
    case("ws-rss", "memory of an idle WebSocket", BYTES, Kind::Idle).over(Over::Ws),
    case("wss-rss", "memory of an idle WebSocket over TLS", BYTES, Kind::Idle).over(Over::Wss),
    case("tls-connect", "`connect` with a full handshake of TLS 1.3", CYCLE, Kind::Connects(Coming::Handshake))
        .over(Over::Mqtts),
    case("tls-resumed", "`connect` with a session of TLS 1.3 resumed", CYCLE, Kind::Connects(Coming::Resumption))
        .over(Over::Mqtts),
    case("login", "`connect` with a user name and a password", CYCLE, Kind::Connects(Coming::Login)),
];

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        match CASES.iter().find(|case| case.name == name) {
            Some(case) => Ok(case),
            None => {
                let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
                bail!("no case is called {name}; there are {}", names.join(", "))
            }
        }
    }

    /// Runs it against the broker with this process id by this listener.
    pub fn run(&self, door: &Door, pid: u32) -> Result<Outcome> {
        match self.kind {
            Kind::Flow(flow) => flow::run(door, pid, flow),
            Kind::Among(filters) => state::among_filters(door, pid, filters),
            Kind::FilterMemory(filters) => state::filter_memory(door, pid, filters),
            Kind::Idle => state::idle(door, pid),
            Kind::Connects(coming) => churn::connects(door, pid, coming),
            Kind::Presence => churn::presence(door, pid),
            Kind::Latency => state::latency(door),
            Kind::Expire => state::expire(door),
            Kind::Queue(each) => queue::queue(door, pid, each),
            Kind::Drain(each) => queue::drain(door, pid, each),
            Kind::Slow => {
                let slow = slow::run(door, pid)?;
                let value = slow.qos0.delay.p99.max(slow.qos1.delay.p99);
                Ok(Outcome { value, slow: Some(slow), ..Outcome::default() })
            }
        }
    }
}
