//! A node, as the broker holds it.

mod appender;
mod driver;
mod following;
mod staged;
mod status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_roll::{Down, Effect, Fold, Record, Up};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

pub use status::{Ended, NodeStatus, Phase, Status};

use crate::{Config, Log};
use driver::Driver;
use staged::Staged;

/// Is told what the log comes to, in its order: the fold has changed already. It is called from the node's own task, so what takes
/// long keeps the node from beating.
pub trait Tell: Send + 'static {
    /// An effect of the batch at this position. [`Effect::Gone`] of this node means that its connections are not its own any
    /// more: they are to be closed.
    fn tell(&mut self, position: u64, effect: Effect);

    /// What was told so far is to be with those it is for, before anything waits on it: there is nothing more for now.
    fn flush(&mut self) {}

    /// All effects of all batches up to this position were told.
    fn told(&mut self, _position: u64) {}

    /// What was between these positions, the second included, can't be told: the log does not have it any more.
    fn missed(&mut self, from: u64, to: u64) {
        tracing::error!(from, to, "a part of the log is gone, and was not told");
    }
}

/// Part of a cluster, as long as this is held.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Is for one record that was staged.
#[derive(Debug)]
#[must_use]
pub struct Ticket(oneshot::Receiver<()>);

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node is not part of the cluster, or is not any more: what it had to say is void.
    #[error("the node is not part of the cluster")]
    NotLive,
    /// Too much waits for the log.
    #[error("too much waits for the log")]
    Full,
}

/// What the node's task and its holders share.
#[derive(Debug)]
struct Shared {
    config: Config,
    /// Changed by the task alone. Who looks at it keeps the task waiting.
    fold: Mutex<Fold>,
    staged: Mutex<Staged>,
    /// Something was staged.
    wake: Notify,
    phase: watch::Sender<Phase>,
    seen: Mutex<Seen>,
}

/// What the task has seen.
#[derive(Debug, Default)]
struct Seen {
    end: u64,
    flying: Option<Instant>,
    resent: u64,
    fenced: u64,
    unread: u64,
    differs: Option<(bytestring::ByteString, u64)>,
}

impl<F: FnMut(u64, Effect) + Send + 'static> Tell for F {
    fn tell(&mut self, position: u64, effect: Effect) {
        self(position, effect);
    }
}

impl Node {
    /// Begins to read and, once it has come to the log's end, joins. This must be called in a runtime.
    pub fn start(log: impl Log, config: Config, tell: impl Tell) -> Self {
        let shared = Arc::new(Shared {
            config,
            fold: Mutex::default(),
            staged: Mutex::default(),
            wake: Notify::new(),
            phase: watch::Sender::new(Phase::CatchingUp),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(Driver::new(Arc::new(log), Arc::clone(&shared), tell).run());
        Self { shared, task }
    }

    /// A client has come: it is in when this has been applied, if [it is still seated](Self::is_seated) then.
    ///
    /// # Errors
    /// It can't come in now.
    pub fn up(&self, up: Up) -> Result<Ticket, Refusal> {
        self.stage(&Record::Up(up))
    }

    /// A connection has ended. Nobody has to wait for that; where the node is fenced, all know already.
    pub fn down(&self, down: Down) {
        drop(self.stage(&Record::Down(down)));
    }

    /// Whatever else is to be told to all.
    ///
    /// # Errors
    /// It is not taken.
    pub fn stage(&self, record: &Record) -> Result<Ticket, Refusal> {
        let ticket = self.shared.staged.lock().push(record)?;
        self.shared.wake.notify_one();
        Ok(ticket)
    }

    /// Whether this connection of this node is its client's current one, as far as the node has read.
    pub fn is_seated(&self, client: &str, conn: u64) -> bool {
        let fold = self.shared.fold.lock();
        fold.client(client).is_some_and(|client| client.node.name == self.shared.config.name && client.conn == conn)
    }

    /// Of this connection, if it is seated: the count of its client's comings and goings, and when it came.
    pub fn seat(&self, client: &str, conn: u64) -> Option<(u64, u64)> {
        let fold = self.shared.fold.lock();
        let client = fold.client(client).filter(|client| client.conn == conn)?;
        (client.node.name == self.shared.config.name).then_some((client.seq, client.at))
    }

    /// By which name it is known.
    pub fn name(&self) -> &ByteString {
        &self.shared.config.name
    }

    /// Looks at what the log comes to. The node does not read on meanwhile.
    pub fn look<T>(&self, at: impl FnOnce(&Fold) -> T) -> T {
        at(&self.shared.fold.lock())
    }

    /// For operators.
    pub fn status(&self) -> Status {
        let Shared { config, fold, staged, phase, seen, .. } = &*self.shared;
        let (staged, staged_bytes) = {
            let staged = staged.lock();
            (staged.len(), staged.bytes())
        };
        let fold = fold.lock();
        let seen = seen.lock();
        Status {
            name: config.name.clone(),
            phase: phase.borrow().clone(),
            position: fold.position(),
            digest: fold.digest(),
            end: seen.end.max(fold.position()),
            on_its_way: seen.flying.map(|since| since.elapsed()),
            staged,
            staged_bytes,
            resent: seen.resent,
            fenced: seen.fenced,
            unread: seen.unread,
            differs: seen.differs.clone(),
            online: fold.online(),
            nodes: status::nodes(&fold),
        }
    }

    /// How far it has come, and each change of that.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.shared.phase.subscribe()
    }

    /// Waits until the node is live.
    ///
    /// # Errors
    /// It never will be.
    pub async fn joined(&self) -> Result<(), Ended> {
        let is_over = |phase: &Phase| matches!(phase, Phase::Live | Phase::Ended(_));
        match self.phase().wait_for(is_over).await.as_deref() {
            Ok(Phase::Ended(why)) => Err(why.clone()),
            // Nobody else has a hand on the phase.
            _ => Ok(()),
        }
    }

    /// Says that it goes, with what its clients are told for a reason, and waits at most so long for that to be in the log.
    /// Whether it is.
    pub async fn leave(self, reason: Bytes, patience: Duration) -> bool {
        let has_left = async {
            match self.stage(&Record::Left { reason }) {
                Ok(ticket) => ticket.applied().await.is_ok(),
                Err(_) => false,
            }
        };
        timeout(patience, has_left).await.unwrap_or(false)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ticket {
    /// Waits until the node's own reader has applied the record, and all that follows from it was told.
    ///
    /// # Errors
    /// It is void, for the node was fenced before.
    pub async fn applied(self) -> Result<(), Refusal> {
        self.0.await.map_err(|_| Refusal::NotLive)
    }
}

#[cfg(test)]
mod tests;
