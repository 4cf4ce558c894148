//! A node of a cluster: it appends to the roll, reads it, and knows when it is fenced.
//!
//! A [`Log`] keeps batches in one order and loses none that it acknowledged; [`nats::NatsLog`] is one, and [`memory::Line`] is one for
//! tests. A [`Node`] joins it, appends what is staged, one batch at a time, beats, declares others dead, and tells what
//! it reads in the log's order. What the log comes to is a matter of `mqtt-roll` alone.
//!
//! What is not for all, and not to be kept, nodes say to each other by [`Links`], over a [`Wire`] that may lose it.
//!
//! It knows no MQTT, no sessions and no routes: what a connection is, is bytes here.
//!
//! ```
//! use bytes::Bytes;
//! use mqtt_cluster::memory::Memory;
//! use mqtt_cluster::{Config, Node};
//! use mqtt_roll::{Effect, Up};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! let log = Memory::default();
//! let (told, mut effects) = tokio::sync::mpsc::unbounded_channel();
//! let tell = move |_position, effect| drop(told.send(effect));
//! let attic = Node::start(log.line(), Config::new("attic"), tell);
//! attic.joined().await?;
//!
//! let up = Up { client: "anna".into(), conn: 1, is_clean: true, is_kept: false, at: 0, info: Bytes::new(), will: None };
//! attic.up(up)?.applied().await?;
//! assert!(attic.is_seated("anna", 1));
//! assert!(matches!(effects.recv().await, Some(Effect::Joined { .. })));
//! assert!(matches!(effects.recv().await, Some(Effect::Connected(anna)) if anna.event == 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod link;
mod links;
mod log;
pub mod memory;
pub mod nats;
mod node;
mod wire;

pub use config::Config;
pub use links::{Hear, Links, Peer};
pub use log::{Entry, Log, LogError, Reader};
pub use node::{Ended, Node, NodeStatus, Phase, Refusal, Status, Tell, Ticket};
pub use wire::{Inbox, Wire};
