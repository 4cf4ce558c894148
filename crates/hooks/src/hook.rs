//! Questions and facts that modules register for.

use std::sync::Arc;

use mqtt_codec::{Filter, Message, Qos, ReasonCode, SubscribeFilter, SubscribeOptions, Topic};

use crate::{ConnectionInfo, Exchange, Fact, Moment, Rules};

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
    /// Asked once per CONNECT that names no method of extended authentication, before the session is touched. A panic denies.
    async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Login;

    /// The methods of extended authentication that it knows (MQTT 5, section 4.12). A client that names one that nobody
    /// knows is refused (0x8C, bad authentication method).
    fn methods(&self) -> &[&str] {
        &[]
    }

    /// Asked in place of [`Self::authenticate`] where CONNECT names one of its methods, and again whenever that client asks to
    /// be authenticated again. Then the client goes on meanwhile by what it was granted before; [`Login::Allow`] replaces the
    /// grant's rules and end, and anything else ends the connection (0x87, not authorized). A panic denies, and so does time:
    /// all of it may take as long as a CONNECT.
    ///
    /// [`Login::Ignore`] asks the next one that knows the method, unless the client was challenged. If nobody decides, that is
    /// a no: the broker's default is for those who bring no proof.
    async fn exchange(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        let _ = (client, exchange);
        Login::Ignore
    }
}

/// What an authenticator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Ask the next one; if there is none, the broker's default holds.
    Ignore,
    /// It may come in; nobody else is asked.
    Allow(Grant),
    /// No, with this code; nobody else is asked.
    Deny(ReasonCode),
}

/// As what a client comes in, for what, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Its user name from now on; `None`: that of CONNECT. Who is authenticated again can't become someone else.
    pub username: Option<Arc<str>>,
    /// What it may do. They hold for this connection, before what those say who [`Authorize`]; subscriptions below `$SYS` that
    /// they allow are open to it. The will is held to them where it comes in with them; what it has subscribed with and may not any more
    /// is unsubscribed.
    pub rules: Rules,
    /// When its connection is ended (0x87, not authorized), by [`Host::clock_ms`](crate::Host::clock_ms).
    pub expires_at: Option<u64>,
    /// A JSON object with what is known of it, for who gives it [tags](crate::Tagging): a token's claims. Counts where it comes in with them.
    pub claims: Option<Box<str>>,
}

impl From<Verdict> for Login {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ignore => Self::Ignore,
            Verdict::Allow => Self::Allow(Grant::default()),
            Verdict::Deny(code) => Self::Deny(code),
        }
    }
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
    /// Asked for each PUBLISH and each filter of a SUBSCRIBE, and for the filters of a session that a client takes up. A panic
    /// denies. [`Verdict::Allow`] opens also what is closed below `$SYS`, so it is not to be said of that in passing.
    fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict;
}

/// Sees all that is published before it is routed, whoever publishes it, and may change it or take it out.
///
/// What one that panics has changed is put back, and so is a topic that is changed to one below `$SYS`, or to one that
/// [is a module's own](crate::Reserve). It must not block.
pub trait Intercept: Send + Sync {
    /// Sees a message. What is kept through `moment` gets into the store before the publisher is answered.
    ///
    /// What a module publishes is not shown to itself, nor to those whose hooks led to it.
    fn publish(&self, incoming: &mut Incoming<'_>, moment: &mut dyn Moment) -> Passage {
        let _ = (incoming, moment);
        Passage::Pass
    }

    /// Sees a filter before it is subscribed with; may replace it.
    fn subscribe(&self, client: &ConnectionInfo, filter: &mut Filter, options: &mut SubscribeOptions) {
        let _ = (client, filter, options);
    }

    /// Sees a filter before it is unsubscribed from; may replace it. Where there is no such subscription, the one that the client
    /// has named is given up.
    fn unsubscribe(&self, client: &ConnectionInfo, filter: &mut Filter) {
        let _ = (client, filter);
    }
}

/// A message on its way in.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Who publishes it.
    pub publisher: Publisher<'a>,
    /// Its properties have neither a topic alias nor a message expiry.
    pub message: &'a mut Message,
    /// From the message expiry, by [`Host::clock_ms`](crate::Host::clock_ms): it reaches nobody from then on.
    pub expires_at: &'a mut Option<u64>,
}

/// Who publishes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Publisher<'a> {
    /// A client, which may publish to this topic.
    Client(&'a ConnectionInfo),
    /// A client that is gone: its will.
    Will {
        /// Whose.
        client_id: &'a str,
    },
    /// The broker, about itself: `$SYS`.
    Broker,
    /// A module.
    Module(&'static str),
    /// An operator.
    Operator {
        /// As which the message counts.
        client_id: &'a str,
    },
}

impl<'a> Publisher<'a> {
    /// The client id that a message counts as.
    pub fn client_id(self) -> Option<&'a str> {
        match self {
            Self::Client(info) => Some(&info.client_id),
            Self::Will { client_id } | Self::Operator { client_id } => Some(client_id),
            Self::Broker | Self::Module(_) => None,
        }
    }
}

/// How a message goes on after an interceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// To the next one, and after the last to whoever subscribes.
    Pass,
    /// Nowhere: nobody else sees it. Its publisher is answered as if it had been routed.
    Drop,
    /// Nowhere, and its publisher is told so by this code, if it speaks MQTT 5; before, as with [`Self::Drop`].
    Refuse(ReasonCode),
}

/// A message on its way to one client.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Whose.
    pub client_id: &'a str,
    /// As it was published.
    pub message: &'a Message,
    /// The lower of the message's and the subscription's.
    pub qos: Qos,
    /// When the broker accepted the message, by [`Host::clock_ms`](crate::Host::clock_ms). `None`: that is not known, for it was retained, or
    /// an earlier process had it.
    pub accepted_at: Option<u64>,
}

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// The client's queue is full, or the broker's memory.
    QueueFull,
    /// QoS 0, and the client is away.
    Offline,
    /// QoS 0, and the client takes its bytes too slowly.
    OutboxFull,
    /// Over the client's maximum packet size.
    TooLarge,
    /// Past its message expiry.
    Expired,
    /// Its session has ended: it had expired, or began anew.
    SessionEnded,
}

/// Sees deliveries that are dropped: where they are made, or later, while they wait in a session or had been sent and were not
/// acknowledged. QoS 0 that waits and goes with its connection is not told; of QoS 0 for a client that is away the first is, until it is
/// back.
///
/// It is called on the way of messages, with nothing to publish by: a message about each message dropped might be the next. What
/// had waited is told after what brought it about.
pub trait ObserveDrops: Send + Sync {
    /// A delivery did not come about. It may have reached the client if it was sent before its session ended.
    fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason);
}

/// Subscribes clients that don't ask for it.
pub trait SubscribeOnEntry: Send + Sync {
    /// What a client is subscribed to as it comes in, a session that goes on or not: behind CONNACK, before anything else that it says.
    /// No access rule applies; what a limit forbids is not made, and logged.
    fn subscriptions(&self, client: &ConnectionInfo) -> Vec<SubscribeFilter>;
}

/// Decides about messages that are to be retained. All are asked; one that refuses is enough.
pub trait Retain: Send + Sync {
    /// Whether a message with a payload is kept. `others`: on so many topics but its own there is one.
    fn retain(&self, message: &Message, others: usize) -> Retention;

    /// Whether a message without a payload, which removes what is retained, goes to who subscribes.
    fn publishes_removal(&self, message: &Message) -> bool {
        let _ = message;
        true
    }
}

/// What becomes of a message that is to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// It is kept, as long as it says.
    Keep,
    /// It is kept for so many seconds, unless it says itself how long.
    KeepFor(u32),
    /// It is not kept, by this rule: what was kept before stays.
    Refuse(&'static str),
}

/// Remembers clients that have gone.
pub trait Remember: Send + Sync {
    /// As what a client that is away was connected last; `None`: that is not known. Asked while answers are made, for each client
    /// in them.
    fn last_connection(&self, client_id: &str) -> Option<ConnectionInfo>;
}

/// Sees messages on their way: each that is routed, and whose sessions take it. To count them, nothing is made for it.
pub trait ObserveMessages: Send + Sync {
    /// A message is about to be routed, as the interceptors have left it; of which client it is. What nobody wants of the broker's own is
    /// not made, and not shown.
    fn published(&self, message: &Message, client_id: Option<&str>) {
        let _ = (message, client_id);
    }

    /// A client's session has taken a message: it is sent, or waits for the client. Retained ones are shown too.
    fn taken(&self, delivery: &Delivery<'_>) {
        let _ = delivery;
    }

    /// Nobody subscribes to the topic of a message that was [`Self::published`].
    fn unwanted(&self, message: &Message) {
        let _ = message;
    }
}

/// Sees deliveries above QoS 0 that clients acknowledge.
pub trait ObserveAcks: Send + Sync {
    /// The client has the message: it said so by PUBACK, or by PUBREC at QoS 2.
    fn acknowledged(&self, delivery: &Delivery<'_>);
}
