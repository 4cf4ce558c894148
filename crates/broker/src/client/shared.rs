//! What a connection's task and others tell each other.

use std::collections::VecDeque;
use std::task::Waker;

use mqtt_session::Outbox;
use tokio::sync::oneshot;

use crate::client::Needs;
use crate::client::ending::Ending;
use crate::client::granted::Terms;
use crate::delivery::wanted::Replay;
use crate::time::patience::Patient;
use crate::time::timers::TimerKey;

/// Behind the connection's lock. Locked for some instructions only.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Wakes the connection's own task.
    pub(super) waker: Option<Waker>,
    pub(super) timer: Option<TimerKey<Patient>>,
    /// Boxed: it costs those who have none of it a word.
    pub(super) rare: Option<Box<Rare>>,
    /// The task has ended.
    pub(super) is_over: bool,
    /// The client has no part in the connection any more.
    pub(super) is_left: bool,
    /// The client has no part in the connection any more, but a flush that began before has the bytes that come first.
    pub(super) is_flushed: bool,
}

/// What most connections never have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Of the first who ends this connection from outside its task.
    pub(super) ending: Option<Ending>,
    /// Retained messages still to be sent.
    pub(super) replays: Replays,
    /// Those who wait until all that has come has been handled.
    pub(super) listeners: Vec<oneshot::Sender<()>>,
    /// What is still to be written once the client has no part in the connection any more.
    pub(super) tail: Option<Tail>,
    /// What the client was let in by, if there is more to it than its being in.
    terms: Option<Box<Terms>>,
}

impl Shared {
    pub(super) fn terms(&mut self) -> &mut Terms {
        self.rare().terms.get_or_insert_default()
    }

    pub(super) fn known_terms(&mut self) -> Option<&mut Terms> {
        self.rare.as_mut()?.terms.as_deref_mut()
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// Those to come, the next in front.
#[derive(Debug, Default)]
pub(super) struct Replays {
    pub(super) queue: VecDeque<Replay>,
    /// Bytes that they take.
    pub(super) held: usize,
}

/// What is still to be written once the client has no part in the connection any more.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) outbox: Outbox,
    pub(super) needs: Needs,
}
