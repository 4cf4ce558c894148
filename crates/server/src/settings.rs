//! From what was said to what each part is told.

use mqtt_broker::{Config, HomeDown, ListenerLimits, Store};
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
        anonymous: said.auth.anonymous,
        deny_action: said.auth.deny_action,
        mqtt: said.mqtt.clone(),
        limits: said.limits.clone(),
        session: said.session.clone(),
        listeners: said.listeners.iter().filter_map(own_limits).collect(),
        store: said.data_dir.clone().map(|folder| Store { folder, durability, events_for: events_for() }),
        recovery_grace: said.recovery_grace,
        sys: said.sys.clone(),
        on_home_down: said.cluster.as_ref().map_or_else(HomeDown::default, |cluster| cluster.on_home_down),
    }
}

/// `None`: it has no bounds of its own.
fn own_limits(listener: &said::Listener) -> Option<(String, ListenerLimits)> {
    let own = Some(&listener.limits).filter(|own| **own != ListenerLimits::default());
    own.map(|own| (listener.name.clone(), own.clone()))
}

/// The module that gets the events of earlier versions.
fn events_for() -> Option<&'static str> {
    mqtt_modules::shipped().iter().find(|module| module.takes_over_events()).map(|module| module.info().name)
}

#[cfg(test)]
mod tests;
