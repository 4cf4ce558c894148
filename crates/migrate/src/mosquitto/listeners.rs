//! Where clients come in.

use std::net::IpAddr;

use super::conf::Directive;
use super::security::Security;
use super::{Said, boolean, number};
use crate::{Migration, Place};

/// A listener as it is said.
#[derive(Default)]
pub(super) struct Listener {
    /// Where it begins; `None`: only settings of the one that is there without being said.
    pub(super) place: Option<Place>,
    said: String,
    port: Option<u16>,
    address: Option<String>,
    ipv6: bool,
    protocol: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    ca: Option<String>,
    crl: Option<String>,
    requires_certificate: bool,
    username_from: Option<&'static str>,
    max_connections: Option<i64>,
    /// Why it can't be on: what kept clients out, or apart, is missing.
    unsafe_without: Vec<String>,
    /// With `per_listener_settings`.
    pub(super) security: Security,
}

/// True if the directive is about a listener.
pub(super) fn take(said: &mut Said, directive: &Directive, migration: &mut Migration) -> bool {
    if directive.word == "listener" {
        begin(said, directive, migration);
        return true;
    }
    let is_first = said.listeners.len() == 1;
    let Some(listener) = said.listeners.last_mut() else { return false };
    let (place, rest) = (&directive.place, directive.rest.clone());
    let carried = |migration: &mut Migration, to: &str| migration.carried(place, directive.shown(), to);
    match directive.word.as_str() {
        // Of the listener that needs no line of its own, wherever they stand.
        "port" => {
            let first = &mut said.listeners[0];
            first.port = port(directive, migration);
            first.place = Some(place.clone());
            first.said = directive.shown();
        }
        "bind_address" => {
            let first = &mut said.listeners[0];
            first.address = Some(rest);
            first.place.get_or_insert(place.clone());
            first.said = directive.shown();
        }
        "protocol" => {
            if !matches!(rest.as_str(), "mqtt" | "websockets") {
                migration.problem(place, format!("{}: wants mqtt or websockets", directive.shown()));
            }
            listener.protocol = Some(rest);
            carried(migration, "the listener's kind");
        }
        "socket_domain" => {
            listener.ipv6 = rest == "ipv6";
            carried(migration, "the listener's bind");
        }
        "certfile" => {
            listener.cert = Some(rest);
            carried(migration, "the listener's cert");
        }
        "keyfile" => {
            listener.key = Some(rest);
            carried(migration, "the listener's key");
        }
        "cafile" => {
            listener.ca = Some(rest);
            carried(migration, "the listener's ca");
        }
        "crlfile" => {
            listener.crl = Some(rest);
            carried(migration, "the listener's crl");
        }
        "require_certificate" => {
            listener.requires_certificate = boolean(directive, migration) == Some(true);
            carried(migration, "the listener's verify");
        }
        "use_identity_as_username" | "use_subject_as_username" => {
            if boolean(directive, migration) == Some(true) {
                let is_name = directive.word == "use_identity_as_username";
                listener.username_from = Some(if is_name { "cn" } else { "dn" });
            }
            carried(migration, "the listener's username_from");
        }
        "max_connections" => {
            listener.max_connections = number(directive, migration).filter(|&most| most > 0);
            carried(migration, "the listener's max_connections");
        }
        "capath" => {
            let why = "a folder of certificates: put them into one file (cat *.pem) and name that as the listener's ca";
            migration.left_out(place, directive.shown(), why);
        }
        "psk_hint" => {
            listener.unsafe_without.push("TLS with pre-shared keys".to_owned());
            migration.left_out(
                place,
                directive.shown(),
                "there are no pre-shared keys here; give clients certificates",
            );
        }
        "mount_point" => {
            listener
                .unsafe_without
                .push("its mount_point, which kept its clients' topics apart from others'".to_owned());
            migration.left_out(place, directive.shown(), "topics can't be mounted here: see the module topic_rewrite");
        }
        "clientid_prefixes" if !is_first || !said.per_listener => return false,
        "tls_version" => match rest.as_str() {
            "tlsv1.2" => migration.needless(place, directive.shown(), "TLS 1.2 and 1.3 are spoken"),
            _ => migration.left_out(place, directive.shown(), "TLS 1.2 and 1.3 are spoken, and no other"),
        },
        "ciphers" | "ciphers_tls1.3" | "dhparamfile" => {
            migration.left_out(
                place,
                directive.shown(),
                "there is no choice: the suites are those that are safe today",
            );
        }
        "tls_engine" | "tls_engine_kpass_sha1" | "tls_keyform" => {
            listener.unsafe_without.push("the engine that has its key".to_owned());
            migration.left_out(place, directive.shown(), "there are no engines here; keys are files");
        }
        "http_dir" => migration.left_out(place, directive.shown(), "no files are served; put a web server beside it"),
        "websockets_headers_size" | "websockets_log_level" => {
            migration.needless(place, directive.shown(), "it is a bound of another library");
        }
        "max_qos" => migration.left_out(place, directive.shown(), "all of QoS 0, 1 and 2 are taken"),
        "bind_interface" => {
            listener.unsafe_without.push("its bind_interface".to_owned());
            migration.left_out(place, directive.shown(), "give the address of that interface as the listener's bind");
        }
        "use_username_as_clientid" => {
            migration.left_out(
                place,
                directive.shown(),
                "client ids are what clients say, or clientid_from certificates",
            );
        }
        _ => return false,
    }
    true
}

fn port(directive: &Directive, migration: &mut Migration) -> Option<u16> {
    let word = directive.rest.split_whitespace().next().unwrap_or_default();
    let port = word.parse().ok();
    if port.is_none() {
        migration.problem(&directive.place, format!("{}: wants a port", directive.shown()));
    }
    port
}

fn begin(said: &mut Said, directive: &Directive, migration: &mut Migration) {
    let address = directive.rest.split_once(char::is_whitespace).map(|(_, address)| address.trim().to_owned());
    said.listeners.push(Listener {
        place: Some(directive.place.clone()),
        said: directive.shown(),
        port: port(directive, migration),
        address,
        ..Listener::default()
    });
}

/// What one becomes.
struct Made {
    name: String,
    kind: &'static str,
    bind: String,
}

/// Has settings for all of them.
pub(super) fn apply(said: &Said, migration: &mut Migration) {
    let on: Vec<_> = said.listeners.iter().enumerate().filter(|(_, listener)| listener.place.is_some()).collect();
    let mut names = Vec::new();
    for &(_, listener) in &on {
        let made = make(listener, &mut names, migration);
        write(listener, &made, migration);
    }
    if on.is_empty() {
        let why = "Without a listener mosquitto is there for this machine only.";
        migration.settings.set("listeners.mqtt", "bind", "127.0.0.1:1883", why);
        names.push("mqtt".to_owned());
    }
    for name in ["mqtt", "ws"] {
        if !names.iter().any(|known| known == name) {
            let why = "It would be there by default; mosquitto had none.";
            migration.settings.set(&format!("listeners.{name}"), "bind", "off", why);
        }
    }
}

fn make(listener: &Listener, names: &mut Vec<String>, migration: &mut Migration) -> Made {
    let is_tls = listener.cert.is_some() || listener.key.is_some();
    let is_web = listener.protocol.as_deref() == Some("websockets");
    let kind = match (is_web, is_tls) {
        (false, false) => "mqtt",
        (false, true) => "mqtts",
        (true, false) => "ws",
        (true, true) => "wss",
    };
    let port = listener.port.unwrap_or(1883);
    let mut name = kind.to_owned();
    if names.contains(&name) {
        name = format!("{kind}-{port}");
    }
    let mut another = 2;
    while names.contains(&name) {
        name = format!("{kind}-{port}-{another}");
        another += 1;
    }
    names.push(name.clone());
    let any = if listener.ipv6 { "[::]" } else { "0.0.0.0" };
    let bind = match listener.address.as_deref() {
        // A socket of this machine.
        Some(path) if port == 0 && path.starts_with('/') && !is_web && !is_tls => format!("unix:{path}"),
        None => format!("{any}:{port}"),
        Some("localhost") => format!("127.0.0.1:{port}"),
        Some(address) => match address.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            Ok(ip) => format!("{ip}:{port}"),
            Err(_) => {
                let place = listener.place.clone().expect("only those with a place are made");
                let why =
                    "a listener has an IP address here, or unix:PATH: write that as its bind; it is off until then";
                migration.left_out(&place, listener.said.clone(), why);
                "off".to_owned()
            }
        },
    };
    Made { name, kind, bind }
}

fn write(listener: &Listener, made: &Made, migration: &mut Migration) {
    let Some(place) = &listener.place else { return };
    let section = format!("listeners.{}", made.name);
    let mut off = listener.unsafe_without.clone();
    if listener.requires_certificate && listener.ca.is_none() {
        off.push("its capath, which says whose certificates are good".to_owned());
    }
    if listener.username_from.is_some() && !listener.requires_certificate {
        off.push("require_certificate true: without it nobody has a name from a certificate".to_owned());
    }
    let from = format!("{place}: {}", listener.said);
    let settings = &mut migration.settings;
    settings.set(&section, "kind", made.kind, "");
    if off.is_empty() {
        settings.set(&section, "bind", made.bind.clone(), from);
    } else {
        settings.set(&section, "bind", "off", format!("{from}; off, for it would be without {}", off.join("; ")));
        settings.say(&section, format!("To have it on: bind = \"{}\"", made.bind));
    }
    for (key, file) in [("cert", &listener.cert), ("key", &listener.key)] {
        if let Some(file) = file {
            settings.set(&section, key, file.clone(), "");
        }
    }
    if listener.requires_certificate
        && let Some(ca) = &listener.ca
    {
        settings.set(&section, "ca", ca.clone(), "");
        settings.set(&section, "verify", "required", "");
        if let Some(crl) = &listener.crl {
            settings.set(&section, "crl", crl.clone(), "");
        }
        if let Some(username_from) = listener.username_from {
            settings.set(&section, "username_from", username_from, "");
        }
    }
    if let Some(most) = listener.max_connections {
        settings.set(&section, "max_connections", most, "");
    }
    if matches!(made.kind, "ws" | "wss") {
        settings.set(
            &section,
            "path",
            "/mqtt",
            "mosquitto takes any path; clients that ask for another one want it here.",
        );
    }
    if off.is_empty() {
        migration.carried(place, listener.said.clone(), format!("[{section}] bind = \"{}\"", made.bind));
    } else {
        let why = format!("[{section}] is made and off, for it would be without {}", off.join("; "));
        migration.left_out(place, listener.said.clone(), why);
    }
}
