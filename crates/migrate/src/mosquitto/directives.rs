//! What is said of the broker as a whole.

use super::conf::Directive;
use super::{Said, boolean, number};
use crate::Migration;

/// As long as a session can be kept that ends at all.
pub(super) const FOR_EVER: &str = "36500days";

/// What settings have for "no limit".
const NO_LIMIT: i64 = u32::MAX as i64;

/// Bytes a packet has beside its payload, at the most: the topic, and properties of some size.
const AROUND_PAYLOAD: i64 = 128 << 10;

/// Takes any directive: one that nobody knows is told of.
pub(super) fn take(said: &mut Said, directive: &Directive, migration: &mut Migration) {
    let place = &directive.place;
    let shown = directive.shown();
    match directive.word.as_str() {
        "persistence" => match boolean(directive, migration) {
            Some(false) => {
                let why =
                    "sessions and messages outlive the broker here all the same; data_dir = \"memory\" keeps nothing";
                migration.left_out(place, shown, why);
            }
            _ => migration.carried(place, shown, "data_dir"),
        },
        "persistence_location" => {
            said.location = Some(directive.rest.clone());
            migration.needless(place, shown, "Rollcall has a folder of its own: data_dir");
        }
        "persistence_file" => {
            said.database = Some(directive.rest.clone());
            migration.needless(place, shown, "Rollcall has a folder of its own: data_dir");
        }
        "persistent_client_expiration" => {
            let Some(span) = span(&directive.rest) else {
                return migration.problem(place, format!("{shown}: wants a number and h, d, w, m or y"));
            };
            said.expires = true;
            set(migration, directive, "mqtt", "session_expiry", span.clone());
            migration.settings.set("mqtt", "max_session_expiry", span, "");
        }
        "max_inflight_messages" => {
            let Some(most) = number(directive, migration) else { return };
            let most = if most == 0 { 65_535 } else { most };
            set(migration, directive, "limits", "max_inflight", most);
            migration.settings.set("limits", "receive_maximum", most, "");
        }
        "max_queued_messages" => {
            let Some(most) = number(directive, migration) else { return };
            set(migration, directive, "session", "max_queued", if most == 0 { NO_LIMIT } else { most });
        }
        "max_queued_bytes" => match number(directive, migration) {
            Some(0) | None => migration.needless(place, shown, "there is always a bound: session.max_queued_bytes"),
            Some(most) => set(migration, directive, "session", "max_queued_bytes", most),
        },
        "max_packet_size" => {
            let Some(most) = number(directive, migration).filter(|&most| most > 0) else { return };
            set(migration, directive, "limits", "max_packet_size", most.clamp(128, 268_435_455));
        }
        "message_size_limit" => match number(directive, migration) {
            Some(0) | None => migration.needless(place, shown, "there is always a bound: limits.max_packet_size"),
            Some(most) => {
                let packet = (most + AROUND_PAYLOAD).min(268_435_455);
                migration.settings.set(
                    "limits",
                    "max_packet_size",
                    packet,
                    format!("{place}: {shown}, with what is around it"),
                );
                migration.carried(place, shown, format!("limits.max_packet_size = {packet}, of the whole packet"));
            }
        },
        "memory_limit" => match number(directive, migration) {
            Some(bytes) if bytes >= 1 << 20 => set(migration, directive, "limits", "memory", bytes),
            _ => migration.left_out(place, shown, "wants at least 1 MiB; limits.memory is left as it is by default"),
        },
        "max_topic_alias" => {
            let Some(most) = number(directive, migration) else { return };
            set(migration, directive, "limits", "topic_alias_maximum", most);
        }
        "retain_available" => match boolean(directive, migration) {
            Some(false) => {
                migration.settings.set("modules.retainer", "enabled", false, format!("{place}: {shown}"));
                migration.carried(place, shown, "[modules.retainer] enabled = false");
            }
            _ => migration.needless(place, shown, "it is so"),
        },
        "sys_interval" => match number(directive, migration) {
            Some(0) => migration.left_out(place, shown, "$SYS can't be turned off; other topics have its numbers here"),
            Some(seconds) => set(migration, directive, "sys", "interval", format!("{seconds}s")),
            None => {}
        },
        "log_type" => match directive.rest.as_str() {
            "debug" | "all" | "websockets" => set(migration, directive, "log", "level", "debug"),
            _ => migration.needless(place, shown, "one level says it all: log.level"),
        },
        "log_dest" if directive.rest == "none" => set(migration, directive, "log", "level", "off"),
        "log_dest" | "log_facility" | "log_timestamp" | "log_timestamp_format" | "connection_messages" => {
            migration.needless(place, shown, "the log goes to standard error, with times; log.level, log.format");
        }
        "pid_file" | "user" => migration.needless(place, shown, "whoever starts it sees to that: systemd's unit"),
        "set_tcp_nodelay" => migration.needless(place, shown, "it is always so"),
        "autosave_interval" | "autosave_on_changes" => {
            migration.needless(place, shown, "what is acknowledged is stored before");
        }
        "allow_duplicate_messages" => migration.needless(place, shown, "it has no effect in mosquitto 2 either"),
        "check_retain_source" => match boolean(directive, migration) {
            Some(false) => migration.needless(place, shown, "it is so"),
            _ => {
                migration.left_out(place, shown, "what was retained stays when its publisher may not publish any more")
            }
        },
        "max_keepalive" => {
            let why = "clients choose their keep alive; mqtt.server_keep_alive gives all of MQTT 5 the same one";
            migration.left_out(place, shown, why);
        }
        "max_inflight_bytes" => migration.left_out(place, shown, "inflight messages are bounded by their number"),
        "queue_qos0_messages" => match boolean(directive, migration) {
            Some(true) => migration.left_out(place, shown, "QoS 0 messages are not kept for who is away"),
            _ => migration.needless(place, shown, "it is so"),
        },
        "upgrade_outgoing_qos" => match boolean(directive, migration) {
            Some(true) => migration.left_out(place, shown, "a message has the lower of both QoS, as MQTT says"),
            _ => migration.needless(place, shown, "it is so"),
        },
        "retry_interval" | "store_clean_interval" | "round_robin" => {
            migration.needless(place, shown, "it has no effect in mosquitto 2 either");
        }
        _ => migration.left_out(place, shown, "no such directive is known"),
    }
}

fn set(migration: &mut Migration, directive: &Directive, section: &str, key: &str, value: impl Into<toml::Value>) {
    let value = value.into();
    migration.carried(&directive.place, directive.shown(), format!("{section}.{key} = {value}"));
    let from = format!("{}: {}", directive.place, directive.shown());
    migration.settings.set(section, key, value, from);
}

/// A number of hours, days, weeks, months or years.
fn span(text: &str) -> Option<String> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.trim().parse().ok()?;
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 24 * 7,
        "m" => 24 * 30,
        "y" => 24 * 365,
        _ => return None,
    };
    // At most a hundred years.
    number.checked_mul(hours).map(|hours| format!("{}h", hours.min(876_000)))
}
