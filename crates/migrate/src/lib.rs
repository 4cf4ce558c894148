//! What other brokers have, read from their files and turned into settings of ours, with what became of each line.
//!
//! Nothing is written here, nothing is opened but through [`Files`], and no broker is asked: whoever calls it shows the
//! [`Migration`] to people, and writes it if nothing is wrong. What can't be carried over is said with its file and line. Where
//! it kept somebody out, what is made is stricter than what was there, never looser: a listener whose rules can't be kept is
//! made, and is off.
//!
//! ```
//! use std::path::Path;
//!
//! use mqtt_migrate::{InMemory, Target, mosquitto};
//!
//! let files = InMemory::new([("/m.conf", "listener 1883\nallow_anonymous true\nmax_qos 1\n")]);
//! let migration = mosquitto::migrate(&files, Path::new("/m.conf"), &Target::new("/etc/rollcall/rollcall.toml"));
//! assert!(migration.problems.is_empty());
//! assert!(migration.settings.to_string().contains("bind = \"0.0.0.0:1883\""));
//! assert_eq!(migration.left().count(), 1);
//! ```

pub mod emqx4;
pub mod mosquitto;
pub mod mosquitto_db;
pub mod state;

mod files;
mod migration;
mod settings;

pub use files::{Files, InMemory};
pub use migration::{Beside, Fate, Line, Migration, Place, Problem, Target};
pub use settings::Settings;

/// Whether these can be rules of a broker, as `[[auth.rules]]` and `PUT /auth/rules` have them.
///
/// # Errors
/// A line says which can't.
pub fn check_rules(rules: Vec<serde_json::Value>) -> Result<(), String> {
    mqtt_auth::Config { rules, ..mqtt_auth::Config::default() }.check()
}
