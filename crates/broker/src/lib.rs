//! The core of an MQTT broker: who comes and goes, what each packet does, what is delivered, kept and watched.
//!
//! It is handed connections ([`Running::serve`], [`Running::connect_in_memory`]) and a [`Config`] of plain values. It
//! knows no configuration file, no admin port and no kind of socket; modules see it as their [`Host`](mqtt_hooks::Host),
//! an operator as [`Operator`].
//!
//! ```
//! use mqtt_broker::{Config, Opened};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), mqtt_storage::StoreError> {
//! let opened = Opened::open(Config::default())?;
//! // Here modules would be started, with `opened.host()` and `opened.hooks()`.
//! let running = opened.run(Default::default);
//! let client = running.connect_in_memory(([127, 0, 0, 1], 0).into());
//! // What is written to `client` goes to the broker as a socket's bytes would.
//! drop(client);
//! running.drain().await;
//! running.close().await;
//! # Ok(())
//! # }
//! ```

mod broker;
mod client;
mod cluster;
mod coming;
mod config;
mod delivery;
mod hosting;
mod loopback;
mod packets;
mod running;
mod store;
mod terms;
mod time;
mod watch;

pub use cluster::letter::{KICK, write_kick};
pub use cluster::{Ears, Home, Peer, Roll, Seated, Teller};
pub use config::{
    Anonymous, Config, DenyAction, Flapping, FlappingBy, HomeDown, Limits, ListenerLimits, Mqtt, Rate, SessionLimits,
    Store, Sys, SysSubscribe,
};
pub use running::{Entrances, ModuleRecords, Opened, Running};
pub use watch::alarms::certificates::wrong_certificates;
pub use watch::alarms::{ModulesSeen, Wrong};
pub use watch::operate::Operator;
