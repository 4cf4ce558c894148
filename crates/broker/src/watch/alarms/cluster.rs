//! What is wrong with a node, or with its cluster.

use mqtt_operate::{ClusterNode, ClusterState};
use serde_json::json;

use super::Wrong;

/// Batches that a node may be behind, and what it says may take, until that is an alarm.
const MAX_BEHIND: u64 = 256;
const MAX_ON_ITS_WAY_MS: u64 = 2_000;

/// A node that is down is missed for so long.
const MISSED_MS: u64 = 24 * 60 * 60 * 1000;

/// `now_ms`: milliseconds since the Unix epoch.
pub(super) fn wrong_with_cluster(state: &ClusterState, now_ms: u64) -> Vec<Wrong> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn node(name: &str, is_live: bool, has_left: bool, heard: u64) -> ClusterNode {
        let (reference, is_draining) = (String::new(), false);
        ClusterNode {
            name: name.to_owned(),
            is_live,
            has_left,
            since: 0,
            heard,
            clients: 0,
            sessions: 0,
            reference,
            is_draining,
        }
    }

    #[track_caller]
    fn check(state: &ClusterState, names: &[&str]) {
        let wrong: Vec<_> = wrong_with_cluster(state, NOW).into_iter().map(|wrong| wrong.name).collect();
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
