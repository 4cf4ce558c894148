//! How things are, on topics of a module's own, for who subscribes.

use mqtt_codec::{Filter, Message};

/// Tells how things are, on topics of its own: to who subscribes it is as if on each of them the latest message were retained,
/// though it is made when it is sent, and none is stored.
///
/// Who subscribes is sent the states as retained messages would be: with the retain flag, or not, by its *Retain Handling*; some at a
/// time, as it takes them; and what is left goes on when it is back. What changes is published by
/// [`Moment::publish_state`](crate::Moment::publish_state), and only to whose filter names the topic's last level, so that
/// subscribers to all there is are not told of everything twice; or, where the states are to be for subscribers what retained
/// messages are, by [`Moment::publish_state_to_all`](crate::Moment::publish_state_to_all).
///
/// Only the latest state counts. A subscriber that takes them too slowly may miss some, and is sent what has become of those
/// later, so that it is never left with an earlier one.
pub trait States: Send + Sync {
    /// The filter may match topics of its own. Asked for each that is subscribed with, so it is to be quick. One whose last
    /// level is a wildcard is about none, unless what changes is published to all.
    fn is_about(&self, filter: &Filter) -> bool;

    /// Looks at some, adds the names of those that match to `found`, and moves on; false: there are no more. A name means
    /// something to this module only, and its topic is to be the same each time. What comes up or changes after a walk has
    /// begun is published, so it need not be found.
    fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool;

    /// The state of this name by now; `None`: there is none any more.
    ///
    /// It is called while the subscriber is locked, so that no earlier state can follow a later one. So it must not use the
    /// [`Host`](crate::Host), and take no lock under which something is published.
    fn state(&self, name: &str) -> Option<Message>;

    /// What a subscriber is sent when it has been sent all states, if it subscribes to that too.
    fn done(&self, walk: &Walk) -> Option<Message>;
}

/// How far a subscriber has been sent states. What `at` and `until` mean is for who tells them; all are 0 at first, but for
/// `since` and `is_missed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Where to go on.
    pub at: u64,
    /// How things were when it began.
    pub until: u64,
    /// Only states that have changed since: with a higher number than this.
    pub since: u64,
    /// How many states have been sent.
    pub sent: u64,
    /// It is for one who may have missed some, not for one who subscribes.
    pub is_missed: bool,
}
