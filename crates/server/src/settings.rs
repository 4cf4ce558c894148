//! From what was said to what each part is told.

use mqtt_broker::{Anonymous, Config, DenyAction, ListenerLimits, Store, Sys, SysSubscribe};
use mqtt_config as said;
use mqtt_storage::Durability;

/// What the broker is told.
pub(crate) fn broker(said: &said::Config) -> Config {
    let durability = match said.storage.durability {
        said::Durability::Process => Durability::Process,
        said::Durability::Power => Durability::Power,
    };
    Config {
        node: said.node.name.clone(),
        anonymous: anonymous(said.auth.anonymous),
        deny_action: match said.auth.deny_action {
            said::DenyAction::Ignore => DenyAction::Ignore,
            said::DenyAction::Disconnect => DenyAction::Disconnect,
        },
        mqtt: said.mqtt.clone(),
        limits: said.limits.clone(),
        session: said.session.clone(),
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
    let own = Some(&listener.limits).filter(|own| **own != ListenerLimits::default());
    own.map(|own| (listener.name.clone(), own.clone()))
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
