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

    /// What there is to do, in the report and as comments behind the settings.
    pub(super) fn tell(&self, migration: &mut Migration) {
        for bridge in &self.0 {
            let name = bridge.first().map_or("", |directive| directive.rest.as_str()).to_owned();
            migration
                .settings
                .note(format!("The bridge {name:?}, to be made here with what mosquitto.conf says of it:"));
            for directive in bridge {
                migration.settings.note(format!("  {}: {}", directive.place, directive.shown()));
                let why = match directive.word.as_str() {
                    "connection" => "bridges are not made for you: see the comments at the end of the settings",
                    "topic" => {
                        "for the bridge: a topic filter, its direction (out, in, both), QoS, local and remote prefix"
                    }
                    _ => "for the bridge",
                };
                migration.left_out(&directive.place, directive.shown(), why);
            }
        }
        if !self.0.is_empty() {
            migration.next.push(
                "bridges: mosquitto can go on bridging to Rollcall (its `address` then names Rollcall), and from here: see \
                 the comments at the end of the settings"
                    .to_owned(),
            );
        }
    }
}
