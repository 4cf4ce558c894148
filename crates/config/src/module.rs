//! The section of a module, as the module describes it.

use std::{fmt, sync::Arc};

use mqtt_hooks::{HIDDEN, Info, ListOf, Module, Setting, SettingKind};
use serde::{
    Deserialize,
    de::{Error as _, Unexpected},
};
use toml::{Table, Value};

use crate::{
    ModuleConfig, file,
    schema::{Key, Section},
};

/// The settings of a module: the section `modules.NAME`, which has `enabled` beside them.
pub struct ModuleSection {
    /// `NAME`
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What can be set.
    pub settings: &'static [Setting],
    /// Has the last word on its settings.
    pub check: Box<Check>,
    /// The broker's own [`Config::recovery_grace`](crate::Config::recovery_grace) is said in this section too: this is
    /// the module that tells who is gone.
    pub has_recovery_grace: bool,
}

/// Whether a module takes all of its settings together, an object; a line says what is wrong.
pub type Check = dyn Fn(&serde_json::Value) -> Result<(), String> + Send + Sync;

/// What was said in a module's section and what is so by default.
pub(crate) struct Filled {
    /// For people.
    pub(crate) table: Table,
    pub(crate) config: ModuleConfig,
    pub(crate) recovery_grace: std::time::Duration,
}

/// The broker's key in one module's section.
const GRACE: &str = "recovery_grace";

/// Bytes of a line of a comment that is printed.
const LINE: usize = 115;

impl ModuleSection {
    /// As the module describes it.
    pub fn new(module: Arc<dyn Module>) -> Self {
        let Info { name, description, settings, .. } = module.info();
        let has_recovery_grace = module.tells_who_fell();
        let check = move |settings: &serde_json::Value| module.check(settings).map_err(|error| error.to_string());
        Self { name, about: description, settings, check: Box::new(check), has_recovery_grace }
    }

    pub(crate) fn section(&self) -> Section {
        let general = file::Module::section().keys.into_iter();
        let (mut keys, grace): (Vec<_>, Vec<_>) = general.partition(|key| key.name != GRACE);
        keys.extend(self.settings.iter().map(|setting| Key { name: setting.name, about: lines(&about(setting)) }));
        keys.extend(grace.into_iter().filter(|_| self.has_recovery_grace));
        Section { name: format!("modules.{}", self.name), about: lines(self.about), keys }
    }

    /// Whether a key of it takes this value.
    pub(crate) fn reads(&self, key: &str, value: &Value) -> Result<(), String> {
        if let Some(setting) = self.settings.iter().find(|setting| setting.name == key) {
            return fits(setting.kind, value);
        }
        let alone = Table::from_iter([(key.to_owned(), value.clone())]);
        file::Module::deserialize(alone).map(drop).map_err(|error| error.message().to_owned())
    }

    /// The setting that this is about, by how it begins, and the rest.
    pub(crate) fn blamed<'a>(&self, why: &'a str) -> Option<(&'static str, &'a str)> {
        self.settings.iter().find_map(|setting| {
            let rest = why.strip_prefix(setting.name)?;
            Some((setting.name, rest.strip_prefix(": ").or_else(|| rest.strip_prefix(", "))?))
        })
    }

    /// All of it, where each value was read alone before.
    pub(crate) fn fill(&self, mut said: Table) -> Result<Filled, String> {
        let mut settings = Table::new();
        for setting in self.settings {
            // What has no default that TOML can say is not set.
            let value = said.remove(setting.name).map(|value| listed(setting.kind, value));
            let value = value.or_else(|| serde_json::from_str(setting.default).ok());
            settings.extend(value.map(|value| (setting.name.to_owned(), value)));
        }
        let module = file::Module::deserialize(said).map_err(|error| error.message().to_owned())?;
        let config = ModuleConfig {
            enabled: module.enabled,
            settings: serde_json::to_value(&settings).map_err(|error| error.to_string())?,
        };
        (self.check)(&config.settings)?;
        let mut table = Table::try_from(&module).map_err(|error| error.to_string())?;
        for setting in self.settings {
            table.extend(
                settings.remove(setting.name).map(|value| (setting.name.to_owned(), shown(setting.kind, value))),
            );
        }
        Ok(Filled { table, config, recovery_grace: module.recovery_grace.0 })
    }
}

impl fmt::Debug for ModuleSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleSection").field("name", &self.name).finish_non_exhaustive()
    }
}

fn about(setting: &Setting) -> String {
    let values = match setting.kind {
        SettingKind::Switch => String::new(),
        kind => format!(" Takes {}.", wanted(kind)),
    };
    format!("{}. {}{values}", setting.title, setting.description)
}

fn wanted(kind: SettingKind) -> String {
    match kind {
        SettingKind::Switch => "true or false".to_owned(),
        SettingKind::Number { min, max } => format!("a whole number from {min} to {max}"),
        SettingKind::Choice(choices) => any_of(choices),
        SettingKind::Text | SettingKind::Secret => "a text".to_owned(),
        SettingKind::List { of: ListOf::Texts, max } => format!("a list of up to {max} texts"),
        SettingKind::List { of: ListOf::Choices(choices), max } => {
            format!("a list of up to {max} of {}", any_of(choices))
        }
        SettingKind::List { of: ListOf::Tables(fields), max } => {
            let names = fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
            format!("a list of up to {max} tables with {names}")
        }
    }
}

fn any_of(choices: &[&str]) -> String {
    choices.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or ")
}

/// A list that was said as a text with commas, as `--set` and variables have it, is one.
fn listed(kind: SettingKind, value: Value) -> Value {
    match (kind, value) {
        (SettingKind::List { of: ListOf::Texts | ListOf::Choices(_), .. }, Value::String(text)) => {
            Value::Array(parts(&text).map(|part| Value::String(part.to_owned())).collect())
        }
        (SettingKind::List { of: ListOf::Tables(fields), .. }, Value::Array(mut entries)) => {
            for (key, value) in entries.iter_mut().filter_map(Value::as_table_mut).flatten() {
                if let Some(field) = fields.iter().find(|field| field.name == key) {
                    *value = listed(field.kind, value.clone());
                }
            }
            Value::Array(entries)
        }
        (_, value) => value,
    }
}

/// The value without secrets.
fn shown(kind: SettingKind, value: Value) -> Value {
    match (kind, value) {
        (SettingKind::Secret, Value::String(text)) if !text.is_empty() => Value::String(HIDDEN.to_owned()),
        (SettingKind::List { of: ListOf::Tables(fields), .. }, Value::Array(mut entries)) => {
            for (key, value) in entries.iter_mut().filter_map(Value::as_table_mut).flatten() {
                if let Some(field) = fields.iter().find(|field| field.name == key) {
                    *value = shown(field.kind, value.clone());
                }
            }
            Value::Array(entries)
        }
        (_, value) => value,
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|_| !text.trim().is_empty())
}

fn fits(kind: SettingKind, value: &Value) -> Result<(), String> {
    let is_so_many = |count: usize, max: u64| u64::try_from(count).is_ok_and(|count| count <= max);
    let fits = match (kind, value) {
        (SettingKind::Switch, Value::Boolean(_)) | (SettingKind::Text | SettingKind::Secret, Value::String(_)) => true,
        (SettingKind::Number { min, max }, Value::Integer(number)) => {
            u64::try_from(*number).is_ok_and(|number| (min..=max).contains(&number))
        }
        (SettingKind::Choice(choices), Value::String(text)) => choices.contains(&text.as_str()),
        (SettingKind::List { of: ListOf::Texts, max }, Value::String(text)) => is_so_many(parts(text).count(), max),
        (SettingKind::List { of: ListOf::Choices(choices), max }, Value::String(text)) => {
            is_so_many(parts(text).count(), max) && parts(text).all(|part| choices.contains(&part))
        }
        (SettingKind::List { of, max }, Value::Array(entries)) if is_so_many(entries.len(), max) => {
            let fit = |(at, entry)| fits_in_list(of, entry).map_err(|why| format!("entry {}: {why}", at + 1));
            return entries.iter().enumerate().try_for_each(fit);
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(unfit(value, &wanted(kind))) }
}

fn fits_in_list(of: ListOf, entry: &Value) -> Result<(), String> {
    match (of, entry) {
        (ListOf::Texts, entry) => fits(SettingKind::Text, entry),
        (ListOf::Choices(choices), entry) => fits(SettingKind::Choice(choices), entry),
        (ListOf::Tables(fields), Value::Table(table)) => table.iter().try_for_each(|(key, value)| {
            let Some(field) = fields.iter().find(|field| field.name == key) else {
                let likeness = |name| strsim::normalized_damerau_levenshtein(key, name);
                let nearest = fields.iter().max_by(|a, b| likeness(a.name).total_cmp(&likeness(b.name)));
                return Err(format!("unknown key {key:?}; the nearest is {}", nearest.map_or("", |field| field.name)));
            };
            fits(field.kind, value).map_err(|why| format!("{key}: {why}"))
        }),
        (ListOf::Tables(_), entry) => Err(unfit(entry, "a table")),
    }
}

fn unfit(value: &Value, wanted: &str) -> String {
    let unexpected = match value {
        Value::String(text) => Unexpected::Str(text),
        Value::Integer(number) => Unexpected::Signed(*number),
        Value::Float(number) => Unexpected::Float(*number),
        Value::Boolean(is_on) => Unexpected::Bool(*is_on),
        Value::Datetime(_) => Unexpected::Other("date"),
        Value::Array(_) => Unexpected::Seq,
        Value::Table(_) => Unexpected::Map,
    };
    toml::de::Error::invalid_value(unexpected, &wanted).message().to_owned()
}

/// A text as lines of a comment.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= LINE => line.extend([" ", word]),
            _ => lines.push(format!(" {word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::Layers;

    const fn setting(name: &'static str, kind: SettingKind, default: &'static str) -> Setting {
        Setting { name, title: "T", description: "D.", kind, default }
    }

    const TOPIC: Setting = setting("topic", SettingKind::Text, "\"\"");
    const AFTER: Setting = setting("after", SettingKind::List { of: ListOf::Texts, max: 2 }, "[]");
    const QOS: Setting = setting("qos", SettingKind::Number { min: 0, max: 2 }, "1");
    const SETTINGS: &[Setting] = &[
        setting("title", SettingKind::Text, "\"none\""),
        setting("colors", SettingKind::List { of: ListOf::Choices(&["red", "blue"]), max: 2 }, "[\"red\"]"),
        setting("rules", SettingKind::List { of: ListOf::Tables(&[TOPIC, AFTER, QOS]), max: 3 }, "[]"),
    ];

    fn layers() -> Layers {
        let check = |settings: &serde_json::Value| match settings["rules"][0]["topic"].as_str() {
            Some("") => Err("rules, entry 1: topic: is empty".to_owned()),
            _ => Ok(()),
        };
        let about = "Has lists.";
        let check = Box::new(check);
        Layers::new(vec![ModuleSection { name: "m", about, settings: SETTINGS, check, has_recovery_grace: false }])
    }

    fn toml(text: &str) -> Result<serde_json::Value, String> {
        let mut layers = layers();
        let added = layers.add_toml(Path::new("r.toml"), text);
        let config = added.and_then(|()| layers.resolve()).map_err(|error| error.to_string())?;
        Ok(config.modules["m"].settings.clone())
    }

    #[test]
    fn tables_stand_in_a_list_as_toml_has_it() {
        assert_eq!(toml("").unwrap(), json!({"title": "none", "colors": ["red"], "rules": []}));
        let text =
            "[modules.m]\ncolors = []\n[[modules.m.rules]]\ntopic = \"a\"\n[[modules.m.rules]]\nafter = [\"1h\"]";
        let rules = json!([{"topic": "a"}, {"after": ["1h"]}]);
        assert_eq!(toml(text).unwrap(), json!({"title": "none", "colors": [], "rules": rules}));
    }

    #[test]
    fn lists_may_be_said_in_a_line() {
        let mut layers = layers();
        layers.add_assignment("modules.m.title=7").unwrap();
        layers.add_assignment("modules.m.colors=blue, red").unwrap();
        layers.add_assignment("modules.m.rules=[{topic = \"a\", after = \"1h,2h\"}]").unwrap();
        let rules = json!([{"topic": "a", "after": ["1h", "2h"]}]);
        let expected = json!({"title": "7", "colors": ["blue", "red"], "rules": rules});
        assert_eq!(layers.resolve().unwrap().modules["m"].settings, expected);
        assert_eq!(toml(&layers.print().unwrap()).unwrap(), expected, "what is printed reads the same");
    }

    #[test]
    fn what_is_wrong_in_a_list_is_named_with_its_place() {
        let rule = |text: &str| format!("\n[[modules.m.rules]]\ntopic = \"a\"\n[[modules.m.rules]]\n{text}");
        let rules = "r.toml:2: modules.m.rules: ";
        for (text, why) in [
            (rule("topc = 1"), format!("{rules}entry 2: unknown key \"topc\"; the nearest is topic")),
            (rule("qos = 3"), format!("{rules}entry 2: qos: invalid value: integer `3`, expected a whole number from 0 to 2")),
            (rule("after = [1]"), format!("{rules}entry 2: after: entry 1: invalid value: integer `1`, expected a text")),
            (
                "\n[modules.m.rules]\ntopic = \"a\"".to_owned(),
                format!("{rules}invalid value: map, expected a list of up to 3 tables with topic, after, qos"),
            ),
            ("\n[[modules.m.rules]]\ntopic = \"\"".to_owned(), format!("{rules}entry 1: topic: is empty")),
            (
                "modules.m.colors = [\"red\", \"green\"]".to_owned(),
                "r.toml:1: modules.m.colors: entry 2: invalid value: string \"green\", expected \"red\" or \"blue\"".to_owned(),
            ),
            (
                "modules.m.colors = [\"red\", \"red\", \"red\"]".to_owned(),
                "r.toml:1: modules.m.colors: invalid value: sequence, expected a list of up to 2 of \"red\" or \"blue\"".to_owned(),
            ),
        ] {
            assert_eq!(toml(&text).unwrap_err(), why);
        }
    }
}
