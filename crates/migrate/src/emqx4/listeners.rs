//! `listener.KIND.NAME = ADDRESS`, and what is said of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::conf::Entry;
use crate::{Migration, Place};

/// By kind and name.
#[derive(Default)]
pub(super) struct Listeners(BTreeMap<(String, String), Listener>);

#[derive(Default)]
struct Listener {
    place: Option<(Place, String)>,
    address: String,
    options: BTreeMap<String, Entry>,
}

/// What needs nothing here.
const NEEDLESS: [&str; 25] = [
    "acceptors",
    "active_n",
    "zone",
    "backlog",
    "send_timeout",
    "send_timeout_close",
    "recbuf",
    "sndbuf",
    "buffer",
    "high_watermark",
    "tune_buffer",
    "nodelay",
    "reuseaddr",
    "access.1",
    "handshake_timeout",
    "honor_cipher_order",
    "reuse_sessions",
    "secure_renegotiate",
    "proxy_protocol_timeout",
    "compress",
    "idle_timeout",
    "max_frame_size",
    "fail_if_no_subprotocol",
    "supported_subprotocols",
    "mqtt_piggyback",
];

impl Listeners {
    /// True if the entry is about a listener.
    pub(super) fn take(&mut self, entry: &Entry, migration: &mut Migration) -> bool {
        let Some(rest) = entry.key.strip_prefix("listener.") else { return false };
        let Some((kind, rest)) = rest.split_once('.') else { return false };
        let (name, option) = rest.split_once('.').map_or((rest, None), |(name, option)| (name, Some(option)));
        if !matches!(kind, "tcp" | "ssl" | "ws" | "wss") {
            migration.left_out(&entry.place, entry.shown(), "of another protocol, which is not spoken here");
            return true;
        }
        let listener = self.0.entry((kind.to_owned(), name.to_owned())).or_default();
        match option {
            None => {
                listener.place = Some((entry.place.clone(), entry.shown()));
                listener.address.clone_from(&entry.value);
            }
            Some(option) => {
                listener.options.insert(option.to_owned(), entry.clone());
            }
        }
        true
    }

    /// Has settings for all of them.
    pub(super) fn apply(self, migration: &mut Migration) {
        let mut names = Vec::new();
        for ((kind, name), listener) in self.0 {
            let Some((place, shown)) = listener.place else { continue };
            let kind = match kind.as_str() {
                "tcp" => "mqtt",
                "ssl" => "mqtts",
                "ws" => "ws",
                _ => "wss",
            };
            let own = name.to_ascii_lowercase();
            let own: String = own.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(20).collect();
            let short = if name == "external" || names.is_empty() { kind.to_owned() } else { format!("{kind}-{own}") };
            let section = if names.contains(&short) { format!("{kind}-{own}") } else { short };
            names.push(section.clone());
            let made = Made { section: format!("listeners.{section}"), kind, place, shown };
            made.write(&listener.address, listener.options, migration);
        }
        for name in ["mqtt", "ws"] {
            if !names.iter().any(|known| known == name) {
                let why = "It would be there by default; EMQ X had none.";
                migration.settings.set(&format!("listeners.{name}"), "bind", "off", why);
            }
        }
    }
}

struct Made {
    section: String,
    kind: &'static str,
    place: Place,
    shown: String,
}

impl Made {
    fn write(self, address: &str, options: BTreeMap<String, Entry>, migration: &mut Migration) {
        let Self { section, kind, place, shown } = &self;
        let bind = match (address.parse::<SocketAddr>(), address.parse::<u16>()) {
            (Ok(address), _) => address.to_string(),
            (_, Ok(port)) => format!("0.0.0.0:{port}"),
            _ => return migration.problem(place, format!("{shown}: wants ADDRESS:PORT or a port")),
        };
        let mut off: Vec<String> = Vec::new();
        migration.settings.set(section, "kind", *kind, "");
        let asks = options.get("verify").is_some_and(|entry| entry.value == "verify_peer");
        for (option, entry) in &options {
            self.option(option, entry, asks, &mut off, migration);
        }
        if asks {
            let insists = options.get("fail_if_no_peer_cert").is_some_and(|entry| entry.value == "true");
            migration.settings.set(section, "verify", if insists { "required" } else { "optional" }, "");
            if !options.contains_key("cacertfile") {
                off.push("cacertfile, which says whose certificates are good".to_owned());
            }
        }
        if off.is_empty() {
            migration.settings.set(section, "bind", bind.clone(), format!("{place}: {shown}"));
            migration.carried(place, shown.clone(), format!("[{section}] bind = \"{bind}\""));
        } else {
            let why = format!("off, for it would be without {}", off.join("; "));
            migration.settings.set(section, "bind", "off", format!("{place}: {shown}; {why}; else: bind = \"{bind}\""));
            migration.left_out(place, shown.clone(), format!("[{section}] is made and {why}"));
        }
    }

    fn option(&self, option: &str, entry: &Entry, asks: bool, off: &mut Vec<String>, migration: &mut Migration) {
        let (place, value, section) = (&entry.place, entry.value.as_str(), self.section.as_str());
        let mut set = |key: &str, value: toml::Value| {
            migration.carried(place, entry.shown(), format!("{section}.{key}"));
            migration.settings.set(section, key, value, "");
        };
        let name_of = |value: &str| match value {
            "cn" => Some("cn"),
            "dn" => Some("dn"),
            _ => None,
        };
        match option {
            "certfile" => set("cert", value.into()),
            "keyfile" => set("key", value.into()),
            "cacertfile" if asks => set("ca", value.into()),
            "cacertfile" => migration.needless(place, entry.shown(), "clients are not asked for certificates (verify)"),
            "verify" | "fail_if_no_peer_cert" => migration.carried(place, entry.shown(), format!("{section}.verify")),
            "mqtt_path" => set("path", value.into()),
            "max_connections" => match value.parse::<i64>() {
                Ok(most) => set("max_connections", most.clamp(1, 100_000_000).into()),
                Err(_) => migration.problem(place, format!("{}: wants a number", entry.shown())),
            },
            "max_conn_rate" => set("connect_rate", format!("{value}/s").into()),
            "peer_cert_as_username" | "peer_cert_as_clientid" => match name_of(value) {
                Some(name) if asks => {
                    let key = if option == "peer_cert_as_username" { "username_from" } else { "clientid_from" };
                    set(key, name.into());
                }
                _ => {
                    off.push(format!("{option} = {value}"));
                    migration.left_out(place, entry.shown(), "wants cn or dn, and verify = verify_peer");
                }
            },
            "proxy_protocol" if value == "on" => {
                off.push("the proxies' addresses, who alone may say whose connection it is".to_owned());
                migration.left_out(
                    place,
                    entry.shown(),
                    "list them as the listener's proxy_from, and give it its bind",
                );
            }
            "proxy_protocol" => migration.needless(place, entry.shown(), "it is so unless proxy_from is set"),
            "access.1" if value != "allow all" => {
                off.push("its access rules".to_owned());
                migration.left_out(
                    place,
                    entry.shown(),
                    "rules may be about addresses; who may connect is for a firewall",
                );
            }
            "tls_versions" | "ciphers" | "psk_ciphers" | "dhfile" | "key_password" => {
                migration.left_out(
                    place,
                    entry.shown(),
                    "TLS 1.2 and 1.3 are spoken, with what is safe today; keys have no password",
                );
            }
            option if option.starts_with("access.") && value != "allow all" => {
                off.push("its access rules".to_owned());
                migration.left_out(
                    place,
                    entry.shown(),
                    "rules may be about addresses; who may connect is for a firewall",
                );
            }
            option
                if NEEDLESS.contains(&option)
                    || option.starts_with("access.")
                    || option.starts_with("deflate_opts.") =>
            {
                migration.needless(place, entry.shown(), "there is nothing to set here for it");
            }
            _ => migration.left_out(place, entry.shown(), "there is no such setting of a listener"),
        }
    }
}
