//! The state of mosquitto's plugin for dynamic security: users with their passwords, and roles as rules.
//!
//! The plugin asks a client's roles in the order of their priority, then those of its groups, and of each role the first entry
//! that matches decides. Here rules are in one list, so each set of users that have the same roles has its own rules in that
//! order, with a last one for what no role is about.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use toml::toml;

use crate::{Migration, Place};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    #[serde(default, rename = "defaultACLAccess")]
    default: Defaults,
    #[serde(default)]
    anonymous_group: Option<String>,
    #[serde(default)]
    clients: Vec<Client>,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Defaults {
    publish_client_send: bool,
    publish_client_receive: bool,
    subscribe: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { publish_client_send: false, publish_client_receive: true, subscribe: false }
    }
}

#[derive(Deserialize)]
struct Client {
    username: String,
    #[serde(default)]
    clientid: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    salt: Option<String>,
    #[serde(default)]
    iterations: Option<u32>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    roles: Vec<Named>,
    #[serde(default)]
    groups: Vec<Named>,
}

#[derive(Deserialize)]
struct Group {
    groupname: String,
    #[serde(default)]
    roles: Vec<Named>,
    #[serde(default)]
    clients: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    username: String,
    #[serde(default)]
    priority: Option<i64>,
}

#[derive(Clone, Deserialize)]
struct Named {
    #[serde(alias = "rolename", alias = "groupname")]
    name: String,
    #[serde(default)]
    priority: Option<i64>,
}

#[derive(Deserialize)]
struct Role {
    rolename: String,
    #[serde(default)]
    acls: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    acltype: String,
    topic: String,
    #[serde(default)]
    priority: Option<i64>,
    allow: bool,
}

/// Whose rules: those with the same roles, and with the client id they are bound to.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Signature {
    roles: Vec<String>,
    clientid: Option<String>,
}

/// What a rule is about beside who.
struct Made {
    allow: bool,
    action: &'static str,
    topic: String,
    from: String,
}

/// Adds the rules, and returns the lines of a password file.
pub(super) fn take(text: &str, path: &Path, migration: &mut Migration) -> String {
    let state: State = match serde_json::from_str(text) {
        Ok(state) => state,
        Err(error) => {
            migration.problem(&Place::new(path, error.line()), error.to_string());
            return String::new();
        }
    };
    let place = Place::new(path, 0);
    let mut users = String::new();
    let mut by_roles: BTreeMap<Signature, Vec<String>> = BTreeMap::new();
    for client in &state.clients {
        if add_user(client, &place, &mut users, migration) {
            let signature = Signature { roles: roles_of(&state, client), clientid: client.clientid.clone() };
            by_roles.entry(signature).or_default().push(client.username.clone());
        }
    }
    for (signature, names) in by_roles {
        let made = entries(&state, &signature.roles, &place, migration);
        write(&state, &signature, &names, made, &place, migration);
    }
    // Whoever is left has said no user name, for all that are known have their own last rule.
    if let Some(name) = &state.anonymous_group {
        let group = state.groups.iter().find(|group| group.groupname == *name);
        let roles = group.map(|group| ordered(&group.roles)).unwrap_or_default();
        for made in entries(&state, &roles, &place, migration) {
            rule(&made, None, migration);
        }
        migration.carried(&place, format!("anonymousGroup {name}"), "rules for who says no user name");
    }
    defaults(&state.default, &place, migration);
    check(&place, migration);
    users
}

/// True if it may come in.
fn add_user(client: &Client, place: &Place, users: &mut String, migration: &mut Migration) -> bool {
    let shown = format!("client {}", client.username);
    if client.disabled {
        migration.left_out(place, shown, "it is disabled: it is no user here, so it does not come in");
        return false;
    }
    if client.username.is_empty() || client.username.contains(|letter: char| letter == ':' || letter.is_control()) {
        migration.left_out(place, shown, "a file of users has no ':' in names: rollcall users add NAME takes it");
        return false;
    }
    let (Some(hash), Some(salt)) = (&client.password, &client.salt) else {
        migration.left_out(
            place,
            shown,
            "it has no password, so it could not come in: rollcall users add NAME gives it one",
        );
        return false;
    };
    // As mosquitto_passwd writes the same hash.
    let iterations = client.iterations.unwrap_or(101);
    writeln!(users, "{}:$7${iterations}${salt}${hash}", client.username).expect("a String takes everything");
    migration.carried(place, shown, "a user with the password it has");
    true
}

/// In the order in which they are asked.
fn ordered(named: &[Named]) -> Vec<String> {
    let mut named = named.to_vec();
    named.sort_by_key(|one| std::cmp::Reverse(one.priority.unwrap_or(-1)));
    named.into_iter().map(|one| one.name).collect()
}

fn roles_of(state: &State, client: &Client) -> Vec<String> {
    let mut roles = ordered(&client.roles);
    // Membership stands in both places, or in one.
    let mut groups = client.groups.clone();
    for group in &state.groups {
        if let Some(member) = group.clients.iter().find(|member| member.username == client.username)
            && !groups.iter().any(|known| known.name == group.groupname)
        {
            groups.push(Named { name: group.groupname.clone(), priority: member.priority });
        }
    }
    for name in ordered(&groups) {
        let group = state.groups.iter().find(|group| group.groupname == name);
        roles.extend(group.map(|group| ordered(&group.roles)).unwrap_or_default());
    }
    roles
}

/// What the roles say, in the order in which it is asked.
fn entries(state: &State, roles: &[String], place: &Place, migration: &mut Migration) -> Vec<Made> {
    let roles: Vec<_> =
        roles.iter().filter_map(|name| state.roles.iter().find(|role| role.rolename == *name)).collect();
    let of = |role: &Role, kind: &str| {
        let mut found: Vec<_> = (0..role.acls.len()).filter(|&at| role.acls[at].acltype == kind).collect();
        found.sort_by_key(|&at| std::cmp::Reverse(role.acls[at].priority.unwrap_or(-1)));
        found
    };
    let is_received = |topic: &str| {
        let all = roles.iter().flat_map(|role| &role.acls);
        all.into_iter().any(|entry| entry.acltype == "publishClientReceive" && entry.allow && entry.topic == topic)
    };
    let mut made = Vec::new();
    // What may not be received may not be subscribed to. First, for nothing may allow it before that.
    for (kind, action) in [
        ("publishClientReceive", "subscribe"),
        ("subscribeLiteral", "subscribe"),
        ("subscribePattern", "subscribe"),
        ("publishClientSend", "publish"),
    ] {
        for role in &roles {
            for entry in of(role, kind).into_iter().map(|at| &role.acls[at]) {
                let from = format!("{place}: role {}, {kind} {}", role.rolename, entry.topic);
                if entry.topic.starts_with("$CONTROL/") {
                    let said = format!("role {}: {kind} {}", role.rolename, entry.topic);
                    migration.needless(
                        place,
                        said,
                        "nothing is controlled by topics here: rollcall users, rollcall acl",
                    );
                    continue;
                }
                // Who may subscribe may receive.
                if kind == "publishClientReceive" && entry.allow {
                    continue;
                }
                let is_open = state.default.publish_client_receive || is_received(&entry.topic);
                if action == "subscribe" && entry.allow && !is_open {
                    let why = "what may be received is forbidden by default, and not allowed with these very words";
                    migration.left_out(place, format!("role {}: {kind} {}", role.rolename, entry.topic), why);
                    continue;
                }
                let topic =
                    if kind == "subscribeLiteral" { format!("eq {}", entry.topic) } else { entry.topic.clone() };
                made.push(Made { allow: entry.allow, action, topic, from });
            }
        }
    }
    made
}

fn write(
    state: &State,
    signature: &Signature,
    names: &[String],
    made: Vec<Made>,
    place: &Place,
    migration: &mut Migration,
) {
    let users: toml::Value = names.to_vec().into();
    let mut who = toml! { user = [] };
    who.insert("user".to_owned(), users);
    let mut bound = who.clone();
    if let Some(id) = &signature.clientid {
        bound.insert("clientid".to_owned(), id.clone().into());
    }
    let shown = format!("roles {} of {}", signature.roles.join(", "), names.join(", "));
    migration.carried(place, shown, format!("{} rules, and what holds where none is about it", made.len()));
    for made in made {
        rule(&made, Some(&bound), migration);
    }
    let closing = |allow: bool, action: &str, who: &toml::Table| {
        let mut rule = toml::Table::new();
        rule.insert("allow".to_owned(), allow.into());
        rule.insert("who".to_owned(), who.clone().into());
        rule.insert("action".to_owned(), action.into());
        rule
    };
    let from = "What holds for them where none of those is about it.";
    for (action, allow) in [("publish", state.default.publish_client_send), ("subscribe", state.default.subscribe)] {
        migration.settings.rule(closing(allow, action, &bound).into(), from);
    }
    if let Some(id) = &signature.clientid {
        let from = format!("{place}: bound to the client id {id}; by another one nothing is allowed to it.");
        migration.settings.rule(closing(false, "all", &who).into(), from);
        let why = "who comes with another client id is let in, and may do nothing";
        migration.left_out(place, format!("client {}: clientid {id}", names.join(", ")), why);
    }
}

fn rule(made: &Made, who: Option<&toml::Table>, migration: &mut Migration) {
    let mut rule = toml::Table::new();
    rule.insert("allow".to_owned(), made.allow.into());
    if let Some(who) = who {
        rule.insert("who".to_owned(), who.clone().into());
    }
    rule.insert("action".to_owned(), made.action.into());
    rule.insert("topics".to_owned(), vec![made.topic.clone()].into());
    migration.settings.rule(rule.into(), made.from.clone());
}

/// For who says no user name.
fn defaults(default: &Defaults, place: &Place, migration: &mut Migration) {
    let word = |allow: bool| if allow { "allow" } else { "deny" };
    let (publish, subscribe) = (default.publish_client_send, default.subscribe);
    if publish != subscribe {
        let rule = toml! { allow = true };
        let mut rule = rule;
        rule.insert("action".to_owned(), if publish { "publish" } else { "subscribe" }.into());
        migration.settings.rule(rule.into(), format!("{place}: defaultACLAccess"));
    }
    let all = publish && subscribe;
    migration.settings.set("auth", "default", word(all), format!("{place}: defaultACLAccess"));
    migration.carried(place, "defaultACLAccess", format!("auth.default = \"{}\"", word(all)));
}

fn check(place: &Place, migration: &mut Migration) {
    let rules: Vec<Value> =
        migration.settings.rules().map(|rule| serde_json::to_value(rule).expect("texts, lists and truth")).collect();
    if let Err(why) = crate::check_rules(rules) {
        migration.problem(place, format!("a role can't be a rule here: {why}"));
    }
}
