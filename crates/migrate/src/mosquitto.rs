//! Mosquitto's `mosquitto.conf` and what it names: other files of settings, users, rules, the state of its plugin for
//! dynamic security.

use std::path::Path;

use crate::{Files, Migration, Target};

mod bridges;
mod conf;
mod directives;
mod dynsec;
mod listeners;
mod security;

use bridges::Bridges;
use conf::Directive;
use listeners::Listener;
use security::Security;

/// What is said, before it is known what else is.
#[derive(Default)]
struct Said {
    /// The first is the one that is there without a `listener`; it is on if something is said of its address.
    listeners: Vec<Listener>,
    /// `per_listener_settings`: each listener has a security of its own.
    per_listener: bool,
    /// Of the broker, or of the listener that has none.
    security: Security,
    bridges: Bridges,
    /// `persistence_location` and `persistence_file`.
    location: Option<String>,
    database: Option<String>,
    expires: bool,
}

/// Reads a `mosquitto.conf`.
pub fn migrate(files: &dyn Files, path: &Path, target: &Target) -> Migration {
    let mut migration = Migration::default();
    let directives = conf::read(files, path, &mut migration);
    if !migration.problems.is_empty() {
        return migration;
    }
    let data_dir = target.data_dir.display().to_string();
    migration.settings.set("", "data_dir", data_dir, "Sessions, messages, users and who is online.");
    let mut said = Said { listeners: vec![Listener::default()], ..Said::default() };
    // First, for it changes what others mean, wherever it stands.
    for directive in directives.iter().filter(|directive| directive.word == "per_listener_settings") {
        said.per_listener = directive.rest == "true";
        migration.needless(&directive.place, directive.shown(), "what it means is in each listener's lines");
    }
    let mut in_bridge = false;
    for directive in directives.iter().filter(|directive| directive.word != "per_listener_settings") {
        match directive.word.as_str() {
            "connection" => in_bridge = true,
            "listener" => in_bridge = false,
            _ => {}
        }
        if in_bridge && said.bridges.take(directive) {
            continue;
        }
        if !listeners::take(&mut said, directive, &mut migration)
            && !security::take(&mut said, directive, &mut migration)
        {
            directives::take(&mut said, directive, &mut migration);
        }
    }
    if !said.expires {
        let why = "mosquitto keeps sessions for ever where persistent_client_expiration is not said.";
        migration.settings.set("mqtt", "session_expiry", directives::FOR_EVER, why);
    }
    security::apply(&mut said, files, path, target, &mut migration);
    listeners::apply(&said, &mut migration);
    said.bridges.tell(&mut migration);
    migration.next.push(
        "who watches: below $SYS/ only clients of this machine may subscribe, unless sys.subscribe = \"all\" or a rule about \
         $SYS/# allows it"
            .to_owned(),
    );
    if let Some(location) = &said.location {
        let database = Path::new(location).join(said.database.as_deref().unwrap_or("mosquitto.db"));
        migration.next.push(format!(
            "retained messages and sessions: stop mosquitto, then, before Rollcall's first start: rollcall import \
             mosquitto-db {}",
            database.display()
        ));
    }
    migration
}

/// A number, or a problem.
fn number(directive: &Directive, migration: &mut Migration) -> Option<i64> {
    let number = directive.rest.parse().ok();
    if number.is_none() {
        migration.problem(&directive.place, format!("{}: wants a number", directive.shown()));
    }
    number
}

/// `true` or `false`, or a problem.
fn boolean(directive: &Directive, migration: &mut Migration) -> Option<bool> {
    match directive.rest.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            migration.problem(&directive.place, format!("{}: wants true or false", directive.shown()));
            None
        }
    }
}

#[cfg(test)]
mod tests;
