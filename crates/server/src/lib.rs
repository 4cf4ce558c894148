//! Rollcall: an MQTT broker that knows who is online and says so, truthfully, over MQTT itself.
//!
//! This is the thin library behind the binary `rollcall`: [`start`] binds and runs everything a [`config::Config`] asks for.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rollcall::StartError> {
//! let mut config = rollcall::config::Config::default();
//! config.mqtt.bind.set_port(0);
//! let server = rollcall::start(config).await?;
//! println!("MQTT on {:?}", server.addresses().mqtt);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod cli;
pub mod config;
pub mod log;

mod access;
mod batch;
mod broker;
mod client;
mod clock;
mod connection;
mod handshake;
mod listener;
mod memory;
mod metrics;
mod packets;
mod pipe;
mod serve;
mod server;
mod shutdown;
mod socket;
mod sys;
mod timers;
mod transition;
mod transport;

pub use pipe::Pipe;
pub use server::{Addresses, Server, StartError, start};
