//! The broker as a node of a cluster: what the broker knows as a roll is a node of `mqtt-cluster`.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_broker::{Opened, Roll, Seated, Teller, Wrong};
use mqtt_cluster::nats::{NatsConfig, NatsLog};
use mqtt_cluster::{Config, Ended, Log, Node, Phase, Tell};
use mqtt_config as said;
use mqtt_operate::{ClusterNode, ClusterState};
use mqtt_roll::{Down, Effect, Life, Record, Up};
use serde_json::json;
use tokio::time::timeout;

use crate::StartError;

/// How often it is told, while it takes long, that the node has not joined yet.
const REMINDER: Duration = Duration::from_secs(5);

/// Batches that a node may be behind, and what it says may take, until that is an alarm.
const MAX_BEHIND: u64 = 256;
const MAX_ON_ITS_WAY_MS: u64 = 2_000;

/// A node that is down is missed for so long.
const MISSED_MS: u64 = 24 * 60 * 60 * 1000;

/// A node, as the broker holds it.
struct Member(Node);

struct Telling(Teller);

/// Where the nodes of this cluster agree.
pub(crate) async fn connect(said: &said::Cluster) -> Result<NatsLog, StartError> {
    let has_tls = said.ca.is_some() || said.shown.is_some() || said.nats.iter().any(|url| url.starts_with("tls://"));
    let tls = has_tls.then(|| {
        let shown = said.shown.as_ref().map(|(cert, key)| mqtt_fetch::Shown { cert, key });
        mqtt_fetch::client_config(said.ca.as_deref().map(Path::new), "cluster.ca", shown)
    });
    let tls = tls.transpose().map_err(StartError::Cluster)?;
    let config = NatsConfig {
        monitors: said.monitors.clone(),
        login: said.user.clone().zip(said.password.clone()),
        tls,
        is_unsafe: said.is_unsafe,
        ..NatsConfig::new(&said.name, said.nats.clone())
    };
    NatsLog::connect(&config).await.map_err(|why| StartError::Cluster(why.to_string()))
}

/// Makes the broker a node, and returns when it is part of the cluster.
pub(crate) async fn join(opened: &Opened, node: &str, log: impl Log) -> Result<Arc<dyn Roll>, StartError> {
    let teller = opened.teller();
    let config = Config { told: teller.told(), ..Config::new(node) };
    let member = Arc::new(Member(Node::start(log, config, Telling(teller))));
    opened.join(Arc::clone(&member) as _);
    loop {
        match timeout(REMINDER, member.0.joined()).await {
            Ok(Ok(())) => return Ok(member),
            Ok(Err(why)) => return Err(StartError::Cluster(why.to_string())),
            Err(_) => {
                let status = member.0.status();
                tracing::warn!(read = status.position, end = status.end, "waiting to be part of the cluster");
            }
        }
    }
}

/// What is wrong with the node or with its cluster, as alarms.
pub(crate) fn wrong_now(state: &ClusterState) -> Vec<Wrong> {
    wrong(state, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

fn wrong(state: &ClusterState, now_ms: u64) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    // Nobody says of a node that it will not come back.
    let is_missed = |node: &&ClusterNode| !node.is_live && !node.has_left && node.heard + MISSED_MS > now_ms;
    let silent: Vec<_> = state.nodes.iter().filter(is_missed).map(|node| &*node.name).collect();
    if !state.is_live {
        let message = format!("this node is no part of the cluster ({}): nobody comes in here", state.phase);
        wrong.push(Wrong { name: "cluster_degraded", message, details: json!({ "phase": state.phase }) });
    } else if !silent.is_empty() {
        let message = format!("nodes of the cluster are down: {}", silent.join(", "));
        wrong.push(Wrong { name: "cluster_degraded", message, details: json!({ "down": silent }) });
    }
    if state.is_live && (state.behind > MAX_BEHIND || state.on_its_way_ms > MAX_ON_ITS_WAY_MS) {
        let message =
            "this node is behind the cluster's log, or the log is away: who comes in waits, and events are late";
        let details = json!({ "behind": state.behind, "on_its_way_ms": state.on_its_way_ms });
        wrong.push(Wrong { name: "cluster_lagging", message: message.to_owned(), details });
    }
    if let Some(other) = &state.differs {
        let message =
            format!("{other} has read something else in the cluster's log than this node: one of both is wrong");
        wrong.push(Wrong { name: "cluster_digest_differs", message, details: json!({ "node": other }) });
    }
    wrong
}

impl Tell for Telling {
    fn tell(&mut self, position: u64, effect: Effect) {
        self.0.tell(position, effect);
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn missed(&mut self, from: u64, to: u64) {
        self.0.missed(from, to);
    }
}

impl Roll for Member {
    fn up(&self, up: Up) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> {
        let ticket = self.0.up(up).ok()?;
        Some(Box::pin(async { ticket.applied().await.is_ok() }))
    }

    fn down(&self, down: Down) {
        self.0.down(down);
    }

    fn seat(&self, client: &str, conn: u64) -> Option<Seated> {
        self.0.seat(client, conn).map(|(seq, at)| Seated { seq, at })
    }

    fn will_is_due(&self, client: ByteString, event: u64) {
        // Where it is not taken, another node says it.
        drop(self.0.stage(&Record::WillDue { client, event }));
    }

    fn is_first(&self) -> bool {
        self.0.look(|fold| fold.first().is_some_and(|first| first.name == *self.0.name()))
    }

    fn waiting_wills(&self) -> Vec<(ByteString, u64, u64)> {
        self.0.look(|fold| fold.waiting_wills().map(|(id, event, due)| (id.into(), event, due)).collect())
    }

    fn leave(&self, reason: Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let ticket = self.0.stage(&Record::Left { reason });
        Box::pin(async {
            if let Ok(ticket) = ticket {
                // An error says that the node was cut off before.
                let _ = ticket.applied().await;
            }
        })
    }

    fn state(&self) -> ClusterState {
        let status = self.0.status();
        ClusterState {
            is_live: status.phase == Phase::Live,
            phase: match &status.phase {
                Phase::CatchingUp => "catching up".to_owned(),
                Phase::Joining => "joining".to_owned(),
                Phase::Live => "live".to_owned(),
                Phase::Ended(why @ Ended::Left) => why.to_string(),
                Phase::Ended(why) => format!("ended: {why}"),
            },
            position: status.position,
            behind: status.end.saturating_sub(status.position),
            on_its_way_ms: status.on_its_way.map_or(0, |since| since.as_millis() as u64),
            fenced: status.fenced,
            digest: status.digest.to_string(),
            differs: status.differs.map(|(node, _)| node.to_string()),
            online: status.online as u64,
            nodes: status
                .nodes
                .into_iter()
                .map(|node| ClusterNode {
                    name: node.name.to_string(),
                    is_live: node.life == Life::Live,
                    has_left: node.life == Life::Left,
                    since: node.since,
                    heard: node.heard,
                    clients: node.clients,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn node(name: &str, is_live: bool, has_left: bool, heard: u64) -> ClusterNode {
        ClusterNode { name: name.to_owned(), is_live, has_left, since: 0, heard, clients: 0 }
    }

    #[track_caller]
    fn check(state: &ClusterState, names: &[&str]) {
        let wrong: Vec<_> = wrong(state, NOW).into_iter().map(|wrong| wrong.name).collect();
        assert_eq!(wrong, names);
    }

    #[test]
    fn a_node_that_is_down_is_an_alarm_for_a_day() {
        let live = |nodes| ClusterState { is_live: true, nodes, ..ClusterState::default() };
        check(&live(vec![node("a", true, false, NOW), node("b", false, true, NOW - 5000)]), &[]);
        check(&live(vec![node("a", true, false, NOW), node("b", false, false, NOW - 5000)]), &["cluster_degraded"]);
        check(&live(vec![node("b", false, false, NOW - MISSED_MS)]), &[]);
    }

    #[test]
    fn what_is_wrong_with_this_node_is_an_alarm_each() {
        check(&ClusterState::default(), &["cluster_degraded"]);
        let state = ClusterState { is_live: true, on_its_way_ms: 2_001, ..ClusterState::default() };
        check(&state, &["cluster_lagging"]);
        let state =
            ClusterState { is_live: true, behind: 257, differs: Some("b".to_owned()), ..ClusterState::default() };
        check(&state, &["cluster_lagging", "cluster_digest_differs"]);
    }
}
