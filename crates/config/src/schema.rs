//! All keys there are, of the file form and of the modules.

use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    ModuleSection,
    file::File,
    listeners::{self, OLD_NAMES},
};

/// What a section is called, what it is for, and its keys.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) about: Vec<String>,
    pub(crate) keys: Vec<Key>,
}

/// A key and what it means.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: Vec<String>,
}

/// What may stand in a configuration.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) sections: Vec<Section>,
    pub(crate) modules: Vec<ModuleSection>,
}

impl Section {
    /// That one is a section of its own.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.keys.retain(|known| known.name != key);
        self
    }

    /// A key of it as it is said.
    pub(crate) fn dotted(&self, key: &Key) -> String {
        if self.name.is_empty() { key.name.to_owned() } else { format!("{}.{}", self.name, key.name) }
    }
}

impl Schema {
    pub(crate) fn new(modules: Vec<ModuleSection>) -> Self {
        let mut sections = File::sections();
        sections.extend(modules.iter().map(ModuleSection::section));
        Self { sections, modules }
    }

    /// Has the section of a listener, which stands among the others by name.
    pub(crate) fn add_listener(&mut self, name: &str) {
        let section = listeners::section(name);
        if self.is_section(&section.name) {
            return;
        }
        let built_in = [listeners::MQTT, listeners::WS].map(|name| listeners::section(name).name);
        let is_before = |known: &Section| {
            built_in.contains(&known.name) || (listeners::named(&known.name).is_some() && known.name < section.name)
        };
        let before = self.sections.iter().rposition(is_before).expect("the first ones are there from the start");
        self.sections.insert(before + 1, section);
    }

    /// All keys, dotted, their old names too.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        let keys = self.sections.iter().flat_map(|section| section.keys.iter().map(|key| section.dotted(key)));
        keys.chain(OLD_NAMES.iter().map(|(old, _)| (*old).to_owned()))
    }

    pub(crate) fn is_key(&self, key: &str) -> bool {
        self.keys().any(|known| known == key)
    }

    pub(crate) fn is_section(&self, key: &str) -> bool {
        let is_in = |section: &Section| {
            section.name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !key.is_empty() && self.sections.iter().any(is_in)
    }

    /// Whether a known key takes this value.
    pub(crate) fn reads(&self, key: &str, value: &Value) -> Result<(), String> {
        let mut keys = key.splitn(3, '.');
        if let (Some("modules"), Some(name), Some(key)) = (keys.next(), keys.next(), keys.next()) {
            let module = self.modules.iter().find(|module| module.name == name);
            return module.map_or(Ok(()), |module| module.reads(key, value));
        }
        let mut alone = Table::new();
        insert(&mut alone, listeners::today(key), value.clone());
        File::deserialize(alone).map(drop).map_err(|error| error.message().to_owned())
    }

    /// What was probably meant: the whole key counts, and so does its last word under a wrong section.
    pub(crate) fn nearest(&self, key: &str, table: bool) -> String {
        let likeness = |known: &str| {
            strsim::normalized_damerau_levenshtein(key, known)
                + strsim::normalized_damerau_levenshtein(last_word(key), last_word(known))
        };
        let sections = self.sections.iter().map(|section| section.name.clone());
        let sections = sections.filter(|name| table && !name.is_empty());
        self.keys().chain(sections).max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
    }
}

/// Puts a value where its dotted key says.
pub(crate) fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn last_word(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or_default()
}
