//! Who is online, for modules that ask.

use mqtt_hooks::{ConnectionInfo, Lookup, Online};

use super::{InOrder, first_of};
use crate::client::ClientRef;
use crate::client::clients::Clients;

pub(crate) fn look_up(clients: &Clients<ClientRef>, lookup: &Lookup<'_>) -> Online {
    let is_meant = |id: &str| id.starts_with(lookup.prefix) && lookup.after.is_none_or(|after| id > after);
    let clients = InOrder::new(clients.select(is_meant), lookup.limit);
    let (clients, has_more) = first_of(clients.filter_map(|client| connected(&client, lookup.since)), lookup.limit);
    Online { clients, has_more }
}

/// `None`: it is away, or came before.
fn connected(client: &ClientRef, since: u64) -> Option<ConnectionInfo> {
    let state = client.state.lock();
    let info = &state.connection()?.info;
    (info.connected_at >= since).then(|| info.clone())
}
