//! What is left for a connection's task to send: retained messages and states in slices, in the order of the client's
//! SUBSCRIBEs, and what its session has not given up yet.

use std::sync::atomic::Ordering::Relaxed;

use crate::client::connection::Connection;
use crate::delivery::wanted::Replay;

/// There are [`Replay`]s to go on with.
const REPLAYS: u8 = 1;
/// There is more for the client than its session gave up or sent at once.
const BACKLOG: u8 = 2;

impl Connection {
    /// Retained messages are still to be sent.
    pub(crate) fn is_replaying(&self) -> bool {
        self.more.load(Relaxed) & REPLAYS != 0
    }

    fn note_replays(&self, are_there: bool) {
        if are_there {
            self.more.fetch_or(REPLAYS, Relaxed);
        } else {
            self.more.fetch_and(!REPLAYS, Relaxed);
        }
    }

    /// The task is to have the session go on.
    pub(crate) fn note_backlog(&self) {
        self.more.fetch_or(BACKLOG, Relaxed);
        self.wake();
    }

    /// Whether the session is to go on, since this was last asked.
    pub(crate) fn take_backlog(&self) -> bool {
        // Two steps, for it is nearly always false. Between them it can only be set again, and the task goes on anyway.
        self.more.load(Relaxed) & BACKLOG != 0 && self.more.fetch_and(!BACKLOG, Relaxed) & BACKLOG != 0
    }

    /// Bytes that those take which are still to be sent.
    pub(crate) fn replays_held(&self) -> usize {
        if !self.is_replaying() {
            return 0;
        }
        self.shared.lock().rare.as_ref().map_or(0, |rare| rare.replays.held)
    }

    /// Whether there is a replay of states that were missed, and has not begun.
    pub(crate) fn awaits_states(&self) -> bool {
        self.is_replaying()
            && self.shared.lock().rare.as_ref().is_some_and(|rare| rare.replays.queue.iter().any(Replay::awaits_states))
    }

    /// The task is to send these after those it sends now.
    pub(crate) fn add_replay(&self, replay: Replay) {
        {
            let mut shared = self.shared.lock();
            let replays = &mut shared.rare().replays;
            replays.held += replay.held();
            replays.queue.push_back(replay);
        }
        // Behind the lock, where the task may have taken it out again: then the flag is true for too long, and the next
        // look sets it right. It is never false while there is one.
        self.note_replays(true);
        self.wake();
    }

    /// The one to go on with. While it is out, others may be added.
    pub(crate) fn take_replay(&self) -> Option<Replay> {
        let mut shared = self.shared.lock();
        let replays = &mut shared.rare.as_mut()?.replays;
        let replay = replays.queue.pop_front();
        replays.held -= replay.as_ref().map_or(0, Replay::held);
        self.note_replays(!replays.queue.is_empty());
        replay
    }

    /// The one that was taken is not at its end.
    pub(crate) fn return_replay(&self, replay: Replay) {
        let mut shared = self.shared.lock();
        let replays = &mut shared.rare().replays;
        replays.held += replay.held();
        replays.queue.push_front(replay);
        self.note_replays(true);
    }
}
