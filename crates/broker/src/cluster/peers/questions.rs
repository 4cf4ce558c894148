//! What was asked of other nodes and is not answered yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::peer::Peer;

/// Who was asked for what is retained.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) names: HashSet<ByteString>,
    /// One of them has told all.
    pub(super) has_one: bool,
    /// There is nobody left to ask.
    pub(super) is_over: bool,
    /// Who has asked us before we knew ourselves.
    pub(super) waiting: Vec<Arc<dyn Peer>>,
}

/// Of one kind, by their numbers, with who waits for the answer.
pub(super) struct Questions<T>(Mutex<(u64, HashMap<u64, oneshot::Sender<T>>)>);

/// One of them. Dropped, it is not waited for any more.
pub(super) struct Question<'a, T> {
    questions: &'a Questions<T>,
    pub(super) number: u64,
    pub(super) answer: oneshot::Receiver<T>,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Questions<T> {
    pub(super) fn ask(&self) -> Question<'_, T> {
        let (sender, answer) = oneshot::channel();
        let (last, waiting) = &mut *self.0.lock();
        *last += 1;
        waiting.insert(*last, sender);
        Question { questions: self, number: *last, answer }
    }

    /// Who asked may have given up.
    pub(super) fn answer(&self, number: u64, answer: T) {
        if let Some(sender) = self.0.lock().1.remove(&number) {
            let _ = sender.send(answer);
        }
    }
}

impl<T> Drop for Question<'_, T> {
    fn drop(&mut self) {
        self.questions.0.lock().1.remove(&self.number);
    }
}
