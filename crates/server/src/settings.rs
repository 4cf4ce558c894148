//! From what was said to what each part is told.

use mqtt_broker::{
    Anonymous, Config, DenyAction, Flapping, FlappingBy, Limits, ListenerLimits, Mqtt, Rate, SessionLimits, Store, Sys,
    SysSubscribe,
};
use mqtt_config as said;
use mqtt_storage::Durability;

/// What the broker is told.
pub(crate) fn broker(said: &said::Config) -> Config {
    let durability = match said.storage.durability {
        said::Durability::Process => Durability::Process,
        said::Durability::Power => Durability::Power,
    };
    let (mqtt, limits, session) = (&said.mqtt, &said.limits, &said.session);
    Config {
        node: said.node.name.clone(),
        anonymous: anonymous(said.auth.anonymous),
        deny_action: match said.auth.deny_action {
            said::DenyAction::Ignore => DenyAction::Ignore,
            said::DenyAction::Disconnect => DenyAction::Disconnect,
        },
        mqtt: Mqtt {
            connect_timeout: mqtt.connect_timeout,
            max_connections: mqtt.max_connections,
            session_expiry: mqtt.session_expiry,
            max_session_expiry: mqtt.max_session_expiry,
            server_keep_alive: mqtt.server_keep_alive,
        },
        limits: Limits {
            max_packet_size: limits.max_packet_size,
            receive_maximum: limits.receive_maximum,
            topic_alias_maximum: limits.topic_alias_maximum,
            outgoing_aliases: limits.outgoing_aliases,
            max_inflight: limits.max_inflight,
            outbox: limits.outbox,
            slow_consumer_timeout: limits.slow_consumer_timeout,
            memory: limits.memory,
            retained_messages: limits.retained_messages,
            max_client_id: limits.max_client_id,
            subscriptions_per_client: limits.subscriptions_per_client,
            max_topic_levels: limits.max_topic_levels,
            shape_levels: limits.shape_levels,
            message_rate: limits.message_rate.map(rate),
            byte_rate: limits.byte_rate.map(rate),
            connections_per_address: limits.connections_per_address,
            half_open_per_address: limits.half_open_per_address,
            connect_rate_per_address: limits.connect_rate_per_address.map(rate),
            lateness: limits.lateness,
            flapping: flapping(&limits.flapping),
        },
        session: SessionLimits { max_queued: session.max_queued, max_queued_bytes: session.max_queued_bytes },
        listeners: said.listeners.iter().filter_map(own_limits).collect(),
        store: said.data_dir.clone().map(|folder| Store { folder, durability, events_for: events_for() }),
        recovery_grace: said.recovery_grace,
        sys: Sys {
            interval: said.sys.interval,
            heartbeat: said.sys.heartbeat,
            subscribe: match said.sys.subscribe {
                said::SysSubscribe::Loopback => SysSubscribe::Loopback,
                said::SysSubscribe::All => SysSubscribe::All,
                said::SysSubscribe::None => SysSubscribe::None,
            },
        },
    }
}

/// `None`: it has no bounds of its own.
fn own_limits(listener: &said::Listener) -> Option<(String, ListenerLimits)> {
    let own = limits_of(listener);
    (own != ListenerLimits::default()).then(|| (listener.name.clone(), own))
}

/// Its own bounds.
pub(crate) fn limits_of(listener: &said::Listener) -> ListenerLimits {
    let limits = &listener.limits;
    ListenerLimits {
        max_connections: limits.max_connections,
        connect_rate: limits.connect_rate.map(rate),
        message_rate: limits.message_rate.map(rate),
        byte_rate: limits.byte_rate.map(rate),
        max_packet_size: limits.max_packet_size,
        receive_maximum: limits.receive_maximum,
        max_inflight: limits.max_inflight,
        subscriptions_per_client: limits.subscriptions_per_client,
        max_topic_levels: limits.max_topic_levels,
        max_queued: limits.max_queued,
        max_queued_bytes: limits.max_queued_bytes,
    }
}

fn flapping(said: &said::Flapping) -> Flapping {
    let by = said.by.iter().map(|by| match by {
        said::FlappingBy::ClientId => FlappingBy::ClientId,
        said::FlappingBy::Username => FlappingBy::Username,
        said::FlappingBy::Address => FlappingBy::Address,
    });
    Flapping { rate: said.rate.map(rate), ban: said.ban, by: by.collect() }
}

const fn rate(said::Rate { amount, per }: said::Rate) -> Rate {
    Rate { amount, per }
}

/// Who may come in and proves nothing.
pub(crate) const fn anonymous(said: said::Anonymous) -> Anonymous {
    match said {
        said::Anonymous::All => Anonymous::All,
        said::Anonymous::Loopback => Anonymous::Loopback,
        said::Anonymous::None => Anonymous::None,
    }
}

/// The module that gets the events of earlier versions.
fn events_for() -> Option<&'static str> {
    mqtt_modules::shipped().iter().find(|module| module.takes_over_events()).map(|module| module.info().name)
}

#[cfg(test)]
mod tests;
