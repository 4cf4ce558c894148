//! Subscriptions.

use mqtt_codec::{Filter, ReasonCode, SubscribeOptions};

/// Which subscriptions.
pub struct SubscriptionQuery<'a> {
    /// Only of this client.
    pub client_id: Option<&'a str>,
    /// How many of those that are wanted are left out first.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// Which of them. `None`: all.
    pub wanted: Option<&'a dyn Fn(&SubscriptionState) -> bool>,
}

/// A client's subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionState {
    /// Whose.
    pub client_id: String,
    /// With `$share/group/`, if it is shared.
    pub filter: Filter,
    /// What for.
    pub options: SubscribeOptions,
}

/// Why a client was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// It is away, or there is none.
    #[error("the client is not online")]
    Offline,
    /// As its SUBACK would have said.
    #[error("refused: {}", .0.name())]
    Refused(ReasonCode),
}
