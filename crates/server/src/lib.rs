//! Rollcall: an MQTT broker that knows who is online and says so, truthfully, over MQTT itself.
//!
//! This is the thin library behind the binary `rollcall`: [`start`] binds and runs everything a [`Config`](mqtt_config::Config) asks for.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rollcall::StartError> {
//! let mut config = mqtt_config::Config::default();
//! config.use_free_ports();
//! config.data_dir = None;
//! config.admin.bind = None;
//! let server = rollcall::start(config).await?;
//! println!("MQTT on {:?}", server.addresses().listeners);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod reload;
mod sections;
mod server;
mod settings;

/// What [`Server::connect_in_memory`] gives, and where listeners are.
pub use mqtt_net::{Address, Pipe};
pub use reload::Source;
pub use sections::module_sections;
pub use server::{Addresses, Server, StartError, start, start_from, start_node};
