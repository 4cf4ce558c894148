//! Monitor, as the dashboard of EMQ X asks for it.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use crate::extract::Path;
use crate::reply::{Data, Explanation, Refusal};
use crate::samples::Sample;
use crate::{Admission, Shared};

/// Minutes that dashboard draws.
const DRAWN: usize = 120;

/// How it is now.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Current {
    /// Nodes.
    node: u64,
    /// Messages that come, per second.
    received: u64,
    /// Messages that go out, per second.
    sent: u64,
    /// Subscriptions.
    subscription: u64,
    /// Clients online.
    connection: u64,
}

/// How it is now.
#[utoipa::path(get, path = "/monitor/current_metrics", tag = "monitor", responses((status = OK, body = Data<Current>)))]
pub(super) async fn current(State(shared): Admission) -> Data<Current> {
    let mut current = Current { node: 1, received: 0, sent: 0, subscription: 0, connection: 0 };
    let latest = shared.samples.latest();
    if let Some(now) = latest.last() {
        (current.subscription, current.connection) = (now.subscriptions, now.connections);
    }
    if let [before, now] = &*latest {
        let rate = |of: fn(&Sample) -> u64| {
            let ms = now.at().saturating_sub(before.at()).max(1);
            (growth(before, now, of) * 1000 + ms / 2) / ms
        };
        (current.received, current.sent) = (rate(|sample| sample.received), rate(|sample| sample.sent));
    }
    Data::new(current)
}

/// What is drawn, by EMQ X's names.
const METRICS: [(&str, Kind); 6] = [
    ("dropped", Kind::Grows(|sample| sample.dropped)),
    ("connection", Kind::Is(|sample| sample.connections)),
    ("route", Kind::Is(|sample| sample.routes)),
    ("subscriptions", Kind::Is(|sample| sample.subscriptions)),
    ("sent", Kind::Grows(|sample| sample.sent)),
    ("received", Kind::Grows(|sample| sample.received)),
];

#[derive(Clone, Copy)]
enum Kind {
    /// So many at the time.
    Is(fn(&Sample) -> u64),
    /// So many in the minute before.
    Grows(fn(&Sample) -> u64),
}

/// Counters begin anew with the process.
fn growth(before: &Sample, now: &Sample, of: fn(&Sample) -> u64) -> u64 {
    let began_anew = now.uptime < before.uptime;
    if began_anew { of(now) } else { of(now).saturating_sub(of(before)) }
}

/// Times in milliseconds since the Unix epoch, each with how many there were.
type Points = Vec<[u64; 2]>;

fn points(shared: &Shared, kind: Kind) -> Points {
    let mut samples = shared.samples.day();
    samples.drain(..samples.len().saturating_sub(DRAWN + 1));
    let points: Points = match kind {
        Kind::Is(of) => samples.iter().map(|sample| [sample.at(), of(sample)]).collect(),
        Kind::Grows(of) => samples.windows(2).map(|pair| [pair[1].at(), growth(&pair[0], &pair[1], of)]).collect(),
    };
    // That dashboard takes it that there is one.
    if points.is_empty() { vec![[crate::time::now_ms(), 0]] } else { points }
}

/// By node.
type ByNode = BTreeMap<String, Points>;

fn by_node(shared: &Shared, kind: Kind) -> ByNode {
    [(shared.broker.node_name().to_owned(), points(shared, kind))].into()
}

fn of_one(shared: &Shared, name: &str) -> Result<Data<ByNode>, Refusal> {
    let found = METRICS.iter().find(|(known, _)| *known == name);
    let names = || METRICS.map(|(name, _)| name).join(", ");
    let (_, kind) = found.ok_or_else(|| Refusal::not_found(format!("there is no {name:?}, there are {}", names())))?;
    Ok(Data::new(by_node(shared, *kind)))
}

fn of_all(shared: &Shared) -> Data<BTreeMap<&'static str, ByNode>> {
    Data::new(METRICS.map(|(name, kind)| (name, by_node(shared, kind))).into())
}

/// The last two hours by the minute: a list of points for each node. Messages are those of the minute before.
#[utoipa::path(get, path = "/monitor/metrics/{name}", tag = "monitor",
    params(("name", description = "`dropped`, `connection`, `route`, `subscriptions`, `sent`, `received`")),
    responses((status = OK, body = Data<BTreeMap<String, Vec<Vec<u64>>>>), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn metric(State(shared): Admission, Path(name): Path<String>) -> Result<Data<ByNode>, Refusal> {
    of_one(&shared, &name)
}

/// The last two hours by the minute, all that is drawn: by name, then by node.
#[utoipa::path(get, path = "/monitor/metrics", tag = "monitor",
    responses((status = OK, body = Data<BTreeMap<String, BTreeMap<String, Vec<Vec<u64>>>>>)))]
pub(super) async fn metrics(State(shared): Admission) -> Data<BTreeMap<&'static str, ByNode>> {
    of_all(&shared)
}

/// The last two hours of a node by the minute.
#[utoipa::path(get, path = "/nodes/{node}/monitor/metrics/{name}", tag = "monitor",
    params(("node", description = "its name"), ("name", description = "as without the node")),
    responses((status = OK, body = Data<BTreeMap<String, Vec<Vec<u64>>>>), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn metric_of_node(
    State(shared): Admission,
    Path((node, name)): Path<(String, String)>,
) -> Result<Data<ByNode>, Refusal> {
    check_node(&shared, &node)?;
    of_one(&shared, &name)
}

/// The last two hours of a node by the minute, all that is drawn.
#[utoipa::path(get, path = "/nodes/{node}/monitor/metrics", tag = "monitor", params(("node", description = "its name")),
    responses((status = OK, body = Data<BTreeMap<String, BTreeMap<String, Vec<Vec<u64>>>>>), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn metrics_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<BTreeMap<&'static str, ByNode>>, Refusal> {
    check_node(&shared, &node)?;
    Ok(of_all(&shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_anew_has_grown_by_all_there_is() {
        let sample = |uptime, sent| {
            let mut sample = Sample::at_time(0);
            (sample.uptime, sample.sent) = (uptime, sent);
            sample
        };
        let sent = |sample: &Sample| sample.sent;
        assert_eq!(growth(&sample(5, 10), &sample(6, 12), sent), 2);
        assert_eq!(growth(&sample(5, 10), &sample(1, 12), sent), 12);
        assert_eq!(growth(&sample(5, 10), &sample(6, 9), sent), 0);
    }
}
