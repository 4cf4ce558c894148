//! Questions and facts that modules register for.

use std::sync::Arc;

use mqtt_codec::{Filter, Message, ReasonCode, SubscribeOptions, Topic};

use crate::{ConnectionInfo, Fact};

/// Sees facts, inline, where they happen. An observer that talks to the network hands over to a queue of its own.
pub trait Observe: Send + Sync {
    /// One fact.
    fn observe(&self, fact: &Fact<'_>);
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
    /// Asked once per CONNECT, before the session is touched.
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
    /// Asked for each PUBLISH and each filter of a SUBSCRIBE.
    fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict;
}

/// Changes or drops what clients send.
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

/// All hooks of the running modules; an empty list costs a load.
#[derive(Default)]
pub struct Hooks {}

impl Hooks {
    /// No hooks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// True if [`Self::observe`] reaches anyone.
    pub fn has_observers(&self) -> bool {
        todo!()
    }

    /// Shows a fact to all observers. One that panics is logged and passed over.
    pub fn observe(&self, fact: &Fact<'_>) {
        let _ = fact;
        todo!()
    }

    /// Asks the authenticators in order of registration.
    pub async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Verdict {
        let _ = (client, password);
        todo!()
    }

    /// Asks the authorizers in order of registration.
    pub fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict {
        let _ = (client, access);
        todo!()
    }

    /// True if [`Self::intercept_publish`] or [`Self::intercept_subscribe`] reaches anyone.
    pub fn has_interceptors(&self) -> bool {
        todo!()
    }

    /// Lets all interceptors at a message; `false`: dropped.
    pub fn intercept_publish(&self, client: &ConnectionInfo, message: &mut Message) -> bool {
        let _ = (client, message);
        todo!()
    }

    /// Lets all interceptors at a filter.
    pub fn intercept_subscribe(&self, client: &ConnectionInfo, filter: &mut Filter, options: &mut SubscribeOptions) {
        let _ = (client, filter, options);
        todo!()
    }
}
