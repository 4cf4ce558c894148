//! The table of listeners: what they are called, what is said of each, and what holds for them together.

use std::{collections::BTreeMap, fmt, net::IpAddr, net::SocketAddr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

use crate::{
    Address, ListenerKind,
    check::Wrong,
    config,
    file::Listener,
    schema::Section,
    value::{Bind, ListenAt},
};

mod check;

pub(crate) use check::{TlsSaid, networks};
#[cfg(test)]
mod tests;

/// Those that are there from the start.
pub(crate) const MQTT: &str = "mqtt";
pub(crate) const WS: &str = "ws";

/// What they are when nothing is said of them.
const BUILT_IN: [(&str, ListenerKind, u16); 2] = [(MQTT, ListenerKind::Mqtt, 1883), (WS, ListenerKind::Ws, 8083)];

/// What stands before a name.
const TABLE: &str = "listeners.";

/// Bytes of a name.
const LONGEST: usize = 32;

/// The names that keys had when there was one listener; they go on being understood.
pub(crate) const OLD_NAMES: [(&str, &str); 3] = [
    ("mqtt.bind", "listeners.mqtt.bind"),
    ("mqtt.backlog", "listeners.mqtt.backlog"),
    ("ws.bind", "listeners.ws.bind"),
];

/// All listeners by name. [`BUILT_IN`] ones are among them, with what was not said of them filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Listeners(BTreeMap<String, Listener>);

impl Default for Listeners {
    fn default() -> Self {
        Self::with_built_in(BTreeMap::new())
    }
}

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::with_built_in)
    }
}

impl Listeners {
    fn with_built_in(mut said: BTreeMap<String, Listener>) -> Self {
        for (name, kind, port) in BUILT_IN {
            let listener = said.entry(name.to_owned()).or_default();
            listener.kind.get_or_insert(kind);
            listener.bind.get_or_insert(ListenAt::Ip(Bind::loopback(port)));
        }
        Self(said)
    }

    /// Those that are on, [`BUILT_IN`] ones first, then by name.
    pub(crate) fn check(&self) -> Result<Vec<config::Listener>, Wrong> {
        let mut listeners: Vec<config::Listener> = Vec::new();
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(name, _)| place(name));
        for (name, said) in all {
            let Some(listener) = said.check(name)? else { continue };
            if let Some(other) = listeners.iter().find(|other| is_same(&other.bind, &listener.bind)) {
                let why =
                    format!("\"{}\" is the address of {} too; wants its own", listener.bind, key(&other.name, "bind"));
                return Err(Wrong::new(key(name, "bind"), why));
            }
            listeners.push(listener);
        }
        Ok(listeners)
    }
}

/// Where one stands among the others.
fn place(name: &str) -> usize {
    BUILT_IN.iter().position(|(known, ..)| *known == name).unwrap_or(BUILT_IN.len())
}

/// What a value is to be.
struct Wanted<'a, V>(&'a V);

impl<V: for<'de> Visitor<'de>> fmt::Display for Wanted<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// Port 0 is another one each time.
fn is_same(one: &Address, other: &Address) -> bool {
    let (Address::Ip(one), Address::Ip(other)) = (one, other) else { return one == other };
    // `::ffff:127.0.0.1` is 127.0.0.1.
    let canonical = |address: SocketAddr| match IpAddr::to_canonical(&address.ip()) {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    };
    one.port() != 0 && canonical(*one) == canonical(*other)
}

/// A key of a listener.
pub(crate) fn key(name: &str, key: &str) -> String {
    format!("{TABLE}{name}.{key}")
}

/// The section of a listener.
pub(crate) fn section(name: &str) -> Section {
    let section = Listener::section();
    let about = if name == MQTT { section.about } else { Vec::new() };
    Section { name: format!("{TABLE}{name}"), about, ..section }
}

/// What a key is called today.
pub(crate) fn today(key: &str) -> &str {
    OLD_NAMES.iter().find(|(old, _)| *old == key).map_or(key, |(_, today)| today)
}

/// The name of the listener that a key is about; it may be one that can't be.
pub(crate) fn named(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(TABLE)?;
    match rest.rsplit_once('.') {
        // So a name in quotes that has a dot is a wrong name, not a wrong key.
        Some((name, last)) if Listener::section().keys.iter().any(|key| key.name == last) => Some(name),
        _ => rest.split('.').next(),
    }
}

/// Whether a listener may be called so; says why not.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(fits) {
        return Err(format!("the name of a listener wants 1 to {LONGEST} lower-case letters, digits, '-' and '_'"));
    }
    match name {
        // The first three are in the ready line, where each listener is by its name; `memory` is where clients without a socket come in.
        "admin" | "node" | "pid" | "memory" => Err("something else is called so; wants another name".to_owned()),
        _ => Ok(()),
    }
}

struct KindVisitor;

impl Visitor<'_> for KindVisitor {
    type Value = ListenerKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"mqtt\", \"mqtts\", \"ws\" or \"wss\"")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ListenerKind, E> {
        match value {
            "mqtt" => Ok(ListenerKind::Mqtt),
            "mqtts" => Ok(ListenerKind::Mqtts),
            "ws" => Ok(ListenerKind::Ws),
            "wss" => Ok(ListenerKind::Wss),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for ListenerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KindVisitor)
    }
}
