//! A client's session as a state machine: packets, deliveries and time go in, packets and events come out.
//!
//! It opens no socket, reads no clock, takes no lock and awaits nothing. Whoever drives it does, and also routes
//! messages, decides who may do what and keeps retained messages. Here are the rules that concern one client:
//! packet ids, the flows of QoS 1 and 2, what is sent again, what waits and for how long, flow control, topic aliases,
//! the will and the end of the session.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mqtt_codec::{Connect, Message, Packet, Properties, Qos, Topic, Version};
//! use mqtt_session::{Attach, Config, Delivered, DeliveryOptions, Event, Fanout, Outbox, Publication, Session, Timestamp};
//!
//! let connect = Connect {
//!     version: Version::V3_1_1,
//!     client_id: "meter-7".into(),
//!     is_bridge: false,
//!     clean_start: true,
//!     keep_alive: 60,
//!     username: None,
//!     password: None,
//!     will: None,
//!     properties: Properties::EMPTY,
//! };
//! let now = Timestamp(0);
//! let mut session = Session::new(Arc::new(Config::default()));
//! let mut out = Outbox::new();
//! session.attach(&Attach { connect: &connect, session_expiry: 0, keep_alive: connect.keep_alive });
//! // Here the driver pushes CONNACK.
//! session.resume(now, &mut out);
//!
//! // What the client sends:
//! let event = session.handle_packet(Packet::PingReq, now, &mut out).unwrap();
//! assert!(matches!(event, Event::Nothing));
//! assert_eq!(out.len(), 2);
//!
//! // What others send to the client:
//! let message = Message {
//!     topic: Topic::new("price").unwrap(),
//!     payload: "42".into(),
//!     qos: Qos::AtMostOnce,
//!     retain: false,
//!     properties: Properties::EMPTY,
//! };
//! let publication = Publication::new(message, now);
//! let delivered = session.deliver(&mut Fanout::new(&publication), DeliveryOptions::default(), now, &mut out);
//! assert_eq!(delivered, Delivered::Sent);
//! assert_eq!(out.len(), 2 + 11);
//! ```

mod alias;
mod change;
mod connection;
mod delivery;
mod dropped;
mod frame;
mod group;
mod held;
mod id_set;
mod incoming;
mod inflight;
mod moved;
mod outbox;
mod publication;
mod queue;
mod session;
mod subscriptions;
mod violation;
mod will;

pub use change::{Change, Kept};
pub use connection::Attach;
pub use delivery::{Delivered, DeliveryOptions};
pub use dropped::{DropReason, Drops, Lost};
pub use frame::Fanout;
pub use group::Orphan;
pub use held::{Gauge, Share, Weight};
pub use incoming::Receipt;
pub use inflight::Released;
pub use moved::Moved;
pub use outbox::{Outbox, Pushed};
pub use publication::{Accepted, Origin, Place, Publication, Timestamp};
pub use queue::{Delivery, SubscriptionIds};
pub use session::{Config, Detached, Event, Session};
pub use violation::Violation;

#[cfg(test)]
mod tests;
