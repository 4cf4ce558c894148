//! What a node has to know of itself.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_roll::{READS, Versions};

/// Of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, which no other may have.
    pub name: ByteString,
    /// Where clients find it, if other nodes are to know that.
    pub addr: ByteString,
    /// Which records it reads.
    pub versions: Versions,
    /// How often it says that it lives. Others count six whole ones of their own, so all nodes had better have the same.
    pub beat: Duration,
    /// After so long without an answer a batch is sent again.
    pub append_timeout: Duration,
    /// After so long without anything to read, reading begins anew where it was.
    pub read_timeout: Duration,
    /// Up to which position of the log everything was told by an earlier process. `None`: what is there when this one starts
    /// is nothing to tell of.
    pub told: Option<u64>,
    /// What the log had come to, as an earlier process of this node kept it: without it, what was not told yet can be told only
    /// where the log, or what others kept of it, reaches back as far.
    pub kept: Option<Bytes>,
    /// After so many bytes of the log, what it comes to is kept, by the live node whose name comes first.
    pub snapshot_every: u64,
}

impl Config {
    /// With what is usual.
    pub fn new(name: impl Into<ByteString>) -> Self {
        Self {
            name: name.into(),
            addr: ByteString::new(),
            versions: READS,
            beat: Duration::from_millis(500),
            append_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(2),
            told: None,
            kept: None,
            snapshot_every: 64 * 1024 * 1024,
        }
    }
}
