//! The JSON of `emqx_ctl data export`, and answers of the REST API in the same words.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::loaded;
use crate::state::{Ban, BanKind};
use crate::{Migration, Place};

/// Bytes of the salt before a password's hash.
const SALT: usize = 4;

/// A ban that never ends.
const FOR_EVER: u64 = 253_402_300_799;

/// Takes what is in an export: users go to `users` as lines of a password file, bans to the state, rules to the settings.
pub(super) fn take(export: &Value, from: &str, users: &mut String, migration: &mut Migration) {
    let place = Place { file: from.to_owned(), line: 0 };
    let Some(parts) = export.as_object() else {
        return migration.problem(&place, "wants the object that emqx_ctl data export writes");
    };
    for (part, value) in parts {
        let Some(list) = value.as_array() else {
            if !matches!(part.as_str(), "version" | "date") {
                migration.left_out(&place, part.clone(), "it is no list");
            }
            continue;
        };
        match part.as_str() {
            "auth_mnesia" | "auth_username" | "auth_clientid" => {
                list.iter().for_each(|entry| user(entry, part, &place, users, migration));
            }
            "acl_mnesia" => rules(list, &place, migration),
            "blacklist" => list.iter().for_each(|entry| ban(entry, &place, migration)),
            "modules" => list.iter().for_each(|entry| module(entry, &place, migration)),
            part => list.iter().for_each(|entry| left(part, entry, &place, migration)),
        }
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Value::as_str)
}

fn user(entry: &Value, part: &str, place: &Place, users: &mut String, migration: &mut Migration) {
    let is_id = part == "auth_clientid" || text(entry, "type") == Some("clientid");
    let Some(name) = text(entry, "login").or(text(entry, "username")).or(text(entry, "clientid")) else {
        return migration.problem(place, format!("{part}: an entry without a name"));
    };
    let said = format!("{part}: {name}");
    if is_id {
        let why = "it is asked by client id, and users are asked by their names here: rollcall users add NAME, and a rule about it";
        return migration.left_out(place, said, why);
    }
    if name.is_empty() || name.contains(|letter: char| letter == ':' || letter.is_control()) {
        return migration.left_out(
            place,
            said,
            "a file of users has no ':' in names: rollcall users add NAME takes it",
        );
    }
    match text(entry, "password").and_then(hash) {
        Some(hash) => {
            writeln!(users, "{name}:{hash}").expect("a String takes everything");
            migration.carried(place, said, "a user with the password it has");
        }
        None => {
            let why = "its password is kept in a way that is not safe any more (md5, sha, plain): rollcall users add NAME gives it another";
            migration.left_out(place, said, why);
        }
    }
}

/// The salt and, in hexadecimal digits, the hash of salt and password.
fn hash(password: &str) -> Option<String> {
    let kept = BASE64_STANDARD.decode(password).ok()?;
    let (salt, digits) = kept.split_at_checked(SALT)?;
    let kind = match digits.len() {
        64 => "sha256",
        128 => "sha512",
        _ => return None,
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    let hash = bytes.collect::<Option<Vec<_>>>()?;
    Some(format!("$emqx-{kind}${}${}", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(hash)))
}

/// EMQ X looks at those of a client id first, then those of a user name, then those of all; of each what is denied comes first
/// here, whatever order they were made in.
fn rules(list: &[Value], place: &Place, migration: &mut Migration) {
    let kind = |entry: &Value| match text(entry, "type") {
        Some("clientid") => 0,
        Some("all") => 2,
        _ => 1,
    };
    let allows = |entry: &Value| match (text(entry, "access"), entry.get("allow").and_then(Value::as_bool)) {
        (Some(access), _) => access == "allow",
        (None, allow) => allow == Some(true),
    };
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by_key(|entry| (kind(entry), allows(entry)));
    for entry in list {
        let action = match text(entry, "action") {
            Some("pub" | "publish") => "publish",
            Some("sub" | "subscribe") => "subscribe",
            Some("pubsub") => "all",
            _ => {
                migration.problem(place, format!("acl_mnesia: {entry}: its action is not known"));
                continue;
            }
        };
        let who = text(entry, "type_value").or(text(entry, "login"));
        let (Some(topic), true) = (text(entry, "topic"), who.is_some() || kind(entry) == 2) else {
            migration.problem(place, format!("acl_mnesia: {entry}: wants who it is about and a topic"));
            continue;
        };
        let mut rule = toml::Table::new();
        rule.insert("allow".to_owned(), allows(entry).into());
        if let Some(who) = who {
            let mut table = toml::Table::new();
            table.insert(if kind(entry) == 0 { "clientid" } else { "user" }.to_owned(), who.into());
            rule.insert("who".to_owned(), table.into());
        }
        rule.insert("action".to_owned(), action.into());
        rule.insert("topics".to_owned(), vec![topic.to_owned()].into());
        let said = format!("acl_mnesia: {} {action} {topic}", who.unwrap_or("all"));
        migration.settings.rule(rule.into(), format!("{place}: {said}"));
        migration.carried(place, said, "[[auth.rules]]");
    }
}

fn ban(entry: &Value, place: &Place, migration: &mut Migration) {
    // An export has an object, the REST API two keys.
    let of_export = [("clientid", BanKind::ClientId), ("username", BanKind::Username), ("peerhost", BanKind::PeerHost)];
    let named = entry.get("who").filter(|who| who.is_object());
    let found = of_export.iter().find_map(|(key, kind)| {
        let who = match named {
            Some(named) => text(named, key),
            None => text(entry, "who").filter(|_| text(entry, "as") == Some(key)),
        };
        Some((*kind, who?))
    });
    let Some((kind, who)) = found else {
        return migration.problem(place, format!("blacklist: {entry}: it is not known who is meant"));
    };
    let said = format!("blacklist: {who}");
    if kind == BanKind::PeerHost && who.parse::<IpAddr>().is_err() {
        return migration.problem(place, format!("{said}: no IP address"));
    }
    let number = |key: &str| entry.get(key).and_then(Value::as_u64);
    let word = |key: &str| text(entry, key).unwrap_or_default().to_owned();
    migration.state.banned.push(Ban {
        kind,
        who: who.to_owned(),
        reason: word("reason"),
        by: word("by"),
        at: number("at").unwrap_or(0),
        until: number("until").unwrap_or(FOR_EVER),
    });
    migration.carried(place, said, "a ban in the state beside the settings");
}

/// EMQ X has them by type, or by name where the REST API lists them.
fn module(entry: &Value, place: &Place, migration: &mut Migration) {
    let name = text(entry, "type").or(text(entry, "name")).unwrap_or_default();
    let on = ["enabled", "enable", "active"].iter().find_map(|key| entry.get(*key).and_then(Value::as_bool));
    loaded::module(name, on.unwrap_or(true), place, migration);
}

fn left(part: &str, entry: &Value, place: &Place, migration: &mut Migration) {
    let name = ["id", "app_id", "username", "name", "type"].iter().find_map(|key| text(entry, key)).unwrap_or_default();
    let why = match part {
        "users" => "who may use the dashboard: rollcall admin operator add NAME",
        "apps" => "the key of a script: rollcall admin key add NAME",
        "rules" => {
            "there is no rule engine: presence tells services by modules.sinks, other messages are for a consumer"
        }
        "plugins" => "give loaded_plugins and the files of etc/plugins to this command too",
        "resources" => "of the rule engine, which is not here",
        _ => "there is no such thing here",
    };
    migration.left_out(place, format!("{part}: {name}"), why);
}
