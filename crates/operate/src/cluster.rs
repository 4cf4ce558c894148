//! A cluster, as one of its nodes sees it.

/// How this node is in its cluster, and who else is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// This node is part of it.
    pub is_live: bool,
    /// What this node does instead, or has ended by.
    pub phase: String,
    /// Up to which position of the log it has read.
    pub position: u64,
    /// How many batches it is behind, as far as it knows.
    pub behind: u64,
    /// For how long what it has to say has been on its way: milliseconds.
    pub on_its_way_ms: u64,
    /// How often it was cut off, and joined again.
    pub fenced: u64,
    /// Of all that it has read. Nodes that have read as far have the same.
    pub digest: String,
    /// Who has read something else.
    pub differs: Option<String>,
    /// Clients that are connected, at all nodes.
    pub online: u64,
    /// All nodes that are known, this one too, by name.
    pub nodes: Vec<ClusterNode>,
}

/// How a node is, by what this one has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// As in `$SYS/brokers/${node}`.
    pub name: String,
    /// Part of the cluster.
    pub is_live: bool,
    /// It said that it goes; otherwise, where it is not live, it was found silent.
    pub has_left: bool,
    /// When it joined, by its own clock: milliseconds since the Unix epoch.
    pub since: u64,
    /// When it was heard last, by its own clock: milliseconds since the Unix epoch.
    pub heard: u64,
    /// Clients that are connected there.
    pub clients: u64,
    /// Sessions that are kept there.
    pub sessions: u64,
    /// Where clients find it; empty: it does not say.
    pub reference: String,
    /// It sends its clients elsewhere.
    pub is_draining: bool,
}

/// Why a node is not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// The broker is no node of a cluster, or none of this name is known.
    #[error("there is no such node")]
    Unknown,
    /// It lives.
    #[error("the node lives")]
    Lives,
    /// The other nodes can't be told now.
    #[error("the cluster can't be reached")]
    Away,
}
