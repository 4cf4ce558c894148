//! A log and a wire in memory, for tests: they do to each node what networks and servers do to them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::{Entry, Inbox, Log, LogError, Reader, Wire};

/// What all nodes share.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    batches: Mutex<Vec<Bytes>>,
    saved: Mutex<Option<Bytes>>,
    /// Up to there batches are gone.
    trimmed: Mutex<u64>,
    /// How many there are.
    len: watch::Sender<u64>,
    /// Of each node that listens.
    inboxes: Mutex<HashMap<String, mpsc::UnboundedSender<Bytes>>>,
}

/// One node's way to it.
#[derive(Clone, Debug)]
pub struct Line {
    memory: Memory,
    faults: Arc<watch::Sender<Faults>>,
    held: Arc<Mutex<Vec<Bytes>>>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Nothing gets through, either way.
    pub is_cut: bool,
    /// Batches are kept on the way until they are [released](Line::release).
    pub holds_back: bool,
    /// Of so many batches the answer is lost.
    pub lost_replies: usize,
    /// So many batches arrive twice.
    pub doubled: usize,
    /// Of what is read at this position, a bit is another one.
    pub flipped: Option<u64>,
    /// So many frames to other nodes are lost.
    pub lost_frames: usize,
    /// Nothing gets through between nodes, either way.
    pub is_mute: bool,
}

/// Where frames come for a node.
#[derive(Debug)]
pub struct MemoryInbox {
    line: Line,
    frames: mpsc::UnboundedReceiver<Bytes>,
}

/// A place in it.
#[derive(Debug)]
pub struct MemoryReader {
    line: Line,
    next: u64,
}

impl Memory {
    /// A way to it that has no faults yet.
    pub fn line(&self) -> Line {
        Line { memory: self.clone(), faults: Arc::default(), held: Arc::default() }
    }

    /// All that is in it.
    pub fn batches(&self) -> Vec<Bytes> {
        self.0.batches.lock().clone()
    }

    /// Appends what somebody else may have written.
    pub fn push(&self, batch: Bytes) {
        let mut batches = self.0.batches.lock();
        batches.push(batch);
        self.0.len.send_replace(batches.len() as u64);
    }
}

impl Memory {
    /// Loses what is oldest, up to and with a position.
    pub fn trim(&self, position: u64) {
        *self.0.trimmed.lock() = position;
    }

    /// Whether a snapshot is kept.
    pub fn has_snapshot(&self) -> bool {
        self.0.saved.lock().is_some()
    }
}

impl Line {
    /// From now on.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// What was held back arrives.
    pub fn release(&self) {
        self.held.lock().drain(..).for_each(|batch| self.memory.push(batch));
    }

    /// How many batches are held back.
    pub fn held(&self) -> usize {
        self.held.lock().len()
    }

    async fn uncut(&self) {
        // The sender is held here, so it can't be gone.
        let _ = self.faults.subscribe().wait_for(|faults| !faults.is_cut).await;
    }

    fn is_mute(&self) -> bool {
        let faults = self.faults.borrow();
        faults.is_cut || faults.is_mute
    }

    /// Takes one of the faults that are counted.
    fn takes(&self, count: fn(&mut Faults) -> &mut usize) -> bool {
        let mut is_one = false;
        self.faults.send_if_modified(|faults| {
            let count = count(faults);
            is_one = *count > 0;
            *count -= usize::from(is_one);
            is_one
        });
        is_one
    }
}

impl Log for Line {
    type Reader = MemoryReader;

    async fn append(&self, batch: Bytes) -> Result<(), LogError> {
        self.uncut().await;
        if self.faults.borrow().holds_back {
            self.held.lock().push(batch);
            return std::future::pending().await;
        }
        if self.takes(|faults| &mut faults.doubled) {
            self.memory.push(batch.clone());
        }
        self.memory.push(batch);
        if self.takes(|faults| &mut faults.lost_replies) { std::future::pending().await } else { Ok(()) }
    }

    async fn read_from(&self, position: u64) -> Result<MemoryReader, LogError> {
        let first = *self.memory.0.trimmed.lock() + 1;
        Ok(MemoryReader { line: self.clone(), next: position.max(first) })
    }

    async fn end(&self) -> Result<u64, LogError> {
        self.uncut().await;
        Ok(*self.memory.0.len.borrow())
    }

    async fn save(&self, _: u64, snapshot: Bytes) -> Result<(), LogError> {
        self.uncut().await;
        *self.memory.0.saved.lock() = Some(snapshot);
        Ok(())
    }

    async fn saved(&self) -> Result<Option<Bytes>, LogError> {
        self.uncut().await;
        Ok(self.memory.0.saved.lock().clone())
    }
}

impl Reader for MemoryReader {
    async fn next(&mut self) -> Result<Entry, LogError> {
        let _ = self.line.memory.0.len.subscribe().wait_for(|len| *len >= self.next).await;
        self.line.uncut().await;
        let mut batch = self.line.memory.0.batches.lock()[self.next as usize - 1].clone();
        let position = self.next;
        if self.line.faults.borrow().flipped == Some(position) {
            let mut other = batch.to_vec();
            other.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            batch = other.into();
        }
        self.next += 1;
        Ok(Entry { position, batch })
    }
}

impl Wire for Line {
    type Inbox = MemoryInbox;

    async fn listen(&self, node: &str) -> Result<MemoryInbox, LogError> {
        let (sender, frames) = mpsc::unbounded_channel();
        self.memory.0.inboxes.lock().insert(node.to_owned(), sender);
        Ok(MemoryInbox { line: self.clone(), frames })
    }

    async fn send(&self, node: &str, frame: Bytes) {
        if self.is_mute() || self.takes(|faults| &mut faults.lost_frames) {
            return;
        }
        if let Some(inbox) = self.memory.0.inboxes.lock().get(node) {
            // Who does not listen hears nothing.
            let _ = inbox.send(frame);
        }
    }
}

impl Inbox for MemoryInbox {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.frames.recv().await?;
            if !self.line.is_mute() {
                return Some(frame);
            }
        }
    }
}
