//! Connections to other brokers: what they are is told, for whoever makes them here.

use super::conf::Directive;
use crate::Migration;

/// Those that are said.
#[derive(Default)]
pub(super) struct Bridges(Vec<Vec<Directive>>);

/// What may be said of one, beside what begins so.
const WORDS: [&str; 31] = [
    "connection",
    "address",
    "addresses",
    "topic",
    "attempt_unsubscribe",
    "cleansession",
    "clientid",
    "local_cleansession",
    "local_clientid",
    "local_password",
    "local_username",
    "remote_clientid",
    "remote_password",
    "remote_username",
    "username",
    "password",
    "keepalive_interval",
    "idle_timeout",
    "restart_timeout",
    "start_type",
    "threshold",
    "try_private",
    "notifications",
    "notifications_local_only",
    "notification_topic",
    "round_robin",
    "mount_point",
    "upgrade_outgoing_qos",
    "max_inflight_messages",
    "keepalive",
    "tls_version",
];

impl Bridges {
    /// True if it is about the bridge that was begun last.
    pub(super) fn take(&mut self, directive: &Directive) -> bool {
        let word = directive.word.as_str();
        if word == "connection" {
            self.0.push(Vec::new());
        }
        if !(word.starts_with("bridge_") || WORDS.contains(&word)) {
            return false;
        }
        let Some(bridge) = self.0.last_mut() else { return false };
        bridge.push(directive.clone());
        true
    }

    /// What there is to do, in the report, and as comments behind the settings that need only be uncommented.
    pub(super) fn tell(&self, migration: &mut Migration) {
        for bridge in &self.0 {
            let name = bridge.first().map_or("", |directive| directive.rest.as_str()).to_owned();
            migration
                .settings
                .note(format!("The bridge {name:?} of mosquitto's, off until this is uncommented and looked at:"));
            table(&name, bridge).into_iter().for_each(|line| migration.settings.note(line));
            for directive in bridge {
                migration.settings.note(format!("  {}: {}", directive.place, directive.shown()));
                let why = match directive.word.as_str() {
                    "connection" => {
                        "it is off: the comments at the end of the settings have it ready to be uncommented"
                    }
                    "remote_password" | "password" => "for the bridge; it is not written down once more",
                    word if UNDERSTOOD.contains(&word) => "for the bridge, as those comments have it",
                    _ => "for the bridge, which has no such setting, or another one: see docs/src/bridges.md",
                };
                migration.left_out(&directive.place, directive.shown(), why);
            }
        }
        if !self.0.is_empty() {
            migration.next.push(
                "bridges: uncomment them at the end of the settings, when mosquitto does not make the same connection any more"
                    .to_owned(),
            );
        }
    }
}

/// What [`table`] has.
const UNDERSTOOD: [&str; 11] = [
    "address",
    "addresses",
    "topic",
    "remote_username",
    "username",
    "remote_clientid",
    "clientid",
    "bridge_cafile",
    "bridge_certfile",
    "bridge_keyfile",
    "bridge_protocol_version",
];

/// The same bridge as a table of settings.
fn table(name: &str, bridge: &[Directive]) -> Vec<String> {
    let said = |words: &[&str]| {
        let directive = bridge.iter().find(|directive| words.contains(&directive.word.as_str()));
        directive.map(|directive| directive.rest.as_str())
    };
    let text = |text: &str| toml::Value::from(text).to_string();
    let ca = said(&["bridge_cafile"]);
    let address = said(&["address", "addresses"]).and_then(|all| all.split_whitespace().next()).unwrap_or_default();
    let (scheme, port) = if ca.is_some() { ("mqtts", 8883) } else { ("mqtt", 1883) };
    let is_with_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let remote = if is_with_port { format!("{scheme}://{address}") } else { format!("{scheme}://{address}:{port}") };
    let mut lines = vec![
        "[[modules.bridge.bridges]]".to_owned(),
        format!("name = {}", text(name)),
        format!("remote = {}", text(&remote)),
    ];
    if said(&["bridge_protocol_version"]) != Some("mqttv50") {
        // As mosquitto does where it is told nothing.
        lines.push("protocol = 4".to_owned());
    }
    let keys: [(&str, &[&str]); 5] = [
        ("client_id", &["remote_clientid", "clientid"]),
        ("username", &["remote_username", "username"]),
        ("ca", &["bridge_cafile"]),
        ("cert", &["bridge_certfile"]),
        ("key", &["bridge_keyfile"]),
    ];
    lines.extend(keys.iter().filter_map(|(key, words)| Some(format!("{key} = {}", text(said(words)?)))));
    if said(&["remote_password", "password"]).is_some() {
        lines.push("password = \"as mosquitto.conf has it\"".to_owned());
    }
    let topics =
        bridge.iter().filter(|directive| directive.word == "topic").map(|directive| Carried::read(&directive.rest));
    let topics: Vec<_> = topics.collect();
    for (key, other) in [("out", "in"), ("in", "out")] {
        let carried: Vec<_> = topics.iter().filter(|topic| topic.direction != other).map(Carried::table).collect();
        if !carried.is_empty() {
            lines.push(format!("{key} = {}", toml::Value::from(carried)));
        }
    }
    lines
}

/// What a `topic` line says: PATTERN, DIRECTION, QOS, LOCAL PREFIX, REMOTE PREFIX, all but the first with a default.
struct Carried<'a> {
    pattern: &'a str,
    direction: &'a str,
    qos: i64,
    local: &'a str,
    remote: &'a str,
}

impl<'a> Carried<'a> {
    fn read(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        // An empty text is written as two quotes.
        let mut next = |default| words.next().map_or(default, |word| if word == "\"\"" { "" } else { word });
        let (pattern, direction, qos) = (next(""), next("out"), next("0"));
        Self { pattern, direction, qos: qos.parse().unwrap_or(0), local: next(""), remote: next("") }
    }

    fn table(&self) -> toml::Value {
        let mut table = toml::Table::new();
        table.insert("topic".to_owned(), self.pattern.into());
        table.insert("qos".to_owned(), self.qos.into());
        for (key, prefix) in [("local_prefix", self.local), ("remote_prefix", self.remote)] {
            if !prefix.is_empty() {
                table.insert(key.to_owned(), prefix.into());
            }
        }
        table.into()
    }
}
