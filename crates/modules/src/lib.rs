//! What a module author needs: [`Module`], hooks, facts and the [`Registry`] with its start and stop; and the modules
//! that ship, [`presence`] first.
//!
//! It knows neither the server nor sockets: a module sees the broker as its [`Host`]. It spawns nothing and reads no
//! clock of its own, so it runs wherever a future can be polled.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mqtt_modules::{Ctx, Fact, Hooks, Info, MemoryStates, Module, Observe, Registry, StartError};
//! # use mqtt_codec::{Message, Topic};
//! # struct Quiet;
//! # impl mqtt_modules::Host for Quiet {
//! #     fn node(&self) -> &str { "rollcall@127.0.0.1" }
//! #     fn now_ms(&self) -> u64 { 0 }
//! #     fn publish(&self, _: Message) {}
//! #     fn publish_if_wanted(&self, _: &Topic, _: &mut dyn FnMut() -> Message) -> bool { false }
//! # }
//!
//! struct Watch;
//!
//! impl Observe for Watch {
//!     fn observe(&self, fact: &Fact<'_>) {
//!         if let Fact::Disconnected { client, reason, .. } = fact {
//!             eprintln!("{} left: {}", client.client_id, reason.name());
//!         }
//!     }
//! }
//!
//! #[async_trait::async_trait]
//! impl Module for Watch {
//!     fn info(&self) -> Info {
//!         Info { name: "watch", title: "Watch", description: "Tells who leaves.", default_on: true, settings: &[] }
//!     }
//!
//!     async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
//!         ctx.observe(Arc::new(Watch));
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), mqtt_modules::ChangeError> {
//! # let host = Arc::new(Quiet);
//! let hooks = Hooks::new();
//! let registry = Registry::new(host, hooks.clone(), Arc::new(MemoryStates::default()));
//! registry.register(Arc::new(Watch), serde_json::Value::Null);
//! registry.start("watch").await?;
//! assert!(hooks.has_observers());
//! registry.stop("watch").await?;
//! assert!(!hooks.has_observers());
//! # Ok(())
//! # }
//! ```

mod fact;
mod hook;
mod host;
mod module;
mod panics;
pub mod presence;
mod registry;
mod table;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use fact::{ConnectionInfo, Fact, Initiator, Listener, Reason};
pub use hook::{Access, Authenticate, Authorize, Intercept, Observe, Verdict};
pub use host::Host;
pub use module::{Ctx, Info, Module, Setting, SettingKind, StartError, read_config};
pub use registry::{ChangeError, MemoryStates, Registry, States, Status};
pub use table::Hooks;

/// The modules that ship with the broker, in the order in which they are to be registered.
/// What [`presence`] tells goes into `history`.
pub fn shipped(history: Arc<presence::History>) -> Vec<Arc<dyn Module>> {
    vec![Arc::new(presence::Presence::new(history))]
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
