//! A client's session as a state machine: packets, deliveries and time go in, actions come out.
//!
//! It opens no socket, reads no clock and awaits nothing. Whoever drives it does.

mod outbox;
mod publication;
mod session;
mod violation;

pub use outbox::Outbox;
pub use publication::{Fanout, Publication, Timestamp};
pub use session::{Attach, Config, Delivered, DeliveryOptions, Detached, DropReason, Event, Receipt, Session};
pub use violation::Violation;
