//! Clients, subscriptions, listeners and retained messages as an operator sees them.

use mqtt_hooks::{ConnectionInfo, Hooks};
use mqtt_net::Kind;
use mqtt_operate::{
    ClientState, ConnectionState, ListenerKind, ListenerState, RetainedState, SubscriptionState, Traffic,
};
use mqtt_session::{Publication, Timestamp};

use crate::client::ClientRef;
use crate::client::clients::Clients;
use crate::coming::doors::Doors;
use crate::time::clock::{Clock, wall_ms};

/// Where clients come in, and how many have.
pub(super) fn listeners(doors: &Doors, clients: &Clients<ClientRef>) -> Vec<ListenerState> {
    let listeners = doors.listeners();
    let mut counts = vec![0; listeners.len()];
    for client in clients.all() {
        let state = client.state.lock();
        let info = state.connection().map(|connection| &connection.info);
        let found =
            info.and_then(|info| listeners.iter().position(|known| info.listener.name == known.entrance.listener.name));
        if let Some(found) = found {
            counts[found] += 1;
        }
    }
    let max_connections = doors.max_connections();
    let states = listeners.into_iter().zip(counts).map(|(known, connections)| ListenerState {
        name: known.entrance.listener.name.to_string(),
        kind: match known.kind {
            Kind::Mqtt => ListenerKind::Mqtt,
            Kind::Mqtts => ListenerKind::Mqtts,
            Kind::Ws => ListenerKind::Ws,
            Kind::Wss => ListenerKind::Wss,
        },
        address: known.address.to_string(),
        running: known.is_open(),
        connections,
        max_connections: known.entrance.own().max_connections.map_or(max_connections, |own| own.min(max_connections)),
    });
    states.collect()
}

pub(super) fn retained(publication: &Publication, clock: &Clock) -> RetainedState {
    // Kept by the broker's own clock, shown by the system's.
    let left = |at: Timestamp| at.0.saturating_sub(clock.now().0);
    let expires_at = publication.expires_at.map(|at| wall_ms() + left(at));
    RetainedState { message: publication.message.clone(), expires_at }
}

/// `None`: it is gone.
pub(super) fn client(client: &ClientRef, doors: &Doors, hooks: &Hooks) -> Option<ClientState> {
    let (went_at, created_at) = {
        let transition = client.transition.lock();
        if !transition.has_session && !transition.is_fallen() {
            return None;
        }
        (transition.last_fact_ms, transition.created_at)
    };
    let state = client.state.lock();
    let connection = state.connection().map(|connection| connected(&connection.info, connection.traffic.state()));
    let last = if connection.is_none() { hooks.last_connection(&client.id) } else { None };
    // Of one that is away: those that hold wherever nothing else was said.
    let current = state.connection().map(|connection| doors.entrance_of(&connection.info));
    let (session, bounds) = (&state.session, current.as_ref().unwrap_or(doors.memory()).bounds());
    let own = session.config();
    Some(ClientState {
        client_id: client.id.to_string(),
        created_at,
        disconnected_at: connection.is_none().then_some(went_at),
        connection,
        last: last.map(|info| connected(&info, Traffic::default())),
        version: session.version(),
        expiry_interval: session.session_expiry(),
        subscriptions: session.subscriptions_len(),
        max_subscriptions: bounds.subscriptions_per_client,
        inflight: session.inflight_len(),
        max_inflight: own.max_inflight.into(),
        queued: session.queue_len(),
        max_queued: own.max_queued,
        dropped: session.dropped(),
        unreleased: session.unreleased_len(),
        max_unreleased: own.receive_maximum.into(),
    })
}

fn connected(info: &ConnectionInfo, traffic: Traffic) -> ConnectionState {
    ConnectionState {
        username: info.username.as_deref().map(str::to_owned),
        peer: info.peer,
        port: info.listener.port,
        listener: info.listener.name.to_string(),
        tags: info.tags().iter().map(|(tag, _)| tag.to_owned()).collect(),
        keep_alive: info.keep_alive,
        is_bridge: info.is_bridge,
        clean_start: info.clean_start,
        connected_at: info.connected_at,
        conn_id: info.conn_id,
        traffic,
    }
}

/// In order of the filters.
pub(super) fn subscriptions(client: &ClientRef) -> Vec<SubscriptionState> {
    let state = client.state.lock();
    let mut all: Vec<_> = state
        .session
        .subscriptions()
        .map(|(filter, options, _)| SubscriptionState {
            client_id: client.id.to_string(),
            filter: filter.clone(),
            options,
        })
        .collect();
    drop(state);
    all.sort_unstable_by(|one, other| one.filter.as_str().cmp(other.filter.as_str()));
    all
}
