//! Bridges to other brokers, as a module on [`mqtt_hooks`]: what is published here goes there, and what is published there comes
//! here, so that a fleet can move client by client while both brokers run.
//!
//! A bridge has no queue of its own. It is two clients, one of the remote broker and one of this one, each with a session that lasts,
//! and packet ids pass through: what this broker sends as message 7 goes on as message 7, and the remote's acknowledgement of 7 goes
//! back as that of 7. Each connection has two spaces of ids that know nothing of each other, so both directions fit. The bridge
//! keeps nothing between two packets, and so nothing of it can be lost: whatever dies at whatever moment, the session behind it
//! sends again what was not acknowledged, by the same id, and what is to come exactly once does.
//!
//! What waits to go out is in the session here, as durable and as bounded as any client's; what waits to come in is in the remote's.
//!
//! It knows no broker: it is polled where tokio has its time and sockets.

mod api;
mod back_off;
mod counts;
mod course;
mod greeting;
mod kept;
mod mapping;
mod module;
mod overlaps;
mod plan;
mod probe;
mod relay;
mod remote;
mod settings;
mod side;
mod standing;
mod subscribing;
mod sweep;
mod trouble;

use std::sync::Arc;

use mqtt_hooks::Module;

pub use module::Bridges;

/// The module, to be registered with the others.
pub fn modules() -> Vec<Arc<dyn Module>> {
    vec![Arc::new(Bridges::default())]
}
