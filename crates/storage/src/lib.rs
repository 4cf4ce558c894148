//! What outlives an MQTT broker's process: sessions, their messages, retained messages, who is online.
//!
//! A [`Store`] keeps records in tables and takes all of some [`Steps`] or none: [`Disk`] in a folder, [`Memory`]
//! for as long as the process lives. A [`Journal`] gathers what many threads change into one order and lets one of
//! them write for all. [`Loaded`] is what an earlier process has left.
//!
//! What a session is and when it changes is the business of `mqtt-session`, whose [`Change`](mqtt_session::Change)s
//! are written here. This crate knows no socket and no client that is connected.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mqtt_session::Timestamp;
//! use mqtt_storage::{Alive, Journal, Loaded, Memory, Store};
//!
//! let store: Arc<dyn Store> = Arc::new(Memory::default());
//! let loaded = Loaded::read(&*store).unwrap();
//! let journal = Journal::new(Arc::clone(&store), loaded.last_message);
//!
//! let alive = Alive { wall: 1_700_000_000_000, clock: Timestamp(1_700_000_000_000), ..Alive::default() };
//! let position = journal.stage(|stage| stage.alive(alive));
//! journal.commit(position).unwrap();
//! assert_eq!(Loaded::read(&*store).unwrap().alive, Some(alive));
//! ```

mod disk;
mod journal;
mod load;
mod record;
mod stage;
mod steps;
mod store;

pub use disk::{Contents, Disk, Durability, Finding, Repaired, Survey, copy_store};
pub use journal::{Bundle, Failing, Journal, Position, Stage};
pub use load::{Alive, Bounds, Loaded, LoadedSession, LoadedSubscription, Unreadable, hand_over_events, read_records};
pub use record::{OnlineRecord, SessionRecord, WillRecord};
pub use steps::{Step, Steps, Table};
pub use store::{Damage, Memory, Store, StoreError, Visit};

#[cfg(test)]
mod tests;
