//! What an operator sees of a broker and does to it: the traits [`Operate`] and [`Oversee`], and plain types for what
//! they ask and answer, and for the bounds of what clients take ([`Limits`] and others), which are the same where they are said and
//! where they hold.
//!
//! The broker implements them; the admin port, or whatever else shows a broker to people, asks. It knows no HTTP, no
//! broker and no module; who may ask is decided elsewhere.
//!
//! ```
//! use mqtt_operate::{ClientQuery, ClientState, Operate};
//!
//! /// Ids of clients that have a connection, at most so many.
//! fn online(broker: &dyn Operate, limit: usize) -> Vec<String> {
//!     let is_online = |client: &ClientState| client.connection.is_some();
//!     let query = ClientQuery { after: None, prefix: "", skip: 0, limit, wanted: Some(&is_online) };
//!     broker.clients(&query).rows.into_iter().map(|client| client.client_id).collect()
//! }
//! ```

mod access;
mod alarm;
mod ban;
mod client;
mod cluster;
mod drain;
mod inquiry;
mod limits;
mod node;
mod operate;
mod oversee;
mod retained;
mod rows;
mod setting;
mod subscription;
mod trace;

pub use access::{Anonymous, DenyAction, HomeDown, Sys, SysSubscribe};
pub use alarm::{Alarm, Until};
pub use ban::{Ban, BanKind};
pub use client::{ClientQuery, ClientState, ConnectionState, Traffic};
pub use cluster::{ClusterNode, ClusterState, ForgetError};
pub use drain::{Drain, DrainState};
pub use inquiry::{Answering, Inquiry, MAX_REPLY, NoReply, Reply};
pub use limits::{Flapping, FlappingBy, Limits, ListenerLimits, Mqtt, Rate, SessionLimits};
pub use node::{Health, HostState, ListenerError, ListenerKind, ListenerState, NodeState};
pub use operate::Operate;
pub use oversee::Oversee;
pub use retained::{RetainedQuery, RetainedState};
pub use rows::Rows;
pub use setting::{Configured, Reloaded, Setting};
pub use subscription::{SubscribeError, SubscriptionQuery, SubscriptionState};
pub use trace::{Direction, Trace, TraceLine};
