//! What was said, layer over layer, and where.

use std::{collections::BTreeMap, ffi::OsString, fs, ops::Range, path::Path};

use serde::Deserialize;
use toml::{
    Spanned, Value,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::{
    Config, Ignored,
    error::{Error, Place},
    file::{File, SECTIONS},
    print,
};

/// What the environment's names of settings begin with.
pub(crate) const PREFIX: &str = "ROLLCALL_";

/// Settings from everywhere; what is added later wins.
#[derive(Debug, Default)]
pub struct Layers {
    said: BTreeMap<String, Entry>,
    ignored: Ignored,
}

/// A value and where it was said.
#[derive(Debug)]
struct Entry {
    value: Value,
    place: Place,
}

/// What reading all layers gives.
struct Resolved {
    file: File,
    config: Config,
}

impl Layers {
    /// The defaults alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file.
    pub fn add_file(&mut self, file: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(file).map_err(|source| Error::Unreadable { file: file.to_owned(), source })?;
        self.add_toml(file, &text)
    }

    /// Adds TOML that stands in `file`.
    pub fn add_toml(&mut self, file: &Path, text: &str) -> Result<(), Error> {
        let place = |span: Range<usize>| Place::Line { file: file.to_owned(), line: line_of(text, span.start) };
        let table = DeTable::parse(text).map_err(|error| Error::Syntax {
            place: place(error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        })?;
        self.add_table("", table.get_ref(), &place)
    }

    /// Adds all variables that start with `ROLLCALL_`: `ROLLCALL_MQTT__BIND` is `mqtt.bind`.
    ///
    /// What has no `__` and is no setting is left to [`Self::ignored`]: others than the operator set such variables.
    pub fn add_env(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), Error> {
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            if !key.contains('.') && !is_key(&key) {
                self.ignored.add(&name, keys());
                continue;
            }
            let place = Place::Variable(name.clone());
            let value = value.into_string().map_err(|_| Error::NotText(name))?;
            self.add_text(key, &value, place)?;
        }
        Ok(())
    }

    /// Adds a flag that stands for a key, such as `--bind`.
    pub fn add_flag(&mut self, flag: &'static str, key: &str, value: &str) -> Result<(), Error> {
        self.add(key.to_owned(), Value::String(value.to_owned()), Place::Flag(flag))
    }

    /// Adds what `--set` was given: `dotted.key=value`.
    pub fn add_assignment(&mut self, assignment: &str) -> Result<(), Error> {
        let (key, value) = assignment.split_once('=').ok_or_else(|| Error::Assignment(assignment.to_owned()))?;
        self.add_text(key.trim().to_owned(), value.trim(), Place::Flag("--set"))
    }

    /// The variables that look like settings and are none.
    pub const fn ignored(&self) -> &Ignored {
        &self.ignored
    }

    /// All of it, checked.
    pub fn resolve(&self) -> Result<Config, Error> {
        let Resolved { file, mut config } = self.read()?;
        config.sources = print::sources(&file, |key| self.said.get(key).map(|said| &said.place));
        Ok(config)
    }

    /// All of it as TOML that says the same when it is read again.
    pub fn print(&self) -> Result<String, Error> {
        let resolved = self.read()?;
        Ok(print::print(&resolved.file, |key| self.said.get(key).map(|said| &said.place)))
    }

    fn read(&self) -> Result<Resolved, Error> {
        let mut all = toml::Table::new();
        for (key, said) in &self.said {
            insert(&mut all, key, said.value.clone());
        }
        // Each value was read alone before, so together they read too.
        let file = File::deserialize(all).map_err(|error| Error::Value {
            place: Place::Default,
            key: "configuration".to_owned(),
            why: error.message().to_owned(),
        })?;
        let config = file.check().map_err(|wrong| Error::Value {
            place: self.said.get(wrong.key).map_or(Place::Default, |said| said.place.clone()),
            key: wrong.key.to_owned(),
            why: wrong.why,
        })?;
        Ok(Resolved { file, config })
    }

    fn add_table(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        place: &dyn Fn(Range<usize>) -> Place,
    ) -> Result<(), Error> {
        for (name, value) in table.iter() {
            let key = if path.is_empty() { name.get_ref().to_string() } else { format!("{path}.{}", name.get_ref()) };
            let here = place(name.span());
            match value.get_ref() {
                DeValue::Table(inner) if !is_key(&key) && (!inner.is_empty() || is_section(&key)) => {
                    self.add_table(&key, inner, place)?;
                }
                _ => {
                    let value = owned(value.clone())
                        .map_err(|error| Error::Syntax { place: here.clone(), message: error.message().to_owned() })?;
                    self.add(key, value, here)?;
                }
            }
        }
        Ok(())
    }

    /// Adds text that is either TOML's way to write a value, or the value itself.
    fn add_text(&mut self, key: String, text: &str, place: Place) -> Result<(), Error> {
        let plain = Value::String(text.to_owned());
        let written = format!("value = {text}").parse::<toml::Table>().ok().filter(|table| table.len() == 1);
        match written.and_then(|mut table| table.remove("value")) {
            Some(value) if reads(&key, &value).is_ok() => self.add(key, value, place),
            Some(value) if reads(&key, &plain).is_err() => self.add(key, value, place),
            _ => self.add(key, plain, place),
        }
    }

    fn add(&mut self, key: String, value: Value, place: Place) -> Result<(), Error> {
        if !is_key(&key) {
            if is_section(&key) {
                return Err(Error::Value { place, key, why: "is a section, wants keys of its own".to_owned() });
            }
            return Err(Error::Unknown { place, nearest: nearest(&key, value.is_table()), key });
        }
        if let Err(why) = reads(&key, &value) {
            return Err(Error::Value { place, key, why });
        }
        self.said.insert(key, Entry { value, place });
        Ok(())
    }
}

/// Whether a known key takes this value.
fn reads(key: &str, value: &Value) -> Result<(), String> {
    let mut alone = toml::Table::new();
    insert(&mut alone, key, value.clone());
    File::deserialize(alone).map(drop).map_err(|error| error.message().to_owned())
}

fn insert(table: &mut toml::Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// All keys, dotted.
fn keys() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|section| {
        section.keys.iter().map(|key| match section.name {
            "" => key.name.to_owned(),
            name => format!("{name}.{}", key.name),
        })
    })
}

fn is_key(key: &str) -> bool {
    keys().any(|known| known == key)
}

fn is_section(key: &str) -> bool {
    SECTIONS
        .iter()
        .any(|section| section.name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        && !key.is_empty()
}

/// What was probably meant: the whole key counts, and so does its last word under a wrong section.
fn nearest(key: &str, table: bool) -> String {
    let likeness = |known: &str| {
        strsim::normalized_damerau_levenshtein(key, known)
            + strsim::normalized_damerau_levenshtein(last_word(key), last_word(known))
    };
    let sections = SECTIONS.iter().map(|section| section.name.to_owned()).filter(|name| table && !name.is_empty());
    keys().chain(sections).max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

fn last_word(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or_default()
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A parsed value without its places; fails for a number that 64 bits can't hold.
fn owned(value: Spanned<DeValue<'_>>) -> Result<Value, toml::de::Error> {
    Value::deserialize(ValueDeserializer::from(value))
}
