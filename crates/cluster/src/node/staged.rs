//! What waits for the next batch.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use mqtt_roll::Record;
use tokio::sync::oneshot;

use super::{Refusal, Ticket};

/// Records of a batch: bytes. There may be one record more, however long that is.
const MAX_TAKEN: usize = 256 * 1024;

/// Records that wait: bytes. Beyond that only ends are taken: there is one at most for each coming that was taken.
const MAX_WAITING: usize = 64 * 1024 * 1024;

/// In the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Staged {
    queue: VecDeque<(Bytes, Waiter)>,
    bytes: usize,
    /// The node is live.
    is_open: bool,
}

/// Is told when the node's own reader has applied the record; dropped, if that never happens.
pub(super) type Waiter = Option<oneshot::Sender<()>>;

impl Staged {
    pub(super) fn push(&mut self, record: &Record) -> Result<Ticket, Refusal> {
        let is_end = matches!(record, Record::Down(_) | Record::Left { .. });
        match () {
            () if !self.is_open => return Err(Refusal::NotLive),
            () if self.bytes > MAX_WAITING && !is_end => return Err(Refusal::Full),
            () => {}
        }
        let (waiter, ticket) = oneshot::channel();
        self.add(record, Some(waiter));
        Ok(Ticket(ticket))
    }

    /// Of the node's own, whatever there is.
    pub(super) fn add(&mut self, record: &Record, waiter: Waiter) {
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes);
        self.bytes += bytes.len();
        self.queue.push_back((bytes.freeze(), waiter));
    }

    /// As much as goes into one batch.
    pub(super) fn take(&mut self) -> (BytesMut, Vec<oneshot::Sender<()>>) {
        let (mut records, mut waiters) = (BytesMut::new(), Vec::new());
        while records.len() < MAX_TAKEN
            && let Some((record, waiter)) = self.queue.pop_front()
        {
            records.extend_from_slice(&record);
            waiters.extend(waiter);
        }
        self.bytes -= records.len();
        (records, waiters)
    }

    /// What is said from now on belongs to this life.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// What waits belongs to a life that is over.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
