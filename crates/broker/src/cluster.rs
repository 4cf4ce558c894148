//! A broker that is a node of a cluster.
//!
//! Who comes and who goes is then decided by one ordered log that all nodes read, the *roll*: here it is only said, and what the
//! log comes to is [told](teller) by each node to its own subscribers, the same everywhere. So the facts of a client id alternate on
//! every node, wherever it connects.
//!
//! Without a cluster nothing of this happens but the look whether there is one.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_hooks::{ConnectionInfo, OWN_CLIENTS};
use mqtt_operate::ClusterState;
use mqtt_roll::{Down, Up};

pub(crate) mod bans;
pub(crate) mod due;
pub(crate) mod ends;
pub(crate) mod enrolment;
mod forgetting;
pub(crate) mod letter;
pub(crate) mod peers;
mod teller;
pub(crate) mod wills;

pub use peers::{Ears, Peer};
pub(crate) use teller::NOTE;
pub use teller::Teller;

/// The roll, as the broker sees it.
pub trait Roll: Send + Sync + 'static {
    /// A client has come. What is returned is done when this node has read of it, and of all that was before; false: that will
    /// never be. `None`: nobody can come in now.
    fn up(&self, up: Up) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>>;

    /// While this node has not got all that it missed when it was no part of the cluster, or others do not know what is wanted here:
    /// what is returned is done when that is over. Who is let in before would miss what is published elsewhere.
    fn catching_up(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

    /// A connection of this node has ended. Where the node is no part of the cluster any more, all know that already.
    fn down(&self, down: Down);

    /// What is known of this connection of this node, if it is its client's current one by what has been read.
    fn seat(&self, client: &str, conn: u64) -> Option<Seated>;

    /// At which other node the client is, and by which connection there, by what has been read.
    fn elsewhere(&self, client: &str) -> Option<(ByteString, u64)>;

    /// The other nodes that live and say where clients find them, each with that.
    fn references(&self) -> Vec<(ByteString, ByteString)>;

    /// Has another node end the connection that this client has there, and its session; false if it has none.
    fn kick(&self, client: &str) -> bool;

    /// Where the session of this client is kept, by what has been read. `None`: nowhere.
    fn home(&self, client: &str) -> Option<Home>;

    /// This node keeps the client's session from now on, unless the client has come elsewhere meanwhile. What is returned is done when
    /// this node has read of it; false: that will never be. `None`: nobody can be told now.
    fn take_home(&self, client: ByteString) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>>;

    /// The client's session has ended. Nothing, if it is known to be kept elsewhere.
    fn give_up_home(&self, client: &str);

    /// This node, which does not live, will not come back. What is returned is done when this node has read of it; false: that will
    /// never be. `None`: nobody can be told now.
    fn forget(&self, node: &str) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>>;

    /// Whose sessions are kept here, by what has been read.
    fn homes_here(&self) -> Vec<ByteString>;

    /// The delay of a will is over, which has waited since this event.
    fn will_is_due(&self, client: ByteString, event: u64);

    /// Whether this node does what is done once in the cluster.
    fn is_first(&self) -> bool;

    /// The wills that wait, each with its client, since which event, and until when: milliseconds since the Unix epoch.
    fn waiting_wills(&self) -> Vec<(ByteString, u64, u64)>;

    /// The node leaves, with all its clients; done when all know, or that can't be waited for.
    fn leave(&self, reason: Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// What holds at all nodes from now on, by its name; `None`: it holds no more.
    ///
    /// # Errors
    /// They can't be told.
    fn set(&self, key: ByteString, value: Option<Bytes>) -> Result<(), String>;

    /// What holds at all nodes under names that begin so.
    fn settings(&self, prefix: &str) -> Vec<(ByteString, Bytes)>;

    /// For operators.
    fn state(&self) -> ClusterState;
}

/// The node that keeps a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// This one.
    Here,
    /// Another, which lives.
    At(ByteString),
    /// Another, which is dead or has left.
    Down(ByteString),
}

/// A client that is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seated {
    /// Counts the client's comings and goings.
    pub seq: u64,
    /// When it came: milliseconds since the Unix epoch.
    pub at: u64,
}

/// The broker's place in a cluster, if it has one.
#[derive(Default)]
pub(crate) struct Membership {
    roll: OnceLock<Arc<dyn Roll>>,
    pub(crate) wills: wills::Waiting,
    pub(crate) peers: peers::Peers,
    pub(crate) ends: ends::Ends,
}

impl Membership {
    pub(crate) fn join(&self, roll: Arc<dyn Roll>) {
        // Who joins twice stays where it was.
        let _ = self.roll.set(roll);
    }

    pub(crate) fn roll(&self) -> Option<&Arc<dyn Roll>> {
        self.roll.get()
    }

    /// The roll that this client is in. The broker's own clients are at each node what they are there.
    pub(crate) fn roll_of(&self, info: &ConnectionInfo) -> Option<&Arc<dyn Roll>> {
        self.roll().filter(|_| !info.client_id.starts_with(OWN_CLIENTS))
    }
}
