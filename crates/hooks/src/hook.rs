//! Questions and facts that modules register for.

use mqtt_codec::{Filter, Message, ReasonCode, SubscribeOptions, Topic};

use crate::{ConnectionInfo, Fact, Moment};

/// Sees facts, inline, where they happen. An observer that talks to the network hands over to a queue of its own.
pub trait Observe: Send + Sync {
    /// One fact. What is published and kept through `moment` leaves, and gets into the store, with what the fact is
    /// about. A panic is logged, and the next observer is shown the fact all the same.
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment);
}

/// What a hook says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask the next one; if there is none, the broker's default holds.
    Ignore,
    /// Yes; nobody else is asked.
    Allow,
    /// No, with this code; nobody else is asked.
    Deny(ReasonCode),
}

/// Decides who comes in.
#[async_trait::async_trait]
pub trait Authenticate: Send + Sync {
    /// Asked once per CONNECT, before the session is touched. A panic denies.
    async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Verdict;
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// Publish to a topic.
    Publish(&'a Topic),
    /// Subscribe with a filter.
    Subscribe(&'a Filter),
}

/// Decides what a client may do.
pub trait Authorize: Send + Sync {
    /// Asked for each PUBLISH and each filter of a SUBSCRIBE. A panic denies.
    fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict;
}

/// Changes or drops what clients send. What one that panics has changed is put back.
pub trait Intercept: Send + Sync {
    /// Sees an accepted message before it is routed; `false` drops it.
    fn publish(&self, client: &ConnectionInfo, message: &mut Message) -> bool {
        let _ = (client, message);
        true
    }

    /// Sees a filter before it is subscribed with; may replace it.
    fn subscribe(&self, client: &ConnectionInfo, filter: &mut Filter, options: &mut SubscribeOptions) {
        let _ = (client, filter, options);
    }
}
