//! The cases, by name.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use mqtt_codec::Qos;

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
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Flow(Flow),
    Among(usize),
    FilterMemory(usize),
    Idle,
    Connects,
    Presence,
    Latency,
    Expire,
    Slow,
    Queue(usize),
    Drain(usize),
}

const DELIVERY: &str = "µs CPU/delivery";
const PUBLISH: &str = "µs CPU/publish";
const MESSAGE: &str = "µs CPU/message";

const fn flow(name: &'static str, what: &'static str, flow: Flow) -> Case {
    let unit = if matches!(flow.to, Receivers::Nobody) { PUBLISH } else { DELIVERY };
    Case { name, what, unit, kind: Kind::Flow(flow) }
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
    Case { name: "filters-1k", what: "publish among 1,000 filters", unit: PUBLISH, kind: Kind::Among(1000) },
    Case { name: "filters", what: "publish among 300,000 filters", unit: PUBLISH, kind: Kind::Among(300_000) },
    Case { name: "filter-rss", what: "memory of a filter", unit: "bytes", kind: Kind::FilterMemory(300_000) },
    Case { name: "idle-rss", what: "memory of an idle connection", unit: "bytes", kind: Kind::Idle },
    Case {
        name: "connect",
        what: "connect, CONNACK, DISCONNECT, 100 at once",
        unit: "µs CPU/cycle",
        kind: Kind::Connects,
    },
    Case {
        name: "presence",
        what: "the same, a watcher at QoS 1 gets every event",
        unit: "µs CPU/cycle",
        kind: Kind::Presence,
    },
    Case {
        name: "queue-qos1",
        what: "QoS 1 to 100 clients that are away, 100 publishers, 100 outstanding",
        unit: MESSAGE,
        kind: Kind::Queue(9000),
    },
    Case {
        name: "queue-power",
        what: "the same with `storage.durability=power`",
        unit: MESSAGE,
        kind: Kind::Queue(1000),
    },
    Case {
        name: "drain",
        what: "100 clients come back to 9,000 messages each",
        unit: MESSAGE,
        kind: Kind::Drain(9000),
    },
    Case { name: "latency", what: "QoS 1 at 2,000/s, 99th of 100", unit: "µs", kind: Kind::Latency },
    Case {
        name: "expire",
        what: "the same while 1,000,000 sessions end at one moment",
        unit: "µs",
        kind: Kind::Expire,
    },
    Case {
        name: "slow",
        what: "QoS 1 pairs at 2,000/s beside a subscriber that reads nothing of 200 MB, 99th of 100",
        unit: "µs",
        kind: Kind::Slow,
    },
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

    /// Runs it against the broker with this process id at this address.
    pub fn run(&self, addr: SocketAddr, pid: u32) -> Result<Outcome> {
        match self.kind {
            Kind::Flow(flow) => flow::run(addr, pid, flow),
            Kind::Among(filters) => state::among_filters(addr, pid, filters),
            Kind::FilterMemory(filters) => state::filter_memory(addr, pid, filters),
            Kind::Idle => state::idle(addr, pid),
            Kind::Connects => churn::connects(addr, pid),
            Kind::Presence => churn::presence(addr, pid),
            Kind::Latency => state::latency(addr),
            Kind::Expire => state::expire(addr),
            Kind::Queue(each) => queue::queue(addr, pid, each),
            Kind::Drain(each) => queue::drain(addr, pid, each),
            Kind::Slow => {
                let slow = slow::run(addr, pid)?;
                let value = slow.qos0.delay.p99.max(slow.qos1.delay.p99);
                Ok(Outcome { value, slow: Some(slow), ..Outcome::default() })
            }
        }
    }
}
