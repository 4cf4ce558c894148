//! `GET /api/v4/emqx_prometheus`: the same under the names that EMQ X 4.3 has for it, as boards and alerts made for that read them.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{COUNTER, GAUGE, Text};
use crate::Shared;

/// What EMQ X counts, by the group it has in JSON. What is not counted here is 0 there too.
const COUNTED: [(Group, &[&str]); 5] = [
    (
        Group::Packets,
        &[
            "bytes.received",
            "bytes.sent",
            "packets.received",
            "packets.sent",
            "packets.connect.received",
            "packets.connack.sent",
            "packets.connack.error",
            "packets.connack.auth_error",
            "packets.publish.received",
            "packets.publish.sent",
            "packets.publish.inuse",
            "packets.publish.error",
            "packets.publish.auth_error",
            "packets.publish.dropped",
            "packets.puback.received",
            "packets.puback.sent",
            "packets.puback.inuse",
            "packets.puback.missed",
            "packets.pubrec.received",
            "packets.pubrec.sent",
            "packets.pubrec.inuse",
            "packets.pubrec.missed",
            "packets.pubrel.received",
            "packets.pubrel.sent",
            "packets.pubrel.missed",
            "packets.pubcomp.received",
            "packets.pubcomp.sent",
            "packets.pubcomp.inuse",
            "packets.pubcomp.missed",
            "packets.subscribe.received",
            "packets.subscribe.error",
            "packets.subscribe.auth_error",
            "packets.suback.sent",
            "packets.unsubscribe.received",
            "packets.unsubscribe.error",
            "packets.unsuback.sent",
            "packets.pingreq.received",
            "packets.pingresp.sent",
            "packets.disconnect.received",
            "packets.disconnect.sent",
            "packets.auth.received",
            "packets.auth.sent",
        ],
    ),
    (
        Group::Messages,
        &[
            "messages.received",
            "messages.sent",
            "messages.qos0.received",
            "messages.qos0.sent",
            "messages.qos1.received",
            "messages.qos1.sent",
            "messages.qos2.received",
            "messages.qos2.sent",
            "messages.publish",
            "messages.dropped",
            "messages.dropped.await_pubrel_timeout",
            "messages.dropped.no_subscribers",
            "messages.forward",
            "messages.retained",
            "messages.delayed",
            "messages.delivered",
            "messages.acked",
        ],
    ),
    (
        Group::Delivery,
        &[
            "delivery.dropped",
            "delivery.dropped.no_local",
            "delivery.dropped.too_large",
            "delivery.dropped.qos0_msg",
            "delivery.dropped.queue_full",
            "delivery.dropped.expired",
        ],
    ),
    (
        Group::Client,
        &[
            "client.connect",
            "client.connack",
            "client.connected",
            "client.authenticate",
            "client.auth.anonymous",
            "client.check_acl",
            "client.subscribe",
            "client.unsubscribe",
            "client.disconnected",
        ],
    ),
    (
        Group::Session,
        &["session.created", "session.resumed", "session.takeovered", "session.discarded", "session.terminated"],
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Group {
    Stats,
    Metrics,
    Packets,
    Messages,
    Delivery,
    Client,
    Session,
}

/// A number under EMQ X's name.
struct Sample {
    group: Group,
    kind: &'static str,
    name: String,
    value: u64,
}

/// The name that a number has for Prometheus.
fn named(name: &str) -> String {
    let name = match name {
        "packets.connect.received" => "packets.connect",
        "messages.dropped.await_pubrel_timeout" => "messages.dropped.expired",
        name => name,
    };
    format!("emqx_{}", name.replace('.', "_"))
}

fn samples(shared: &Shared) -> Vec<Sample> {
    let broker = &*shared.broker;
    let gauge = |group, name: &str, value| Sample { group, kind: GAUGE, name: named(name), value };
    let mut samples: Vec<_> = broker.stats().iter().map(|(name, value)| gauge(Group::Stats, name, *value)).collect();
    let (node, host) = (broker.node(), broker.host());
    samples.extend([
        gauge(Group::Metrics, "vm.total_memory", host.memory_total),
        gauge(Group::Metrics, "vm.used_memory", node.memory_used),
        gauge(Group::Metrics, "cluster.nodes_running", 1),
        gauge(Group::Metrics, "cluster.nodes_stopped", 0),
    ]);
    let mut counts: HashMap<_, _> = broker.metrics().into_iter().collect();
    // This name is older than the one that metrics have.
    if let Some(anonymous) = counts.get("client.auth.success.anonymous").copied() {
        counts.insert("client.auth.anonymous", anonymous);
    }
    samples.extend(COUNTED.into_iter().flat_map(|(group, names)| {
        let counts = &counts;
        names.iter().map(move |name| {
            let value = counts.get(name).copied().unwrap_or_default();
            Sample { group, kind: COUNTER, name: named(name), value }
        })
    }));
    samples
}

/// In Prometheus's format.
pub(super) fn text(shared: &Shared) -> String {
    let mut text = Text::default();
    for Sample { kind, name, value, .. } in samples(shared) {
        text.one(&name, kind, "See EMQ X 4.3.", value);
    }
    text.0
}

/// By group.
pub(super) fn json(shared: &Shared) -> BTreeMap<Group, BTreeMap<String, u64>> {
    let mut groups = BTreeMap::<_, BTreeMap<_, _>>::new();
    for Sample { group, name, value, .. } in samples(shared) {
        groups.entry(group).or_default().insert(name, value);
    }
    groups
}
