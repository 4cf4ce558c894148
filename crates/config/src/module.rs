//! The section of a module, as the module describes it.

use std::fmt;

use mqtt_hooks::{Setting, SettingKind};
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

    /// All of it, where each value was read alone before.
    pub(crate) fn fill(&self, mut said: Table) -> Result<Filled, String> {
        let mut settings = Table::new();
        for setting in self.settings {
            // What has no default that TOML can say is not set.
            let value = said.remove(setting.name).or_else(|| serde_json::from_str(setting.default).ok());
            settings.extend(value.map(|value| (setting.name.to_owned(), value)));
        }
        let module = file::Module::deserialize(said).map_err(|error| error.message().to_owned())?;
        let config = ModuleConfig {
            enabled: module.enabled,
            settings: serde_json::to_value(&settings).map_err(|error| error.to_string())?,
        };
        (self.check)(&config.settings)?;
        let mut table = Table::try_from(&module).map_err(|error| error.to_string())?;
        table.extend(settings);
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
        SettingKind::Choice(choices) => choices.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or "),
    }
}

fn fits(kind: SettingKind, value: &Value) -> Result<(), String> {
    let fits = match (kind, value) {
        (SettingKind::Switch, Value::Boolean(_)) => true,
        (SettingKind::Number { min, max }, Value::Integer(number)) => {
            u64::try_from(*number).is_ok_and(|number| (min..=max).contains(&number))
        }
        (SettingKind::Choice(choices), Value::String(text)) => choices.contains(&text.as_str()),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let unexpected = match value {
        Value::String(text) => Unexpected::Str(text),
        Value::Integer(number) => Unexpected::Signed(*number),
        Value::Float(number) => Unexpected::Float(*number),
        Value::Boolean(is_on) => Unexpected::Bool(*is_on),
        Value::Datetime(_) => Unexpected::Other("date"),
        Value::Array(_) => Unexpected::Seq,
        Value::Table(_) => Unexpected::Map,
    };
    Err(toml::de::Error::invalid_value(unexpected, &wanted(kind).as_str()).message().to_owned())
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
