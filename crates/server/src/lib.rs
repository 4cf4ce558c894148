//! Rollcall: an MQTT broker that knows who is online and says so, truthfully, over MQTT itself.
//!
//! This is the thin library behind the binary `rollcall`: [`start`] binds and runs everything a [`Config`](mqtt_config::Config) asks for.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rollcall::StartError> {
//! let mut config = mqtt_config::Config::default();
//! config.mqtt.bind.set_port(0);
//! config.data_dir = None;
//! config.admin.bind = None;
//! let server = rollcall::start(config).await?;
//! println!("MQTT on {:?}", server.addresses().mqtt);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod log;

mod access;
mod admin;
mod alarms;
mod arrival;
mod banned;
mod batch;
mod broker;
mod client;
mod clients;
mod clock;
mod connection;
mod due;
mod durable;
mod flaps;
mod handshake;
mod host;
mod listener;
mod loopback;
mod memory;
mod metrics;
mod numbers;
mod operate;
mod oversee;
mod packets;
mod patience;
mod pipe;
mod records;
mod recovery;
mod sections;
mod serve;
mod server;
mod shutdown;
mod socket;
mod store;
mod sys;
mod timers;
mod trace;
mod traffic;
mod transition;
mod transport;
mod watched;

pub use pipe::Pipe;
pub use sections::module_sections;
pub use server::{Addresses, Server, StartError, start};
