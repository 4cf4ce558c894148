//! Who may come in and what they may do.

use std::path::Path;

use mqtt_auth::PasswordFile;
use mqtt_auth::acl::AclFile;

use super::conf::Directive;
use super::{Said, boolean, dynsec};
use crate::{Beside, Files, Migration, Place, Target};

/// What is said of who may come in.
#[derive(Default)]
pub(super) struct Security {
    anonymous: Option<(bool, Place)>,
    password_file: Option<(String, Place)>,
    acl_file: Option<(String, Place)>,
    plugins: Vec<Plugin>,
}

struct Plugin {
    path: String,
    place: Place,
    /// The file of its state.
    file: Option<String>,
}

/// Plugins that keep nobody out.
const HARMLESS: [&str; 4] = ["message_timestamp", "payload_modification", "persist_sqlite", "sparkplug_aware"];

/// True if the directive is about security.
pub(super) fn take(said: &mut Said, directive: &Directive, migration: &mut Migration) -> bool {
    let security = match said.listeners.last_mut() {
        Some(listener) if said.per_listener => &mut listener.security,
        _ => &mut said.security,
    };
    let (place, rest) = (&directive.place, &directive.rest);
    let file = || Some((rest.clone(), place.clone()));
    match directive.word.as_str() {
        "allow_anonymous" => security.anonymous = boolean(directive, migration).map(|is_so| (is_so, place.clone())),
        "password_file" => security.password_file = file(),
        "acl_file" => security.acl_file = file(),
        "plugin" | "auth_plugin" | "global_plugin" => {
            security.plugins.push(Plugin { path: rest.clone(), place: place.clone(), file: None });
        }
        "plugin_opt_config_file" | "auth_opt_config_file" => match security.plugins.last_mut() {
            Some(plugin) => plugin.file = Some(rest.clone()),
            None => migration.problem(place, format!("{}: there is no plugin before it", directive.shown())),
        },
        "psk_file" => {
            migration.left_out(
                place,
                directive.shown(),
                "there are no pre-shared keys here; give clients certificates",
            );
        }
        "clientid_prefixes" => {
            let why = "who may come in is not asked for its client id: a rule may be about clientid, or a listener about \
                       certificates (clientid_from)";
            migration.left_out(place, directive.shown(), why);
        }
        "allow_zero_length_clientid" | "auto_id_prefix" => {
            migration.left_out(
                place,
                directive.shown(),
                "a client without an id is given one, whatever it begins with",
            );
        }
        word if word.starts_with("plugin_opt_")
            || word.starts_with("auth_opt_")
            || word == "auth_plugin_deny_special_chars" =>
        {
            migration.left_out(place, directive.shown(), "of a plugin, which is not run here");
        }
        _ => return false,
    }
    true
}

/// Has settings for all that was said.
pub(super) fn apply(said: &mut Said, files: &dyn Files, path: &Path, target: &Target, migration: &mut Migration) {
    let mut all: Vec<Security> = vec![std::mem::take(&mut said.security)];
    if said.per_listener {
        let listeners = said.listeners.iter_mut().filter(|listener| listener.place.is_some());
        all = listeners.map(|listener| std::mem::take(&mut listener.security)).collect();
    }
    let has_listener = said.listeners.iter().any(|listener| listener.place.is_some());
    anonymous(&all, has_listener, path, migration);
    let plugins: Vec<_> = all.iter().flat_map(|security| &security.plugins).collect();
    let dynamic = plugins.iter().find(|plugin| plugin.path.contains("dynamic_security"));
    let mut users = String::new();
    if let Some(plugin) = dynamic {
        users = dynamic_security(plugin, files, migration);
    }
    for plugin in &plugins {
        if !plugin.path.contains("dynamic_security") {
            foreign(plugin, migration);
        }
    }
    let one_file = |pick: fn(&Security) -> Option<&(String, Place)>| {
        let mut found: Vec<(String, Place)> = Vec::new();
        for named in all.iter().filter_map(pick) {
            if !found.iter().any(|(known, _)| *known == named.0) {
                found.push(named.clone());
            }
        }
        found
    };
    let password_files = one_file(|security| security.password_file.as_ref());
    passwords(&password_files, users, files, target, migration);
    let acl_files = one_file(|security| security.acl_file.as_ref());
    acl(&acl_files, dynamic.is_some(), files, migration);
}

fn anonymous(all: &[Security], has_listener: bool, path: &Path, migration: &mut Migration) {
    // Without a listener mosquitto is there for this machine only, and lets everybody in.
    let default = !has_listener;
    let is_so = |security: &Security| security.anonymous.as_ref().map_or(default, |(is_so, _)| *is_so);
    let allows = all.iter().all(is_so);
    let said: Vec<_> = all.iter().filter_map(|security| security.anonymous.as_ref()).collect();
    for (is_so, place) in &said {
        let shown = format!("allow_anonymous {is_so}");
        if *is_so == allows {
            migration.carried(place, shown, format!("auth.anonymous = {allows}"));
        } else {
            migration.left_out(
                place,
                shown,
                "what one listener forbids is forbidden at all: auth.anonymous is for all of them",
            );
        }
    }
    let from = said.first().map_or_else(
        || format!("{}: allow_anonymous is not said, which is {default} in mosquitto 2", path.display()),
        |(is_so, place)| format!("{place}: allow_anonymous {is_so}"),
    );
    migration.settings.set("auth", "anonymous", allows, from);
}

fn dynamic_security(plugin: &Plugin, files: &dyn Files, migration: &mut Migration) -> String {
    let shown = format!("plugin {}", plugin.path);
    let Some(file) = &plugin.file else {
        migration.problem(&plugin.place, format!("{shown}: wants plugin_opt_config_file"));
        return String::new();
    };
    let path = Path::new(file);
    let Some(text) = migration.read(files, path, Some(&plugin.place)) else { return String::new() };
    migration.carried(&plugin.place, shown, format!("users and rules, see {file}"));
    dynsec::take(&text, path, migration)
}

/// It may have kept people out, so nobody comes in without being asked by something else.
fn foreign(plugin: &Plugin, migration: &mut Migration) {
    let shown = format!("plugin {}", plugin.path);
    if HARMLESS.iter().any(|name| plugin.path.contains(name)) {
        return migration.left_out(&plugin.place, shown, "plugins are not run here");
    }
    let from = format!(
        "{}: {shown} is not run here, so nobody comes in unasked, and nothing is allowed by default.",
        plugin.place
    );
    migration.settings.set("auth", "anonymous", false, from.clone());
    migration.settings.set("auth", "default", "deny", from);
    let why = "plugins are not run here: auth.http_url asks a service, auth.jwt_keys takes tokens; until one of them is set \
               nobody is let in but users of a file, and auth.default is \"deny\"";
    migration.left_out(&plugin.place, shown, why);
}

fn passwords(named: &[(String, Place)], users: String, files: &dyn Files, target: &Target, migration: &mut Migration) {
    let file = match named {
        [] => None,
        [file] => Some(file),
        several => {
            for (file, place) in several {
                let why = "listeners have different ones, and here all of them have one: whom one let in the others did not, \
                           so none is taken. Put the users together and set auth.password_file";
                migration.left_out(place, format!("password_file {file}"), why);
            }
            None
        }
    };
    let mut own = None;
    if let Some((file, place)) = file {
        let path = Path::new(file);
        let Some(text) = migration.read(files, path, Some(place)) else { return };
        if let Err(wrong) = PasswordFile::parse(&text) {
            return migration.problem(&Place::new(path, wrong.line), wrong.why);
        }
        own = Some((text, file, place));
    }
    match own {
        Some((_, file, place)) if users.is_empty() => {
            let shown = format!("password_file {file}");
            migration.carried(place, shown.clone(), "auth.password_file, the same file: both brokers can use it");
            migration.settings.set("auth", "password_file", file.clone(), format!("{place}: {shown}"));
        }
        None if users.is_empty() => {}
        own => {
            let mut text = users;
            if let Some((more, file, place)) = own {
                text.push_str(&more);
                migration.carried(
                    place,
                    format!("password_file {file}"),
                    "copied into the file of users beside the settings",
                );
            }
            let path = target.beside("users");
            if let Err(wrong) = PasswordFile::parse(&text) {
                return migration
                    .problem(&Place::new(&path, wrong.line), format!("as it would be made: {}", wrong.why));
            }
            migration.settings.set("auth", "password_file", path.display().to_string(), "Made of what mosquitto had.");
            migration.beside.push(Beside { path, text });
        }
    }
}

fn acl(named: &[(String, Place)], is_dynamic: bool, files: &dyn Files, migration: &mut Migration) {
    let (file, place) = match named {
        [] => return,
        [one] if !is_dynamic => one,
        several => {
            for (file, place) in several {
                let why = "listeners have different ones, or there is dynamic security too: nothing is allowed by default \
                           until you put them together and set auth.acl_file";
                migration.left_out(place, format!("acl_file {file}"), why);
            }
            let why = "Rules of mosquitto's are missing here, see what the import told.";
            return migration.settings.set("auth", "default", "deny", why);
        }
    };
    let (path, shown) = (Path::new(file), format!("acl_file {file}"));
    let Some(text) = migration.read(files, path, Some(place)) else { return };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        migration.settings.set("auth", "default", "deny", format!("{place}: {shown}, which is empty"));
        return migration.carried(place, shown, "auth.default = \"deny\": an empty one forbids everything");
    }
    match AclFile::parse(&text, file) {
        Ok(rules) => {
            let count = rules.len();
            migration.settings.set("auth", "acl_file", file.clone(), format!("{place}: {shown}"));
            let why = format!(
                "auth.acl_file, the same file ({count} rules); a subscription that it does not cover is refused, where mosquitto \
                 takes it and sends less"
            );
            migration.carried(place, shown, why);
        }
        Err(wrong) => migration.problem(&Place::new(path, wrong.line), wrong.why),
    }
}
