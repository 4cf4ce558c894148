//! What is said of the broker as a whole: a table of keys and what they are here.

use std::path::{Path, PathBuf};

use super::Said;
use super::conf::Entry;
use crate::Migration;

/// What becomes of a key.
enum To {
    /// A key of a section, and how the value is written there.
    Key(&'static str, &'static str, Form),
    Needless(&'static str),
    Left(&'static str),
}

/// How a value is written.
enum Form {
    Text,
    /// A time, `2h` or `30s`.
    Span,
    /// `1MB`
    Size,
    Number,
    /// 0 is no limit, for which there is this number.
    NumberOr(i64),
    /// `true`, `false`, `on`, `off`
    Truth,
    /// `100,10s`
    Rate,
    /// `100KB,10s`
    ByteRate,
    Level,
    /// `ignore` is that, all else `disconnect`.
    DenyAction,
}

use Form::{ByteRate, DenyAction, Level, Number, NumberOr, Rate, Size, Span, Text, Truth};
use To::{Key, Left, Needless};

const NOTHING: To = Needless("there is nothing to set here for it");
const NO_LIMIT: i64 = u32::MAX as i64;

/// Of `mqtt.` and of a zone; those of the zone win.
fn of_zone(key: &str) -> To {
    match key {
        "idle_timeout" => Key("mqtt", "connect_timeout", Span),
        "max_packet_size" => Key("limits", "max_packet_size", Size),
        "max_clientid_len" => Key("limits", "max_client_id", Number),
        "max_topic_levels" => Key("limits", "max_topic_levels", NumberOr(65_536)),
        "max_topic_alias" => Key("limits", "topic_alias_maximum", Number),
        "server_keepalive" => Key("mqtt", "server_keep_alive", Number),
        "max_subscriptions" => Key("limits", "subscriptions_per_client", NumberOr(NO_LIMIT)),
        "max_inflight" => Key("limits", "max_inflight", NumberOr(65_535)),
        "max_awaiting_rel" => Key("limits", "receive_maximum", NumberOr(65_535)),
        "session_expiry_interval" => Key("mqtt", "session_expiry", Span),
        "max_mqueue_len" => Key("session", "max_queued", NumberOr(NO_LIMIT)),
        "retain_available" => Key("modules.retainer", "enabled", Truth),
        "rate_limit.conn_messages_in" | "publish_limit" => Key("limits", "message_rate", Rate),
        "rate_limit.conn_bytes_in" => Key("limits", "byte_rate", ByteRate),
        "acl_deny_action" => Key("auth", "deny_action", DenyAction),
        "enable_flapping_detect"
        | "enable_acl"
        | "enable_ban"
        | "enable_stats"
        | "bypass_auth_plugins"
        | "force_gc_policy"
        | "force_shutdown_policy"
        | "keepalive_backoff"
        | "retry_interval"
        | "await_rel_timeout"
        | "strict_mode"
        | "wildcard_subscription"
        | "shared_subscription"
        | "ignore_loop_deliver"
        | "mqueue_store_qos0" => NOTHING,
        "mountpoint" => Left("topics can't be mounted here: see the module topic_rewrite"),
        "use_username_as_clientid" => Left("client ids are what clients say, or clientid_from certificates"),
        "upgrade_qos" => Left("a message has the lower of both QoS, as MQTT says"),
        "max_qos_allowed" => Left("all of QoS 0, 1 and 2 are taken"),
        _ => Left("there is no such setting"),
    }
}

fn of(key: &str) -> To {
    match key {
        "node.name" => Key("node", "name", Text),
        "allow_anonymous" => Key("auth", "anonymous", Truth),
        "acl_nomatch" => Key("auth", "default", Text),
        "acl_deny_action" => Key("auth", "deny_action", DenyAction),
        "broker.sys_interval" => Key("sys", "interval", Span),
        "broker.sys_heartbeat" => Key("sys", "heartbeat", Span),
        "log.level" => Key("log", "level", Level),
        "auth.http.auth_req.url" | "auth.http.auth_req" => Key("auth", "http_url", Text),
        "auth.http.auth_req.method" => Key("auth", "http_method", Text),
        "auth.http.auth_req.params" => Key("auth", "http_params", Text),
        "auth.http.super_req.url" | "auth.http.super_req" => Key("auth", "http_super_url", Text),
        "auth.jwt.secret" => Key("auth", "jwt_secret", Text),
        "auth.jwt.pubkey" | "auth.jwt.jwks" => Key("auth", "jwt_keys", Text),
        "retainer.max_retained_messages" => Key("modules.retainer", "max_retained_messages", Number),
        "retainer.max_payload_size" => Key("modules.retainer", "max_payload_size", Size),
        "modules.loaded_file" | "plugins.loaded_file" | "plugins.etc_dir" | "plugins.expand_plugins_dir" => {
            Needless("give that file to this command too; with the folder of EMQ X it is read")
        }
        "node.data_dir" => Needless("Rollcall has a folder of its own: data_dir"),
        "enable_acl_cache" | "acl_cache_max_size" | "acl_cache_ttl" => Needless("rules need no cache here"),
        key if key.starts_with("auth.http.acl_req") => {
            Left("the service is asked at CONNECT, not at each publish: its answer may have acl")
        }
        key if key.starts_with("auth.http.") || key.starts_with("auth.jwt.") => {
            Left("see auth.http_… and auth.jwt_… in the configuration")
        }
        key if key.starts_with("auth.user.") || key.starts_with("auth.client.") => {
            Left("a password that stands there as it is: rollcall users add NAME")
        }
        "retainer.storage_type" => Needless("retained messages are in data_dir"),
        "retainer.expiry_interval" => Left("modules.retainer.expiry_interval, in seconds"),
        key => of_group(key),
    }
}

fn of_group(key: &str) -> To {
    const GROUPS: [(&str, To); 12] = [
        ("node.", Needless("of Erlang")),
        ("log.", Needless("the log goes to standard error, with times; log.level, log.format")),
        ("broker.", NOTHING),
        ("rpc.", Needless("of Erlang")),
        ("vm_mon.", Needless("of Erlang")),
        ("os_mon.", NOTHING),
        ("sysmon.", Needless("of Erlang")),
        ("alarm.", NOTHING),
        ("telemetry.", Needless("nothing is sent to anybody")),
        ("cluster.", Left("brokers make no cluster here")),
        ("quota.", Left("there is no quota of routed messages: limits.message_rate")),
        ("auth.mnesia.", Needless("users have the kind of hash with them")),
    ];
    let found = GROUPS.into_iter().find(|(group, _)| key.starts_with(group));
    found.map_or(Left("there is no such setting"), |(_, to)| to)
}

/// Takes any entry: one that nobody knows is told of.
pub(super) fn take(said: &mut Said, entry: &Entry, path: &Path, migration: &mut Migration) {
    let (place, key, value) = (&entry.place, entry.key.as_str(), entry.value.as_str());
    if key == "acl_file" {
        said.acl = Some((place.clone(), resolved(path, Path::new(value))));
        return;
    }
    if key == "flapping_detect_policy" || key == "zone.external.flapping_detect_policy" {
        return flapping(entry, migration);
    }
    if let Some(rest) = key.strip_prefix("module.") {
        return module(said, rest, entry, migration);
    }
    let to = if let Some(key) = key.strip_prefix("mqtt.") {
        // Those of the zone have been said, or will be, and hold instead.
        of_zone(key)
    } else if let Some((zone, key)) = key.strip_prefix("zone.").and_then(|rest| rest.split_once('.')) {
        if zone != said.zone.as_deref().unwrap_or("external") {
            Left("of another zone than the first listener's: what may differ is set at a listener (listeners.NAME)")
        } else {
            of_zone(key)
        }
    } else {
        of(key)
    };
    match to {
        Needless(why) => migration.needless(place, entry.shown(), why),
        Left(why) => migration.left_out(place, entry.shown(), why),
        Key(section, name, form) => match written(&form, value) {
            Some(value) => {
                let is_secret = name.contains("secret");
                let shown = if is_secret { "********".to_owned() } else { value.to_string() };
                migration.carried(place, entry.shown(), format!("{section}.{name} = {shown}"));
                migration.settings.set(section, name, value, format!("{place}: {}", entry.shown()));
            }
            None => migration.problem(place, format!("{}: its value makes no sense", entry.shown())),
        },
    }
}

/// A file that is named from the folder of EMQ X, or from beside the one that names it.
pub(super) fn resolved(path: &Path, named: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new("."));
    if named.is_absolute() {
        return named.to_owned();
    }
    // `etc/acl.conf`, said in `etc/emqx.conf`.
    let below = named.strip_prefix("etc").ok().filter(|_| folder.ends_with("etc") || folder.ends_with("emqx"));
    folder.join(below.unwrap_or(named))
}

/// `30, 1m, 5m`: how often, within what time, and for how long it is banned then.
fn flapping(entry: &Entry, migration: &mut Migration) {
    let parts: Vec<_> = entry.value.split(',').map(str::trim).collect();
    match parts[..] {
        [count, within, ban] if count.parse::<u32>().is_ok() && is_span(within) && is_span(ban) => {
            let from = format!("{}: {}", entry.place, entry.shown());
            migration.settings.set("limits.flapping", "rate", format!("{count}/{within}"), from);
            migration.settings.set("limits.flapping", "ban", ban, "");
            migration.carried(&entry.place, entry.shown(), "limits.flapping");
        }
        _ => migration.problem(&entry.place, format!("{}: wants COUNT, TIME, TIME", entry.shown())),
    }
}

fn module(said: &mut Said, rest: &str, entry: &Entry, migration: &mut Migration) {
    let parts: Vec<_> = rest.split('.').collect();
    match parts[..] {
        ["subscription", number, "topic"] => {
            said.subscriptions.entry(number.to_owned()).or_default().0 = Some(entry.value.clone());
            migration.carried(&entry.place, entry.shown(), "modules.subscription.topics");
        }
        ["subscription", number, "qos"] => {
            said.subscriptions.entry(number.to_owned()).or_default().1 = entry.value.parse().unwrap_or(0);
            migration.carried(&entry.place, entry.shown(), "modules.subscription.topics");
        }
        ["rewrite", "pub", "rule", _] | ["rewrite", "sub", "rule", _] | ["rewrite", "rule", _] => {
            let action = if parts[1] == "rule" { "all" } else { parts[1] };
            match entry.value.split_whitespace().collect::<Vec<_>>()[..] {
                [source, re, dest] => {
                    let mut rule = toml::Table::new();
                    for (key, value) in [("action", action), ("source_topic", source), ("re", re), ("dest_topic", dest)]
                    {
                        rule.insert(key.to_owned(), value.into());
                    }
                    said.rewrites.push(rule.into());
                    migration.carried(&entry.place, entry.shown(), "modules.topic_rewrite.rule");
                }
                _ => migration.problem(&entry.place, format!("{}: wants TOPIC REGEX TOPIC", entry.shown())),
            }
        }
        ["presence", "qos"] => migration.needless(&entry.place, entry.shown(), "events have the QoS of who subscribes"),
        _ => migration.left_out(&entry.place, entry.shown(), "there is no such setting of a module"),
    }
}

fn is_span(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    number.parse::<u64>().is_ok() && matches!(unit, "ms" | "s" | "m" | "h" | "d" | "w")
}

fn size(text: &str) -> Option<i64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[number.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" | "K" => 1 << 10,
        "MB" | "M" => 1 << 20,
        "GB" | "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

fn written(form: &Form, value: &str) -> Option<toml::Value> {
    let pair =
        || value.split_once(',').map(|(amount, per)| (amount.trim(), per.trim())).filter(|(_, per)| is_span(per));
    Some(match form {
        Text => value.into(),
        Span if is_span(value) => value.into(),
        Span => return None,
        Size => size(value)?.into(),
        Number => value.parse::<i64>().ok()?.into(),
        NumberOr(limit) => value.parse::<i64>().ok().map(|number| if number == 0 { *limit } else { number })?.into(),
        Truth => match value {
            "true" | "on" => true.into(),
            "false" | "off" => false.into(),
            _ => return None,
        },
        Rate => pair().map(|(amount, per)| format!("{amount}/{per}"))?.into(),
        ByteRate => pair().and_then(|(amount, per)| Some(format!("{}/{per}", size(amount)?)))?.into(),
        Level => match value {
            "debug" | "info" | "error" => value.into(),
            "notice" => "info".into(),
            "warning" => "warn".into(),
            "critical" | "alert" | "emergency" => "error".into(),
            _ => return None,
        },
        DenyAction => if value == "ignore" { "ignore" } else { "disconnect" }.into(),
    })
}
