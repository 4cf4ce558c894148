//! What a module author needs: [`Module`], what a start is handed ([`Ctx`]), [`Fact`]s, hooks, and the broker as modules
//! see it ([`Host`]).
//!
//! It names no module and runs none: `mqtt-modules` has the registry that starts and stops them, by way of [`run`]. It
//! knows neither the server nor sockets nor a store, spawns nothing, and runs wherever a future can be polled.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mqtt_hooks::testing::{Recorder, foo, went};
//! use mqtt_hooks::{Ctx, Fact, Hooks, Info, Module, Moment, Observe, Reason, StartError};
//!
//! struct Watch;
//!
//! impl Observe for Watch {
//!     fn observe(&self, fact: &Fact<'_>, _: &mut dyn Moment) {
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
//! # async fn main() -> Result<(), StartError> {
//! // What the registry does, with a broker that only remembers:
//! let hooks = Hooks::new();
//! let broker = Recorder::new();
//! let ctx = Ctx::new("watch", 0, broker.clone(), Arc::default());
//! Watch.start(&ctx).await?;
//! let entered = hooks.enter(ctx);
//! hooks.observe(&went(&foo(), Reason::KeepAliveTimeout, 1), &mut broker.moment());
//! drop(entered);
//! assert!(!hooks.has_observers());
//! # Ok(())
//! # }
//! ```

mod acting;
mod alarm;
mod asked;
mod chains;
mod end;
mod exchange;
mod fact;
mod fields;
mod hook;
mod host;
mod listing;
mod lookup;
mod module;
mod modules;
mod names;
mod network;
mod number;
pub mod page;
mod panics;
mod record;
mod records;
mod reserved;
pub mod route;
mod rules;
pub mod run;
mod secret;
mod settings;
mod span;
mod standby;
mod states;
mod strict;
mod tags;
mod task;
pub mod testing;
mod timers;
mod trial;
mod wire;

pub use acting::Acting;
pub use alarm::{Alarm, Raised};
pub use asked::Asked;
pub use chains::{Hooks, StatesOf};
pub use end::EndRecord;
pub use exchange::{Challenge, Exchange};
pub use fact::{ConnectionInfo, Fact, Initiator, Listener, Reason};
pub use fields::Fields;
pub use hook::{
    Access, Authenticate, Authorize, Delivery, DropReason, Grant, Incoming, Intercept, Login, Observe, ObserveAcks,
    ObserveDrops, ObserveMessages, Passage, Publisher, Remember, Retain, Retention, SubscribeOnEntry, Verdict,
};
pub use host::{Actor, Host, Moment, Reached, SubscribeError};
pub use listing::{Group, Listing};
pub use lookup::{Lookup, Online};
pub use module::{Ctx, Info, ListOf, Module, Setting, SettingKind, StartError, read_config};
pub use network::network;
pub use number::{Bucket, Histogram, Label, Number, Reading};
pub use record::{ConnectionRecord, RecordError};
pub use records::{RecordTable, Records};
pub use reserved::{Reserve, is_sys};
pub use rules::{Action, Reach, Rule, Rules, filter_for};
pub use secret::{HIDDEN, Secret, hide_secrets, reveal_secrets};
pub use settings::{Listed, Settings, check_list, default_of, json_number, plain_name, read_settings};
pub use span::Span;
pub use standby::Standby;
pub use states::{States, Walk};
pub use strict::read_strictly;
pub use tags::{Attribute, Origin, Said, Tag, Tagging, Tags};
pub use task::{Stop, Task};
pub use timers::{Due, Timer, Timers};
pub use trial::{Came, Client, Report, Trial};
pub use wire::{OWN_CLIENTS, Waiting, Wire};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
