//! Turns for clients and for tasks.

use std::future::poll_fn;
use std::hash::BuildHasher;
use std::task::Poll;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

/// So many clients have their turn at once, at the most.
const TURNS: usize = 64;

/// What is told of one client by its facts and by time exclude each other, also while that is published. A turn is taken within
/// a transition, before any session's lock; nobody has two.
pub(super) struct Turns {
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { turns: [const { Mutex::new(()) }; TURNS], hasher: RandomState::default() }
    }
}

impl Turns {
    pub(super) fn take(&self, client_id: &str) -> MutexGuard<'_, ()> {
        self.turns[self.hasher.hash_one(client_id) as usize % TURNS].lock()
    }
}

/// Lets other tasks have their turn.
pub(super) async fn pause() {
    let mut is_over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
