//! EMQ X 4's files: `emqx.conf` and those of its plugins, `acl.conf`, `loaded_modules`, `loaded_plugins`, and the JSON of
//! `emqx_ctl data export`, which has users, rules and bans.

use std::path::{Path, PathBuf};

use crate::{Files, Migration, Place, Target};

mod conf;
mod export;
mod keys;
mod listeners;
mod loaded;

/// What is said, before it is known what else is.
#[derive(Default)]
struct Said {
    listeners: listeners::Listeners,
    /// Where `acl_file` stands, and the file.
    acl: Option<(Place, PathBuf)>,
    /// Of the zone of the first listener, by its name, or of another one.
    zone: Option<String>,
    subscriptions: std::collections::BTreeMap<String, (Option<String>, u8)>,
    rewrites: Vec<toml::Value>,
    has_conf: bool,
    /// Somebody who was asked is not asked here.
    is_unasked: bool,
}

/// Where files of an installation are, below its folder or in the file system of a package.
const OF_FOLDER: [&str; 8] = [
    "etc/emqx.conf",
    "emqx.conf",
    "etc/plugins/emqx_auth_http.conf",
    "etc/plugins/emqx_auth_jwt.conf",
    "etc/plugins/emqx_auth_mnesia.conf",
    "etc/plugins/emqx_retainer.conf",
    "data/loaded_modules",
    "data/loaded_plugins",
];

/// What a running one has answered, in the words of its export.
#[derive(Debug)]
pub struct Answers {
    /// Who was asked, for people.
    pub from: String,
    /// Lists by what they are: `blacklist`, `modules`, `apps`.
    pub parts: serde_json::Value,
}

/// Reads files of EMQ X 4, or an installation's folder. What each file is shows in its name.
pub fn migrate(files: &dyn Files, paths: &[PathBuf], answers: Option<&Answers>, target: &Target) -> Migration {
    let mut migration = Migration::default();
    let mut said = Said::default();
    let mut all: Vec<PathBuf> = Vec::new();
    for path in paths {
        let inside = OF_FOLDER.iter().map(|name| path.join(name));
        let inside: Vec<_> = inside.filter(|path| files.read(path).is_ok()).collect();
        if inside.is_empty() { all.push(path.clone()) } else { all.extend(inside) }
    }
    let data_dir = target.data_dir.display().to_string();
    migration.settings.set("", "data_dir", data_dir, "Sessions, messages, users and who is online.");
    let mut users = String::new();
    for path in &all {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name {
            "loaded_modules" => loaded::modules(files, path, &mut migration),
            "loaded_plugins" => loaded::plugins(files, path, &mut said, &mut migration),
            "acl.conf" => said.acl = Some((Place::new(path, 0), path.clone())),
            name if name.ends_with(".conf") => read_conf(files, path, &mut said, &mut migration),
            _ => {
                if let Some(text) = migration.read(files, path, None) {
                    match serde_json::from_str(&text) {
                        Ok(value) => export::take(&value, &path.display().to_string(), &mut users, &mut migration),
                        Err(error) => {
                            let why = format!(
                                "{error}: wants emqx.conf, acl.conf, loaded_modules, or the JSON of emqx_ctl data export"
                            );
                            migration.problem(&Place::new(path, error.line()), why);
                        }
                    }
                }
            }
        }
    }
    if let Some(Answers { from, parts }) = answers {
        export::take(parts, from, &mut users, &mut migration);
    }
    finish(files, said, users, target, &mut migration);
    migration
}

fn read_conf(files: &dyn Files, path: &Path, said: &mut Said, migration: &mut Migration) {
    let entries = conf::read(files, path, migration);
    said.has_conf |= path.file_name().is_some_and(|name| name == "emqx.conf");
    // First, for it says which zone's settings hold for all.
    let zone = entries.iter().find(|entry| entry.key == "listener.tcp.external.zone").map(|entry| entry.value.clone());
    said.zone = zone.or(said.zone.take());
    for entry in &entries {
        if !said.listeners.take(entry, migration) {
            keys::take(said, entry, path, migration);
        }
    }
}

fn finish(files: &dyn Files, said: Said, users: String, target: &Target, migration: &mut Migration) {
    if said.has_conf {
        said.listeners.apply(migration);
        let from = "emqx.conf does not say it, which is so in EMQ X";
        if migration.settings.value("auth", "anonymous").is_none() {
            migration.settings.set("auth", "anonymous", false, from);
        }
        if migration.settings.value("auth", "default").is_none() {
            migration.settings.set("auth", "default", "deny", from);
        }
    }
    if said.is_unasked {
        let from = "Something that EMQ X asked who clients are is not asked here, so nobody comes in unasked.";
        migration.settings.set("auth", "anonymous", false, from);
        migration.settings.set("auth", "default", "deny", from);
    }
    let subscriptions = said.subscriptions.into_values().filter_map(|(topic, qos)| {
        let mut table = toml::Table::new();
        table.insert("topic".to_owned(), topic?.into());
        table.insert("qos".to_owned(), i64::from(qos).into());
        Some(toml::Value::from(table))
    });
    let subscriptions: Vec<_> = subscriptions.collect();
    if !subscriptions.is_empty() {
        migration.settings.set("modules.subscription", "topics", subscriptions, "module.subscription");
    }
    if !said.rewrites.is_empty() {
        migration.settings.set("modules.topic_rewrite", "rule", said.rewrites, "module.rewrite");
    }
    if let Some((place, path)) = said.acl {
        acl(files, &place, &path, target, migration);
    }
    if !users.is_empty() {
        let path = target.beside("users");
        match mqtt_auth::PasswordFile::parse(&users) {
            Ok(_) => {
                migration.settings.set("auth", "password_file", path.display().to_string(), "Made of EMQ X's users.");
                migration.beside.push(crate::Beside { path, text: users });
            }
            Err(wrong) => {
                migration.problem(&Place::new(&path, wrong.line), format!("as it would be made: {}", wrong.why))
            }
        }
    }
    let rules: Vec<_> =
        migration.settings.rules().map(|rule| serde_json::to_value(rule).expect("texts, lists and truth")).collect();
    if let Err(why) = crate::check_rules(rules) {
        migration.problem(&Place { file: "acl_mnesia".to_owned(), line: 0 }, why);
    }
    migration.next.push(
        "sessions and queues of a running EMQ X are in its memory only: clients that come here begin new ones"
            .to_owned(),
    );
}

/// Copied, for EMQ X's folder may go.
fn acl(files: &dyn Files, place: &Place, path: &Path, target: &Target, migration: &mut Migration) {
    let Some(text) = migration.read(files, path, Some(place)) else { return };
    match mqtt_auth::acl::AclFile::parse(&text, "") {
        Ok(rules) => {
            let copy = target.beside("acl");
            let count = rules.len();
            migration.settings.set(
                "auth",
                "acl_file",
                copy.display().to_string(),
                format!("A copy of {}.", path.display()),
            );
            migration.carried(
                place,
                format!("acl_file {}", path.display()),
                format!("auth.acl_file, a copy with its {count} rules"),
            );
            migration.beside.push(crate::Beside { path: copy, text });
        }
        Err(wrong) => migration.problem(&Place::new(path, wrong.line), wrong.why),
    }
}

#[cfg(test)]
mod tests;
