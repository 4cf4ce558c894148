//! All links of a node.

mod task;

use std::collections::HashMap;
use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Wire;
use crate::link::Outgoing;
use task::Task;

/// Is told what other nodes say.
pub trait Hear: Send + 'static {
    /// This node lives: from now on pieces come of it, and it can be spoken to.
    fn came(&mut self, peer: Arc<Peer>);

    /// Its life is over, or ours: nothing comes of it any more, and what was said to it may not have been heard.
    fn went(&mut self, peer: &Peer);

    /// It has said this, in its order. Done when nothing of it can be lost any more.
    fn hear(&mut self, peer: &Arc<Peer>, pieces: Vec<Bytes>) -> impl Future<Output = ()> + Send;
}

/// The links of a node, as long as this is held.
#[derive(Debug)]
pub struct Links {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Another node, in one of its lives.
#[derive(Debug)]
pub struct Peer {
    name: ByteString,
    epoch: u64,
    out: Mutex<Outgoing>,
    /// Up to there it has handled what was said to it.
    handled: watch::Sender<Handled>,
    /// The links have something to send.
    wake: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    UpTo(u64),
    /// There is nobody to wait for.
    Gone,
}

/// Which nodes live, by name, with their epochs; this one apart.
type Lives = HashMap<ByteString, u64>;

/// What the links know of the log.
#[derive(Debug, Default)]
struct Shared {
    /// Of our life; `None`: we are no part of the cluster now.
    roll: Mutex<Option<(u64, Lives)>>,
    /// Up to there we have told what the log came to.
    position: AtomicU64,
    wake: Arc<Notify>,
}

impl Links {
    /// Begins to listen. Until it is [told](Self::note_lives) of others there is nobody to speak with. This must be called in a
    /// runtime.
    pub fn start(wire: impl Wire, name: ByteString, hear: impl Hear) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(Task::new(wire, name, Arc::clone(&shared), hear).run());
        Self { shared, task }
    }

    /// The epoch of our life and those of the others', by what has been read of the log; `None`: we are no part of the cluster.
    pub fn note_lives(&self, lives: Option<(u64, HashMap<ByteString, u64>)>) {
        *self.shared.roll.lock() = lives;
        self.shared.wake.notify_one();
    }

    /// How to end them without dropping them. Nobody is heard from then on, nor spoken to.
    pub fn end(&self) -> impl FnOnce() + Send + use<> {
        let task = self.task.abort_handle();
        move || task.abort()
    }

    /// All up to this position of the log was told: what others say behind that may be heard.
    pub fn note_told(&self, position: u64) {
        self.shared.position.store(position, Relaxed);
        self.shared.wake.notify_one();
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    fn new(name: ByteString, epoch: u64, wake: Arc<Notify>) -> Self {
        Self { name, epoch, out: Mutex::default(), handled: watch::Sender::new(Handled::UpTo(0)), wake }
    }

    /// Which node it is.
    pub const fn name(&self) -> &ByteString {
        &self.name
    }

    /// Of its life.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Says a piece, which is made of these parts. Returns a place that [`Self::handled`] takes. To who is gone nothing is said.
    ///
    /// How much may wait is for the caller to bound, by [`Self::held`].
    pub fn say(&self, parts: &[&[u8]]) -> u64 {
        let mut out = self.out.lock();
        // Under its lock, so that nothing is left behind by who says that it is gone.
        if *self.handled.borrow() == Handled::Gone {
            return 0;
        }
        let was_empty = out.is_idle();
        let end = out.push(parts);
        drop(out);
        if was_empty {
            self.wake.notify_one();
        }
        end
    }

    /// The place of what was said last.
    pub fn said(&self) -> u64 {
        self.out.lock().end()
    }

    /// Bytes that were said and are not known to have arrived.
    pub fn held(&self) -> u64 {
        self.out.lock().held()
    }

    /// Pieces that were said and are not known to be done with.
    pub fn pending(&self) -> usize {
        self.out.lock().pending()
    }

    /// Whether the piece that ends there is done with, or never will be.
    pub fn has_handled(&self, place: u64) -> bool {
        self.handled.borrow().covers(place)
    }

    /// Waits until the piece that ends there is done with, or its node is gone.
    pub async fn handled(&self, place: u64) {
        // The sender is held here.
        let _ = self.handled.subscribe().wait_for(|handled| handled.covers(place)).await;
    }

    /// Nothing that was said and is not acknowledged will be; says how many pieces that are.
    fn end(&self) -> usize {
        let mut out = self.out.lock();
        self.handled.send_replace(Handled::Gone);
        std::mem::take(&mut *out).pending()
    }

    fn note_handled(&self, handled: u64) {
        self.handled.send_if_modified(|before| match before {
            Handled::UpTo(at) if *at < handled => {
                *at = handled;
                true
            }
            _ => false,
        });
    }
}

impl Handled {
    const fn covers(self, place: u64) -> bool {
        match self {
            Self::UpTo(at) => place <= at,
            Self::Gone => true,
        }
    }
}

#[cfg(test)]
mod tests;
