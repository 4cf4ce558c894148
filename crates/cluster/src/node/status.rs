//! What operators see of a node.

use std::time::Duration;

use bytestring::ByteString;
use mqtt_roll::{Digest, Fold, Life};

/// How far a node has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads what was before it.
    CatchingUp,
    /// Its word that it comes is on its way.
    Joining,
    /// It is part of the cluster.
    Live,
    /// Its life is over, and it does not begin another one.
    Ended(Ended),
}

/// Why a node does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It has left.
    #[error("the node has left")]
    Left,
    /// Another process has the same name.
    #[error("another process has joined by the same name; give each node a name of its own")]
    Replaced,
    /// The others write what this one does not read.
    #[error("the cluster has gone on to a version of records that is not known here; upgrade this node")]
    Gated,
    /// There are too many names.
    #[error("the cluster knows too many nodes")]
    Crowded,
    /// A part of the log is gone, and nobody knows what was in it.
    #[error("the log begins at {found}, and was read up to {read}")]
    Gap {
        /// Up to there it was read.
        read: u64,
        /// From there on it is there.
        found: u64,
    },
    /// It has read something else than the others: it must not tell any more.
    #[error("up to {position} of the log, other nodes have read something else than this one")]
    Outvoted {
        /// Up to and with this position.
        position: u64,
    },
    /// A batch is of a version that nobody here knows.
    #[error("at {position} of the log: {why}")]
    Unknown {
        /// Where.
        position: u64,
        /// What is wrong with it.
        why: mqtt_roll::Error,
    },
}

/// Of this node and, as far as it has read, of all others.
#[derive(Clone, Debug)]
pub struct Status {
    /// This one.
    pub name: ByteString,
    /// How far it has come.
    pub phase: Phase,
    /// Up to there it has read and told.
    pub position: u64,
    /// Of all that it has read.
    pub digest: Digest,
    /// What it has heard the log's end to be; it may be further by now.
    pub end: u64,
    /// For how long the batch that is on its way has been.
    pub on_its_way: Option<Duration>,
    /// Records that wait for the next batch, and their bytes.
    pub staged: usize,
    /// See [`Self::staged`].
    pub staged_bytes: usize,
    /// How many batches had to be sent again.
    pub resent: u64,
    /// How many times it was fenced.
    pub fenced: u64,
    /// How many batches in the log could not be read, and were passed over.
    pub unread: u64,
    /// Who has read something else, and up to which position that was found.
    pub differs: Option<(ByteString, u64)>,
    /// Clients online in the cluster.
    pub online: usize,
    /// All that are known, by name.
    pub nodes: Vec<NodeStatus>,
}

/// Of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: ByteString,
    /// Whether it lives.
    pub life: Life,
    /// Of its life.
    pub epoch: u64,
    /// Where clients find it, if it says so.
    pub addr: ByteString,
    /// When this life began, by its own clock: milliseconds since the Unix epoch.
    pub since: u64,
    /// When it was heard last, by its own clock: milliseconds since the Unix epoch.
    pub heard: u64,
    /// Clients that are online there.
    pub clients: u64,
    /// Sessions that are kept there.
    pub sessions: u64,
}

pub(super) fn nodes(fold: &Fold) -> Vec<NodeStatus> {
    let one = |node: &mqtt_roll::Node| NodeStatus {
        name: node.name.clone(),
        life: node.life,
        epoch: node.epoch,
        addr: node.addr.clone(),
        since: node.joined_at,
        heard: node.last_at,
        clients: node.clients,
        sessions: node.homes,
    };
    let mut nodes: Vec<_> = fold.nodes().map(one).collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    nodes
}
