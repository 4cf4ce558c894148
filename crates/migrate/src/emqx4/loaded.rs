//! `loaded_modules` and `loaded_plugins`: an Erlang term a line, `{emqx_mod_presence, true}.`

use std::path::Path;

use super::Said;
use crate::{Files, Migration, Place};

/// Modules by what they are called here.
pub(super) const MODULES: [(&str, &str); 6] = [
    ("emqx_mod_presence", "presence"),
    ("emqx_mod_delayed", "delayed_publish"),
    ("emqx_mod_rewrite", "topic_rewrite"),
    ("emqx_mod_subscription", "subscription"),
    ("emqx_mod_topic_metrics", "topic_metrics"),
    ("emqx_mod_acl_internal", "acl_internal"),
];

/// Plugins that are modules here, or parts that are always there.
const PLUGINS: [(&str, &str); 9] = [
    ("emqx_management", "it is the admin port"),
    ("emqx_dashboard", "it is the admin port"),
    ("emqx_retainer", "the module retainer, which is on"),
    ("emqx_recon", "of Erlang"),
    ("emqx_telemetry", "nothing is sent to anybody"),
    ("emqx_modules", "modules are there"),
    ("emqx_prometheus", "/metrics of the admin port is asked"),
    ("emqx_auth_mnesia", "users and rules are in emqx_ctl data export: give its file to this command too"),
    ("emqx_auth_jwt", "its settings are in etc/plugins/emqx_auth_jwt.conf: give that to this command too"),
];

/// The name and whether it is on; `emqx_x.` alone is on.
fn terms(text: &str) -> impl Iterator<Item = (usize, Option<(&str, bool)>)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('%')).map(|(number, line)| {
        let term = line.strip_suffix('.').map(|term| term.trim().trim_matches(['{', '}']));
        let said = term.and_then(|term| match term.split_once(',') {
            None => Some((term, true)),
            Some((name, on)) => match on.trim() {
                "true" => Some((name.trim(), true)),
                "false" => Some((name.trim(), false)),
                _ => None,
            },
        });
        (number, said)
    })
}

pub(super) fn modules(files: &dyn Files, path: &Path, migration: &mut Migration) {
    let Some(text) = migration.read(files, path, None) else { return };
    for (line, term) in terms(&text) {
        let place = Place::new(path, line);
        let Some((name, on)) = term else {
            migration.problem(&place, "wants a line like {emqx_mod_presence, true}.");
            continue;
        };
        module(name, on, &place, migration);
    }
}

/// One by the name that EMQ X has for it.
pub(super) fn module(name: &str, on: bool, place: &Place, migration: &mut Migration) {
    let said = format!("{name}, {on}");
    match MODULES.iter().find(|(known, ours)| *known == name || *ours == name) {
        Some((_, ours)) => {
            let section = format!("modules.{ours}");
            migration.carried(place, said, format!("[{section}] enabled = {on}"));
            migration.settings.set(&section, "enabled", on, format!("{place}"));
        }
        None => migration.left_out(place, said, "there is no such module"),
    }
}

pub(super) fn plugins(files: &dyn Files, path: &Path, said: &mut Said, migration: &mut Migration) {
    let Some(text) = migration.read(files, path, None) else { return };
    for (line, term) in terms(&text) {
        let place = Place::new(path, line);
        match term {
            None => migration.problem(&place, "wants a line like {emqx_management, true}."),
            Some((name, true)) => plugin(name, &place, said, migration),
            Some((name, false)) => migration.needless(&place, name, "it was off"),
        }
    }
}

fn plugin(name: &str, place: &Place, said: &mut Said, migration: &mut Migration) {
    if let Some((_, why)) = PLUGINS.iter().find(|(known, _)| *known == name) {
        return migration.needless(place, name, *why);
    }
    if name == "emqx_auth_http" {
        // Its settings make it asked here as well; without them nobody comes in unasked.
        if migration.settings.value("auth", "http_url").is_none() {
            said.is_unasked = true;
        }
        return migration.needless(
            place,
            name,
            "its settings are in etc/plugins/emqx_auth_http.conf: give that to this command too",
        );
    }
    if name.starts_with("emqx_auth_") || name == "emqx_psk_file" || name == "emqx_exhook" || name == "emqx_lua_hook" {
        said.is_unasked = true;
        let why = "it asked who clients are, and is not here: auth.http_url asks a service; until something is asked nobody is let in \
                   but known users, and auth.default is \"deny\"";
        return migration.left_out(place, name, why);
    }
    migration.left_out(place, name, "there is no such part here");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_have_a_name_and_are_on_unless_they_say_no() {
        let found: Vec<_> = terms("%% x\n{a, true}.\n{b,false}.\nc.\nd\n{e, maybe}.\n").collect();
        assert_eq!(
            found,
            [(2, Some(("a", true))), (3, Some(("b", false))), (4, Some(("c", true))), (5, None), (6, None)]
        );
    }
}
