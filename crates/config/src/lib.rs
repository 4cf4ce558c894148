//! What a broker is told: defaults, a TOML file, the environment, flags and `--set`, each over the one before.
//!
//! [`Layers`] collects what was said and where; [`Layers::resolve`] turns it into the checked [`Config`], or into one line
//! that names the key, its place and what is wanted. [`Layers::print`] writes the settings as a commented file.
//!
//! Modules bring their own sections ([`ModuleSection`]); no module is known by name. It knows no broker: whoever
//! runs one maps the [`Config`] to what that takes. What listeners and those are told who say who may come in is made of it here
//! (`ListenerConfig::from`, `mqtt_auth::Config::from`). It looks up no environment of its own.
//!
//! Listeners are a table by name: the one called `mqtt` is there from the start, another is there once its keys are said.
//!
//! figment merges such layers too, but knows no line of a file and no nearest key.
//!
//! ```
//! use std::path::Path;
//!
//! use mqtt_config::Layers;
//!
//! let mut layers = Layers::new(Vec::new());
//! layers.add_toml(Path::new("rollcall.toml"), "[limits]\nmax_packet_size = \"2MiB\"")?;
//! layers.add_assignment("listeners.mqtt.bind=127.0.0.1:1884")?;
//! let config = layers.resolve()?;
//! assert_eq!(config.limits.max_packet_size, 2 << 20);
//! assert_eq!(config.listeners[0].bind.port(), 1884);
//!
//! let wrong = layers.add_assignment("listeners.mqtt.bnid=127.0.0.1:1885").unwrap_err();
//! assert_eq!(wrong.to_string(), "--set: unknown key listeners.mqtt.bnid; the nearest is listeners.mqtt.bind");
//! # Ok::<(), mqtt_config::Error>(())
//! ```

mod check;
mod config;
mod error;
mod file;
mod ignored;
mod layers;
mod list;
mod listeners;
mod module;
mod print;
mod rate;
mod reload;
mod schema;
#[cfg(test)]
mod tests;
mod told;
mod value;

pub use config::{
    Admin, Anonymous, Auth, AuthDefault, CertName, Cluster, Config, CrlStale, DenyAction, Durability, Flapping,
    FlappingBy, HomeDown, HttpAuth, Limits, Listener, ListenerKind, ListenerLimits, ListenerTls, ListenerWeb, Log,
    LogFormat, ModuleConfig, Mqtt, Node, Origins, Rate, Runtime, Said, SessionLimits, Sources, Storage, Sys,
    SysSubscribe, Verify,
};
pub use error::{Error, Place};
pub use ignored::Ignored;
pub use layers::Layers;
pub use module::{Check, ModuleSection};
pub use mqtt_net::Address;
pub use reload::{Apply, Changes, Current, Read};
