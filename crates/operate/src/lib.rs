//! What an operator sees of a broker and does to it: the traits [`Operate`] and [`Oversee`], and plain types for what
//! they ask and answer.
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

mod operate;
mod oversee;

pub use operate::{
    Ban, BanKind, ClientQuery, ClientState, ConnectionState, HostState, ListenerState, NodeState, Operate, Page,
    RetainedQuery, RetainedState, Setting, SubscribeError, SubscriptionQuery, SubscriptionState, Told, Traffic,
};
pub use oversee::{Alarm, Direction, Health, Oversee, Trace, TraceLine, Until};
